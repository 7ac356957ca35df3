"""The elements of one array in another order, or several times: flip, roll, repeat, tile."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Any

import jax
import jax.numpy as _jnp
import numpy as np

from jaxcore import backend
from jaxcore.numpy.operand import as_value, axis_index, typed
from jaxcore.numpy.shapes import Shape, ravel, reshape, swapaxes
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

    With `axis` None the array is rolled as if flat.
    """
    if isinstance(shift, backend.Tracer | jax.Array):
        return _jnp.roll(a, shift, axis)
    a, aval = typed("roll", a)
    if axis is None:
        return reshape(roll(ravel(a), shift, 0), aval.shape)
    axes = _axes_of(axis, len(aval.shape))
    shifts = np.broadcast_to(np.asarray(shift), (len(axes),))
    if shifts.dtype.kind not in "iu":
        return _jnp.roll(a, shift, axis)
    for at, places in zip(axes, shifts.tolist(), strict=True):
        size = aval.shape[at]
        places = places % size if size else 0
        if places:
            cut = size - places
            a = bind(concatenate_p, _along(a, at, cut, size), _along(a, at, 0, cut), dimension=at)
    return as_value(a)


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
    """`a` with each element along `axis` `repeats` times in a row."""
    if (
        out_sharding is not None
        or total_repeat_length is not None
        or not isinstance(repeats, int | np.integer)
        or repeats < 0
    ):
        kwargs = {} if out_sharding is None else {"out_sharding": out_sharding}
        return _jnp.repeat(a, repeats, axis, total_repeat_length=total_repeat_length, **kwargs)
    a, aval = typed("repeat", a)
    if axis is None:
        a, axis = ravel(a), 0
        aval = aval_of(a)
    if not aval.shape:
        a = reshape(a, (1,))
        aval = aval_of(a)
    shape = aval.shape
    at = axis_index(axis, len(shape))
    wide = (*shape[: at + 1], int(repeats), *shape[at + 1 :])
    dims = tuple([i for i in range(len(wide)) if i != at + 1])
    spread = bind(broadcast_in_dim_p, a, shape=wide, broadcast_dimensions=dims)
    return reshape(spread, (*shape[:at], shape[at] * int(repeats), *shape[at + 1 :]))


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
