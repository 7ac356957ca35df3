"""Arrays with elements put in, taken out or written over."""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import index
from typing import Any

import jax
import numpy as np

from jaxcore.numpy import reductions as r
from jaxcore.numpy import ufuncs as u
from jaxcore.numpy.composite import composite
from jaxcore.numpy.creation import arange, asarray, ones, zeros_like
from jaxcore.numpy.elementwise import clip, greater_equal, less, remainder, where
from jaxcore.numpy.joining import concatenate
from jaxcore.numpy.operand import as_array, axis_index, concrete
from jaxcore.numpy.picking import take
from jaxcore.numpy.positions import indices as grid
from jaxcore.numpy.rearrange import tile
from jaxcore.numpy.searching import nonzero
from jaxcore.numpy.shapes import broadcast_to, expand_dims, moveaxis, ravel, reshape
from jaxcore.numpy.sorting import argsort, sort
from jaxcore.numpy.updates import IndexUpdateRef
from jaxcore.ops.convert import convert
from jaxcore.ops.rules import kind_of

__all__ = [
    "delete",
    "insert",
    "place",
    "put",
    "put_along_axis",
    "resize",
    "tiled_to",
    "trim_zeros",
]

Array = jax.Array


def tiled_to(x: Any, size: int) -> Any:
    """The first `size` elements of the vector `x`, repeated as often as needed."""
    n = x.shape[0]
    if n < size:
        x = tile(x, -(-size // n))
    return x[:size] if x.shape[0] > size else x


def resize(a: Any, new_shape: int | Sequence[int]) -> Array:
    """The elements of `a`, repeated as often as needed, laid out as `new_shape`.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> jnp.resize(jnp.array([1, 2, 3]), (2, 2))
      Array([[1, 2],
             [3, 1]], dtype=int32)
    """
    x = ravel(as_array("resize", a))
    shape = tuple(map(index, new_shape)) if isinstance(new_shape, Sequence) else (index(new_shape),)
    if any(n < 0 for n in shape):
        raise ValueError(f"all elements of `new_shape` must be non-negative, got {shape}.")
    if not x.shape[0] or 0 in shape:
        return zeros_like(x, shape=shape)
    return reshape(tiled_to(x, math.prod(shape)), shape)


# --- in and out ---------------------------------------------------------------------------------


def insert(arr: Any, obj: Any, values: Any, axis: int | None = None) -> Array:
    """`arr` with `values` put in before the positions `obj` along `axis` (None: flat).

    Args:
      arr: array.
      obj: an integer, a vector of integers or a slice; positions in `arr` as it is.
      values: what is put in, converted to the dtype of `arr`.
      axis: along which.

    Raises:
      ValueError: positions that are no integers or no vector.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> jnp.insert(jnp.array([1, 2, 3]), 1, 9)
      Array([1, 9, 2, 3], dtype=int32)
    """
    x, new = as_array("insert", arr), as_array("insert", values, 2)
    if axis is None:
        x, axis = ravel(x), 0
    at = axis_index(axis, x.ndim)
    size = x.shape[at]
    if isinstance(obj, slice):
        places = arange(*obj.indices(size))
    else:
        places = asarray(np.asarray(obj, int) if isinstance(obj, list) and not obj else obj)
    if places.ndim > 1:
        raise ValueError(
            "jnp.insert(): obj must be a slice, a one-dimensional array, or a scalar; got "
            f"shape {tuple(places.shape)}."
        )
    if kind_of(places.dtype) not in "iu":
        if places.shape != (0,):
            raise ValueError(f"jnp.insert(): index array must be integer typed; got {places.dtype}")
        places = convert(places, np.dtype(np.int32))
    new = convert(new, x.dtype)
    new = expand_dims(new, tuple(range(x.ndim - new.ndim)))
    if math.prod(places.shape) == 1:
        if not places.ndim:
            new = moveaxis(new, 0, at)
        places = broadcast_to(ravel(places), (new.shape[at],))
    return _insert(x, places, new, at)


@composite("at")
def _insert(x: Any, places: Any, new: Any, at: int) -> Array:
    size = x.shape[at]
    count = np.broadcast_shapes(places.shape, (new.shape[at],))[0]
    places = clip(where(less(places, 0), u.add(places, size), places), 0, size)
    # Each new element moves on by as many as are put in before it.
    order = argsort(places)
    places = IndexUpdateRef(places, order).add(arange(count, dtype=places.dtype))
    kept = IndexUpdateRef(ones(size + count, bool), places).set(False)
    (old,) = nonzero(kept, size=size)
    before = (slice(None),) * at
    shape = (*x.shape[:at], size + count, *x.shape[at + 1 :])
    out = IndexUpdateRef(zeros_like(x, shape=shape), (*before, places)).set(new)
    return IndexUpdateRef(out, (*before, old)).set(x)


def delete(
    arr: Any, obj: Any, axis: int | None = None, *, assume_unique_indices: bool = False
) -> Array:
    """`arr` without its slices at the positions `obj` along `axis` (None: flat).

    Args:
      arr: array.
      obj: an integer, a vector of integers, a mask or a slice.
      axis: along which.
      assume_unique_indices: no position occurs twice, so that the size of the result is known;
        needed for traced positions.

    Raises:
      ValueError: a position outside, or a mask of another size.
      ConcretizationTypeError: traced positions without `assume_unique_indices`.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> jnp.delete(jnp.array([1, 2, 3, 4]), jnp.array([0, 2]))
      Array([2, 4], dtype=int32)
    """
    x = as_array("delete", arr)
    if axis is None:
        x, axis = ravel(x), 0
    at = axis_index(axis, x.ndim)
    size = x.shape[at]
    if isinstance(obj, slice):
        kept = np.delete(np.arange(size), obj)
        return take(x, kept.astype(np.int32), at)
    if isinstance(obj, int | np.integer):
        place = axis_index(obj, size)
        before = (slice(None),) * at
        return concatenate([x[(*before, slice(place))], x[(*before, slice(place + 1, None))]], at)
    places = as_array("delete", obj, 1)
    if kind_of(places.dtype) in "iu" and assume_unique_indices:
        return _delete(x, ravel(places), at)
    known = concrete(
        obj,
        "'obj' array argument of jnp.delete(). Fix: pass assume_unique_indices=True where no "
        "position occurs twice.",
    )
    if known.dtype == bool and known.shape != (size,):
        raise ValueError(
            "np.delete(arr, obj): for boolean indices, obj must be one-dimensional with length "
            f"matching specified axis: got shape {known.shape} for size {size}."
        )
    if known.dtype.kind not in "biu":
        raise ValueError(
            f"np.delete(arr, obj): got obj.dtype={known.dtype}; must be integer or bool."
        )
    mask = np.ones(size, bool)
    mask[known] = False
    return take(x, np.nonzero(mask)[0].astype(np.int32), at)


@composite("at")
def _delete(x: Any, places: Any, at: int) -> Array:
    """The i-th element that is left stands after as many as are taken out before it."""
    size, n = x.shape[at], places.shape[0]
    places = sort(clip(where(less(places, 0), u.add(places, size), places), 0, size))
    places = u.subtract(places, arange(n, dtype=places.dtype))
    left = arange(size - n, dtype=places.dtype)
    passed = greater_equal(expand_dims(left, 0), expand_dims(places, 1))
    return take(x, u.add(left, r.sum(passed, axis=0, dtype=places.dtype)), at)


def trim_zeros(filt: Any, trim: str = "fb", axis: int | Sequence[int] | None = None) -> Array:
    """`filt` without the zeros at its ends.

    Args:
      filt: array, whose values must be known while tracing.
      trim: "f" for the front, "b" for the back, or both.
      axis: axis or axes to trim; None is all of them.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> jnp.trim_zeros(jnp.array([0, 0, 1, 2, 0]))
      Array([1, 2], dtype=int32)
    """
    x = as_array("trim_zeros", filt)
    known = concrete(filt, "Error arose in the `filt` argument of trim_zeros()") != 0
    front, back = "f" in trim.lower(), "b" in trim.lower()
    axes = range(x.ndim) if axis is None else np.atleast_1d(axis).tolist()
    parts = [slice(None)] * x.ndim
    for at in {axis_index(i, x.ndim) for i in axes} if front or back else ():
        used = np.nonzero(known.any(tuple(i for i in range(x.ndim) if i != at)))[0]
        if used.size:
            start, stop = int(used[0]), int(used[-1]) + 1
            parts[at] = slice(start if front else None, stop if back else None)
        else:
            parts[at] = slice(0, 0)
    return x[tuple(parts)]


# --- written over -------------------------------------------------------------------------------


def _not_in_place(name: str, inplace: bool) -> None:
    if inplace:
        raise ValueError(
            f"jax.numpy.{name} cannot modify arrays in-place, because JAX arrays are immutable. "
            "Pass inplace=False to instead return an updated array."
        )


def put(a: Any, ind: Any, v: Any, mode: str | None = None, *, inplace: bool = True) -> Array:
    """`a` with the values `v` at the positions `ind` of the flat array; ``inplace=False`` only.

    Args:
      a: array.
      ind: integers.
      v: values, repeated as often as needed.
      mode: what becomes of a position outside: None counts negative ones from the end and clips
        the rest, "clip" clips negative ones too, "wrap" goes round.
    """
    _not_in_place("put", inplace)
    x, places = as_array("put", a), ravel(as_array("put", ind, 1))
    values = ravel(as_array("put", v, 2))
    size = math.prod(x.shape)
    if not size or not places.shape[0] or not values.shape[0]:
        return x
    if mode == "raise":
        raise NotImplementedError("The 'raise' mode to jnp.put is not supported.")
    if mode not in (None, "clip", "wrap"):
        raise ValueError(f"mode should be one of 'wrap' or 'clip'; got mode={mode!r}")
    if mode is None:
        places = where(less(places, 0), u.add(places, size), places)
    places = remainder(places, size) if mode == "wrap" else clip(places, 0, size - 1)
    flat = IndexUpdateRef(ravel(x), places).set(tiled_to(values, places.shape[0]))
    return reshape(flat, x.shape)


def place(arr: Any, mask: Any, vals: Any, *, inplace: bool = True) -> Array:
    """`arr` with `vals` in turn where `mask` holds; ``inplace=False`` only.

    Args:
      arr: array.
      mask: of the same size.
      vals: values, repeated as often as needed.
    """
    _not_in_place("place", inplace)
    x, keep = as_array("place", arr), as_array("place", mask, 1)
    values = ravel(as_array("place", vals, 2))
    size = math.prod(x.shape)
    if size != math.prod(keep.shape):
        raise ValueError(
            f"place: arr and mask must be the same size, got shapes {tuple(x.shape)} and "
            f"{tuple(keep.shape)}."
        )
    if not values.shape[0]:
        raise ValueError("Cannot place values from an empty array")
    if not size:
        return x
    (places,) = nonzero(ravel(keep), size=size, fill_value=size)
    flat = IndexUpdateRef(ravel(x), places).set(tiled_to(values, size), mode="drop")
    return reshape(flat, x.shape)


def put_along_axis(
    arr: Any,
    indices: Any,
    values: Any,
    axis: int | None,
    inplace: bool = True,
    *,
    mode: str | None = None,
) -> Array:
    """`arr` with `values` where `take_along_axis` would take them; ``inplace=False`` only.

    Args:
      arr: array.
      indices: integers, with as many axes as `arr`.
      values: broadcast to the shape of `indices`.
      axis: along which; None: of the flat array.
      mode: what becomes of a position outside, as of ``arr.at``.
    """
    _not_in_place("put_along_axis", inplace)
    x = as_array("put_along_axis", arr)
    places, new = as_array("put_along_axis", indices, 1), as_array("put_along_axis", values, 2)
    shape = x.shape
    if axis is None:
        x, axis = ravel(x), 0
    if x.ndim != places.ndim:
        raise ValueError(
            "put_along_axis arguments 'arr' and 'indices' must have same ndim. Got "
            f"arr.ndim={x.ndim} and indices.ndim={places.ndim}."
        )
    try:
        new = broadcast_to(new, places.shape)
    except ValueError:
        raise ValueError(
            "put_along_axis argument 'values' must be broadcastable to 'indices'. Got "
            f"values.shape={tuple(new.shape)} and indices.shape={tuple(places.shape)}."
        ) from None
    at = axis_index(axis, x.ndim)
    others: Any = grid(x.shape, sparse=True)
    where_to = (*others[:at], places, *others[at + 1 :])
    return reshape(IndexUpdateRef(x, where_to).set(new, mode=mode), shape)
