"""Counting: of integers, and of numbers in bins."""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import index
from typing import Any

import jax
import numpy as np

from jaxcore.numpy import reductions as r
from jaxcore.numpy import ufuncs as u
from jaxcore.numpy.composite import composite
from jaxcore.numpy.creation import asarray, ones_like, zeros
from jaxcore.numpy.differences import diff
from jaxcore.numpy.elementwise import clip, greater_equal, where
from jaxcore.numpy.joining import stack
from jaxcore.numpy.operand import arrays, as_array, concrete
from jaxcore.numpy.positions import ravel_multi_index
from jaxcore.numpy.promote import float_dtype
from jaxcore.numpy.ranges import linspace
from jaxcore.numpy.searching import searchsorted
from jaxcore.numpy.shapes import reshape
from jaxcore.numpy.updates import IndexUpdateRef
from jaxcore.ops.convert import convert
from jaxcore.ops.rules import kind_of

__all__ = [
    "bincount",
    "digitize",
    "histogram",
    "histogram2d",
    "histogram_bin_edges",
    "histogramdd",
]

Array = jax.Array
Range = Sequence[Any] | Array | None


# --- integers -----------------------------------------------------------------------------------


def bincount(
    x: Any,
    weights: Any = None,
    minlength: int = 0,
    *,
    length: int | None = None,
    out_sharding: Any = None,
) -> Array:
    """How often each of 0, 1, 2, ... occurs in the vector `x`.

    Args:
      x: vector of integers; negative ones count as 0.
      weights: of the same shape: what each of them counts.
      minlength: the least size of the result.
      length: the size of the result; needed under `jit`. Larger integers are left out.
      out_sharding: left to JAX.

    Raises:
      TypeError: `x` holds no integers.
      ValueError: `x` is no vector, or `weights` has another shape.
      ConcretizationTypeError: `x` is traced and `length` is not given.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> jnp.bincount(jnp.array([1, 1, 3]))
      Array([0, 2, 0, 1], dtype=int32)
    """
    if out_sharding is not None:
        return jax.numpy.bincount(x, weights, minlength, length=length, out_sharding=out_sharding)
    values = as_array("bincount", x)
    if kind_of(values.dtype) == "b":
        values = convert(values, np.dtype(np.int32))
    if kind_of(values.dtype) not in "iu":
        raise TypeError(f"x argument to bincount must have an integer type; got {values.dtype}")
    if values.ndim != 1:
        raise ValueError(f"only 1-dimensional input supported, got shape {tuple(values.shape)}.")
    if length is None:
        known = concrete(
            x,
            "The error occurred because of argument 'x' of jnp.bincount. To avoid this error, "
            "pass a static `length` argument.",
        )
        length = max(index(minlength), int(known.max(initial=-1)) + 1)
    return _bincount(values, weights, index(length))


@composite("length")
def _bincount(x: Any, weights: Any, length: int) -> Array:
    weights = asarray(1, int) if weights is None else as_array("bincount", weights, 1)
    if weights.ndim and weights.shape != x.shape:
        raise ValueError(
            f"shape of weights must match shape of x, got {tuple(weights.shape)} and "
            f"{tuple(x.shape)}."
        )
    counts = IndexUpdateRef(zeros(length, weights.dtype), clip(x, 0))
    return counts.add(weights, mode="drop")


# --- bins ---------------------------------------------------------------------------------------


def digitize(x: Any, bins: Any, right: bool = False, *, method: str | None = None) -> Array:
    """The number of the bin that each element of `x` falls into; 0 before the first edge.

    Args:
      x: array.
      bins: vector of edges, ascending or descending.
      right: count an edge to the bin that it closes, not to the one that it opens.
      method: of `searchsorted`.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> jnp.digitize(jnp.array([0.5, 1.0, 9.0]), jnp.array([1.0, 2.0]))
      Array([0, 1, 2], dtype=int32)
    """
    right = bool(concrete(right, "right argument of jnp.digitize()"))
    return _digitize(x, bins, right, "scan" if method is None else method)


