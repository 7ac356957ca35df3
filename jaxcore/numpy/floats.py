"""Numbers by their parts: sign, mantissa and exponent, divisors, and functions around them."""

from __future__ import annotations

import math
from typing import Any

import jax
import numpy as np

from jaxcore.numpy import ufuncs as u
from jaxcore.numpy.composite import composite
from jaxcore.numpy.elementwise import (
    absolute,
    clip,
    floor_divide,
    greater,
    left_shift,
    less,
    right_shift,
    square,
    where,
)
from jaxcore.numpy.logic import isfinite, isinf
from jaxcore.numpy.operand import arrays, as_array
from jaxcore.numpy.promote import array, broadcast, inexact, is_complex, operands
from jaxcore.numpy.rounding import rint
from jaxcore.numpy.special import imag, real
from jaxcore.ops.arithmetic import abs_p, constant, div, mul, rem_p
from jaxcore.ops.compare import eq, ne
from jaxcore.ops.convert import bitcast_convert_type_p, convert
from jaxcore.ops.elementwise import exp_p, nextafter_p, sin_p
from jaxcore.ops.rules import kind_of
from jaxcore.trace import aval_of, bind

__all__ = [
    "bitwise_left_shift",
    "bitwise_right_shift",
    "copysign",
    "frexp",
    "gcd",
    "i0",
    "iscomplex",
    "isreal",
    "lcm",
    "ldexp",
    "signbit",
    "sinc",
    "spacing",
]

Array = jax.Array

bitwise_left_shift, bitwise_right_shift = left_shift, right_shift


def iscomplex(x: Any) -> Array:
    """Whether `x` has an imaginary part other than 0."""
    part = imag(x)
    return ne(part, constant(part, 0))


def isreal(x: Any) -> Array:
    """Whether `x` has no imaginary part, or 0."""
    part = imag(x)
    return eq(part, constant(part, 0))


# --- sign, mantissa, exponent -------------------------------------------------------------------


def _format(name: str, dtype: Any) -> tuple[Any, int, int]:
    """The integers as wide as floats of `dtype`, the bits of a mantissa, and the bias."""
    info = jax.numpy.finfo(dtype)
    if info.bits not in (16, 32, 64):
        raise NotImplementedError(
            f"jax.numpy.{name} only supports 16, 32, and 64-bit types, got {dtype}."
        )
    return np.dtype(f"int{info.bits}"), int(info.nmant), int(info.maxexp) - 1


@composite()
def signbit(x: Any, /) -> Array:
    """Whether the sign of `x` is negative, as that of -0.0 is."""
    x = array("signbit", x)
    kind = kind_of(aval_of(x).dtype)
    if kind == "c":
        raise ValueError(f"jax.numpy.signbit is not well defined for {aval_of(x).dtype}")
    if kind == "f":
        bits, _, _ = _format("signbit", aval_of(x).dtype)
        x = bind(bitcast_convert_type_p, x, new_dtype=bits)
    return less(x, 0) if kind != "b" else less(x, False)


@composite()
def copysign(x1: Any, x2: Any, /) -> Array:
    """|x1| with the sign of `x2`."""
    x1, x2 = broadcast("copysign", *operands("copysign", x1, x2, to_float=True), scalars=True)
    if is_complex(x1):
        raise TypeError("copysign does not support complex-valued inputs")
    size = bind(abs_p, x1)
    weak = aval_of(x1).weak_type and aval_of(x2).weak_type
    return convert(where(signbit(x2), u.negative(size), size), aval_of(x1).dtype, weak)


def spacing(x: Any, /) -> Array:
    """The distance from `x` to the next float, with the sign of `x`."""
    x = inexact("spacing", x)
    if is_complex(x):
        raise ValueError("jnp.spacing is not defined for complex inputs.")
    dtype = aval_of(x).dtype
    upwards = constant(x, np.inf)
    if dtype == "float16":
        return u.subtract(bind(nextafter_p, x, upwards), x)
    step = u.subtract(bind(nextafter_p, x, copysign(upwards, x)), x)
    least = jax.numpy.finfo(dtype).smallest_subnormal
    return where(eq(step, constant(step, 0)), copysign(dtype.type(least), x), step)


