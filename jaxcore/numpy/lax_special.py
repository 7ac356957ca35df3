"""The functions of `jaxcore.lax` on gamma, beta, Bessel and zeta functions, and polynomials."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax

from jaxcore.jit import jit
from jaxcore.numpy.lax_functions import function, one_minus_square
from jaxcore.numpy.operand import typed
from jaxcore.ops import special as s
from jaxcore.ops.arithmetic import add, constant, mul
from jaxcore.ops.composed import composed
from jaxcore.ops.convert import convert
from jaxcore.ops.rules import common_shape, expand, full
from jaxcore.trace import aval_of

__all__ = [
    "bessel_i0e",
    "bessel_i1e",
    "betainc",
    "digamma",
    "igamma",
    "igamma_grad_a",
    "igammac",
    "lgamma",
    "polygamma",
    "polynomial",
    "random_gamma_grad",
    "zeta",
]

lgamma = function("lgamma", s.lgamma_p, "log |Γ(x)|.")
digamma = function("digamma", s.digamma_p, "The derivative of lgamma.")
polygamma = function("polygamma", s.polygamma_p, "The m-th derivative of digamma.")
igamma = function("igamma", s.igamma_p, "The regularised lower incomplete gamma function.")
igammac = function("igammac", s.igammac_p, "The regularised upper incomplete gamma function.")
igamma_grad_a = function("igamma_grad_a", s.igamma_grad_a_p, "The derivative of igamma by a.")
betainc = function(
    "betainc", s.regularized_incomplete_beta_p, "The regularised incomplete beta function."
)
zeta = function("zeta", s.zeta_p, "The Hurwitz zeta function: the sum of (q + n)^-x.")
bessel_i0e = function(
    "bessel_i0e", s.bessel_i0e_p, "exp(-|x|) · I₀(x), with the modified Bessel function I₀."
)
bessel_i1e = function(
    "bessel_i1e", s.bessel_i1e_p, "exp(-|x|) · I₁(x), with the modified Bessel function I₁."
)


def polynomial(x: Any, coeffs: Sequence[Any], *, unroll: int | None = None) -> jax.Array:
    """a₀ + a₁x + a₂x² + ..., by Horner's rule.

    Args:
      x: array.
      coeffs: a₀, a₁, ...: numbers, or arrays that broadcast with `x`; they take its dtype.
      unroll: how many steps JAX writes out between turns of a loop; here all are written out.

    Example:
      >>> from jaxcore import lax
      >>> lax.polynomial(3.0, [1.0, 5.0, 2.0])
      Array(34., dtype=float32, weak_type=True)
    """
    value, aval = typed("polynomial", x)
    terms = [
        constant(value, c) if isinstance(c, int | float | complex) else convert(c, aval.dtype)
        for c in coeffs
    ]
    if not terms:
        return full(0, aval)
    total = terms[-1]
    for term in reversed(terms[:-1]):
        total = add(mul(total, value), term)
    if len(terms) == 1:
        total = expand(total, common_shape("polynomial", [aval, aval_of(total)]))
    return total


_SINCE_0_12: dict[str, Callable[..., Any]] = {
    "polynomial_p": lambda x, *coeffs, **_: polynomial(x, coeffs),
    "one_minus_square_p": one_minus_square,
}
for _name, _function in _SINCE_0_12.items():
    if hasattr(jax.lax, _name):
        composed(getattr(jax.lax, _name), _function)


@jit
def random_gamma_grad(a: Any, x: Any) -> jax.Array:
    """The derivative by `a` of a sample `x` of the gamma distribution Gamma(a, 1).

    Figurnov et al., "Implicit reparameterization gradients", NeurIPS 2018.
    """
    return jax.lax.random_gamma_grad(a, x)
