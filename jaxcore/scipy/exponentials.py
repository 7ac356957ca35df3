"""Sums of exponentials without overflow: logsumexp, softmax and its logarithm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

import jaxcore.numpy as jnp
from jaxcore import lax
from jaxcore.numpy.composite import composite
from jaxcore.numpy.promote import inexact, operands
from jaxcore.numpy.reductions import canonical_axes, computation_dtype, has_names
from jaxcore.ops.activations import log_softmax_p, softmax_p
from jaxcore.ops.convert import convert
from jaxcore.ops.rules import kind_of
from jaxcore.primitive import Primitive
from jaxcore.trace import aval_of, bind

__all__ = ["log_softmax", "logsumexp", "softmax"]

Array = jax.Array
Axis = int | Sequence[int] | None


def _normalised(name: str, primitive: Primitive, x: Any, axis: Axis, where: Any, rest: Any) -> Any:
    x = inexact(name, x)
    aval = aval_of(x)
    if where is not None:
        x = jnp.where(where, x, -np.inf)
        aval = aval_of(x)
    axes = canonical_axes(axis, len(aval.shape), name)
    wide = computation_dtype(aval.dtype)  # half precision loses what it sums
    out = bind(primitive, convert(x, wide, aval.weak_type), axes=axes)
    out = convert(out, aval.dtype, aval.weak_type)
    return out if where is None else jnp.where(where, out, rest)


@composite("axis")
def softmax(x: Any, axis: Axis = -1, where: Any = None) -> Array:
    """exp(x) / Σ exp(x) over `axis`, whose result is all that its derivative needs.

    Args:
      x: array; half precision is computed in float32.
      axis: axis, several, or None for all.
      where: bool array: the elements that count; the others give 0.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> from jaxcore.scipy.exponentials import softmax
      >>> print(softmax(jnp.zeros(4)))
      [0.25 0.25 0.25 0.25]
    """
    if has_names(axis):
        return jax.nn.softmax(x, axis, where)
    return _normalised("softmax", softmax_p, x, axis, where, 0)


@composite("axis")
def log_softmax(x: Any, axis: Axis = -1, where: Any = None) -> Array:
    """log(softmax(x)) without underflow; -inf where `where` is False."""
    if has_names(axis):
        return jax.nn.log_softmax(x, axis, where)
    return _normalised("log_softmax", log_softmax_p, x, axis, where, -np.inf)


@composite("axis", "keepdims", "return_sign")
def logsumexp(
    a: Any,
    axis: Axis = None,
    b: Any = None,
    keepdims: bool = False,
    return_sign: bool = False,
    where: Any = None,
) -> Any:
    """log(Σ b · exp(a)) over `axis` without overflow.

    Args:
      a: array.
      axis: axis, several, or None for all.
      b: factors of exp(a), 1 by default; negative ones are meant to go with `return_sign`.
      keepdims: leave reduced axes with size 1.
      return_sign: also return the sign of the sum; the logarithm is that of its size. Without it a
        negative sum gives NaN.
      where: bool array: the elements that count.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> from jaxcore.scipy import special
      >>> print(special.logsumexp(jnp.array([1000.0, 1000.0])).round(1))
      1000.7
    """
    if has_names(axis):
        return jax.scipy.special.logsumexp(a, axis, b, keepdims, return_sign, where)
    if where is not None:
        a = jnp.where(where, a, 0)
    if b is None:
        a = inexact("logsumexp", a)
    else:
        a, b = operands("logsumexp", a, b, to_float=True)
        a = jnp.where(b != 0, a, -np.inf)
    aval = aval_of(a)
    axes = canonical_axes(axis, len(aval.shape), "logsumexp")
    is_complex = kind_of(aval.dtype) == "c"
    top = jnp.max(
        jnp.real(a) if is_complex else a, axes, keepdims=True, where=where, initial=-np.inf
    )
    top = lax.stop_gradient(jnp.where(jnp.isfinite(top), top, 0))
    powers = jnp.exp(a - convert(top, aval.dtype))
    total = jnp.sum(powers if b is None else powers * b, axes, keepdims=True, where=where)
    sign = jnp.sign(total)
    size = jnp.abs(total) if return_sign or not is_complex else total
    out = jnp.log(size) + convert(top, aval_of(size).dtype)
    if b is not None and not return_sign and not is_complex:
        out = jnp.where(sign < 0, np.asarray(np.nan, out.dtype)[()], out)
    if not keepdims:
        out, sign = jnp.squeeze(out, axes), jnp.squeeze(sign, axes)
    return (out, sign) if return_sign else out
