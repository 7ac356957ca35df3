"""Activation functions, elementwise unless an `axis` says otherwise: the functions of ``jax.nn``.

Values and derivatives, also at kinks and of NaN, are JAX's; `softmax` and its relatives compute
half precision in float32 and return the input's dtype.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import numpy as np

import jaxcore.numpy as jnp
from jaxcore import Array, lax
from jaxcore.numpy.composite import composite
from jaxcore.numpy.promote import operands
from jaxcore.ops.activations import relu as _relu
from jaxcore.scipy.exponentials import log_softmax, logsumexp, softmax

from .errors import InputError

Axis = int | tuple[int, ...] | None


def identity(x: Any) -> Array:
    """`x` itself."""
    return jnp.asarray(x)


def tanh(x: Any) -> Array:
    """Hyperbolic tangent."""
    return jnp.tanh(x)


def _float(x: Any) -> Any:
    """`x` as an array of floats."""
    x = jnp.asarray(x)
    return x if jnp.issubdtype(x.dtype, jnp.inexact) else x.astype(jnp.result_type(float, x))


# --- rectifiers ---------------------------------------------------------------------------------


def relu(x: Any) -> Array:
    """max(x, 0), with derivative 0 at 0 and at NaN.

    >>> import jaxcore.numpy as jnp
    >>> print(relu(jnp.array([-1.0, 2.0])))
    [0. 2.]
    """
    return _relu(x)


@composite()
def relu6(x: Any) -> Array:
    """min(max(x, 0), 6), with derivative 0 at 0, at 6 and at NaN."""
    limited = lax.stop_gradient(jnp.minimum(jnp.maximum(x, 0), 6.0))
    return jnp.where(jnp.logical_and(jnp.greater(x, 0), jnp.less(x, 6)), x, limited)


@composite()
def leaky_relu(x: Any, negative_slope: Any = 1e-2) -> Array:
    """x where it is not negative, else `negative_slope` · x."""
    return jnp.where(jnp.greater_equal(x, 0), x, jnp.multiply(negative_slope, x))


@composite()
def elu(x: Any, alpha: Any = 1.0) -> Array:
    """x where it is positive, else `alpha` · (exp(x) - 1).

    Clevert et al. 2015, https://arxiv.org/abs/1511.07289
    """
    positive = jnp.greater(x, 0)
    return jnp.where(positive, x, alpha * jnp.expm1(jnp.where(positive, 0.0, x)))


@composite()
def celu(x: Any, alpha: Any = 1.0) -> Array:
    """max(x, 0) + `alpha` · (exp(min(x, 0) / alpha) - 1), smooth at 0 for every `alpha`.

    Barron 2017, https://arxiv.org/abs/1704.07483
    """
    return jnp.maximum(x, 0.0) + alpha * jnp.expm1(jnp.minimum(x, 0.0) / alpha)


@composite()
def selu(x: Any) -> Array:
    """`elu` scaled so that activations keep mean 0 and variance 1.

    Klambauer et al. 2017, https://arxiv.org/abs/1706.02515
    """
    return 1.0507009873554804934193349852946 * elu(x, 1.6732632423543772848170429916717)


@composite()
def hard_tanh(x: Any) -> Array:
    """x limited to [-1, 1]."""
    return jnp.where(jnp.greater(x, 1), 1, jnp.where(jnp.less(x, -1), -1, x))


@composite()
def hard_sigmoid(x: Any) -> Array:
    """relu6(x + 3) / 6."""
    return relu6(jnp.add(x, 3.0)) / 6.0


@composite()
def hard_silu(x: Any) -> Array:
    """x · hard_sigmoid(x) (Howard et al. 2019, https://arxiv.org/abs/1905.02244)."""
    x = jnp.asarray(x)
    return x * hard_sigmoid(x)


hard_swish = hard_silu


# --- sigmoids -----------------------------------------------------------------------------------


@composite()
def sigmoid(x: Any) -> Array:
    """1 / (1 + exp(-x))."""
    return lax.logistic(x)


@composite()
def silu(x: Any) -> Array:
    """x · sigmoid(x), also called swish (Hendrycks and Gimpel 2016,
    https://arxiv.org/abs/1606.08415).
    """
    x = jnp.asarray(x)
    return x * sigmoid(x)


swish = silu


@composite()
def softplus(x: Any) -> Array:
    """log(1 + exp(x)) without overflow; its derivative is sigmoid(x)."""
    x, _ = operands("softplus", x, 0, to_float=True)
    positive = jnp.greater(x, 0)
    size = jnp.where(positive, x, -x)
    return jnp.where(positive, x, 0) + jnp.log1p(jnp.exp(-size))


@composite()
def log_sigmoid(x: Any) -> Array:
    """log(sigmoid(x)) without underflow."""
    return -softplus(jnp.negative(x))


@composite()
def mish(x: Any) -> Array:
    """x · tanh(softplus(x)) (Misra 2019, https://arxiv.org/abs/1908.08681)."""
    x = jnp.asarray(x)
    return x * jnp.tanh(softplus(x))


@composite()
def squareplus(x: Any, b: Any = 4) -> Array:
    """(x + √(x² + b)) / 2 (Barron 2021, https://arxiv.org/abs/2112.11687)."""
    x = jnp.asarray(x)
    return (x + jnp.sqrt(jnp.square(x) + b)) / 2


@composite()
def soft_sign(x: Any) -> Array:
    """x / (|x| + 1)."""
    x = jnp.asarray(x)
    return x / (jnp.abs(x) + 1)


@composite()
def sparse_plus(x: Any) -> Array:
    """0 below -1, x above 1, and (x + 1)² / 4 between, so that it is smooth."""
    curve = jnp.square(jnp.add(x, 1.0)) / 4
    return jnp.where(jnp.less_equal(x, -1.0), 0.0, jnp.where(jnp.greater_equal(x, 1.0), x, curve))


@composite()
def sparse_sigmoid(x: Any) -> Array:
    """(x + 1) / 2 limited to [0, 1], the derivative of `sparse_plus`."""
    return 0.5 * jnp.clip(jnp.add(x, 1.0), 0.0, 2.0)


# --- gates --------------------------------------------------------------------------------------


@composite("approximate")
def gelu(x: Any, approximate: bool = True) -> Array:
    """x · Φ(x), with Φ the normal distribution function.

    Hendrycks and Gimpel 2016, https://arxiv.org/abs/1606.08415

    Args:
      x: array.
      approximate: use the paper's formula with tanh instead of the error function.
    """
    x = _float(x)
    if approximate:
        root = np.asarray(math.sqrt(2 / math.pi), x.dtype)[()]
        return x * (0.5 * (1.0 + jnp.tanh(root * (x + 0.044715 * x**3))))
    return 0.5 * x * lax.erfc(-x * np.asarray(math.sqrt(0.5), x.dtype)[()])


@composite("axis")
def glu(x: Any, axis: int = -1) -> Array:
    """One half of `x` along `axis`, times the sigmoid of the other half.

    Dauphin et al. 2016, https://arxiv.org/abs/1612.08083

    Raises:
      ValueError: the axis has an odd size.
    """
    x = jnp.asarray(x)
    if x.shape[axis] % 2:
        raise InputError(
            f"glu: axis size must be divisible by 2, got shape {x.shape} and axis {axis}."
        )
    value, gate = jnp.split(x, 2, axis)
    return value * sigmoid(gate)


# --- sums of exponentials -----------------------------------------------------------------------


@composite("axis", "keepdims")
def logmeanexp(x: Any, axis: Axis = None, where: Any = None, keepdims: bool = False) -> Array:
    """log(mean(exp(x))) over `axis` without overflow; elements where `where` is False do not count.

    >>> import jaxcore.numpy as jnp
    >>> print(logmeanexp(jnp.array([3.0, 3.0])))
    3.0
    """
    out = logsumexp(x, axis, keepdims=keepdims, where=where)
    counted = True if where is None else where
    ones = jnp.broadcast_to(jnp.asarray(counted, dtype=out.dtype), jnp.shape(x))
    return out - jnp.log(jnp.sum(ones, axis, keepdims=keepdims))


@jax.custom_jvp
def _log1mexp(x: Any) -> Array:
    near = jnp.log(-jnp.expm1(-x))
    return jnp.where(x < math.log(2), near, jnp.log1p(-jnp.exp(-x)))


_log1mexp.defjvps(lambda t, out, x: t / jnp.expm1(x))


@composite()
def log1mexp(x: Any) -> Array:
    """log(1 - exp(-x)) of positive x, exact near 0 and far from it."""
    return _log1mexp(jnp.asarray(x))


# --- classes and moments ------------------------------------------------------------------------


@composite("num_classes", "dtype", "axis", "out_sharding")
def one_hot(
    x: Any, num_classes: int, *, dtype: Any = None, axis: Any = -1, out_sharding: Any = None
) -> Array:
    """Rows of the identity matrix picked by the integers `x`; zeros for integers out of range.

    Args:
      x: integer array, any shape.
      num_classes: size of the new axis.
      dtype: of the result; the default float by default.
      axis: where the new axis goes; or the name of a mapped axis, which then is that axis.
      out_sharding: left to JAX (since 0.12).

    >>> import jaxcore.numpy as jnp
    >>> print(one_hot(jnp.array([1, 3]), 3))
    [[0. 1. 0.]
     [0. 0. 0.]]
    """
    x = jnp.asarray(x)
    number = isinstance(axis, int | np.integer)
    if out_sharding is not None or not number or not jnp.issubdtype(x.dtype, jnp.integer):
        rest = {} if out_sharding is None else {"out_sharding": out_sharding}
        return jax.nn.one_hot(x, num_classes, dtype=dtype, axis=axis, **rest)
    place = int(axis) % (x.ndim + 1) if -x.ndim - 1 <= axis <= x.ndim else int(axis)
    shape = [1] * x.ndim
    shape.insert(place, num_classes)
    classes = lax.broadcasted_iota(x.dtype, shape, place)
    same = jnp.expand_dims(x, place) == classes
    return same.astype(jnp.result_type(float) if dtype is None else dtype)


@composite("axis", "algorithm")
def standardize(
    x: Any,
    axis: Axis = -1,
    mean: Any = None,
    variance: Any = None,
    epsilon: Any = 1e-5,
    where: Any = None,
    *,
    algorithm: str = "fast",
) -> Array:
    """(x - mean) / √(variance + epsilon) over `axis`.

    Args:
      x: array.
      axis: axis, several, or None for all.
      mean: the mean, if it is known.
      variance: the variance, if it is known.
      epsilon: what keeps the root from 0.
      where: bool array: the elements that count for the moments.
      algorithm: "fast" (mean of squares less the squared mean) or "stable" (mean of squared
        differences).

    Raises:
      ValueError: an unknown algorithm.
    """
    x = jnp.asarray(x)
    if mean is None:
        mean = jnp.mean(x, axis, keepdims=True, where=where)
    if variance is None:
        if algorithm == "stable":
            variance = jnp.mean(jnp.square(x - mean), axis, keepdims=True, where=where)
        elif algorithm == "fast":
            squares = jnp.mean(jnp.square(x), axis, keepdims=True, where=where)
            variance = jnp.clip(squares - jnp.square(mean), 0)
        else:
            raise InputError(f"Unknown algorithm '{algorithm}'. Expected 'fast' or 'stable'.")
    return jnp.subtract(x, mean) * lax.rsqrt(jnp.add(variance, epsilon))


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
    "log1mexp",
    "log_sigmoid",
    "log_softmax",
    "logmeanexp",
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
