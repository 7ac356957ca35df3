"""How the CPU computes the gradient of an extremum over windows: by shifted slices.

XLA's own form writes down the indices of every element and scatters to them. Here a loop over the
places of a window remembers at which of them the extremum lies, and an element then collects the
cotangents of the windows that chose it. Both are elementwise, so each is one pass over memory.

Places are compared in the order in which XLA goes through a window, and the earlier stays while it
is at least (at most) the later: of equal elements the first is chosen, and a NaN never stays. Made
when a program is lowered, after every derivative.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax import lax

from jaxcore.backend import ShapedArray
from jaxcore.ops.rules import kind_of

__all__ = ["extreme_identity", "scatter_form"]

_PLACES = 127  # in a window, so that an int8 tells them apart
_MEETINGS = 25  # windows that hold one element


def extreme_identity(dtype: Any, greatest: bool) -> Any:
    """What a maximum (`greatest`) or minimum of nothing is."""
    kind = kind_of(dtype)
    if kind == "b":
        return not greatest
    if kind == "f":
        return -math.inf if greatest else math.inf
    info = jax.numpy.iinfo(dtype)
    return info.min if greatest else info.max


def scatter_form(
    ct: ShapedArray, operand: ShapedArray, out: ShapedArray, params: dict[str, Any]
) -> Any:
    """The function of both operands that computes `select_and_scatter_add`; None for XLA's own."""
    window, strides = params["window_dimensions"], params["window_strides"]
    steps = _steps(window, strides)
    apart = math.prod([t * s for t, s in zip(steps, strides, strict=True)])
    plain = kind_of(operand.dtype) in "fiu" and 0 not in (*ct.shape, *operand.shape)
    if not plain or apart > _PLACES or math.prod(steps) > _MEETINGS:
        return None
    return lambda ct, operand: _scatter(ct, operand, **params)


def _scatter(
    ct: Any,
    operand: Any,
    *,
    select_prim: Any,
    window_dimensions: Sequence[int],
    window_strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
) -> Any:
    greatest = select_prim is lax.ge_p
    fill = np.asarray(extreme_identity(operand.dtype, greatest), operand.dtype)[()]
    wide = lax.pad(operand, fill, [(*p, 0) for p in padding])
    steps = _steps(window_dimensions, window_strides)
    # A place is numbered as in a window of the next multiple of the strides.
    weights = [1]
    for t, s in zip(steps[:0:-1], window_strides[:0:-1], strict=True):
        weights.insert(0, weights[0] * t * s)
    at = _chosen(
        wide, ct.shape, window_dimensions, window_strides, weights, lax.ge if greatest else lax.le
    )
    made = _collected(ct, at, window_strides, steps, weights)
    rest = [
        (-low, low + n - m, 0)
        for (low, _), n, m in zip(padding, operand.shape, made.shape, strict=True)
    ]
    return lax.pad(made, np.zeros((), ct.dtype)[()], rest)


def _chosen(
    x: Any,
    made: Sequence[int],
    window: Sequence[int],
    strides: Sequence[int],
    weights: Sequence[int],
    stays: Any,
) -> Any:
    """For each window the number of the place at which its extremum lies."""
    best: Any = None
    at: Any = None
    for place in itertools.product(*map(range, window)):
        stop = [p + (n - 1) * s + 1 for p, n, s in zip(place, made, strides, strict=True)]
        part = lax.slice(x, place, stop, strides)
        number = lax.full(made, _number(place, weights), np.int8)
        if best is None:
            best, at = part, number
        else:
            keep = stays(best, part)
            best, at = lax.select(keep, best, part), lax.select(keep, at, number)
    return at


def _collected(
    ct: Any, at: Any, strides: Sequence[int], steps: Sequence[int], weights: Sequence[int]
) -> Any:
    """For each element the sum of the cotangents of the windows that chose it.

    Element u · s + a of an axis is at place a + d · s of window u - d, for each d below the axis's
    `steps`. Units u and offsets a are axes of their own until the end.
    """
    units = [n + t - 1 for n, t in zip(ct.shape, steps, strict=True)]
    split = [x for pair in zip(units, strides, strict=True) for x in pair]
    rim = [(t - 1, t - 1, 0) for t in steps]
    ct, at = lax.pad(ct, np.zeros((), ct.dtype)[()], rim), lax.pad(at, np.int8(-1), rim)
    offset = lax.full(split, 0, np.int8)
    for i, (w, s) in enumerate(zip(weights, strides, strict=True)):
        if s > 1:
            offset = offset + lax.broadcasted_iota(np.int8, split, 2 * i + 1) * np.int8(w)
    total: Any = None
    for back in itertools.product(*[range(t - 1, -1, -1) for t in steps]):  # earlier windows first
        start = [t - 1 - d for t, d in zip(steps, back, strict=True)]
        stop = [a + u for a, u in zip(start, units, strict=True)]
        chosen, given = [
            lax.broadcast_in_dim(lax.slice(v, start, stop), split, range(0, len(split), 2))
            for v in (at, ct)
        ]
        place = [d * s for d, s in zip(back, strides, strict=True)]
        here = chosen == offset + _number(place, weights)
        term = lax.select(here, given, lax.full(split, 0, ct.dtype))
        total = term if total is None else total + term
    return lax.reshape(total, [u * s for u, s in zip(units, strides, strict=True)])


def _number(place: Sequence[int], weights: Sequence[int]) -> np.int8:
    return np.int8(sum(w * k for w, k in zip(weights, place, strict=True)))


def _steps(window: Sequence[int], strides: Sequence[int]) -> list[int]:
    """How many windows hold an element at most, for each axis."""
    return [-(-w // s) for w, s in zip(window, strides, strict=True)]
