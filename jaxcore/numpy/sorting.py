"""Sorting along an axis, in full and in part."""

from __future__ import annotations

import math
from operator import index
from typing import Any

import jax
import numpy as np

from jaxcore import backend
from jaxcore.numpy import ufuncs as u
from jaxcore.numpy.composite import composite
from jaxcore.numpy.operand import as_array
from jaxcore.numpy.promote import array, float_dtype, is_complex
from jaxcore.numpy.reductions import canonical_axis, user_dtype
from jaxcore.ops.convert import convert
from jaxcore.ops.pieces import concatenate_p, slice_p
from jaxcore.ops.rules import kind_of, move_dim, reshape
from jaxcore.ops.shape import iota_p, rev_p
from jaxcore.ops.sort import sort_p, top_k_p
from jaxcore.trace import aval_of, bind

__all__ = [
    "argpartition",
    "argsort",
    "lexsort",
    "partition",
    "sort",
    "sort_complex",
    "top_k",
]

Array = jax.Array


def _along(name: str, x: Any, axis: int | None) -> tuple[Any, int]:
    """The array, flat if `axis` is None, and the axis as a non-negative number."""
    x = array(name, x)
    shape = aval_of(x).shape
    if axis is None:
        return reshape(x, (math.prod(shape),)), 0
    return x, canonical_axis(axis, len(shape))


def _places(shape: tuple[int, ...], axis: int, dtype: Any = None) -> Any:
    """Positions along `axis`."""
    kind = backend.canonicalize_dtype(np.dtype(np.int64)) if dtype is None else dtype
    return bind(iota_p, dtype=kind, shape=tuple(shape), dimension=axis)


def _unsupported(name: str, kind: None, order: None) -> None:
    if kind is not None:
        raise TypeError(
            f"'kind' argument to {name} is not supported. Use stable=True or stable=False to "
            "specify sort stability."
        )
    if order is not None:
        raise TypeError(f"'order' argument to {name} is not supported.")


@composite("axis", "kind", "order", "stable", "descending")
def sort(
    a: Any,
    axis: int | None = -1,
    *,
    kind: None = None,
    order: None = None,
    stable: bool = True,
    descending: bool = False,
) -> Array:
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
    _unsupported("sort", kind, order)
    x, at = _along("sort", a, axis)
    out = bind(sort_p, x, dimension=at, is_stable=stable, num_keys=1)[0]
    return bind(rev_p, out, dimensions=(at,)) if descending else out


@composite("axis", "kind", "order", "stable", "descending", "dtype")
def argsort(
    a: Any,
    axis: int | None = -1,
    *,
    kind: None = None,
    order: None = None,
    stable: bool = True,
    descending: bool = False,
    dtype: Any = None,
) -> Array:
    """The indices that sort `a` along `axis`; arguments as of `sort`, and the `dtype` of indices.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> jnp.argsort(jnp.array([3, 1, 2]))
      Array([1, 2, 0], dtype=int32)
    """
    _unsupported("argsort", kind, order)
    x, at = _along("argsort", a, axis)
    places = _places(aval_of(x).shape, at, None if dtype is None else user_dtype(dtype, "argsort"))
    if descending and stable:  # equal elements keep their order when the result is reversed
        x, places = (bind(rev_p, v, dimensions=(at,)) for v in (x, places))
    out = bind(sort_p, x, places, dimension=at, is_stable=stable, num_keys=1)[1]
    return bind(rev_p, out, dimensions=(at,)) if descending else out


def sort_complex(a: Any) -> Array:
    """`a` sorted along its last axis, by real and then by imaginary part, as complex numbers."""
    x = sort(as_array("sort_complex", a))
    wide = float_dtype(x.dtype) in (np.float64, np.complex128)
    return convert(x, np.dtype(np.complex128 if wide else np.complex64))


