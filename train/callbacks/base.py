"""`Callback`: everything optional in a run is one of these."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..history import Row
from ..run import Run


class Callback:
    """Override what you need; each method gets the `Run`.

    After every step the loop does, in this order: `on_step_end`; validation, if due or requested;
    a row of the log, if due or requested, and `on_log`; the decision to stop, and `on_stop`; a
    checkpoint, if requested, and `on_save`.
    """

    def on_fit_start(self, run: Run) -> None:
        """Once the state is there, fresh or restored, before the first step."""

    def on_step_end(self, run: Run) -> None:
        """After every step. Reading `run.state` here waits for the device: do it rarely."""

    def on_log(self, run: Run, row: Row) -> None:
        """After a row went into the history; it has the validation's metrics if there was one."""

    def on_stop(self, run: Run) -> None:
        """When the run will end after this step; `run.stop_reason` says why."""

    def on_save(self, run: Run, path: Path) -> None:
        """After a checkpoint was written to `path`."""

    def on_fit_end(self, run: Run) -> None:
        """At the very end, also after an error."""

    def state(self) -> dict[str, Any]:
        """What a checkpoint should hold of this callback: counters, never settings; JSON only."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""


def named(callbacks: Sequence[Callback]) -> dict[str, Callback]:
    """Callbacks by the names under which checkpoints keep their state.

    >>> list(named([Callback(), Callback()]))
    ['Callback', 'Callback_1']
    """
    names: dict[str, Callback] = {}
    for callback in callbacks:
        base = type(callback).__name__
        count = sum(type(other).__name__ == base for other in names.values())
        names[f"{base}_{count}" if count else base] = callback
    return names
