"""Where elements are: positions of what is not zero, places in a sorted array, interpolation."""

from __future__ import annotations

import math
from operator import index
from typing import Any

import jax
import numpy as np

from jaxcore.numpy import reductions as r
from jaxcore.numpy import ufuncs as u
from jaxcore.numpy.composite import composite
from jaxcore.numpy.creation import arange, asarray, full, zeros
from jaxcore.numpy.elementwise import absolute, clip, less, less_equal, remainder, where
from jaxcore.numpy.index_plan import int_dtype
from jaxcore.numpy.joining import concatenate, stack
from jaxcore.numpy.logic import isnan
from jaxcore.numpy.operand import arrays, as_array, concrete, no_out
from jaxcore.numpy.picking import take
from jaxcore.numpy.promote import is_complex
from jaxcore.numpy.running import cumsum
from jaxcore.numpy.shapes import atleast_1d, expand_dims, moveaxis, ravel, reshape
from jaxcore.numpy.sorting import argsort
from jaxcore.numpy.updates import IndexUpdateRef
from jaxcore.ops.arithmetic import div, rem_p
from jaxcore.ops.rules import kind_of
from jaxcore.ops.sort import sort_p
from jaxcore.trace import bind

__all__ = [
    "argwhere",
    "compress",
    "extract",
    "flatnonzero",
    "interp",
    "nonzero",
    "searchsorted",
]

Array = jax.Array


# --- what is not zero ---------------------------------------------------------------------------


def nonzero(a: Any, *, size: int | None = None, fill_value: Any = None) -> tuple[Array, ...]:
    """The positions of the elements that are not zero, an array of them for each axis.

    Args:
      a: array with at least one axis.
      size: how many positions to return; needed under `jit`, where their number is unknown.
      fill_value: a scalar, or one for each axis, in place of positions that are too few (0).

    Raises:
      ConcretizationTypeError: `a` is traced and `size` is not given.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> jnp.nonzero(jnp.array([0, 5, 0, 6]), size=3, fill_value=-1)
      (Array([ 1,  3, -1], dtype=int32),)
    """
    x = as_array("nonzero", a)
    if not x.ndim:
        raise ValueError(
            "Calling nonzero on 0d arrays is not allowed. Use jnp.atleast_1d(scalar).nonzero() "
            "instead."
        )
    if size is None:
        known = concrete(
            a,
            "The size argument of jnp.nonzero must be statically specified to use jnp.nonzero "
            "within JAX transformations.",
        )
        return tuple([asarray(places, int) for places in np.nonzero(known)])
    size = index(size)
    if size < 0:
        raise ValueError(f"size must be nonnegative, got {size}.")
    fill = fill_value if isinstance(fill_value, tuple) else (fill_value,) * x.ndim
    if any(np.ndim(f) for f in fill) or len(fill) != x.ndim:
        raise ValueError(
            f"fill_value must be a scalar or a tuple of length {x.ndim}; got {fill_value}"
        )
    return _nonzero(x, tuple(fill), size)


@composite("size")
def _nonzero(x: Any, fill: tuple[Any, ...], size: int) -> tuple[Array, ...]:
    """The k-th element that is not zero stores its position at place k; the others store none."""
    if 0 in x.shape or not size:
        return tuple([zeros(size, int) if f is None else full(size, f, int) for f in fill])
    mask = ravel(x if kind_of(x.dtype) == "b" else u.not_equal(x, 0))
    seen = cumsum(mask, dtype=int)
    place = where(mask, u.subtract(seen, 1), size)
    flat = IndexUpdateRef(zeros(size, int), place).set(arange(mask.shape[0]), mode="drop")
    missing = u.invert(less(arange(size), seen[-1]))
    out = []
    for axis, value in enumerate(fill):
        stride = math.prod(x.shape[axis + 1 :])
        one = div(flat, flat.dtype.type(stride))
        one = bind(rem_p, one, flat.dtype.type(x.shape[axis]))
        out.append(one if value is None else where(missing, value, one))
    return tuple(out)


def flatnonzero(a: Any, *, size: int | None = None, fill_value: Any = None) -> Array:
    """The positions of what is not zero in the flat array; arguments as of `nonzero`."""
    return nonzero(ravel(a), size=size, fill_value=fill_value)[0]


def argwhere(a: Any, *, size: int | None = None, fill_value: Any = None) -> Array:
    """The positions of what is not zero, one in each row; arguments as of `nonzero`.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> jnp.argwhere(jnp.array([[0, 1], [2, 0]]))
      Array([[0, 1],
             [1, 0]], dtype=int32)
    """
    x = as_array("argwhere", a)
    rows = stack(nonzero(atleast_1d(x), size=size, fill_value=fill_value), axis=1)
    return rows if x.ndim else rows[:, :0]


