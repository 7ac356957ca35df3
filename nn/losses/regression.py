"""Losses of numbers, elementwise: errors, and likelihoods of simple distributions."""

from __future__ import annotations

import math
from typing import Any

import jaxcore.numpy as jnp
from jaxcore import Array

from ..dtypes import at_least_float32
from .classification import sigmoid_binary_cross_entropy
from .shared import pair, same_shape


def _difference(name: str, predictions: Any, targets: Any) -> Array:
    predictions, targets = pair(name, predictions, targets)
    return predictions - targets


def squared_error(predictions: Any, targets: Any) -> Array:
    """``(predictions - targets)²``, elementwise.

    >>> import jaxcore.numpy as jnp
    >>> squared_error(jnp.array([3.0]), jnp.array([1.0])).tolist()
    [4.0]
    """
    difference = _difference("squared_error", predictions, targets)
    return difference * difference


def absolute_error(predictions: Any, targets: Any) -> Array:
    """``|predictions - targets|``, elementwise.

    >>> import jaxcore.numpy as jnp
    >>> absolute_error(jnp.array([3.0]), jnp.array([1.0])).tolist()
    [2.0]
    """
    return jnp.abs(_difference("absolute_error", predictions, targets))


def huber(predictions: Any, targets: Any, delta: float = 1.0) -> Array:
    """``e²/2`` for errors up to `delta`, ``delta · (|e| - delta/2)`` beyond, elementwise.

    Huber 1964, https://doi.org/10.1214/aoms/1177703732

    >>> import jaxcore.numpy as jnp
    >>> huber(jnp.array([3.0]), jnp.array([1.0])).tolist()
    [1.5]
    """
    error = jnp.abs(_difference("huber", predictions, targets))
    inside = jnp.minimum(error, delta)
    return 0.5 * inside * inside + delta * (error - inside)


def smooth_l1(predictions: Any, targets: Any, beta: float = 1.0) -> Array:
    """``huber(..., beta) / beta``, elementwise: PyTorch's ``SmoothL1Loss``.

    Girshick 2015, https://arxiv.org/abs/1504.08083

    >>> import jaxcore.numpy as jnp
    >>> smooth_l1(jnp.array([3.0]), jnp.array([1.0]), beta=2.0).tolist()
    [1.0]
    """
    return huber(predictions, targets, beta) / beta


def log_cosh(predictions: Any, targets: Any) -> Array:
    """``log cosh(predictions - targets)``, elementwise: a smooth `absolute_error`.

    >>> import jaxcore.numpy as jnp
    >>> log_cosh(jnp.array([2.0]), jnp.array([2.0])).tolist()
    [0.0]
    """
    error = _difference("log_cosh", predictions, targets)
    return jnp.logaddexp(error, -error) - jnp.log(2.0)


def quantile(predictions: Any, targets: Any, q: float) -> Array:
    """``max(q · e, (q - 1) · e)`` with e = targets - predictions: least at the q-th quantile.

    Koenker and Bassett 1978, https://doi.org/10.2307/1913643

    >>> import jaxcore.numpy as jnp
    >>> quantile(jnp.array([3.0, 1.0]), jnp.array([1.0, 3.0]), 0.75).tolist()
    [0.5, 1.5]
    """
    error = -_difference("quantile", predictions, targets)
    return jnp.maximum(q * error, (q - 1) * error)


def absolute_percentage_error(predictions: Any, targets: Any, epsilon: float = 1e-7) -> Array:
    """``100 · |predictions - targets| / max(|targets|, epsilon)``, elementwise.

    >>> import jaxcore.numpy as jnp
    >>> absolute_percentage_error(jnp.array([3.0]), jnp.array([4.0])).tolist()
    [25.0]
    """
    error = jnp.abs(_difference("absolute_percentage_error", predictions, targets))
    return 100.0 * error / jnp.maximum(jnp.abs(at_least_float32(targets)), epsilon)


def squared_log_error(predictions: Any, targets: Any) -> Array:
    """``(log(1 + predictions) - log(1 + targets))²`` of numbers above -1, elementwise.

    >>> import jaxcore.numpy as jnp
    >>> squared_log_error(jnp.array([0.0]), jnp.array([0.0])).tolist()
    [0.0]
    """
    predictions, targets = pair("squared_log_error", predictions, targets)
    error = jnp.log1p(predictions) - jnp.log1p(targets)
    return error * error


def gaussian_nll(
    mean: Any, targets: Any, variance: Any, epsilon: float = 1e-6, full: bool = False
) -> Array:
    """``(log v + (mean - targets)² / v) / 2`` with v at least `epsilon`, elementwise.

    With `full`, plus ``log(2π) / 2``, which makes it the negative log-density.

    Nix and Weigend 1994, https://doi.org/10.1109/ICNN.1994.374138

    >>> import jaxcore.numpy as jnp
    >>> gaussian_nll(jnp.array([3.0]), jnp.array([1.0]), jnp.array([1.0])).tolist()
    [2.0]
    """
    error = _difference("gaussian_nll", mean, targets)
    variance = jnp.broadcast_to(jnp.maximum(at_least_float32(variance), epsilon), error.shape)
    loss = 0.5 * (jnp.log(variance) + error * error / variance)
    return loss + 0.5 * math.log(2 * math.pi) if full else loss


def poisson_nll(
    predictions: Any, targets: Any, log_input: bool = True, epsilon: float = 1e-8
) -> Array:
    """``exp(x) - targets · x`` for x the log of the rate, elementwise.

    With ``log_input=False``, ``x - targets · log(x + epsilon)`` for the rate itself, Keras's
    ``Poisson``. Without the term ``log(targets!)``, which no gradient sees.

    >>> import jaxcore.numpy as jnp
    >>> poisson_nll(jnp.array([0.0]), jnp.array([2.0])).tolist()
    [1.0]
    """
    x, targets = pair("poisson_nll", predictions, targets)
    return jnp.exp(x) - targets * x if log_input else x - targets * jnp.log(x + epsilon)


def bernoulli_nll(logits: Any, targets: Any) -> Array:
    """`sigmoid_binary_cross_entropy` under its name in variational autoencoders, elementwise.

    >>> import jaxcore.numpy as jnp
    >>> print(bernoulli_nll(jnp.zeros(1), jnp.ones(1)).round(3))
    [0.693]
    """
    return sigmoid_binary_cross_entropy(logits, targets)


def gaussian_kl(mean: Any, log_variance: Any) -> Array:
    """``(exp(log_variance) + mean² - 1 - log_variance) / 2``: from a normal to the standard normal.

    Elementwise; a variational autoencoder sums it over its latent axes.

    Kingma and Welling 2014, https://arxiv.org/abs/1312.6114

    >>> import jaxcore.numpy as jnp
    >>> gaussian_kl(jnp.array([2.0]), jnp.array([0.0])).tolist()
    [2.0]
    """
    mean, log_variance = at_least_float32(mean), at_least_float32(log_variance)
    same_shape("gaussian_kl", mean, log_variance, "log variances")
    return 0.5 * (jnp.exp(log_variance) + mean * mean - 1.0 - log_variance)
