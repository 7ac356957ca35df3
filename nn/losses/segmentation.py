"""Losses of regions: how much of two masks is in common."""

from __future__ import annotations

from typing import Any

import jaxcore.numpy as jnp
from jaxcore import Array

from .shared import pair


def tversky(
    probabilities: Any,
    targets: Any,
    alpha: float = 0.5,
    beta: float = 0.5,
    smoothing: float = 1e-7,
    axis: Any = None,
) -> Array:
    """``1 - (TP + s) / (TP + alpha · FP + beta · FN + s)``: ``(batch, ...) -> (batch,)``.

    TP, FP and FN are sums of ``p t``, ``p (1 - t)`` and ``(1 - p) t``.

    Args:
      axis: axes to sum over; all but the first by default. Leave the classes' out for a value
        each.

    Salehi et al. 2017, https://arxiv.org/abs/1706.05721

    >>> import jaxcore.numpy as jnp
    >>> print(tversky(jnp.array([[1.0, 1.0]]), jnp.array([[1.0, 0.0]]), alpha=1.0).round(3))
    [0.5]
    """
    p, t = pair("tversky", probabilities, targets)
    axis = tuple(range(1, p.ndim)) if axis is None else axis
    hit, false, missed = (jnp.sum(v, axis) for v in (p * t, p * (1 - t), (1 - p) * t))
    return 1 - (hit + smoothing) / (hit + alpha * false + beta * missed + smoothing)


def dice(probabilities: Any, targets: Any, smoothing: float = 1e-7, axis: Any = None) -> Array:
    """``1 - (2 Σ p t + s) / (Σ p + Σ t + s)``: ``(batch, ...) -> (batch,)``.

    Args:
      axis: axes to sum over; all but the first by default. Leave the classes' out for a value
        each.

    Milletari et al. 2016, https://arxiv.org/abs/1606.04797

    >>> import jaxcore.numpy as jnp
    >>> print(dice(jnp.array([[1.0, 1.0]]), jnp.array([[1.0, 0.0]])).round(3))
    [0.333]
    """
    p, t = pair("dice", probabilities, targets)
    axis = tuple(range(1, p.ndim)) if axis is None else axis
    both = 2 * jnp.sum(p * t, axis)
    return 1 - (both + smoothing) / (jnp.sum(p, axis) + jnp.sum(t, axis) + smoothing)
