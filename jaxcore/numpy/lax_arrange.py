"""The functions of `jaxcore.lax` that repeat arrays, join and part them along a new axis, and pick
windows by vectors of positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Any

import jax
import numpy as np

from jaxcore import backend
from jaxcore.numpy import joining, rearrange
from jaxcore.numpy.elementwise import remainder
from jaxcore.numpy.indexing import gather
from jaxcore.numpy.lax_shapes import broadcast, broadcast_in_dim, concatenate, expand_dims, full
from jaxcore.numpy.operand import as_value, axis_index, typed
from jaxcore.ops.composed import composed
from jaxcore.ops.indexing import GatherDims
from jaxcore.ops.rules import same_dtypes
from jaxcore.trace import aval_of

__all__ = [
    "broadcast_like",
    "broadcast_to_rank",
    "empty",
    "index_take",
    "stack",
    "tile",
    "unstack",
]

Array = jax.Array


def broadcast_like(arr: Any, like_arr: Any) -> Array:
    """`arr` repeated to the shape of `like_arr`, as in arithmetic between the two.

    Raises:
      ValueError: the shape of `arr` does not broadcast to that of `like_arr`.
    """
    x, aval = typed("broadcast_like", arr)
    shape = aval_of(like_arr).shape
    if aval.shape == shape:
        return as_value(x)
    lead = len(shape) - len(aval.shape)
    if lead < 0 or any(
        n not in (1, m) for n, m in zip(aval.shape, shape[max(lead, 0) :], strict=True)
    ):
        raise ValueError(
            f"broadcast_like: an array of shape {tuple(aval.shape)} does not broadcast to "
            f"{tuple(shape)}. Fix: shapes are aligned from the right and must be equal or 1 along "
            "each axis of the first."
        )
    return broadcast_in_dim(x, shape, range(lead, len(shape)))


def broadcast_to_rank(x: Any, rank: int) -> Array:
    """`x` with leading axes of size 1 up to `rank`."""
    value, aval = typed("broadcast_to_rank", x)
    missing = index(rank) - len(aval.shape)
    return as_value(value) if missing == 0 else broadcast(value, (1,) * missing)


def tile(operand: Any, reps: Sequence[int]) -> Array:
    """`operand` laid ``reps[i]`` times along axis i, as tiles."""
    x, aval = typed("tile", operand)
    times = tuple([index(r) for r in reps])
    if len(times) != len(aval.shape):
        raise TypeError(
            f"reps length must be equal to the ndim of x, got reps={times} for shape "
            f"{tuple(aval.shape)}."
        )
    return rearrange.tile(x, times)


def stack(operands: Sequence[Any], axis: int = 0) -> Array:
    """Arrays of one type along a new axis.

    Raises:
      TypeError: the dtypes differ.
      ValueError: there is no array, or the shapes differ.
    """
    pairs = [typed("stack", x, i) for i, x in enumerate(operands)]
    if pairs:
        same_dtypes("stack", [aval for _, aval in pairs])
    return joining.stack([x for x, _ in pairs], axis)


def unstack(x: Any, axis: int = 0) -> tuple[Array, ...]:
    """The arrays that lie along `axis`, one for each index."""
    return joining.unstack(x, axis=axis)


def empty(shape: Sequence[int], dtype: Any, *, out_sharding: Any = None) -> Array:
    """An array whose elements say nothing; they are zeros."""
    if out_sharding is not None or backend.is_extended(dtype):
        return jax.lax.empty(shape, dtype, out_sharding=out_sharding)
    return full(shape, 0, dtype)


def index_take(src: Any, idxs: Sequence[Any], axes: Sequence[int]) -> Array:
    """The slices of `src` at positions along `axes`: one vector of positions for each axis.

    Args:
      src: array.
      idxs: integer vectors of one length; positions count modulo the size of their axis.
      axes: as many axes of `src`.

    Returns:
      An array of the vectors' length and the axes of `src` that are not in `axes`.
    """
    x, aval = typed("index_take", src)
    dims = tuple([axis_index(a, len(aval.shape)) for a in axes])
    columns = concatenate([expand_dims(i, (1,)) for i in idxs], 1)
    sizes = np.array([[aval.shape[d] for d in dims]], aval_of(columns).dtype)
    wrapped = remainder(columns, sizes)
    offsets = tuple(range(1, len(aval.shape) - len(dims) + 1))
    return gather(
        x,
        wrapped,
        dimension_numbers=GatherDims(offsets, dims, dims),
        slice_sizes=tuple(1 if i in dims else n for i, n in enumerate(aval.shape)),
    )


composed(jax.lax.tile_p, tile)
composed(jax.lax.stack_p, lambda *xs, axis: stack(xs, axis))
composed(jax.lax.unstack_p, unstack)
