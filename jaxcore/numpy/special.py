"""Logarithms to other bases, sums of exponentials, angles, parts of numbers, and small helpers."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from jaxcore import backend
from jaxcore.numpy import ufuncs as u
from jaxcore.numpy.composite import composite
from jaxcore.numpy.elementwise import greater, less, where
from jaxcore.numpy.factory import with_methods
from jaxcore.numpy.logic import isnan, isposinf
from jaxcore.numpy.operand import as_value
from jaxcore.numpy.promote import array, broadcast, inexact, operands, to_dtype
from jaxcore.ops.arithmetic import (
    abs_p,
    add,
    constant,
    div,
    element,
    max_p,
    min_p,
    mul,
    neg,
    rem_p,
    square_p,
    sub,
)
from jaxcore.ops.compare import eq, gt, lt, ne, or_p, population_count_p, select
from jaxcore.ops.convert import conj as conj_of
from jaxcore.ops.convert import convert, copy_p, make_complex
from jaxcore.ops.convert import imag as imag_of
from jaxcore.ops.convert import real as real_of
from jaxcore.ops.elementwise import (
    acosh_p,
    atan2_p,
    ceil_p,
    exp2_p,
    exp_p,
    floor_p,
    log1p_p,
    log2_p,
    log_p,
    sqrt_p,
)
from jaxcore.ops.rules import full, kind_of
from jaxcore.trace import aval_of, bind

__all__ = [
    "acosh",
    "angle",
    "arccosh",
    "bitwise_count",
    "conj",
    "conjugate",
    "copy",
    "deg2rad",
    "degrees",
    "fmax",
    "fmin",
    "fmod",
    "heaviside",
    "hypot",
    "imag",
    "log10",
    "log2",
    "logaddexp",
    "logaddexp2",
    "modf",
    "rad2deg",
    "radians",
    "real",
]


def _kind(x: Any) -> str:
    return kind_of(aval_of(x).dtype)


# --- logarithms ---------------------------------------------------------------------------------


def _scaled_log(x: Any, factor: float) -> Any:
    """`factor` · log(x); the factor's type, as JAX's, is not weak."""
    value = bind(log_p, x)
    if _kind(x) != "c":
        return mul(value, np.asarray(factor, aval_of(x).dtype)[()])
    parts = real_of(value), imag_of(value)
    strong = np.asarray(factor, aval_of(parts[0]).dtype)[()]
    return make_complex(*[mul(part, strong) for part in parts])


@composite()
def log2(x: Any, /) -> Any:
    """The logarithm to base 2."""
    x = inexact("log2", x)
    return _scaled_log(x, 1 / np.log(2)) if log2_p is None else bind(log2_p, x)


@composite()
def log10(x: Any, /) -> Any:
    """The logarithm to base 10."""
    return _scaled_log(inexact("log10", x), 1 / np.log(10))


def _finite(x: Any) -> Any:
    """`x` with positive infinity replaced by 0."""
    return where(eq(x, constant(x, np.inf)), constant(x, 0), x)


def _log_sum(x1: Any, x2: Any, exp: Any, scale: float) -> Any:
    """log(exp(x1) + exp(x2)) around the larger of the two, in the base of `exp`."""
    larger = bind(max_p, x1, x2)
    if _kind(x1) == "c":
        delta = sub(add(x1, x2), mul(element(larger, 2), larger))
        decay = mul(element(larger, scale), bind(log1p_p, bind(exp, delta)))
        out = add(larger, decay)
        return make_complex(real_of(out), _wrapped(imag_of(out), np.pi * scale))
    delta = sub(x1, x2)
    decay = bind(log1p_p, bind(exp, neg(bind(abs_p, delta))))
    if scale != 1:
        decay = mul(element(decay, scale), decay)
    return select(ne(delta, delta), add(x1, x2), add(larger, decay))


def _wrapped(x: Any, bound: float) -> Any:
    """`x` moved by multiples of 2 · `bound` into [-bound, bound)."""
    half, period = constant(x, bound), constant(x, 2 * bound)
    rest = bind(rem_p, add(x, half), period)
    return sub(where(lt(rest, constant(x, 0)), add(rest, period), rest), half)


def _log_sum_jvp(exp: Any, value: Any) -> Any:
    def rule(primals: Any, tangents: Any) -> Any:
        out = value(*primals)
        parts = [
            mul(t, bind(exp, sub(_finite(x), _finite(out))))
            for x, t in zip(primals, tangents, strict=True)
        ]
        return out, add(*parts)

    return rule


@jax.custom_jvp
def _logaddexp(x1: Any, x2: Any) -> Any:
    return _log_sum(x1, x2, exp_p, 1)


@jax.custom_jvp
def _logaddexp2(x1: Any, x2: Any) -> Any:
    return _log_sum(x1, x2, exp2_p, 1 / np.log(2))


_logaddexp.defjvp(_log_sum_jvp(exp_p, _logaddexp))
_logaddexp2.defjvp(_log_sum_jvp(exp2_p, _logaddexp2))


@with_methods
@composite()
def logaddexp(x1: Any, x2: Any, /) -> Any:
    """log(exp(x1) + exp(x2)) without overflow."""
    x1, x2 = broadcast("logaddexp", *operands("logaddexp", x1, x2, to_float=True), scalars=True)
    return _logaddexp(x1, x2)


@with_methods
@composite()
def logaddexp2(x1: Any, x2: Any, /) -> Any:
    """log2(exp2(x1) + exp2(x2)) without overflow."""
    x1, x2 = broadcast("logaddexp2", *operands("logaddexp2", x1, x2, to_float=True), scalars=True)
    return _logaddexp2(x1, x2)


# --- angles -------------------------------------------------------------------------------------


@composite()
def deg2rad(x: Any, /) -> Any:
    """Degrees to radians."""
    x = inexact("deg2rad", x)
    return mul(x, element(x, np.pi / 180))


@composite()
def rad2deg(x: Any, /) -> Any:
    """Radians to degrees."""
    x = inexact("rad2deg", x)
    return mul(x, element(x, 180 / np.pi))


radians, degrees = deg2rad, rad2deg


@composite()
def arccosh(x: Any, /) -> Any:
    """The inverse hyperbolic cosine."""
    x = inexact("arccosh", x)
    value = bind(acosh_p, x)
    if _kind(x) != "c":
        return value
    return where(lt(real_of(value), constant(real_of(value), 0)), neg(value), value)


acosh = arccosh


@composite()
def hypot(x1: Any, x2: Any, /) -> Any:
    """√(x1² + x2²) without overflow."""
    x1, x2 = broadcast("hypot", *operands("hypot", x1, x2, to_float=True), scalars=True)
    if _kind(x1) == "c":
        raise ValueError(
            "jnp.hypot is not well defined for complex-valued inputs. Please convert to real "
            "values first, such as by using abs(x)"
        )
    x1, x2 = bind(abs_p, x1), bind(abs_p, x2)
    infinite = bind(or_p, isposinf(x1), isposinf(x2))
    large, small = bind(max_p, x1, x2), bind(min_p, x1, x2)
    is_zero = eq(large, constant(large, 0))
    ratio = div(small, where(is_zero, constant(large, 1), large))
    length = mul(large, bind(sqrt_p, add(constant(large, 1), bind(square_p, ratio))))
    return where(infinite, constant(large, np.inf), where(is_zero, large, length))


# --- parts of numbers ---------------------------------------------------------------------------


def real(val: Any, /) -> Any:
    """The real part."""
    val = array("real", val)
    return real_of(val) if _kind(val) == "c" else as_value(val)


def imag(val: Any, /) -> Any:
    """The imaginary part; zeros for real numbers."""
    val = array("imag", val)
    return imag_of(val) if _kind(val) == "c" else full(0, aval_of(val))


def conjugate(x: Any, /) -> Any:
    """The complex conjugate; real numbers stay as they are."""
    x = array("conjugate", x)
    return conj_of(x) if _kind(x) == "c" else as_value(x)


conj = conjugate


@composite("deg")
def angle(z: Any, deg: bool = False) -> Any:
    """The angle of a complex number in (-π, π], in radians or degrees."""
    z = array("angle", z)
    if _kind(z) == "c":
        value = bind(atan2_p, imag_of(z), real_of(z))
    else:
        if _kind(z) not in "fV" or (_kind(z) == "f" and not aval_of(z).shape):
            z = to_dtype(z, backend.canonicalize_dtype(np.dtype(float)))
        value = bind(atan2_p, constant(z, 0), z)
    return rad2deg(value) if deg else value


@composite()
def modf(x: Any, /, out: None = None) -> tuple[Any, Any]:
    """The fraction and the whole part, both with the sign of `x`."""
    if out is not None:
        raise NotImplementedError("The 'out' argument to jnp.modf is not supported.")
    x = inexact("modf", x)
    whole = where(lt(x, constant(x, 0)), bind(ceil_p, x), bind(floor_p, x))
    return sub(x, whole), whole


@composite()
def fmod(x1: Any, x2: Any, /) -> Any:
    """The remainder of x1 / x2 with the sign of `x1`."""
    x1, x2 = operands("fmod", x1, x2)
    if _kind(x1) == "b":
        x1, x2 = (to_dtype(x, np.dtype(np.int32)) for x in (x1, x2))
    if _kind(x1) in "iu":
        x2 = where(eq(x2, constant(x2, 0)), constant(x2, 1), x2)
    return bind(rem_p, x1, x2)


@composite()
def fmax(x1: Any, x2: Any) -> Any:
    """The larger of x1 and x2; the number where one of them is NaN."""
    return where(u.bitwise_or(greater(x1, x2), isnan(x2)), x1, x2)


@composite()
def fmin(x1: Any, x2: Any) -> Any:
    """The smaller of x1 and x2; the number where one of them is NaN."""
    return where(u.bitwise_or(less(x1, x2), isnan(x2)), x1, x2)


@composite()
def heaviside(x1: Any, x2: Any, /) -> Any:
    """0 where x1 < 0, `x2` where x1 == 0, 1 where x1 > 0."""
    x1, x2 = operands("heaviside", x1, x2, to_float=True)
    zero, one = element(x1, 0), element(x1, 1)
    x1, x2 = broadcast("heaviside", x1, x2, scalars=True)
    at_zero = where(ne(x1, x1), x1, x2)
    return where(lt(x1, zero), zero, where(gt(x1, zero), one, at_zero))


def bitwise_count(x: Any, /) -> Any:
    """The number of bits that are set in |x|."""
    x = array("bitwise_count", x)
    kind = _kind(x)
    if kind == "b":
        x = to_dtype(x, np.dtype(np.int32))
    elif kind == "i":
        x = bind(abs_p, x)
    return convert(bind(population_count_p, x), np.dtype(np.uint8))


def copy(a: Any, order: str | None = None) -> Any:
    """A copy of `a`."""
    a = array("copy", a)
    return bind(copy_p, as_value(a))
