"""NumPy's indexing of traced arrays, ``x[...]``, and the gather it rests on.

Integers and slices known now become slices; scalars known later a dynamic slice; arrays of
positions a gather. What is rare (scalar masks, strings of settings) goes through JAX's own rules.
"""

from __future__ import annotations

from functools import lru_cache
from operator import index
from typing import Any

import jax
import jax.numpy as _jnp
import numpy as np

from jaxcore import backend
from jaxcore.backend import ShapedArray
from jaxcore.numpy.index_plan import Unusual, gather_plan, int_dtype, normalised, within
from jaxcore.numpy.operand import typed
from jaxcore.ops.convert import convert
from jaxcore.ops.indexing import FILL, GatherDims, Mode, dynamic_slice_p, gather_p
from jaxcore.ops.pieces import slice_p
from jaxcore.ops.rules import full, kind_of
from jaxcore.ops.shape import broadcast_in_dim_p, rev_p, squeeze_p
from jaxcore.trace import aval_of, bind

__all__ = ["gather", "gather_items", "index_array"]

Array = jax.Array


def index_array(x: Any, idx: Any) -> Array:
    """``x[idx]``.

    Raises:
      IndexError: too many indices, an integer outside the array (JAX takes the nearest element), an
        index that is neither integer, slice, mask nor array, or a slice whose bounds are traced.
    """
    items = idx if type(idx) is tuple else (idx,)
    key = _static_key(items)
    shape = aval_of(x).shape
    try:
        if key is not None:
            return _apply_static(x, _static_plan(shape, key))
        found = _dynamic(x, shape, items)
        if found is not None:
            return found
        return gather_items(x, shape, items, {})
    except Unusual:
        return backend.Tracer.__getitem__(x, idx)


# --- positions known now ------------------------------------------------------------------------


