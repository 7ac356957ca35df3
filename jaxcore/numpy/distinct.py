"""The distinct elements of an array.

Under `jit` their number is not known, so `size` says how many to return.
"""

from __future__ import annotations

import math
from operator import index
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxcore.numpy import reductions as r
from jaxcore.numpy import ufuncs as u
from jaxcore.numpy.composite import composite
from jaxcore.numpy.creation import full, ones, zeros
from jaxcore.numpy.differences import diff
from jaxcore.numpy.elementwise import less, where
from jaxcore.numpy.joining import concatenate, unstack
from jaxcore.numpy.logic import isnan
from jaxcore.numpy.operand import as_array, axis_index, concrete
from jaxcore.numpy.picking import take
from jaxcore.numpy.running import cumsum
from jaxcore.numpy.searching import nonzero
from jaxcore.numpy.shapes import expand_dims, moveaxis, ravel, reshape
from jaxcore.numpy.sorting import lexsort
from jaxcore.numpy.updates import IndexUpdateRef
from jaxcore.ops.rules import kind_of

__all__ = [
    "SIZE_HINT",
    "sorted_rows",
    "unique",
    "unique_all",
    "unique_counts",
    "unique_inverse",
    "unique_values",
]

Array = jax.Array

SIZE_HINT = (
    "To make jnp.{0}() compatible with JIT and other transforms, you can specify a concrete value "
    "for the size argument, which will determine the output size."
)


class UniqueAllResult(NamedTuple):
    """What `unique_all` returns."""

    values: Array
    indices: Array
    inverse_indices: Array
    counts: Array


class UniqueCountsResult(NamedTuple):
    """What `unique_counts` returns."""

    values: Array
    counts: Array


class UniqueInverseResult(NamedTuple):
    """What `unique_inverse` returns."""

    values: Array
    inverse_indices: Array


def unique(
    ar: Any,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    *,
    equal_nan: bool = True,
    size: int | None = None,
    fill_value: Any = None,
    sorted: bool = True,
) -> Any:
    """The distinct elements of `ar` in ascending order.

    Args:
      ar: array.
      return_index: return the position of the first occurrence of each, too.
      return_inverse: and, for each element of `ar`, the position of its equal in the result.
      return_counts: and how often each occurs.
      axis: compare the slices along `axis`; None: the elements of the flat array.
      equal_nan: count all NaN as one.
      size: how many to return; needed under `jit`.
      fill_value: in place of elements that are too few; by default the first of the result.
      sorted: they are in order whatever it says.

    Raises:
      ConcretizationTypeError: `ar` is traced and `size` is not given.
      ValueError: elements are asked for of an empty array, without a `fill_value`.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> jnp.unique(jnp.array([3, 1, 3]), return_counts=True)
      (Array([1, 3], dtype=int32), Array([1, 2], dtype=int32))
    """
    x = as_array("unique", ar)
    shape = x.shape
    at = 0 if axis is None else axis_index(axis, x.ndim)
    x = ravel(x) if axis is None else x
    hint = SIZE_HINT.format("unique")
    if size is None:
        concrete(ar, f"The error arose for the first argument of jnp.unique(). {hint}")
        count = None
    else:
        count = index(size)
        if x.shape[at] == 0 and count and fill_value is None:
            raise ValueError(
                "jnp.unique: for zero-sized input with nonzero size argument, fill_value must be "
                "specified"
            )
    rows, first, order = sorted_rows(x, at, equal_nan)
    if count is None:
        count = int(concrete(first, hint).sum())
    wanted = (return_index, return_inverse, return_counts)
    out = list(_distinct(rows, first, order, x.shape[at], count, fill_value, wanted))
    out[0] = moveaxis(out[0], 0, at)
    if return_inverse and axis is None:
        place = 1 + return_index
        out[place] = reshape(out[place], shape)
    return tuple(out) if len(out) > 1 else out[0]


@composite("axis", "equal_nan")
def sorted_rows(x: Any, axis: int, equal_nan: bool) -> tuple[Array, Array, Array]:
    """The slices along `axis` in order, whether each differs from the one before, their places."""
    rows = moveaxis(x, axis, 0)
    n, width = rows.shape[0], math.prod(rows.shape[1:])
    kind = kind_of(x.dtype)
    if kind == "c":
        rows = where(isnan(rows), np.nan, rows)
    if not width:
        n = min(n, 1)
        return rows[:n], ones(n, bool), zeros(n, int)
    order = lexsort(unstack(reshape(rows, (n, width)), axis=1)[::-1])
    rows = take(rows, order, 0)
    if not n:
        return rows, zeros(0, bool), order
    after, before = rows[1:], rows[:-1]
    differs = u.not_equal(after, before)
    if kind in "fc" and equal_nan:
        both = u.bitwise_and(isnan(after), isnan(before))
        differs = u.bitwise_and(differs, u.invert(both))
    differs = r.any(differs, axis=tuple(range(1, rows.ndim)))
    return rows, concatenate([ones(1, bool), differs]), order


@composite("total", "count", "wanted")
def _distinct(
    rows: Any,
    first: Any,
    order: Any,
    total: int,
    count: int,
    fill: Any,
    wanted: tuple[bool, bool, bool],
) -> tuple[Array, ...]:
    """The first `count` distinct rows and, of what is `wanted`, index, inverse and counts."""
    bounds = nonzero(first, size=count + 1, fill_value=total)[0]
    found = less(bounds[:-1], total)
    places = where(found, bounds[:-1], 0)
    if first.shape[0]:
        values = take(rows, places, 0)
        if fill is not None:
            valid = expand_dims(found, tuple(range(1, rows.ndim)))
            values = where(valid, values, as_array("unique", fill).astype(rows.dtype))
    else:
        values = full((count, *rows.shape[1:]), 0 if fill is None else fill, rows.dtype)
    out = [values]
    if wanted[0]:
        out.append(take(order, places, 0) if first.shape[0] else order)
    if wanted[1]:
        number = u.subtract(cumsum(first, dtype=int), 1)
        out.append(IndexUpdateRef(zeros(total, int), order).set(number))
    if wanted[2]:
        out.append(diff(bounds))
    return tuple(out)


def unique_all(x: Any, /, *, size: int | None = None, fill_value: Any = None) -> UniqueAllResult:
    """`unique` with all it can return, every NaN counted for itself."""
    out = unique(x, True, True, True, equal_nan=False, size=size, fill_value=fill_value)
    return UniqueAllResult(*out)


def unique_counts(
    x: Any, /, *, size: int | None = None, fill_value: Any = None
) -> UniqueCountsResult:
    """`unique` and how often each element occurs, every NaN counted for itself."""
    out = unique(x, return_counts=True, equal_nan=False, size=size, fill_value=fill_value)
    return UniqueCountsResult(*out)


def unique_inverse(
    x: Any, /, *, size: int | None = None, fill_value: Any = None
) -> UniqueInverseResult:
    """`unique` and the positions that give `x` again, every NaN counted for itself."""
    out = unique(x, return_inverse=True, equal_nan=False, size=size, fill_value=fill_value)
    return UniqueInverseResult(*out)


def unique_values(x: Any, /, *, size: int | None = None, fill_value: Any = None) -> Array:
    """`unique` with every NaN counted for itself."""
    return unique(x, equal_nan=False, size=size, fill_value=fill_value)
