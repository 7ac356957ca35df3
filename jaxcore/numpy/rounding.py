"""Rounding, and replacing what is not a number."""

from __future__ import annotations

import math
from operator import index
from typing import Any

import jax
import numpy as np

from jaxcore import backend
from jaxcore.numpy.composite import composite
from jaxcore.numpy.elementwise import where
from jaxcore.numpy.logic import isnan, isneginf, isposinf
from jaxcore.numpy.operand import as_value, no_out
from jaxcore.numpy.promote import array, to_dtype
from jaxcore.ops.arithmetic import constant, div, mul
from jaxcore.ops.compare import lt
from jaxcore.ops.convert import convert, imag, make_complex, real
from jaxcore.ops.elementwise import ceil_p, floor_p, round_p
from jaxcore.ops.rules import kind_of
from jaxcore.primitive import Primitive
from jaxcore.trace import aval_of, bind

__all__ = ["around", "ceil", "floor", "nan_to_num", "rint", "round", "trunc"]

_EVEN = jax.lax.RoundingMethod.TO_NEAREST_EVEN


def _whole(name: str, x: Any) -> Any:
    """The array and whether rounding leaves it as it is (bool and integers)."""
    x = array(name, x)
    kind = kind_of(aval_of(x).dtype)
    if kind == "c":
        raise TypeError(f"{name} does not accept complex dtypes, got {aval_of(x)}.")
    return x, kind != "f"


def _rounding(name: str, primitive: Primitive, x: Any) -> Any:
    x, done = _whole(name, x)
    return as_value(x) if done else bind(primitive, x)


@composite()
def floor(x: Any, /) -> Any:
    """The largest whole number that is not larger than `x`."""
    return _rounding("floor", floor_p, x)


@composite()
def ceil(x: Any, /) -> Any:
    """The smallest whole number that is not smaller than `x`."""
    return _rounding("ceil", ceil_p, x)


@composite()
def trunc(x: Any, /) -> Any:
    """`x` without its fraction."""
    x, done = _whole("trunc", x)
    if done:
        return as_value(x)
    return where(lt(x, constant(x, 0)), bind(ceil_p, x), bind(floor_p, x))


@composite()
def rint(x: Any, /) -> Any:
    """The nearest whole number, as a float; halves go to the even one."""
    x = array("rint", x)
    if kind_of(aval_of(x).dtype) in "biu":
        return convert(as_value(x), backend.canonicalize_dtype(np.dtype(np.float64)))
    if kind_of(aval_of(x).dtype) == "c":
        return make_complex(rint(real(x)), rint(imag(x)))
    return bind(round_p, x, rounding_method=_EVEN)


@composite("decimals")
def round(a: Any, decimals: int = 0, out: None = None) -> Any:
    """`a` rounded to `decimals` decimal places; halves go to the even digit.

    Args:
      a: array.
      decimals: a Python integer; below 0, tens and hundreds.
    """
    no_out("round", out)
    a, decimals = array("round", a), index(decimals)
    kind, dtype = kind_of(aval_of(a).dtype), aval_of(a).dtype
    if kind == "c":
        return make_complex(round(real(a), decimals), round(imag(a), decimals))
    if kind in "iu" and decimals < 0:
        raise NotImplementedError("integer np.round not implemented for decimals < 0")
    if kind == "b":
        raise ValueError(f"jnp.round: dtype {dtype} has no decimal places. Fix: convert it.")
    if kind in "iu" or decimals > math.log10(float(jax.numpy.finfo(dtype).max)):
        return as_value(a)
    if decimals == 0:
        return bind(round_p, a, rounding_method=_EVEN)
    if dtype == "float16":
        a = convert(a, np.dtype(np.float32))
    factor = constant(a, 10.0**decimals)
    out = div(bind(round_p, mul(a, factor), rounding_method=_EVEN), factor)
    return convert(out, dtype, aval_of(out).weak_type)


around = round


@composite("copy")
def nan_to_num(
    x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None
) -> Any:
    """`x` with NaN and infinities replaced.

    Args:
      x: array.
      nan: in place of NaN.
      posinf, neginf: in place of infinities; by default the largest and smallest finite number.
    """
    x = array("nan_to_num", x)
    dtype = aval_of(x).dtype
    kind = kind_of(dtype)
    if kind == "c":
        parts = (nan_to_num(part(x), copy, nan, posinf, neginf) for part in (real, imag))
        return make_complex(*parts)
    if kind != "f":
        return as_value(x)
    info = jax.numpy.finfo(dtype)
    top = info.max if posinf is None else posinf
    bottom = info.min if neginf is None else neginf
    nan, top, bottom = (to_dtype(array("nan_to_num", v), dtype) for v in (nan, top, bottom))
    x = where(isnan(x), nan, x)
    x = where(isposinf(x), top, x)
    return where(isneginf(x), bottom, x)
