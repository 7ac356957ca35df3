"""Losses, one value an example: nothing is averaged here.

The caller decides what a mean is (weights, masks, padding), so every function keeps the leading
axes. All compute in float32 at least, whatever the inputs' dtype. Those over classes reduce the
class axis; the others are elementwise, ``(...) -> (...)``.
"""

from __future__ import annotations

from typing import Any

import jaxcore.numpy as jnp
from jaxcore import Array

from .activations import log_softmax, one_hot, softplus
from .dtypes import at_least_float32
from .errors import InputError


def softmax_cross_entropy_with_integer_labels(
    logits: Any, labels: Any, axis: int = -1, where: Any = None, label_smoothing: float = 0.0
) -> Array:
    """``-log softmax(logits)[label]``: ``(..., classes), integers (...) -> (...)``.

    Args:
      where: classes that take part, broadcastable to `logits`.
      label_smoothing: this share of the label's mass is spread evenly over all classes.

    Szegedy et al. 2016 (smoothing), https://arxiv.org/abs/1512.00567

    >>> import jaxcore.numpy as jnp
    >>> softmax_cross_entropy_with_integer_labels(jnp.zeros((1, 2)), jnp.array([1])).shape
    (1,)
    """
    logits, labels = at_least_float32(logits), jnp.asarray(labels)
    expected = list(logits.shape)
    del expected[axis]
    if not jnp.issubdtype(labels.dtype, jnp.integer):
        raise InputError(
            f"labels have dtype {labels.dtype}. Expected integers; for probabilities or one-hot "
            "labels use softmax_cross_entropy."
        )
    if labels.shape != tuple(expected):
        raise InputError(
            f"labels have shape {labels.shape} and logits {logits.shape}. Expected labels of shape "
            f"{tuple(expected)}, the logits' without axis {axis}."
        )
    logp = log_softmax(logits, axis, where)
    picked = jnp.take_along_axis(logp, jnp.expand_dims(labels, axis), axis)
    return _smoothed(-jnp.squeeze(picked, axis), logp, axis, where, label_smoothing)


def _smoothed(loss: Any, logp: Any, axis: int, where: Any, smoothing: float) -> Array:
    if not smoothing:
        return loss
    uniform = -(jnp.mean(logp, axis) if where is None else jnp.mean(logp, axis, where=where))
    return (1.0 - smoothing) * loss + smoothing * uniform


def softmax_cross_entropy(
    logits: Any, labels: Any, axis: int = -1, where: Any = None, label_smoothing: float = 0.0
) -> Array:
    """``-Σ labels · log softmax(logits)``; labels are probabilities, or integers.

    ``(..., classes), (..., classes) -> (...)``. Integer labels with one axis less go to
    `softmax_cross_entropy_with_integer_labels`.
    """
    labels = jnp.asarray(labels)
    if labels.ndim == jnp.ndim(logits) - 1 and jnp.issubdtype(labels.dtype, jnp.integer):
        return softmax_cross_entropy_with_integer_labels(
            logits, labels, axis, where, label_smoothing
        )
    logits, labels = at_least_float32(logits), at_least_float32(labels)
    _same_shape("softmax_cross_entropy", logits, labels, "labels")
    logp = log_softmax(logits, axis, where)
    terms = labels * jnp.where(labels == 0, 0.0, logp)  # 0 · -inf for a class masked out
    return _smoothed(-jnp.sum(terms, axis), logp, axis, where, label_smoothing)


def sigmoid_binary_cross_entropy(logits: Any, labels: Any) -> Array:
    """``-labels · log σ(logits) - (1 - labels) · log σ(-logits)``, elementwise."""
    logits, labels = at_least_float32(logits), at_least_float32(labels)
    _same_shape("sigmoid_binary_cross_entropy", logits, labels, "labels")
    return softplus(logits) - labels * logits


def sigmoid_focal_loss(
    logits: Any, labels: Any, alpha: float | None = None, gamma: float = 2.0
) -> Array:
    """Binary cross-entropy times ``(1 - p)^gamma``, p the label's probability: elementwise.

    With `alpha`, positives weigh `alpha` and negatives ``1 - alpha``.

    Lin et al. 2017, https://arxiv.org/abs/1708.02002
    """
    logits, labels = at_least_float32(logits), at_least_float32(labels)
    loss = sigmoid_binary_cross_entropy(logits, labels)
    p = jnp.exp(-softplus(-logits))
    hit = p * labels + (1 - p) * (1 - labels)
    loss = loss * (1 - hit) ** gamma
    return loss if alpha is None else loss * (alpha * labels + (1 - alpha) * (1 - labels))


