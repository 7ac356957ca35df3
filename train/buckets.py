"""Batches of changing lengths, filled up to a few sizes so that a few programs serve them all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxcore import Bucket, tree
from jaxcore.bucket import Buckets, Plan, fill

from .errors import TrainError
from .paths import leaf_paths

Rules = Mapping[str, Mapping[int, str] | Bucket]


class BatchBuckets:
    """Fills up the axes of batches that `rules` name by the paths of their items.

    >>> buckets = BatchBuckets({"tokens": Bucket({1: "length"}, pad=-1)})
    >>> buckets.fill({"tokens": np.zeros((2, 5), np.int32)})["tokens"][0].tolist()
    [0, 0, 0, 0, 0, -1, -1, -1]
    """

    def __init__(self, rules: Rules) -> None:
        try:
            self._buckets = Buckets("Trainer", rules)
        except (TypeError, ValueError) as error:
            raise TrainError(str(error)) from None
        for path, rule in self._buckets.rules.items():
            if 0 in rule.axes:
                raise TrainError(
                    f"Trainer: buckets[{path!r}] names axis 0, which holds the rows of a batch. "
                    "Fix: leave it out; short batches are filled up anyway."
                )
        self._plans: dict[Any, Plan] = {}

    def _plan(self, batch: Any) -> Plan:
        structure = tree.structure(batch)
        plan = self._plans.get(structure)
        if plan is None:
            plan = self._buckets.plan([path for path, _ in leaf_paths(batch)])
            unused = self._buckets.unused(plan)
            if unused:
                raise TrainError(
                    f"Trainer: buckets names {', '.join(map(repr, unused))}, and the batch has "
                    f"{', '.join(map(repr, plan.paths))}. Fix: use the paths of its arrays, "
                    'joined by "/".'
                )
            self._plans[structure] = plan
        return plan

    def fill(self, batch: Any) -> Any:
        """`batch` with the named axes at the next size of their dimension."""
        plan, (leaves, structure) = self._plan(batch), tree.flatten(batch)
        try:
            sizes = self._buckets.rounded(self._buckets.sizes(plan, leaves))
            return tree.unflatten(structure, self._buckets.filled(plan, leaves, sizes, fill))
        except ValueError as error:
            raise TrainError(str(error)) from None

    def forms(self, batch: Any) -> list[tuple[Any, ...]]:
        """The shapes of the arrays, with the name of a dimension in place of its size."""
        shapes: list[list[Any]] = [list(np.shape(x)) for x in tree.leaves(batch)]
        for i, rule in self._plan(batch).leaves:
            for axis, name in rule.axes.items():
                shapes[i][axis] = name
        return [tuple(shape) for shape in shapes]
