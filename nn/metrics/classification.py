"""How many labels are right: accuracies, and the confusion matrix with what follows from it."""

from __future__ import annotations

from typing import Any, NamedTuple

import jaxcore.numpy as jnp
from jaxcore import Array

from ..activations import one_hot
from ..errors import InputError
from .states import Mean, added, ratio, summed, weights_like


def accuracy(logits: Any, labels: Any, weights: Any = None) -> Mean:
    """How often the largest logit is the label's: ``(..., classes), integers (...)``.

    >>> import jaxcore.numpy as jnp
    >>> float(accuracy(jnp.array([[0.1, 0.9], [0.8, 0.2]]), jnp.array([1, 1])))
    0.5
    """
    logits, labels = class_labels(logits, labels)
    return Mean.of(jnp.argmax(logits, -1) == labels, weights)


def top_k_accuracy(logits: Any, labels: Any, k: int = 5, weights: Any = None) -> Mean:
    """How often fewer than `k` logits exceed the label's.

    >>> import jaxcore.numpy as jnp
    >>> float(top_k_accuracy(jnp.array([[0.1, 0.9, 0.5]]), jnp.array([2]), k=2))
    1.0
    """
    logits, labels = class_labels(logits, labels)
    own = jnp.take_along_axis(logits, labels[..., None], -1)
    return Mean.of(jnp.sum(logits > own, -1) < k, weights)


def binary_accuracy(logits: Any, labels: Any, weights: Any = None, threshold: float = 0.0) -> Mean:
    """How often ``logits > threshold`` agrees with labels 0 and 1; for probabilities 0.5.

    >>> import jaxcore.numpy as jnp
    >>> float(binary_accuracy(jnp.array([-1.0, 2.0]), jnp.array([0, 0])))
    0.5
    """
    logits, labels = binary_labels("binary_accuracy", logits, labels)
    return Mean.of((logits > threshold) == (labels > 0), weights)


def binary_labels(name: str, logits: Any, labels: Any) -> tuple[Array, Array]:
    """Both as arrays, of one shape."""
    logits, labels = jnp.asarray(logits), jnp.asarray(labels)
    if logits.shape != labels.shape:
        raise InputError(
            f"{name}: labels have shape {labels.shape} and logits {logits.shape}. "
            "Expected equal shapes."
        )
    return logits, labels


