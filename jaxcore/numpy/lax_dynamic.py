"""The functions of `jaxcore.lax` that slice at positions known when the program runs."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Any

import jax
import numpy as np

from jaxcore import backend
from jaxcore.numpy.index_plan import normalised
from jaxcore.numpy.lax_shapes import expand_dims, squeeze
from jaxcore.numpy.operand import axis_index, typed
from jaxcore.ops.convert import convert
from jaxcore.ops.indexing import dynamic_slice_p, dynamic_update_slice_p
from jaxcore.trace import aval_of, bind

__all__ = [
    "dynamic_index_in_dim",
    "dynamic_slice",
    "dynamic_slice_in_dim",
    "dynamic_update_index_in_dim",
    "dynamic_update_slice",
    "dynamic_update_slice_in_dim",
]

Array = jax.Array


def _starts(name: str, x: Any, starts: Any, negative: Any) -> list[Any]:
    """Start indices of one dtype, negative ones counted from the end."""
    shape = aval_of(x).shape
    if isinstance(starts, backend.Tracer | jax.Array | np.ndarray):
        if aval_of(starts).ndim != 1:
            raise ValueError(f"Slice indices must be a 1D sequence, got {aval_of(starts).shape}")
        starts = [starts[i] for i in range(aval_of(starts).shape[0])]
    if len(starts) != len(shape):
        raise ValueError(
            f"Length of slice indices must match number of operand dimensions "
            f"({len(starts)} vs {len(shape)}): {name}"
        )
    allowed = [negative] * len(shape) if isinstance(negative, bool) else list(negative)
    out = []
    for i, size, may in zip(starts, shape, allowed, strict=True):
        if isinstance(i, int | np.integer):
            if i < 0 and not may:
                raise ValueError(
                    f"Index {i} is out of bounds for dimension {size} if "
                    "allow_negative_indices=False"
                )
            out.append(i + size if i < 0 else i)
        else:
            out.append(normalised(typed(name, i)[0], size) if may else typed(name, i)[0])
    kinds = [aval_of(i).dtype for i in out if not isinstance(i, int)]
    common = np.result_type(*kinds) if kinds else np.dtype(np.int32)
    common = backend.canonicalize_dtype(common)
    return [common.type(i) if isinstance(i, int | np.integer) else convert(i, common) for i in out]


def dynamic_slice(
    operand: Any,
    start_indices: Any,
    slice_sizes: Sequence[int],
    *,
    allow_negative_indices: bool | Sequence[bool] = True,
) -> Array:
    """The window of `slice_sizes` at `start_indices`, moved to lie inside.

    Args:
      operand: array.
      start_indices: scalar integers, one for each axis, or a vector of them.
      slice_sizes: size of the window along each axis.
      allow_negative_indices: whether a negative start counts from the end.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> from jaxcore import lax
      >>> lax.dynamic_slice(jnp.arange(5), (jnp.int32(3),), (3,))
      Array([2, 3, 4], dtype=int32)
    """
    x, _ = typed("dynamic_slice", operand)
    starts = _starts("dynamic_slice", x, start_indices, allow_negative_indices)
    return bind(dynamic_slice_p, x, *starts, slice_sizes=tuple([index(n) for n in slice_sizes]))


def dynamic_update_slice(
    operand: Any,
    update: Any,
    start_indices: Any,
    *,
    allow_negative_indices: bool | Sequence[bool] = True,
) -> Array:
    """`operand` with the window at `start_indices`, moved to lie inside, replaced by `update`."""
    x, _ = typed("dynamic_update_slice", operand)
    y, _ = typed("dynamic_update_slice", update, 1)
    starts = _starts("dynamic_update_slice", x, start_indices, allow_negative_indices)
    return bind(dynamic_update_slice_p, x, y, *starts)


def _at_axis(x: Any, start: Any, axis: int) -> tuple[list[Any], int]:
    ndim = len(aval_of(x).shape)
    at = axis_index(axis, ndim)
    starts: list[Any] = [0] * ndim
    starts[at] = start
    return starts, at


def dynamic_slice_in_dim(
    operand: Any,
    start_index: Any,
    slice_size: int,
    axis: int = 0,
    *,
    allow_negative_indices: bool = True,
) -> Array:
    """`dynamic_slice` along one axis."""
    x, aval = typed("dynamic_slice_in_dim", operand)
    starts, at = _at_axis(x, start_index, axis)
    sizes = (*aval.shape[:at], index(slice_size), *aval.shape[at + 1 :])
    return dynamic_slice(x, starts, sizes, allow_negative_indices=allow_negative_indices)


def dynamic_index_in_dim(
    operand: Any,
    index: Any,
    axis: int = 0,
    keepdims: bool = True,
    *,
    allow_negative_indices: bool = True,
) -> Array:
    """The elements at a position along `axis` that is known later."""
    out = dynamic_slice_in_dim(
        operand, index, 1, axis, allow_negative_indices=allow_negative_indices
    )
    return out if keepdims else squeeze(out, (axis,))


def dynamic_update_slice_in_dim(
    operand: Any, update: Any, start_index: Any, axis: int, *, allow_negative_indices: bool = True
) -> Array:
    """`dynamic_update_slice` along one axis."""
    x, _ = typed("dynamic_update_slice_in_dim", operand)
    starts, _at = _at_axis(x, start_index, axis)
    return dynamic_update_slice(x, update, starts, allow_negative_indices=allow_negative_indices)


def dynamic_update_index_in_dim(
    operand: Any, update: Any, index: Any, axis: int, *, allow_negative_indices: bool = True
) -> Array:
    """`operand` with the elements at a position along `axis` replaced by `update`."""
    x, aval = typed("dynamic_update_index_in_dim", operand)
    y, given = typed("dynamic_update_index_in_dim", update, 1)
    if len(given.shape) != len(aval.shape):
        y = expand_dims(y, (axis_index(axis, len(aval.shape)),))
    return dynamic_update_slice_in_dim(
        x, y, index, axis, allow_negative_indices=allow_negative_indices
    )
