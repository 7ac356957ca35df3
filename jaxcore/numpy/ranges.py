"""Evenly spaced numbers, grids of them, and arrays made by a function of the position."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import index
from typing import Any

import jax
import numpy as np

from jaxcore.numpy import ufuncs as u
from jaxcore.numpy.composite import composite
from jaxcore.numpy.creation import arange, asarray, full, user_dtype
from jaxcore.numpy.elementwise import power
from jaxcore.numpy.joining import concatenate, meshgrid, stack
from jaxcore.numpy.operand import arrays, as_array, axis_index, concrete
from jaxcore.numpy.promote import broadcast, float_dtype, promoted
from jaxcore.numpy.rounding import floor
from jaxcore.numpy.shapes import expand_dims, moveaxis
from jaxcore.numpy.special import log10
from jaxcore.ops.convert import convert
from jaxcore.ops.rules import kind_of
from jaxcore.ops.shape import iota_p
from jaxcore.trace import bind

__all__ = [
    "fromfunction",
    "geomspace",
    "linspace",
    "logspace",
    "mgrid",
    "ogrid",
    "vander",
]

Array = jax.Array


def _ends(name: str, start: Any, stop: Any, dtype: Any) -> tuple[Any, Any, Any]:
    """Both ends in the dtype to compute in, and the dtype of the result."""
    start, stop = as_array(name, start), as_array(name, stop, 1)
    if dtype is None:
        kind = float_dtype(promoted(start, stop)[0])
    else:
        kind = user_dtype(dtype)
    compute = float_dtype(kind)
    return convert(start, compute), convert(stop, compute), kind


def linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
    *,
    device: Any = None,
) -> Any:
    """`num` evenly spaced numbers from `start` to `stop`.

    Args:
      start, stop: scalars or arrays.
      num: how many; a Python integer.
      endpoint: whether `stop` is the last one.
      retstep: return the distance between them too.
      dtype: of the result; numbers are rounded down for an integer type.
      axis: of the result, along which they lie.
      device: where the array lives (top level).

    Raises:
      ValueError: a negative `num`.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> jnp.linspace(0, 1, 5)
      Array([0.  , 0.25, 0.5 , 0.75, 1.  ], dtype=float32)
    """
    num = index(num)
    if num < 0:
        raise ValueError(f"Number of samples, {num}, must be non-negative.")
    if device is not None:
        out = linspace(start, stop, num, endpoint, retstep, dtype, axis)
        return jax.device_put(out, device)
    out, step = _linspace(start, stop, num, bool(endpoint), dtype, index(axis))
    return (out, step) if retstep else out


@composite("num", "endpoint", "dtype", "axis")
def _linspace(
    start: Any, stop: Any, num: int, endpoint: bool, dtype: Any, axis: int
) -> tuple[Any, Any]:
    start, stop, kind = _ends("linspace", start, stop, dtype)
    compute = start.dtype
    start, stop = broadcast("linspace", start, stop, scalars=True)
    at = axis_index(axis, start.ndim + 1)
    wide = expand_dims(start, at)
    between = num - 1 if endpoint else num
    if num > 1:
        step = u.divide(u.subtract(stop, start), compute.type(between))
        shape = [between if i == at else 1 for i in range(start.ndim + 1)]
        real = np.zeros((), compute).real.dtype
        place = bind(iota_p, dtype=real, shape=tuple(shape), dimension=at)
        share = convert(u.divide(place, real.type(between)), compute)
        # Both ends are weighed, so that neither loses digits where the other is much larger.
        out = u.add(
            u.multiply(wide, u.subtract(1, share)), u.multiply(expand_dims(stop, at), share)
        )
        if endpoint:
            out = concatenate([out, expand_dims(stop, at)], at)
    elif num == 1:
        step = asarray(np.nan, compute) if endpoint else u.subtract(stop, start)
        out = wide
    else:
        step = asarray(np.nan, compute)
        out = full((*start.shape[:at], 0, *start.shape[at:]), 0, compute)
    if kind_of(kind) in "iu":
        out = floor(out)
    return convert(out, kind), step


@composite("num", "endpoint", "dtype", "axis")
def logspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    base: Any = 10.0,
    dtype: Any = None,
    axis: int = 0,
) -> Array:
    """`num` numbers from ``base**start`` to ``base**stop``, each the same factor of the last.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> jnp.logspace(0, 2, 3)
      Array([  1.,  10., 100.], dtype=float32)
    """
    start, stop, kind = _ends("logspace", start, stop, dtype)
    return convert(power(base, linspace(start, stop, num, endpoint, axis=axis)), kind)


@composite("num", "endpoint", "dtype", "axis")
def geomspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    dtype: Any = None,
    axis: int = 0,
) -> Array:
    """`num` numbers from `start` to `stop`, each the same factor of the last.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> jnp.geomspace(1, 8, 4).round(3)
      Array([1., 2., 4., 8.], dtype=float32)
    """
    start, stop, kind = _ends("geomspace", start, stop, dtype)
    sign = u.sign(start)
    low, high = log10(u.divide(start, sign)), log10(u.divide(stop, sign))
    out = logspace(low, high, num, endpoint, dtype=start.dtype)
    sign = expand_dims(sign, tuple(range(out.ndim - sign.ndim)))
    return moveaxis(convert(u.multiply(sign, out), kind), 0, axis)


def vander(x: Any, N: int | None = None, increasing: bool = False) -> Array:
    """The powers of each element of the vector `x` in a row, the highest first.

    Args:
      x: vector.
      N: number of powers; by default the number of elements.
      increasing: begin with the power 0.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> jnp.vander(jnp.array([2, 3]), 3)
      Array([[4, 2, 1],
             [9, 3, 1]], dtype=int32)
    """
    x = as_array("vander", x)
    if x.ndim != 1:
        raise ValueError(f"x must be a one-dimensional array, got shape {tuple(x.shape)}.")
    n = x.shape[0] if N is None else index(N)
    if n < 0:
        raise ValueError(f"N must be nonnegative, got {n}.")
    exponents = arange(n) if increasing else arange(n - 1, -1, -1)
    exponents = convert(exponents, x.dtype) if kind_of(x.dtype) in "iu" else exponents
    return power(expand_dims(x, 1), expand_dims(exponents, 0))


def fromfunction(
    function: Callable[..., Any], shape: Any, *, dtype: Any = float, **kwargs: Any
) -> Any:
    """An array of `shape` whose elements are a function of their position.

    Args:
      function: takes one scalar for each axis; it is mapped over all positions.
      shape: a size, or one for each axis.
      dtype: of the positions.
      kwargs: handed to `function`.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> jnp.fromfunction(lambda i, j: 10 * i + j, (2, 2), dtype=int)
      Array([[ 0,  1],
             [10, 11]], dtype=int32)
    """
    from jaxcore.transforms.vmap import vmap

    sizes = tuple([index(n) for n in (shape if isinstance(shape, Sequence) else (shape,))])
    mapped = lambda *places: function(*places, **kwargs)
    for axis in reversed(range(len(sizes))):
        mapped = vmap(mapped, tuple([0 if i == axis else None for i in range(len(sizes))]))
    return mapped(*[arange(n, dtype=dtype) for n in sizes])


# --- grids --------------------------------------------------------------------------------------


def _range(name: str, part: slice) -> Array:
    """The numbers of a slice; an imaginary step is how many there are, with the last one."""
    start, stop, step = (
        None if v is None else concrete(v, f"slice of jnp.{name}").item()
        for v in (part.start, part.stop, part.step)
    )
    if isinstance(step, complex):
        return linspace(start or 0, stop, int(abs(step)))
    return arange(start or 0, stop, step or 1)


class _Grid:
    """What `mgrid` (full arrays) and `ogrid` (`sparse`) are."""

    def __init__(self, name: str, sparse: bool) -> None:
        self._name, self._sparse = name, sparse

    def __getitem__(self, key: slice | tuple[slice, ...]) -> Any:
        if isinstance(key, slice):
            return _range(self._name, key)
        if not key:
            return [] if self._sparse else arange(0)
        parts = arrays(self._name, *(_range(self._name, part) for part in key))
        grids = meshgrid(*parts, indexing="ij", sparse=self._sparse)
        return list(grids) if self._sparse else stack(grids)

    def __repr__(self) -> str:
        return f"<jaxcore.numpy.{self._name}>"


mgrid = _Grid("mgrid", sparse=False)
ogrid = _Grid("ogrid", sparse=True)
