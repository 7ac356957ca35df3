"""How an index with arrays of positions becomes one gather or scatter.

NumPy's rules of advanced indexing: arrays broadcast together; their axes replace the first of
adjacent arrays, or come first where slices stand between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxcore import backend
from jaxcore.backend import ShapedArray
from jaxcore.ops.arithmetic import add, mul
from jaxcore.ops.compare import lt, select
from jaxcore.ops.convert import convert
from jaxcore.ops.indexing import GatherDims
from jaxcore.ops.pieces import concatenate_p
from jaxcore.ops.rules import full, kind_of
from jaxcore.ops.shape import broadcast_in_dim_p, iota_p
from jaxcore.trace import aval_of, bind

__all__ = ["GatherPlan", "Unusual", "gather_plan", "int_dtype", "normalised", "within"]


class Unusual(Exception):
    """An index that is left to JAX: its rules or its words for what is wrong."""


class GatherPlan(NamedTuple):
    """A gather that computes ``x[index]``.

    Attributes:
      slice_shape: shape of the result, with new axes.
      sizes: of the window.
      indices: positions, one column for each entry of ``dims.start_index_map``.
      dims: dimension numbers.
      unique: no position occurs twice, and they are sorted.
      rev: axes of the result (without new axes) to reverse.
      new_axes: axes of the result that are new.
    """

    slice_shape: tuple[int, ...]
    sizes: tuple[int, ...]
    indices: Any
    dims: GatherDims
    unique: bool
    rev: tuple[int, ...]
    new_axes: tuple[int, ...]


def int_dtype(shape: Sequence[int]) -> Any:
    """The dtype that can hold positions in `shape`."""
    wide = any(type(n) is int and n > 2147483647 for n in shape)
    return np.dtype(np.int64 if wide else np.int32)


def normalised(i: Any, size: int) -> Any:
    """Negative positions counted from the front, in a dtype that can hold `size`."""
    dtype = aval_of(i).dtype
    if kind_of(dtype) == "u":
        return i
    if backend.is_symbolic((size,)):
        i = convert(i, dtype)
        return select(lt(i, dtype.type(0)), add(i, convert(backend.size_value(size), dtype)), i)
    if size > np.iinfo(dtype).max:
        dtype = int_dtype((size,))
    if isinstance(i, np.ndarray | np.generic):
        i = np.asarray(i, dtype)
        return np.where(i < 0, i + dtype.type(size), i)
    i = convert(i, dtype)
    return select(lt(i, dtype.type(0)), add(i, dtype.type(size)), i)


def within(item: int, axis: int, size: int) -> int:
    """A known position counted from the front.

    Raises:
      IndexError: it is outside the array.
    """
    if -size <= item < size:
        return item + size if item < 0 else item
    raise IndexError(
        f"index {item} is out of bounds for axis {axis} with size {size}. Fix: correct the index, "
        'or say what should happen outside: x.at[i].get(mode="clip"), '
        'x.at[i].set(v, mode="drop").'
    )


def _classify(
    items: tuple[Any, ...], shape: Sequence[int], normalize: bool
) -> list[tuple[str, Any]]:
    """Kind and value of each item: new, dots, slice, int, array. Masks become arrays."""
    out: list[tuple[str, Any]] = []
    axis = 0
    dots = [n for n, item in enumerate(items) if item is Ellipsis]
    if len(dots) > 1:
        raise Unusual
    for item in items:
        if item is None:
            out.append(("new", None))
        elif item is Ellipsis:
            out.append(("dots", None))
            rest = items[dots[0] + 1 :]
            axis = len(shape) - sum(_consumes(r) for r in rest)
        elif isinstance(item, slice):
            parts = (item.start, item.stop, item.step)
            if not all(p is None or isinstance(p, int | np.integer) for p in parts):
                raise Unusual
            out.append(("slice", item))
            axis += 1
        elif isinstance(item, bool | np.bool_):
            raise Unusual
        elif isinstance(item, int | np.integer):
            out.append(("int", int(item)))
            axis += 1
        elif isinstance(item, backend.Tracer | jax.Array | np.ndarray):
            aval = aval_of(item)
            kind = kind_of(aval.dtype)
            if kind == "b":
                if isinstance(item, backend.Tracer) or not aval.shape:
                    raise Unusual
                mask = np.asarray(item)
                if mask.shape != tuple(shape[axis : axis + mask.ndim]):
                    raise Unusual
                out.extend(("array", part.astype(np.int32)) for part in np.nonzero(mask))
                axis += mask.ndim
            elif kind in "iu":
                out.append(("array", item))
                axis += 1
            else:
                raise Unusual
        else:
            raise Unusual
    return out


def _consumes(item: Any) -> int:
    """How many axes an item stands for."""
    if item is None or item is Ellipsis:
        return 0
    if hasattr(item, "dtype") and item.dtype == np.bool_:
        return int(np.ndim(item))
    return 1


def gather_plan(
    shape: tuple[int, ...],
    items: tuple[Any, ...],
    normalize: bool = True,
    bounded: bool = True,
) -> GatherPlan:
    """The gather of ``x[items]`` for x of `shape`.

    Raises:
      Unusual: for what is left to JAX.
      IndexError: an integer is outside the array, and `bounded` because nobody said what then.
    """
    if backend.is_symbolic(shape):
        raise Unusual
    entries = _classify(items, shape, normalize)
    places = [n for n, (kind, _) in enumerate(entries) if kind in ("array", "int")]
    adjacent = all(b - a == 1 for a, b in pairwise(places))
    consumed = sum(kind not in ("new", "dots") for kind, _ in entries)
    if consumed > len(shape):
        raise Unusual
    rest = [("slice", slice(None))] * (len(shape) - consumed)
    at = next((n for n, (kind, _) in enumerate(entries) if kind == "dots"), len(entries))
    entries = [*entries[:at], *rest, *entries[at + 1 :]]
    dtype = int_dtype(shape)

    values: dict[int, Any] = {}  # position of each item that picks elements, ready to use
    axis = 0
    for n, (kind, value) in enumerate(entries):
        if kind == "int" and bounded:
            within(value, axis, shape[axis])
        if kind in ("array", "int"):
            values[n] = _position(kind, value, shape[axis], dtype, normalize)
        axis += kind != "new"
    advanced = list(values) if any(aval_of(values[n]).shape for n in values) else []
    first = -1 if not advanced else advanced[0] if adjacent else 0
    together: tuple[int, ...] = ()
    if advanced:
        shapes = [aval_of(values[n]).shape for n in advanced]
        if any(backend.is_symbolic(s) for s in shapes):
            raise Unusual
        together = np.broadcast_shapes(*shapes)

    parts: list[tuple[Any, int]] = []  # positions, and the batch axis where each begins
    batch: list[int] = []
    slice_shape: list[int] = []
    offsets: list[int] = []
    collapsed: list[int] = []
    mapped: list[int] = []
    sizes: list[int] = []
    rev: list[int] = []
    new_axes: list[int] = []
    x_axis = y_axis = 0  # y_axis counts the axes of the result without new ones
    axes = _axes(entries)
    for n, (kind, value) in enumerate(entries):
        if n == first:
            start = len(batch)
            parts.extend((_spread(values[m], together), start) for m in advanced)
            batch.extend(together)
            mapped.extend(axes[m] for m in advanced)
            collapsed.extend(axes[m] for m in advanced)
            slice_shape.extend(together)
            y_axis += len(together)
        if n in values:
            if not advanced:
                if shape[x_axis] == 0:
                    raise IndexError(
                        f"index is out of bounds for axis {x_axis} with size 0. Fix: there is "
                        "nothing to take from an empty array."
                    )
                parts.append((values[n], len(batch)))
                collapsed.append(x_axis)
                mapped.append(x_axis)
            sizes.append(1)
            x_axis += 1
        elif kind == "new":
            new_axes.append(len(slice_shape))
            slice_shape.append(1)
        else:
            begin, stop, step = value.indices(shape[x_axis])
            count = len(range(begin, stop, step))
            slice_shape.append(count)
            if step == 1:
                if count != shape[x_axis]:
                    parts.append((dtype.type(begin), len(batch)))
                    mapped.append(x_axis)
                sizes.append(count)
                offsets.append(y_axis)
            else:
                if step < 0:
                    rev.append(y_axis)
                    begin, step = begin + (count - 1) * step, -step
                parts.append((_steps(begin, step, count, dtype), len(batch)))
                mapped.append(x_axis)
                collapsed.append(x_axis)
                batch.append(count)
                sizes.append(1)
            y_axis += 1
            x_axis += 1
    return GatherPlan(
        tuple(slice_shape),
        tuple(sizes),
        _columns(parts, tuple(batch), dtype),
        GatherDims(tuple(offsets), tuple(sorted(collapsed)), tuple(mapped)),
        not advanced,
        tuple(rev),
        tuple(new_axes),
    )


def _axes(entries: Sequence[tuple[str, Any]]) -> list[int]:
    """The axis of the operand that each entry stands at."""
    out, axis = [], 0
    for kind, _ in entries:
        out.append(axis)
        axis += kind != "new"
    return out


def _position(kind: str, value: Any, size: int, dtype: Any, normalize: bool) -> Any:
    if kind == "int":
        return dtype.type(value + size if value < 0 and normalize else value)
    if normalize:
        value = normalised(value, size)
    if isinstance(value, np.ndarray):
        return value.astype(dtype)
    return convert(value, dtype)


def _spread(x: Any, shape: tuple[int, ...]) -> Any:
    own = aval_of(x).shape
    if own == shape:
        return x
    return bind(
        broadcast_in_dim_p,
        x,
        shape=shape,
        broadcast_dimensions=tuple(range(len(shape) - len(own), len(shape))),
    )


def _steps(begin: int, step: int, count: int, dtype: Any) -> Any:
    """begin, begin + step, ...: `count` positions."""
    steps = mul(bind(iota_p, dtype=dtype, shape=(count,), dimension=0), dtype.type(step))
    return add(steps, dtype.type(begin))


def _columns(parts: Sequence[tuple[Any, int]], batch: tuple[int, ...], dtype: Any) -> Any:
    """The positions as the last axis of one array."""
    if not parts:
        return full(0, ShapedArray((0,), dtype))
    wide = (*batch, 1)
    columns = []
    for value, start in parts:
        ndim = len(aval_of(value).shape)
        columns.append(
            bind(
                broadcast_in_dim_p,
                value,
                shape=wide,
                broadcast_dimensions=tuple(range(start, start + ndim)),
            )
        )
    return columns[0] if len(columns) == 1 else bind(concatenate_p, *columns, dimension=len(batch))
