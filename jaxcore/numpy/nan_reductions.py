"""Reductions that pass over NaN."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jaxcore.numpy import reductions as r
from jaxcore.numpy import ufuncs as u
from jaxcore.numpy.composite import composite
from jaxcore.numpy.elementwise import where as choose
from jaxcore.numpy.operand import no_out
from jaxcore.numpy.promote import array, broadcast
from jaxcore.numpy.reductions import Axis, user_dtype
from jaxcore.numpy.statistics import deviation_squared, mean, variance_dtypes
from jaxcore.ops.arithmetic import constant, div, sub
from jaxcore.ops.compare import ne
from jaxcore.ops.convert import convert
from jaxcore.ops.elementwise import sqrt_p
from jaxcore.ops.rules import kind_of
from jaxcore.trace import aval_of, bind

__all__ = [
    "nanargmax",
    "nanargmin",
    "nanmax",
    "nanmean",
    "nanmin",
    "nanprod",
    "nanstd",
    "nansum",
    "nanvar",
]


def _is_nan(name: str, x: Any) -> tuple[Any, Any]:
    """The array and where it is NaN; None where its dtype has no NaN."""
    x = array(name, x)
    return x, (ne(x, x) if kind_of(aval_of(x).dtype) in "fc" else None)


@composite("axis", "dtype", "keepdims")
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


@composite("axis", "dtype", "keepdims")
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


def _nan_extremum(name: str, doc: str) -> Callable[..., Any]:
    plain, worst = (r.max, -np.inf) if name == "nanmax" else (r.min, np.inf)

    def function(
        a: Any,
        axis: Axis = None,
        out: None = None,
        keepdims: bool = False,
        initial: Any = None,
        where: Any = None,
    ) -> Any:
        a, nan = _is_nan(name, a)
        if nan is None:
            return plain(a, axis, out, keepdims, initial, where)
        value = plain(choose(nan, constant(a, worst), a), axis, out, keepdims, initial, where)
        if initial is not None:
            return value
        return choose(r.all(nan, axis, keepdims=keepdims), np.nan, value)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return composite("axis", "keepdims")(function)


nanmax = _nan_extremum("nanmax", "`max` of what is not NaN; NaN where nothing is left.")
nanmin = _nan_extremum("nanmin", "`min` of what is not NaN; NaN where nothing is left.")


def _nan_arg(name: str, doc: str) -> Callable[..., Any]:
    plain, worst = (r.argmax, -np.inf) if name == "nanargmax" else (r.argmin, np.inf)

    def function(
        a: Any, axis: int | None = None, out: None = None, keepdims: bool | None = None
    ) -> Any:
        no_out(name, out)
        a, nan = _is_nan(name, a)
        if nan is None:
            return plain(a, axis, keepdims=keepdims)
        place = plain(choose(nan, constant(a, worst), a), axis, keepdims=keepdims)
        return choose(r.all(nan, axis, keepdims=bool(keepdims)), -1, place)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return composite("axis", "keepdims")(function)


nanargmax = _nan_arg("nanargmax", "`argmax` of what is not NaN; -1 where nothing is left.")
nanargmin = _nan_arg("nanargmin", "`argmin` of what is not NaN; -1 where nothing is left.")


@composite("axis", "dtype", "keepdims")
def nanmean(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    where: Any = None,
) -> Any:
    """`mean` of what is not NaN."""
    no_out("nanmean", out)
    a, nan = _is_nan("nanmean", a)
    if nan is None:
        return mean(a, axis, dtype, out, keepdims, where=where)
    dtype = aval_of(a).dtype if dtype is None else user_dtype(dtype, "nanmean")
    count = r.sum(u.invert(nan), axis, dtype, None, keepdims, where=where)
    return div(nansum(a, axis, dtype, out, keepdims, where=where), count)


@composite("axis", "dtype", "ddof", "keepdims")
def nanvar(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: None = None,
    ddof: int = 0,
    keepdims: bool = False,
    where: Any = None,
    mean: Any = None,
) -> Any:
    """`var` of what is not NaN; NaN where no more than `ddof` elements are left."""
    no_out("nanvar", out)
    x = array("nanvar", a)
    compute, result = variance_dtypes("nanvar", aval_of(x).dtype, dtype)
    x = convert(x, compute)
    if mean is None:
        mean = nanmean(x, axis, compute, keepdims=True, where=where)
    x, center = broadcast("nanvar", x, convert(array("nanvar", mean), compute), scalars=True)
    nan = ne(x, x)
    squared = deviation_squared(choose(nan, constant(x, 0), sub(x, center)))
    count = r.sum(u.invert(nan), axis, keepdims=keepdims, where=where)
    count = u.subtract(count, ddof)
    too_few = u.equal(u.maximum(count, 0), 0)
    total = choose(too_few, np.nan, r.sum(squared, axis, keepdims=keepdims, where=where))
    count = convert(choose(too_few, 1, count), aval_of(total).dtype)
    return convert(div(total, count), result)


@composite("axis", "dtype", "ddof", "keepdims")
def nanstd(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: None = None,
    ddof: int = 0,
    keepdims: bool = False,
    where: Any = None,
    mean: Any = None,
) -> Any:
    """The root of `nanvar`."""
    return bind(sqrt_p, nanvar(a, axis, dtype, out, ddof, keepdims, where, mean))