def ldexp(x1: Any, x2: Any, /) -> Array:
    """`x1` · 2^`x2`, exactly; `x2` is an integer.

    Raises:
      ValueError: `x1` is complex or `x2` is a float.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> jnp.ldexp(1.5, 3)
      Array(12., dtype=float32)
    """
    x, n = as_array("ldexp", x1), as_array("ldexp", x2, 1)
    if is_complex(x) or kind_of(n.dtype) in "fc":
        raise ValueError(f"ldexp not supported for input types {(x.dtype, n.dtype)}")
    return _ldexp(inexact("ldexp", x), n)


@composite()
def _ldexp(x: Any, n: Any) -> Array:
    x, n = broadcast("ldexp", convert(x, aval_of(x).dtype), n, scalars=True)
    bits, _, bias = _format("ldexp", aval_of(x).dtype)
    if n.dtype.itemsize < 4:
        n = convert(n, np.dtype(np.int32))
    limit = 4 * bias  # beyond all that a float can be scaled by
    return _scaled(x, convert(clip(n, 0 if kind_of(n.dtype) == "u" else -limit, limit), bits))


@jax.custom_jvp
def _scaled(x: Any, n: Any) -> Any:
    """x · 2ⁿ by adding `n` to the exponent; what falls below the least normal number is 0."""
    dtype = aval_of(x).dtype
    bits, mantissa, bias = _format("ldexp", dtype)
    top = 2 * bias + 1
    stored = bind(bitcast_convert_type_p, x, new_dtype=bits)
    exponent = u.bitwise_and(right_shift(stored, mantissa), top)
    moved = u.add(stored, left_shift(n, mantissa))
    moved = bind(bitcast_convert_type_p, moved, new_dtype=dtype)
    new = u.add(exponent, n)
    moved = where(greater(new, 0), moved, copysign(dtype.type(0), x))
    moved = where(less(new, top), moved, copysign(dtype.type(np.inf), x))
    unscaled = u.bitwise_or(u.equal(exponent, 0), u.equal(exponent, top))
    return where(unscaled, x, moved)


@_scaled.defjvp
def _scaled_jvp(primals: Any, tangents: Any) -> Any:
    x, n = primals
    dtype = aval_of(x).dtype
    _, mantissa, bias = _format("ldexp", dtype)
    stored = left_shift(u.add(clip(n, 1 - bias, bias), bias), mantissa)
    factor = bind(bitcast_convert_type_p, stored, new_dtype=dtype)
    return _scaled(x, n), mul(tangents[0], factor)


def frexp(x: Any, /) -> tuple[Array, Array]:
    """The mantissa, in [0.5, 1) with the sign of `x`, and the exponent of 2; 0 for what has none.

    Raises:
      TypeError: `x` is complex.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> jnp.frexp(jnp.array([12.0, 0.0]))
      (Array([0.75, 0.  ], dtype=float32), Array([4, 0], dtype=int32))
    """
    (x,) = arrays("frexp", x, to_float=True)
    if is_complex(x):
        raise TypeError("frexp does not support complex-valued inputs")
    return _frexp(x)


@composite()
def _frexp(x: Any) -> tuple[Array, Array]:
    bits, mantissa, bias = _format("frexp", x.dtype)
    stored = right_shift(bind(bitcast_convert_type_p, x, new_dtype=bits), mantissa)
    stored = u.bitwise_and(stored, 2 * bias + 1)
    none = u.bitwise_or(u.equal(stored, 0), u.equal(stored, 2 * bias + 1))
    exponent = where(none, 0, u.subtract(stored, bias - 1))
    x = _scaled(convert(x, x.dtype), u.negative(exponent))
    return x, convert(exponent, np.dtype(np.int32))


# --- divisors -----------------------------------------------------------------------------------


def gcd(x1: Any, x2: Any) -> Array:
    """The greatest common divisor of integers, by Euclid's algorithm.

    Raises:
      ValueError: an operand holds no integers.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> jnp.gcd(12, jnp.array([8, 9]))
      Array([4, 3], dtype=int32)
    """
    x, y = arrays("gcd", x1, x2)
    if kind_of(x.dtype) not in "iu":
        raise ValueError(f"Arguments to jax.numpy.gcd must be integers, got {x.dtype}.")
    return _gcd(x, y)