def class_labels(logits: Any, labels: Any) -> tuple[Array, Array]:
    """Both as arrays; the labels are integers and have the logits' axes but the last."""
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

    Accuracy, precision, recall, F-scores, intersection over union, Cohen's kappa and Matthews'
    correlation follow from it. Labels outside of the classes, such as -1, do not count.

    >>> import jaxcore.numpy as jnp
    >>> counts = Confusion.of(jnp.array([[2.0, 1.0], [0.0, 3.0], [5.0, 0.0]]), jnp.array([0, 1, 1]))
    >>> counts.matrix.tolist(), round(float(counts.score("f1", "macro")), 3)
    ([[1.0, 0.0], [1.0, 1.0]], 0.667)
    """

    matrix: Any

    @classmethod
    def of(cls, logits: Any, labels: Any, weights: Any = None) -> Confusion:
        """From ``(..., classes)`` and integers ``(...)``."""
        logits, labels = class_labels(logits, labels)
        return cls.of_classes(jnp.argmax(logits, -1), labels, logits.shape[-1], weights)

    @classmethod
    def of_classes(
        cls, predictions: Any, labels: Any, classes: int, weights: Any = None
    ) -> Confusion:
        """From predicted classes: integers ``(...)``, twice."""
        predictions, labels = binary_labels("Confusion", predictions, labels)
        weight = weights_like(jnp.ones(labels.shape, jnp.float32), weights)
        true = one_hot(labels.ravel(), classes) * weight.reshape(-1, 1)
        return cls(true.T @ one_hot(predictions.ravel(), classes))

    @classmethod
    def of_binary(
        cls, logits: Any, labels: Any, weights: Any = None, threshold: float = 0.0
    ) -> Confusion:
        """From logits and labels 0 and 1: ``[[TN, FP], [FN, TP]]``; for probabilities 0.5."""
        logits, labels = binary_labels("Confusion", logits, labels)
        predicted, true = (logits > threshold).astype(int), (labels > 0).astype(int)
        return cls.of_classes(predicted, true, 2, weights)

    def merge(self, other: Confusion) -> Confusion:
        """Both states together."""
        return added(self, other)

    def across(self, axis_name: Any) -> Confusion:
        """The states of all places along a mapped axis together."""
        return summed(self, axis_name)

    @property
    def result(self) -> Array:
        """The matrix."""
        return self.matrix

    @property
    def summary(self) -> dict[str, Array]:
        """The numbers worth a curve: accuracy; precision, recall and F1, averaged over classes."""
        scores = {name: self.score(name) for name in ("precision", "recall", "f1")}
        return {"accuracy": self.accuracy, **scores}

    @property
    def _right(self) -> Array:
        return jnp.diagonal(self.matrix)

    @property
    def precision(self) -> Array:
        """Of the predictions of each class, the share that is right: ``(classes,)``."""
        return ratio(self._right, jnp.sum(self.matrix, 0))

    @property
    def recall(self) -> Array:
        """Of the examples of each class, the share that is found: ``(classes,)``."""
        return ratio(self._right, jnp.sum(self.matrix, 1))

    @property
    def f1(self) -> Array:
        """Harmonic mean of precision and recall: ``(classes,)``."""
        return self.f_beta(1.0)

    def f_beta(self, beta: float) -> Array:
        """F-score of each class, in which recall counts `beta` times as much: ``(classes,)``."""
        both = jnp.sum(self.matrix, 0) + beta**2 * jnp.sum(self.matrix, 1)
        return ratio((1 + beta**2) * self._right, both)

    @property
    def iou(self) -> Array:
        """Intersection over union of each class, the Jaccard index: ``(classes,)``."""
        union = jnp.sum(self.matrix, 0) + jnp.sum(self.matrix, 1) - self._right
        return ratio(self._right, union)

    @property
    def accuracy(self) -> Array:
        """The share that is right."""
        return ratio(jnp.sum(self._right), jnp.sum(self.matrix), jnp.nan)

    def score(self, name: str = "f1", average: str = "macro") -> Array:
        """One number of ``precision``, ``recall``, ``f1`` or ``iou``.

        Args:
          average: ``"macro"``: the mean over classes that occur or are predicted; ``"weighted"``:
            weighted by how often they occur; ``"micro"``: of all decisions taken together.

        >>> import jaxcore.numpy as jnp
        >>> float(Confusion(jnp.array([[1.0, 1.0], [0.0, 2.0]])).score("recall", "macro"))
        0.75
        """
        if name not in ("precision", "recall", "f1", "iou"):
            raise InputError(
                f"Confusion.score: name={name!r}. Expected 'precision', 'recall', 'f1' or 'iou'."
            )
        occurs, predicted = jnp.sum(self.matrix, 1), jnp.sum(self.matrix, 0)
        if average == "micro":
            right, all_ = jnp.sum(self._right), jnp.sum(self.matrix)
            return ratio(right, 2 * all_ - right if name == "iou" else all_)
        weights = {
            "macro": (occurs + predicted > 0).astype(occurs.dtype),
            "weighted": occurs,
        }.get(average)
        if weights is None:
            raise InputError(
                f"Confusion.score: average={average!r}. Expected 'macro', 'micro' or 'weighted'; "
                f"for a value each read .{name}."
            )
        return ratio(jnp.sum(weights * getattr(self, name)), jnp.sum(weights))

    @property
    def kappa(self) -> Array:
        """Cohen's kappa: agreement beyond chance.

        Cohen 1960, https://doi.org/10.1177/001316446002000104
        """
        total = jnp.sum(self.matrix)
        chance = ratio(jnp.sum(jnp.sum(self.matrix, 0) * jnp.sum(self.matrix, 1)), total * total)
        return ratio(self.accuracy - chance, 1 - chance, jnp.nan)

    @property
    def matthews(self) -> Array:
        """Matthews' correlation of true and predicted classes (Gorodkin 2004 for more than two)."""
        true, predicted, total = (
            jnp.sum(self.matrix, 1),
            jnp.sum(self.matrix, 0),
            jnp.sum(self.matrix),
        )
        both = total * jnp.sum(self._right) - jnp.sum(true * predicted)
        spread = lambda n: total * total - jnp.sum(n * n)
        return ratio(both, jnp.sqrt(spread(true) * spread(predicted)))
