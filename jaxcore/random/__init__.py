"""Random numbers: JAX's names, arguments, dtypes and bits.

The functions imported here record our primitives; every other name is JAX's function, which runs
on our tracers.

keys          keys of both kinds, and bits
continuous    uniform, normal and what is made of them
discrete      coin flips, integers, choices and random orders
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
from jaxcore.random.discrete import (
    bernoulli,
    categorical,
    choice,
    permutation,
    rademacher,
    randint,
)
from jaxcore.random.keys import PRNGKey, bits, fold_in, key, split

__all__ = [
    "PRNGKey",
    "bernoulli",
    "bits",
    "categorical",
    "choice",
    "exponential",
    "fold_in",
    "gumbel",
    "key",
    "laplace",
    "logistic",
    "normal",
    "permutation",
    "rademacher",
    "randint",
    "split",
    "truncated_normal",
    "uniform",
]


def __getattr__(name: str) -> Any:
    return namespaces.lookup(__name__, name)


def __dir__() -> list[str]:
    return namespaces.listing(__name__)
