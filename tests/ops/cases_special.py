"""Cases of gamma, beta, Bessel and zeta functions, and of `scipy.special`.

They share the rules of elementwise records and compile slowly, so that only one of them is batched.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy
import numpy as np
from ops.cases_elementwise import grid, lax_of
from ops.harness import Case

import jaxcore.numpy
import jaxcore.scipy

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


# --- scipy.special ------------------------------------------------------------------------------


def special_of(np_like: Any) -> Any:
    """The namespace of special functions that goes with an array namespace."""
    return jaxcore.scipy.special if np_like is jaxcore.numpy else jax.scipy.special


def each(names: str, *args: Any) -> Any:
    """A function of arrays that applies several special functions to each of its arguments."""

    def fn(np_like: Any, *xs: Any) -> Any:
        special = special_of(np_like)
        return [getattr(special, n)(x, *args) for n in names.split() for x in xs]

    return fn


UNARY = "erf erfc erfinv expit logit gammaln loggamma gamma factorial digamma entr"
BESSEL = "i0 i0e i1 i1e"
NORMAL = "ndtr log_ndtr"


def binary(np_like: Any, x: Any, y: Any) -> Any:
    s = special_of(np_like)
    names = "xlogy", "xlog1py", "kl_div", "rel_entr", "beta", "boxcox", "boxcox1p", "comb"
    return [getattr(s, n)(x, y) for n in names]


def binary_types(np_like: Any, half: Any, i: Any, odd: Any) -> Any:
    s = special_of(np_like)
    flipped = np_like.flip(odd)
    return (
        [getattr(s, n)(half, 2) for n in ("xlogy", "kl_div", "beta", "boxcox")],
        [getattr(s, n)(i, i) for n in ("xlog1py", "rel_entr", "comb")],
        [getattr(s, n)(odd, flipped) for n in ("xlogy", "xlog1py", "boxcox")],
        s.xlogy(0.0, 0.0), s.polygamma(1, half), s.polygamma(i, half), s.multigammaln(half + 3, 3),
        s.comb(i, 2, repetition=True),
    )  # fmt: skip


def sums(np_like: Any, x: Any, b: Any, m: Any) -> Any:
    f = special_of(np_like).logsumexp
    return (
        f(x), f(x, axis=1), f(x, axis=(0, 1), keepdims=True), f(x, axis=0, b=b),
        f(x, axis=1, b=b, return_sign=True), f(x, axis=1, where=m), f(x * np_like.where(m, 1, -9)),
        special_of(np_like).softmax(x), special_of(np_like).log_softmax(x, axis=0),
    )  # fmt: skip


def sum_types(np_like: Any, half: Any, i: Any, x: Any) -> Any:
    f = special_of(np_like).logsumexp
    z = x + 1j * x
    lowest = np_like.full_like(x, -np.inf)
    return (
        f(half, axis=0), f(i), f(2.0), f(z, axis=1), f(lowest),
        f(x[:, :0], axis=1), f(x, axis=1, b=-1.0), special_of(np_like).softmax(half, axis=0),
        special_of(np_like).log_softmax(half),
    )  # fmt: skip


TABLE = grid(-1, 2, (2, 3))
MASK = np.array([[True, False, True], [False, False, False]])
INTS = np.array([1, 2, 3], np.int32)

OPTIONS: dict[str, Any] = {"vmap": False, "tol": 3e-5}

CASES = [
    Case("gamma and Bessel functions", smooth, (X,), second=True, **OPTIONS),
    Case("gamma and Bessel functions of other types", types, (HALF, ODD), grad=False, **OPTIONS),
    Case("incomplete gamma functions", incomplete, (A, X), **OPTIONS),
    Case("incomplete gamma and beta by x", by_x, (X,), second=True, **OPTIONS),
    Case("incomplete gamma functions of odd values", pairs, (ODD, ODD), grad=False, **OPTIONS,
         rank_promotion=True),
    Case("functions without a derivative", without_derivative, (A, X), grad=False, tol=3e-5),
    Case("special functions", each(UNARY), (grid(0.1, 0.9, (3,)),), second=True, **OPTIONS),
    Case("special functions of other types", each(UNARY), (HALF, INTS, ODD), grad=False,
         **OPTIONS),
    Case("Bessel functions", each(BESSEL), (grid(-9, 9, (4,)),), **OPTIONS),
    Case("normal distribution", each(NORMAL), (np.array([-12, -0.5, 3, 7], np.float32),),
         second=True, **OPTIONS),
    Case("special functions of two", binary, (A, X), **OPTIONS),
    Case("special functions of two, other types", binary_types, (HALF, INTS, ODD), grad=False,
         native=False, vmap=False, tol=1e-4, rank_promotion=True),
    Case("sums of exponentials", sums, (TABLE, TABLE[::-1] + 1, MASK), second=True, tol=3e-5,
         rank_promotion=True, steps=True),
    Case("sums of exponentials of other types", sum_types,
         (TABLE.astype(jnp.bfloat16), INTS, TABLE), grad=False, vmap=False),
]  # fmt: skip
