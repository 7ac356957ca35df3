"""Stop when a metric stops improving."""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Iterable
from typing import Any

from ..arguments import check_choice, check_counts, check_numbers
from ..errors import TrainError, explain
from ..history import Row, of_steps
from ..run import Run
from .base import Callback


class EarlyStopping(Callback):
    """Stop once `monitor` has not improved for `patience` checks.

    The tests are made in this order: not finite, `stopping_threshold`, `divergence_threshold`,
    improvement. A check happens whenever a logged row has the metric. It improves if it beats the
    best by more than `min_delta`; one that equals the best minus `min_delta` does not count. A
    metric that is not finite stops the run at once, unless `check_finite` is False; then NaN is no
    improvement.

    Args:
      monitor: a column of the history, such as "val/loss".
      patience: checks without improvement until the stop; 0 stops at the first one.
      min_delta: how much better counts as better.
      mode: "min" or "max".
      stopping_threshold: stop as soon as the metric is better than this.
      divergence_threshold: stop as soon as the metric is worse than this.
      check_finite: whether NaN or infinity stops the run.
      baseline: what the first check has to beat, as a best value from before the run.

    >>> from jaxcore import train
    >>> trainer = train.Trainer(callbacks=[EarlyStopping("val/accuracy", mode="max", patience=5)])
    """

    def __init__(
        self,
        monitor: str = "val/loss",
        *,
        patience: int = 3,
        min_delta: float = 0.0,
        mode: str = "min",
        stopping_threshold: float | None = None,
        divergence_threshold: float | None = None,
        check_finite: bool = True,
        baseline: float | None = None,
    ) -> None:
        check_mode(mode)
        check_counts(0, patience=patience)
        check_numbers(min_delta=min_delta)
        check_numbers(
            optional=True,
            stopping_threshold=stopping_threshold,
            divergence_threshold=divergence_threshold,
            baseline=baseline,
        )
        self.monitor = monitor
        self.patience = patience
        self.min_delta = abs(min_delta)
        self.mode = mode
        self.stopping_threshold = stopping_threshold
        self.divergence_threshold = divergence_threshold
        self.check_finite = check_finite
        self.baseline = baseline
        self.best: float | None = baseline
        self.waited = 0

    def on_fit_start(self, run: Run) -> None:
        if run.resumed_from is None:  # the trainer may have fitted something else before
            self.best, self.waited = self.baseline, 0
        if self.monitor.startswith("val/") and not run.validates:
            raise TrainError(
                explain(
                    f"EarlyStopping monitors {self.monitor!r}, but nothing is validated.",
                    got="no validation data",
                    expected="fit(..., val=data)",
                    fix="give `val`, or monitor a training metric such as 'loss'.",
                )
            )

    def on_log(self, run: Run, row: Row) -> None:
        if self.monitor not in row:
            return check_row("EarlyStopping", self.monitor, row)
        value = row[self.monitor]
        sign = 1.0 if self.mode == "min" else -1.0
        best = sign * math.inf if self.best is None else self.best
        if self.check_finite and not math.isfinite(value):
            run.request_stop(f"{self.monitor} is {value}")
        elif self._beyond(value, self.stopping_threshold, sign):
            run.request_stop(f"{self.monitor} reached {value:.6g}")
        elif self._beyond(value, self.divergence_threshold, -sign):
            run.request_stop(f"{self.monitor} diverged to {value:.6g}")
        elif sign * value + self.min_delta < sign * best:  # never of NaN
            self.best, self.waited = value, 0
        else:
            self.waited += 1
            if self.waited >= self.patience:
                than = math.nan if self.best is None else self.best
                run.request_stop(
                    f"{self.monitor} has not improved on {than:.6g} for {self.waited} checks"
                )

    @staticmethod
    def _beyond(value: float, threshold: float | None, sign: float) -> bool:
        return threshold is not None and sign * value < sign * threshold

    def state(self) -> dict[str, Any]:
        return {"best": self.best, "waited": self.waited}

    def restore(self, state: dict[str, Any]) -> None:
        self.best, self.waited = state["best"], state["waited"]


def check_mode(mode: str) -> None:
    """Raise `TrainError` unless `mode` is "min" or "max"."""
    check_choice(("min", "max"), "say which of two values is better.", mode=mode)


def unknown_metric(who: str, monitor: str, row: Iterable[str]) -> TrainError:
    """The error for a metric that a row should have and has not."""
    columns = sorted(set(row) - {"step", "epoch", "seconds", "steps_per_second"})
    near = difflib.get_close_matches(monitor.replace("_", "/", 1), columns, 1)
    return TrainError(
        explain(
            f"{who} monitors a metric that is not logged.",
            got=repr(monitor),
            expected=f"one of {columns}",
            fix=f"did you mean {near[0]!r}?"
            if near
            else "name a column of the history, or return the metric from the task's loss.",
        )
    )


def check_row(who: str, monitor: str, row: Row) -> None:
    """Raise `TrainError` for a metric that a row has not, unless its data was not validated on.

    Nor can a row before the first step have one of training.
    """
    own = f"{monitor.rpartition('/')[0]}/"
    validates = monitor.startswith("val/")
    if any(name.startswith(own) for name in row) if validates else of_steps(row):
        raise unknown_metric(who, monitor, row)


def check_monitors(callbacks: Iterable[Callback], columns: Collection[str]) -> None:
    """Raise `TrainError` if a callback monitors a metric of validation that there will not be.

    Args:
      callbacks: those that have an attribute `monitor` are looked at.
      columns: what a validation measures.
    """
    for callback in callbacks:
        monitor = getattr(callback, "monitor", None)
        if not isinstance(monitor, str) or monitor in columns or not columns:
            continue
        if monitor.startswith("val/") or monitor.replace("val_", "val/", 1) in columns:
            raise unknown_metric(type(callback).__name__, monitor, columns)
