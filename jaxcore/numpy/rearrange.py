"""The elements of one array in another order, or several times: flip, roll, repeat, tile."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Any

import jax
import jax.numpy as _jnp
import numpy as np

from jaxcore import backend
from jaxcore.numpy.composite import composite
from jaxcore.numpy.operand import as_value, axis_index, concrete, typed
from jaxcore.numpy.shapes import Shape, ravel, reshape, swapaxes
from jaxcore.ops.convert import convert
from jaxcore.ops.pieces import concatenate_p, slice_p
from jaxcore.ops.shape import broadcast_in_dim_p, rev_p
from jaxcore.trace import aval_of, bind

__all__ = ["flip", "fliplr", "flipud", "repeat", "roll", "rot90", "tile"]

Array = jax.Array


def _axes_of(axis: Shape | None, ndim: int) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(ndim))
    given = tuple(axis) if isinstance(axis, Sequence) else (index(axis),)
    return tuple([axis_index(i, ndim) for i in given])


@composite("axis")
def flip(m: Any, axis: Shape | None = None) -> Array:
    """`m` with its elements in reverse order along `axis` (None: every axis)."""
    m, aval = typed("flip", m)
    return bind(rev_p, m, dimensions=_axes_of(axis, len(aval.shape)))


def flipud(m: Any) -> Array:
    """`m` upside down: its first axis reversed."""
    return flip(m, 0)


def fliplr(m: Any) -> Array:
    """`m` mirrored: its second axis reversed."""
    return flip(m, 1)


@composite("k", "axes")
def rot90(m: Any, k: int = 1, axes: tuple[int, int] = (0, 1)) -> Array:
    """`m` turned by k quarter turns in the plane of two axes, from the first towards the second."""
    m, aval = typed("rot90", m)
    first, second = _axes_of(tuple(axes), len(aval.shape))
    if first == second:
        raise ValueError("Axes must be different")
    k = k % 4
    if k == 0:
        return as_value(m)
    if k == 2:
        return flip(m, (first, second))
    if k == 1:
        return swapaxes(flip(m, second), first, second)
    return flip(swapaxes(m, first, second), second)


def roll(a: Any, shift: Any, axis: Shape | None = None) -> Array:
    """`a` shifted by `shift` places along `axis`; what leaves at the end comes in at the front.

    Args:
      a: array.
      shift: a number or several, which may be traced.
      axis: axis or axes, one for each shift; None: the array is rolled as if flat.
    """
    a, aval = typed("roll", a)
    if axis is None:
        return reshape(roll(ravel(a), shift, 0), aval.shape)
    axes = _axes_of(axis, len(aval.shape))
    traced = isinstance(shift, backend.Tracer)
    if not traced and np.asarray(shift).dtype.kind in "iu":
        pairs = np.broadcast(axes, shift)
        for at, places in [(int(i), int(n)) for i, n in pairs]:
            size = aval.shape[at]
            if size and places % size:
                cut = size - places % size
                a = _joined(_along(a, at, cut, size), _along(a, at, 0, cut), at)
        return as_value(a)
    return _roll_later(as_value(a), as_value(shift), axes)


def _joined(first: Any, second: Any, axis: int) -> Any:
    return bind(concatenate_p, first, second, dimension=axis)


def _roll_later(a: Any, shift: Any, axes: tuple[int, ...]) -> Array:
    """A shift known later: a window of two copies, one after the other."""
    from jaxcore.numpy.elementwise import remainder
    from jaxcore.numpy.lax_dynamic import dynamic_slice_in_dim
    from jaxcore.numpy.shapes import broadcast_to

    count = np.broadcast_shapes(shift.shape, (len(axes),))
    if len(count) != 1:
        raise ValueError(
            "'shift' and 'axis' arguments to roll must be scalars or 1D arrays, got shift of shape "
            f"{tuple(shift.shape)}."
        )
    shifts = broadcast_to(convert(shift, np.dtype(np.int32)), count)
    for i, at in enumerate(np.broadcast_to(axes, count).tolist()):
        size = a.shape[at]
        start = np.int32(size) - remainder(shifts[i], max(size, 1))
        a = dynamic_slice_in_dim(_joined(a, a, at), start, size, at)
    return a


def _along(a: Any, axis: int, start: int, stop: int) -> Array:
    """``a[..., start:stop, ...]`` at `axis`."""
    shape = aval_of(a).shape
    return bind(
        slice_p,
        a,
        start_indices=(0,) * axis + (start,) + (0,) * (len(shape) - axis - 1),
        limit_indices=(*shape[:axis], stop, *shape[axis + 1 :]),
        strides=None,
    )


def repeat(
    a: Any,
    repeats: Any,
    axis: int | None = None,
    *,
    total_repeat_length: int | None = None,
    out_sharding: Any = None,
) -> Array:
    """`a` with each element along `axis` `repeats` times in a row.

    Args:
      a: array.
      repeats: a number, or one for each element.
      axis: along which; None: of the flat array.
      total_repeat_length: size of the result along `axis`, needed for traced `repeats`; the result
        is cut there, or filled with the last element.
      out_sharding: left to JAX.

    Raises:
      ConcretizationTypeError: `repeats` is traced without `total_repeat_length`.
      ValueError: a negative number.
    """
    if out_sharding is not None:
        return _jnp.repeat(
            a, repeats, axis, total_repeat_length=total_repeat_length, out_sharding=out_sharding
        )
    x = as_value(typed("repeat", a)[0])
    if axis is None or not x.ndim:
        x, axis = ravel(x), 0
    at = axis_index(axis, x.ndim)
    repeats = typed("repeat", repeats, 1)[0]
    if total_repeat_length is not None:
        return _repeat_later(x, as_value(repeats), total_repeat_length, at)
    times = concrete(
        repeats,
        "When jit-compiling jnp.repeat, the total number of repeats must be static. To fix this, "
        "either specify a static value for `repeats`, or pass a static value to "
        "`total_repeat_length`.",
    )
    if (times < 0).any():
        raise ValueError(f"repeats may not contain negative values, got {times.tolist()}.")
    if not times.ndim:
        return _repeat_each(x, int(times), at)
    from jaxcore.numpy.picking import take

    shape = (x.shape[at],)
    places = np.repeat(np.arange(x.shape[at]), np.broadcast_to(times.ravel(), shape))
    return take(x, places.astype(np.int32), at)


def _repeat_each(x: Any, times: int, at: int) -> Array:
    shape = x.shape
    wide = (*shape[: at + 1], times, *shape[at + 1 :])
    dims = tuple([i for i in range(len(wide)) if i != at + 1])
    spread = bind(broadcast_in_dim_p, x, shape=wide, broadcast_dimensions=dims)
    return reshape(spread, (*shape[:at], shape[at] * times, *shape[at + 1 :]))


def _repeat_later(x: Any, repeats: Any, total: int, at: int) -> Array:
    """Numbers known later: an element's number goes up where the next one begins."""
    from jaxcore.numpy import cumsum, subtract
    from jaxcore.numpy.creation import zeros
    from jaxcore.numpy.picking import take
    from jaxcore.numpy.shapes import broadcast_to
    from jaxcore.numpy.updates import IndexUpdateRef

    if not total or not x.shape[at]:
        return x if total else take(x, np.zeros(0, np.int32), at)
    times = broadcast_to(ravel(repeats), (x.shape[at],))
    starts = subtract(cumsum(times), times)
    begun = IndexUpdateRef(zeros(total, np.int32), starts).add(1)
    return take(x, subtract(cumsum(begun), 1), at)


@composite("reps")
def tile(A: Any, reps: Shape) -> Array:
    """`A` laid `reps` times along each axis, as tiles."""
    a, aval = typed("tile", A)
    times = [index(r) for r in reps] if isinstance(reps, Sequence) else [index(reps)]
    shape = [1] * (len(times) - len(aval.shape)) + list(aval.shape)
    times = [1] * (len(shape) - len(times)) + times
    wide = [n for pair in zip(times, shape, strict=True) for n in pair]
    lead = len(shape) - len(aval.shape)
    dims = tuple([2 * i + 1 for i in range(lead, len(shape))])
    spread = bind(broadcast_in_dim_p, a, shape=tuple(wide), broadcast_dimensions=dims)
    return reshape(spread, tuple([r * n for r, n in zip(times, shape, strict=True)]))
