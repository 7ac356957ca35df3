"""Checkpoints written in the background, while the next steps run."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .checkpoint import save_checkpoint
from .storage import snapshot


class Saver:
    """Writes one checkpoint at a time in a thread of its own.

    The state is copied to the host before `save` returns, since the next step consumes it. A save
    waits for the one before, so there is never more than one copy. What goes wrong in the thread
    is raised by the next call of `done`, `save` or `wait`.

    Args:
      background: False writes before `save` returns.
    """

    def __init__(self, background: bool = True) -> None:
        self.background = background
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._path: Path | None = None

    def save(self, path: Path, state: Any, info: Mapping[str, Any]) -> list[Path]:
        """Begin to write a checkpoint; returns those that have been finished meanwhile."""
        finished = self.wait()
        arrays = snapshot(state)  # in every process: parts may lie in all of them
        self._path = path
        self._thread = threading.Thread(
            target=self._write, args=(path, arrays, info), name="jaxcore-checkpoint", daemon=True
        )  # the loop waits for it; a process that is told to end at once does not
        self._thread.start()
        return finished if self.background else [*finished, *self.wait()]

    @property
    def busy(self) -> bool:
        """Whether a checkpoint has been begun of which nobody knows yet that it is finished."""
        return self._thread is not None

    def done(self) -> list[Path]:
        """Checkpoints finished since the last call, without waiting."""
        if self._thread is None or self._thread.is_alive():
            return []
        return self.wait()

    def wait(self, patience: float | None = None) -> list[Path]:
        """Checkpoints finished since the last call, after waiting for the one being written.

        Raises:
          TimeoutError: it is not finished after `patience` seconds.
        """
        if self._thread is None:
            return []
        self._thread.join(patience)
        if self._thread.is_alive():
            raise TimeoutError(f"{self._path} was not whole after {patience:g} seconds")
        self._thread, path = None, self._path
        error, self._error = self._error, None
        if error is not None:
            raise error
        return [] if path is None else [path]

    def _write(self, path: Path, arrays: Any, info: Mapping[str, Any]) -> None:
        try:
            save_checkpoint(path, arrays, info)
        except BaseException as error:  # raised again in the thread of the run
            self._error = error
