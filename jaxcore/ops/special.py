"""Gamma and beta functions, Bessel functions and the zeta function.

Their values are computed by JAX's series and continued fractions (`lower=None`); the derivatives
are closed forms in the same functions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy
import numpy as np

from jaxcore.ops.arithmetic import abs_p, add, constant, integer_pow, mul, neg, sign_p, sub
from jaxcore.ops.compare import gt, select
from jaxcore.ops.elementwise import exp_p, log1p_p, log_p
from jaxcore.ops.rules import elementwise, full
from jaxcore.primitive import Primitive
from jaxcore.trace import aval_of, bind

__all__ = [
    "bessel_i0e_p",
    "bessel_i1e_p",
    "digamma_p",
    "igamma_grad_a_p",
    "igamma_p",
    "igammac_p",
    "lgamma_p",
    "polygamma_p",
    "regularized_incomplete_beta_p",
    "zeta_p",
]


def _minus_one(x: Any) -> Any:
    return sub(x, constant(x, 1))


def _no_derivative(name: str) -> Callable[..., Any]:
    """The jvp of an operation that has no derivative, in any of its operands."""

    def jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
        raise NotImplementedError(
            f"Differentiation rule for '{name}' not implemented. Fix: wrap the function in "
            "jax.custom_jvp with a derivative of your own, or stop_gradient its arguments."
        )

    return jvp


def _no_partial(name: str, operands: str) -> Callable[..., Any]:
    """The derivative rule of an operand that there is no formula for."""

    def rule(*args: Any) -> Any:
        raise ValueError(
            f"{name} gradient with respect to {operands} is not supported. Fix: pass stop_gradient("
            "...) of it where it is to count as a constant."
        )

    return rule


# --- gamma --------------------------------------------------------------------------------------


def _next_polygamma(t: Any, y: Any, m: Any, x: Any) -> Any:
    return mul(t, bind(polygamma_p, add(m, constant(m, 1)), x))


lgamma_p = elementwise("lgamma", "f", lambda t, y, x: mul(t, bind(digamma_p, x)))
digamma_p = elementwise(
    "digamma", "f", lambda t, y, x: mul(t, bind(polygamma_p, full(1, aval_of(x)), x))
)
polygamma_p = elementwise("polygamma", "f", _no_partial("polygamma", "m"), _next_polygamma)


# --- incomplete gamma and beta ------------------------------------------------------------------


def _gamma_density(a: Any, x: Any) -> Any:
    """x^(a - 1) · exp(-x) / Γ(a)."""
    log_power = sub(mul(_minus_one(a), bind(log_p, x)), x)
    return bind(exp_p, sub(log_power, bind(lgamma_p, a)))


def _beta_density(a: Any, b: Any, x: Any) -> Any:
    """x^(a - 1) · (1 - x)^(b - 1) / B(a, b)."""
    log_beta = sub(add(bind(lgamma_p, a), bind(lgamma_p, b)), bind(lgamma_p, add(a, b)))
    falling = mul(_minus_one(b), bind(log1p_p, neg(x)))
    return bind(exp_p, sub(add(falling, mul(_minus_one(a), bind(log_p, x))), log_beta))


igamma_grad_a_p = elementwise("igamma_grad_a", "f", jvp=_no_derivative("igamma_grad_a"))
igamma_p = elementwise(
    "igamma",
    "f",
    lambda t, y, a, x: mul(t, bind(igamma_grad_a_p, a, x)),
    lambda t, y, a, x: mul(t, _gamma_density(a, x)),
)
igammac_p = elementwise(
    "igammac",
    "f",
    lambda t, y, a, x: neg(mul(t, bind(igamma_grad_a_p, a, x))),
    lambda t, y, a, x: neg(mul(t, _gamma_density(a, x))),
)
regularized_incomplete_beta_p = elementwise(
    "regularized_incomplete_beta",
    "f",
    _no_partial("betainc", "a and b"),
    _no_partial("betainc", "a and b"),
    lambda t, y, a, b, x: mul(t, _beta_density(a, b, x)),
)


# --- Bessel and zeta ----------------------------------------------------------------------------


def _i0e_slope(x: Any, y: Any) -> Any:
    return sub(bind(bessel_i1e_p, x), mul(bind(sign_p, x), y))


def _i1e_slope(x: Any, y: Any) -> Any:
    """i0e(x) - i1e(x) · (sign(x) + 1/x), which is 1/2 at 0."""
    tiny = np.asarray(jax.numpy.finfo(aval_of(x).dtype).eps)[()]
    regular = gt(bind(abs_p, x), constant(x, tiny))
    safe = select(regular, x, full(tiny, aval_of(x)))
    fall = mul(y, add(bind(sign_p, safe), integer_pow(safe, -1)))
    return select(regular, sub(bind(bessel_i0e_p, safe), fall), full(0.5, aval_of(x)))


def _bessel(name: str, slope: Callable[[Any, Any], Any]) -> Primitive:
    return elementwise(name, "f", lambda t, y, x: mul(t, slope(x, y)))


bessel_i0e_p = _bessel("bessel_i0e", _i0e_slope)
bessel_i1e_p = _bessel("bessel_i1e", _i1e_slope)
zeta_p = elementwise("zeta", "f", jvp=_no_derivative("zeta"))
