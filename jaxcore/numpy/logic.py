"""Logic of truth values, and tests for NaN, infinities and closeness."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxcore.backend import ShapedArray
from jaxcore.numpy import ufuncs as u
from jaxcore.numpy.composite import composite
from jaxcore.numpy.factory import binary
from jaxcore.numpy.promote import array, broadcast, operands, to_dtype
from jaxcore.numpy.reductions import all as every
from jaxcore.ops.arithmetic import abs_p, add, constant, mul, sub
from jaxcore.ops.compare import and_p, eq, is_finite_p, le, ne, not_p, or_p, xor_p
from jaxcore.ops.convert import imag, real
from jaxcore.ops.rules import BOOL, full, kind_of
from jaxcore.primitive import Primitive
from jaxcore.trace import aval_of, bind

__all__ = [
    "allclose",
    "array_equal",
    "array_equiv",
    "isclose",
    "isfinite",
    "isinf",
    "isnan",
    "isneginf",
    "isposinf",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
]


# --- truth values -------------------------------------------------------------------------------


def _truth(x: Any) -> Any:
    aval = aval_of(x)
    if aval.dtype == BOOL:
        return x
    x = to_dtype(x, aval.dtype)  # truth is of no weak type
    return ne(x, constant(x, 0))


def _logical(name: str, primitive: Primitive, doc: str) -> Callable[[Any, Any], Any]:
    return binary(
        name, primitive, doc, ("iufc", lambda x, y: bind(primitive, _truth(x), _truth(y)))
    )


logical_and = _logical("logical_and", and_p, "Whether x and y are both true (not zero).")
logical_or = _logical("logical_or", or_p, "Whether x or y is true (not zero).")
logical_xor = _logical("logical_xor", xor_p, "Whether exactly one of x and y is true (not zero).")


@composite()
def logical_not(x: Any, /) -> Any:
    """Whether `x` is false (zero)."""
    return bind(not_p, _truth(array("logical_not", x)))


# --- NaN and infinities -------------------------------------------------------------------------


def _same_everywhere(x: Any, value: bool) -> Any:
    return full(value, ShapedArray(aval_of(x).shape, BOOL))


def _float_test(
    name: str, test: Callable[[Any], Any], join: Primitive, otherwise: bool, doc: str
) -> Callable[[Any], Any]:
    """A test of floats, joined over the parts of complex numbers; `otherwise` for other dtypes."""

    def function(x: Any, /) -> Any:
        x = array(name, x)
        kind = kind_of(aval_of(x).dtype)
        if kind == "f":
            return test(x)
        if kind == "c":
            return bind(join, test(real(x)), test(imag(x)))
        return _same_everywhere(x, otherwise)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return composite()(function)


def _infinite(x: Any) -> Any:
    return eq(bind(abs_p, x), constant(x, np.inf))


@composite()
def isnan(x: Any, /) -> Any:
    """Whether `x` is NaN."""
    x = array("isnan", x)
    return ne(x, x)


isinf = _float_test("isinf", _infinite, or_p, False, "Whether x is an infinity.")
isfinite = _float_test(
    "isfinite",
    lambda x: bind(is_finite_p, x),
    and_p,
    True,
    "Whether x is neither NaN nor an infinity.",
)


def _signed_infinity(name: str, value: float, doc: str) -> Callable[..., Any]:
    def function(x: Any, /, out: None = None) -> Any:
        x = array(name, x)
        kind = kind_of(aval_of(x).dtype)
        if out is not None or kind == "c":
            return getattr(jax.numpy, name)(x, out)
        return eq(x, constant(x, value)) if kind == "f" else _same_everywhere(x, False)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return composite()(function)


isposinf = _signed_infinity("isposinf", np.inf, "Whether x is positive infinity.")
isneginf = _signed_infinity("isneginf", -np.inf, "Whether x is negative infinity.")


# --- closeness ----------------------------------------------------------------------------------


@composite("equal_nan")
def isclose(a: Any, b: Any, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: bool = False) -> Any:
    """Whether |a - b| <= atol + rtol · |b|, element by element.

    Args:
      a, b: arrays that broadcast.
      rtol, atol: relative and absolute tolerance.
      equal_nan: count NaN as equal to NaN.
    """
    a, b = broadcast("isclose", *operands("isclose", a, b, to_float=True), scalars=True)
    limit = bind(abs_p, b)
    rtol, atol = (to_dtype(array("isclose", t), aval_of(limit).dtype) for t in (rtol, atol))
    near = le(bind(abs_p, sub(a, b)), add(atol, mul(rtol, limit)))
    near = bind(or_p, eq(a, b), bind(and_p, isfinite(b), near))
    if equal_nan:
        near = bind(or_p, near, bind(and_p, isnan(a), isnan(b)))
    return near


@composite("equal_nan")
def allclose(a: Any, b: Any, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: bool = False) -> Any:
    """Whether `isclose` holds everywhere."""
    return every(isclose(a, b, rtol, atol, equal_nan))


def array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> Any:
    """Whether two arrays have one shape and equal elements."""
    try:
        a1, a2 = (x if hasattr(x, "aval") else jax.numpy.asarray(x) for x in (a1, a2))
    except TypeError:
        return full(False, ShapedArray((), BOOL))
    if aval_of(a1).shape != aval_of(a2).shape:
        return full(False, ShapedArray((), BOOL))
    same = u.equal(a1, a2)
    if equal_nan:
        same = bind(or_p, same, bind(and_p, isnan(a1), isnan(a2)))
    return every(same)


@composite()
def array_equiv(a1: Any, a2: Any) -> Any:
    """Whether two arrays are equal after broadcasting."""
    return jax.numpy.array_equiv(a1, a2)
