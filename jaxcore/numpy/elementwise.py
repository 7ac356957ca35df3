"""Elementwise functions made of several primitives, as NumPy defines them."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxcore import backend
from jaxcore.numpy import ufuncs as u
from jaxcore.numpy.composite import composite
from jaxcore.numpy.factory import binary
from jaxcore.numpy.operand import as_value
from jaxcore.numpy.promote import (
    array,
    broadcast,
    inexact,
    is_complex,
    operands,
    pair,
    promoted,
    to_dtype,
)
from jaxcore.ops import arithmetic as a
from jaxcore.ops import compare as c
from jaxcore.ops import convert as v
from jaxcore.ops import elementwise as e
from jaxcore.ops.arithmetic import constant
from jaxcore.ops.rules import BOOL, kind_of
from jaxcore.trace import aval_of, bind

__all__ = [
    "abs",
    "absolute",
    "astype",
    "clip",
    "fabs",
    "floor_divide",
    "greater",
    "greater_equal",
    "less",
    "less_equal",
    "mod",
    "pow",
    "power",
    "reciprocal",
    "remainder",
    "square",
    "where",
]


def _kind(x: Any) -> str:
    return kind_of(aval_of(x).dtype)


def _numeric(name: str, *args: Any) -> list[Any]:
    """Promoted operands, bool as int32."""
    values = operands(name, *args)
    if _kind(values[0]) == "b":
        values = [to_dtype(x, np.dtype(np.int32)) for x in values]
    return values


# --- order --------------------------------------------------------------------------------------


def _complex_order(name: str, primitive: Any) -> tuple[str, Callable[[Any, Any], Any]]:
    """Complex numbers are ordered by real part, then by imaginary part."""

    def compare(x: Any, y: Any) -> Any:
        x, y = broadcast(name, x, y, scalars=True)
        tie = c.eq(v.real(x), v.real(y))
        by_imag = bind(primitive, v.imag(x), v.imag(y))
        return c.select(tie, by_imag, bind(primitive, v.real(x), v.real(y)))

    return "c", compare


def _ordered(name: str, primitive: Any, doc: str) -> Callable[[Any, Any], Any]:
    return binary(name, primitive, doc, _complex_order(name, primitive))


less = _ordered("less", c.lt_p, "x < y.")
less_equal = _ordered("less_equal", c.le_p, "x <= y.")
greater = _ordered("greater", c.gt_p, "x > y.")
greater_equal = _ordered("greater_equal", c.ge_p, "x >= y.")


def where(
    condition: Any,
    x: Any = None,
    y: Any = None,
    /,
    *,
    size: int | None = None,
    fill_value: Any = None,
) -> Any:
    """`x` where `condition` holds, else `y`; the indices where it holds if they are left out.

    Args:
      condition: array that broadcasts with `x` and `y`; numbers count as true where not zero.
      x, y: arrays or scalars, promoted to one dtype.
      size, fill_value: for the form without `x` and `y`: a static number of indices, and what
        fills the rest.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> jnp.where(jnp.array([True, False]), 1.0, jnp.array([5.0, 6.0]))
      Array([1., 6.], dtype=float32)
    """
    if x is None and y is None:
        from jaxcore.numpy.searching import nonzero

        return nonzero(condition, size=size, fill_value=fill_value)
    if size is not None or fill_value is not None:
        raise ValueError(
            "size and fill_value arguments cannot be used in three-term where function."
        )
    if x is None or y is None:
        raise ValueError(
            "Either both or neither of the x and y arguments should be provided to "
            "jaxcore.numpy.where, got "
            f"{type(x)} and {type(y)}."
        )
    if not hasattr(condition, "aval"):
        condition = array("where", condition, 0)
    if aval_of(condition).dtype != BOOL:
        condition = u.not_equal(condition, constant(condition, 0))
    x, y, _ = pair("where", x, y, False)
    if aval_of(condition).shape == ():
        x, y = broadcast("where", x, y, scalars=True)
    else:
        condition, x, y = broadcast("where", condition, x, y, scalars=True)
    return bind(c.select_n_p, condition, y, x)


@composite()
def clip(arr: Any = None, /, min: Any = None, max: Any = None) -> Any:
    """`arr` limited to [min, max]; a bound that is None does not limit.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> jnp.clip(jnp.arange(5), 1, 3)
      Array([1, 1, 2, 3, 3], dtype=int32)
    """
    if arr is None:
        raise ValueError("No input was provided to the clip function.")
    arr = array("clip", arr)
    if any(t is not None and is_complex(array("clip", t)) for t in (arr, min, max)):
        raise ValueError(
            "Clip received a complex value either through the input or the min/max "
            "keywords. Complex values have no ordering and cannot be clipped."
        )
    if min is not None:
        arr = u.maximum(min, arr)
    if max is not None:
        arr = u.minimum(max, arr)
    return as_value(arr)


# --- powers and quotients -----------------------------------------------------------------------


def power(x1: Any, x2: Any, /) -> Any:
    """`x1` to the power of `x2`; a constant integer exponent becomes products.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> jnp.power(jnp.arange(4.0), 2)
      Array([0., 1., 4., 9.], dtype=float32)
    """
    exponent = _static_index(x2)
    if exponent is not None:
        if hasattr(x1, "aval") and kind_of(x1.aval.dtype) != "b":
            return a.integer_pow(x1, exponent)
        return a.integer_pow(_numeric("power", x1)[0], exponent)
    x1, x2 = array("power", x1, 0), array("power", x2, 1)
    dtype, _ = promoted(x1, x2)
    if _kind(x1) in "fc" and _kind(x2) in "iu":  # the base keeps a derivative at 0
        return bind(a.pow_p, *broadcast("power", x1, x2))
    if kind_of(dtype) in "biu":
        return _integer_power(*broadcast("power", *_numeric("power", x1, x2), scalars=True))
    return bind(a.pow_p, *operands("power", x1, x2))


def _integer_power(x: Any, y: Any) -> Any:
    """The squares x, x², x⁴, ... multiplied where `y` has a bit; 64 bits hold no higher power."""
    zero, one = constant(x, 0), constant(y, 1)
    total = where(bind(c.and_p, c.eq(x, zero), c.ne(y, zero)), zero, constant(x, 1))
    for _ in range(6):
        total = where(bind(c.and_p, y, one), a.mul(total, x), total)
        x = a.mul(x, x)
        y = bind(c.shift_right_logical_p, y, one)
    return v.convert(total, aval_of(total).dtype)


def _static_index(x: Any) -> int | None:
    """The value of an integer scalar that is known now."""
    if type(x) is int:
        return x
    if isinstance(x, backend.Tracer) or type(x) is float:
        return None
    try:
        return operator.index(x)
    except TypeError:
        return None


pow = power


@composite()
def square(x: Any, /) -> Any:
    """x²."""
    x = array("square", x)
    return bind(a.square_p, _numeric("square", x)[0] if _kind(x) == "b" else x)


@composite()
def reciprocal(x: Any, /) -> Any:
    """1 / x."""
    x = inexact("reciprocal", x)
    return a.integer_pow(x, -1)


def absolute(x: Any, /) -> Any:
    """|x|; the modulus of complex numbers."""
    x = array("absolute", x)
    return as_value(x) if _kind(x) in "bu" else bind(a.abs_p, x)


abs = absolute


def fabs(x: Any, /) -> Any:
    """|x| as a float."""
    x = inexact("fabs", x)
    if is_complex(x):
        raise TypeError("ufunc 'fabs' does not support complex dtypes. Fix: use absolute.")
    return bind(a.abs_p, x)


@composite()
def remainder(x1: Any, x2: Any, /) -> Any:
    """The remainder of x1 / x2 with the sign of `x2`, as Python's %."""
    x1, x2 = broadcast("remainder", *_numeric("remainder", x1, x2), scalars=True)
    zero = constant(x1, 0)
    if _kind(x1) in "iu":
        x2 = where(c.eq(x2, zero), constant(x2, 1), x2)
    rest = bind(a.rem_p, x1, x2)
    signs_differ = c.ne(c.lt(rest, zero), c.lt(x2, zero))
    return c.select(bind(c.and_p, signs_differ, c.ne(rest, zero)), a.add(rest, x2), rest)


