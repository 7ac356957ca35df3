"""`Repeat`: one block many times, with stacked parameters, as a loop."""

from __future__ import annotations

from typing import Any

import jaxcore.numpy as jnp
from jaxcore import lax, random, tree

from . import scope
from .dtypes import as_array
from .errors import InputError, ParameterShapeError, where
from .module import Module
from .scope import Frame
from .state import Path


class Repeat(Module):
    """``x = block(x)``, `n` times, each time with its own parameters.

    The parameters are stacked along a new first axis under ``block``, so the program holds one
    block whatever `n` is. Every repetition draws its own random numbers; state such as running
    averages, and sown values, are stacked likewise. Further arguments are the same every time.

    Args:
      block: ``x -> x``, of one structure, shape and dtype.
      n: how often.
      unroll: how many repetitions one turn of the loop does.

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn, random
    >>> deep = nn.Repeat(nn.Dense(4), 8)
    >>> deep.init(random.key(0), jnp.ones((2, 4)))["params"]["block"]["kernel"].shape
    (8, 4, 4)
    """

    block: Module
    n: int
    unroll: int = 1

    def __call__(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(self.n, int) or self.n < 1:
            raise InputError(
                f"{where(self.path, 'Repeat')}: n={self.n!r}. Expected a positive integer."
            )
        frame = self._frame("__call__")
        x = tree.map(as_array, x)
        if frame.run.plan is not None:
            return self._planned(frame, x, args, kwargs)
        return self._looped(frame, x, args, kwargs)

    def _planned(self, frame: Frame, x: Any, args: Any, kwargs: Any) -> Any:
        """Finds the structure from one call; the variables it plans get `n` in front."""
        plan = frame.run.plan
        outer, plan.lifts = plan.lifts, (*plan.lifts, self.n)
        try:
            out = self.block(x, *args, **kwargs)
        finally:
            plan.lifts = outer
        self._check(x, out)
        return out

    def _looped(self, frame: Frame, x: Any, args: Any, kwargs: Any) -> Any:
        run = frame.run
        under = scope.child_path(self.block)
        given, prepared = run.leaves(under)
        for path, value in (*given.items(), *prepared.items()):
            if jnp.shape(value)[:1] != (self.n,):
                raise ParameterShapeError(
                    f"{where(self.path, 'Repeat')}: '{'/'.join(path)}' has shape "
                    f"{jnp.shape(value)}. Expected {self.n} layers stacked along the first axis."
                )
        keys = {name: random.split(key, self.n) for name, key in frame.stream_keys().items()}
        outer, count = frame.keys, frame.count
        written: list[Path] = []

        def body(carry: Any, stacked: Any) -> Any:
            given_now, prepared_now, frame.keys = stacked
            frame.count = count
            options = {
                "given": dict(zip(given, given_now, strict=True)),
                "prepared": dict(zip(prepared, prepared_now, strict=True)),
            }
            with run.layer(under=under, **options) as layer:
                out = self.block(carry, *args, **kwargs)
            self._check(carry, out)
            written[:] = layer.values
            return out, list(layer.values.values())

        try:
            stacks = (list(given.values()), list(prepared.values()), keys)
            x, values = lax.scan(body, x, stacks, length=self.n, unroll=self.unroll)
        finally:
            frame.keys = outer
        for path, value in zip(written, values, strict=True):
            run.put(path, value, "Repeat")
        return x

    def _check(self, x: Any, out: Any) -> None:
        types = [tree.map(lambda v: (jnp.shape(v), jnp.result_type(v).name), t) for t in (x, out)]
        if types[0] != types[1]:
            raise InputError(
                f"{where(self.path, 'Repeat')}: the block maps {types[0]} to {types[1]}. Expected "
                "the same shape and dtype, since its output is its next input; leave first and "
                "last layers that change the width outside of Repeat."
            )
