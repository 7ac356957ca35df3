"""Activation functions, elementwise unless an `axis` says otherwise.

They are JAX's public functions, which run on the engine's traces; `softmax` and its relatives
compute in float32 here and return the input's dtype.
"""

from __future__ import annotations

from typing import Any

from jax.nn import (
    celu,
    elu,
    gelu,
    glu,
    hard_sigmoid,
    hard_silu,
    hard_swish,
    hard_tanh,
    identity,
    leaky_relu,
    log_sigmoid,
    mish,
    one_hot,
    relu,
    relu6,
    selu,
    sigmoid,
    silu,
    soft_sign,
    softplus,
    sparse_plus,
    sparse_sigmoid,
    squareplus,
    standardize,
    swish,
)

import jaxcore.numpy as jnp
from jaxcore import Array

from .dtypes import as_array, at_least_float32, compute_dtype


def tanh(x: Any) -> Array:
    """Hyperbolic tangent."""
    return jnp.tanh(x)


def logsumexp(
    x: Any, axis: int | tuple[int, ...] | None = None, keepdims: bool = False, where: Any = None
) -> Array:
    """``log(sum(exp(x)))`` without overflow; `where` masks values out."""
    dtype, x = compute_dtype(None, x), at_least_float32(x)
    if where is not None:
        x = jnp.where(where, x, -jnp.inf)
    top = _finite_max(x, axis)
    out = jnp.log(jnp.sum(jnp.exp(x - top), axis, keepdims=True)) + top
    return as_array(out if keepdims else jnp.squeeze(out, axis), dtype)


def softmax(x: Any, axis: int | tuple[int, ...] = -1, where: Any = None) -> Array:
    """``exp(x) / sum(exp(x))`` over `axis`; masked values (`where` False) get 0.

    >>> import jaxcore.numpy as jnp
    >>> softmax(jnp.zeros(4)).tolist()
    [0.25, 0.25, 0.25, 0.25]
    """
    dtype, x = compute_dtype(None, x), at_least_float32(x)
    if where is not None:
        x = jnp.where(where, x, -jnp.inf)
    grown = jnp.exp(x - _finite_max(x, axis))
    total = jnp.sum(grown, axis, keepdims=True)
    if where is not None:  # a row without any value is zeros, not NaN
        total = jnp.where(total == 0, 1, total)
    return as_array(grown / total, dtype)


def log_softmax(x: Any, axis: int | tuple[int, ...] = -1, where: Any = None) -> Array:
    """``x - logsumexp(x)`` over `axis`; masked values get ``-inf``."""
    dtype, x = compute_dtype(None, x), at_least_float32(x)
    if where is not None:
        x = jnp.where(where, x, -jnp.inf)
    shifted = x - _finite_max(x, axis)
    return as_array(shifted - jnp.log(jnp.sum(jnp.exp(shifted), axis, keepdims=True)), dtype)


def _finite_max(x: Any, axis: Any) -> Any:
    """The maximum as a constant: it shifts, and does not change, the result."""
    from jaxcore import stop_gradient

    top = jnp.max(x, axis, keepdims=True)
    return stop_gradient(jnp.where(jnp.isfinite(top), top, 0))


__all__ = [
    "celu",
    "elu",
    "gelu",
    "glu",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "identity",
    "leaky_relu",
    "log_sigmoid",
    "log_softmax",
    "logsumexp",
    "mish",
    "one_hot",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "soft_sign",
    "softmax",
    "softplus",
    "sparse_plus",
    "sparse_sigmoid",
    "squareplus",
    "standardize",
    "swish",
    "tanh",
]
