"""Means, variances, and the range of values."""

from __future__ import annotations

import math
from typing import Any

import jax
import numpy as np

from jaxcore import backend
from jaxcore.numpy import reductions as r
from jaxcore.numpy import ufuncs as u
from jaxcore.numpy.composite import composite
from jaxcore.numpy.elementwise import where as choose
from jaxcore.numpy.operand import no_out
from jaxcore.numpy.promote import array, broadcast, float_dtype
from jaxcore.numpy.reductions import Axis, canonical_axes, computation_dtype, has_names, user_dtype
from jaxcore.ops.arithmetic import div, mul, square_p, sub
from jaxcore.ops.convert import conj, convert, real
from jaxcore.ops.elementwise import sqrt_p
from jaxcore.ops.rules import broadcast_in_dim, full, kind_of
from jaxcore.trace import aval_of, bind

__all__ = ["deviation_squared", "mean", "minmax", "ptp", "std", "var", "variance_dtypes"]


def _count(x: Any, axis: Axis, keepdims: bool, where: Any, dtype: Any) -> Any:
    shape = aval_of(x).shape
    if where is None:
        axes = canonical_axes(axis, len(shape), "mean")
        count = math.prod(shape[i] for i in axes)
        if backend.is_symbolic((count,)):
            return convert(backend.size_value(count), dtype)
        return np.asarray(count).astype(dtype)[()]
    where = array("mean", where)
    own = aval_of(where).shape
    if own != shape:
        where = broadcast_in_dim(where, shape, range(len(shape) - len(own), len(shape)))
    return r.sum(where, axis, dtype=dtype, keepdims=keepdims)


@composite("axis", "dtype", "keepdims")
def mean(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    *,
    where: Any = None,
) -> Any:
    """The mean over `axis` (None: all axes), computed in float32 for half precision.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> jnp.mean(jnp.array([[1.0, 2.0], [3.0, 4.0]]), axis=1)
      Array([1.5, 3.5], dtype=float32)
    """
    if has_names(axis):
        return jax.numpy.mean(a, axis, dtype, out, keepdims, where=where)
    a = array("mean", a)
    result = float_dtype(aval_of(a).dtype) if dtype is None else user_dtype(dtype, "mean")
    compute = computation_dtype(result)
    total = r.sum(a, axis, compute, out, keepdims, where=where)
    return convert(div(total, _count(a, axis, keepdims, where, compute)), result)


@composite("axis", "dtype", "ddof", "keepdims", "correction")
def var(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: None = None,
    ddof: int = 0,
    keepdims: bool = False,
    *,
    where: Any = None,
    mean: Any = None,
    correction: int | float | None = None,
) -> Any:
    """The variance over `axis`: the mean of |a - mean|², with n - `ddof` in place of n.

    Args:
      a: array.
      axis, dtype, keepdims, where: as of `mean`.
      ddof, correction: what is subtracted from the number of elements (two names).
      mean: the mean, with the reduced axes of size 1, where it is known.
    """
    if correction is None:
        correction = ddof
    elif ddof:
        raise ValueError("ddof and correction can't be provided simultaneously.")
    if has_names(axis):
        return jax.numpy.var(  # type: ignore[call-arg]  # JAX's stub lacks `mean`
            a, axis, dtype, out, keepdims=keepdims, where=where, mean=mean, correction=correction
        )
    x = array("var", a)
    compute, result = variance_dtypes("var", aval_of(x).dtype, dtype)
    x = convert(x, compute)
    center = _mean(x, axis, compute, where) if mean is None else convert(mean, compute)
    x, center = broadcast("var", x, center, scalars=True)
    squared = deviation_squared(sub(x, center))
    compute = aval_of(squared).dtype
    count = _count(x, axis, keepdims, where, compute)
    known = isinstance(count, np.generic)
    count = count - compute.type(correction) if known else u.subtract(count, correction)
    value = div(r.sum(squared, axis, compute, out, keepdims, where=where), count)
    value = convert(value, result)
    if known:
        return value if count > 0 else full(np.nan, aval_of(value))
    return choose(u.not_equal(u.maximum(count, 0), 0), value, np.nan)


def variance_dtypes(name: str, own: Any, dtype: Any) -> tuple[Any, Any]:
    """The dtype to compute a variance of numbers of dtype `own` in, and that of the result.

    Raises:
      ValueError: a real `dtype` is asked for of complex numbers.
    """
    if dtype is not None:
        result = user_dtype(dtype, name)
        if kind_of(own) == "c" and kind_of(result) != "c":
            raise ValueError(
                f"jax.numpy.{name} does not yet support real dtype parameters when computing the "
                f"variance of an array of complex values, got dtype={result} for {own}. Fix: leave "
                "dtype out; the result is real."
            )
        return computation_dtype(result), result
    own = float_dtype(own)
    return computation_dtype(own), np.zeros((), own).real.dtype


def deviation_squared(x: Any) -> Any:
    """|x|², a real number."""
    return real(mul(x, conj(x))) if kind_of(aval_of(x).dtype) == "c" else bind(square_p, x)


_mean_of = mean


def _mean(x: Any, axis: Axis, dtype: Any, where: Any) -> Any:
    return _mean_of(x, axis, dtype, keepdims=True, where=where)


@composite("axis", "dtype", "ddof", "keepdims", "correction")
def std(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: None = None,
    ddof: int = 0,
    keepdims: bool = False,
    *,
    where: Any = None,
    mean: Any = None,
    correction: int | float | None = None,
) -> Any:
    """The standard deviation over `axis`, the root of `var`; arguments as of `var`."""
    return bind(
        sqrt_p,
        var(a, axis, dtype, out, ddof, keepdims, where=where, mean=mean, correction=correction),
    )


@composite("axis", "keepdims")
def ptp(a: Any, axis: Axis = None, out: None = None, keepdims: bool = False) -> Any:
    """The largest element minus the smallest."""
    return u.subtract(r.max(a, axis, out, keepdims), r.min(a, axis, out, keepdims))


@composite("axis", "keepdims")
def minmax(
    a: Any,
    axis: Axis = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
) -> tuple[Any, Any]:
    """The smallest and the largest element over `axis`.

    Args:
      a, axis, keepdims, where: as of `min`.
      out: not supported.
      initial: as of `min`, or a pair, one for each result.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> jnp.minmax(jnp.array([3, 1, 2]))
      (Array(1, dtype=int32), Array(3, dtype=int32))
    """
    no_out("minmax", out)
    low, high = initial if isinstance(initial, tuple) else (initial, initial)
    return (
        r.min(a, axis, None, keepdims, low, where),
        r.max(a, axis, None, keepdims, high, where),
    )
