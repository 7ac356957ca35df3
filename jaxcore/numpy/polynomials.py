"""Polynomials as vectors of their coefficients, the highest power first.

Their roots, and fits by least squares, are JAX's: they rest on LAPACK.
"""

from __future__ import annotations

from operator import index
from typing import Any

import jax
import numpy as np

from jaxcore.numpy import reductions as r
from jaxcore.numpy import ufuncs as u
from jaxcore.numpy.composite import composite
from jaxcore.numpy.creation import arange, zeros, zeros_like
from jaxcore.numpy.joining import concatenate
from jaxcore.numpy.operand import arrays
from jaxcore.numpy.padding import pad
from jaxcore.numpy.shapes import atleast_1d, broadcast_shapes, broadcast_to, expand_dims
from jaxcore.numpy.updates import IndexUpdateRef
from jaxcore.numpy.windows import convolve

__all__ = ["polyadd", "polyder", "polydiv", "polyint", "polymul", "polysub", "polyval"]

Array = jax.Array


@composite("unroll")
def polyval(p: Any, x: Any, *, unroll: int | None = None) -> Array:
    """The polynomial `p` at `x`, by Horner's rule.

    Args:
      p: (powers, ...) coefficients; further axes broadcast with `x`.
      x: array.
      unroll: without effect.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> jnp.polyval(jnp.array([1, 0, 2]), 3)
      Array(11, dtype=int32)
    """
    p, x = arrays("polyval", p, x)
    shape = broadcast_shapes(p.shape[1:], x.shape)
    x = broadcast_to(x, shape)
    total: Any = zeros_like(x)
    for i in range(p.shape[0]):
        total = u.add(u.multiply(total, x), broadcast_to(p[i], shape))
    return total


@composite()
def polyadd(a1: Any, a2: Any) -> Array:
    """The sum of two polynomials."""
    return _summed("polyadd", a1, a2, u.add)


@composite()
def polysub(a1: Any, a2: Any) -> Array:
    """The difference of two polynomials."""
    return _summed("polysub", a1, a2, u.subtract)


def _summed(name: str, a1: Any, a2: Any, combine: Any) -> Array:
    """The shorter one gets leading zeros."""
    x, y = arrays(name, a1, a2)
    size = max(x.shape[0], y.shape[0])
    x, y = (pad(v, [(size - v.shape[0], 0)] + [(0, 0)] * (v.ndim - 1)) for v in (x, y))
    return combine(x, y)


def polymul(a1: Any, a2: Any, *, trim_leading_zeros: bool = False) -> Array:
    """The product of two polynomials.

    Args:
      a1, a2: vectors.
      trim_leading_zeros: leave leading zeros out, which must be known while tracing.
    """
    x, y = arrays("polymul", a1, a2, to_float=True)
    if trim_leading_zeros and (x.shape[0] > 1 or y.shape[0] > 1):
        from jaxcore.numpy.editing import trim_zeros

        x, y = trim_zeros(x, trim="f"), trim_zeros(y, trim="f")
    x, y = (v if v.shape[0] else zeros(1, v.dtype) for v in (x, y))
    return convolve(x, y)


def polydiv(u: Any, v: Any, *, trim_leading_zeros: bool = False) -> tuple[Array, Array]:
    """The quotient of two polynomials and the remainder, as long as `u`.

    Args:
      u, v: vectors.
      trim_leading_zeros: leave leading coefficients of the remainder out that are zero up to the
        root of the dtype's resolution; they must be known while tracing.
    """
    rest, divisor = arrays("polydiv", u, v, to_float=True)
    size = divisor.shape[0]
    places = max(rest.shape[0] - size + 1, 1)
    quotient = []
    for k in range(rest.shape[0] - size + 1):
        factor = rest[k] / divisor[0]
        quotient.append(expand_dims(factor, 0))
        rest = IndexUpdateRef(rest, slice(k, k + size)).add(-factor * divisor)
    out = concatenate(quotient) if quotient else zeros(places, rest.dtype)
    if trim_leading_zeros:
        from jaxcore.numpy.operand import concrete

        small = np.sqrt(float(jax.numpy.finfo(rest.dtype).eps))
        used = np.nonzero(np.abs(concrete(rest, "polydiv trims known zeros")) >= small)[0]
        rest = rest[int(used[0]) if used.size else rest.shape[0] :]
    return out, rest


def polyder(p: Any, m: int = 1) -> Array:
    """The derivative of order `m`.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> jnp.polyder(jnp.array([1, 2, 3]))
      Array([2., 2.], dtype=float32)
    """
    (x,) = arrays("polyder", p, to_float=True)
    m = index(m)
    if m < 0:
        raise ValueError(f"Order of derivative must be positive, got {m}.")
    if m == 0:
        return x
    return u.multiply(x[:-m], _falling(x, x.shape[0] - 1, m)[: x[:-m].shape[0]])


def polyint(p: Any, m: int = 1, k: Any = None) -> Array:
    """The integral of order `m`.

    Args:
      p: vector.
      m: how many times.
      k: constants of integration, one or `m` of them (0).
    """
    constants: Any
    x, constants = arrays("polyint", p, 0 if k is None else k, to_float=True)
    m = index(m)
    if m < 0:
        raise ValueError(f"Order of integral must be positive (see polyder), got {m}.")
    constants = atleast_1d(constants)
    if constants.shape == (1,):
        constants = broadcast_to(constants, (m,))
    if constants.shape != (m,):
        raise ValueError(
            "k must be a scalar or a rank-1 array of length 1 or m, got shape "
            f"{tuple(constants.shape)}."
        )
    if m == 0:
        return x
    coefficients = concatenate([x, constants])
    return u.divide(coefficients, _falling(x, coefficients.shape[0] - 1, m))


def _falling(x: Any, top: int, m: int) -> Any:
    """n · (n - 1) ⋯ (n - m + 1) for n = top, top - 1, ..., 0, no factor less than 1."""
    n = expand_dims(arange(top, -1, -1, dtype=x.dtype), 0)
    factors = u.subtract(n, expand_dims(arange(m, dtype=x.dtype), 1))
    return r.prod(u.maximum(factors, 1), axis=0)
