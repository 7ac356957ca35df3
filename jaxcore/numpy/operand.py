"""What counts as an array argument of the array interface."""

from __future__ import annotations

from typing import Any

import jax

from jaxcore import backend
from jaxcore.backend import ShapedArray
from jaxcore.numpy.promote import array
from jaxcore.trace import aval_of

__all__ = ["as_value", "axis_index", "typed"]


def typed(name: str, x: Any, position: int = 0) -> tuple[Any, ShapedArray]:
    """`x` as an array, tracer or scalar, and its type; other objects are a TypeError."""
    if not isinstance(x, backend.Tracer):
        x = array(name, x, position)
    return x, aval_of(x)


def as_value(x: Any) -> Any:
    """`x` as an array or tracer: NumPy arrays and scalars are converted."""
    if isinstance(x, backend.Tracer | jax.Array):
        return x
    from jaxcore.numpy.creation import asarray

    return asarray(x)


def axis_index(axis: Any, ndim: int) -> int:
    """`axis` counted from the front.

    Raises:
      ValueError: it is not one of `ndim` axes.
    """
    i = axis.__index__()
    if not -ndim <= i < ndim:
        raise ValueError(f"axis {i} is out of bounds for array of dimension {ndim}")
    return i % ndim
