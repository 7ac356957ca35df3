"""Random numbers: JAX's names, arguments, dtypes and bits.

The functions imported here record our primitives; every other name is JAX's function, which runs
on our tracers.

keys          keys of both kinds, and bits
arguments     what samplers do with theirs
continuous    uniform, normal, and what one uniform sample makes
transformed   what a formula makes of those
gammas        gamma, beta, Dirichlet, chi-square, F, Student's t
vectors       normal vectors, orthogonal matrices, balls
discrete      coin flips, integers, choices and random orders
counts        Poisson, binomial, multinomial, geometric
"""

from __future__ import annotations

from typing import Any

from jaxcore import namespaces
from jaxcore.random.continuous import (
    exponential,
    gumbel,
    laplace,
    logistic,
    normal,
    truncated_normal,
    uniform,
)
from jaxcore.random.counts import binomial, geometric, multinomial, poisson
from jaxcore.random.discrete import (
    bernoulli,
    categorical,
    choice,
    permutation,
    rademacher,
    randint,
)
from jaxcore.random.gammas import beta, chisquare, dirichlet, f, gamma, loggamma, t
from jaxcore.random.keys import PRNGKey, bits, clone, fold_in, key, key_data, split, wrap_key_data
from jaxcore.random.transformed import (
    cauchy,
    double_sided_maxwell,
    lognormal,
    maxwell,
    pareto,
    rayleigh,
    triangular,
    wald,
    weibull_min,
)
from jaxcore.random.vectors import ball, generalized_normal, multivariate_normal, orthogonal

__all__ = [
    "PRNGKey",
    "ball",
    "bernoulli",
    "beta",
    "binomial",
    "bits",
    "categorical",
    "cauchy",
    "chisquare",
    "choice",
    "clone",
    "dirichlet",
    "double_sided_maxwell",
    "exponential",
    "f",
    "fold_in",
    "gamma",
    "generalized_normal",
    "geometric",
    "gumbel",
    "key",
    "key_data",
    "laplace",
    "loggamma",
    "logistic",
    "lognormal",
    "maxwell",
    "multinomial",
    "multivariate_normal",
    "normal",
    "orthogonal",
    "pareto",
    "permutation",
    "poisson",
    "rademacher",
    "randint",
    "rayleigh",
    "split",
    "t",
    "triangular",
    "truncated_normal",
    "uniform",
    "wald",
    "weibull_min",
    "wrap_key_data",
]


def __getattr__(name: str) -> Any:
    return namespaces.lookup(__name__, name)


def __dir__() -> list[str]:
    return namespaces.listing(__name__)
