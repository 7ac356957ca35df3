"""What losses and metrics share: operands in float32, and shapes that have to fit."""

from __future__ import annotations

from typing import Any

import jaxcore.numpy as jnp
from jaxcore import Array

from ..dtypes import at_least_float32
from ..errors import InputError


def same_shape(name: str, predictions: Any, other: Any, argument: str = "targets") -> None:
    """Raises unless both have one shape."""
    if predictions.shape != other.shape:
        raise InputError(
            f"{name}: {argument} have shape {other.shape} and the predictions {predictions.shape}. "
            "Expected equal shapes: broadcasting here mostly hides a mistake, such as (batch,) "
            "against (batch, 1). Fix: reshape one of them."
        )


def pair(name: str, predictions: Any, other: Any, argument: str = "targets") -> tuple[Array, Array]:
    """Both in float32 or wider, of one shape."""
    predictions, other = at_least_float32(predictions), at_least_float32(other)
    same_shape(name, predictions, other, argument)
    return predictions, other


def leading(name: str, values: Array, other: Array, argument: str = "weights") -> Array:
    """`other`, of the values' shape or their leading axes, in the values' shape."""
    if other.shape != values.shape[: other.ndim]:
        raise InputError(
            f"{name}: {argument} have shape {other.shape} and the values {values.shape}. Expected "
            "the values' shape or its leading axes."
        )
    wide = other.reshape(*other.shape, *(1,) * (values.ndim - other.ndim))
    return jnp.broadcast_to(wide, values.shape)