@composite()
def _gcd(x: Any, y: Any) -> Array:
    from jaxcore.loops import while_loop
    from jaxcore.numpy.reductions import any as some

    def divide(pair: tuple[Any, Any]) -> tuple[Any, Any]:
        x, y = pair
        done = eq(y, constant(y, 0))
        rest = bind(rem_p, x, where(done, 1, y))
        return where(done, x, y), where(done, 0, rest)

    start = [absolute(v) for v in broadcast("gcd", x, y, scalars=True)]
    if aval_of(start[0]).ndim > 0:  # JAX's result is of weak type for scalars alone
        start = [convert(v, v.dtype, False) for v in start]
    if 0 in start[0].shape:  # XLA does not compile loops over nothing
        return start[0]
    return while_loop(lambda pair: some(u.not_equal(pair[1], 0)), divide, tuple(start))[0]


def lcm(x1: Any, x2: Any) -> Array:
    """The least common multiple of integers.

    Raises:
      ValueError: an operand holds no integers.
    """
    x, y = arrays("lcm", x1, x2)
    if kind_of(x.dtype) not in "iu":
        raise ValueError(f"Arguments to jax.numpy.lcm must be integers, got {x.dtype}.")
    return _lcm(x, y)


@composite()
def _lcm(x: Any, y: Any) -> Array:
    x, y = (absolute(v) for v in broadcast("lcm", x, y, scalars=True))
    divisor = _gcd(x, y)
    return where(
        u.equal(divisor, 0),
        0,
        u.multiply(x, floor_divide(y, where(u.equal(divisor, 0), 1, divisor))),
    )


# --- functions ----------------------------------------------------------------------------------


def sinc(x: Any, /) -> Array:
    """sin(πx) / (πx), and 1 at 0."""
    (x,) = arrays("sinc", x, to_float=True)
    return _sinc(x)


@composite()
def _sinc(x: Any) -> Array:
    dtype, weak = x.dtype, aval_of(x).weak_type
    half = not is_complex(x) and dtype.itemsize < 4
    if half:
        x = convert(x, np.dtype(np.float32), weak)
    infinite = u.bitwise_and(isinf(real(x)), isfinite(imag(x)))
    near = less(absolute(x), 0.25)  # where the series is exact, and so are its derivatives
    z = where(near, mul(constant(x, np.pi), x), 0)
    out = _series(square(z), float(jax.numpy.finfo(x.dtype).eps))
    far = where(u.bitwise_or(near, infinite), 1, x)
    if is_complex(x):
        angle = mul(constant(far, np.pi), far)
        direct = div(bind(sin_p, angle), angle)
    else:  # sin(πx) = (-1)ⁿ sin(π(x - n)), exactly 0 at whole numbers
        n = rint(far)
        wave = bind(sin_p, mul(constant(far, np.pi), u.subtract(far, n)))
        odd = u.not_equal(n, u.multiply(2, rint(u.multiply(n, 0.5))))
        direct = div(where(odd, u.negative(wave), wave), mul(constant(far, np.pi), far))
    out = where(near, out, where(infinite, 0, direct))
    return convert(out, dtype, weak and out.ndim == 0)  # as in JAX


def _series(t: Any, eps: float) -> Any:
    """Σ (-t)ᵏ / (2k + 1)!, for |t| < 1."""
    count = next(k for k in range(100) if 1 / math.factorial(2 * k + 1) < eps)
    total = constant(t, 0)
    for k in reversed(range(count)):
        total = u.add(u.multiply(total, t), (-1) ** k / math.factorial(2 * k + 1))
    return total


@jax.custom_jvp
def _i0(x: Any) -> Any:
    from jaxcore import lax

    size = bind(abs_p, x)
    return mul(bind(exp_p, size), lax.bessel_i0e(size))


def _i1(x: Any) -> Any:
    from jaxcore import lax

    return mul(bind(exp_p, bind(abs_p, x)), lax.bessel_i1e(x))


_i0.defjvp(lambda primals, tangents: (_i0(*primals), mul(tangents[0], _i1(*primals))))


def i0(x: Any) -> Array:
    """The modified Bessel function of the first kind and order 0.

    Raises:
      ValueError: `x` is complex.
    """
    x = inexact("i0", x)
    if is_complex(x):
        raise ValueError(f"Unsupported input type to jax.numpy.i0: {aval_of(x).dtype}")
    return _i0(x)
