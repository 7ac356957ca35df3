"""A checkpoint only for as long as a run may have to go on from it."""

from __future__ import annotations

import shutil

import jaxcore

from ..run import Run
from ..units import EVERY_EPOCH, Duration
from .model_checkpoint import ModelCheckpoint


class BackupAndRestore(ModelCheckpoint):
    """Keep the newest checkpoint while the run goes on, and none once it has ended well.

    With `resume="auto"`, an interrupted run goes on where the backup was taken, also inside an
    epoch.

    Args:
      save_freq: between saves, in any unit.
      delete_checkpoint: False leaves the last checkpoint where it is.

    >>> backup = BackupAndRestore(delete_checkpoint=False)
    """

    def __init__(
        self, save_freq: Duration = EVERY_EPOCH, *, delete_checkpoint: bool = True
    ) -> None:
        super().__init__(save_freq, save_last=1)
        self.delete_checkpoint = delete_checkpoint
        self._failed = False

    def on_fit_start(self, run: Run) -> None:
        super().on_fit_start(run)
        self._failed = False

    def on_exception(self, run: Run, error: BaseException) -> None:
        self._failed = True

    def on_fit_end(self, run: Run) -> None:
        interrupted = self._failed or run.stop_reason is None or run.stop_now
        first = jaxcore.process_index() == 0
        if first and self.delete_checkpoint and not interrupted and run.dir is not None:
            shutil.rmtree(run.dir / "checkpoints", ignore_errors=True)
