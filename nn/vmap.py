"""`Vmap`: many copies of one block side by side, each with its own parameters."""

from __future__ import annotations

from typing import Any

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import lax, tree

from .errors import InputError, where
from .lift import Stacked, planned
from .module import Module


class Vmap(Module):
    """``block`` mapped over the first axis of its arguments, with parameters of its own for each.

    Parameters, state and sown values are stacked along a new first axis under ``block``; every
    copy draws its own random numbers. An ensemble, or the experts of a mixture, is one program.

    Args:
      block: any module.
      n: how many copies.
      in_axes: None gives every copy the same arguments, 0 maps them; or one of these for each
        positional argument. Keyword arguments are the same for all.

    Returns:
      The block's outputs, stacked along the first axis.

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn, random
    >>> ensemble = nn.Vmap(nn.Dense(4), 5, in_axes=None)
    >>> variables = ensemble.init(random.key(0), jnp.ones((2, 3)))
    >>> variables["params"]["block"]["kernel"].shape
    (5, 3, 4)
    >>> ensemble.apply(variables, jnp.ones((2, 3))).shape
    (5, 2, 4)
    """

    block: Module
    n: int
    in_axes: int | tuple[int | None, ...] | None = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        axes = self.in_axes if isinstance(self.in_axes, tuple) else (self.in_axes,) * len(args)
        self._check(args, axes)
        frame = self._frame("__call__")
        if frame.run.plan is not None:
            first = [
                arg if axis is None else tree.map(lambda v: lax.index_in_dim(v, 0, 0, False), arg)
                for arg, axis in zip(args, axes, strict=True)
            ]
            with planned(frame, self.n):
                out = self.block(*first, **kwargs)
            return tree.map(lambda v: jnp.broadcast_to(v[None], (self.n, *jnp.shape(v))), out)
        stacked = Stacked(frame, self.block, self.n)
        mapped = [arg for arg, axis in zip(args, axes, strict=True) if axis is not None]

        def one(values: Any, mapped: list[Any]) -> Any:
            rest = iter(mapped)
            full = [
                arg if axis is None else next(rest) for arg, axis in zip(args, axes, strict=True)
            ]
            return stacked.call(values, lambda: self.block(*full, **kwargs))

        out, written = jaxcore.vmap(one)(stacked.values, mapped)
        stacked.write(written)
        return out

    def _check(self, args: tuple[Any, ...], axes: tuple[int | None, ...]) -> None:
        place = where(self.path, "Vmap")
        if len(axes) != len(args) or any(axis not in (0, None) for axis in axes):
            raise InputError(
                f"{place}: in_axes={self.in_axes} for {len(args)} positional arguments. Expected "
                "0 or None, or a tuple with one of them for each; move another axis to the front "
                "with jnp.moveaxis."
            )
        for number, (arg, axis) in enumerate(zip(args, axes, strict=True)):
            shapes = [jnp.shape(leaf) for leaf in tree.leaves(arg)]
            if axis == 0 and any(shape[:1] != (self.n,) for shape in shapes):
                raise InputError(
                    f"{place}: argument {number} has shape {shapes[0]}. Expected n={self.n} slices "
                    "along the first axis; to give every copy the same argument use in_axes=None."
                )
