"""`Plan`: what the compiled step of an epoch is made from."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

from jaxcore import nn, random, tree

from .averaging import Averaged
from .paths import leaf_paths
from .state import State
from .step import init_state
from .task import Task


class Plan(NamedTuple):
    """The task as it is trained in an epoch, and how many micro-batches a step has.

    Callbacks change it by `configure(plan, epoch)`, a function of its arguments alone, so that a
    resumed run has the plans of the one that was interrupted.
    """

    task: Task
    accumulate: int = 1

    def change(self, *, accumulate: int | None = None, **fields: Any) -> Plan:
        """A copy with other fields of the task, or another number of micro-batches."""
        task = dataclasses.replace(self.task, **fields) if fields else self.task
        return Plan(task, self.accumulate if accumulate is None else accumulate)

    def same(self, other: Plan) -> bool:
        """Whether both make the same step, so that nothing has to be compiled again."""
        if self.accumulate != other.accumulate or type(self.task) is not type(other.task):
            return False
        names = [field.name for field in dataclasses.fields(self.task)]
        return all(_equal(getattr(self.task, n), getattr(other.task, n)) for n in names)


def _equal(a: Any, b: Any) -> bool:
    if a is b:
        return True
    try:
        return bool(type(a) is type(b) and a == b)
    except (TypeError, ValueError):  # arrays
        return False


def carry_over(state: State, task: Task, example: Any) -> State:
    """A state for another plan of the same model.

    What the optimiser of a group and the average know of a parameter is kept by its path, shape and
    dtype; what is new begins as in a new run. So parameters that join a running group of Adam begin
    with its count: give them a group of their own.
    """
    fresh = init_state(task, random.key(0), example, state.variables)
    kept = dict(leaf_paths(state.opt_state))
    leaves = [
        kept[path] if path in kept and _type(kept[path]) == _type(leaf) else leaf
        for path, leaf in leaf_paths(fresh.opt_state)
    ]
    average = fresh.average
    if average is not None and state.average is not None:
        wanted = [path for path, _ in leaf_paths(average.params)]

        def known(fresh: Any, stored: Any) -> Any:
            old, _ = nn.partition(stored, wanted)
            paths = [path for path, _ in leaf_paths(old)]
            return nn.merge(nn.partition(fresh, paths)[1] if paths else fresh, old)

        # Leaves that were frozen until now have been constant, so they are their own average.
        average = Averaged(
            known(average.params, state.average.params),
            state.average.count,
            known(average.rest, state.average.rest),
        )
    return state.replace(
        opt_state=tree.unflatten(tree.structure(fresh.opt_state), leaves),
        average=average,
        loss_scale=state.loss_scale if task.precision == "16-mixed" else None,
    )


def _type(leaf: Any) -> Any:
    return leaf.shape, leaf.dtype
