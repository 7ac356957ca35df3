"""A checkpoint of a run that an error ends."""

from __future__ import annotations

import jaxcore

from ..run import Run
from .base import Callback


class OnExceptionCheckpoint(Callback):
    """When an error ends the run, save the state after the newest step, and let the error go on.

    `resume="auto"` then goes on from there: exactly, if the error came from the data or the step
    itself; after an error of a callback, what that step still had to do (a row, a validation) is
    not done again. A state that was lost with the error, in the midst of a step that consumed it,
    cannot be saved; a note on the error says so. Of several processes none saves, since the others
    may be waiting elsewhere.

    >>> from jaxcore import train
    >>> callbacks = [OnExceptionCheckpoint(), train.ModelCheckpoint()]
    """

    def on_exception(self, run: Run, error: BaseException) -> None:
        if run.dir is not None and jaxcore.process_count() == 1:
            run.request_save()
