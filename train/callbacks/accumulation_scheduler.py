"""Another number of micro-batches from an epoch on."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import TrainError, explain
from ..plan import Plan
from .base import Callback


class GradientAccumulationScheduler(Callback):
    """Split batches into `scheduling[epoch]` micro-batches from that epoch on.

    Each number compiles once. The batch, and so the update, stays the same; only its memory
    changes.

    Args:
      scheduling: {epoch, counted from 0: micro-batches}; before the first one it is as the trainer
        says.

    >>> scheduler = GradientAccumulationScheduler({0: 8, 4: 4})
    """

    def __init__(self, scheduling: Mapping[int, int]) -> None:
        wrong = [(epoch, k) for epoch, k in scheduling.items() if epoch < 0 or k < 1]
        if not scheduling or wrong:
            raise TrainError(
                explain(
                    "`scheduling` says from which epoch on there are how many micro-batches.",
                    got=repr(dict(scheduling)),
                    expected="{epoch from 0 on: at least 1}",
                    fix="write GradientAccumulationScheduler({0: 8, 4: 4}).",
                )
            )
        self.scheduling = dict(sorted(scheduling.items()))

    def configure(self, plan: Plan, epoch: int) -> Plan:
        begun = [pieces for first, pieces in self.scheduling.items() if first <= epoch]
        return plan.change(accumulate=begun[-1]) if begun else plan
