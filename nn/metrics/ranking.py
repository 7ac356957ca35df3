"""How well scores separate two classes at every threshold: ROC and precision-recall."""

from __future__ import annotations

from typing import Any, NamedTuple

import jaxcore.numpy as jnp
from jaxcore import Array

from ..activations import one_hot
from ..dtypes import at_least_float32
from .classification import binary_labels, class_labels
from .states import added, ratio, summed, weights_like


class Ranking(NamedTuple):
    """Histograms of the scores of positives and of negatives: ``(..., bins)`` each.

    The areas are exact for scores rounded down to a bin, ties counting half; the more bins, the
    nearer to those of the scores themselves. Bins divide [0, 1] evenly.

    Hanley and McNeil 1982, https://doi.org/10.1148/radiology.143.1.7063747

    >>> import jaxcore.numpy as jnp
    >>> state = Ranking.of(jnp.array([0.1, 0.4, 0.35, 0.8]), jnp.array([0, 0, 1, 1]))
    >>> float(state), round(float(state.average_precision), 3)
    (0.75, 0.833)
    """

    positives: Any
    negatives: Any

    @classmethod
    def of(cls, probabilities: Any, labels: Any, weights: Any = None, bins: int = 1000) -> Ranking:
        """From probabilities and labels 0 and 1, ``(...)`` both; of logits take `nn.sigmoid`."""
        p, labels = binary_labels("Ranking", at_least_float32(probabilities), labels)
        weights = weights_like(p, weights).ravel()
        index = jnp.clip(jnp.floor(p.ravel() * bins), 0, bins - 1).astype(jnp.int32)
        positive = (labels.ravel() > 0).astype(p.dtype)
        none = jnp.zeros(bins, p.dtype)
        return cls(
            none.at[index].add(positive * weights), none.at[index].add((1 - positive) * weights)
        )

    @classmethod
    def of_classes(
        cls, probabilities: Any, labels: Any, weights: Any = None, bins: int = 1000
    ) -> Ranking:
        """One against the rest, for each class: ``(..., classes)`` and integers ``(...)``."""
        p, labels = class_labels(at_least_float32(probabilities), labels)
        classes = p.shape[-1]
        weights = weights_like(jnp.ones(labels.shape, p.dtype), weights).reshape(-1, 1)
        hot = one_hot(labels.reshape(-1), classes)
        index = jnp.clip(jnp.floor(p.reshape(-1, classes) * bins), 0, bins - 1).astype(jnp.int32)
        place = jnp.broadcast_to(jnp.arange(classes)[None], index.shape), index
        none = jnp.zeros((classes, bins), p.dtype)
        return cls(none.at[place].add(hot * weights), none.at[place].add((1 - hot) * weights))

    def merge(self, other: Ranking) -> Ranking:
        """Both states together."""
        return added(self, other)

    def across(self, axis_name: Any) -> Ranking:
        """The states of all places along a mapped axis together."""
        return summed(self, axis_name)

    @property
    def auroc(self) -> Array:
        """Area under the ROC curve, ``(...)``; NaN without positives or negatives."""
        above = _from_above(self.positives) - self.positives / 2
        pairs = jnp.sum(self.positives, -1) * jnp.sum(self.negatives, -1)
        return ratio(jnp.sum(self.negatives * above, -1), pairs, jnp.nan)

    @property
    def average_precision(self) -> Array:
        """``Σ (recall step) · precision`` over the thresholds, ``(...)``; NaN without positives."""
        hits, false = _from_above(self.positives), _from_above(self.negatives)
        precision = ratio(hits, hits + false)
        total = jnp.sum(self.positives, -1)
        return ratio(jnp.sum(self.positives * precision, -1), total, jnp.nan)

    @property
    def roc(self) -> tuple[Array, Array]:
        """False and true positive rates at the lower edge of each bin: ``(..., bins)``, twice."""
        rate = lambda n: ratio(_from_above(n), jnp.sum(n, -1, keepdims=True))
        return rate(self.negatives), rate(self.positives)

    @property
    def precision_recall(self) -> tuple[Array, Array]:
        """Precision and recall at the lower edge of each bin: ``(..., bins)``, twice."""
        hits, false = _from_above(self.positives), _from_above(self.negatives)
        recall = ratio(hits, jnp.sum(self.positives, -1, keepdims=True))
        return ratio(hits, hits + false, 1.0), recall

    @property
    def result(self) -> Array:
        """The area under the ROC curve, averaged over classes if there are several."""
        return jnp.mean(self.auroc)

    def __float__(self) -> float:
        return float(self.result)


def _from_above(counts: Array) -> Array:
    """How many are in a bin or in a higher one."""
    return jnp.flip(jnp.cumsum(jnp.flip(counts, -1), -1), -1)
