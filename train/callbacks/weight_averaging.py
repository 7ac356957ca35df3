"""Averages of the parameters by callback: what `Task.average` says, for a task that does not."""

from __future__ import annotations

from ..arguments import check_counts
from ..averaging import Average
from ..errors import TrainError, explain
from ..plan import Plan
from ..run import Run
from .base import Callback


class WeightAveraging(Callback):
    """Average the parameters as `average` says; see `Average`.

    >>> callback = WeightAveraging(Average(None, every=10))
    """

    def __init__(self, average: Average) -> None:
        self.average = average

    def configure(self, plan: Plan, epoch: int) -> Plan:
        return plan if plan.task.average is self.average else plan.change(average=self.average)


class EMAWeightAveraging(WeightAveraging):
    """Validate, test and predict with an exponential average of the parameters.

    The training goes on with the parameters themselves. Before the first update the average does
    not exist, and nothing uses it.

    Args:
      decay: weight of the past.
      update_every_n_steps: steps between updates.
      update_starting_at_step, update_starting_at_epoch: when the first update is made, counted
        from 0; at most one of them.

    >>> callback = EMAWeightAveraging(decay=0.9999, update_starting_at_epoch=2)
    """

    def __init__(
        self,
        *,
        decay: float = 0.999,
        update_every_n_steps: int = 1,
        update_starting_at_step: int | None = None,
        update_starting_at_epoch: int | None = None,
    ) -> None:
        if update_starting_at_step is not None and update_starting_at_epoch is not None:
            raise TrainError(
                explain(
                    "The average begins twice.",
                    got="update_starting_at_step and update_starting_at_epoch",
                    expected="one of them, or none",
                    fix="leave one out.",
                )
            )
        check_counts(
            0,
            optional=True,
            update_starting_at_step=update_starting_at_step,
            update_starting_at_epoch=update_starting_at_epoch,
        )
        check_counts(1, update_every_n_steps=update_every_n_steps)
        super().__init__(Average(decay, update_every_n_steps, update_starting_at_step or 0))
        self.epoch = update_starting_at_epoch

    def on_setup(self, run: Run) -> None:
        if self.epoch is not None:
            start = self.epoch * steps_of_epoch(run, "EMAWeightAveraging")
            self.average = Average(self.average.decay, self.average.every, start)


def steps_of_epoch(run: Run, who: str) -> int:
    """The steps of an epoch, or a `TrainError` if nobody knows them."""
    if run.steps_per_epoch is None:
        raise TrainError(
            explain(
                f"{who} counts in epochs.",
                got="data of unknown length",
                expected="data with `steps_per_epoch` or a length",
                fix="count in steps, or give data that has a length.",
            )
        )
    return run.steps_per_epoch