@composite("right", "method")
def _digitize(x: Any, bins: Any, right: bool, method: str) -> Array:
    x, edges = as_array("digitize", x), as_array("digitize", bins, 1)
    if edges.ndim != 1:
        raise ValueError(
            f"digitize: bins must be a 1-dimensional array; got shape {tuple(edges.shape)}"
        )
    n = edges.shape[0]
    if not n:
        return zeros(x.shape, np.int32)
    side = "left" if right else "right"
    up = searchsorted(edges, x, side, method=method)
    down = u.subtract(n, searchsorted(edges[::-1], x, side, method=method))
    return where(greater_equal(edges[-1], edges[0]), up, down)


@composite("bins")
def _even_edges(a: Any, bins: int, range: Any) -> Array:
    x = as_array("histogram_bin_edges", a)
    dtype = float_dtype(x.dtype)
    if range is None:
        low, high = (r.min(x), r.max(x)) if x.size else (0, 1)
    else:
        if len(range) != 2:
            raise ValueError(f"`range` must be either None or a sequence of scalars, got {range}")
        low, high = range
    low, high = (asarray(edge, dtype) for edge in (low, high))
    one = u.equal(low, high)
    low, high = where(one, u.subtract(low, 0.5), low), where(one, u.add(high, 0.5), high)
    return linspace(low, high, bins + 1, dtype=dtype)


def histogram_bin_edges(a: Any, bins: Any = 10, range: Range = None, weights: Any = None) -> Array:
    """The edges of the bins of `histogram`.

    Args:
      a: array.
      bins: number of bins, or their edges.
      range: the first and the last edge; by default the smallest and the largest element.
      weights: without effect.

    Raises:
      NotImplementedError: `bins` is the name of a rule.
    """
    if isinstance(bins, str):
        raise NotImplementedError(
            f"string values for `bins` not implemented, got {bins!r}. Fix: give a number of bins, "
            "or their edges."
        )
    x = as_array("histogram_bin_edges", a)
    if np.ndim(bins) == 1:
        return asarray(as_array("histogram_bin_edges", bins, 1), float_dtype(x.dtype))
    count = int(concrete(bins, "bins argument of histogram_bin_edges"))
    return _even_edges(x, count, None if range is None else tuple(range))


def _weighted(name: str, a: Any, weights: Any) -> tuple[Any, Any]:
    if weights is None:
        (x,) = arrays(name, a, to_float=True)
        return x, None
    x, w = arrays(name, a, weights, to_float=True)
    return x, w


def histogram(
    a: Any,
    bins: Any = 10,
    range: Range = None,
    weights: Any = None,
    density: bool | None = None,
    out_sharding: Any = None,
) -> tuple[Array, Array]:
    """How many elements of `a` fall into each bin, and the edges of the bins.

    Args:
      a: array, taken flat.
      bins: number of bins, or their edges.
      range: the first and the last edge; by default the smallest and the largest element.
      weights: of the shape of `a`: what each element counts.
      density: scale the counts so that the integral over the bins is 1.
      out_sharding: left to JAX.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> counts, edges = jnp.histogram(jnp.array([1.0, 2.0, 2.0, 5.0]), bins=2)
      >>> counts
      Array([3., 1.], dtype=float32)
    """
    if out_sharding is not None:
        of_jax: Any = jax.numpy.histogram
        return of_jax(a, bins, range, weights, density, out_sharding=out_sharding)
    x, w = _weighted("histogram", a, weights)
    if w is not None and w.shape != x.shape:
        raise ValueError(
            f"weights should have the same shape as a, got {tuple(w.shape)} and {tuple(x.shape)}."
        )
    edges = histogram_bin_edges(x, bins, range, w)
    return _count(x, w, edges, bool(density)), edges


