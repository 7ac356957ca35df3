"""Activation functions and the stable sums of exponentials, on the array interface.

Values and gradients are those of `jax.nn`; the largest element that a sum of exponentials is
shifted by carries no derivative, since it cancels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

import jaxcore.numpy as jnp
from jaxcore.numpy.promote import inexact
from jaxcore.numpy.reductions import user_dtype
from jaxcore.ops.basic import stop_gradient_p
from jaxcore.ops.convert import convert
from jaxcore.ops.elementwise import erfc_p, logistic_p
from jaxcore.ops.rules import broadcast_in_dim
from jaxcore.trace import aval_of, bind

__all__ = [
    "elu",
    "gelu",
    "leaky_relu",
    "log_sigmoid",
    "log_softmax",
    "logsumexp",
    "one_hot",
    "relu",
    "relu6",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
]

Axis = int | Sequence[int] | None


# --- rectifiers ---------------------------------------------------------------------------------


def relu(x: Any) -> Any:
    """max(x, 0), with derivative 0 at 0."""
    return jnp.where(x <= 0, 0, x)


def relu6(x: Any) -> Any:
    """min(max(x, 0), 6), with derivative 0 at 0 and at 6."""
    return jnp.where(x <= 0, 0, jnp.where(x >= 6, 6.0, x))


def leaky_relu(x: Any, negative_slope: Any = 1e-2) -> Any:
    """x where it is not negative, else `negative_slope` · x."""
    return jnp.where(x >= 0, x, negative_slope * x)


def elu(x: Any, alpha: Any = 1.0) -> Any:
    """x where it is positive, else `alpha` · (exp(x) - 1)."""
    positive = x > 0
    return jnp.where(positive, x, alpha * jnp.expm1(jnp.where(positive, 0.0, x)))


# --- sigmoids -----------------------------------------------------------------------------------


def sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x))."""
    return bind(logistic_p, inexact("sigmoid", x))


def silu(x: Any) -> Any:
    """x · sigmoid(x)."""
    return x * sigmoid(x)


def softplus(x: Any) -> Any:
    """log(1 + exp(x)) without overflow; its derivative is sigmoid(x)."""
    x = inexact("softplus", x)
    positive = x > 0
    size = jnp.where(positive, x, -x)
    return jnp.where(positive, x, 0) + jnp.log1p(jnp.exp(-size))


def log_sigmoid(x: Any) -> Any:
    """log(sigmoid(x)) without underflow."""
    return -softplus(-inexact("log_sigmoid", x))


def gelu(x: Any, approximate: bool = True) -> Any:
    """x · Φ(x), with Φ the normal distribution function (https://arxiv.org/abs/1606.08415).

    Args:
      x: array.
      approximate: use the paper's formula with tanh instead of the error function.
    """
    x = inexact("gelu", x)
    if approximate:
        inner = np.sqrt(2 / np.pi).item() * (x + 0.044715 * x**3)
        return x * (0.5 * (1.0 + jnp.tanh(inner)))
    return 0.5 * x * bind(erfc_p, -x * np.sqrt(0.5).item())


# --- sums of exponentials -----------------------------------------------------------------------


def _top(x: Any, axis: Axis, where: Any) -> Any:
    """The largest element, kept as an axis of size 1, without a derivative."""
    initial = None if where is None else -np.inf
    x = bind(stop_gradient_p, x) if hasattr(x, "aval") else x
    return jnp.max(x, axis, keepdims=True, initial=initial, where=where)


def softmax(x: Any, axis: Axis = -1, where: Any = None) -> Any:
    """exp(x) / Σ exp(x) over `axis`; entries where `where` is False count for nothing and are 0.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> from jaxcore.ops.activations import softmax
      >>> softmax(jnp.array([0.0, 0.0]))
      Array([0.5, 0.5], dtype=float32)
    """
    x = inexact("softmax", x)
    powers = jnp.exp(x - _top(x, axis, where))
    out = powers / jnp.sum(powers, axis, keepdims=True, where=where)
    return out if where is None else jnp.where(where, out, 0)


def log_softmax(x: Any, axis: Axis = -1, where: Any = None) -> Any:
    """log(softmax(x)) without underflow; -inf where `where` is False."""
    x = inexact("log_softmax", x)
    shifted = x - _top(x, axis, where)
    total = jnp.sum(jnp.exp(shifted), axis, keepdims=True, where=where)
    out = shifted - jnp.log(total)
    return out if where is None else jnp.where(where, out, -np.inf)


def logsumexp(
    a: Any,
    axis: Axis = None,
    b: Any = None,
    keepdims: bool = False,
    return_sign: bool = False,
    where: Any = None,
) -> Any:
    """log(Σ exp(a)) over `axis` without overflow.

    Args:
      a: array.
      axis: axis, several, or None for all.
      b: factors of exp(a); they may be negative with `return_sign`.
      keepdims: leave reduced axes with size 1.
      return_sign: also return the sign of the sum.
      where: bool array: the elements that count.
    """
    if b is not None or return_sign:
        return jax.nn.logsumexp(a, axis, b, keepdims, return_sign, where)
    a = inexact("logsumexp", a)
    if aval_of(a).dtype.kind == "c":
        return jax.nn.logsumexp(a, axis, keepdims=keepdims, where=where)
    top = _top(a, axis, where)
    top = jnp.where(jnp.isfinite(top), top, 0)
    total = jnp.sum(jnp.exp(a - top), axis, keepdims=keepdims, where=where)
    return jnp.log(total) + jnp.reshape(top, aval_of(total).shape)


# --- classes ------------------------------------------------------------------------------------


def one_hot(x: Any, num_classes: int, *, dtype: Any = None, axis: int = -1) -> Any:
    """Rows of the identity matrix picked by the integers `x`; zeros for integers out of range.

    Args:
      x: integer array, any shape.
      num_classes: size of the new axis.
      dtype: of the result; the default float by default.
      axis: where the new axis goes.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> from jaxcore.ops.activations import one_hot
      >>> one_hot(jnp.array([1, 3]), 3)
      Array([[0., 1., 0.],
             [0., 0., 0.]], dtype=float32)
    """
    if isinstance(axis, str):
        return jax.nn.one_hot(x, num_classes, dtype=dtype, axis=axis)
    x = x if hasattr(x, "aval") else jnp.asarray(x)
    aval = aval_of(x)
    rank = len(aval.shape)
    place = axis % (rank + 1)
    shape = (*aval.shape[:place], num_classes, *aval.shape[place:])
    spread = [i for i in range(rank + 1) if i != place]
    classes = jnp.arange(num_classes, dtype=aval.dtype)
    same = broadcast_in_dim(x, shape, spread) == broadcast_in_dim(classes, shape, (place,))
    return convert(same, user_dtype(float if dtype is None else dtype, "one_hot"))
