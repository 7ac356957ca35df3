"""Losses over classes: cross-entropies, focal losses, hinges, divergences."""

from __future__ import annotations

from typing import Any

import jaxcore.numpy as jnp
from jaxcore import Array, lax

from ..activations import log_softmax, one_hot, softplus
from ..dtypes import at_least_float32
from ..errors import InputError
from .shared import pair, same_shape


def softmax_cross_entropy_with_integer_labels(
    logits: Any,
    labels: Any,
    axis: int = -1,
    where: Any = None,
    label_smoothing: float = 0.0,
    *,
    class_weights: Any = None,
    ignore_index: int | None = None,
) -> Array:
    """``-log softmax(logits)[label]``: ``(..., classes), integers (...) -> (...)``.

    Args:
      where: classes that take part, broadcastable to `logits`.
      label_smoothing: this share of the label's mass is spread evenly over all classes.
      class_weights: ``(classes,)``, factors of each class's term; PyTorch's ``weight``, whose mean
        then divides by ``Σ class_weights[labels]``: `reduce`.
      ignore_index: a label whose loss is 0, such as PyTorch's -100.

    Raises:
      InputError: labels that are not integers, or of another shape.

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
    counted = None if ignore_index is None else labels != ignore_index
    if counted is not None:
        labels = jnp.where(counted, labels, 0)
    logp = log_softmax(logits, axis, where)
    if class_weights is not None:
        logp = _weighted(logp, class_weights, axis)
    picked = jnp.take_along_axis(logp, jnp.expand_dims(labels, axis), axis)
    loss = _smoothed(-jnp.squeeze(picked, axis), logp, axis, where, label_smoothing)
    return loss if counted is None else jnp.where(counted, loss, 0)


def _weighted(logp: Array, class_weights: Any, axis: int) -> Array:
    weights = at_least_float32(class_weights)
    if weights.shape != (logp.shape[axis],):
        raise InputError(
            f"class_weights have shape {weights.shape}. Expected ({logp.shape[axis]},), one for "
            "each class."
        )
    wide = [1] * logp.ndim
    wide[axis] = -1
    weights = weights.reshape(wide)
    return jnp.where(weights == 0, 0, weights * logp)


def _smoothed(loss: Any, logp: Any, axis: int, where: Any, smoothing: float) -> Array:
    if not smoothing:
        return loss
    uniform = -(jnp.mean(logp, axis) if where is None else jnp.mean(logp, axis, where=where))
    return (1.0 - smoothing) * loss + smoothing * uniform


def softmax_cross_entropy(
    logits: Any,
    labels: Any,
    axis: int = -1,
    where: Any = None,
    label_smoothing: float = 0.0,
    *,
    class_weights: Any = None,
) -> Array:
    """``-Σ labels · log softmax(logits)``; labels are probabilities, or integers.

    ``(..., classes), (..., classes) -> (...)``. Integer labels with one axis less go to
    `softmax_cross_entropy_with_integer_labels`, where the arguments are explained.

    >>> import jaxcore.numpy as jnp
    >>> print(softmax_cross_entropy(jnp.zeros((1, 2)), jnp.array([[0.5, 0.5]])).round(3))
    [0.693]
    """
    labels = jnp.asarray(labels)
    if labels.ndim == jnp.ndim(logits) - 1 and jnp.issubdtype(labels.dtype, jnp.integer):
        return softmax_cross_entropy_with_integer_labels(
            logits, labels, axis, where, label_smoothing, class_weights=class_weights
        )
    if labels.shape == jnp.shape(logits)[:-1] and labels.ndim:
        raise InputError(
            f"softmax_cross_entropy: labels have shape {labels.shape}, as numbers of classes, and "
            f"dtype {labels.dtype}. Expected integers, labels.astype(jnp.int32), or probabilities "
            f"of the logits' shape {jnp.shape(logits)}."
        )
    logits, labels = pair("softmax_cross_entropy", logits, labels, "labels")
    logp = log_softmax(logits, axis, where)
    if class_weights is not None:
        logp = _weighted(logp, class_weights, axis)
    terms = labels * jnp.where(labels == 0, 0.0, logp)  # 0 · -inf for a class masked out
    return _smoothed(-jnp.sum(terms, axis), logp, axis, where, label_smoothing)


def smooth_labels(labels: Any, smoothing: float, axis: int = -1) -> Array:
    """``(1 - smoothing) · labels + smoothing / classes``: probabilities nearer to even ones.

    >>> import jaxcore.numpy as jnp
    >>> print(smooth_labels(jnp.array([1.0, 0.0]), 0.5))
    [0.75 0.25]
    """
    labels = at_least_float32(labels)
    return (1.0 - smoothing) * labels + smoothing / labels.shape[axis]


def sigmoid_binary_cross_entropy(
    logits: Any, labels: Any, label_smoothing: float = 0.0, *, pos_weight: Any = None
) -> Array:
    """``-labels · log σ(logits) - (1 - labels) · log σ(-logits)``, elementwise.

    Args:
      label_smoothing: moves labels towards 1/2, as Keras does.
      pos_weight: factor of the first term, broadcastable: PyTorch's.

    >>> import jaxcore.numpy as jnp
    >>> print(sigmoid_binary_cross_entropy(jnp.zeros(1), jnp.ones(1)).round(3))
    [0.693]
    """
    logits, labels = pair("sigmoid_binary_cross_entropy", logits, labels, "labels")
    if label_smoothing:
        labels = (1.0 - label_smoothing) * labels + 0.5 * label_smoothing
    if pos_weight is None:
        return softplus(logits) - labels * logits
    factor = 1 + (jnp.broadcast_to(at_least_float32(pos_weight), labels.shape) - 1) * labels
    return (1 - labels) * logits + factor * softplus(-logits)


def binary_cross_entropy(probabilities: Any, labels: Any, epsilon: float = 1e-7) -> Array:
    """``-labels · log p - (1 - labels) · log(1 - p)``, elementwise, p kept `epsilon` from 0 and 1.

    Where there are logits, `sigmoid_binary_cross_entropy` is exact and has a gradient everywhere.

    >>> import jaxcore.numpy as jnp
    >>> print(binary_cross_entropy(jnp.array([0.5]), jnp.ones(1)).round(3))
    [0.693]
    """
    p, labels = pair("binary_cross_entropy", probabilities, labels, "labels")
    p = jnp.clip(p, epsilon, 1 - epsilon)
    return -labels * jnp.log(p) - (1 - labels) * jnp.log1p(-p)


def sigmoid_focal_loss(
    logits: Any, labels: Any, alpha: float | None = None, gamma: float = 2.0
) -> Array:
    """Binary cross-entropy times ``(1 - p)^gamma``, p the label's probability: elementwise.

    With `alpha`, positives weigh `alpha` and negatives ``1 - alpha``.

    Lin et al. 2017, https://arxiv.org/abs/1708.02002

    >>> import jaxcore.numpy as jnp
    >>> round(float(sigmoid_focal_loss(0.0, 1.0)), 3)
    0.173
    """
    logits, labels = at_least_float32(logits), at_least_float32(labels)
    loss = sigmoid_binary_cross_entropy(logits, labels)
    p = jnp.exp(-softplus(-logits))
    hit = p * labels + (1 - p) * (1 - labels)
    loss = loss * (1 - hit) ** gamma
    return loss if alpha is None else loss * (alpha * labels + (1 - alpha) * (1 - labels))


def softmax_focal_loss(
    logits: Any, labels: Any, alpha: Any = 1.0, gamma: float = 2.0, axis: int = -1
) -> Array:
    """Cross-entropy whose terms are times ``alpha · (1 - p)^gamma``: ``(..., classes) -> (...)``.

    Args:
      labels: probabilities, or integers with one axis less.
      alpha: a number, or one for each class (`axis` the last).

    Lin et al. 2017, https://arxiv.org/abs/1708.02002

    >>> import jaxcore.numpy as jnp
    >>> round(float(softmax_focal_loss(jnp.zeros(2), jnp.array(1))), 3)
    0.173
    """
    logits, labels = at_least_float32(logits), _probabilities(logits, labels, axis)
    same_shape("softmax_focal_loss", logits, labels, "labels")
    logp = log_softmax(logits, axis)
    terms = labels * (1 - jnp.exp(logp)) ** gamma * logp
    return -jnp.sum(terms * jnp.broadcast_to(at_least_float32(alpha), terms.shape), axis)


def _probabilities(logits: Any, labels: Any, axis: int) -> Array:
    labels = jnp.asarray(labels)
    if labels.ndim == jnp.ndim(logits) - 1:
        labels = one_hot(labels, jnp.shape(logits)[axis], axis=axis)
    return at_least_float32(labels)


def poly_cross_entropy(logits: Any, labels: Any, epsilon: float = 2.0, axis: int = -1) -> Array:
    """Cross-entropy plus ``epsilon · (1 - p)``, p the labels' probability.

    Leng et al. 2022, https://arxiv.org/abs/2204.12511

    >>> import jaxcore.numpy as jnp
    >>> round(float(poly_cross_entropy(jnp.zeros(2), jnp.array(1))), 3)
    1.693
    """
    labels = _probabilities(logits, labels, axis)
    probability = jnp.sum(labels * jnp.exp(log_softmax(at_least_float32(logits), axis)), axis)
    return softmax_cross_entropy(logits, labels, axis) + epsilon * (1.0 - probability)


def negative_log_likelihood(
    log_probabilities: Any, labels: Any, *, ignore_index: int | None = None
) -> Array:
    """``-log_probabilities[label]``: ``(..., classes), integers (...) -> (...)``.

    >>> import jaxcore.numpy as jnp
    >>> negative_log_likelihood(jnp.array([[-1.0, -2.0]]), jnp.array([1])).tolist()
    [2.0]
    """
    logp, labels = at_least_float32(log_probabilities), jnp.asarray(labels)
    counted = None if ignore_index is None else labels != ignore_index
    if counted is not None:
        labels = jnp.where(counted, labels, 0)
    loss = -jnp.squeeze(jnp.take_along_axis(logp, labels[..., None], -1), -1)
    return loss if counted is None else jnp.where(counted, loss, 0)


def kl_divergence(log_predictions: Any, targets: Any, axis: int = -1) -> Array:
    """``Σ targets · (log targets - log_predictions)``: ``(..., classes) -> (...)``.

    The first argument holds log-probabilities, the second probabilities; a target of 0 adds 0.

    >>> import jaxcore.numpy as jnp
    >>> print(kl_divergence(jnp.log(jnp.array([0.5, 0.5])), jnp.array([1.0, 0.0])).round(3))
    0.693
    """
    log_predictions, targets = pair("kl_divergence", log_predictions, targets)
    log_targets = jnp.log(jnp.where(targets > 0, targets, 1.0))
    return jnp.sum(targets * (log_targets - jnp.where(targets > 0, log_predictions, 0.0)), axis)


def distillation(
    logits: Any, teacher_logits: Any, temperature: float = 1.0, axis: int = -1
) -> Array:
    """``T² · KL(softmax(teacher / T), softmax(logits / T))``: ``(..., classes) -> (...)``.

    No gradient goes to the teacher. The factor keeps the gradient's size as T grows.

    Hinton et al. 2015, https://arxiv.org/abs/1503.02531; Keras's ``LogitsDistillation``.

    >>> import jaxcore.numpy as jnp
    >>> float(distillation(jnp.array([1.0, 2.0]), jnp.array([3.0, 4.0]), temperature=2.0))
    0.0
    """
    logits, teacher = pair("distillation", logits, teacher_logits, "teacher_logits")
    target = lax.stop_gradient(log_softmax(teacher / temperature, axis))
    logp = log_softmax(logits / temperature, axis)
    return temperature**2 * jnp.sum(jnp.exp(target) * (target - logp), axis)


def hinge(scores: Any, labels: Any) -> Array:
    """``max(0, 1 - scores · labels)`` for labels -1 and 1, elementwise.

    >>> import jaxcore.numpy as jnp
    >>> hinge(jnp.array([0.25, 2.0]), jnp.ones(2)).tolist()
    [0.75, 0.0]
    """
    scores, labels = pair("hinge", scores, labels, "labels")
    return jnp.maximum(0.0, 1.0 - scores * labels)


def squared_hinge(scores: Any, labels: Any) -> Array:
    """``max(0, 1 - scores · labels)²`` for labels -1 and 1, elementwise.

    >>> import jaxcore.numpy as jnp
    >>> squared_hinge(jnp.array([0.5]), jnp.ones(1)).tolist()
    [0.25]
    """
    loss = hinge(scores, labels)
    return loss * loss


def multiclass_hinge(scores: Any, labels: Any, margin: float = 1.0) -> Array:
    """``max(0, margin + best other score - label's score)``: ``(..., classes), (...) -> (...)``.

    Crammer and Singer 2001, https://jmlr.org/papers/v2/crammer01a.html

    >>> import jaxcore.numpy as jnp
    >>> multiclass_hinge(jnp.array([[0.0, 0.5]]), jnp.array([1])).tolist()
    [0.5]
    """
    scores, labels = at_least_float32(scores), jnp.asarray(labels)
    hot = one_hot(labels, scores.shape[-1])
    same_shape("multiclass_hinge", scores, hot, "labels (one-hot)")
    own = jnp.sum(scores * hot, -1)
    other = jnp.max(jnp.where(hot > 0, -jnp.inf, scores), -1)
    return jnp.maximum(0.0, margin + other - own)
