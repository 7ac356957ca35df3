"""A smaller learning rate when a metric stalls."""

from __future__ import annotations

from typing import Any

from ..arguments import check_counts, check_numbers
from ..history import Row
from ..optimizer import scale_rates
from ..run import Run
from .base import Callback
from .early_stopping import check_mode, check_row


class ReduceLROnPlateau(Callback):
    """Multiply the learning rate by `factor` once `monitor` has not improved for `patience` checks.

    A check happens whenever a logged row has the metric. The rate of a schedule goes on, smaller by
    the factor. The rate is the one in the optimiser's state, so the task needs `lr`.

    Args:
      monitor: a column of the history.
      factor: what the rate is multiplied by.
      patience: checks without improvement until then.
      mode: "min" or "max".
      min_delta: how much better counts as better.
      cooldown: checks after a reduction that do not count.
      min_lr: the smallest rate.

    >>> callback = ReduceLROnPlateau("val/loss", factor=0.5, patience=3)
    """

    def __init__(
        self,
        monitor: str = "val/loss",
        *,
        factor: float = 0.1,
        patience: int = 10,
        mode: str = "min",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        check_mode(mode)
        check_numbers(0, 1, open=True, factor=factor)
        check_counts(0, patience=patience, cooldown=cooldown)
        check_numbers(min_delta=min_delta)
        check_numbers(0, min_lr=min_lr)
        self.monitor = monitor
        self.factor = factor
        self.patience = patience
        self.mode = mode
        self.min_delta = abs(min_delta)
        self.cooldown = cooldown
        self.min_lr = min_lr
        self._start_anew()

    def _start_anew(self) -> None:
        self.best: float | None = None
        self.waited = self.cooling = 0

    def on_fit_start(self, run: Run) -> None:
        if run.resumed_from is None:
            self._start_anew()

    def on_log(self, run: Run, row: Row) -> None:
        if self.monitor not in row:
            return check_row("ReduceLROnPlateau", self.monitor, row)
        value, sign = row[self.monitor], 1.0 if self.mode == "min" else -1.0
        if self.cooling:
            self.cooling -= 1
            self.waited = 0
        if self.best is None or sign * value < sign * self.best - self.min_delta:
            self.best, self.waited = value, 0
        elif not self.cooling:
            self.waited += 1
            if self.waited >= self.patience:
                opt_state = scale_rates(run.state.opt_state, self.factor, self.min_lr)
                run.state = run.state.replace(opt_state=opt_state)
                self.cooling, self.waited = self.cooldown, 0

    def state(self) -> dict[str, Any]:
        return {"best": self.best, "waited": self.waited, "cooling": self.cooling}

    def restore(self, state: dict[str, Any]) -> None:
        self.best, self.waited, self.cooling = state["best"], state["waited"], state["cooling"]
