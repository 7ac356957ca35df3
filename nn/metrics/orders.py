"""How well two orders agree. These take all values at once: ranks of parts do not add up."""

from __future__ import annotations

from typing import Any

import jaxcore.numpy as jnp
from jaxcore import Array

from ..losses.shared import pair
from .states import ratio


def spearman(predictions: Any, targets: Any) -> Array:
    """Spearman's correlation of the last axis, Pearson's of the ranks: ``(..., n) -> (...)``.

    Equal values have the mean of their ranks. NaN if one of the two does not vary.

    >>> import jaxcore.numpy as jnp
    >>> float(spearman(jnp.array([1.0, 2.0, 9.0]), jnp.array([0.1, 0.2, 0.3])))
    1.0
    """
    x, y = pair("spearman", predictions, targets)
    x, y = (_ranks(v) - (v.shape[-1] - 1) / 2 for v in (x, y))
    spread = jnp.sqrt((x * x).sum(-1) * (y * y).sum(-1))
    return ratio((x * y).sum(-1), spread, jnp.nan)


def _ranks(x: Array) -> Array:
    """From 0; how many values are smaller, and half of how many others are equal."""
    order = jnp.sort(x, -1)
    count = lambda side: jnp.vectorize(
        lambda order, x: jnp.searchsorted(order, x, side), signature="(n),(n)->(n)"
    )(order, x)
    return (count("left") + count("right") - 1).astype(x.dtype) / 2


def kendall(predictions: Any, targets: Any) -> Array:
    """Kendall's τ-b of the last axis: ``(..., n) -> (...)``.

    Pairs that both order alike less those they order differently, over the root of how many each
    orders at all. Memory grows with n². NaN if one of the two does not vary.

    Kendall 1945, https://doi.org/10.1093/biomet/33.3.239

    >>> import jaxcore.numpy as jnp
    >>> round(float(kendall(jnp.array([1.0, 2.0, 3.0]), jnp.array([1.0, 3.0, 2.0]))), 4)
    0.3333
    """
    x, y = pair("kendall", predictions, targets)
    x, y = (jnp.sign(v[..., :, None] - v[..., None, :]) for v in (x, y))
    total = lambda v: v.sum((-2, -1))
    return ratio(total(x * y), jnp.sqrt(total(x * x) * total(y * y)), jnp.nan)