def lexsort(keys: Any, axis: int = -1, *, batch_size: int = 16) -> Array:
    """The indices that sort by several keys, the last of which counts most.

    Args:
      keys: arrays of one shape, or one array that holds them along its first axis.
      axis: axis of the keys to sort along.
      batch_size: how many keys one sort compares; more of them take several sorts.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> jnp.lexsort([jnp.array([2, 1, 3]), jnp.array([0, 0, -1])])
      Array([2, 1, 0], dtype=int32)
    """
    if index(batch_size) < 1:
        raise ValueError(f"lexsort: batch_size must be positive, got {batch_size}")
    rows = keys if isinstance(keys, list | tuple) else list(as_array("lexsort", keys))
    values = [as_array("lexsort", key, i) for i, key in enumerate(rows)]
    if not values:
        raise TypeError("need sequence of keys with len > 0 in lexsort")
    shape = values[0].shape
    if any(key.shape != shape for key in values):
        raise ValueError(
            "all keys need to be the same shape, got "
            f"{', '.join(str(tuple(key.shape)) for key in values)}."
        )
    if not shape:
        return convert(np.int32(0), backend.canonicalize_dtype(np.dtype(np.int64)))
    at = canonical_axis(axis, len(shape))
    order = _places(shape, at)
    for start in range(0, len(values), batch_size):
        some = values[start : start + batch_size]
        if start:  # later keys count more, and a stable sort keeps what the earlier ones did
            from jaxcore.numpy.picking import take_along_axis

            some = [take_along_axis(key, order, at) for key in some]
        order = bind(sort_p, *some[::-1], order, dimension=at, is_stable=True, num_keys=len(some))[
            -1
        ]
    return order


# --- in part ------------------------------------------------------------------------------------


def _opposite(x: Any) -> Any:
    """`x` in the opposite order."""
    return u.invert(x) if kind_of(aval_of(x).dtype) in "biu" else u.negative(x)


def top_k(
    a: Any, k: int, /, *, axis: int = -1, mode: str = "largest", sorted: bool = True
) -> tuple[Array, Array]:
    """The `k` largest elements along `axis`, in descending order, and their indices.

    Args:
      a: array of real numbers.
      k: how many; a Python integer.
      axis: axis to search along.
      mode: "largest", or "smallest", in ascending order.
      sorted: they are in order whatever it says.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> jnp.top_k(jnp.array([3, 1, 2]), 2)
      (Array([3, 2], dtype=int32), Array([0, 2], dtype=int32))
    """
    x = as_array("top_k", a)
    if is_complex(x):
        raise ValueError("top_k is not compatible with complex inputs.")
    if mode not in ("largest", "smallest"):
        raise ValueError(f"mode must be 'largest' or 'smallest', got {mode!r}")
    at = canonical_axis(axis, x.ndim)
    if mode == "largest":
        return tuple(bind(top_k_p, x, k=index(k), axis=at))  # type: ignore[return-value]
    values, places = bind(top_k_p, _opposite(x), k=index(k), axis=at)
    return _opposite(values), places


def _parted(name: str, a: Any, kth: int, axis: int) -> tuple[Any, int, int, int]:
    """The array with `axis` last, that axis, the place, and how many elements come after it."""
    x = as_array(name, a)
    if is_complex(x):
        raise NotImplementedError(f"jnp.{name} for complex dtype is not implemented.")
    at = canonical_axis(axis, x.ndim)
    place = canonical_axis(kth, x.shape[at])
    return move_dim(x, at, x.ndim - 1), at, place, x.shape[at] - place - 1


def partition(a: Any, kth: int, axis: int = -1) -> Array:
    """`a` with element `kth` along `axis` in its sorted place, no larger before, no smaller after.

    Raises:
      NotImplementedError: `a` is complex.
    """
    x, at, place, after = _parted("partition", a, kth, axis)
    last = x.ndim - 1
    low = _opposite(bind(top_k_p, _opposite(x), k=place + 1, axis=last)[0])
    high = bind(top_k_p, x, k=after, axis=last)[0]
    return move_dim(bind(concatenate_p, low, high, dimension=last), last, at)


def argpartition(a: Any, kth: int, axis: int = -1) -> Array:
    """The indices of `partition`."""
    x, at, place, after = _parted("argpartition", a, kth, axis)
    last = x.ndim - 1
    order = bind(top_k_p, _opposite(x), k=x.shape[last], axis=last)[1]
    low, high = (
        bind(
            slice_p,
            order,
            start_indices=(*(0 for _ in range(last)), start),
            limit_indices=(*x.shape[:last], start + size),
            strides=None,
        )
        for start, size in ((0, place + 1), (place + 1, after))
    )
    # Those after the place come in the order of their positions.
    high = bind(sort_p, high, dimension=last, is_stable=True, num_keys=1)[0]
    return move_dim(bind(concatenate_p, low, high, dimension=last), last, at)
