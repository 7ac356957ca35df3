"""Take back the updates after which the loss jumped, and leave their batches out from then on."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import tree

from ..arguments import check_counts, check_numbers
from ..data import LeftOut, Source
from ..errors import TrainError, explain
from ..history import Row
from ..iterables import BatchIterable
from ..run import Run
from .base import Callback
from .early_stopping import check_mode, unknown_metric

Place = tuple[int, int]  # epoch, batch


class SpikeDetection(Callback):
    """Go back to the state of the row before, when the loss of a row of the log jumps.

    A row is a spike if its loss is no better than the last good row's and beyond the mean of the
    last good rows by `atol` and by `rtol` of that mean, or if it is not finite. The state then is
    the one of the last good row, and training goes on with the batches that follow: those of the
    spike are left out. They are noted in "skipped_batches.json" of the run's directory, and a run
    that finds them there does not train on them, be it resumed from before or begun anew.

    Rows are as far apart as `Trainer(log_every=)` says: with `Steps(1)` a single batch is left out.
    A copy of the state is kept on the device; a run that is resumed between two rows goes back to
    its checkpoint.

    Args:
      monitor: a column of training.
      mode: "min" or "max".
      window: how many good rows the mean is of.
      warmup: rows before the first that may be a spike.
      atol: the least distance from the mean; by default any.
      rtol: the least distance as a part of the mean; 2.0 is a loss three times as large.
      limit: spikes one after another that end the run, with an error.
      exclude_batches_path: where the batches are noted instead.

    >>> from jaxcore import train
    >>> callbacks = [SpikeDetection(rtol=1.0, window=50, warmup=100), train.ProgressBar()]
    """

    def __init__(
        self,
        monitor: str = "loss",
        *,
        mode: str = "min",
        window: int = 10,
        warmup: int = 1,
        atol: float = 0.0,
        rtol: float = 2.0,
        limit: int = 10,
        exclude_batches_path: str | os.PathLike[str] | None = None,
    ) -> None:
        check_mode(mode)
        check_counts(1, window=window, warmup=warmup, limit=limit)
        check_numbers(0, atol=atol, rtol=rtol)
        self.monitor = monitor
        self.mode = mode
        self.window = window
        self.warmup = warmup
        self.atol = atol
        self.rtol = rtol
        self.limit = limit
        self.exclude_batches_path = exclude_batches_path
        self.skipped: list[tuple[Place, Place]] = []
        self._good: list[float] = []
        self._rows = self._spikes = 0

    def on_setup(self, run: Run) -> None:
        self._good, self._rows, self._spikes = [], 0, 0
        path = self._path(run)
        found = json.loads(path.read_text("utf-8")) if path is not None and path.exists() else []
        self.skipped = [((a, b), (c, d)) for a, b, c, d in found]
        if not found:
            return
        if isinstance(run.source, BatchIterable):
            raise TrainError(
                explain(
                    "Batches that an earlier run left out cannot be told in this data.",
                    got=f"an iterable of batches, and {path}",
                    expected="data whose batches have places, such as train.ArrayData",
                    fix="delete the file to train on all batches, or pass such data.",
                )
            )
        run.source = _Without(run.source, self.skipped)

    def on_fit_start(self, run: Run) -> None:
        self._samples = run.samples
        self._keep(run)

    def on_log(self, run: Run, row: Row) -> None:
        if run.samples == self._samples:  # all of its batches were left out
            self._place = run.epoch, run.batch
            return
        if self.monitor not in row:
            raise unknown_metric("SpikeDetection", self.monitor, row)
        self._samples = run.samples
        self._rows += 1
        if not self._is_spike(row[self.monitor]):
            self._good = [*self._good, row[self.monitor]][-self.window :]
            self._spikes = 0
            self._keep(run)
            return
        self._spikes += 1
        start, end = self._place, (run.epoch, run.batch)
        if self._spikes >= self.limit:
            raise TrainError(
                explain(
                    f"The {self.monitor} jumped in {self._spikes} rows of the log, one by one.",
                    got=f"{row[self.monitor]:.6g}, after a mean of {self._mean:.6g}",
                    expected="spikes that are over once their batches are left out",
                    fix="lower the learning rate, clip the gradient, or raise rtol or limit.",
                )
            )
        run.state = tree.map(jnp.copy, self._state).replace(step=run.state.step)
        self._place = end
        self.skipped.append((start, end))
        run.console.print(
            f"{self.monitor} jumped to {row[self.monitor]:.4g}: epoch {start[0]} batch {start[1]} "
            f"to epoch {end[0]} batch {end[1]} are left out",
            soft_wrap=True,
        )
        path = self._path(run)
        if path is not None and jaxcore.process_index() == 0:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f".{path.name}.tmp")
            temporary.write_text(json.dumps([[*a, *b] for a, b in self.skipped]), "utf-8")
            os.replace(temporary, path)

    @property
    def _mean(self) -> float:
        return sum(self._good) / len(self._good)

    def _is_spike(self, value: float) -> bool:
        if self._rows <= self.warmup or not self._good:
            return False
        if not math.isfinite(value):
            return True
        sign, mean = (1.0 if self.mode == "min" else -1.0), self._mean
        away = sign * (value - mean)
        worse = sign * value >= sign * self._good[-1]
        return worse and away >= self.atol and away >= self.rtol * abs(mean) and away > 0

    def _keep(self, run: Run) -> None:
        self._state, self._place = tree.map(jnp.copy, run.state), (run.epoch, run.batch)

    def _path(self, run: Run) -> Path | None:
        if self.exclude_batches_path is not None:
            return Path(self.exclude_batches_path)
        return None if run.dir is None else run.dir / "skipped_batches.json"

    def state(self) -> dict[str, Any]:
        return {"good": self._good, "rows": self._rows, "spikes": self._spikes}

    def restore(self, state: dict[str, Any]) -> None:
        self._good, self._rows, self._spikes = state["good"], state["rows"], state["spikes"]


class _Without:
    """A source some of whose batches are marked as left out; their places stay taken."""

    def __init__(self, source: Source, ranges: list[tuple[Place, Place]]) -> None:
        self._source = source
        self._ranges = list(ranges)
        self.batch_size = getattr(source, "batch_size", None)
        self.rows = getattr(source, "rows", None)
        self.fingerprint = getattr(source, "fingerprint", None)

    @property
    def steps_per_epoch(self) -> int | None:
        return self._source.steps_per_epoch

    def batches(self, epoch: int, start: int = 0) -> Iterator[Any]:
        for number, batch in enumerate(self._source.batches(epoch, start), start):
            out = any(first <= (epoch, number) < last for first, last in self._ranges)
            yield LeftOut(batch) if out else batch
