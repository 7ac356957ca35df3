"""Metrics as small states that add up: over batches, devices and hosts, exactly.

A state is a pytree of sums. `of` makes one from a batch, `merge` adds two, `result` is the number;
until `result` is read nothing leaves the device.

    state = nn.metrics.accuracy(logits, labels)
    state = state.merge(nn.metrics.accuracy(more_logits, more_labels))
    float(state)
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jaxcore.numpy as jnp
from jaxcore import Array

from .activations import one_hot
from .dtypes import at_least_float32
from .errors import InputError


class Mean(NamedTuple):
    """A weighted mean, kept as ``Σ weight · value`` and ``Σ weight``.

    >>> import jaxcore.numpy as jnp
    >>> a, b = Mean.of(jnp.array([1.0, 3.0])), Mean.of(jnp.array([8.0]))
    >>> float(a.merge(b))
    4.0
    """

    total: Any
    weight: Any

    @classmethod
    def of(cls, values: Any, weights: Any = None) -> Mean:
        """The mean of `values`; `weights` has their shape or leading axes (0 for padding)."""
        values = at_least_float32(values)
        weights = _weights(values, weights)
        return cls(jnp.sum(values * weights), jnp.sum(weights))

    def merge(self, other: Mean) -> Mean:
        """Both states together."""
        return Mean(self.total + other.total, self.weight + other.weight)

    @property
    def result(self) -> Array:
        """The mean; NaN of nothing."""
        return jnp.where(
            self.weight == 0, jnp.nan, self.total / jnp.where(self.weight == 0, 1, self.weight)
        )

    def __float__(self) -> float:
        return float(self.result)


def _weights(values: Array, weights: Any) -> Array:
    if weights is None:
        return jnp.ones_like(values)
    weights = at_least_float32(weights)
    if weights.shape != values.shape[: weights.ndim]:
        raise InputError(
            f"weights have shape {weights.shape} and the values {values.shape}. Expected the "
            "values' shape or its leading axes."
        )
    weights = weights.reshape(*weights.shape, *(1,) * (values.ndim - weights.ndim))
    return jnp.broadcast_to(weights, values.shape)


def accuracy(logits: Any, labels: Any, weights: Any = None) -> Mean:
    """How often the largest logit is the label's: ``(..., classes), integers (...)``.

    >>> import jaxcore.numpy as jnp
    >>> float(accuracy(jnp.array([[0.1, 0.9], [0.8, 0.2]]), jnp.array([1, 1])))
    0.5
    """
    logits, labels = _class_labels(logits, labels)
    return Mean.of(jnp.argmax(logits, -1) == labels, weights)


def top_k_accuracy(logits: Any, labels: Any, k: int = 5, weights: Any = None) -> Mean:
    """How often fewer than `k` logits exceed the label's."""
    logits, labels = _class_labels(logits, labels)
    own = jnp.take_along_axis(logits, labels[..., None], -1)
    return Mean.of(jnp.sum(logits > own, -1) < k, weights)


def binary_accuracy(logits: Any, labels: Any, weights: Any = None, threshold: float = 0.0) -> Mean:
    """How often ``logits > threshold`` agrees with labels 0 and 1."""
    logits, labels = jnp.asarray(logits), jnp.asarray(labels)
    if logits.shape != labels.shape:
        raise InputError(
            f"binary_accuracy: labels have shape {labels.shape} and logits {logits.shape}. "
            "Expected equal shapes."
        )
    return Mean.of((logits > threshold) == (labels > 0), weights)


def _class_labels(logits: Any, labels: Any) -> tuple[Array, Array]:
    logits, labels = jnp.asarray(logits), jnp.asarray(labels)
    if labels.shape != logits.shape[:-1] or not jnp.issubdtype(labels.dtype, jnp.integer):
        raise InputError(
            f"labels are {labels.dtype}{list(labels.shape)} and logits {list(logits.shape)}. "
            f"Expected integer labels of shape {list(logits.shape[:-1])}; of one-hot labels take "
            "jnp.argmax(labels, -1)."
        )
    return logits, labels


class Confusion(NamedTuple):
    """Counts of (true class, predicted class): ``matrix (classes, classes)``, float32.

    Accuracy, precision, recall and F1 follow from it.
    """

    matrix: Any

    @classmethod
    def of(cls, logits: Any, labels: Any, weights: Any = None) -> Confusion:
        """From ``(..., classes)`` and integers ``(...)``."""
        logits, labels = _class_labels(logits, labels)
        classes = logits.shape[-1]
        true = one_hot(labels.ravel(), classes) * _weights(
            jnp.ones(labels.shape, jnp.float32), weights
        ).reshape(-1, 1)
        return cls(true.T @ one_hot(jnp.argmax(logits, -1).ravel(), classes))

    def merge(self, other: Confusion) -> Confusion:
        """Both states together."""
        return Confusion(self.matrix + other.matrix)

    @property
    def result(self) -> Array:
        """The matrix."""
        return self.matrix

    @property
    def precision(self) -> Array:
        """Of the predictions of each class, the share that is right: ``(classes,)``."""
        return _ratio(jnp.diagonal(self.matrix), jnp.sum(self.matrix, 0))

    @property
    def recall(self) -> Array:
        """Of the examples of each class, the share that is found: ``(classes,)``."""
        return _ratio(jnp.diagonal(self.matrix), jnp.sum(self.matrix, 1))

    @property
    def f1(self) -> Array:
        """Harmonic mean of precision and recall: ``(classes,)``."""
        both = jnp.sum(self.matrix, 0) + jnp.sum(self.matrix, 1)
        return _ratio(2 * jnp.diagonal(self.matrix), both)


def _ratio(part: Array, whole: Array) -> Array:
    return part / jnp.where(whole == 0, 1, whole)


class Moments(NamedTuple):
    """Mean and variance of a stream: count, mean and summed squared distance to it.

    Merging follows Chan et al. 1979, which does not cancel as ``E[x²] - E[x]²`` does.
    """

    count: Any
    mean: Any
    spread: Any

    @classmethod
    def of(cls, values: Any) -> Moments:
        """Of all entries of `values`."""
        values = at_least_float32(values)
        mean = jnp.mean(values)
        return cls(jnp.float32(values.size), mean, jnp.sum(jnp.square(values - mean)))

    def merge(self, other: Moments) -> Moments:
        """Both states together."""
        count = self.count + other.count
        share = other.count / jnp.maximum(count, 1)
        step = other.mean - self.mean
        spread = self.spread + other.spread + step * step * self.count * share
        return Moments(count, self.mean + step * share, spread)

    @property
    def result(self) -> tuple[Array, Array]:
        """``(mean, biased variance)``."""
        return self.mean, self.spread / jnp.maximum(self.count, 1)


__all__ = [
    "Confusion",
    "Mean",
    "Moments",
    "accuracy",
    "binary_accuracy",
    "top_k_accuracy",
]
