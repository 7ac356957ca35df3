"""Functions of one number (and atan2, nextafter): a row each of kinds, derivative and lowering.

A derivative is written as tangent · coefficient with the coefficient in terms of the operand x and
the result y, so that the coefficient is computed once, with the value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from jaxcore import backend
from jaxcore.backend import ShapedArray
from jaxcore.ops.arithmetic import add, constant, div, integer_pow, mul, neg, sub
from jaxcore.ops.rules import accept, elementwise, installed_params, kind_of
from jaxcore.primitive import Primitive
from jaxcore.trace import bind

__all__ = [
    "acos_p",
    "acosh_p",
    "asin_p",
    "asinh_p",
    "atan2_p",
    "atan_p",
    "atanh_p",
    "cbrt_p",
    "ceil_p",
    "cos_p",
    "cosh_p",
    "erf_inv_p",
    "erf_p",
    "erfc_p",
    "exp2_p",
    "exp_p",
    "expm1_p",
    "floor_p",
    "log1p_p",
    "log2_p",
    "log_p",
    "logistic_p",
    "nextafter_p",
    "round_p",
    "rsqrt_p",
    "sin_p",
    "sinh_p",
    "sqrt_p",
    "tan_p",
    "tanh_p",
]

_ACCURACY = {"accuracy": None}


def _times(coefficient: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    """The derivative tangent · coefficient(x, y)."""
    return lambda t, y, x: mul(t, coefficient(x, y))


def _function(
    name: str,
    derivative: Callable[..., Any] | None,
    lower: Any,
    kinds: str = "fc",
    defaults: Any = None,
) -> Primitive:
    rules = () if derivative is None else (derivative,)
    return elementwise(name, kinds, *rules, lower=lower, defaults=defaults)


def _plus(x: Any, value: float) -> Any:
    return add(x, constant(x, value))


def _square(x: Any) -> Any:
    return mul(x, x)


def _one_minus(x: Any) -> Any:
    return sub(constant(x, 1), x)


def _rsqrt(x: Any) -> Any:
    return bind(rsqrt_p, x)


# --- exponentials and logarithms ----------------------------------------------------------------


def _exp2_lower(b: Any, operands: Sequence[Any], avals_in: Any, avals_out: Any) -> list[Any]:
    out = avals_out[0]
    scaled = b.one("stablehlo.multiply", out, b.constant(np.log(2), out), operands[0])[0]
    return b.one("stablehlo.exponential", out, scaled)


exp_p = _function("exp", _times(lambda x, y: y), "stablehlo.exponential", defaults=_ACCURACY)
exp2_p = _function(
    "exp2", _times(lambda x, y: mul(constant(x, np.log(2)), y)), _exp2_lower, defaults=_ACCURACY
)
expm1_p = _function(
    "expm1", _times(lambda x, y: _plus(y, 1)), "stablehlo.exponential_minus_one", defaults=_ACCURACY
)
log_p = _function("log", lambda t, y, x: div(t, x), "stablehlo.log", defaults=_ACCURACY)
log1p_p = _function(
    "log1p", lambda t, y, x: div(t, _plus(x, 1)), "stablehlo.log_plus_one", defaults=_ACCURACY
)

# A primitive of its own since jax 0.12; it keeps the weak type of its operand.
log2_p: Primitive | None = None
if hasattr(jax.lax, "log2_p"):
    log2_p = _function(
        "log2", lambda t, y, x: div(t, mul(constant(x, np.log(2)), x)), None, defaults=_ACCURACY
    )


# --- sigmoids -----------------------------------------------------------------------------------


def _logistic_lower(b: Any, operands: Sequence[Any], avals_in: Any, avals_out: Any) -> list[Any]:
    out = avals_out[0]
    one = b.constant(1, out)
    decay = b.one("stablehlo.exponential", out, b.one("stablehlo.negate", out, operands[0])[0])[0]
    return b.one("stablehlo.divide", out, one, b.one("stablehlo.add", out, one, decay)[0])


tanh_p = _function(
    "tanh",
    _times(lambda x, y: mul(_plus(y, 1), _one_minus(y))),
    "stablehlo.tanh",
    defaults=_ACCURACY,
)
logistic_p = _function(
    "logistic", _times(lambda x, y: mul(y, _one_minus(y))), _logistic_lower, defaults=_ACCURACY
)


# --- circular and hyperbolic functions ----------------------------------------------------------


def _real_or_jax(operation: str) -> Callable[..., list[Any]]:
    """One operation for real operands; complex ones go by JAX's rule, which avoids overflow."""

    def lower(b: Any, operands: Sequence[Any], avals_in: Any, avals_out: Any) -> list[Any]:
        if kind_of(avals_in[0].dtype) != "c":
            return b.one(operation, avals_out[0], *operands)
        primitive = sin_p if operation == "stablehlo.sine" else cos_p
        params = primitive.jax_params({})
        return backend.lower_with_jax(b.ctx, primitive.jax, avals_in, avals_out, operands, params)[
            0
        ]

    return lower


