"""Padding: elements added at both ends of the axes of an array, in all modes of NumPy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from jaxcore import backend
from jaxcore.numpy import reductions as r
from jaxcore.numpy import ufuncs as u
from jaxcore.numpy.composite import composite
from jaxcore.numpy.operand import as_array, concrete
from jaxcore.numpy.ranges import linspace
from jaxcore.numpy.rearrange import flip
from jaxcore.numpy.rounding import round
from jaxcore.numpy.shapes import broadcast_to, squeeze
from jaxcore.numpy.statistics import mean
from jaxcore.ops.convert import convert
from jaxcore.ops.pieces import concatenate_p, pad_p, slice_p
from jaxcore.ops.rules import kind_of
from jaxcore.ops.shape import broadcast_in_dim_p
from jaxcore.trace import aval_of, bind

__all__ = ["pad"]

Array = jax.Array
Pairs = Sequence[tuple[Any, Any]]

# The settings that each mode takes.
_SETTINGS = {
    "constant": {"constant_values"},
    "edge": set(),
    "empty": set(),
    "linear_ramp": {"end_values"},
    "maximum": {"stat_length"},
    "mean": {"stat_length"},
    "median": {"stat_length"},
    "minimum": {"stat_length"},
    "reflect": {"reflect_type"},
    "symmetric": {"reflect_type"},
    "wrap": set(),
}


def pad(
    array: Any, pad_width: Any, mode: str | Callable[..., Any] = "constant", **kwargs: Any
) -> Array:
    """`array` with elements added at the ends of its axes.

    Args:
      array: what is padded.
      pad_width: how many: one number, a pair (before, after), or a pair for each axis.
      mode: "constant" (`constant_values`), "edge", "wrap", "reflect" and "symmetric"
        (`reflect_type`), "linear_ramp" (`end_values`), "maximum", "minimum", "mean" and "median"
        (`stat_length`), "empty", or a function (vector, width, axis, settings) -> vector.
      kwargs: settings of the mode.

    Raises:
      ValueError: a negative or ill-shaped width, a setting that the mode does not take, or an
        empty axis that gives no elements to pad with.
      TypeError: a width that is no integer.
      NotImplementedError: an unknown mode.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> jnp.pad(jnp.array([1, 2, 3]), (1, 2), mode="reflect")
      Array([2, 1, 2, 3, 2, 1], dtype=int32)
    """
    x = as_array("pad", array)
    widths = _widths(x.ndim, pad_width)
    if callable(mode):
        return _by_function(x, widths, mode, kwargs)
    if mode not in _SETTINGS:
        raise NotImplementedError(
            f"Unimplemented padding mode '{mode}' for np.pad; expected one of "
            f"{', '.join(_SETTINGS)}, or a function."
        )
    unknown = set(kwargs) - _SETTINGS[mode]
    if unknown:
        raise ValueError(f"unsupported keyword arguments for mode '{mode}': {unknown}")
    if not x.ndim:
        return x
    if mode == "constant":
        return _constant(x, widths, kwargs.get("constant_values", 0))
    if mode == "empty":
        return _constant(x, widths, 0)
    ends = tuple(_pairs(x.ndim, kwargs.get("end_values", 0), "end_values"))
    length = kwargs.get("stat_length")
    length = None if length is None else tuple(_pairs(x.ndim, length, "stat_length"))
    return _computed(x, tuple(widths), mode, kwargs.get("reflect_type", "even"), ends, length)


@composite("widths", "mode", "kind", "ends", "length")
def _computed(x: Any, widths: Pairs, mode: str, kind: str, ends: Pairs, length: Any) -> Array:
    """Padded along one axis after the other."""
    for axis, width in enumerate(widths):
        if mode in ("edge", "wrap", "reflect", "symmetric"):
            if not x.shape[axis]:
                if any(width):
                    raise ValueError(f"Cannot apply '{mode}' padding to empty axis {axis}")
                continue
            x = _repeated(x, axis, width, mode, kind)
        elif mode == "linear_ramp":
            x = _ramp(x, axis, width, ends[axis])
        else:
            x = _statistic(x, axis, width, mode, None if length is None else length[axis])
    return x


# --- widths and settings ------------------------------------------------------------------------


def _pairs(ndim: int, values: Any, name: str) -> list[tuple[Any, Any]]:
    """A pair for each axis from one number, one pair, or all of them."""
    known = jax.tree.map(lambda v: concrete(v, f"{name} argument of jnp.pad"), values)
    try:
        given = np.asarray(known)
    except ValueError:
        raise TypeError(f"`{name}` entries must be the same shape: {values}") from None
    if given.shape not in ((), (1,), (2,), (1, 2), (ndim, 2)):
        raise ValueError(
            f"jnp.pad: {name} with nd={ndim} has unsupported shape {given.shape}. Valid shapes are "
            f"({ndim}, 2), (1, 2), (2,), (1,), or ()."
        )
    return [(a, b) for a, b in np.broadcast_to(given, (ndim, 2))]


def _widths(ndim: int, width: Any) -> list[tuple[int, int]]:
    pairs = [] if isinstance(width, dict) else _pairs(ndim, width, "pad_width")
    if isinstance(width, dict) or any(n.dtype.kind not in "iu" for p in pairs for n in p):
        raise TypeError(f"`pad_width` must be of integral type, got {width}.")
    if any(n < 0 for pair in pairs for n in pair):
        raise ValueError(f"index can't contain negative values, got pad_width={width}.")
    return [(int(a), int(b)) for a, b in pairs]


# --- constants ----------------------------------------------------------------------------------


def _constant(x: Any, widths: Pairs, value: Any) -> Array:
    """Padded with one value, or with one for each end of each axis."""
    dtype = x.dtype
    if isinstance(value, backend.Tracer | jax.Array):
        value = convert(value, dtype)
    else:
        value = np.asarray(value).astype(dtype)[()]
    shape = np.shape(value)
    if shape not in ((), (1,)):
        if len(shape) == 1 and shape[-1] != 2:
            raise ValueError(
                f"jnp.pad: constant_values has unsupported shape {shape}. If the shape is 1D or "
                "2D, the last dimension must be of size 1 or 2."
            )
        values = broadcast_to(value, (x.ndim, 2))
        for axis, width in enumerate(widths):
            for end, n in enumerate(width):
                if n:
                    one = [(0, 0, 0)] * x.ndim
                    one[axis] = (0, n, 0) if end else (n, 0, 0)
                    x = bind(pad_p, x, values[axis, end], padding_config=tuple(one))
        return x
    if shape:
        value = value[0] if isinstance(value, np.ndarray) else squeeze(value)
    return bind(pad_p, x, value, padding_config=tuple([(*w, 0) for w in widths]))


# --- the array's own elements -------------------------------------------------------------------


def _cut(x: Any, axis: int, start: int, stop: int) -> Any:
    """``x[..., start:stop, ...]`` at `axis`."""
    shape = aval_of(x).shape
    starts, stops = [0] * len(shape), list(shape)
    starts[axis], stops[axis] = start, stop
    return bind(slice_p, x, start_indices=tuple(starts), limit_indices=tuple(stops), strides=None)


def _spread(x: Any, axis: int, times: int) -> Any:
    """`x`, of size 1 along `axis`, repeated along it."""
    shape = (*x.shape[:axis], times, *x.shape[axis + 1 :])
    return bind(broadcast_in_dim_p, x, shape=shape, broadcast_dimensions=tuple(range(x.ndim)))


def _joined(axis: int, before: Sequence[Any], x: Any, after: Sequence[Any]) -> Any:
    parts = [*before, x, *after]
    return x if len(parts) == 1 else bind(concatenate_p, *parts, dimension=axis)


def _repeated(x: Any, axis: int, width: tuple[int, int], mode: str, kind: str) -> Any:
    before, after = width
    size = x.shape[axis]
    if mode == "edge":
        left = [_spread(_cut(x, axis, 0, 1), axis, before)] if before else []
        right = [_spread(_cut(x, axis, size - 1, size), axis, after)] if after else []
        return _joined(axis, left, x, right)
    if mode == "wrap":
        (left_times, left_rest), (right_times, right_rest) = (
            divmod(before, size),
            divmod(after, size),
        )
        left = [_cut(x, axis, size - left_rest, size)] if left_rest else []
        right = [_cut(x, axis, 0, right_rest)] if right_rest else []
        return _joined(axis, [*left, *[x] * left_times], x, [*[x] * right_times, *right])
    if kind not in ("even", "odd"):
        raise ValueError(f"reflect_type must be 'even' or 'odd', got {kind!r}.")
    return _mirrored(_mirrored(x, axis, before, mode, kind, True), axis, after, mode, kind, False)


def _mirrored(x: Any, axis: int, width: int, mode: str, kind: str, front: bool) -> Any:
    """`x` reflected at one end until `width` elements have been added there.

    The edge itself is repeated by "symmetric"; an "odd" reflection also mirrors values about it.
    """
    size = x.shape[axis]
    offset = 1 if mode == "reflect" and size > 1 else 0
    edge = _cut(x, axis, 0, 1) if front else _cut(x, axis, size - 1, size)
    while width > 0:
        n = min(width, size - offset)
        width -= n
        total = x.shape[axis]
        start = offset if front else total - n - offset
        part = flip(_cut(x, axis, start, start + n), axis)
        if kind == "odd":
            part = u.subtract(u.multiply(2, edge), part)
            if size > 1:
                edge = _cut(part, axis, 0, 1) if front else _cut(part, axis, n - 1, n)
        x = _joined(axis, [part], x, []) if front else _joined(axis, [], x, [part])
    return x


# --- computed elements --------------------------------------------------------------------------


def _ramp(x: Any, axis: int, width: tuple[int, int], ends: tuple[Any, Any]) -> Any:
    """From an end value to the edge, in even steps."""
    size, parts = x.shape[axis], []
    weak = aval_of(x).weak_type
    for n, end, place in zip(width, ends, (0, size - 1), strict=True):
        edge = squeeze(_cut(x, axis, place, place + 1), axis)
        end = broadcast_to(np.asarray(end), edge.shape)
        steps = linspace(end, edge, n, endpoint=False, dtype=x.dtype, axis=axis)
        parts.append(convert(steps, x.dtype, weak))
    return _joined(axis, [parts[0]], x, [flip(parts[1], axis)])


def _statistic(
    x: Any, axis: int, width: tuple[int, int], mode: str, length: tuple[int, int] | None
) -> Any:
    """A statistic of the elements at each end, or of all of them."""
    from jaxcore.numpy.quantiles import median

    measure: Any = {"maximum": r.amax, "minimum": r.amin, "mean": mean, "median": median}[mode]
    size, parts = x.shape[axis], []
    if length is not None and 0 in length:
        raise ValueError("stat_length of 0 yields no value for padding")
    for end, n in enumerate(width):
        part = x
        if length is not None:
            used = min(int(length[end]), size)
            part = _cut(x, axis, size - used, size) if end else _cut(x, axis, 0, used)
        value = measure(part, axis=axis, keepdims=True)
        if kind_of(x.dtype) in "iu":
            value = round(value)
        value = convert(value, x.dtype, aval_of(x).weak_type)
        parts.append(_spread(value, axis, n))
    return _joined(axis, [parts[0]], x, [parts[1]])


def _by_function(
    x: Any, widths: Pairs, function: Callable[..., Any], settings: dict[str, Any]
) -> Array:
    from jaxcore.numpy.mapping import apply_along_axis

    x = _constant(x, widths, 0)
    for axis, width in enumerate(widths):
        x = apply_along_axis(function, axis, x, width, axis, settings)
    return x
