"""Medians, quantiles and percentiles."""

from __future__ import annotations

import math
from typing import Any

import jax
import numpy as np

from jaxcore.backend import ShapedArray
from jaxcore.numpy import reductions as r
from jaxcore.numpy import ufuncs as u
from jaxcore.numpy.composite import composite
from jaxcore.numpy.creation import ones_like
from jaxcore.numpy.elementwise import clip, less, less_equal, where
from jaxcore.numpy.logic import isnan
from jaxcore.numpy.operand import arrays, as_array
from jaxcore.numpy.picking import take_along_axis
from jaxcore.numpy.promote import is_complex
from jaxcore.numpy.reductions import canonical_axes
from jaxcore.numpy.running import cumsum
from jaxcore.numpy.shapes import broadcast_to, expand_dims, moveaxis, reshape
from jaxcore.ops.convert import convert
from jaxcore.ops.elementwise import ceil_p, floor_p
from jaxcore.ops.rules import broadcast_in_dim, full
from jaxcore.ops.sort import sort_p
from jaxcore.trace import bind

__all__ = ["median", "nanmedian", "nanpercentile", "nanquantile", "percentile", "quantile"]

Array = jax.Array
Axis = int | tuple[int, ...] | None

_METHODS = ("linear", "lower", "higher", "midpoint", "nearest", "inverted_cdf")
_STATIC = ("axis", "overwrite_input", "method", "keepdims")


@composite(*_STATIC)
def quantile(
    a: Any,
    q: Any,
    axis: Axis = None,
    out: None = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
    *,
    weights: Any = None,
) -> Array:
    """The values below which the fractions `q` of the elements over `axis` lie.

    Args:
      a: array of real numbers.
      q: scalar or vector of numbers in [0, 1].
      axis: axis or axes; None is all of them.
      out, overwrite_input: not supported.
      method: what is returned between two elements: "linear", "lower", "higher", "midpoint",
        "nearest" or "inverted_cdf".
      keepdims: leave the reduced axes with size 1.
      weights: of the shape of `a` or of its `axis`; only with "inverted_cdf".

    Returns:
      An array with the axes of `q` first; NaN where an element is NaN.

    Raises:
      ValueError: an unknown method, a `q` with more than one axis, complex elements, or weights of
        another shape.
      NotImplementedError: weights with another method.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> jnp.quantile(jnp.array([1.0, 2.0, 3.0, 4.0]), jnp.array([0.0, 0.5]))
      Array([1. , 2.5], dtype=float32)
    """
    _unsupported("quantile", out, overwrite_input)
    return _quantile(a, as_array("quantile", q, 1), axis, method, keepdims, weights, False)


@composite(*_STATIC)
def nanquantile(
    a: Any,
    q: Any,
    axis: Axis = None,
    out: None = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
    *,
    weights: Any = None,
) -> Array:
    """`quantile` of what is not NaN; NaN where nothing is left."""
    _unsupported("nanquantile", out, overwrite_input)
    return _quantile(a, as_array("nanquantile", q, 1), axis, method, keepdims, weights, True)


@composite("axis", "overwrite_input", "method", "keepdims", "out_sharding")
def percentile(
    a: Any,
    q: Any,
    axis: Axis = None,
    out: None = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
    *,
    weights: Any = None,
    out_sharding: Any = None,
) -> Array:
    """`quantile` of the fractions ``q / 100``; `out_sharding` is left to JAX."""
    if out_sharding is not None:
        settings = {"weights": weights, "out_sharding": out_sharding}
        return jax.numpy.percentile(a, q, axis, out, overwrite_input, method, keepdims, **settings)
    q = u.divide(arrays("percentile", q, to_float=True)[0], 100)
    return quantile(a, q, axis, out, overwrite_input, method, keepdims, weights=weights)


@composite("axis", "overwrite_input", "method", "keepdims")
def nanpercentile(
    a: Any,
    q: Any,
    axis: Axis = None,
    out: None = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
    *,
    weights: Any = None,
) -> Array:
    """`nanquantile` of the fractions ``q / 100``."""
    q = u.divide(arrays("nanpercentile", q, to_float=True)[0], 100)
    return nanquantile(a, q, axis, out, overwrite_input, method, keepdims, weights=weights)


@composite("axis", "overwrite_input", "keepdims")
def median(
    a: Any,
    axis: Axis = None,
    out: None = None,
    overwrite_input: bool = False,
    keepdims: bool = False,
) -> Array:
    """The middle element over `axis`, or the mean of the two in the middle.

    Raises:
      ValueError: there are no elements.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> jnp.median(jnp.array([3.0, 1.0, 2.0, 10.0]))
      Array(2.5, dtype=float32)
    """
    x = as_array("median", a)
    if any(x.shape[i] == 0 for i in canonical_axes(axis, x.ndim, "median")):
        raise ValueError(
            f"jax.numpy.median reduction axis must be non-empty, got shape {tuple(x.shape)}."
        )
    return quantile(x, 0.5, axis, out, overwrite_input, "midpoint", keepdims)


@composite("axis", "overwrite_input", "keepdims")
def nanmedian(
    a: Any,
    axis: Axis = None,
    out: None = None,
    overwrite_input: bool = False,
    keepdims: bool = False,
) -> Array:
    """`median` of what is not NaN; NaN where nothing is left."""
    return nanquantile(a, 0.5, axis, out, overwrite_input, "midpoint", keepdims)


# --- one computation for all --------------------------------------------------------------------


def _unsupported(name: str, out: None, overwrite_input: bool) -> None:
    if overwrite_input or out is not None:
        raise ValueError(f"jax.numpy.{name} does not support overwrite_input=True or out != None")