sin_p = _function(
    "sin", _times(lambda x, y: bind(cos_p, x)), _real_or_jax("stablehlo.sine"), defaults=_ACCURACY
)
cos_p = _function(
    "cos",
    _times(lambda x, y: neg(bind(sin_p, x))),
    _real_or_jax("stablehlo.cosine"),
    defaults=_ACCURACY,
)
tan_p = _function(
    "tan", _times(lambda x, y: _plus(_square(y), 1)), "stablehlo.tan", defaults=_ACCURACY
)
asin_p = _function("asin", _times(lambda x, y: _rsqrt(_one_minus(_square(x)))), "chlo.asin")
acos_p = _function("acos", _times(lambda x, y: neg(_rsqrt(_one_minus(_square(x))))), "chlo.acos")
atan_p = _function("atan", lambda t, y, x: div(t, _plus(_square(x), 1)), "chlo.atan")
sinh_p = _function("sinh", _times(lambda x, y: bind(cosh_p, x)), "chlo.sinh")
cosh_p = _function("cosh", _times(lambda x, y: bind(sinh_p, x)), "chlo.cosh")
asinh_p = _function("asinh", _times(lambda x, y: _rsqrt(_plus(_square(x), 1))), "chlo.asinh")
acosh_p = _function(
    "acosh", _times(lambda x, y: _rsqrt(mul(_plus(x, -1), _plus(x, 1)))), "chlo.acosh"
)
atanh_p = _function("atanh", lambda t, y, x: div(t, mul(_one_minus(x), _plus(x, 1))), "chlo.atanh")


def _radius_squared(x: Any, y: Any) -> Any:
    return add(_square(x), _square(y))


atan2_p = elementwise(
    "atan2",
    "fc",
    lambda t, out, x, y: mul(t, div(y, _radius_squared(x, y))),
    lambda t, out, x, y: mul(t, div(neg(x), _radius_squared(x, y))),
    lower="stablehlo.atan2",
)


# --- roots --------------------------------------------------------------------------------------

sqrt_p = _function(
    "sqrt", _times(lambda x, y: div(constant(x, 0.5), y)), "stablehlo.sqrt", defaults=_ACCURACY
)
rsqrt_p = _function(
    "rsqrt",
    _times(lambda x, y: mul(constant(x, -0.5), div(y, x))),
    "stablehlo.rsqrt",
    defaults=_ACCURACY,
)
cbrt_p = _function(
    "cbrt",
    _times(lambda x, y: mul(constant(x, 1 / 3), integer_pow(y, -2))),
    "stablehlo.cbrt",
    "f",
    defaults=_ACCURACY,
)


# --- error functions ----------------------------------------------------------------------------


def _gauss(x: Any) -> Any:
    """2/√π · exp(-x²)."""
    return mul(constant(x, 2 / np.sqrt(np.pi)), bind(exp_p, neg(_square(x))))


erf_p = _function("erf", _times(lambda x, y: _gauss(x)), "chlo.erf", "f")
erfc_p = _function(
    "erfc",
    _times(lambda x, y: neg(_gauss(x))),
    "chlo.erfc",
    "f",
    installed_params(jax.lax.erfc, np.float32(0)),
)
erf_inv_p = _function(
    "erf_inv",
    _times(lambda x, y: mul(constant(x, np.sqrt(np.pi) / 2), bind(exp_p, _square(y)))),
    None,
    "f",
)


# --- rounding -----------------------------------------------------------------------------------


def _round_type(x: ShapedArray, *, rounding_method: Any) -> ShapedArray:
    accept("round", "f", None, x.dtype)
    return x


def _round_lower(
    b: Any, operands: Sequence[Any], avals_in: Any, avals_out: Any, *, rounding_method: Any
) -> list[Any]:
    even = rounding_method is jax.lax.RoundingMethod.TO_NEAREST_EVEN
    return b.one(f"stablehlo.round_nearest_{'even' if even else 'afz'}", avals_out[0], *operands)


floor_p = _function("floor", None, "stablehlo.floor", "f")
ceil_p = _function("ceil", None, "stablehlo.ceil", "f")
round_p = elementwise("round", "f", type=_round_type, lower=_round_lower)
nextafter_p = elementwise("nextafter", "f", lower="chlo.next_after")
