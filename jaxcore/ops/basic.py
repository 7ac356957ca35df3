"""Values that transformations make themselves: scalars from literals, zeros, sums of cotangents."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from jaxcore import backend
from jaxcore.axes import vary
from jaxcore.backend import ShapedArray
from jaxcore.ir import Literal
from jaxcore.primitive import Primitive, from_jax
from jaxcore.trace import bind
from jaxcore.values import scalar_aval

__all__ = ["add_cotangents", "instantiate", "literal", "scalar", "stop_gradient_p", "zeros"]

stop_gradient_p = Primitive(
    "stop_gradient",
    lambda x: x,
    batch=lambda size, args, dims: (bind(stop_gradient_p, args[0]), dims[0]),
    lower=lambda b, operands, avals_in, avals_out: operands,
    cost=lambda avals_in, avals_out: 0,
    jax=jax.lax.stop_gradient_p,
)


def literal(x: Literal) -> Any:
    """A scalar that has the literal's type when it is traced again."""
    return x.value.item() if x.aval.weak_type else x.value


def scalar(value: Any, aval: ShapedArray) -> Any:
    """The scalar `value` in the dtype of `aval`; a Python scalar where `aval` is weakly typed."""
    found = np.asarray(value, aval.dtype)[()]
    if aval.weak_type and scalar_aval(found.item()).dtype == aval.dtype:
        return found.item()
    return found


def zeros(aval: ShapedArray) -> Any:
    """Zeros of type `aval` (the tangent type, so float0 for integers) under the current trace."""
    if aval.dtype == backend.float0:
        return np.zeros(aval.shape, backend.float0)
    if backend.is_extended(aval.dtype):
        raise TypeError(f"There is no zero of type {aval}.")
    if backend.at_top_level():
        return backend.zeros_like_aval(aval)
    zero = literal(Literal(np.zeros((), aval.dtype)[()], aval))
    if aval.shape != ():
        params = {"shape": aval.shape, "broadcast_dimensions": (), "sharding": None}
        primitive, args, params = from_jax(jax.lax.broadcast_in_dim_p, (zero,), params)
        zero = bind(primitive, *args, **params)
    axes = backend.varying(aval)
    return vary(zero, axes, aval.sharding.mesh) if axes else zero


def instantiate(tangent: Any, aval: ShapedArray) -> Any:
    """`tangent`, or zeros of `aval`'s tangent type where it is None."""
    return zeros(aval.to_tangent_aval()) if tangent is None else tangent


def add_cotangents(a: Any, b: Any) -> Any:
    """a + b where None is zero."""
    if a is None:
        return b
    if b is None:
        return a
    from jaxcore.ops.arithmetic import add_p

    return bind(add_p, a, b)