def extract(condition: Any, arr: Any, *, size: int | None = None, fill_value: Any = 0) -> Array:
    """The elements of `arr` where `condition` holds, flat; arguments as of `compress`."""
    return compress(ravel(condition), ravel(arr), size=size, fill_value=fill_value)


def compress(
    condition: Any,
    a: Any,
    axis: int | None = None,
    *,
    size: int | None = None,
    fill_value: Any = 0,
    out: None = None,
) -> Array:
    """The slices of `a` along `axis` (None: of the flat array) where `condition` holds.

    Args:
      condition: vector; what it says beyond the end of the axis must be false.
      a: array.
      axis: along which to choose.
      size: how many slices to return; needed under `jit`.
      fill_value: in place of slices that are too few.
      out: not supported.

    Raises:
      ConcretizationTypeError: `condition` is traced and `size` is not given.
      ValueError: `condition` is no vector or too long, or `size` is larger than the axis.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> jnp.compress(jnp.array([True, False, True]), jnp.array([1, 2, 3]))
      Array([1, 3], dtype=int32)
    """
    no_out("compress", out)
    keep, x = as_array("compress", condition), as_array("compress", a, 1)
    if keep.ndim != 1:
        raise ValueError(f"condition must be a 1D array, got shape {tuple(keep.shape)}.")
    if axis is None:
        x, axis = ravel(x), 0
    x = moveaxis(x, axis, 0)
    if size is None:
        mask = concrete(
            condition,
            "The size argument of jnp.compress must be specified in order to use jnp.compress "
            "within JAX transformations like jax.jit, jax.vmap, and jax.grad.",
        ).astype(bool)
        if mask[x.shape[0] :].any():
            raise ValueError(
                "condition contains entries that are out of bounds: it holds beyond the size "
                f"{x.shape[0]} of the axis."
            )
        return moveaxis(take(x, np.nonzero(mask)[0].astype(np.int32), 0), 0, axis)
    if not 0 <= size <= x.shape[0]:
        raise ValueError(
            "size must be positive and not greater than the size of the array axis; got "
            f"size={size} for a.shape[axis]={x.shape[0]}"
        )
    (places,) = nonzero(keep[: x.shape[0]], size=size, fill_value=x.shape[0])
    found = less(places, x.shape[0])
    found = expand_dims(found, tuple(range(1, x.ndim)))
    fill = as_array("compress", fill_value).astype(x.dtype)
    return moveaxis(where(found, take(x, places, 0, mode="clip"), fill), 0, axis)


# --- places in a sorted array -------------------------------------------------------------------


def searchsorted(
    a: Any, v: Any, side: str = "left", sorter: Any = None, *, method: str = "scan"
) -> Array:
    """The places at which each of `v` would be put into the sorted vector `a`.

    Args:
      a: vector in ascending order, NaN last.
      v: array.
      side: "left" is before equal elements, "right" after them.
      sorter: positions that sort `a`, if it is not in order.
      method: "scan" and "scan_unrolled" halve the range until it is found, "compare_all" looks at
        every element, "sort" sorts `a` and `v` together.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> jnp.searchsorted(jnp.array([1, 2, 2, 3]), 2)
      Array(1, dtype=int32)
    """
    if side not in ("left", "right"):
        raise ValueError(f"invalid argument side={side!r}, expected 'left' or 'right'")
    methods = ("compare_all", "scan", "scan_unrolled", "sort")
    if method not in methods:
        raise ValueError(f"invalid argument method={method!r}, expected one of {list(methods)}")
    x = as_array("searchsorted", a)
    if x.ndim != 1:
        raise ValueError(f"a should be 1-dimensional, got shape {tuple(x.shape)}.")
    if sorter is not None:
        x = take(x, as_array("searchsorted", sorter, 3), 0)
    return _searchsorted(x, v, side, method)


