"""Elementwise functions that are one primitive each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jaxcore.numpy.factory import binary, float_binary, float_unary, unary
from jaxcore.ops import arithmetic as a
from jaxcore.ops import compare as c
from jaxcore.ops import elementwise as e
from jaxcore.primitive import Primitive
from jaxcore.trace import bind

__all__ = [
    "acos",
    "add",
    "arccos",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctan2",
    "arctanh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "bitwise_and",
    "bitwise_invert",
    "bitwise_not",
    "bitwise_or",
    "bitwise_xor",
    "cbrt",
    "cos",
    "cosh",
    "divide",
    "equal",
    "exp",
    "exp2",
    "expm1",
    "float_power",
    "invert",
    "log",
    "log1p",
    "maximum",
    "minimum",
    "multiply",
    "negative",
    "nextafter",
    "not_equal",
    "sign",
    "sin",
    "sinh",
    "sqrt",
    "subtract",
    "tan",
    "tanh",
    "true_divide",
]


def _bind(primitive: Primitive) -> Callable[[Any, Any], Any]:
    return lambda x, y: bind(primitive, x, y)


add = binary("add", a.add_p, "x + y; on bools, or.", ("b", _bind(c.or_p)))
subtract = binary("subtract", a.sub_p, "x - y.")
multiply = binary("multiply", a.mul_p, "x · y; on bools, and.", ("b", _bind(c.and_p)))
true_divide = float_binary("true_divide", a.div_p, "x / y, of floats.")
divide = float_binary("divide", a.div_p, "x / y, of floats.")
negative = unary("negative", a.neg_p, "-x.")
maximum = binary("maximum", a.max_p, "The larger of x and y; NaN where either is NaN.")
minimum = binary("minimum", a.min_p, "The smaller of x and y; NaN where either is NaN.")
float_power = float_binary("float_power", a.pow_p, "x to the power of y, of floats.")
sign = unary("sign", a.sign_p, "-1, 0 or 1 by the sign of x; x / |x| of complex numbers.")

exp = float_unary("exp", e.exp_p, "e to the power of x.")
exp2 = float_unary("exp2", e.exp2_p, "2 to the power of x.")
expm1 = float_unary("expm1", e.expm1_p, "exp(x) - 1, exact near 0.")
log = float_unary("log", e.log_p, "The natural logarithm.")
log1p = float_unary("log1p", e.log1p_p, "log(1 + x), exact near 0.")
sqrt = float_unary("sqrt", e.sqrt_p, "The square root.")
cbrt = float_unary("cbrt", e.cbrt_p, "The cube root.")

sin = float_unary("sin", e.sin_p, "The sine of x, in radians.")
cos = float_unary("cos", e.cos_p, "The cosine of x, in radians.")
tan = float_unary("tan", e.tan_p, "The tangent of x, in radians.")
arcsin = float_unary("arcsin", e.asin_p, "The inverse sine, in radians.")
asin = float_unary("asin", e.asin_p, "The inverse sine, in radians.")
arccos = float_unary("arccos", e.acos_p, "The inverse cosine, in radians.")
acos = float_unary("acos", e.acos_p, "The inverse cosine, in radians.")
arctan = float_unary("arctan", e.atan_p, "The inverse tangent, in radians.")
atan = float_unary("atan", e.atan_p, "The inverse tangent, in radians.")
arctan2 = float_binary("arctan2", e.atan2_p, "The angle of the point (y, x) = (x1, x2).")
atan2 = float_binary("atan2", e.atan2_p, "The angle of the point (y, x) = (x1, x2).")
sinh = float_unary("sinh", e.sinh_p, "The hyperbolic sine.")
cosh = float_unary("cosh", e.cosh_p, "The hyperbolic cosine.")
tanh = float_unary("tanh", e.tanh_p, "The hyperbolic tangent.")
arcsinh = float_unary("arcsinh", e.asinh_p, "The inverse hyperbolic sine.")
asinh = float_unary("asinh", e.asinh_p, "The inverse hyperbolic sine.")
arctanh = float_unary("arctanh", e.atanh_p, "The inverse hyperbolic tangent.")
atanh = float_unary("atanh", e.atanh_p, "The inverse hyperbolic tangent.")

equal = binary("equal", c.eq_p, "x == y.")
not_equal = binary("not_equal", c.ne_p, "x != y.")
nextafter = float_binary("nextafter", e.nextafter_p, "The float after x1 in the direction of x2.")

bitwise_and = binary("bitwise_and", c.and_p, "x & y, bit by bit.")
bitwise_or = binary("bitwise_or", c.or_p, "x | y, bit by bit.")
bitwise_xor = binary("bitwise_xor", c.xor_p, "x ^ y, bit by bit.")
bitwise_not = unary("bitwise_not", c.not_p, "~x, bit by bit.")
bitwise_invert = unary("bitwise_invert", c.not_p, "~x, bit by bit.")
invert = unary("invert", c.not_p, "~x, bit by bit.")
