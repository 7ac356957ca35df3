"""The end of a run that has stopped learning."""

from __future__ import annotations

from typing import Any

from ..arguments import check_counts
from ..errors import TrainError, explain
from ..history import Row
from ..not_finite import not_finite
from ..run import Run
from .base import Callback


class TerminateOnNaN(Callback):
    """End a run, with an error, whose losses or gradients are all NaN or infinite.

    Single steps of that kind are skipped and counted by the step itself; this watches for a run
    that no longer learns at all. The error names what is not finite (of the batch, the parameters
    and the gradient, by their paths) and the line that made it, as `not_finite` finds them; of data
    that can be read only once it cannot.

    Args:
      limit: consecutive skipped steps that are too many; 1 ends the run at the first row with one.
    """

    def __init__(self, limit: int = 50) -> None:
        check_counts(1, limit=limit)
        self.limit = limit
        self._logged: int | None = None
        self._skipped = 0

    def on_setup(self, run: Run) -> None:
        self._logged, self._skipped = None, 0

    def on_fit_start(self, run: Run) -> None:
        if self._logged is None:  # nothing was restored
            self._logged = run.step

    def on_log(self, run: Run, row: Row) -> None:
        assert self._logged is not None
        window, self._logged = run.step - self._logged, run.step
        skipped = max((v for n, v in row.items() if n.rsplit("/", 1)[-1] == "skipped"), default=0)
        self._skipped = self._skipped + window if skipped >= window else 0
        if self._skipped >= self.limit:
            where = _where(run)
            raise TrainError(
                explain(
                    f"The last {self._skipped} steps had a loss or gradient that is not finite.",
                    got=f"loss {row.get('loss')}, gradient norm {row.get('gradient_norm')}",
                    expected="finite numbers",
                    fix="lower the learning rate, clip (optax.clip_by_global_norm(1.0)), or look "
                    "for log(0), 0/0, overflowing exponentials in the loss, and labels beyond the "
                    "classes. The state is the last good one.",
                )
                + (f"\n{where}" if where else "")
            )

    def state(self) -> dict[str, Any]:
        return {"logged": self._logged, "skipped": self._skipped}

    def restore(self, state: dict[str, Any]) -> None:
        self._logged, self._skipped = state["logged"], state["skipped"]


def _where(run: Run) -> str:
    """What is not finite in the step of the last batch, if that can be read again."""
    try:
        batch = run.batch_again()
        task = run.task if run.plan is None else run.plan.task
        return "" if batch is None else not_finite(task, run.state, batch)
    except Exception as error:  # the run ends by the error above, not by this one
        return f"where it came from could not be found: {type(error).__name__}: {error}"
