"""When to save, and which checkpoints to keep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jaxcore

from ..arguments import check_counts
from ..checkpoint import (
    check_writable,
    delete_checkpoint,
    list_checkpoints,
    peek_info,
    remove_leftovers,
)
from ..errors import CheckpointError, TrainError, explain
from ..history import Row
from ..run import Run
from ..units import EVERY_EPOCH, Duration, Epochs, Steps, check_duration
from .base import Callback
from .early_stopping import check_mode, check_row


class ModelCheckpoint(Callback):
    """Save every so often and at the end; keep the newest few, the best few, and every n-th.

    What is kept is the union of the three. Of equal scores the older checkpoint is the better one,
    and NaN is the worst score. The one that a run was resumed from stays until a newer one stands.

    Args:
      every: between saves, in any unit.
      monitor: a column of the history; the score of a checkpoint is its row's value.
      mode: "min" or "max": which scores are good.
      save_top_k: how many of the best to keep by `monitor`; -1 for all that have a score.
      save_last: how many of the newest to keep, at least 1; -1 for all.
      keep_every: `Steps(n)` or `Epochs(n)`: keep for ever what was saved at multiples of that.

    >>> callback = ModelCheckpoint(monitor="val/loss", save_top_k=3, keep_every=Epochs(10))
    """

    def __init__(
        self,
        every: Duration = EVERY_EPOCH,
        *,
        monitor: str | None = None,
        mode: str = "min",
        save_top_k: int = 1,
        save_last: int = 2,
        keep_every: Duration | None = None,
    ) -> None:
        check_duration("every", every)
        check_mode(mode)
        check_counts(-1, save_top_k=save_top_k, save_last=save_last)
        if save_last == 0:
            raise TrainError(
                explain(
                    "A run must keep its newest checkpoint.",
                    got=f"save_last={save_last}",
                    expected="save_last of at least 1, or -1 for all",
                    fix="leave it out, or leave out the callback to save nothing.",
                )
            )
        if keep_every is not None and not isinstance(keep_every, Steps | Epochs):
            raise TrainError(
                explain(
                    "`keep_every` picks checkpoints by their number.",
                    got=repr(keep_every),
                    expected="Steps(n) or Epochs(n)",
                    fix="write keep_every=Epochs(10).",
                )
            )
        self.every = every
        self.monitor = monitor
        self.mode = mode
        self.save_top_k = save_top_k
        self.save_last = save_last
        self.keep_every = keep_every
        self._infos: dict[Path, dict[str, Any] | None] = {}

    def on_fit_start(self, run: Run) -> None:
        if run.dir is None:
            raise TrainError(
                explain(
                    "ModelCheckpoint has nowhere to write.",
                    got="Trainer(dir=None)",
                    expected="a directory for the run",
                    fix="write Trainer(dir='runs/first', ...).",
                )
            )
        if self.monitor and self.monitor.startswith("val/") and not run.validates:
            raise TrainError(
                explain(
                    f"ModelCheckpoint keeps the best {self.monitor!r}, but nothing is validated.",
                    got="no validation data",
                    expected="fit(..., val=data)",
                    fix="give `val`, or monitor a training metric such as 'loss'.",
                )
            )
        self._infos = {}
        if jaxcore.process_index() == 0:
            remove_leftovers(run.dir)
            check_writable(run.dir)

    def on_step_end(self, run: Run) -> None:
        if self.every is not None and run.is_due(self.every):
            run.request_save()

    def on_log(self, run: Run, row: Row) -> None:
        if self.monitor is not None and self.monitor not in row:
            check_row("ModelCheckpoint", self.monitor, row)

    def on_stop(self, run: Run) -> None:
        run.request_save()

    def on_save(self, run: Run, path: Path) -> None:
        if jaxcore.process_index() > 0:
            return  # the first process writes and deletes for all
        assert run.dir is not None
        entries = list_checkpoints(run.dir)
        newest = len(entries) if self.save_last == -1 else self.save_last
        kept = {entry for _, entry in entries[-newest:]} | {path}
        if self.monitor is not None:
            scores = [(self._score(entry), step, entry) for step, entry in entries]
            scored = sorted(item for item in scores if item[0] is not None)
            kept |= {e for _, _, e in scored[: None if self.save_top_k == -1 else self.save_top_k]}
        if self.keep_every is not None:
            kept |= {entry for _, entry in entries if self._is_milestone(entry)}
        for _, entry in entries:
            if entry not in kept:
                delete_checkpoint(entry)

    def _info(self, path: Path) -> dict[str, Any] | None:
        if path not in self._infos:
            try:
                self._infos[path] = peek_info(path)
            except CheckpointError:
                self._infos[path] = None
        return self._infos[path]

    def _score(self, path: Path) -> float | None:
        """Lower is better; None without the metric; NaN counts as the worst."""
        value = ((self._info(path) or {}).get("row") or {}).get(self.monitor)
        if value is None:
            return None
        value = value if self.mode == "min" else -value
        return value if value == value else float("inf")

    def _is_milestone(self, path: Path) -> bool:
        info = self._info(path)
        if info is None or self.keep_every is None:
            return False
        if isinstance(self.keep_every, Steps):
            return info["step"] % self.keep_every.count == 0
        assert isinstance(self.keep_every, Epochs)
        return info["batch"] == 0 and info["epoch"] % self.keep_every.count == 0
