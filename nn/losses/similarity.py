"""Losses of vectors that are to be near or far: ``(..., n) -> (...)`` over the last axis."""

from __future__ import annotations

from typing import Any

import jaxcore.numpy as jnp
from jaxcore import Array

from ..activations import logsumexp
from ..dtypes import at_least_float32
from ..errors import InputError
from .shared import pair


def cosine_similarity(predictions: Any, targets: Any, epsilon: float = 1e-8) -> Array:
    """The cosine of the angle between vectors along the last axis: ``(..., n), (..., n) -> (...)``.

    Keras's loss of that name is its negative.

    >>> import jaxcore.numpy as jnp
    >>> print(cosine_similarity(jnp.array([1.0, 0.0]), jnp.array([3.0, 4.0])).round(3))
    0.6
    """
    a, b = pair("cosine_similarity", predictions, targets)
    lengths = jnp.sqrt(jnp.maximum(jnp.sum(a * a, -1) * jnp.sum(b * b, -1), epsilon**2))
    return jnp.sum(a * b, -1) / lengths


def cosine_distance(predictions: Any, targets: Any, epsilon: float = 1e-8) -> Array:
    """``1 - cos(angle)`` of vectors along the last axis: ``(..., n), (..., n) -> (...)``.

    >>> import jaxcore.numpy as jnp
    >>> cosine_distance(jnp.array([1.0, 0.0]), jnp.array([0.0, 2.0])).item()
    1.0
    """
    return 1.0 - cosine_similarity(predictions, targets, epsilon)


def cosine_embedding(a: Any, b: Any, labels: Any, margin: float = 0.0) -> Array:
    """``1 - cos`` of pairs with label 1, ``max(0, cos - margin)`` of those with -1.

    >>> import jaxcore.numpy as jnp
    >>> x = jnp.array([[1.0, 0.0], [1.0, 0.0]])
    >>> cosine_embedding(x, x, jnp.array([1, -1])).tolist()
    [0.0, 1.0]
    """
    cosine = cosine_similarity(a, b)
    labels = _labels("cosine_embedding", cosine, labels)
    return jnp.where(labels > 0, 1.0 - cosine, jnp.maximum(0.0, cosine - margin))


def pairwise_distance(a: Any, b: Any, order: float = 2.0, epsilon: float = 1e-6) -> Array:
    """``(Σ |a - b + epsilon|^order)^(1 / order)``: ``(..., n), (..., n) -> (...)``; PyTorch's.

    >>> import jaxcore.numpy as jnp
    >>> print(pairwise_distance(jnp.array([3.0, 4.0]), jnp.zeros(2)).round(3))
    5.0
    """
    a, b = pair("pairwise_distance", a, b)
    return jnp.sum(jnp.abs(a - b + epsilon) ** order, -1) ** (1.0 / order)


def triplet_margin(
    anchors: Any,
    positives: Any,
    negatives: Any,
    margin: float = 1.0,
    order: float = 2.0,
    epsilon: float = 1e-6,
    swap: bool = False,
) -> Array:
    """``max(0, margin + d(anchor, positive) - d(anchor, negative))``: ``(..., n) -> (...)``.

    Args:
      order, epsilon: of the distance, `pairwise_distance`.
      swap: let the negative be as far from the positive as from the anchor at most.

    Schroff et al. 2015, https://arxiv.org/abs/1503.03832

    >>> import jaxcore.numpy as jnp
    >>> print(triplet_margin(jnp.zeros(1), jnp.array([2.0]), jnp.array([1.0])).round(3))
    2.0
    """
    near = pairwise_distance(anchors, positives, order, epsilon)
    far = pairwise_distance(anchors, negatives, order, epsilon)
    if swap:
        far = jnp.minimum(far, pairwise_distance(positives, negatives, order, epsilon))
    return jnp.maximum(0.0, margin + near - far)


def contrastive(a: Any, b: Any, labels: Any, margin: float = 1.0) -> Array:
    """``d² / 2`` of pairs with label 1, ``max(0, margin - d)² / 2`` of those with 0.

    Hadsell et al. 2006, https://doi.org/10.1109/CVPR.2006.100

    >>> import jaxcore.numpy as jnp
    >>> print(contrastive(jnp.zeros((1, 2)), jnp.zeros((1, 2)), jnp.array([0])).round(3))
    [0.5]
    """
    distance = pairwise_distance(a, b)
    labels = _labels("contrastive", distance, labels)
    apart = jnp.maximum(0.0, margin - distance)
    return 0.5 * jnp.where(labels > 0, distance * distance, apart * apart)


def margin_ranking(first: Any, second: Any, labels: Any, margin: float = 0.0) -> Array:
    """``max(0, margin - label · (first - second))``: label 1 says that first is to be larger.

    >>> import jaxcore.numpy as jnp
    >>> margin_ranking(jnp.array([1.0]), jnp.array([3.0]), jnp.array([1])).tolist()
    [2.0]
    """
    first, second = pair("margin_ranking", first, second)
    labels = _labels("margin_ranking", first, labels)
    return jnp.maximum(0.0, margin - labels * (first - second))


def ntxent(embeddings: Any, labels: Any, temperature: float = 0.07) -> Array:
    """Contrast of each embedding's partners with all others: ``(batch, n), (batch,) -> (batch,)``.

    ``-log(exp(s_ij / t) / Σ_k exp(s_ik / t))`` averaged over the partners j of i, those of the
    same label; s are cosines; k runs over j and all that are no partners. An embedding without
    partners adds 0. SimCLR's batch of pairs has labels ``jnp.tile(jnp.arange(n), 2)``.

    Chen et al. 2020, https://arxiv.org/abs/2002.05709

    >>> import jaxcore.numpy as jnp
    >>> print(ntxent(jnp.eye(2), jnp.array([0, 0])).round(3))
    [0. 0.]
    """
    x, labels = at_least_float32(embeddings), jnp.asarray(labels)
    if x.ndim != 2 or labels.shape != x.shape[:1]:
        raise InputError(
            f"ntxent: the embeddings have shape {x.shape} and labels {labels.shape}. Expected "
            "(batch, features) and (batch,)."
        )
    x = x / jnp.sqrt(jnp.maximum(jnp.sum(x * x, -1, keepdims=True), 1e-16))
    scores = x @ x.T / temperature
    same = labels[:, None] == labels[None]
    partners = same & ~jnp.eye(x.shape[0], dtype=bool)
    others = logsumexp(jnp.where(same, -jnp.inf, scores), -1, keepdims=True)
    terms = jnp.logaddexp(scores, jnp.broadcast_to(others, scores.shape)) - scores
    count = jnp.sum(partners.astype(terms.dtype), -1)
    return jnp.sum(jnp.where(partners, terms, 0), -1) / jnp.maximum(count, 1)


def _labels(name: str, values: Array, labels: Any) -> Array:
    labels = at_least_float32(labels)
    if labels.shape != values.shape:
        raise InputError(
            f"{name}: labels have shape {labels.shape}. Expected {values.shape}, one for each pair."
        )
    return labels