def squared_error(predictions: Any, targets: Any) -> Array:
    """``(predictions - targets)²``, elementwise."""
    difference = _difference("squared_error", predictions, targets)
    return difference * difference


def absolute_error(predictions: Any, targets: Any) -> Array:
    """``|predictions - targets|``, elementwise."""
    return jnp.abs(_difference("absolute_error", predictions, targets))


def huber(predictions: Any, targets: Any, delta: float = 1.0) -> Array:
    """``e²/2`` for errors up to `delta`, ``delta · (|e| - delta/2)`` beyond, elementwise."""
    error = jnp.abs(_difference("huber", predictions, targets))
    inside = jnp.minimum(error, delta)
    return 0.5 * inside * inside + delta * (error - inside)


def log_cosh(predictions: Any, targets: Any) -> Array:
    """``log cosh(predictions - targets)``, elementwise: a smooth `absolute_error`."""
    error = _difference("log_cosh", predictions, targets)
    return jnp.logaddexp(error, -error) - jnp.log(2.0)


def hinge(scores: Any, labels: Any) -> Array:
    """``max(0, 1 - scores · labels)`` for labels -1 and 1, elementwise."""
    scores, labels = at_least_float32(scores), at_least_float32(labels)
    _same_shape("hinge", scores, labels, "labels")
    return jnp.maximum(0.0, 1.0 - scores * labels)


def kl_divergence(log_predictions: Any, targets: Any, axis: int = -1) -> Array:
    """``Σ targets · (log targets - log_predictions)``: ``(..., classes) -> (...)``.

    The first argument holds log-probabilities, the second probabilities; a target of 0 adds 0.
    """
    log_predictions, targets = at_least_float32(log_predictions), at_least_float32(targets)
    _same_shape("kl_divergence", log_predictions, targets, "targets")
    log_targets = jnp.log(jnp.where(targets > 0, targets, 1.0))
    return jnp.sum(targets * (log_targets - jnp.where(targets > 0, log_predictions, 0.0)), axis)


def negative_log_likelihood(log_probabilities: Any, labels: Any) -> Array:
    """``-log_probabilities[label]``: ``(..., classes), integers (...) -> (...)``."""
    logp, labels = at_least_float32(log_probabilities), jnp.asarray(labels)
    return -jnp.squeeze(jnp.take_along_axis(logp, labels[..., None], -1), -1)


def cosine_distance(predictions: Any, targets: Any, epsilon: float = 1e-8) -> Array:
    """``1 - cos(angle)`` of vectors along the last axis: ``(..., n), (..., n) -> (...)``."""
    a, b = at_least_float32(predictions), at_least_float32(targets)
    _same_shape("cosine_distance", a, b, "targets")
    lengths = jnp.sqrt(jnp.sum(a * a, -1) * jnp.sum(b * b, -1))
    return 1.0 - jnp.sum(a * b, -1) / jnp.maximum(lengths, epsilon)


def poly_cross_entropy(logits: Any, labels: Any, epsilon: float = 2.0, axis: int = -1) -> Array:
    """Cross-entropy plus ``epsilon · (1 - p)``, p the labels' probability.

    Leng et al. 2022, https://arxiv.org/abs/2204.12511
    """
    labels = jnp.asarray(labels)
    if labels.ndim == jnp.ndim(logits) - 1:
        labels = one_hot(labels, jnp.shape(logits)[axis], axis=axis)
    probability = jnp.sum(labels * jnp.exp(log_softmax(at_least_float32(logits), axis)), axis)
    return softmax_cross_entropy(logits, labels, axis) + epsilon * (1.0 - probability)


def _difference(name: str, predictions: Any, targets: Any) -> Array:
    predictions, targets = at_least_float32(predictions), at_least_float32(targets)
    _same_shape(name, predictions, targets, "targets")
    return predictions - targets


def _same_shape(name: str, predictions: Any, other: Any, argument: str) -> None:
    if predictions.shape != other.shape:
        raise InputError(
            f"{name}: {argument} have shape {other.shape} and the predictions {predictions.shape}. "
            "Expected equal shapes: broadcasting here mostly hides a mistake, such as (batch,) "
            "against (batch, 1). Reshape one of them."
        )


__all__ = [
    "absolute_error",
    "cosine_distance",
    "hinge",
    "huber",
    "kl_divergence",
    "log_cosh",
    "negative_log_likelihood",
    "poly_cross_entropy",
    "sigmoid_binary_cross_entropy",
    "sigmoid_focal_loss",
    "softmax_cross_entropy",
    "softmax_cross_entropy_with_integer_labels",
    "squared_error",
]
