"""Sorting and running totals along an axis."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxcore import backend
from jaxcore.numpy.promote import array
from jaxcore.numpy.reductions import canonical_axis, integer_default, user_dtype
from jaxcore.ops.convert import convert
from jaxcore.ops.cumulative import cumprod_p, cumsum_p
from jaxcore.ops.rules import kind_of, reshape
from jaxcore.ops.sort import sort_p
from jaxcore.primitive import Primitive
from jaxcore.trace import aval_of, bind

__all__ = ["argsort", "cumprod", "cumsum", "sort"]


def _along(name: str, x: Any, axis: int | None) -> tuple[Any, int]:
    """The array, flat if `axis` is None, and the axis as a non-negative number."""
    x = array(name, x)
    shape = aval_of(x).shape
    if axis is None:
        return reshape(x, (math.prod(shape),)), 0
    return x, canonical_axis(axis, len(shape))


def sort(
    a: Any,
    axis: int | None = -1,
    *,
    kind: None = None,
    order: None = None,
    stable: bool = True,
    descending: bool = False,
) -> Any:
    """`a` in ascending order along `axis` (None: flat), NaN last.

    Args:
      a: array.
      axis: axis to sort along.
      kind, order: not supported.
      stable: equal elements keep their order.
      descending: largest first.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> jnp.sort(jnp.array([3, 1, 2]))
      Array([1, 2, 3], dtype=int32)
    """
    if kind is not None or order is not None or descending:
        return jax.numpy.sort(a, axis, kind=kind, order=order, stable=stable, descending=descending)
    x, dimension = _along("sort", a, axis)
    return bind(sort_p, x, dimension=dimension, is_stable=stable, num_keys=1)[0]


def argsort(
    a: Any,
    axis: int | None = -1,
    *,
    kind: None = None,
    order: None = None,
    stable: bool = True,
    descending: bool = False,
) -> Any:
    """The indices that sort `a` along `axis`; arguments as of `sort`.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> jnp.argsort(jnp.array([3, 1, 2]))
      Array([1, 2, 0], dtype=int32)
    """
    if kind is not None or order is not None or descending:
        return jax.numpy.argsort(
            a, axis, kind=kind, order=order, stable=stable, descending=descending
        )
    x, dimension = _along("argsort", a, axis)
    shape = aval_of(x).shape
    index_dtype = backend.canonicalize_dtype(np.dtype(np.int64))
    places = jax.lax.broadcasted_iota(index_dtype, shape, dimension)
    return bind(sort_p, x, places, dimension=dimension, is_stable=stable, num_keys=1)[1]


def _running(name: str, primitive: Primitive, doc: str) -> Callable[..., Any]:
    def function(a: Any, axis: int | None = None, dtype: Any = None, out: None = None) -> Any:
        if out is not None:
            raise NotImplementedError(f"The 'out' argument to jnp.{name} is not supported")
        x, place = _along(name, a, axis)
        own = aval_of(x).dtype
        if dtype is not None:
            own = user_dtype(dtype, name)
            if kind_of(own) == "b":
                return getattr(jax.numpy, name)(a, axis, dtype)
        elif kind_of(own) == "b":
            own = integer_default(own)
        return bind(primitive, convert(x, own), axis=place, reverse=False)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


cumsum = _running("cumsum", cumsum_p, "Running sums along `axis` (None: of the flat array).")
cumprod = _running("cumprod", cumprod_p, "Running products along `axis` (None: flat).")