mod = remainder


@composite()
def floor_divide(x1: Any, x2: Any, /) -> Any:
    """x1 / x2 rounded down."""
    x1, x2 = _numeric("floor_divide", x1, x2)
    if _kind(x1) != "i":
        if is_complex(x1):
            raise TypeError("floor_divide does not support complex-valued inputs")
        return a.div(x1, x2) if _kind(x1) == "u" else _float_divmod(x1, x2)[0]
    x1, x2 = broadcast("floor_divide", x1, x2, scalars=True)
    quotient = a.div(x1, x2)
    down = bind(
        c.and_p,
        c.ne(bind(a.sign_p, x1), bind(a.sign_p, x2)),
        c.ne(bind(a.rem_p, x1, x2), constant(x1, 0)),
    )
    return c.select(down, a.sub(quotient, constant(x1, 1)), quotient)


def _float_divmod(x1: Any, x2: Any) -> tuple[Any, Any]:
    x1, x2 = broadcast("divmod", x1, x2, scalars=True)
    zero, one = constant(x1, 0), constant(x1, 1)
    rest = bind(a.rem_p, x1, x2)
    quotient = a.div(c.select(c.eq(x2, zero), x1, a.sub(x1, rest)), x2)
    signs_differ = c.ne(bind(a.sign_p, x2), bind(a.sign_p, rest))
    adjust = bind(c.and_p, c.ne(rest, zero), signs_differ)
    rest = c.select(adjust, a.add(rest, x2), rest)
    quotient = c.select(adjust, a.sub(quotient, one), quotient)
    away = jax.lax.RoundingMethod.AWAY_FROM_ZERO
    return bind(e.round_p, quotient, rounding_method=away), rest


