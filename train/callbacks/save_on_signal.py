"""Saving before a machine is taken away, or when somebody presses Ctrl-C."""

from __future__ import annotations

import itertools
import os
import signal
import threading
from typing import Any

import jaxcore

from ..arguments import check_counts
from ..errors import TrainError, explain
from ..run import Run
from .base import Callback

_calls = itertools.count()  # by which processes agree: it grows by one a step, whatever is resumed


class SaveOnSignal(Callback):
    """On SIGTERM (a pre-empted machine) or Ctrl-C, finish the step, save, and end the run.

    The handler only sets a flag. After SIGTERM `fit` returns as usual, with the stop reason
    "received SIGTERM", or ends the process by `exit_code`; after Ctrl-C it raises
    KeyboardInterrupt. Both once everything is saved. A second signal does what it did without this
    callback: a second Ctrl-C ends the run at once.

    Where several processes train together, a signal to any of them ends all. JAX's runtime
    tells them, within about a second, and they agree on the step after which they save. It keeps
    SIGTERM for itself, so that a second one does nothing there.

    Args:
      signals: to heed.
      exit_code: what the process ends with after any signal but Ctrl-C, by SystemExit, so that
        what stands behind `fit` does not run on a half-trained model. 75 is what sendmail and
        others end with when they want to be tried again.
    """

    def __init__(
        self,
        signals: tuple[int, ...] = (signal.SIGTERM, signal.SIGINT),
        *,
        exit_code: int | None = None,
    ) -> None:
        check_counts(1, optional=True, exit_code=exit_code)
        self.signals = signals
        self.exit_code = exit_code
        self._received: int | None = None
        self._before: dict[int, Any] = {}
        self._several = False

    def on_fit_start(self, run: Run) -> None:
        if run.dir is None:
            raise TrainError(
                explain(
                    "SaveOnSignal has nowhere to save.",
                    got="Trainer(dir=None)",
                    expected="a directory for the run",
                    fix="write Trainer(dir='runs/first', ...).",
                )
            )
        self._received = None
        self._several = jaxcore.process_count() > 1
        own = self.signals
        if self._several:  # the runtime watches SIGTERM itself, on every process
            own = tuple(number for number in own if number != signal.SIGTERM)
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in own}

    def _note(self, number: int, frame: Any) -> None:
        self._received = number
        signal.signal(number, self._before[number])
        if self._several:  # so that the others hear of it
            os.kill(os.getpid(), signal.SIGTERM)

    def on_step_end(self, run: Run) -> None:
        received = self._received
        if self._several and not self._agreed():
            return
        if self._several and received is None:
            received = signal.SIGTERM
        if received is None:
            return
        run.request_save()
        run.request_stop(f"received {signal.Signals(received).name}", now=True)
        if received == signal.SIGINT:
            run.ending = KeyboardInterrupt()
        elif self.exit_code is not None:
            run.ending = SystemExit(self.exit_code)

    def _agreed(self) -> bool:
        from jaxcore.experimental import multihost_utils

        return multihost_utils.reached_preemption_sync_point(next(_calls))

    def on_fit_end(self, run: Run) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
