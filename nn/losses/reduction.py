"""One number of many: `reduce`, with weights and masks."""

from __future__ import annotations

from typing import Any

import jaxcore.numpy as jnp
from jaxcore import Array

from ..dtypes import at_least_float32
from ..errors import InputError
from .shared import leading

_REDUCTIONS = ("mean", "sum", "batch_mean", "none")


def reduce(values: Any, weights: Any = None, where: Any = None, reduction: str = "mean") -> Array:
    """The loss of a batch from the losses of its examples, ``(...) -> ()``.

    Args:
      weights: of the values' shape, or of their leading axes.
      where: booleans likewise; what is False does not count, whatever stands there.
      reduction: ``"mean"``: ``Σ w v / Σ w``; ``"sum"``: ``Σ w v``; ``"batch_mean"``: ``Σ w v`` by
        the number of values that `where` lets through, as Keras does with ``sample_weight``;
        ``"none"``: ``w v``, and 0 where nothing counts.

    Returns:
      A scalar, 0 for a mean of nothing, so that an empty batch has a gradient of zeros.

    PyTorch's ``cross_entropy(x, y, class_weights, ignore_index=i)`` is ``reduce(loss,
    class_weights[y], y != i)`` of the unweighted loss.

    Raises:
      InputError: weights or mask do not fit, or an unknown reduction.

    >>> import jaxcore.numpy as jnp
    >>> loss = jnp.array([1.0, 3.0, jnp.nan])
    >>> float(reduce(loss, where=jnp.array([True, True, False])))
    2.0
    >>> float(reduce(jnp.array([1.0, 3.0]), weights=jnp.array([3.0, 1.0])))
    1.5
    """
    if reduction not in _REDUCTIONS:
        raise InputError(f"reduce: reduction={reduction!r}. Expected one of {list(_REDUCTIONS)}.")
    values = at_least_float32(values)
    counted = None
    if where is not None:
        counted = leading("reduce", values, jnp.asarray(where, bool), "where")
        values = jnp.where(counted, values, 0)
    weight = None if weights is None else leading("reduce", values, at_least_float32(weights))
    if weight is not None:
        values = values * (weight if counted is None else jnp.where(counted, weight, 0))
    if reduction == "none":
        return values
    total = jnp.sum(values)
    if reduction == "sum":
        return total
    if reduction == "batch_mean" or weight is None:
        count = values.size if counted is None else jnp.sum(counted.astype(values.dtype))
    else:
        count = jnp.sum(weight if counted is None else jnp.where(counted, weight, 0))
    count = jnp.asarray(count, total.dtype)
    return jnp.where(count == 0, 0, total / jnp.where(count == 0, 1, count))
