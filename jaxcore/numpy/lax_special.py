"""The functions of `jaxcore.lax` on gamma, beta, Bessel and zeta functions, and polynomials."""

from __future__ import annotations

from typing import Any

import jax

from jaxcore.jit import jit
from jaxcore.numpy.lax_functions import function
from jaxcore.ops import special as s

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


@jit
def random_gamma_grad(a: Any, x: Any) -> jax.Array:
    """The derivative by `a` of a sample `x` of the gamma distribution Gamma(a, 1).

    Figurnov et al., "Implicit reparameterization gradients", NeurIPS 2018.
    """
    return jax.lax.random_gamma_grad(a, x)
