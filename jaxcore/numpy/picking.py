"""Picking elements by integer arrays: take, take_along_axis."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as _jnp
import numpy as np

from jaxcore import backend
from jaxcore.numpy.index_plan import int_dtype, normalised
from jaxcore.numpy.indexing import gather
from jaxcore.numpy.operand import as_value, axis_index, typed
from jaxcore.ops.convert import convert
from jaxcore.ops.indexing import GatherDims
from jaxcore.ops.rules import kind_of
from jaxcore.ops.shape import broadcast_in_dim_p, reshape_p, squeeze_p
from jaxcore.trace import aval_of, bind

__all__ = ["take", "take_along_axis"]

Array = jax.Array


def take(
    a: Any,
    indices: Any,
    axis: int | None = None,
    out: None = None,
    mode: str | None = None,
    unique_indices: bool = False,
    indices_are_sorted: bool = False,
    fill_value: Any = None,
) -> Array:
    """Slices of `a` along `axis` (None: of the flat array) at `indices`.

    Args:
      a: array.
      indices: integers of any shape, negative ones from the end.
      axis: along which to pick.
      out: not supported.
      mode: what an index outside gives: "fill" (default: NaN), "clip" or "wrap".
      unique_indices: a promise, used when the function is differentiated.
      indices_are_sorted: a promise.
      fill_value: with "fill".

    Example:
      >>> import jaxcore.numpy as jnp
      >>> jnp.take(jnp.array([[1, 2], [3, 4]]), jnp.array([1, 0]), axis=0)
      Array([[3, 4],
             [1, 2]], dtype=int32)
    """
    x, aval = typed("take", a)
    i, kind = typed("take", indices, 1)
    plain = out is None and kind_of(kind.dtype) in "iu" and mode in (None, "fill", "clip")
    if not plain or backend.is_extended(aval.dtype) or 0 in aval.shape or 0 in kind.shape:
        return _jnp.take(
            a, indices, axis, out, mode, unique_indices, indices_are_sorted, fill_value
        )
    if axis is None:
        x = bind(reshape_p, x, new_sizes=(int(np.prod(aval.shape)),))
        axis = 0
    shape = aval_of(x).shape
    at = axis_index(axis, len(shape))
    if mode != "clip":
        i = normalised(i, shape[at])
    n = len(kind.shape)
    i = bind(broadcast_in_dim_p, i, shape=(*kind.shape, 1), broadcast_dimensions=tuple(range(n)))
    offsets = (*range(at), *range(at + n, len(shape) + n - 1))
    return gather(
        x,
        i,
        GatherDims(offsets, (at,), (at,)),
        (*shape[:at], 1, *shape[at + 1 :]),
        mode="clip" if mode == "clip" else "fill",
        unique_indices=unique_indices,
        indices_are_sorted=indices_are_sorted,
        fill_value=fill_value,
    )


def take_along_axis(
    arr: Any,
    indices: Any,
    axis: int | None = -1,
    mode: Any = None,
    fill_value: Any = None,
    **kwargs: Any,
) -> Array:
    """For each position, the element of `arr` along `axis` that `indices` names there.

    Args:
      arr: array.
      indices: integers with as many axes as `arr`, equal in size or 1 except along `axis`.
      axis: along which to pick; None: both are flat.
      mode: what an index outside gives: "fill" (default: NaN) or "clip".
      fill_value: with "fill".
      kwargs: ``wrap_negative_indices``, handed to JAX.

    Raises:
      TypeError: indices that are no integers.
      ValueError: different numbers of axes.
    """
    x, aval = typed("take_along_axis", arr)
    i, kind = typed("take_along_axis", indices, 1)
    shape, where = aval.shape, kind.shape
    if (
        kwargs
        or axis is None
        or mode not in (None, "fill", "clip")
        or kind_of(kind.dtype) not in ("iu")
        or len(shape) != len(where)
        or 0 in shape
        or 0 in where
    ):
        return _jnp.take_along_axis(arr, indices, axis, mode, fill_value, **kwargs)
    at = axis_index(axis, len(shape))
    i = convert(i, int_dtype((shape[at],)))
    i = normalised(i, shape[at])
    squeezed, sizes, offsets, over_x, over_i = [], [], [], [], []
    new = j = 0  # axis of the squeezed operand, axis of the indices
    index_shape = []
    for axis_i, (m, n) in enumerate(zip(shape, where, strict=True)):
        if axis_i == at:
            place = new
            sizes.append(1)
            index_shape.append(n)
        elif n == 1:  # the whole axis of the operand
            offsets.append(axis_i)
            sizes.append(m)
            new += 1
            continue
        elif m == 1:
            squeezed.append(axis_i)
            index_shape.append(n)
            j += 1
            continue
        elif m == n:
            sizes.append(1)
            over_x.append(new)
            over_i.append(j)
            index_shape.append(n)
        else:
            return _jnp.take_along_axis(arr, indices, axis, mode, fill_value)
        new += 1
        j += 1
    i = bind(reshape_p, i, new_sizes=(*index_shape, 1))
    if squeezed:
        x = bind(squeeze_p, x, dimensions=tuple(squeezed))
    dims = GatherDims(tuple(offsets), (place,), (place,), tuple(over_x), tuple(over_i))
    return gather(
        as_value(x),
        i,
        dims,
        sizes,
        mode="clip" if mode == "clip" else "fill",
        fill_value=fill_value,
    )
