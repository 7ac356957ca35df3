"""Statistics of batch normalisation, computed anew for weights they were not computed with."""

from __future__ import annotations

from typing import Any

import numpy as np

import jaxcore
from jaxcore import random, tree

from .data import Source
from .feed import Padder
from .model import Context, Model
from .objective import batch_rows
from .precision import Precision
from .state import State
from .task import Task


def update_batch_stats(task: Task, state: State, source: Source) -> State:
    """`state` with the "batch_stats" of its evaluation weights: their means over `source`.

    One pass in training mode, without gradients; every batch counts the same, short ones are left
    out if there are whole ones. A running statistic goes from s to m·s + (1 - m)·b, so two passes
    from s = 0 and s = 1 tell the batch's own b whatever the momentum m is.

    Args:
      task: its loss runs the model.
      state: its `eval_variables` are used.
      source: the training data.
    """

    @jaxcore.jit
    def one(state: State, batch: Any) -> Any:
        def after(value: float) -> Any:
            old = tree.map(lambda x: x * 0 + value, state.variables["batch_stats"])
            variables = {**state.eval_variables, "batch_stats": old}
            model = Model(
                task.model, variables, train=True, key=state.key,
                precision=Precision.of(task.precision),
            )  # fmt: skip
            key = random.fold_in(state.key, state.step)
            task.loss(model, batch, Context(True, state.step, key, batch_rows(batch)))
            return model.variables["batch_stats"]

        zero, ones = after(0.0), after(1.0)
        # zero = (1 - m)·b and ones = m + (1 - m)·b, so 1 - m = 1 + zero - ones.
        return tree.map(lambda a, c: a / (1 + a - c), zero, ones)

    padder = Padder(getattr(source, "batch_size", None))
    total: Any = None
    count = 0
    for batch in source.batches(0):
        padded = padder(batch)
        if padded.rows == 0 or (count and not padded.full):
            continue
        found = tree.map(lambda x: np.asarray(x, np.float64), one(state, padded.batch))
        total = found if total is None else tree.map(np.add, total, found)
        count += 1
    if total is None:
        return state
    stats = tree.map(
        lambda sum_, old: jaxcore.numpy.asarray(sum_ / count, old.dtype),
        total,
        state.variables["batch_stats"],
    )
    return state.replace(variables={**state.variables, "batch_stats": stats})
