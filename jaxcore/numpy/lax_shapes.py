"""The functions of `jaxcore.lax` on shapes: JAX's names and arguments, without promotion."""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import index
from typing import Any

import jax

from jaxcore import backend
from jaxcore.numpy.creation import user_dtype
from jaxcore.numpy.operand import as_value, axis_index, typed
from jaxcore.numpy.promote import to_dtype
from jaxcore.ops.pieces import concatenate_p, pad_p, slice_p, split_p
from jaxcore.ops.rules import kind_of
from jaxcore.ops.shape import (
    broadcast_in_dim_p,
    iota_p,
    reshape_p,
    rev_p,
    squeeze_p,
    transpose_p,
)
from jaxcore.trace import bind

__all__ = [
    "broadcast",
    "broadcast_in_dim",
    "broadcasted_iota",
    "collapse",
    "concatenate",
    "expand_dims",
    "full",
    "full_like",
    "index_in_dim",
    "iota",
    "pad",
    "reshape",
    "rev",
    "slice",
    "slice_in_dim",
    "split",
    "squeeze",
    "transpose",
]

Array = jax.Array


def _ints(values: Any) -> tuple[int, ...]:
    return tuple([index(v) for v in values])


# --- layout -------------------------------------------------------------------------------------


def reshape(
    operand: Any,
    new_sizes: Sequence[int],
    dimensions: Sequence[int] | None = None,
    *,
    out_sharding: Any = None,
) -> Array:
    """The elements in row-major order (of the axes in the order `dimensions`) as `new_sizes`."""
    if out_sharding is not None:
        return jax.lax.reshape(operand, new_sizes, dimensions, out_sharding=out_sharding)
    x, aval = typed("reshape", operand)
    if dimensions is not None:
        x = transpose(x, dimensions)
    sizes = _ints(new_sizes)
    return as_value(x) if sizes == aval.shape else bind(reshape_p, x, new_sizes=sizes)


def transpose(operand: Any, permutation: Sequence[int]) -> Array:
    """The axes in the order `permutation`."""
    x, aval = typed("transpose", operand)
    order = _ints(permutation)
    if order == tuple(range(len(aval.shape))):
        return as_value(x)
    return bind(transpose_p, x, permutation=order)


def broadcast_in_dim(
    operand: Any,
    shape: Sequence[int],
    broadcast_dimensions: Sequence[int],
    *,
    out_sharding: Any = None,
) -> Array:
    """`operand` with its axes at `broadcast_dimensions` of `shape`, repeated along the others."""
    if out_sharding is not None:
        return jax.lax.broadcast_in_dim(
            operand, shape, broadcast_dimensions, out_sharding=out_sharding
        )
    x, aval = typed("broadcast_in_dim", operand)
    sizes, dims = _ints(shape), _ints(broadcast_dimensions)
    if sizes == aval.shape and dims == tuple(range(len(sizes))):
        return as_value(x)
    return bind(broadcast_in_dim_p, x, shape=sizes, broadcast_dimensions=dims)


def broadcast(operand: Any, sizes: Sequence[int], *, out_sharding: Any = None) -> Array:
    """`operand` repeated along new leading axes of `sizes`."""
    if out_sharding is not None:
        return jax.lax.broadcast(operand, sizes, out_sharding=out_sharding)
    x, aval = typed("broadcast", operand)
    lead = _ints(sizes)
    dims = tuple(range(len(lead), len(lead) + len(aval.shape)))
    return broadcast_in_dim(x, (*lead, *aval.shape), dims)


def squeeze(array: Any, dimensions: Sequence[int]) -> Array:
    """`array` without the axes `dimensions`, which must have size 1."""
    x, aval = typed("squeeze", array)
    dims = tuple(sorted(axis_index(d, len(aval.shape)) for d in dimensions))
    if len(set(dims)) != len(dims):
        raise ValueError(f"duplicate value in dimensions: {tuple(dimensions)}")
    return as_value(x) if not dims else bind(squeeze_p, x, dimensions=dims)


def expand_dims(array: Any, dimensions: Sequence[int]) -> Array:
    """`array` with axes of size 1 at `dimensions` of the result."""
    from jaxcore.numpy import shapes

    return shapes.expand_dims(array, tuple(dimensions))


def rev(operand: Any, dimensions: Sequence[int]) -> Array:
    """The elements in reverse order along `dimensions`."""
    return bind(rev_p, typed("rev", operand)[0], dimensions=_ints(dimensions))


def collapse(operand: Any, start_dimension: int, stop_dimension: int | None = None) -> Array:
    """The axes from `start_dimension` up to `stop_dimension` as one."""
    x, aval = typed("collapse", operand)
    shape = aval.shape
    start, stop, _ = slice_type(start_dimension, stop_dimension).indices(len(shape))
    if stop < start:
        raise ValueError(
            f"Invalid dimension range passed to collapse: {operand}"
            f"[{start_dimension}:{stop_dimension}]"
        )
    return reshape(x, (*shape[:start], math.prod(shape[start:stop]), *shape[stop:]))


# --- pieces -------------------------------------------------------------------------------------

slice_type = slice


