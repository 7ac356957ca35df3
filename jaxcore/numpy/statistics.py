"""Means and variances, and reductions that pass over NaN."""

from __future__ import annotations

import math
from typing import Any

import jax
import numpy as np

from jaxcore.numpy import reductions as r
from jaxcore.numpy import ufuncs as u
from jaxcore.numpy.elementwise import where as choose
from jaxcore.numpy.promote import array, broadcast, float_dtype
from jaxcore.numpy.reductions import Axis, canonical_axes, computation_dtype, has_names, user_dtype
from jaxcore.ops.arithmetic import div, mul, square_p
from jaxcore.ops.compare import ne
from jaxcore.ops.convert import conj, convert, real
from jaxcore.ops.elementwise import sqrt_p
from jaxcore.ops.rules import broadcast_in_dim, full, kind_of
from jaxcore.trace import aval_of, bind

__all__ = ["mean", "nanmax", "nanmean", "nanmin", "nanprod", "nansum", "ptp", "std", "var"]


def _count(x: Any, axis: Axis, keepdims: bool, where: Any, dtype: Any) -> Any:
    shape = aval_of(x).shape
    if where is None:
        axes = canonical_axes(axis, len(shape), "mean")
        return np.asarray(math.prod(shape[i] for i in axes)).astype(dtype)[()]
    where = array("mean", where)
    own = aval_of(where).shape
    if own != shape:
        where = broadcast_in_dim(where, shape, range(len(shape) - len(own), len(shape)))
    return r.sum(where, axis, dtype=dtype, keepdims=keepdims)


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
    if has_names(axis) or (dtype is not None and kind_of(aval_of(array("var", a)).dtype) == "c"):
        return jax.numpy.var(  # type: ignore[call-arg]  # JAX's stub lacks `mean`
            a, axis, dtype, out, keepdims=keepdims, where=where, mean=mean, correction=correction
        )
    x = array("var", a)
    own = float_dtype(aval_of(x).dtype)
    result = np.zeros((), own).real.dtype if dtype is None else user_dtype(dtype, "var")
    compute = computation_dtype(own if dtype is None else result)
    x = convert(x, compute)
    center = _mean(x, axis, compute, where) if mean is None else convert(mean, compute)
    x, center = broadcast("var", x, center, scalars=True)
    deviation = u.subtract(x, center)
    if kind_of(compute) == "c":
        squared = real(mul(deviation, conj(deviation)))
    else:
        squared = bind(square_p, deviation)
    compute = aval_of(squared).dtype
    count = _count(x, axis, keepdims, where, compute)
    count = count - compute.type(correction) if where is None else u.subtract(count, correction)
    value = div(r.sum(squared, axis, compute, out, keepdims, where=where), count)
    value = convert(value, result)
    if where is None:
        return value if count > 0 else full(np.nan, aval_of(value))
    return choose(u.not_equal(u.maximum(count, 0), 0), value, np.nan)


_mean_of = mean


def _mean(x: Any, axis: Axis, dtype: Any, where: Any) -> Any:
    return _mean_of(x, axis, dtype, keepdims=True, where=where)


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


def ptp(a: Any, axis: Axis = None, out: None = None, keepdims: bool = False) -> Any:
    """The largest element minus the smallest."""
    return u.subtract(r.max(a, axis, out, keepdims), r.min(a, axis, out, keepdims))


# --- NaN left out -------------------------------------------------------------------------------


def _is_nan(name: str, x: Any) -> tuple[Any, Any]:
    """The array and where it is NaN; None where its dtype has no NaN."""
    x = array(name, x)
    return x, (ne(x, x) if kind_of(aval_of(x).dtype) in "fc" else None)


def nansum(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
) -> Any:
    """`sum` with NaN counted as 0."""
    a, nan = _is_nan("nansum", a)
    a = a if nan is None else choose(nan, 0, a)
    return r.sum(a, axis, dtype, out, keepdims, initial, where)


def nanprod(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
) -> Any:
    """`prod` with NaN counted as 1."""
    a, nan = _is_nan("nanprod", a)
    a = a if nan is None else choose(nan, 1, a)
    return r.prod(a, axis, dtype, out, keepdims, initial, where)


def _nan_extremum(name: str, doc: str) -> Any:
    plain = r.max if name == "nanmax" else r.min
    worst = -np.inf if name == "nanmax" else np.inf

    def function(
        a: Any,
        axis: Axis = None,
        out: None = None,
        keepdims: bool = False,
        initial: Any = None,
        where: Any = None,
    ) -> Any:
        a, nan = _is_nan(name, a)
        if nan is None or kind_of(aval_of(a).dtype) == "c":
            return getattr(jax.numpy, name)(a, axis, out, keepdims, initial, where)
        value = plain(choose(nan, worst, a), axis, out, keepdims, initial, where)
        if initial is not None:
            return value
        return choose(r.all(nan, axis, keepdims=keepdims), np.nan, value)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


nanmax = _nan_extremum("nanmax", "`max` of what is not NaN; NaN where nothing is left.")
nanmin = _nan_extremum("nanmin", "`min` of what is not NaN; NaN where nothing is left.")


def nanmean(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    where: Any = None,
) -> Any:
    """`mean` of what is not NaN."""
    a, nan = _is_nan("nanmean", a)
    if nan is None:
        return mean(a, axis, dtype, out, keepdims, where=where)
    dtype = aval_of(a).dtype if dtype is None else user_dtype(dtype, "nanmean")
    count = r.sum(u.invert(nan), axis, dtype, None, keepdims, where=where)
    return div(nansum(a, axis, dtype, out, keepdims, where=where), count)
