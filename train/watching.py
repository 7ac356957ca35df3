"""What can be looked at inside the compiled step: gradients and updates, which never leave it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import lax, tree

from .errors import TrainError, explain
from .metrics import Last, Mean, Metric, Sum
from .units import Steps


class Inside(NamedTuple):
    """A step as it is computed, for `Callback.inside_step` and `Task(watch=...)`.

    Attributes:
      step: int32 scalar, the number of steps done before this one.
      loss: the mean loss of the batch.
      params: the trained parameters before the update, by their paths.
      gradient: theirs, before clipping.
      updates: what is added to them.
      name: of the loss, where a task descends on several.
    """

    step: Any
    loss: Any
    params: Any
    gradient: Any
    updates: Any
    name: str = ""


Watcher = Callable[[Inside], Mapping[str, Any]]


def watched(watchers: Iterable[Watcher], inside: Inside) -> dict[str, Metric]:
    """The metrics that watchers make of a step.

    Raises:
      TrainError: one that is neither a scalar nor a metric.
    """
    found: dict[str, Metric] = {}
    for watcher in watchers:
        for name, value in watcher(inside).items():
            if not isinstance(value, Mean | Sum | Last):
                if jnp.ndim(value):
                    raise TrainError(
                        explain(
                            f"`{name}` of a watched step is no number.",
                            got=f"shape {jnp.shape(value)}",
                            expected="a scalar, or a Mean, Sum or Last",
                            fix="reduce it: jnp.mean(x), jnp.max(x), or a norm.",
                        )
                    )
                value = Mean(jnp.asarray(value, jnp.float32), jnp.float32(1))
            found[name] = value
    return found


def at_steps(every: Steps, inside: Inside, make: Callable[[], dict[str, Any]]) -> dict[str, Mean]:
    """`make()` at multiples of `every` alone, when the step is done: at others it costs nothing.

    The mean over a row is that of the steps it was made at; of a row without any it is NaN.
    """
    due = (inside.step + 1) % every.count == 0
    numbers = lambda: {name: jnp.asarray(x, jnp.float32) for name, x in make().items()}
    shapes = jaxcore.eval_shape(numbers)
    zeros = lambda: tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    weight = jnp.where(due, jnp.float32(1), jnp.float32(0))
    return {name: Mean(value, weight) for name, value in lax.cond(due, numbers, zeros).items()}
