"""Arithmetic on real, complex and integer operands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxcore import backend
from jaxcore.backend import ShapedArray
from jaxcore.ops.compare import compare_lower, eq, ge, select
from jaxcore.ops.rules import (
    accept,
    common_shape,
    elementwise,
    expand,
    expand_operands,
    full,
    kind_of,
    scalar,
    unbroadcast,
)
from jaxcore.primitive import Linear, mirror
from jaxcore.trace import aval_of, bind

__all__ = [
    "abs_p",
    "add",
    "add_p",
    "constant",
    "div",
    "element",
    "div_p",
    "integer_pow",
    "integer_pow_p",
    "max_p",
    "min_p",
    "mul",
    "mul_p",
    "neg",
    "neg_p",
    "pow_p",
    "rem_p",
    "sign_p",
    "square_p",
    "sub",
    "sub_p",
]

_NUMBER = "iufc"


def constant(x: Any, value: Any) -> Any:
    """The scalar `value` in the dtype of `x`; a Python scalar, of weak type, where `x` has one."""
    return scalar(value, aval_of(x))


def element(x: Any, value: Any) -> Any:
    """`constant`, but of weak type only where `x` is a weakly typed scalar: JAX's library has such
    constants among the values that it chooses from.
    """
    aval = aval_of(x)
    return constant(x, value) if aval.ndim == 0 else np.asarray(value, aval.dtype)[()]


def add(x: Any, y: Any) -> Any:
    """x + y, of one dtype."""
    return bind(add_p, x, y)


def sub(x: Any, y: Any) -> Any:
    """x - y, of one dtype."""
    return bind(sub_p, x, y)


def mul(x: Any, y: Any) -> Any:
    """x · y, of one dtype."""
    return bind(mul_p, x, y)


def div(x: Any, y: Any) -> Any:
    """x / y, of one dtype; integers are divided towards zero."""
    return bind(div_p, x, y)


def neg(x: Any) -> Any:
    """-x."""
    return bind(neg_p, x)


def integer_pow(x: Any, y: int) -> Any:
    """x to the power of the constant integer `y`."""
    return bind(integer_pow_p, x, y=y)


# --- sums ---------------------------------------------------------------------------------------


def _add_transpose(ct: Any, args: Sequence[Any]) -> list[Any]:
    return [unbroadcast(ct, a) if type(a) is Linear else None for a in args]


def _sub_transpose(ct: Any, args: Sequence[Any]) -> list[Any]:
    x, y = args
    return [
        unbroadcast(ct, x) if type(x) is Linear else None,
        unbroadcast(neg(ct), y) if type(y) is Linear else None,
    ]


add_p = elementwise(
    "add",
    _NUMBER,
    lambda t, out, x, y: t,
    lambda t, out, x, y: t,
    lower="stablehlo.add",
    transpose=_add_transpose,
)

sub_p = elementwise(
    "sub",
    _NUMBER,
    lambda t, out, x, y: t,
    lambda t, out, x, y: neg(t),
    lower="stablehlo.subtract",
    transpose=_sub_transpose,
)

neg_p = elementwise(
    "neg",
    _NUMBER,
    lambda t, out, x: neg(t),
    lower="stablehlo.negate",
    transpose=lambda ct, args: [neg(ct)],
)


@mirror(backend.add_any_p)
def _from_add_any(args: Sequence[Any], params: dict[str, Any]) -> Any:
    """JAX adds cotangents with a primitive of its own, which takes keys and tokens as well."""
    if any(kind_of(aval_of(a).dtype) not in _NUMBER for a in args):
        return None
    return add_p, args, {}


# --- products -----------------------------------------------------------------------------------


def _mul_transpose(ct: Any, args: Sequence[Any]) -> list[Any]:
    x, y = args
    if type(x) is Linear:
        return [unbroadcast(mul(ct, y), x), None]
    return [None, unbroadcast(mul(x, ct), y)]


mul_p = elementwise(
    "mul",
    _NUMBER,
    lambda t, out, x, y: mul(t, y),
    lambda t, out, x, y: mul(x, t),
    lower="stablehlo.multiply",
    transpose=_mul_transpose,
    defaults={"out_dtype": None},
)

div_p = elementwise(
    "div",
    _NUMBER,
    lambda t, out, x, y: div(t, y),
    lambda t, out, x, y: mul(mul(neg(t), x), integer_pow(y, -2)),
    lower="stablehlo.divide",
    transpose=lambda ct, args: [unbroadcast(div(ct, args[1]), args[0]), None],
)


def _rem_by_divisor(t: Any, out: Any, x: Any, y: Any) -> Any:
    from jaxcore.ops.elementwise import floor_p

    ratio = div(x, y)
    whole = bind(floor_p, bind(abs_p, ratio))
    return mul(neg(t), mul(bind(sign_p, ratio), whole))


rem_p = elementwise(
    "rem", "iuf", lambda t, out, x, y: t, _rem_by_divisor, lower="stablehlo.remainder"
)

square_p = elementwise(
    "square",
    _NUMBER,
    lambda t, out, x: mul(t, mul(constant(x, 2), x)),
    lower=lambda b, operands, avals_in, avals_out: b.one(
        "stablehlo.multiply", avals_out[0], operands[0], operands[0]
    ),
)


# --- powers -------------------------------------------------------------------------------------


def _integer_pow_type(x: ShapedArray, *, y: int) -> ShapedArray:
    accept("integer_pow", _NUMBER, None, x.dtype)
    if y < 0 and kind_of(x.dtype) in "iu":
        raise TypeError(
            f"Integers cannot be raised to negative powers, got integer_pow({x}, {y}). Fix: "
            "convert the base to a float dtype."
        )
    return x


def _integer_pow_partial(t: Any, out: Any, x: Any, *, y: int) -> Any:
    if y == 0:
        return None
    if y == 1:
        return t
    return mul(t, mul(constant(x, y), x if y == 2 else integer_pow(x, y - 1)))


def _integer_pow_lower(
    b: Any, operands: Sequence[Any], avals_in: Any, avals_out: Any, *, y: int
) -> list[Any]:
    out = avals_out[0]
    if y == 0:
        return [b.constant(1, out)]
    square, left, product = operands[0], abs(y), None
    while left:
        if left & 1:
            product = (
                square if product is None else b.one("stablehlo.multiply", out, product, square)[0]
            )
        left >>= 1
        if left:
            square = b.one("stablehlo.multiply", out, square, square)[0]
    if y < 0:
        return b.one("stablehlo.divide", out, b.constant(1, out), product)
    return [product]


integer_pow_p = elementwise(
    "integer_pow", _NUMBER, _integer_pow_partial, type=_integer_pow_type, lower=_integer_pow_lower
)


def _pow_type(x: ShapedArray, y: ShapedArray) -> ShapedArray:
    accept("pow", "fc", 0, x.dtype)
    if y.dtype != x.dtype and kind_of(y.dtype) not in "iu":
        raise TypeError(
            "the first argument to pow must have an inexact dtype (float or complex), and the "
            "second argument must have an inexact or integer dtype, and two inexact dtypes must "
            f"match, but got {x.dtype} and {y.dtype} respectively."
        )
    return ShapedArray(common_shape("pow", (x, y)), x.dtype, weak_type=x.weak_type and y.weak_type)


def _pow_by_base(t: Any, out: Any, x: Any, y: Any) -> Any:
    from jaxcore.ops.convert import convert

    one = constant(y, 1)
    if kind_of(aval_of(y).dtype) in "iu":  # the derivative of x⁰ is 0, at x = 0 too
        shape = aval_of(out).shape
        is_zero = eq(y, constant(y, 0))
        factor = convert(select(is_zero, expand(one, aval_of(y).shape), y), aval_of(x).dtype)
        raised = mul(factor, bind(pow_p, x, sub(y, one)))
        zero = full(0, aval_of(raised))
        return mul(t, select(expand(is_zero, shape), zero, raised))
    return mul(t, mul(y, bind(pow_p, x, sub(y, one))))


def nonzero(x: Any) -> Any:
    """`x` with zeros replaced by ones."""
    return select(eq(x, constant(x, 0)), full(1, aval_of(x)), x)


def _pow_by_exponent(t: Any, out: Any, x: Any, y: Any) -> Any:
    from jaxcore.ops.elementwise import log_p

    return mul(t, mul(bind(log_p, nonzero(x)), out))


def _pow_lower(b: Any, operands: Sequence[Any], avals_in: Any, avals_out: Any) -> list[Any]:
    out = avals_out[0]
    x, y = operands
    if avals_in[1].dtype != out.dtype:
        converted = ShapedArray(avals_in[1].shape, out.dtype)
        y = b.one("stablehlo.convert", converted, y)[0]
        avals_in = [avals_in[0], converted]
    return b.one("stablehlo.power", out, *expand_operands(b, [x, y], avals_in, out.shape))


pow_p = elementwise("pow", "fc", _pow_by_base, _pow_by_exponent, type=_pow_type, lower=_pow_lower)


# --- order --------------------------------------------------------------------------------------


def _share(first: bool) -> Callable[..., Any]:
    """All of the tangent goes to the operand that was chosen, half of it where both are equal."""

    def rule(t: Any, out: Any, x: Any, y: Any) -> Any:
        mine, other = (x, y) if first else (y, x)
        shape = aval_of(out).shape
        zero, half, one = (expand(constant(out, v), shape) for v in (0, 0.5, 1))
        share = select(eq(mine, out), select(eq(other, out), half, one), zero)
        return mul(t, share)

    return rule


def _extremum_lower(operation: str, direction: str) -> Callable[..., list[Any]]:
    def lower(b: Any, operands: Sequence[Any], avals_in: Any, avals_out: Any) -> list[Any]:
        out = avals_out[0]
        x, y = expand_operands(b, operands, avals_in, out.shape)
        if kind_of(out.dtype) != "c":
            return b.one(operation, out, x, y)
        # complex numbers are compared by real part, then by imaginary part
        real = ShapedArray(out.shape, np.zeros((), out.dtype).real.dtype)
        bools = ShapedArray(out.shape, np.dtype(bool))
        rx, ry, ix, iy = (
            b.one(f"stablehlo.{part}", real, v)[0] for part in ("real", "imag") for v in (x, y)
        )
        tie = compare_lower(b, "EQ", rx, ry, real)
        by_real = compare_lower(b, direction, rx, ry, real)
        by_imag = compare_lower(b, direction, ix, iy, real)
        which = b.one("stablehlo.select", bools, tie, by_imag, by_real)[0]
        return b.one("stablehlo.select", out, which, x, y)

    return lower


max_p = elementwise(
    "max", "biufc", _share(True), _share(False), lower=_extremum_lower("stablehlo.maximum", "GT")
)
min_p = elementwise(
    "min", "biufc", _share(True), _share(False), lower=_extremum_lower("stablehlo.minimum", "LT")
)


def _abs_type(x: ShapedArray) -> ShapedArray:
    accept("abs", "ifc", None, x.dtype)
    if kind_of(x.dtype) != "c":
        return x
    return ShapedArray(x.shape, np.zeros((), x.dtype).real.dtype, weak_type=x.weak_type)


def _abs_partial(t: Any, out: Any, x: Any) -> Any:
    if kind_of(aval_of(x).dtype) == "c":
        from jaxcore.ops.convert import conj, convert, real

        length = nonzero(convert(out, aval_of(x).dtype))
        return real(mul(t, div(conj(x), length)))
    return select(ge(x, constant(x, 0)), t, neg(t))


abs_p = elementwise("abs", "ifc", _abs_partial, type=_abs_type, lower="stablehlo.abs")


def _sign_lower(b: Any, operands: Sequence[Any], avals_in: Any, avals_out: Any) -> list[Any]:
    out = avals_out[0]
    if kind_of(out.dtype) != "u":
        return b.one("stablehlo.sign", out, *operands)
    zero, one = b.constant(0, out), b.constant(1, out)
    return b.one("stablehlo.select", out, compare_lower(b, "EQ", operands[0], zero, out), zero, one)


sign_p = elementwise("sign", _NUMBER, lower=_sign_lower)
