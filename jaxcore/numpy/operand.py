"""What counts as an array argument of the array interface."""

from __future__ import annotations

import threading
from collections.abc import Callable
from operator import index
from typing import Any

import jax
import numpy as np

from jaxcore import backend, errors
from jaxcore.backend import ShapedArray
from jaxcore.numpy.promote import array, float_dtype, promoted
from jaxcore.ops.convert import convert
from jaxcore.trace import aval_of

__all__ = [
    "arrays",
    "as_array",
    "as_value",
    "axis_index",
    "concrete",
    "listeners",
    "no_out",
    "typed",
]


class _Listeners(threading.local):
    received: Callable[[np.ndarray], None] | None = None


listeners = _Listeners()  # `received` is told of NumPy arrays that become arrays


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


def as_array(name: str, x: Any, position: int = 0) -> Any:
    """The argument `x` of `name` as an array or tracer; what is neither is a TypeError."""
    return as_value(typed(name, x, position)[0])


def arrays(name: str, *args: Any, to_float: bool = False) -> list[Any]:
    """The arguments as arrays or tracers of one dtype, a float with `to_float`; shapes stay."""
    values = [as_array(name, x, i) for i, x in enumerate(args)]
    dtype, weak = promoted(*values)
    if to_float:
        dtype = float_dtype(dtype)
    return [convert(x, dtype, weak) for x in values]


def axis_index(axis: Any, ndim: int) -> int:
    """`axis` counted from the front.

    Raises:
      ValueError: it is not one of `ndim` axes.
    """
    i = index(axis)
    if not -ndim <= i < ndim:
        raise errors.AxisError(
            f"axis {i} is out of bounds for array of dimension {ndim}. Fix: use an axis in "
            f"[{-ndim}, {ndim})."
        )
    return i % ndim


def no_out(name: str, out: Any) -> None:
    """Refuse NumPy's argument for a place to write to: arrays do not change.

    Raises:
      NotImplementedError: `out` is given.
    """
    if out is not None:
        raise NotImplementedError(
            f"The 'out' argument to jnp.{name} is not supported. Fix: use the result."
        )


def concrete(x: Any, message: str) -> np.ndarray:
    """The elements of the argument `x`, which must be known while tracing.

    It is the argument as it was given: an array that was made of it may be a tracer.

    Raises:
      ConcretizationTypeError: they are not; `message` says why they matter and what to do.
    """
    if not isinstance(x, backend.Tracer) and hasattr(x, "__jax_array__"):
        x = x.__jax_array__()
    if isinstance(x, backend.Tracer):
        value = x.to_concrete_value()
        if value is None:
            raise jax.errors.ConcretizationTypeError(x, message)
        x = value
    return np.asarray(x)
