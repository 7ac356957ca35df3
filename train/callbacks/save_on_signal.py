"""Saving before a machine is taken away, or when somebody presses Ctrl-C."""

from __future__ import annotations

import signal
import threading
from typing import Any

import jaxcore

from ..run import Run
from .base import Callback


class SaveOnSignal(Callback):
    """On SIGTERM (a pre-empted machine) or Ctrl-C, finish the step, save, and end the run.

    After SIGTERM `fit` returns as usual, with the stop reason "received SIGTERM"; after Ctrl-C it
    raises KeyboardInterrupt once everything is saved. The handler only sets a flag. A second signal
    does what it did without this callback: a second Ctrl-C ends the run at once.

    Where several processes train together, they agree on the step after which they save and end.
    """

    def __init__(self, signals: tuple[int, ...] = (signal.SIGTERM, signal.SIGINT)) -> None:
        self.signals = signals
        self._received: int | None = None
        self._before: dict[int, Any] = {}
        self._several = False

    def on_fit_start(self, run: Run) -> None:
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

    def on_step_end(self, run: Run) -> None:
        received = self._received
        if self._several:
            from jaxcore.experimental import multihost_utils

            if multihost_utils.reached_preemption_sync_point(run.step):
                received = signal.SIGTERM
        if received is not None:
            run.request_save()
            run.request_stop(f"received {signal.Signals(received).name}", now=True)

    def on_fit_end(self, run: Run) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
