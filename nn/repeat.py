"""`Repeat`: one block many times, with stacked parameters, as a loop."""

from __future__ import annotations

from typing import Any

import jaxcore.numpy as jnp
from jaxcore import lax, tree

from .dtypes import as_array
from .errors import InputError, where
from .lift import Stacked, planned
from .module import Module


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
            with planned(frame, self.n):
                out = self.block(x, *args, **kwargs)
            self._check(x, out)
            return out
        stacked = Stacked(frame, self.block, self.n)

        def body(carry: Any, values: Any) -> Any:
            out, written = stacked.call(values, lambda: self.block(carry, *args, **kwargs))
            self._check(carry, out)
            return out, written

        x, written = lax.scan(body, x, stacked.values, length=self.n, unroll=self.unroll)
        stacked.write(written)
        return x

    def _check(self, x: Any, out: Any) -> None:
        types = [tree.map(lambda v: (jnp.shape(v), jnp.result_type(v).name), t) for t in (x, out)]
        if types[0] != types[1]:
            raise InputError(
                f"{where(self.path, 'Repeat')}: the block maps {types[0]} to {types[1]}. Expected "
                "the same shape and dtype, since its output is its next input; leave first and "
                "last layers that change the width outside of Repeat."
            )