def _quantile(
    a: Any, q: Any, axis: Axis, method: str, keepdims: bool, weights: Any, skip_nan: bool
) -> Array:
    """The elements are laid out (others, reduced), sorted, and picked at the places of `q`."""
    if method not in _METHODS:
        raise ValueError(f"method can only be one of {', '.join(_METHODS)}; got {method!r}.")
    if weights is None:
        (x,) = arrays("quantile", a, to_float=True)
    else:
        x, weights = _weighted(a, weights, axis, method)
    if is_complex(x):
        raise ValueError(
            "quantile does not support complex input, as the operation is poorly defined."
        )
    if q.ndim > 1:
        raise ValueError(f"q must be have rank <= 1, got shape {tuple(q.shape)}.")
    (q,) = arrays("quantile", q, to_float=True)
    axes = canonical_axes(axis, x.ndim, "quantile")
    kept = tuple([1 if i in axes else n for i, n in enumerate(x.shape)])
    others = tuple([n for i, n in enumerate(x.shape) if i not in axes])
    count = math.prod(x.shape[i] for i in axes)
    lay_out = lambda v: reshape(
        moveaxis(v, axes, range(v.ndim - len(axes), v.ndim)), (*others, count)
    )
    x = lay_out(x)
    if not count:
        out = full(np.nan, ShapedArray((*q.shape, *others), x.dtype))
    else:
        w = None if weights is None else lay_out(weights)
        out = _sorted_quantile(x, w, q, method, skip_nan)
    return reshape(convert(out, x.dtype), (*q.shape, *kept) if keepdims else out.shape)


def _weighted(a: Any, weights: Any, axis: Axis, method: str) -> tuple[Any, Any]:
    x, w = arrays("quantile", a, weights, to_float=True)
    if is_complex(w):
        raise ValueError("Weights cannot be complex types.")
    if method != "inverted_cdf":
        raise NotImplementedError(
            f"{method} doesn't support weights. Only method 'inverted_cdf' supports weights."
        )
    if w.shape == x.shape:
        return x, w
    if axis is None:
        raise ValueError(
            f"Weights shape must match 'a' shape when axis is None: got {tuple(w.shape)} and "
            f"{tuple(x.shape)}."
        )
    axes = canonical_axes(axis, x.ndim, "quantile")
    if w.shape != tuple(x.shape[i] for i in axes):
        raise ValueError(
            f"Weights shape {tuple(w.shape)} must match reduction axes "
            f"{tuple([x.shape[i] for i in axes])}"
        )
    return x, broadcast_in_dim(w, x.shape, axes)


def _sorted_quantile(x: Any, w: Any, q: Any, method: str, skip_nan: bool) -> Any:
    """The quantiles over the last axis of `x`: an array (*q, *others)."""
    nan = isnan(x)
    if not skip_nan:  # one NaN makes the whole NaN
        x = where(r.any(nan, axis=-1, keepdims=True), np.nan, x)
    last = x.ndim - 1
    values = (x,) if w is None else (x, w)
    x, *rest = bind(sort_p, *values, dimension=last, is_stable=w is not None, num_keys=1)
    others = x.shape[:-1]
    if skip_nan:
        left = r.sum(u.invert(nan), axis=-1, dtype=q.dtype)
    else:
        left = full(x.shape[-1], ShapedArray(others, q.dtype))
    last_place = u.subtract(left, 1)
    wide = (*q.shape, *others)
    q = broadcast_in_dim(q, wide, range(q.ndim))
    limit = broadcast_in_dim(last_place, wide, range(q.ndim - len(others), q.ndim))
    if method == "inverted_cdf":
        w = rest[0] if rest else ones_like(x)
        return _by_weight(x, w, q, limit, skip_nan)
    place = u.multiply(q, limit)
    low, high = bind(floor_p, place), bind(ceil_p, place)
    share = u.subtract(place, low)
    below, above = (_pick(x, clip(p, 0, limit)) for p in (low, high))
    if method == "lower":
        return below
    if method == "higher":
        return above
    if method == "nearest":
        return where(less_equal(share, 0.5), below, above)
    if method == "midpoint":
        return u.multiply(u.add(below, above), below.dtype.type(0.5))
    below, above = below.astype(q.dtype), above.astype(q.dtype)
    return u.add(u.multiply(below, u.subtract(1, share)), u.multiply(above, share))


def _pick(x: Any, places: Any) -> Any:
    """The elements of `x` (*others, n) at `places` (*q, *others)."""
    lead = places.ndim - (x.ndim - 1)
    places = places.astype(int)
    if not lead:
        return take_along_axis(x, expand_dims(places, -1), -1, mode="clip")[..., 0]
    return moveaxis(take_along_axis(x, moveaxis(places, 0, -1), -1, mode="clip"), -1, 0)


def _by_weight(x: Any, w: Any, q: Any, limit: Any, skip_nan: bool) -> Any:
    """The first element at which the running weight reaches the fraction `q` of the total."""
    bad = u.bitwise_or(less(w, 0), isnan(w))
    nan = isnan(x)
    total = cumsum(where(u.bitwise_or(bad, nan), 0, w), -1)
    target = u.multiply(q, broadcast_to(total[..., -1], q.shape))
    lead = q.ndim - (x.ndim - 1)
    running = broadcast_in_dim(total, (*q.shape, x.shape[-1]), range(lead, q.ndim + 1))
    before = r.sum(less(running, expand_dims(target, -1)), axis=-1, dtype=int)
    value = _pick(x, clip(before, 0, limit.astype(int)))
    spoiled = r.any(bad, axis=-1)
    if not skip_nan:
        spoiled = u.bitwise_or(spoiled, r.any(nan, axis=-1))
    spoiled = u.bitwise_or(broadcast_to(spoiled, q.shape), less(limit, 0))
    return where(spoiled, np.nan, value)
