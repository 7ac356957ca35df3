"""When to save, and which checkpoints to keep."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Any

from ..checkpoint import delete_checkpoint, list_checkpoints, read_info, remove_leftovers
from ..errors import CheckpointError, TrainError, explain
from ..history import Row
from ..run import Run
from ..units import EVERY_EPOCH, Duration, check_duration, is_due
from .base import Callback
from .early_stopping import check_mode, unknown_metric


class Checkpoint(Callback):
    """Save every so often and at the end; keep the newest few and the best few.

    What is kept is the union: the `keep` newest, the `keep_best` best by `monitor`, and always the
    one the run was resumed from until a newer one stands.

    Args:
      every: `Steps` or `Epochs` between saves.
      keep: how many of the newest to keep.
      monitor: a column of the history; the score of a checkpoint is its row's value.
      keep_best: how many of the best to keep, by `monitor`.
      mode: "min" or "max".
    """

    def __init__(
        self,
        every: Duration = EVERY_EPOCH,
        *,
        keep: int = 2,
        monitor: str | None = None,
        keep_best: int = 1,
        mode: str = "min",
    ) -> None:
        check_duration("every", every)
        check_mode(mode)
        if keep < 1:
            raise TrainError(
                explain(
                    "A run must keep its newest checkpoint.",
                    got=f"keep={keep}",
                    expected="keep of at least 1",
                    fix="leave it out, or leave out the callback to save nothing.",
                )
            )
        self.every = every
        self.keep = keep
        self.monitor = monitor
        self.keep_best = keep_best
        self.mode = mode

    def on_fit_start(self, run: Run) -> None:
        if run.dir is None:
            raise TrainError(
                explain(
                    "Checkpoint has nowhere to write.",
                    got="Trainer(dir=None)",
                    expected="a directory for the run",
                    fix="write Trainer(dir='runs/first', ...).",
                )
            )
        if self.monitor and self.monitor.startswith("val/") and not run.validates:
            raise TrainError(
                explain(
                    f"Checkpoint keeps the best {self.monitor!r}, but nothing is validated.",
                    got="no validation data",
                    expected="fit(..., val=data)",
                    fix="give `val`, or monitor a training metric such as 'loss'.",
                )
            )
        remove_leftovers(run.dir)

    def on_step_end(self, run: Run) -> None:
        if is_due(self.every, step=run.step, epochs=run.epoch, epoch_ended=run.epoch_ended):
            run.request_save()

    def on_log(self, run: Run, row: Row) -> None:
        if self.monitor is None or self.monitor in row:
            return
        if not self.monitor.startswith("val/") or any(name.startswith("val/") for name in row):
            raise unknown_metric("Checkpoint", self.monitor, row)

    def on_stop(self, run: Run) -> None:
        run.request_save()

    def on_save(self, run: Run, path: Path) -> None:
        assert run.dir is not None
        entries = list_checkpoints(run.dir)
        kept = {entry for _, entry in entries[-self.keep :]} | {path}
        if self.monitor is not None:
            scores = [(self._score(entry), step, entry) for step, entry in entries]
            scored = sorted(item for item in scores if item[0] is not None)
            kept |= {entry for _, _, entry in scored[: self.keep_best]}
        for _, entry in entries:
            if entry not in kept:
                delete_checkpoint(entry)

    def _score(self, path: Path) -> float | None:
        """Lower is better; None without the metric; NaN counts as the worst."""
        try:
            value = (read_info(path).get("row") or {}).get(self.monitor)
        except CheckpointError:
            return None
        if value is None:
            return None
        value = value if self.mode == "min" else -value
        return value if value == value else float("inf")


class SaveOnSignal(Callback):
    """On SIGTERM (a pre-empted machine), finish the step, save, and end the run cleanly.

    The handler only sets a flag. A second signal does what it did without this callback.
    """

    def __init__(self, signals: tuple[int, ...] = (signal.SIGTERM,)) -> None:
        self.signals = signals
        self._received: int | None = None
        self._before: dict[int, Any] = {}

    def on_fit_start(self, run: Run) -> None:
        self._received = None
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in self.signals}

    def _note(self, number: int, frame: Any) -> None:
        self._received = number
        signal.signal(number, self._before[number])

    def on_step_end(self, run: Run) -> None:
        if self._received is not None:
            run.request_save()
            run.request_stop(f"received {signal.Signals(self._received).name}")

    def on_fit_end(self, run: Run) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
