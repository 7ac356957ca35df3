"""Cases of gamma, beta, Bessel and zeta functions.

They share the rules of elementwise records and compile slowly, so that only one of them is batched.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from ops.cases_elementwise import grid, lax_of
from ops.harness import Case

A, X = grid(0.5, 4, (3,)), grid(0.2, 5, (3,))
HALF = X.astype(jnp.bfloat16)
ODD = np.array([np.nan, np.inf, -np.inf, 0.0, -1.0, 1.0], np.float32)


def smooth(np_like: Any, x: Any) -> Any:
    lax = lax_of(np_like)
    fs = lax.lgamma, lax.digamma, lax.bessel_i0e, lax.bessel_i1e
    return [f(x) for f in fs], lax.polygamma(np_like.full_like(x, 2.0), x)


def types(np_like: Any, half: Any, odd: Any) -> Any:
    lax = lax_of(np_like)
    fs = lax.lgamma, lax.digamma, lax.bessel_i0e, lax.bessel_i1e
    return [(f(half), f(odd)) for f in fs], lax.igamma(half, half), lax.lgamma(2.0)


def pairs(np_like: Any, a: Any, x: Any) -> Any:
    """Every pair of odd values."""
    lax = lax_of(np_like)
    x, a = (np_like.broadcast_to(v, (6, 6)) for v in (x[None], a[:, None]))
    return lax.igamma(a, x), lax.igammac(a, x), lax.igamma_grad_a(a, x), lax.zeta(a, x)


def incomplete(np_like: Any, a: Any, x: Any) -> Any:
    return lax_of(np_like).igamma(a, x), lax_of(np_like).igammac(a, x)


def by_x(np_like: Any, x: Any) -> Any:
    lax = lax_of(np_like)
    return lax.igamma(2.0, x), lax.betainc(1.5, 2.0, x / 6), lax.betainc(A, A[::-1], x / 6)


def without_derivative(np_like: Any, a: Any, x: Any) -> Any:
    return lax_of(np_like).random_gamma_grad(a, x), lax_of(np_like).zeta(a + 1, x)


OPTIONS: dict[str, Any] = {"vmap": False, "tol": 3e-5}

CASES = [
    Case("gamma and Bessel functions", smooth, (X,), second=True, **OPTIONS),
    Case("gamma and Bessel functions of other types", types, (HALF, ODD), grad=False, **OPTIONS),
    Case("incomplete gamma functions", incomplete, (A, X), **OPTIONS),
    Case("incomplete gamma and beta by x", by_x, (X,), second=True, **OPTIONS),
    Case("incomplete gamma functions of odd values", pairs, (ODD, ODD), grad=False, **OPTIONS,
         rank_promotion=True),
    Case("functions without a derivative", without_derivative, (A, X), grad=False, tol=3e-5),
]  # fmt: skip
