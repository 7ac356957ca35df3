"""A voice for runs that hang."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

import jaxcore

from ..arguments import check_counts, check_numbers
from ..history import Row
from ..metrics import Metrics
from ..run import Evaluation, Run
from .base import Callback


class Watchdog(Callback):
    """When a run has not moved on for a while, say where it stands, and end it if asked to.

    A run moves on with every step, row, checkpoint and batch of a validation. Where none of them
    has come for `timeout` seconds, a line with the phase of the run ("data", "device", "validate"
    ...) and the stack of every thread go to the standard error, and to "watchdog.txt" in the run's
    directory ("watchdog-1.txt" of process 1); once, until the run moves on. What compiles has
    `compile_timeout` instead: the first call of each step, and the first batch that is validated.

    Args:
      timeout: seconds, more than the slowest callback and save take, and than thirty steps: so
        many may wait for the device while `fit` goes on.
      compile_timeout: seconds, more than the slowest compilation takes.
      exit_code: what to end the process with then, for whoever starts it again; None goes on
        waiting. Nothing is saved, as it is not known what hangs: the newest checkpoint is the one
        to go on from. Of several processes the others miss this one, and end too.

    >>> watchdog = Watchdog(300, exit_code=75)
    """

    def __init__(
        self,
        timeout: float = 600.0,
        *,
        compile_timeout: float = 3600.0,
        exit_code: int | None = None,
    ) -> None:
        check_numbers(0, open=True, timeout=timeout, compile_timeout=compile_timeout)
        check_counts(1, optional=True, exit_code=exit_code)
        self.timeout = timeout
        self.compile_timeout = compile_timeout
        self.exit_code = exit_code
        self._run: Run | None = None
        self._moved = 0.0  # when, by the clock that does not jump
        self._validated = False  # whether a batch was validated, so that this is compiled
        self._told = False
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def alive(self) -> None:
        """Say that the run moves on, from what takes long and is none of the above."""
        self._moved, self._told = time.monotonic(), False

    def on_fit_start(self, run: Run) -> None:
        self._run, self._validated, self._over = run, False, threading.Event()
        self.alive()
        self._thread = threading.Thread(target=self._watch, name="jaxcore-watchdog", daemon=True)
        self._thread.start()

    def on_step_end(self, run: Run) -> None:
        self.alive()

    def on_validation_batch_end(
        self, evaluation: Evaluation, batch: Any, metrics: Metrics, number: int
    ) -> None:
        self._validated = True
        self.alive()

    def on_log(self, run: Run, row: Row) -> None:
        self.alive()

    def on_save(self, run: Run, path: Path) -> None:
        self.alive()

    def on_fit_end(self, run: Run) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        self._run = self._thread = None

    def _watch(self) -> None:
        wait = self.timeout
        while not self._over.wait(wait):
            wait = self._look()

    def _look(self) -> float:
        """Tell, if it is time to; returns the seconds until the next look."""
        still = time.monotonic() - self._moved
        left = self._patience() - still
        if left <= 0 and not self._told:
            self._told = True
            self._tell(still)
        return min(left, self.timeout) if left > 0 else self.timeout

    def _patience(self) -> float:
        assert self._run is not None
        phase = self._run.phases.current
        compiles = phase == "compile" or (phase == "validate" and not self._validated)
        return max(self.timeout, self.compile_timeout) if compiles else self.timeout

    def _tell(self, still: float) -> None:
        run = self._run
        assert run is not None
        who = "the run"
        if jaxcore.process_count() > 1:
            who = f"process {jaxcore.process_index()} of {jaxcore.process_count()}"
        text = (
            f"Watchdog: {who} has not moved on for {still:.0f} s, since step {run.step}, in the "
            f"phase {run.phases.current!r}. Its threads:\n\n{_stacks()}"
        )
        if self.exit_code is not None:
            text += f"Watchdog: ending the process with code {self.exit_code}.\n"
        sys.stderr.write(text)
        sys.stderr.flush()
        if run.dir is not None:  # by a thread, as it may be the disk that hangs
            writing = threading.Thread(target=_append, args=(run.dir, text), daemon=True)
            writing.start()
            writing.join(min(self.timeout, 10.0))
        if self.exit_code is not None:
            os._exit(self.exit_code)


def _stacks() -> str:
    """The stacks of all threads but this one, the main thread's first."""
    threads = {thread.ident: thread for thread in threading.enumerate()}
    main, mine, found = threading.main_thread().ident, threading.get_ident(), []
    for ident, frame in sorted(sys._current_frames().items(), key=lambda item: item[0] != main):
        if ident != mine:
            name = threads[ident].name if ident in threads else f"thread {ident}"
            found.append(f"{name}:\n{''.join(traceback.format_stack(frame))}\n")
    return "".join(found)


def _append(run_dir: Path, text: str) -> None:
    process = jaxcore.process_index()
    with contextlib.suppress(OSError):  # it was told on the standard error
        path = run_dir / (f"watchdog-{process}.txt" if process else "watchdog.txt")
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")
