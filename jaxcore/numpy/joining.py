"""Several arrays into one and one into several: concatenate, stack, block, split, meshgrid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from operator import index
from typing import Any

import jax
import numpy as np

from jaxcore import backend
from jaxcore.backend import ShapedArray
from jaxcore.numpy.creation import user_dtype
from jaxcore.numpy.operand import as_value, axis_index, typed
from jaxcore.numpy.promote import promoted, to_dtype
from jaxcore.numpy.shapes import atleast_1d, atleast_2d, atleast_3d, expand_dims
from jaxcore.ops.pieces import concatenate_p, split_p
from jaxcore.ops.shape import broadcast_in_dim_p, reshape_p
from jaxcore.trace import aval_of, bind

__all__ = [
    "append",
    "array_split",
    "block",
    "column_stack",
    "concat",
    "concatenate",
    "dsplit",
    "dstack",
    "hsplit",
    "hstack",
    "meshgrid",
    "split",
    "stack",
    "unstack",
    "vsplit",
    "vstack",
]

Array = jax.Array


# --- joining ------------------------------------------------------------------------------------


def _promoted(pairs: Sequence[tuple[Any, ShapedArray]], dtype: Any = None) -> list[Any]:
    """The values in their common dtype, or in `dtype`."""
    first = pairs[0][1]
    if dtype is None and all(
        t.dtype == first.dtype and t.weak_type == first.weak_type for _, t in pairs
    ):
        return [x for x, _ in pairs]
    if dtype is not None:
        common, weak = user_dtype(dtype), False
    else:
        common, weak = promoted(*[x for x, _ in pairs])
    return [to_dtype(x, common, weak) for x, _ in pairs]


def _operands(name: str, arrays: Any) -> list[tuple[Any, ShapedArray]]:
    if isinstance(arrays, backend.Tracer | jax.Array | np.ndarray):
        arrays = [arrays[i] for i in range(len(arrays))]
    elif not isinstance(arrays, Sequence):
        raise TypeError(f"{name} requires a sequence of arrays, got {type(arrays)}.")
    if not arrays:
        raise ValueError(f"Need at least one array to {name}.")
    return [typed(name, x, i) for i, x in enumerate(arrays)]


def concatenate(arrays: Any, axis: int | None = 0, dtype: Any = None) -> Array:
    """Arrays one after the other along `axis` (None: flattened), in their common dtype.

    Raises:
      ValueError: nothing to join, a scalar among the arrays, or shapes that differ elsewhere.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> jnp.concatenate([jnp.zeros((2, 1)), jnp.ones((2, 3))], axis=1).shape
      (2, 4)
    """
    pairs = _operands("concatenate", arrays)
    if axis is None:
        pairs = [(bind(reshape_p, x, new_sizes=(int(np.prod(t.shape)),)), t) for x, t in pairs]
        axis = 0
    elif not pairs[0][1].shape:
        raise ValueError("Zero-dimensional arrays cannot be concatenated.")
    at = axis_index(axis, len(aval_of(pairs[0][0]).shape))
    values = _promoted(pairs, dtype)
    if len(values) == 1:
        return as_value(values[0])
    return bind(concatenate_p, *values, dimension=at)


concat = concatenate


def append(arr: Any, values: Any, axis: int | None = None) -> Array:
    """`arr` with `values` after it."""
    return concatenate([arr, values], axis)


def stack(arrays: Any, axis: int = 0, out: None = None, dtype: Any = None) -> Array:
    """Arrays of one shape along a new axis.

    Raises:
      ValueError: no arrays, or shapes that differ.
    """
    if out is not None:
        raise NotImplementedError("The 'out' argument to jnp.stack is not supported.")
    pairs = _operands("stack", arrays)
    shape = pairs[0][1].shape
    for _, t in pairs:
        if t.shape != shape:
            raise ValueError(
                f"All input arrays must have the same shape, got {tuple(shape)} and "
                f"{tuple(t.shape)}."
            )
    at = axis_index(axis, len(shape) + 1)
    wide = (*shape[:at], 1, *shape[at:])
    dims = tuple([i for i in range(len(wide)) if i != at])
    values = [
        bind(broadcast_in_dim_p, x, shape=wide, broadcast_dimensions=dims)
        for x in _promoted(pairs, dtype)
    ]
    return values[0] if len(values) == 1 else bind(concatenate_p, *values, dimension=at)


def _each(arrays: Any, least: Callable[..., Any]) -> list[Any]:
    if not isinstance(arrays, Sequence):
        arrays = [x for x, _ in _operands("stack", arrays)]
    return [least(x) for x in arrays]


def vstack(tup: Any, dtype: Any = None) -> Array:
    """Rows on top of each other."""
    return concatenate(_each(tup, atleast_2d), 0, dtype)


def hstack(tup: Any, dtype: Any = None) -> Array:
    """Side by side: along the second axis, vectors along the first."""
    arrays = _each(tup, atleast_1d)
    return concatenate(arrays, 0 if arrays and aval_of(arrays[0]).ndim == 1 else 1, dtype)


def dstack(tup: Any, dtype: Any = None) -> Array:
    """Along the third axis."""
    return concatenate(_each(tup, atleast_3d), 2, dtype)


def column_stack(tup: Any) -> Array:
    """Vectors as the columns of a matrix."""

    def column(x: Any) -> Any:
        x, aval = typed("column_stack", x)
        if len(aval.shape) >= 2:
            return x
        row: Any = atleast_2d(x)
        return row.T

    return concatenate([column(x) for x in _each(tup, lambda x: x)], 1)


def block(arrays: Any) -> Array:
    """An array put together from nested lists of its blocks.

    Args:
      arrays: an array, or lists of lists of arrays, all of one depth. The innermost lists are
        joined along the last axis, those around them along the axis before it.

    Raises:
      ValueError: an empty list, a tuple, or lists of different depths.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> one = jnp.ones((1, 1), int)
      >>> jnp.block([[one, 2 * one], [3 * one, 4 * one]])
      Array([[1, 2],
             [3, 4]], dtype=int32)
    """
    return _block(arrays)[0]


def _block(x: Any) -> tuple[Any, int]:
    """The array of nested lists, and their depth plus 1."""
    if isinstance(x, tuple):
        raise ValueError(f"jax.numpy.block does not allow tuples, got {x}. Fix: use lists.")
    if not isinstance(x, list):
        return as_value(typed("block", x)[0]), 1
    if not x:
        raise ValueError("jax.numpy.block does not allow empty list arguments")
    parts, depths = zip(*[_block(item) for item in x], strict=True)
    if len(set(depths)) > 1:
        raise ValueError(
            "Mismatched list depths in jax.numpy.block: lists that are joined hold lists of depths "
            f"{[d - 1 for d in depths]}."
        )
    rank = max(depths[0], *[aval_of(p).ndim for p in parts])
    filled = [expand_dims(p, tuple(range(rank - aval_of(p).ndim))) for p in parts]
    return concatenate(filled, -depths[0]), depths[0] + 1


# --- splitting ----------------------------------------------------------------------------------


def split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Array]:
    """`ary` cut along `axis` into equal parts, or before each of the given indices.

    Raises:
      ValueError: the parts cannot be equal.
    """
    return _split("split", ary, indices_or_sections, axis)


def array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Array]:
    """`split` whose parts may differ in size by one."""
    return _split("array_split", ary, indices_or_sections, axis)


def _split(name: str, ary: Any, cuts: Any, axis: int) -> list[Array]:
    x, aval = typed(name, ary)
    at = axis_index(axis, len(aval.shape))
    size = aval.shape[at]
    if isinstance(cuts, Sequence) or (isinstance(cuts, np.ndarray | jax.Array) and np.ndim(cuts)):
        if isinstance(cuts, backend.Tracer) or any(isinstance(c, backend.Tracer) for c in cuts):
            traced = next(c for c in cuts if isinstance(c, backend.Tracer))
            raise jax.errors.ConcretizationTypeError(traced, f"in jax.numpy.{name} argument 1")
        bounds = [0, *[min(max(c + size if c < 0 else c, 0), size) for c in map(index, cuts)], size]
        sizes = [stop - start for start, stop in pairwise(bounds)]
        if any(n < 0 for n in sizes):
            raise ValueError(
                f"{name}: the parts between indices {tuple(cuts)} of axis {at}, of size {size}, "
                "would have negative sizes. Fix: give ascending indices."
            )
    else:
        parts = index(cuts)
        if name != "array_split" and size % parts:
            raise ValueError(
                f"array split does not result in an equal division: rest is {size % parts}"
            )
        small, more = divmod(size, parts)
        sizes = [small + 1] * more + [small] * (parts - more)
    return list(bind(split_p, x, sizes=tuple(sizes), axis=at))


def hsplit(ary: Any, indices_or_sections: Any) -> list[Array]:
    """`split` along the second axis, of a vector along the first."""
    x, aval = typed("hsplit", ary)
    return _split("hsplit", x, indices_or_sections, 0 if len(aval.shape) == 1 else 1)


def vsplit(ary: Any, indices_or_sections: Any) -> list[Array]:
    """`split` along the first axis."""
    return _split("vsplit", ary, indices_or_sections, 0)


def dsplit(ary: Any, indices_or_sections: Any) -> list[Array]:
    """`split` along the third axis."""
    return _split("dsplit", ary, indices_or_sections, 2)


def unstack(x: Any, /, *, axis: int = 0) -> tuple[Array, ...]:
    """The arrays that lie along `axis`, one for each index."""
    x, aval = typed("unstack", x)
    if not aval.shape:
        raise ValueError(
            "Unstack requires arrays with rank > 0, however a scalar array was passed."
        )
    at = axis_index(axis, len(aval.shape))
    rest = (*aval.shape[:at], *aval.shape[at + 1 :])
    parts = bind(split_p, x, sizes=(1,) * aval.shape[at], axis=at)
    return tuple(bind(reshape_p, p, new_sizes=rest) for p in parts)


# --- meshgrid -----------------------------------------------------------------------------------


def meshgrid(
    *xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy"
) -> tuple[Array, ...]:
    """Coordinate arrays of the grid that vectors span.

    Raises:
      ValueError: `indexing` is neither "xy" nor "ij", or an argument has more than one axis.
    """
    if not copy:
        raise ValueError("jax.numpy.meshgrid only supports copy=True")
    if indexing not in ("xy", "ij"):
        raise ValueError(f"Valid values for indexing are 'xy' and 'ij', got {indexing}")
    pairs = [typed("meshgrid", x, i) for i, x in enumerate(xi)]
    if any(len(t.shape) != 1 for _, t in pairs):
        raise ValueError(
            "Arguments to jax.numpy.meshgrid must be 1D, got: shapes "
            f"{[tuple(t.shape) for _, t in pairs]}"
        )
    places = list(range(len(pairs)))
    if indexing == "xy" and len(pairs) >= 2:
        places[:2] = [1, 0]
    sizes = [0] * len(pairs)
    for at, (_, t) in zip(places, pairs, strict=True):
        sizes[at] = t.shape[0]
    out = []
    for at, (x, t) in zip(places, pairs, strict=True):
        shape = [1] * len(sizes) if sparse else list(sizes)
        shape[at] = t.shape[0]
        out.append(bind(broadcast_in_dim_p, x, shape=tuple(shape), broadcast_dimensions=(at,)))
    return tuple(out)
