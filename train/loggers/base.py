"""`Logger`: writes rows of the history somewhere, in a thread, and never ends a run."""

from __future__ import annotations

import os
import queue
import threading
import warnings
from collections.abc import Sequence
from pathlib import Path

import jaxcore

from ..callbacks.base import Callback
from ..errors import TrainError, explain
from ..history import Row
from ..run import Run


class Logger(Callback):
    """Override `open`, `write` and `close`; rows reach `write` in order, in a background thread.

    All loggers of a run share one thread. One that raises is left out from then on, with a
    warning; training goes on. Loggers hear of a row after all other callbacks, which may have
    added columns to it.

    >>> class Print(Logger):
    ...     def write(self, row):
    ...         print(row["step"])
    """

    _writer: Writer | None = None

    def open(self, run: Run, rows: Sequence[Row]) -> None:
        """Begin to write, before the first step. `rows` are those of the run that is resumed.

        What an interrupted run wrote after its last checkpoint will be logged again: begin anew
        with `rows`.
        """

    def write(self, row: Row) -> None:
        """Write one row."""

    def close(self) -> None:
        """Finish, after the last row."""

    def on_fit_start(self, run: Run) -> None:
        if jaxcore.process_index() > 0:
            return  # the first process writes for all
        self._writer = _writer_of(run)
        self._writer.begin(self, run)

    def on_log(self, run: Run, row: Row) -> None:
        if self._writer is not None:
            self._writer.put(self, dict(row))

    def on_fit_end(self, run: Run) -> None:
        if self._writer is not None:
            self._writer.end(self)
            self._writer = None


def _writer_of(run: Run) -> Writer:
    if run.writer is None:
        run.writer = Writer()
    return run.writer


class Writer:
    """The thread that writes for all loggers of a run, ten times a second at most.

    It needs the interpreter, as the steps do; rows that wait for each other take it less often.
    """

    def __init__(self) -> None:
        self._rows: queue.Queue[tuple[Logger, Row] | None] = queue.Queue(1024)
        self._open: set[Logger] = set()
        self._failures: list[tuple[Logger, Exception]] = []
        self._hurry = threading.Event()
        self._thread = threading.Thread(target=self._work, name="jaxcore-log", daemon=True)

    def begin(self, logger: Logger, run: Run) -> None:
        try:
            logger.open(run, list(run.history.rows))
            self._open.add(logger)
            if self._thread.ident is None:  # it lives from the first open logger to the last
                self._thread.start()
        except OSError as error:
            self._failures.append((logger, error))
        self._warn()

    def put(self, logger: Logger, row: Row) -> None:
        if logger in self._open:
            self._rows.put((logger, row))
        self._warn()

    def end(self, logger: Logger) -> None:
        """Wait for the rows, close a logger, and after the last one end the thread."""
        self._hurry.set()
        self._rows.join()
        self._hurry.clear()
        if logger in self._open:
            self._open.discard(logger)
            try:
                logger.close()
            except Exception as error:
                self._failures.append((logger, error))
        if not self._open and self._thread.is_alive():
            self._rows.put(None)
            self._thread.join()
        self._warn()

    def _warn(self) -> None:
        while self._failures:
            logger, error = self._failures.pop(0)
            warnings.warn(
                f"{type(logger).__name__} failed and writes no more; training goes on. "
                f"{type(error).__name__}: {error}",
                stacklevel=4,
            )

    def _work(self) -> None:
        while (item := self._rows.get()) is not None:
            logger, row = item
            if self._rows.empty():
                self._hurry.wait(0.1)
            try:
                if logger in self._open:
                    logger.write(row)
            except Exception as error:
                self._open.discard(logger)
                self._failures.append((logger, error))
            finally:
                self._rows.task_done()
        self._rows.task_done()


def target(run: Run, path: str | os.PathLike[str] | None, name: str, who: str) -> Path:
    """Where a logger writes: `path`, or `name` in the run's directory."""
    if path is not None:
        return Path(path)
    if run.dir is None:
        raise TrainError(
            explain(
                f"{who} has nowhere to write.",
                got=f"Trainer(dir=None) and {who}()",
                expected="a directory for the run, or a path",
                fix=f"write Trainer(dir='runs/first') or {who}(path={name!r}).",
            )
        )
    return run.dir / name
