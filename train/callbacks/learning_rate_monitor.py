"""More rows, or more columns, about the optimiser's settings."""

from __future__ import annotations

from typing import Any

from ..arguments import check_choice
from ..history import Row
from ..run import Run
from .base import Callback


class LearningRateMonitor(Callback):
    """Log the learning rate of every step or at the end of every epoch, and what else is injected.

    Every row of the log has the rate that its last update used, without this callback; it asks for
    rows where there would be none, and adds columns.

    Args:
      logging_interval: "step", "epoch", or None for the rows there are.
      log_momentum: add "momentum", of `optax.inject_hyperparams` (its momentum, or b1).
      log_weight_decay: add "weight_decay", of `optax.inject_hyperparams`.

    >>> monitor = LearningRateMonitor("step", log_momentum=True)
    """

    def __init__(
        self,
        logging_interval: str | None = None,
        *,
        log_momentum: bool = False,
        log_weight_decay: bool = False,
    ) -> None:
        check_choice(
            (None, "step", "epoch"),
            "leave it out to log as often as everything else.",
            logging_interval=logging_interval,
        )
        self.logging_interval = logging_interval
        self._columns = {
            "momentum": ("momentum", "b1") if log_momentum else (),
            "weight_decay": ("weight_decay",) if log_weight_decay else (),
        }

    def on_step_end(self, run: Run) -> None:
        if self.logging_interval == "step" or (self.logging_interval and run.epoch_ended):
            run.request_log()

    def on_log(self, run: Run, row: Row) -> None:
        for column, names in self._columns.items():
            for group, value in _injected(run.state.opt_state, names).items():
                row[column if group == "**" else f"{column}/{group}"] = value


def _injected(opt_state: Any, names: tuple[str, ...]) -> dict[str, float]:
    found: dict[str, float] = {}

    def look(group: str, state: Any) -> None:
        values = getattr(state, "hyperparams", {})
        for name in names:
            if name in values:
                found.setdefault(group, float(values[name]))
        if isinstance(state, tuple):
            for part in state:
                look(group, part)

    if names:
        for group, state in opt_state.items():
            look(group, state)
    return found