@composite("side", "method")
def _searchsorted(a: Any, v: Any, side: str, method: str) -> Array:
    a, v = arrays("searchsorted", a, v)
    n = a.shape[0]
    dtype = int_dtype((n,))
    if not n or 0 in v.shape:
        return zeros(v.shape, dtype)
    if method == "sort":
        return reshape(_by_sorting(a, ravel(v), side), v.shape).astype(dtype)
    if method == "compare_all":
        left = _goes_left(expand_dims(v, -1), reshape(a, (1,) * v.ndim + (n,)), side)
        return r.sum(u.invert(left), axis=-1, dtype=dtype)

    def halve(_: Any, bounds: tuple[Any, Any]) -> tuple[Any, Any]:
        low, high = bounds
        middle = u.add(low, div(u.subtract(high, low), dtype.type(2)))
        left = _goes_left(v, take(a, middle, mode="clip"), side)
        return where(left, low, middle), where(left, middle, high)

    bounds = zeros(v.shape, dtype), full(v.shape, n, dtype)
    levels = math.ceil(math.log2(n + 1))
    if method == "scan_unrolled":
        for level in range(levels):
            bounds = halve(level, bounds)
        return bounds[1]
    from jaxcore.loops import fori_loop

    return fori_loop(0, levels, halve, bounds)[1]


def _goes_left(v: Any, x: Any, side: str) -> Any:
    """Whether `v` is put before the element `x`; NaN is the largest number."""
    exact = kind_of(x.dtype) not in "fc"
    if side == "left":
        return less_equal(v, x) if exact else u.bitwise_or(less_equal(v, x), isnan(x))
    if exact:
        return less(v, x)
    return u.bitwise_or(less(v, x), u.bitwise_and(isnan(x), u.invert(isnan(v))))


def _by_sorting(a: Any, v: Any, side: str) -> Any:
    """How many of `a` come before each of `v`: its rank among both less that among `v` alone."""
    rank = lambda x: argsort(argsort(x))
    n = v.shape[0]
    if side == "left":
        both = rank(concatenate([v, a]))[:n]
    else:
        both = rank(concatenate([a, v]))[a.shape[0] :]
    return u.subtract(both, rank(v))


# --- interpolation ------------------------------------------------------------------------------


def interp(
    x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None
) -> Array:
    """The piecewise linear function through the points (`xp`, `fp`) at `x`.

    Args:
      x: array.
      xp: vector in ascending order.
      fp: vector of the same size.
      left, right: values before and after the points; by default the first and last of `fp`,
        "extrapolate" continues the line.
      period: of `xp`, which then may be in any order; `left` and `right` do not count.

    Raises:
      ValueError: `xp` and `fp` are no vectors of one size, or `x` is complex.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> jnp.interp(1.5, jnp.array([1.0, 2.0]), jnp.array([10.0, 20.0]))
      Array(15., dtype=float32)
    """
    for name, value in (("left", left), ("right", right)):
        if isinstance(value, str) and value != "extrapolate":
            raise ValueError(
                f"the only valid string value of `{name}` is 'extrapolate', but got: {value!r}"
            )
    kept = (isinstance(left, str), isinstance(right, str))
    left, right = (None if isinstance(value, str) else value for value in (left, right))
    return _interp(x, xp, fp, left, right, period, kept)


@composite("kept")
def _interp(
    x: Any, xp: Any, fp: Any, left: Any, right: Any, period: Any, kept: tuple[bool, bool]
) -> Array:
    x, xp = arrays("interp", x, xp, to_float=True)
    (fp,) = arrays("interp", fp, to_float=True)
    if xp.shape != fp.shape or xp.ndim != 1:
        raise ValueError(
            "xp and fp must be one-dimensional arrays of equal size, got shapes "
            f"{tuple(xp.shape)} and {tuple(fp.shape)}."
        )
    if is_complex(x):
        raise ValueError("jnp.interp: complex x values not supported.")
    if period is not None:
        if np.ndim(period):
            raise ValueError(f"period must be a scalar; got shape {np.shape(period)}.")
        period = absolute(period)
        x, xp = remainder(x, period), remainder(xp, period)
        xp, fp = bind(sort_p, xp, fp, dimension=0, is_stable=True, num_keys=1)
        xp = concatenate([u.subtract(xp[-1:], period), xp, u.add(xp[:1], period)])
        fp = concatenate([fp[-1:], fp, fp[:1]])
    i = clip(searchsorted(xp, x, side="right"), 1, xp.shape[0] - 1)
    before = u.subtract(i, 1)
    at = lambda values, places: take(values, places, mode="clip")
    x0, y0 = at(xp, before), at(fp, before)
    dx, dy = u.subtract(at(xp, i), x0), u.subtract(at(fp, i), y0)
    flat = less_equal(absolute(dx), np.spacing(jax.numpy.finfo(xp.dtype).eps))
    slope = u.divide(u.subtract(x, x0), where(flat, 1, dx))
    out = where(flat, y0, u.add(y0, u.multiply(slope, dy)))
    if period is None and not kept[0]:
        out = where(less(x, xp[0]), fp[0] if left is None else left, out)
    if period is None and not kept[1]:
        out = where(less(xp[-1], x), fp[-1] if right is None else right, out)
    return out
