"""Weighted means, covariances and correlations."""

from __future__ import annotations

import math
from typing import Any

import jax
import numpy as np

from jaxcore.backend import ShapedArray
from jaxcore.numpy import reductions as r
from jaxcore.numpy import ufuncs as u
from jaxcore.numpy.composite import composite
from jaxcore.numpy.creation import zeros
from jaxcore.numpy.diagonals import diagonal
from jaxcore.numpy.elementwise import absolute, clip
from jaxcore.numpy.joining import concatenate
from jaxcore.numpy.linalg_products import dot
from jaxcore.numpy.operand import arrays, as_array
from jaxcore.numpy.reductions import Axis, canonical_axes
from jaxcore.numpy.shapes import (
    atleast_2d,
    broadcast_to,
    expand_dims,
    reshape,
    squeeze,
    transpose,
)
from jaxcore.numpy.special import conjugate, imag, real
from jaxcore.numpy.statistics import mean
from jaxcore.ops.convert import make_complex
from jaxcore.ops.rules import full, kind_of

__all__ = ["average", "corrcoef", "cov"]

Array = jax.Array


@composite("axis", "returned", "keepdims")
def average(
    a: Any, axis: Axis = None, weights: Any = None, returned: bool = False, keepdims: bool = False
) -> Any:
    """The mean over `axis`, each element counted by its weight.

    Args:
      a: array.
      axis: axis or axes; None is all of them.
      weights: of the shape of `a`, or of its `axis` alone.
      returned: return the sum of the weights too.
      keepdims: leave the reduced axes with size 1.

    Raises:
      ValueError: weights of another shape.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> jnp.average(jnp.array([1.0, 2.0]), weights=jnp.array([3.0, 1.0]))
      Array(1.25, dtype=float32)
    """
    if weights is None:
        (a,) = arrays("average", a, to_float=True)
        value = mean(a, axis, keepdims=keepdims)
        count = math.prod(a.shape[i] for i in canonical_axes(axis, a.ndim, "average"))
        total = np.asarray(count).astype(value.dtype)[()]
    else:
        a, weights = arrays("average", a, weights, to_float=True)
        if weights.shape != a.shape:
            weights = _along_axes(a, axis, weights)
        total = r.sum(weights, axis, keepdims=keepdims)
        value = u.divide(r.sum(u.multiply(a, weights), axis, keepdims=keepdims), total)
    return (value, broadcast_to(total, value.shape)) if returned else value


def _along_axes(a: Any, axis: Axis, weights: Any) -> Any:
    """Weights of the sizes of `axis`, laid out to be multiplied with `a`."""
    if axis is None:
        raise ValueError("Axis must be specified when shapes of a and weights differ.")
    axes = canonical_axes(axis, a.ndim, "average")
    if weights.shape != tuple(a.shape[i] for i in axes):
        raise ValueError(
            "Shape of weights must be consistent with shape of a along specified axis: got "
            f"{tuple(weights.shape)} for axis={axis} of shape {tuple(a.shape)}."
        )
    wide = tuple([n if i in axes else 1 for i, n in enumerate(a.shape)])
    return reshape(transpose(weights, tuple(np.argsort(axes).tolist())), wide)


@composite("rowvar", "bias", "ddof", "dtype")
def cov(
    m: Any,
    y: Any = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: int | None = None,
    fweights: Any = None,
    aweights: Any = None,
    dtype: Any = None,
) -> Array:
    """The covariances of variables, the rows of `m`, over observations, its columns.

    Args:
      m: vector or matrix.
      y: further variables.
      rowvar: False: the columns are the variables.
      bias: divide by the number of observations n instead of n - 1.
      ddof: divide by n - `ddof` instead.
      fweights: integers: how often each observation counts.
      aweights: weights of the observations.
      dtype: to compute in.

    Returns:
      A matrix (variables, variables), or a scalar for one variable.

    Raises:
      ValueError: more than two axes, or a `dtype` that is no float.
      RuntimeError: weights that are no vector of the number of observations.
      TypeError: `fweights` that are no integers.
    """
    if dtype is not None and kind_of(np.dtype(dtype)) not in "fc":
        raise ValueError(f"cov: dtype must be a subclass of float or complex; got dtype={dtype!r}")
    given = arrays("cov", *([m] if y is None else [m, y]), to_float=True)
    for name, v in zip("my", given):
        if v.ndim > 2:
            raise ValueError(f"{name} has more than 2 dimensions: its shape is {tuple(v.shape)}.")
    x: Any = atleast_2d(given[0])
    if not rowvar and given[0].ndim != 1:
        x = transpose(x)
    if x.shape[0] == 0:
        return zeros((0, 0))
    other: Any
    for other in map(atleast_2d, given[1:]):
        x = concatenate([x, other if rowvar or other.shape[0] == 1 else transpose(other)], 0)
    count = x.shape[1]
    if not count:
        shape = () if x.shape[0] == 1 else (x.shape[0],) * 2
        return full(np.nan, ShapedArray(shape, x.dtype))
    if ddof is None:
        ddof = 0 if bias else 1
    w = None
    for name, weights in (("fweights", fweights), ("aweights", aweights)):
        if weights is not None:
            one = _observed(name, weights, count)
            w = one if w is None else u.multiply(w, one)
    if dtype is not None:
        x = x.astype(dtype)
        w = None if w is None else w.astype(dtype)
    center, total = average(x, 1, w, returned=True)
    total = total[0]
    if w is None:
        n = count - ddof
    elif not ddof:
        n = total
    elif aweights is None:
        n = u.subtract(total, ddof)
    else:
        own = u.multiply(w, absolute(as_array("cov", aweights)))
        n = u.subtract(total, u.divide(u.multiply(ddof, r.sum(own)), total))
    x = u.subtract(x, expand_dims(center, 1))
    weighted = x if w is None else u.multiply(x, expand_dims(w, 0))
    return squeeze(u.divide(dot(x, conjugate(transpose(weighted))), n))


def _observed(name: str, weights: Any, count: int) -> Any:
    w = as_array("cov", weights)
    if w.ndim > 1:
        raise RuntimeError(f"cannot handle multidimensional {name}: shape {tuple(w.shape)}")
    if w.shape != (count,):
        raise RuntimeError(
            f"incompatible numbers of samples and {name}: {count} samples, shape {tuple(w.shape)}"
        )
    if name == "fweights" and kind_of(w.dtype) not in "iu":
        raise TypeError(f"fweights must be integer, got {w.dtype}.")
    return absolute(w)


@composite("rowvar", "dtype")
def corrcoef(x: Any, y: Any = None, rowvar: bool = True, dtype: Any = None) -> Array:
    """The correlations of variables; arguments as of `cov`."""
    if dtype is not None and kind_of(np.dtype(dtype)) not in "fc":
        raise ValueError(
            f"corrcoef: dtype must be a subclass of float or complex; got dtype={dtype!r}"
        )
    c = cov(x, y, rowvar, dtype=dtype)
    if not c.ndim:
        return u.divide(c, c)
    deviation = u.sqrt(real(diagonal(c))).astype(c.dtype)
    c = u.divide(u.divide(c, expand_dims(deviation, 1)), expand_dims(deviation, 0))
    if kind_of(c.dtype) != "c":
        return clip(c, -1, 1)
    return make_complex(clip(real(c), -1, 1), clip(imag(c), -1, 1))
