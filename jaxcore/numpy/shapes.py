"""The shape of one array: reshape, transpose, expand, squeeze, broadcast, flip, roll, repeat."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from operator import index
from typing import Any

import jax
import jax.numpy as _jnp
import numpy as np

from jaxcore import backend
from jaxcore.numpy.composite import composite
from jaxcore.numpy.operand import as_value, axis_index, typed
from jaxcore.ops.shape import broadcast_in_dim_p, reshape_p, squeeze_p, transpose_p
from jaxcore.trace import bind

__all__ = [
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "broadcast_arrays",
    "broadcast_shapes",
    "broadcast_to",
    "expand_dims",
    "matrix_transpose",
    "moveaxis",
    "permute_dims",
    "ravel",
    "reshape",
    "rollaxis",
    "squeeze",
    "swapaxes",
    "transpose",
]

Array = jax.Array
Shape = int | Sequence[int]


# --- reshape ------------------------------------------------------------------------------------


@lru_cache(8192)
def _new_shape(old: tuple[int, ...], new: Any) -> tuple[int, ...]:
    """The sizes that `new` means for an array of shape `old`: -1 stands for what is left."""
    sizes = [index(n) for n in new] if isinstance(new, tuple) else [index(new)]
    if -1 in sizes:
        at = sizes.index(-1)
        known = math.prod(sizes[:at]) * math.prod(sizes[at + 1 :])
        total = math.prod(old)
        if -1 in sizes[at + 1 :] or known <= 0 or total % known:
            raise ValueError(sizes)
        sizes[at] = total // known
    if math.prod(sizes) != math.prod(old) or min(sizes, default=0) < 0:
        raise ValueError(sizes)
    return tuple(sizes)


def reshape(
    a: Any, shape: Shape, order: str = "C", *, copy: bool | None = None, out_sharding: Any = None
) -> Array:
    """Lay the elements of `a` out in row-major order as `shape`, one size of which may be -1.

    Args:
      a: array.
      shape: the new sizes; their product is the number of elements.
      order: "C", or "F" for column-major order.
      copy: True or None; a view is never made, so False is refused.

    Raises:
      TypeError: the number of elements differs.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> jnp.reshape(jnp.arange(6), (2, -1)).shape
      (2, 3)
    """
    if out_sharding is not None:
        return _jnp.reshape(a, shape, order, copy=copy, out_sharding=out_sharding)
    if copy is False:
        raise NotImplementedError("jnp.reshape(copy=False) is not supported: no array is a view.")
    a, aval = typed("reshape", a)
    old = aval.shape
    try:
        new = _new_shape(old, shape if type(shape) is tuple else _hashable(shape))
    except (TypeError, ValueError, jax.errors.JAXTypeError):
        raise _reshape_error(old, shape) from None
    if order == "F":  # the same in row-major order, with the axes of both reversed
        return transpose(reshape(transpose(a), new[::-1]))
    if order != "C":
        raise NotImplementedError(
            f"Unexpected value for 'order' argument: {order!r}; expected 'C' or 'F'."
        )
    if new == old:
        return as_value(a)
    return bind(reshape_p, a, new_sizes=new)


def _reshape_error(old: tuple[int, ...], shape: Any) -> TypeError:
    """What is wrong with the new `shape`."""
    sizes = _hashable(shape)
    sizes = sizes if isinstance(sizes, tuple) else (sizes,)
    if not all(isinstance(n, int | np.integer) for n in sizes):
        return TypeError(
            "Shapes must be 1D sequences of concrete values of integer type, got "
            f"{shape}. Fix: a size must be known while tracing; mark it static in jit, or take it "
            "from x.shape."
        )
    many = "" if -1 in sizes else f" (size {math.prod(sizes)})"
    return TypeError(
        f"cannot reshape array of shape {tuple(old)} (size {math.prod(old)}) into shape "
        f"{tuple(sizes)}{many}. Fix: the product of the sizes must stay the same; one size may be "
        "-1."
    )


def _hashable(shape: Any) -> Any:
    """A sequence of sizes as a tuple; anything else as it is."""
    several = isinstance(shape, Sequence) or (isinstance(shape, np.ndarray) and shape.ndim > 0)
    return tuple(shape) if several else shape


@composite("order", "out_sharding")
def ravel(a: Any, order: str = "C", *, out_sharding: Any = None) -> Array:
    """All elements of `a` in one axis."""
    if out_sharding is not None:
        return _jnp.ravel(a, order, out_sharding=out_sharding)
    a, aval = typed("ravel", a)
    if order not in ("C", "K"):
        return reshape(a, (math.prod(aval.shape),), order)
    if len(aval.shape) == 1:
        return as_value(a)
    return bind(reshape_p, a, new_sizes=(math.prod(aval.shape),))


# --- order of axes ------------------------------------------------------------------------------


def _permute(a: Any, permutation: tuple[int, ...]) -> Array:
    if permutation == tuple(range(len(permutation))):
        return as_value(a)
    return bind(transpose_p, a, permutation=permutation)


@lru_cache(4096)
def _canonical_axes(ndim: int, axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple([axis_index(i, ndim) for i in axes])


def transpose(a: Any, axes: Sequence[int] | None = None) -> Array:
    """`a` with its axes in the order `axes`, reversed if None."""
    a, aval = typed("transpose", a)
    ndim = len(aval.shape)
    if axes is None:
        return _permute(a, tuple(range(ndim - 1, -1, -1)))
    order = _canonical_axes(ndim, tuple(axes))
    if len(order) != ndim:
        raise TypeError(
            f"transpose permutation must be a permutation of the axes of the operand, got {order} "
            f"for shape {tuple(aval.shape)}."
        )
    return _permute(a, order)


def permute_dims(a: Any, /, axes: Sequence[int]) -> Array:
    """`transpose` under the name of the array API standard."""
    return transpose(a, axes)


def matrix_transpose(x: Any, /) -> Array:
    """`x` with its last two axes exchanged."""
    x, aval = typed("matrix_transpose", x)
    if len(aval.shape) < 2:
        raise ValueError(
            f"x must be at least two-dimensional for matrix_transpose; got ndim={len(aval.shape)}"
        )
    return swapaxes(x, -1, -2)


@composite("axis1", "axis2")
def swapaxes(a: Any, axis1: int, axis2: int) -> Array:
    """`a` with two axes exchanged."""
    a, aval = typed("swapaxes", a)
    order = list(range(len(aval.shape)))
    i, j = axis_index(axis1, len(order)), axis_index(axis2, len(order))
    order[i], order[j] = order[j], order[i]
    return _permute(a, tuple(order))


@lru_cache(4096)
def _move(ndim: int, source: tuple[int, ...], target: tuple[int, ...]) -> tuple[int, ...]:
    source = tuple([axis_index(i, ndim) for i in source])
    target = tuple([axis_index(i, ndim) for i in target])
    if len(source) != len(target):
        raise ValueError(f"Inconsistent number of elements: {len(source)} vs {len(target)}")
    if len(set(source)) != len(source) or len(set(target)) != len(target):
        raise ValueError(f"repeated axis in moveaxis: source {source}, destination {target}")
    order = [i for i in range(ndim) if i not in source]
    for to, what in sorted(zip(target, source, strict=True)):
        order.insert(to, what)
    return tuple(order)


@composite("source", "destination")
def moveaxis(a: Any, source: Shape, destination: Shape) -> Array:
    """`a` with the axes `source` at the positions `destination`, the others in their order."""
    a, aval = typed("moveaxis", a)
    from_axes = tuple(source) if isinstance(source, Sequence) else (index(source),)
    to_axes = tuple(destination) if isinstance(destination, Sequence) else (index(destination),)
    return _permute(a, _move(len(aval.shape), from_axes, to_axes))


def rollaxis(a: Any, axis: int, start: int = 0) -> Array:
    """`a` with `axis` moved back to stand before position `start`."""
    a, aval = typed("rollaxis", a)
    ndim = len(aval.shape)
    at = axis_index(axis, ndim)
    if not -ndim <= start <= ndim:
        raise ValueError(f"start must be in the range [{-ndim}, {ndim}]; got {start}")
    start = start + ndim if start < 0 else start
    return moveaxis(a, at, start - 1 if start > at else start)


# --- axes of size 1 -----------------------------------------------------------------------------


def expand_dims(a: Any, axis: Shape) -> Array:
    """`a` with axes of size 1 at the positions `axis` of the result."""
    a, aval = typed("expand_dims", a)
    return _expand(a, aval.shape, tuple(axis) if isinstance(axis, Sequence) else (index(axis),))


def _expand(a: Any, shape: tuple[int, ...], axes: tuple[int, ...]) -> Array:
    if not axes:
        return as_value(a)
    ndim = len(shape) + len(axes)
    new = {axis_index(i, ndim) for i in axes}
    if len(new) != len(axes):
        raise ValueError(f"repeated axis in expand_dims: {axes}")
    kept = tuple([i for i in range(ndim) if i not in new])
    sizes = [1] * ndim
    for i, n in zip(kept, shape, strict=True):
        sizes[i] = n
    return bind(broadcast_in_dim_p, a, shape=tuple(sizes), broadcast_dimensions=kept)


def squeeze(a: Any, axis: Shape | None = None) -> Array:
    """`a` without its axes of size 1, or without those in `axis`, which must have that size."""
    a, aval = typed("squeeze", a)
    shape = aval.shape
    if axis is None:
        axes = tuple([i for i, n in enumerate(shape) if n == 1])
    else:
        given = tuple(axis) if isinstance(axis, Sequence) else (index(axis),)
        axes = tuple(sorted({axis_index(i, len(shape)) for i in given}))
        if len(axes) != len(given):
            raise ValueError(f"duplicate value in axis: {given}")
    if not axes:
        return as_value(a)
    return bind(squeeze_p, a, dimensions=axes)


def _at_least(ndim: int, arrays: Sequence[Any]) -> Any:
    out = []
    for i, x in enumerate(arrays):
        x, aval = typed(f"atleast_{ndim}d", x, i)
        n = len(aval.shape)
        if n == 0:
            x = reshape(x, (1,) * ndim)
        elif n == 1 and ndim == 2:
            x = _expand(x, aval.shape, (0,))
        elif n < ndim:
            x = _expand(x, aval.shape, (0, 2) if n == 1 else (2,))
        out.append(as_value(x))
    return out[0] if len(out) == 1 else tuple(out)


def atleast_1d(*arys: Any) -> Array | tuple[Array, ...]:
    """Arrays with at least one axis."""
    return _at_least(1, arys)


def atleast_2d(*arys: Any) -> Array | tuple[Array, ...]:
    """Arrays with at least two axes, new ones in front."""
    return _at_least(2, arys)


def atleast_3d(*arys: Any) -> Array | tuple[Array, ...]:
    """Arrays with at least three axes: a vector in the middle, a matrix in front."""
    return _at_least(3, arys)


# --- broadcasting -------------------------------------------------------------------------------


def broadcast_to(array: Any, shape: Shape, *, out_sharding: Any = None) -> Array:
    """`array` repeated along new leading axes and axes of size 1 to have `shape`.

    Raises:
      ValueError: the shapes do not agree.
    """
    if out_sharding is not None:
        return _jnp.broadcast_to(array, shape, out_sharding=out_sharding)
    a, aval = typed("broadcast_to", array)
    old = aval.shape
    new = (
        tuple([backend.as_size(n) for n in shape])
        if isinstance(shape, Sequence | np.ndarray)
        else (backend.as_size(shape),)
    )
    if new == old:
        return as_value(a)
    lead = len(new) - len(old)
    if lead < 0 or any(m != n and m != 1 for m, n in zip(old, new[lead:], strict=True)):
        raise ValueError(
            f"Incompatible shapes for broadcasting: {tuple(old)} and requested shape {new}"
        )
    return bind(broadcast_in_dim_p, a, shape=new, broadcast_dimensions=tuple(range(lead, len(new))))


def broadcast_shapes(*shapes: Sequence[int]) -> tuple[int, ...]:
    """The shape to which arrays of `shapes` are broadcast together."""
    return _jnp.broadcast_shapes(*shapes)


def broadcast_arrays(*args: Any) -> tuple[Array, ...]:
    """Arrays of one shape, each repeated as needed."""
    pairs = [typed("broadcast_arrays", x, i) for i, x in enumerate(args)]
    shapes = [t.shape for _, t in pairs]
    if not shapes:
        return ()
    target = shapes[0] if all(s == shapes[0] for s in shapes) else _jnp.broadcast_shapes(*shapes)
    return tuple([broadcast_to(x, target) for x, _ in pairs])
