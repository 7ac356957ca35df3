"""Picking elements by integer arrays: take, take_along_axis."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from jaxcore import backend
from jaxcore.backend import ShapedArray
from jaxcore.numpy.composite import composite
from jaxcore.numpy.elementwise import remainder
from jaxcore.numpy.index_plan import int_dtype, normalised
from jaxcore.numpy.indexing import gather
from jaxcore.numpy.operand import as_value, axis_index, no_out, typed
from jaxcore.ops.convert import convert
from jaxcore.ops.indexing import GatherDims
from jaxcore.ops.rules import full, kind_of
from jaxcore.ops.shape import broadcast_in_dim_p, reshape_p, squeeze_p
from jaxcore.trace import aval_of, bind

__all__ = ["take", "take_along_axis"]

Array = jax.Array


@composite("axis", "mode", "unique_indices", "indices_are_sorted", "fill_value")
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

    Raises:
      TypeError: indices that are no integers.
      IndexError: a pick from an empty axis.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> jnp.take(jnp.array([[1, 2], [3, 4]]), jnp.array([1, 0]), axis=0)
      Array([[3, 4],
             [1, 2]], dtype=int32)
    """
    no_out("take", out)
    x, aval = typed("take", a)
    i, kind = typed("take", indices, 1)
    if kind_of(kind.dtype) not in "iu":
        raise TypeError(
            f"take requires indices of an integer type, got {kind}. Fix: convert them with astype."
        )
    if mode == "raise":
        raise NotImplementedError("The 'raise' mode to jnp.take is not supported.")
    if mode not in (None, "fill", "clip", "wrap"):
        raise ValueError(f"Invalid mode '{mode}' for np.take; expected 'fill', 'clip' or 'wrap'.")
    if axis is None:
        x = bind(reshape_p, x, new_sizes=(int(np.prod(aval.shape)),))
        axis = 0
    shape = aval_of(x).shape
    at = axis_index(axis, len(shape))
    if 0 in kind.shape or (0 in shape and shape[at]):
        return _empty((*shape[:at], *kind.shape, *shape[at + 1 :]), aval)
    if not shape[at]:
        raise IndexError("Cannot do a non-empty jnp.take() from an empty axis.")
    if mode == "wrap":
        i = remainder(i, kind.dtype.type(shape[at]))
    elif mode != "clip":
        i = normalised(i, shape[at])
    n = len(kind.shape)
    i = bind(broadcast_in_dim_p, i, shape=(*kind.shape, 1), broadcast_dimensions=tuple(range(n)))
    offsets = (*range(at), *range(at + n, len(shape) + n - 1))
    return gather(
        x,
        i,
        GatherDims(offsets, (at,), (at,)),
        (*shape[:at], 1, *shape[at + 1 :]),
        mode={"clip": "clip", "wrap": "promise_in_bounds"}.get(mode or "", "fill"),
        unique_indices=unique_indices,
        indices_are_sorted=indices_are_sorted,
        fill_value=fill_value,
    )


def _empty(shape: tuple[int, ...], aval: Any) -> Array:
    return full(0, ShapedArray(shape, aval.dtype, weak_type=aval.weak_type))


@composite("axis", "mode", "fill_value", "wrap_negative_indices")
def take_along_axis(
    arr: Any,
    indices: Any,
    axis: int | None = -1,
    mode: Any = None,
    fill_value: Any = None,
    *,
    wrap_negative_indices: bool | None = None,
) -> Array:
    """For each position, the element of `arr` along `axis` that `indices` names there.

    Args:
      arr: array.
      indices: integers with as many axes as `arr`, equal in size or 1 except along `axis`.
      axis: along which to pick; None: of the flat array, at a vector of positions.
      mode: what an index outside gives: "fill" (default: NaN), "clip", "promise_in_bounds".
      fill_value: with "fill".
      wrap_negative_indices: whether negative indices count from the end; by default they do,
        unless positions are promised to be in bounds.

    Raises:
      TypeError: indices that are no integers.
      ValueError: different numbers of axes, or axes that do not broadcast.
    """
    x, aval = typed("take_along_axis", arr)
    i, kind = typed("take_along_axis", indices, 1)
    if kind_of(kind.dtype) not in "iu":
        raise TypeError(
            f"take_along_axis indices must be of integer type, got {kind.dtype}. Fix: convert "
            "them with astype."
        )
    if mode == "one_hot" or backend.is_extended(aval.dtype):
        return jax.numpy.take_along_axis(x, i, axis, mode, fill_value)
    if axis is None:
        if len(kind.shape) != 1:
            raise ValueError(
                f"take_along_axis indices must be 1D if axis=None, got shape {tuple(kind.shape)}"
            )
        x, axis = bind(reshape_p, x, new_sizes=(int(np.prod(aval.shape)),)), 0
    shape, where = aval_of(x).shape, kind.shape
    if len(shape) != len(where):
        raise ValueError(
            "indices and arr must have the same number of dimensions; "
            f"{len(where)} vs. {len(shape)}"
        )
    at = axis_index(axis, len(shape))
    out = np.broadcast_shapes(where, (*shape[:at], 1, *shape[at + 1 :]))
    if not shape[at] or 0 in out:
        return _empty(out, ShapedArray(out, aval.dtype))
    wrap = mode != "promise_in_bounds" if wrap_negative_indices is None else wrap_negative_indices
    i = convert(i, int_dtype((shape[at],)))
    if wrap:
        i = normalised(i, shape[at])
    squeezed, sizes, offsets, over_x, over_i, index_shape = [], [], [], [], [], []
    new = j = 0  # axis of the squeezed operand, axis of the indices
    for axis_i, (m, n) in enumerate(zip(shape, where, strict=True)):
        if axis_i == at:
            place = new
            sizes.append(1)
        elif n == 1:  # the whole axis of the operand
            offsets.append(axis_i)
            sizes.append(m)
            new += 1
            continue
        elif m == 1:
            squeezed.append(axis_i)
            new -= 1
        else:
            sizes.append(1)
            over_x.append(new)
            over_i.append(j)
        index_shape.append(n)
        new += 1
        j += 1
    i = bind(reshape_p, i, new_sizes=(*index_shape, 1))
    if squeezed:
        x = bind(squeeze_p, x, dimensions=tuple(squeezed))
    dims = GatherDims(tuple(offsets), (place,), (place,), tuple(over_x), tuple(over_i))
    return gather(
        as_value(x), i, dims, sizes, mode="fill" if mode is None else mode, fill_value=fill_value
    )