def slice(
    operand: Any,
    start_indices: Sequence[int],
    limit_indices: Sequence[int],
    strides: Sequence[int] | None = None,
) -> Array:
    """The elements from `start_indices` up to `limit_indices` in steps of `strides`."""
    x, _ = typed("slice", operand)
    steps = None if strides is None or all(s == 1 for s in strides) else _ints(strides)
    return bind(
        slice_p,
        x,
        start_indices=_ints(start_indices),
        limit_indices=_ints(limit_indices),
        strides=steps,
    )


def slice_in_dim(
    operand: Any, start_index: int | None, limit_index: int | None, stride: int = 1, axis: int = 0
) -> Array:
    """``operand[start:limit:stride]`` along `axis`."""
    x, aval = typed("slice_in_dim", operand)
    at = axis_index(axis, len(aval.shape))
    size = aval.shape[at]
    begin = 0 if start_index is None else index(start_index)
    end = size if limit_index is None else index(limit_index)
    starts, limits, steps = [0] * len(aval.shape), list(aval.shape), [1] * len(aval.shape)
    starts[at] = begin + size if begin < 0 else begin
    limits[at] = end + size if end < 0 else end
    steps[at] = index(stride)
    return slice(x, starts, limits, steps)


def index_in_dim(operand: Any, index: int, axis: int = 0, keepdims: bool = True) -> Array:
    """The elements at `index` along `axis`."""
    x, aval = typed("index_in_dim", operand)
    at = axis_index(axis, len(aval.shape))
    size = aval.shape[at]
    i = index + size if index < 0 else index
    if not 0 <= i < size:
        raise ValueError(f"index {index} is out of bounds for axis {axis} with size {size}")
    out = slice_in_dim(x, i, i + 1, 1, at)
    return out if keepdims else squeeze(out, (at,))


def split(operand: Any, sizes: Sequence[int], axis: int = 0) -> Sequence[Array]:
    """Parts of `sizes` along `axis`."""
    x, aval = typed("split", operand)
    return list(bind(split_p, x, sizes=_ints(sizes), axis=axis_index(axis, len(aval.shape))))


def concatenate(operands: Sequence[Any], dimension: int) -> Array:
    """Arrays of one dtype one after the other along `dimension`."""
    if not len(operands):
        raise ValueError("concatenate requires a non-empty sequences of arrays")
    values = [typed("concatenate", x, i)[0] for i, x in enumerate(operands)]
    if len(values) == 1:
        return as_value(values[0])
    return bind(concatenate_p, *values, dimension=index(dimension))


def pad(operand: Any, padding_value: Any, padding_config: Sequence[tuple[int, int, int]]) -> Array:
    """`operand` with (before, after, between) many `padding_value` along each axis."""
    x, aval = typed("pad", operand)
    value, kind = typed("pad", padding_value, 1)
    if kind.dtype != aval.dtype and kind.weak_type:
        value = to_dtype(value, aval.dtype)
    return bind(pad_p, x, value, padding_config=tuple([_ints(c) for c in padding_config]))


# --- new arrays ---------------------------------------------------------------------------------


def full(
    shape: Sequence[int], fill_value: Any, dtype: Any = None, *, sharding: Any = None
) -> Array:
    """`fill_value` repeated to `shape`."""
    if sharding is not None:
        return jax.lax.full(shape, fill_value, dtype, sharding=sharding)
    value, aval = typed("full", fill_value, 1)
    if aval.shape:
        raise TypeError(
            f"full must be called with scalar fill_value, got fill_value.shape {tuple(aval.shape)}."
        )
    weak = dtype is None and aval.weak_type
    kind = aval.dtype if dtype is None else user_dtype(dtype)
    if backend.is_extended(kind):
        return jax.lax.full(shape, fill_value, dtype)
    return bind(
        broadcast_in_dim_p, to_dtype(value, kind, weak), shape=_ints(shape), broadcast_dimensions=()
    )


def full_like(
    x: Any,
    fill_value: Any,
    dtype: Any = None,
    shape: Sequence[int] | None = None,
    sharding: Any = None,
) -> Array:
    """`fill_value` repeated to the shape of `x`, in its dtype, unless given."""
    value, aval = typed("full_like", x)
    if sharding is not None or backend.is_extended(aval.dtype if dtype is None else dtype):
        return jax.lax.full_like(x, fill_value, dtype, shape, sharding)
    weak = dtype is None and aval.weak_type
    kind = aval.dtype if dtype is None else user_dtype(dtype)
    fill = to_dtype(typed("full_like", fill_value, 1)[0], kind, weak)
    return bind(
        broadcast_in_dim_p,
        fill,
        shape=aval.shape if shape is None else _ints(shape),
        broadcast_dimensions=(),
    )


def iota(dtype: Any, size: int) -> Array:
    """0, 1, 2, ...: `size` numbers."""
    return broadcasted_iota(dtype, (size,), 0)


def broadcasted_iota(
    dtype: Any, shape: Sequence[int], dimension: int, *, out_sharding: Any = None
) -> Array:
    """The position along `dimension`, for every element of `shape`."""
    if out_sharding is not None:
        return jax.lax.broadcasted_iota(dtype, shape, dimension, out_sharding=out_sharding)
    kind = user_dtype(dtype)
    if kind_of(kind) not in "iufc":
        raise TypeError(
            f"iota does not accept dtype {kind}. Accepted dtypes are subtypes of number; "
            "convert an iota of integers."
        )
    return bind(iota_p, dtype=kind, shape=_ints(shape), dimension=index(dimension))