@composite()
def divmod(x1: Any, x2: Any, /) -> tuple[Any, Any]:
    """The quotient rounded down and the remainder."""
    x1, x2 = _numeric("divmod", x1, x2)
    if _kind(x1) in "iu":
        return floor_divide(x1, x2), remainder(x1, x2)
    return _float_divmod(x1, x2)


# --- rounding, signs ----------------------------------------------------------------------------


def positive(x: Any, /) -> Any:
    """`x` itself."""
    return as_value(array("positive", x))


def left_shift(x: Any, y: Any, /) -> Any:
    """`x` with its bits moved left by `y`."""
    return bind(c.shift_left_p, *_numeric("left_shift", x, y))


def right_shift(x1: Any, x2: Any, /) -> Any:
    """`x1` with its bits moved right by `x2`; the sign stays."""
    x1, x2 = _numeric("right_shift", x1, x2)
    if _kind(x1) == "u":
        return bind(c.shift_right_logical_p, x1, x2)
    return bind(c.shift_right_arithmetic_p, x1, x2)


# --- dtype --------------------------------------------------------------------------------------


def astype(x: Any, dtype: Any, /, *, copy: bool = False, device: Any = None) -> Any:
    """`x` in `dtype` (None: the default float).

    Args:
      x: array.
      dtype: a dtype; floats are truncated towards 0 when they become integers, and count as true
        where they are not zero; complex numbers lose their imaginary part.
      copy: make a new array even if nothing changes.
      device: where to put it.
    """
    from jaxcore.numpy.reductions import user_dtype

    x = as_value(array("astype", x))
    if device is not None or backend.is_extended(x.dtype):
        return jax.numpy.astype(x, dtype, copy=copy, device=device)
    kind = user_dtype(float if dtype is None else dtype, "astype")
    if kind == BOOL and is_complex(x):
        return c.ne(x, constant(x, 0))
    x = v.convert(x, kind)
    return bind(v.copy_p, x) if copy else x
