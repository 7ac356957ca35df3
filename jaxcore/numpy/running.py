"""Running sums and products along an axis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxcore.numpy import ufuncs as u
from jaxcore.numpy.composite import composite
from jaxcore.numpy.creation import full
from jaxcore.numpy.elementwise import where
from jaxcore.numpy.joining import concatenate
from jaxcore.numpy.logic import isnan
from jaxcore.numpy.operand import as_array, no_out
from jaxcore.numpy.reductions import canonical_axis, integer_default, user_dtype
from jaxcore.numpy.shapes import ravel
from jaxcore.ops.convert import convert
from jaxcore.ops.cumulative import cumprod_p, cumsum_p
from jaxcore.ops.rules import kind_of
from jaxcore.primitive import Primitive
from jaxcore.trace import bind

__all__ = [
    "cumprod",
    "cumsum",
    "cumulative_prod",
    "cumulative_sum",
    "nancumprod",
    "nancumsum",
]

Array = jax.Array


def _run(primitive: Primitive, x: Any, axis: int, dtype: Any, total: Any = None) -> Array:
    """`x` accumulated in `dtype`; bool is counted, and `total` is the dtype where none is given."""
    if dtype is None:
        result = compute = integer_default(x.dtype) if kind_of(x.dtype) == "b" else total or x.dtype
    else:
        result = compute = user_dtype(dtype, primitive.name)
        if kind_of(result) == "b":
            x, compute = x if x.dtype == result else u.not_equal(x, 0), integer_default(result)
    return convert(bind(primitive, convert(x, compute), axis=axis, reverse=False), result)


def _running(name: str, primitive: Primitive, doc: str, skip: int | None = None) -> Any:
    def function(a: Any, axis: int | None = None, dtype: Any = None, out: None = None) -> Array:
        no_out(name, out)
        x = as_array(name, a)
        if axis is None or not x.ndim:
            x = ravel(x)
        if skip is not None and kind_of(x.dtype) in "fc":
            x = where(isnan(x), skip, x)
        axis = 0 if axis is None else canonical_axis(axis, x.ndim)
        return _run(primitive, x, axis, dtype)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return composite("axis", "dtype")(function)


cumsum: Callable[..., Array] = _running(
    "cumsum", cumsum_p, "Running sums along `axis` (None: of the flat array)."
)
cumprod: Callable[..., Array] = _running(
    "cumprod", cumprod_p, "Running products along `axis` (None: flat)."
)
nancumsum: Callable[..., Array] = _running(
    "nancumsum", cumsum_p, "`cumsum` with NaN counted as 0.", skip=0
)
nancumprod: Callable[..., Array] = _running(
    "nancumprod", cumprod_p, "`cumprod` with NaN counted as 1.", skip=1
)


@composite("axis", "dtype", "include_initial")
def cumulative_sum(
    x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Array:
    """Running sums along `axis`, which only a vector may leave out.

    Args:
      x: array with at least one axis.
      axis: along which to add.
      dtype: of the result; by default that of `x`, with small integers in the default type.
      include_initial: begin with 0.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> jnp.cumulative_sum(jnp.array([1, 2, 3]), include_initial=True)
      Array([0, 1, 3, 6], dtype=int32)
    """
    return _cumulative("sum", cumsum_p, 0, x, axis, dtype, include_initial)


@composite("axis", "dtype", "include_initial")
def cumulative_prod(
    x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Array:
    """Running products along `axis`, beginning with 1 if `include_initial`."""
    return _cumulative("product", cumprod_p, 1, x, axis, dtype, include_initial)


def _cumulative(
    word: str,
    primitive: Primitive,
    first: int,
    x: Any,
    axis: int | None,
    dtype: Any,
    include_initial: bool,
) -> Array:
    x = as_array(f"cumulative_{primitive.name[3:]}", x)
    if not x.ndim:
        raise ValueError(
            f"The input must be non-scalar to take a cumulative {word}, however a scalar value or "
            "scalar array was given."
        )
    if axis is None and x.ndim > 1:
        raise ValueError(
            f"The input array has rank {x.ndim}, however axis was not set to an explicit value. "
            "The axis argument is only optional for one-dimensional arrays."
        )
    at = 0 if axis is None else canonical_axis(axis, x.ndim)
    total = integer_default(x.dtype) if word == "sum" else None
    out = _run(primitive, x, at, dtype, total)
    if not include_initial:
        return out
    shape = (*x.shape[:at], 1, *x.shape[at + 1 :])
    return concatenate([full(shape, np.asarray(first, out.dtype)[()]), out], at)
