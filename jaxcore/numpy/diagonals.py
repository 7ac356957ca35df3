"""Diagonals of matrices, and the positions of their diagonals and triangles.

A diagonal is a strided slice of the matrix laid flat, and a diagonal matrix a padded vector.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import index
from typing import Any

import jax
import numpy as np

from jaxcore import backend
from jaxcore.numpy import reductions as r
from jaxcore.numpy.composite import composite
from jaxcore.numpy.creation import arange, asarray, eye, ones
from jaxcore.numpy.elementwise import where
from jaxcore.numpy.operand import as_array, axis_index, concrete, no_out
from jaxcore.numpy.searching import nonzero
from jaxcore.numpy.shapes import moveaxis, ravel, reshape
from jaxcore.numpy.updates import IndexUpdateRef
from jaxcore.ops.arithmetic import constant
from jaxcore.ops.pieces import pad_p, slice_p
from jaxcore.trace import bind

__all__ = [
    "diag",
    "diag_indices",
    "diag_indices_from",
    "diagflat",
    "diagonal",
    "fill_diagonal",
    "mask_indices",
    "trace",
    "tril_indices",
    "tril_indices_from",
    "triu_indices",
    "triu_indices_from",
]

Array = jax.Array
Positions = tuple[Array, ...]


# --- diagonals ----------------------------------------------------------------------------------


@composite("offset", "axis1", "axis2")
def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Array:
    """The elements whose position along `axis2` is `offset` more than that along `axis1`.

    Args:
      a: array with at least two axes.
      offset: which diagonal; a Python integer.
      axis1, axis2: the plane of the diagonal; they are replaced by one last axis.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> jnp.diagonal(jnp.arange(6).reshape(2, 3), offset=1)
      Array([1, 5], dtype=int32)
    """
    x = as_array("diagonal", a)
    if x.ndim < 2:
        raise ValueError(
            f"diagonal requires an array of at least two dimensions, got shape {tuple(x.shape)}."
        )
    offset = index(concrete(offset, "The offset of jnp.diagonal must be known while tracing."))
    _plane(x, axis1, axis2)
    x = moveaxis(x, (axis1, axis2), (-2, -1))
    *lead, rows, columns = x.shape
    count = max(0, min(rows + min(offset, 0), columns - max(offset, 0)))
    start = offset if offset >= 0 else -offset * columns
    if not count:
        start = 0
    flat = reshape(x, (*lead, rows * columns))
    kept = (0,) * len(lead)
    return bind(
        slice_p,
        flat,
        start_indices=(*kept, start),
        limit_indices=(*lead, start + max(0, (count - 1) * (columns + 1) + 1) if count else start),
        strides=(*(1 for _ in lead), columns + 1),
    )


def _plane(x: Any, axis1: int, axis2: int) -> None:
    first, second = axis_index(axis1, x.ndim), axis_index(axis2, x.ndim)
    if first == second:
        raise ValueError(
            f"axis1 and axis2 can not be same. axis1={axis1} and axis2={axis2} of an array of "
            f"shape {tuple(x.shape)}."
        )


@composite("k")
def diag(v: Any, k: int = 0) -> Array:
    """A matrix with the vector `v` on diagonal `k`, or diagonal `k` of the matrix `v`.

    Raises:
      ValueError: `v` is neither a vector nor a matrix.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> jnp.diag(jnp.array([1, 2]), k=1)
      Array([[0, 1, 0],
             [0, 0, 2],
             [0, 0, 0]], dtype=int32)
    """
    x = as_array("diag", v)
    if x.ndim == 1:
        return _from_diagonal(x, index(k))
    if x.ndim == 2:
        return diagonal(x, index(k))
    raise ValueError(f"diag input must be 1d or 2d, got shape {tuple(x.shape)}.")


def diagflat(v: Any, k: int = 0) -> Array:
    """A matrix with all elements of `v` on diagonal `k`, zeros elsewhere."""
    return _from_diagonal(ravel(as_array("diagflat", v)), index(k))


def _from_diagonal(x: Any, k: int) -> Array:
    count = x.shape[0]
    n = count + abs(k)
    low = (k if k >= 0 else -k * n) if count else 0
    used = (count - 1) * (n + 1) + 1 if count else 0
    zero = np.zeros((), x.dtype)[()]
    flat = bind(pad_p, x, zero, padding_config=((low, n * n - low - used, n),))
    return reshape(flat, (n, n))


@composite("offset", "axis1", "axis2", "dtype")
def trace(
    a: Any,
    offset: Any = 0,
    axis1: int = 0,
    axis2: int = 1,
    dtype: Any = None,
    out: None = None,
) -> Array:
    """The sum over a diagonal; arguments as of `diagonal`, `dtype` as of `sum`."""
    no_out("trace", out)
    x = as_array("trace", a)
    _plane(x, axis1, axis2)
    if not isinstance(offset, backend.Tracer):
        return r.sum(diagonal(x, offset, axis1, axis2), axis=-1, dtype=dtype)
    x = moveaxis(x, (axis1, axis2), (-2, -1))
    mask = eye(x.shape[-2], x.shape[-1], offset, bool)
    mask = reshape(mask, (1,) * (x.ndim - 2) + mask.shape)
    return r.sum(where(mask, x, constant(x, 0)), axis=(-2, -1), dtype=dtype)


def fill_diagonal(a: Any, val: Any, wrap: bool = False, *, inplace: bool = True) -> Array:
    """`a` with `val` on its main diagonal; arrays do not change, so ``inplace=False`` is needed.

    Args:
      a: array with at least two axes, all of one size if there are more.
      val: a scalar, or the elements in order, repeated as often as needed.
      wrap: not supported.
    """
    if inplace:
        raise NotImplementedError("JAX arrays are immutable, must use inplace=False")
    if wrap:
        raise NotImplementedError("wrap=True is not implemented, must use wrap=False")
    x, value = as_array("fill_diagonal", a), as_array("fill_diagonal", val, 1)
    if x.ndim < 2:
        raise ValueError(f"array must be at least 2-d, got shape {tuple(x.shape)}.")
    if x.ndim > 2 and len(set(x.shape)) != 1:
        raise ValueError(
            f"All dimensions of input must be of equal length, got shape {tuple(x.shape)}."
        )
    n = min(x.shape)
    if value.ndim:
        from jaxcore.numpy.editing import tiled_to

        value = tiled_to(ravel(value), n)
    return IndexUpdateRef(x, diag_indices(n, x.ndim)).set(value)


# --- positions ----------------------------------------------------------------------------------


def diag_indices(n: int, ndim: int = 2) -> Positions:
    """The positions of the main diagonal of an array of `ndim` axes of size `n`."""
    n, ndim = index(n), index(ndim)
    if n < 0 or ndim < 0:
        raise ValueError(
            f"n and ndim arguments to diag_indices must be nonnegative, got {n} and {ndim}."
        )
    return (arange(n),) * ndim


def diag_indices_from(arr: Any) -> Positions:
    """The positions of the main diagonal of `arr`."""
    x = as_array("diag_indices_from", arr)
    if x.ndim < 2:
        raise ValueError(f"input array must be at least 2-d, got shape {tuple(x.shape)}.")
    if len(set(x.shape)) != 1:
        raise ValueError(
            f"All dimensions of input must be of equal length, got shape {tuple(x.shape)}."
        )
    return diag_indices(x.shape[0], x.ndim)


def tril_indices(n: int, k: int = 0, m: int | None = None) -> tuple[Array, Array]:
    """The positions at and below diagonal `k` of an n × m matrix (m: n by default).

    Example:
      >>> import jaxcore.numpy as jnp
      >>> jnp.tril_indices(2)
      (Array([0, 1, 1], dtype=int32), Array([0, 0, 1], dtype=int32))
    """
    rows, columns = np.tril_indices(index(n), index(k), None if m is None else index(m))
    return asarray(rows, int), asarray(columns, int)


def triu_indices(n: int, k: int = 0, m: int | None = None) -> tuple[Array, Array]:
    """The positions at and above diagonal `k` of an n × m matrix (m: n by default)."""
    rows, columns = np.triu_indices(index(n), index(k), None if m is None else index(m))
    return asarray(rows, int), asarray(columns, int)


def _matrix_shape(arr: Any, name: str) -> tuple[int, int]:
    shape = tuple(arr.shape) if hasattr(arr, "shape") else as_array(name, arr).shape
    if len(shape) != 2:
        raise ValueError(f"Only 2-D inputs are accepted, got shape {tuple(shape)}.")
    return shape  # type: ignore[return-value]


def tril_indices_from(arr: Any, k: int = 0) -> tuple[Array, Array]:
    """`tril_indices` of the shape of `arr`."""
    rows, columns = _matrix_shape(arr, "tril_indices_from")
    return tril_indices(rows, k, columns)


def triu_indices_from(arr: Any, k: int = 0) -> tuple[Array, Array]:
    """`triu_indices` of the shape of `arr`."""
    rows, columns = _matrix_shape(arr, "triu_indices_from")
    return triu_indices(rows, k, columns)


def mask_indices(
    n: int, mask_func: Callable[[Any, int], Any], k: int = 0, *, size: int | None = None
) -> tuple[Array, Array]:
    """The positions where ``mask_func(ones((n, n)), k)`` is not zero.

    Args:
      n: size of the matrix.
      mask_func: such as `tril`.
      k: handed to it.
      size: number of positions, needed under `jit`; see `nonzero`.
    """
    rows, columns = nonzero(mask_func(ones((index(n), index(n))), k), size=size)
    return rows, columns
