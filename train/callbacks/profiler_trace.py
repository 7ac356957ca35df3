"""A trace of a few steps, for TensorBoard's profiler or Perfetto."""

from __future__ import annotations

import os
from pathlib import Path

import jaxcore
import jaxcore.profiler

from ..errors import TrainError, explain
from ..run import Run
from .base import Callback


class ProfilerTrace(Callback):
    """Record what the devices do from step `first` to step `last`, counted from 1.

    Begin after the first steps, which trace and compile.

    Args:
      first, last: steps, both included.
      path: where to write; by default "trace" in the run's directory.

    >>> trace = ProfilerTrace(10, 12)
    """

    def __init__(self, first: int, last: int, path: str | os.PathLike[str] | None = None) -> None:
        if not 1 < first <= last:
            raise TrainError(
                explain(
                    "A trace goes from one step to a later one, after the first.",
                    got=f"first={first}, last={last}",
                    expected="1 < first <= last",
                    fix="write ProfilerTrace(10, 12).",
                )
            )
        self.first = first
        self.last = last
        self.path = None if path is None else Path(path)
        self._tracing = False

    def on_fit_start(self, run: Run) -> None:
        if self.path is None and run.dir is None:
            raise TrainError(
                explain(
                    "ProfilerTrace has nowhere to write.",
                    got="Trainer(dir=None)",
                    expected="a directory for the run, or a path",
                    fix="write ProfilerTrace(10, 12, 'trace').",
                )
            )

    def on_step_end(self, run: Run) -> None:
        if not self._tracing and run.before.step < self.first - 1 <= run.step < self.last:
            jaxcore.block_until_ready(run.state)
            jaxcore.profiler.start_trace(self.path or run.dir / "trace")  # type: ignore[operator]
            self._tracing = True
        elif self._tracing and run.step >= self.last:
            self._stop(run)

    def on_fit_end(self, run: Run) -> None:
        if self._tracing:
            self._stop(run)

    def _stop(self, run: Run) -> None:
        jaxcore.block_until_ready(run.state)
        jaxcore.profiler.stop_trace()
        self._tracing = False