@composite("density")
def _count(x: Any, w: Any, edges: Any, density: bool) -> Array:
    last = edges.shape[0] - 1
    place = searchsorted(edges, x, side="right")
    place = where(u.equal(x, edges[-1]), last, place)  # the last bin holds its upper edge too
    w = ones_like(x) if w is None else w
    counts = IndexUpdateRef(zeros(last + 1, w.dtype), place).add(w)[1:]
    if not density:
        return counts
    return u.divide(u.divide(counts, diff(edges)), r.sum(counts))


def histogram2d(
    x: Any,
    y: Any,
    bins: Any = 10,
    range: Sequence[Range] | None = None,
    weights: Any = None,
    density: bool | None = None,
) -> tuple[Array, Array, Array]:
    """How many of the points (x, y) fall into each cell, and the edges along both axes.

    Args:
      x, y: vectors of one size.
      bins: a number, a vector of edges, or a pair of them.
      range: a pair of (first edge, last edge).
      weights: vector: what each point counts.
      density: scale the counts so that the integral over the cells is 1.
    """
    count = len(bins) if isinstance(bins, Sequence) or np.ndim(bins) else 1
    if count not in (1, 2):
        edges = as_array("histogram2d", bins if hasattr(bins, "shape") else np.asarray(bins), 2)
        bins = [edges, edges]
    x, y = arrays("histogram2d", x, y)
    counts, (x_edges, y_edges) = histogramdd(stack([x, y], 1), bins, range, weights, density)
    return counts, x_edges, y_edges


def histogramdd(
    sample: Any,
    bins: Any = 10,
    range: Sequence[Range] | None = None,
    weights: Any = None,
    density: bool | None = None,
) -> tuple[Array, list[Array]]:
    """How many of the points fall into each cell, and the edges along every axis.

    Args:
      sample: (points, axes).
      bins: a number for all axes, or one for each: a number or a vector of edges.
      range: for each axis (first edge, last edge), or None.
      weights: vector: what each point counts.
      density: scale the counts so that the integral over the cells is 1.

    Raises:
      ValueError: not one weight a point, or not one `bins` or `range` an axis.
    """
    x, w = _weighted("histogramdd", sample, weights)
    points, axes = x.shape
    if w is not None and w.shape != (points,):
        raise ValueError(
            f"should have one weight for each sample: {points} samples, weights of shape "
            f"{tuple(w.shape)}."
        )
    if range is not None and (
        len(range) != axes or any(one is not None and np.shape(one)[0] != 2 for one in range)
    ):
        raise ValueError(
            f"For sample.shape={(points, axes)}, range must be a sequence of {axes} pairs or "
            f"Nones; got range={range!r}"
        )
    several = isinstance(bins, Sequence) or np.ndim(bins) > 0
    each = list(bins) if several else [bins] * axes
    if len(each) != axes:
        raise ValueError(f"should be a bin for each dimension: {axes} axes, {len(each)} bins.")
    ranges = [None] * axes if range is None else range
    edges = [
        histogram_bin_edges(x[:, i], one, limits)
        for i, (one, limits) in enumerate(zip(each, ranges, strict=True))
    ]
    return _count_cells(x, w, edges, bool(density)), edges


@composite("density")
def _count_cells(x: Any, w: Any, edges: Sequence[Any], density: bool) -> Array:
    places = []
    for i, edge in enumerate(edges):
        one = x[:, i]
        place = searchsorted(edge, one, side="right")
        places.append(where(u.equal(one, edge[-1]), u.subtract(place, 1), place))
    shape = tuple([edge.shape[0] + 1 for edge in edges])
    flat = ravel_multi_index(tuple(places), shape, mode="clip")
    counts = reshape(_bincount(flat, w, math.prod(shape)), shape)
    counts = counts[(slice(1, -1),) * len(shape)]
    if not density:
        return counts
    counts = convert(counts, x.dtype)
    counts = u.divide(counts, r.sum(counts))
    for i, edge in enumerate(edges):
        width = reshape(diff(edge), [-1 if i == j else 1 for j in range(len(edges))])
        counts = u.divide(counts, width)
    return counts