def _static_key(items: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """A hashable form of an index of integers, slices, None and Ellipsis; None for another."""
    key: list[Any] = []
    for item in items:
        kind = type(item)
        if kind is int or item is None or item is Ellipsis:
            key.append(item)
        elif kind is slice:
            start, stop, step = item.start, item.stop, item.step
            for part in (start, stop, step):
                if part is not None and type(part) is not int:
                    if not isinstance(part, np.integer):
                        return None
                    start, stop, step = (
                        None if p is None else index(p) for p in (start, stop, step)
                    )
                    break
            key.append((start, stop, step))
        elif isinstance(item, np.integer):
            key.append(int(item))
        else:
            return None
    return tuple(key)


@lru_cache(8192)
def _static_plan(shape: tuple[int, ...], key: tuple[Any, ...]) -> tuple[Any, ...]:
    """What to slice, reverse, squeeze and expand."""
    if backend.is_symbolic(shape):
        raise Unusual
    consumed = sum(item is not None and item is not Ellipsis for item in key)
    dots = sum(item is Ellipsis for item in key)
    if dots > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    if consumed > len(shape):
        raise IndexError(
            f"Too many indices: array is {len(shape)}-dimensional, but {consumed} were indexed"
        )
    starts: list[int] = []
    limits: list[int] = []
    strides: list[int] = []
    rev: list[int] = []
    squeeze: list[int] = []
    result: list[int | None] = []  # sizes of the result; None marks a new axis
    full_slice = (None, None, None)
    rest = (full_slice,) * (len(shape) - consumed)
    if dots:
        at = next(i for i, item in enumerate(key) if item is Ellipsis)
        key = (*key[:at], *rest, *key[at + 1 :])
    else:
        key = (*key, *rest)
    for item in key:
        if item is None:
            result.append(None)
            continue
        axis = len(starts)
        size = shape[axis]
        if type(item) is int:
            start = within(item, axis, size)
            starts.append(start)
            limits.append(start + 1)
            strides.append(1)
            squeeze.append(axis)
            continue
        start, stop, step = slice(*item).indices(size)
        count = len(range(start, stop, step))
        if step < 0:
            last = start + (count - 1) * step
            start, stop, step = (last, start + 1, -step) if count else (0, 0, 1)
            rev.append(axis)
        starts.append(start if count else 0)
        limits.append(max(start, stop) if count else 0)
        strides.append(step)
        result.append(count)
    trivial = (
        all(n == 0 for n in starts) and tuple(limits) == shape and all(s == 1 for s in strides)
    )
    cut = (
        None
        if trivial
        else (
            tuple(starts),
            tuple(limits),
            None if all(s == 1 for s in strides) else tuple(strides),
        )
    )
    wide = None
    if None in result:
        wide = (
            tuple([1 if n is None else n for n in result]),
            tuple([i for i, n in enumerate(result) if n is not None]),
        )
    return cut, tuple(rev), tuple(squeeze), wide


def _apply_static(x: Any, plan: tuple[Any, ...]) -> Array:
    cut, rev, squeeze, wide = plan
    if cut is not None:
        x = bind(slice_p, x, start_indices=cut[0], limit_indices=cut[1], strides=cut[2])
    if rev:
        x = bind(rev_p, x, dimensions=rev)
    if squeeze:
        x = bind(squeeze_p, x, dimensions=squeeze)
    if wide is not None:
        x = bind(broadcast_in_dim_p, x, shape=wide[0], broadcast_dimensions=wide[1])
    return x


# --- scalars known later ------------------------------------------------------------------------


def _is_scalar_index(item: Any) -> bool:
    return (
        isinstance(item, backend.Tracer | jax.Array | np.ndarray)
        and not aval_of(item).shape
        and kind_of(aval_of(item).dtype) in "iu"
    )


def _dynamic(x: Any, shape: tuple[int, ...], items: tuple[Any, ...]) -> Array | None:
    """One window at a position known later; None where the index is of another kind."""
    static: list[Any] = []
    later: list[tuple[int, Any]] = []
    for item in items:
        if _is_scalar_index(item):
            later.append((len(static), item))
            static.append(0)
        else:
            static.append(item)
    key = _static_key(tuple(static)) if later else None
    if key is None or any(type(k) is tuple and k[2] not in (None, 1) for k in key):
        return None
    cut, _, squeeze, wide = _static_plan(shape, key)
    before = {
        place: sum(k is not None and k is not Ellipsis for k in key[:place])
        + (
            len(shape) - sum(k is not None and k is not Ellipsis for k in key)
            if Ellipsis in key[:place]
            else 0
        )
        for place, _ in later
    }
    starts, limits = (cut[0], cut[1]) if cut is not None else ((0,) * len(shape), shape)
    kind = int_dtype(shape) if len(shape) > 1 else aval_of(later[0][1]).dtype
    positions: list[Any] = [kind.type(s) for s in starts]
    for place, value in later:
        axis = before[place]
        if aval_of(value).dtype != kind:
            value = convert(value, kind)
        positions[axis] = normalised(value, shape[axis])
    sizes = tuple([stop - start for start, stop in zip(starts, limits, strict=True)])
    x = bind(dynamic_slice_p, x, *positions, slice_sizes=sizes)
    return _apply_static(x, (None, (), squeeze, wide))


# --- arrays of positions ------------------------------------------------------------------------


def gather_items(
    x: Any, shape: tuple[int, ...], items: tuple[Any, ...], settings: dict[str, Any]
) -> Array:
    """``x[items]`` by a gather.

    Raises:
      Unusual: the index holds what is left to JAX.
    """
    plan = gather_plan(shape, items, settings.get("normalize", True), settings.get("mode") is None)
    aval = aval_of(x)
    if 0 in plan.slice_shape:
        return full(0, ShapedArray(plan.slice_shape, aval.dtype, weak_type=aval.weak_type))
    if 0 not in aval_of(plan.indices).shape:
        x = gather(
            x,
            plan.indices,
            plan.dims,
            plan.sizes,
            mode=settings.get("mode"),
            fill_value=settings.get("fill_value"),
            unique_indices=plan.unique or settings.get("unique_indices", False),
            indices_are_sorted=plan.unique or settings.get("indices_are_sorted", False),
        )
    if plan.rev:
        x = bind(rev_p, x, dimensions=plan.rev)
    if plan.new_axes:
        kept = tuple([i for i in range(len(plan.slice_shape)) if i not in plan.new_axes])
        x = bind(broadcast_in_dim_p, x, shape=plan.slice_shape, broadcast_dimensions=kept)
    return x


def gather(
    operand: Any,
    start_indices: Any,
    dimension_numbers: GatherDims,
    slice_sizes: Any,
    *,
    unique_indices: bool = False,
    indices_are_sorted: bool = False,
    mode: Any = None,
    fill_value: Any = None,
) -> Array:
    """Windows of `operand` at positions given by the last axis of `start_indices`.

    Args:
      operand: array.
      start_indices: integers (..., n), one column for each entry of ``start_index_map``.
      dimension_numbers: a `jax.lax.GatherDimensionNumbers`.
      slice_sizes: size of the window in each dimension of the operand.
      unique_indices: a promise, used when the gather is differentiated.
      indices_are_sorted: a promise.
      mode: what happens outside: "promise_in_bounds" (default), "clip", or "fill".
      fill_value: with "fill"; by default NaN, the least integer, the greatest unsigned, or True.
    """
    operand, aval = typed("gather", operand)
    start_indices, _ = typed("gather", start_indices, 1)
    parsed = Mode.PROMISE_IN_BOUNDS if mode is None else Mode.from_any(mode)
    if parsed == Mode.ONE_HOT or backend.is_extended(aval.dtype):
        return jax.lax.gather(
            operand,
            start_indices,
            dimension_numbers,
            slice_sizes,
            unique_indices=unique_indices,
            indices_are_sorted=indices_are_sorted,
            mode=mode,
            fill_value=fill_value,
        )
    if parsed != FILL:
        fill_value = None
    elif fill_value is None:
        fill_value = _default_fill(aval.dtype)
    return bind(
        gather_p,
        operand,
        start_indices,
        dimension_numbers=dimension_numbers,
        slice_sizes=tuple([index(n) for n in slice_sizes]),
        unique_indices=bool(unique_indices),
        indices_are_sorted=bool(indices_are_sorted),
        mode=parsed,
        fill_value=fill_value,
    )


_NAN = float("nan")  # one object, so that it is found again as a key


def _default_fill(dtype: Any) -> Any:
    kind = kind_of(dtype)
    if kind in "fc":
        return _NAN
    if kind == "b":
        return True
    info = _jnp.iinfo(dtype)
    return info.min if kind == "i" else info.max
