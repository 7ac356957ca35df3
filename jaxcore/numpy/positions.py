"""Positions in an array as one number or as one for each axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import index
from typing import Any

import jax
import numpy as np

from jaxcore.numpy import ufuncs as u
from jaxcore.numpy.creation import user_dtype, zeros
from jaxcore.numpy.elementwise import clip, divmod, greater, less, remainder, where
from jaxcore.numpy.joining import stack
from jaxcore.numpy.operand import as_array, concrete
from jaxcore.numpy.promote import promoted
from jaxcore.ops.convert import convert
from jaxcore.ops.rules import kind_of
from jaxcore.ops.shape import broadcast_in_dim_p, iota_p
from jaxcore.trace import bind

__all__ = ["indices", "ix_", "ravel_multi_index", "unravel_index"]

Array = jax.Array


def ravel_multi_index(
    multi_index: Sequence[Any],
    dims: Sequence[int],
    mode: str = "raise",
    order: str = "C",
    *,
    dtype: Any = None,
) -> Array:
    """Positions along each axis as positions in the flat array.

    Args:
      multi_index: arrays of integers, one for each axis.
      dims: the shape of the array.
      mode: what becomes of a position outside: "raise" (not under `jit`), "clip", "wrap", or
        "ignore", which computes with it as it is.
      order: "C", or "F" for column-major order.
      dtype: of the result.

    Raises:
      ValueError: a position outside with "raise", an unknown `mode` or `order`, or a `dtype` that
        cannot hold all positions.
      ConcretizationTypeError: a traced position with "raise".

    Example:
      >>> import jaxcore.numpy as jnp
      >>> jnp.ravel_multi_index((jnp.array([0, 1]), jnp.array([2, 0])), (2, 3))
      Array([2, 3], dtype=int32)
    """
    if len(multi_index) != len(dims):
        raise ValueError(
            f"ravel_multi_index needs positions along each axis: got {len(multi_index)} for "
            f"{len(dims)} axes."
        )
    sizes = tuple([index(d) for d in dims])
    places = [as_array("ravel_multi_index", i, n) for n, i in enumerate(multi_index)]
    kind = promoted(0, *places)[0] if dtype is None else user_dtype(dtype)
    if kind_of(kind) not in "iu":
        raise ValueError(f"dtype={kind} is not an integer type.")
    if math.prod(sizes) - 1 > np.iinfo(kind).max:
        raise ValueError(
            f"jnp.ravel_multi_index: dtype={kind} not large enough to hold flattened index for "
            f"dims={sizes}. Fix: pass a wider dtype."
        )
    if any(kind_of(i.dtype) not in "iu" for i in places):
        raise TypeError("only int indices permitted")
    if mode == "raise":
        _check_inside(multi_index, sizes)
    elif mode == "clip":
        places = [clip(i, 0, n - 1) for i, n in zip(places, sizes, strict=True)]
    elif mode == "wrap":
        places = [remainder(i, n) for i, n in zip(places, sizes, strict=True)]
    elif mode != "ignore":
        raise ValueError(f"invalid mode={mode!r}. Expected 'raise', 'wrap', 'clip', or 'ignore'.")
    if order not in ("C", "F"):
        raise ValueError(f"invalid order={order!r}. Expected 'C' or 'F'")
    total = zeros((), kind)
    for n, place in enumerate(places):
        faster = sizes[n + 1 :] if order == "C" else sizes[:n]
        total = u.add(total, u.multiply(convert(place, kind), math.prod(faster)))
    return total


def _check_inside(multi_index: Sequence[Any], sizes: Sequence[int]) -> None:
    for place, n in zip(multi_index, sizes, strict=True):
        known = concrete(
            place,
            "The error occurred because ravel_multi_index was jit-compiled with mode='raise'. Use "
            "mode='wrap' or mode='clip' instead.",
        )
        if ((known < 0) | (known >= n)).any():
            raise ValueError(f"invalid entry in coordinates array: not in [0, {n}).")


def unravel_index(indices: Any, shape: Any) -> tuple[Array, ...]:
    """Positions in the flat array as positions along each axis; those outside are clipped.

    Args:
      indices: integers; negative ones count from the end.
      shape: of the array.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> jnp.unravel_index(jnp.array([2, 3]), (2, 3))
      (Array([0, 1], dtype=int32), Array([2, 0], dtype=int32))
    """
    rest = as_array("unravel_index", indices)
    sizes = list(shape) if isinstance(shape, Sequence) or np.ndim(shape) else [shape]
    if any(np.ndim(n) for n in sizes):
        raise ValueError("unravel_index: shape should be a scalar or 1D sequence.")
    out: list[Any] = []
    for n in reversed(sizes):
        rest, place = divmod(rest, n)
        out.append(place)
    beyond = greater(rest, 0)
    before = less(rest, -1) if kind_of(rest.dtype) != "u" else None
    clipped = []
    for n, place in zip(sizes, reversed(out), strict=True):
        if before is not None:
            place = where(before, 0, place)
        clipped.append(where(beyond, n - 1, place))
    return tuple(clipped)


def indices(
    dimensions: Sequence[int], dtype: Any = None, sparse: bool = False
) -> Array | tuple[Array, ...]:
    """The position along each axis, for every element of an array of shape `dimensions`.

    Args:
      dimensions: the shape.
      dtype: of the positions; by default the default integer.
      sparse: return one array for each axis, of size 1 along the others.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> jnp.indices((2, 2))[1]
      Array([[0, 1],
             [0, 1]], dtype=int32)
    """
    sizes = tuple([index(n) for n in dimensions])
    kind = user_dtype(int if dtype is None else dtype)
    out = []
    for axis, n in enumerate(sizes):
        shape = (1,) * axis + (n,) + (1,) * (len(sizes) - axis - 1) if sparse else sizes
        out.append(bind(iota_p, dtype=kind, shape=shape, dimension=axis))
    if sparse:
        return tuple(out)
    return stack(out) if out else zeros((0,), kind)


def ix_(*args: Any) -> tuple[Array, ...]:
    """Vectors of positions, shaped so that together they pick the grid that they span.

    Raises:
      ValueError: an argument is no vector.
      NotImplementedError: an argument is a mask.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> x = jnp.arange(6).reshape(2, 3)
      >>> x[jnp.ix_(jnp.array([1]), jnp.array([0, 2]))]
      Array([[3, 5]], dtype=int32)
    """
    vectors = [as_array("ix_", x, i) for i, x in enumerate(args)]
    out = []
    for axis, x in enumerate(vectors):
        if x.ndim != 1:
            raise ValueError(
                f"Arguments to jax.numpy.ix_ must be 1-dimensional, got shape {tuple(x.shape)}"
            )
        if kind_of(x.dtype) == "b":
            raise NotImplementedError(
                "Boolean arguments to jax.numpy.ix_ are not implemented. Fix: use "
                "jnp.flatnonzero(mask)."
            )
        shape = [1] * len(vectors)
        shape[axis] = x.shape[0]
        x = zeros((0,), int) if not x.shape[0] else x
        out.append(bind(broadcast_in_dim_p, x, shape=tuple(shape), broadcast_dimensions=(axis,)))
    return tuple(out)
