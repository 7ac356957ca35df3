"""Differences of neighbours, and what is made of them: gradients, integrals, unwrapped phases."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Any

import jax
import numpy as np

from jaxcore.numpy import reductions as r
from jaxcore.numpy import ufuncs as u
from jaxcore.numpy.composite import composite
from jaxcore.numpy.elementwise import absolute, floor_divide, less, remainder, where
from jaxcore.numpy.joining import concatenate
from jaxcore.numpy.operand import arrays, as_array, axis_index
from jaxcore.numpy.promote import is_complex
from jaxcore.numpy.running import cumsum
from jaxcore.numpy.shapes import broadcast_to, moveaxis, ravel, reshape
from jaxcore.ops.arithmetic import sub
from jaxcore.ops.convert import convert
from jaxcore.ops.pieces import slice_p
from jaxcore.ops.rules import kind_of
from jaxcore.trace import aval_of, bind

__all__ = ["diff", "ediff1d", "gradient", "trapezoid", "unwrap"]

Array = jax.Array


def _part(x: Any, axis: int, start: int | None, stop: int | None) -> Any:
    """``x[..., start:stop, ...]`` at `axis`."""
    shape = aval_of(x).shape
    begin, end, _ = slice(start, stop).indices(shape[axis])
    end = max(begin, end)
    if (begin, end) == (0, shape[axis]):
        return x
    starts, stops = [0] * len(shape), list(shape)
    starts[axis], stops[axis] = begin, end
    return bind(slice_p, x, start_indices=tuple(starts), limit_indices=tuple(stops), strides=None)


@composite("n", "axis")
def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Array:
    """The differences of neighbours along `axis`, taken `n` times; of bools, where they differ.

    Args:
      a: array with at least one axis.
      n: how many times.
      axis: along which to subtract.
      prepend, append: arrays, or scalars, that are put before and after `a` first.

    Raises:
      ValueError: a negative `n`, or a scalar.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> jnp.diff(jnp.array([1, 4, 9]))
      Array([3, 5], dtype=int32)
    """
    x = as_array("diff", a)
    n = index(n)
    if n == 0:
        return x
    if n < 0:
        raise ValueError(f"order must be non-negative but got {n}")
    if not x.ndim:
        raise ValueError("diff requires input that is at least one dimensional; got a scalar.")
    at = axis_index(axis, x.ndim)
    ends = [None if e is None else as_array("diff", e, i) for i, e in ((3, prepend), (4, append))]
    edge = (*x.shape[:at], 1, *x.shape[at + 1 :])
    before, after = ([] if e is None else [e if e.ndim else broadcast_to(e, edge)] for e in ends)
    if before or after:
        x = concatenate([*before, x, *after], at)
    subtract = u.not_equal if kind_of(x.dtype) == "b" else u.subtract
    for _ in range(n):
        x = subtract(_part(x, at, 1, None), _part(x, at, None, -1))
    return x


def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Array:
    """The differences of neighbours in the flat array, between `to_begin` and `to_end`."""
    x = ravel(as_array("ediff1d", ary))
    parts = [sub(_part(x, 0, 1, None), _part(x, 0, None, -1))]
    if to_begin is not None:
        parts.insert(0, ravel(convert(as_array("ediff1d", to_begin, 2), x.dtype)))
    if to_end is not None:
        parts.append(ravel(convert(as_array("ediff1d", to_end, 1), x.dtype)))
    return concatenate(parts)


# --- gradient -----------------------------------------------------------------------------------


def gradient(
    f: Any, *varargs: Any, axis: int | Sequence[int] | None = None, edge_order: int | None = None
) -> Array | list[Array]:
    """The derivative of sampled values along each of `axis`, by central differences.

    Args:
      f: array of samples, at least two along each axis.
      varargs: the distance between samples, or a vector of their coordinates: one for all axes, or
        one for each.
      axis: axis or axes; None is all of them.
      edge_order: not supported; one-sided differences are taken at the ends.

    Returns:
      An array, or a list of them for several axes.

    Raises:
      ValueError: too few samples, or coordinates of another number.
      TypeError: neither no, one nor as many distances as axes.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> jnp.gradient(jnp.array([1.0, 2.0, 4.0, 7.0]))
      Array([1. , 1.5, 2.5, 3. ], dtype=float32)
    """
    if edge_order is not None:
        raise NotImplementedError("The 'edge_order' argument to jnp.gradient is not supported.")
    x, *steps = arrays("gradient", f, *varargs, to_float=True)
    if axis is None:
        axes = tuple(range(x.ndim))
    else:
        axes = tuple([axis_index(i, x.ndim) for i in np.atleast_1d(axis).tolist()])
    if not axes:
        return []
    if min(x.shape[i] for i in axes) < 2:
        raise ValueError(
            "Shape of array too small to calculate a numerical gradient, at least 2 elements are "
            f"required; got shape {tuple(x.shape)}."
        )
    if len(steps) not in (0, 1, len(axes)):
        raise TypeError(f"Invalid number of spacing arguments {len(steps)} for axis={axis!r}")
    if len(steps) <= 1:
        steps = (steps or [1.0]) * len(axes)
    out = [_gradient(x, h, i) for i, h in zip(axes, steps, strict=True)]
    return out[0] if len(out) == 1 else out


@composite("axis")
def _gradient(x: Any, h: Any, axis: int) -> Array:
    part = lambda v, start, stop: _part(v, axis, start, stop)
    rise = u.subtract(part(x, 1, None), part(x, None, -1))
    if not np.ndim(h):
        slope = u.divide(rise, h)
        inner = u.divide(u.multiply(u.subtract(part(x, 2, None), part(x, None, -2)), 0.5), h)
    else:
        if aval_of(h).shape != (x.shape[axis],):
            raise ValueError(
                "Spacing arrays must be scalars, or 1D with the same length as the dimension along "
                f"which the gradient is calculated: got shape {tuple(aval_of(h).shape)} for axis "
                f"{axis} of shape {tuple(x.shape)}."
            )
        h = reshape(h, [-1 if i == axis else 1 for i in range(x.ndim)])
        steps = u.subtract(part(h, 1, None), part(h, None, -1))
        slope = u.divide(rise, steps)
        # The slopes on both sides, each weighted by the length of the other side.
        left, right = part(steps, None, -1), part(steps, 1, None)
        inner = u.divide(
            u.add(u.multiply(part(slope, None, -1), right), u.multiply(part(slope, 1, None), left)),
            u.add(left, right),
        )
    return concatenate([part(slope, None, 1), inner, part(slope, -1, None)], axis)


# --- sums of areas ------------------------------------------------------------------------------


@composite("axis")
def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Array:
    """The integral of sampled values along `axis` by the trapezoidal rule.

    Args:
      y: array of samples.
      x: their coordinates: a vector, or an array that broadcasts with `y`; by default `dx` apart.
      dx: the distance between samples.
      axis: along which to integrate.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> jnp.trapezoid(jnp.array([1.0, 2.0, 3.0]), dx=0.5)
      Array(2., dtype=float32)
    """
    if x is None:
        (y,) = arrays("trapezoid", y, to_float=True)
        width = as_array("trapezoid", dx, 2)
        if width.ndim:
            width = reshape(width, (1,) * (y.ndim - width.ndim) + width.shape)
            width = moveaxis(width, axis, -1)
    else:
        y, x = arrays("trapezoid", y, x, to_float=True)
        if x.ndim == 1:
            width = reshape(diff(x), (1,) * (y.ndim - 1) + (-1,))
        else:
            width = moveaxis(diff(x, axis=axis), axis, -1)
    y = moveaxis(y, axis, -1)
    if not width.ndim or width.shape[-1] == 1:
        ends = u.multiply(0.5, u.add(y[..., 0], y[..., -1]))
        total = u.subtract(r.sum(y, axis=-1), ends)
        return u.multiply(width[..., 0] if width.ndim else width, total)
    last = y.ndim - 1
    pairs = u.add(_part(y, last, 1, None), _part(y, last, None, -1))
    return u.multiply(0.5, r.sum(u.multiply(width, pairs), axis=-1))


@composite("axis")
def unwrap(p: Any, discont: Any = None, axis: int = -1, period: Any = 2 * np.pi) -> Array:
    """`p` with jumps of more than half a `period` along `axis` made up by whole periods.

    Args:
      p: array of real numbers.
      discont: the least jump that is made up; by default, and at least, half of `period`.
      axis: along which to unwrap.
      period: of the values.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> jnp.unwrap(jnp.array([0, 3, 6, 1]), period=8)
      Array([0, 3, 6, 9], dtype=int32)
    """
    x, period = arrays("unwrap", p, period)
    if is_complex(x):
        raise ValueError("jnp.unwrap does not support complex inputs.")
    at = axis_index(axis, x.ndim)
    if not x.shape[at]:
        return x
    half = floor_divide(period, 2) if kind_of(x.dtype) in "iu" else u.divide(period, 2)
    limit = u.divide(period, 2) if discont is None else discont
    step = diff(x, axis=at)
    short = u.subtract(remainder(u.add(step, half), period), half)
    tie = u.bitwise_and(u.equal(short, u.negative(half)), less(0, step))
    short = where(tie, half, short)
    correction = where(less(absolute(step), limit), 0, u.subtract(short, step))
    moved = u.add(_part(x, at, 1, None), cumsum(correction, axis=at))
    return concatenate([_part(x, at, 0, 1), moved], at)
