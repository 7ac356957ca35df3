"""Two arrays as sets: what they share, and what one has alone.

Under `jit` the number of results is not known, so `size` says how many to return.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from jaxcore.numpy import reductions as r
from jaxcore.numpy import ufuncs as u
from jaxcore.numpy.composite import composite
from jaxcore.numpy.creation import arange, asarray, full, ones, zeros
from jaxcore.numpy.distinct import SIZE_HINT, sorted_rows, unique
from jaxcore.numpy.elementwise import less, where
from jaxcore.numpy.joining import concatenate
from jaxcore.numpy.operand import arrays, as_array, concrete
from jaxcore.numpy.picking import take
from jaxcore.numpy.searching import nonzero, searchsorted
from jaxcore.numpy.shapes import expand_dims, ravel, reshape
from jaxcore.numpy.sorting import sort
from jaxcore.numpy.updates import IndexUpdateRef
from jaxcore.ops.sort import sort_p
from jaxcore.trace import bind

__all__ = ["intersect1d", "isin", "setdiff1d", "setxor1d", "union1d"]

Array = jax.Array


@composite("assume_unique", "invert", "method")
def isin(
    element: Any,
    test_elements: Any,
    assume_unique: bool = False,
    invert: bool = False,
    *,
    method: str = "auto",
) -> Array:
    """Whether each of `element` is among `test_elements`.

    Args:
      element: array.
      test_elements: array, taken flat.
      assume_unique: without effect.
      invert: whether it is not among them.
      method: "compare_all" compares every pair, "binary_search" and "sort" search in the sorted
        elements; "auto" is the first.

    Raises:
      ValueError: an unknown `method`.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> jnp.isin(jnp.array([1, 2, 3]), jnp.array([3, 1]))
      Array([ True, False,  True], dtype=bool)
    """
    methods = ("auto", "compare_all", "binary_search", "sort")
    if method not in methods:
        raise ValueError(f"method={method!r} is not implemented; options are {', '.join(methods)}")
    x, others = arrays("isin", element, test_elements)
    flat, others = ravel(x), ravel(others)
    if 0 in x.shape or not others.shape[0]:
        return full(x.shape, invert, bool)
    if method in ("auto", "compare_all"):
        same = u.equal(expand_dims(flat, 1), expand_dims(others, 0))
        among = r.any(same, axis=1)
    else:
        others = sort(others)
        among = u.equal(flat, take(others, searchsorted(others, flat), 0, mode="clip"))
    return reshape(u.invert(among) if invert else among, x.shape)


def union1d(ar1: Any, ar2: Any, *, size: int | None = None, fill_value: Any = None) -> Array:
    """The distinct elements of both arrays; `size` and `fill_value` as of `unique`."""
    if size is None:
        for x in (ar1, ar2):
            concrete(x, f"The error arose in union1d(). {SIZE_HINT.format('union1d')}")
    both = concatenate(arrays("union1d", ar1, ar2), axis=None)
    return unique(both, size=size, fill_value=fill_value)


def _flat_pair(name: str, ar1: Any, ar2: Any) -> tuple[Any, Any]:
    x, y = arrays(name, ar1, ar2)
    return ravel(x), ravel(y)


def _chosen(values: Any, mask: Any, size: int | None, fill: Any, hint: str) -> tuple[Any, Any, Any]:
    """The `values` where `mask` holds, their places, and which of them are real."""
    if size is None:
        known = np.nonzero(concrete(mask, hint))[0].astype(np.int32)
        return take(values, known, 0), known, None
    (places,) = nonzero(mask, size=size, fill_value=mask.shape[0])
    found = less(places, mask.shape[0])
    fill = 0 if fill is None else fill
    if not values.shape[0]:
        return full(size, fill, values.dtype), places, found
    return where(found, take(values, places, 0, mode="clip"), fill), places, found


def setdiff1d(
    ar1: Any,
    ar2: Any,
    assume_unique: bool = False,
    *,
    size: int | None = None,
    fill_value: Any = None,
) -> Array:
    """The distinct elements of `ar1` that are not in `ar2`.

    Args:
      ar1, ar2: arrays, taken flat.
      assume_unique: those of `ar1` are distinct; they keep their order.
      size: how many to return; needed under `jit`.
      fill_value: in place of elements that are too few (0).
    """
    if size is None:
        concrete(ar1, f"The error arose in setdiff1d(). {SIZE_HINT.format('setdiff1d')}")
    x, y = (ravel(as_array("setdiff1d", v, i)) for i, v in enumerate((ar1, ar2)))
    fill = 0 if fill_value is None else fill_value
    n = x.shape[0]
    if not n or size == 0:
        return full(size or 0, fill, x.dtype)
    kept: Any = True
    if not assume_unique:
        rows, first, _ = sorted_rows(x, 0, True)
        if size is None:
            x = _chosen(rows, first, None, None, "")[0]
        else:
            x, kept = rows, first
    mask = u.bitwise_and(isin(x, y, invert=True), kept)
    return _chosen(x, mask, size, asarray(fill, x.dtype), SIZE_HINT.format("setdiff1d"))[0]


@composite("assume_unique")
def _joined(x: Any, y: Any, assume_unique: bool) -> tuple[Any, Any, Any]:
    """Both arrays as one in order, the places of its elements, and which of them count.

    Of elements that are equal within one array only the first counts; those that do not count
    come last.
    """
    values, keep = concatenate([x, y]), []
    for v in (x, y):
        n = v.shape[0]
        if assume_unique:
            keep.append(ones(n, bool))
            continue
        _, first, order = sorted_rows(v, 0, True)
        keep.append(IndexUpdateRef(zeros(n, bool), order).set(first))
    repeated = u.invert(concatenate(keep))
    places = arange(values.shape[0])
    repeated, values, places = bind(
        sort_p, repeated, values, places, dimension=0, is_stable=True, num_keys=2
    )
    return values, places, u.invert(repeated)


def intersect1d(
    ar1: Any,
    ar2: Any,
    assume_unique: bool = False,
    return_indices: bool = False,
    *,
    size: int | None = None,
    fill_value: Any = None,
) -> Any:
    """The distinct elements that both arrays have, in ascending order.

    Args:
      ar1, ar2: arrays, taken flat.
      assume_unique: the elements of each are distinct.
      return_indices: return the positions of the first occurrence in each array too.
      size: how many to return; needed under `jit`.
      fill_value: in place of elements that are too few; by default the smallest of the result.
    """
    x, y = _flat_pair("intersect1d", ar1, ar2)
    values, places, counts = _joined(x, y, assume_unique)
    shared = u.bitwise_and(u.equal(values[1:], values[:-1]), counts[1:])
    hint = SIZE_HINT.format("intersect1d")
    out, at, found = _chosen(values[:-1], shared, size, fill_value, hint)
    if found is not None and fill_value is None and out.shape[0]:
        out = _filled_with_least(out, found)
    if not return_indices:
        return out
    first, second = (take(places, u.add(at, i), 0, mode="clip") for i in (0, 1))
    second = u.subtract(second, x.shape[0])
    if found is not None:
        first, second = where(found, first, x.shape[0]), where(found, second, y.shape[0])
    return out, first, second


def setxor1d(
    ar1: Any,
    ar2: Any,
    assume_unique: bool = False,
    *,
    size: int | None = None,
    fill_value: Any = None,
) -> Array:
    """The distinct elements that one of the arrays has and the other has not, in ascending order.

    Args:
      ar1, ar2: arrays, taken flat.
      assume_unique: the elements of each are distinct.
      size: how many to return; needed under `jit`.
      fill_value: in place of elements that are too few; by default the smallest of the result.
    """
    x, y = _flat_pair("setxor1d", ar1, ar2)
    values, _, counts = _joined(x, y, assume_unique)
    if not values.shape[0]:
        return values if size is None else full(size, 0, values.dtype)
    shared = u.bitwise_and(u.equal(values[1:], values[:-1]), counts[1:])
    no = zeros(1, bool)
    partner = u.bitwise_or(concatenate([no, shared]), concatenate([shared, no]))
    alone = u.bitwise_and(counts, u.invert(partner))
    hint = SIZE_HINT.format("setxor1d")
    out, _, found = _chosen(values, alone, size, fill_value, hint)
    if found is not None and fill_value is None and out.shape[0]:
        out = _filled_with_least(out, found)
    return out


def _filled_with_least(values: Any, found: Any) -> Any:
    """`values` with the smallest of those that are real in place of the others."""
    high = where(found, values, r.max(values))
    return where(found, values, r.min(high))
