"""How surprising a sequence is to a model."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jaxcore.numpy as jnp
from jaxcore import Array

from ..dtypes import at_least_float32
from ..losses import softmax_cross_entropy_with_integer_labels
from .states import Mean, added, summed


class Perplexity(NamedTuple):
    """The exponential of a mean of negative log-likelihoods.

    >>> import jaxcore.numpy as jnp
    >>> round(float(Perplexity(Mean.of(jnp.log(jnp.array([2.0, 8.0]))))), 3)
    4.0
    """

    mean: Mean

    def merge(self, other: Perplexity) -> Perplexity:
        """Both states together."""
        return added(self, other)

    def across(self, axis_name: Any) -> Perplexity:
        """The states of all places along a mapped axis together."""
        return summed(self, axis_name)

    @property
    def result(self) -> Array:
        """The perplexity; NaN of nothing."""
        return jnp.exp(self.mean.result)

    def __float__(self) -> float:
        return float(self.result)


def perplexity(
    logits: Any, labels: Any, weights: Any = None, ignore_index: int | None = None
) -> Perplexity:
    """``exp(mean(-log softmax(logits)[label]))``: ``(..., classes), integers (...)``.

    Labels equal to `ignore_index`, and those of weight 0, do not count.

    >>> import jaxcore.numpy as jnp
    >>> round(float(perplexity(jnp.zeros((2, 5)), jnp.array([1, 4]))), 3)
    5.0
    """
    labels = jnp.asarray(labels)
    loss = softmax_cross_entropy_with_integer_labels(logits, labels, ignore_index=ignore_index)
    if ignore_index is not None:
        kept = (labels != ignore_index).astype(loss.dtype)
        weights = kept if weights is None else kept * at_least_float32(weights)
    return Perplexity(Mean.of(loss, weights))


def bits_per_dim(negative_log_likelihood: Any, dims: int, weights: Any = None) -> Mean:
    """The mean of ``nll / (dims · log 2)``, for nll of whole examples of `dims` numbers.

    >>> import jaxcore.numpy as jnp
    >>> round(float(bits_per_dim(jnp.log(jnp.array([16.0])), 2)), 3)
    2.0
    """
    return Mean.of(at_least_float32(negative_log_likelihood) / (dims * math.log(2)), weights)
