"""Averages of the parameters over the steps, kept inside the compiled step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jaxcore.numpy as jnp
from jaxcore import tree

from .arguments import check_counts
from .errors import TrainError, explain


@dataclass(frozen=True)
class Average:
    """How parameters are averaged: exponentially, or with equal weights if `decay` is None.

    The first update copies the parameters, so nothing of the initial values stays in the average.
    Validation, tests and predictions use the average as soon as there is one, and the parameters
    themselves before.

    Attributes:
      decay: weight of the past, such as 0.999; None for the plain mean.
      every: steps between updates.
      start: the step, counted from 0, after which the first update is made.
      warmup: begin with the smaller weight (1 + n) / (10 + n) after n updates, while it is smaller.

    >>> task = {"average": Average(decay=0.99, start=100)}
    """

    decay: float | None = 0.999
    every: int = 1
    start: int = 0
    warmup: bool = False

    def __post_init__(self) -> None:
        if self.decay is not None and not 0 <= self.decay < 1:
            raise TrainError(
                explain(
                    "`decay` is the weight of the past.",
                    got=repr(self.decay),
                    expected="a number in [0, 1), or None for the plain mean",
                    fix="write decay=0.999.",
                )
            )
        check_counts(1, every=self.every)
        check_counts(0, start=self.start)

    def update(self, now: Averaged, params: Any, step: Any, ok: Any = True) -> Averaged:
        """The average after a step.

        Args:
          now: the average so far.
          params: the parameters after the step.
          step: number of the step, counted from 0.
          ok: whether the step was taken; a skipped one leaves the average as it was.
        """
        due = (step >= self.start) & ((step - self.start) % self.every == 0) & ok
        first = now.count == 0

        def one(old: Any, rest: Any, new: Any) -> tuple[Any, Any]:
            new, wide = new.astype(old.dtype), rest.astype(old.dtype)
            add = self._share(now.count.astype(old.dtype)) * ((new - old) - wide) + wide
            total = jnp.where(first, new, old + add)
            lost = jnp.where(first, 0, add - (total - old))  # what rounding took, for next time
            return jnp.where(due, total, old), jnp.where(due, lost.astype(rest.dtype), rest)

        pairs = tree.map(one, now.params, now.rest, params)
        averages = tree.map(lambda _, pair: pair[0], params, pairs)
        rest = tree.map(lambda _, pair: pair[1], params, pairs)
        return Averaged(averages, jnp.where(due, now.count + 1, now.count), rest)

    def _share(self, count: Any) -> Any:
        """The weight of the next value after `count` updates: what 1 - decay is in float64."""
        if self.decay is None:
            return 1 / (count + 1)
        share = jnp.asarray(1 - self.decay, count.dtype)
        return jnp.maximum(share, 9 / (10 + count)) if self.warmup else share


_REST = jnp.bfloat16  # eight more bits for the averages: the error of a thousand updates, and less


class Averaged(NamedTuple):
    """Averages of the trained parameters.

    Attributes:
      params: the averages, at least float32.
      count: the updates made.
      rest: what `params` has no digits for, in bfloat16. Without it the small changes of a slow
        average would be lost one by one: at decay 0.9999 it would stop before it arrives.
    """

    params: Any
    count: Any
    rest: Any

    @classmethod
    def start(cls, params: Any) -> Averaged:
        """Before the first update; `params` gives shapes, and values that are never used."""

        def wide(x: Any) -> Any:
            return jnp.array(x, jnp.promote_types(x.dtype, jnp.float32))

        rest = tree.map(lambda x: jnp.zeros(x.shape, _REST), params)
        return cls(tree.map(wide, params), jnp.zeros((), jnp.int32), rest)

    def into(self, params: Any) -> Any:
        """`params` with the averages in place, once there are any."""
        return _over(params, self.params, self.count > 0)


def _over(params: Any, averages: Any, ready: Any) -> Any:
    if not isinstance(averages, Mapping):
        return jnp.where(ready, averages.astype(params.dtype), params)
    new = {key: _over(params[key], value, ready) for key, value in averages.items()}
    return {**params, **new}
