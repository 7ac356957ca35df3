"""The functions of `jaxcore.lax` that are one primitive: operands as they are, no promotion."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from jaxcore import backend
from jaxcore.numpy.operand import typed
from jaxcore.numpy.reductions import canonical_axis, user_dtype
from jaxcore.ops import arithmetic as a
from jaxcore.ops import compare as c
from jaxcore.ops import convert as v
from jaxcore.ops import cumulative as s
from jaxcore.ops import elementwise as e
from jaxcore.ops import reduce as r
from jaxcore.ops import sort as o
from jaxcore.ops.rules import kind_of
from jaxcore.primitive import Primitive
from jaxcore.trace import aval_of, bind


def function(name: str, primitive: Primitive, doc: str) -> Callable[..., Any]:
    """``primitive(*operands)``; options such as an accuracy are JAX's business."""
    of_jax = getattr(jax.lax, name)

    def function(*operands: Any, **options: Any) -> Any:
        if options:
            return of_jax(*operands, **options)
        return bind(primitive, *operands)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    function.__signature__ = inspect.signature(of_jax)  # type: ignore[attr-defined]
    return function


# --- elementwise --------------------------------------------------------------------------------

abs = function("abs", a.abs_p, "|x|.")
add = function("add", a.add_p, "x + y.")
sub = function("sub", a.sub_p, "x - y.")
mul = function("mul", a.mul_p, "x · y.")
div = function("div", a.div_p, "x / y; integers are divided towards 0.")
rem = function("rem", a.rem_p, "The remainder of x / y, with the sign of x.")
neg = function("neg", a.neg_p, "-x.")
sign = function("sign", a.sign_p, "-1, 0 or 1 by the sign of x.")
square = function("square", a.square_p, "x².")
max = function("max", a.max_p, "The larger of x and y.")
min = function("min", a.min_p, "The smaller of x and y.")

exp = function("exp", e.exp_p, "e to the power of x.")
exp2 = function("exp2", e.exp2_p, "2 to the power of x.")
expm1 = function("expm1", e.expm1_p, "exp(x) - 1.")
log = function("log", e.log_p, "The natural logarithm.")
log1p = function("log1p", e.log1p_p, "log(1 + x).")
logistic = function("logistic", e.logistic_p, "1 / (1 + exp(-x)).")
sqrt = function("sqrt", e.sqrt_p, "The square root.")
rsqrt = function("rsqrt", e.rsqrt_p, "One over the square root.")
cbrt = function("cbrt", e.cbrt_p, "The cube root.")
sin = function("sin", e.sin_p, "The sine.")
cos = function("cos", e.cos_p, "The cosine.")
tan = function("tan", e.tan_p, "The tangent.")
asin = function("asin", e.asin_p, "The inverse sine.")
acos = function("acos", e.acos_p, "The inverse cosine.")
atan = function("atan", e.atan_p, "The inverse tangent.")
atan2 = function("atan2", e.atan2_p, "The angle of the point (y, x).")
sinh = function("sinh", e.sinh_p, "The hyperbolic sine.")
cosh = function("cosh", e.cosh_p, "The hyperbolic cosine.")
tanh = function("tanh", e.tanh_p, "The hyperbolic tangent.")
asinh = function("asinh", e.asinh_p, "The inverse hyperbolic sine.")
acosh = function("acosh", e.acosh_p, "The inverse hyperbolic cosine.")
atanh = function("atanh", e.atanh_p, "The inverse hyperbolic tangent.")
erf = function("erf", e.erf_p, "The error function.")
erfc = function("erfc", e.erfc_p, "1 - erf(x).")
erf_inv = function("erf_inv", e.erf_inv_p, "The inverse of the error function.")
floor = function("floor", e.floor_p, "The largest whole number that is not larger.")
ceil = function("ceil", e.ceil_p, "The smallest whole number that is not smaller.")
nextafter = function("nextafter", e.nextafter_p, "The float after x1 in the direction of x2.")

eq = function("eq", c.eq_p, "x == y.")
ne = function("ne", c.ne_p, "x != y.")
lt = function("lt", c.lt_p, "x < y.")
le = function("le", c.le_p, "x <= y.")
gt = function("gt", c.gt_p, "x > y.")
ge = function("ge", c.ge_p, "x >= y.")
is_finite = function("is_finite", c.is_finite_p, "Whether x is neither NaN nor an infinity.")
select_n = function("select_n", c.select_n_p, "The case whose number is `which`.")
clamp = function("clamp", c.clamp_p, "x limited to [min, max].")
bitwise_and = function("bitwise_and", c.and_p, "x & y.")
bitwise_or = function("bitwise_or", c.or_p, "x | y.")
bitwise_xor = function("bitwise_xor", c.xor_p, "x ^ y.")
bitwise_not = function("bitwise_not", c.not_p, "~x.")
shift_left = function("shift_left", c.shift_left_p, "x << y.")
shift_right_logical = function(
    "shift_right_logical", c.shift_right_logical_p, "x >> y, zeros moving in."
)
shift_right_arithmetic = function(
    "shift_right_arithmetic", c.shift_right_arithmetic_p, "x >> y, the sign moving in."
)
population_count = function("population_count", c.population_count_p, "How many bits are set.")
mulhi = function("mulhi", c.mulhi_p, "The high half of x · y: what does not fit the dtype.")
clz = function("clz", c.clz_p, "How many leading bits are zero.")

real = function("real", v.real_p, "The real part of a complex number.")
imag = function("imag", v.imag_p, "The imaginary part of a complex number.")
complex = function("complex", v.complex_p, "x + iy.")


def conj(x: Any) -> Any:
    """The complex conjugate; a real number becomes complex."""
    return v.conj(x)


def integer_pow(x: Any, y: int) -> Any:
    """`x` to the power of the constant integer `y`."""
    return bind(a.integer_pow_p, x, y=y)


def pow(x: Any, y: Any) -> Any:
    """`x` to the power of `y`, a float of the dtype of `x` or an integer."""
    return bind(a.pow_p, x, y)


def log2(x: Any, *, accuracy: Any = None) -> Any:
    """The logarithm to base 2."""
    name = "log2"
    if accuracy is not None:
        return getattr(jax.lax, name)(x, accuracy=accuracy)  # since jax 0.12
    from jaxcore.numpy.special import log2 as of_numpy

    if kind_of(typed(name, x)[1].dtype) not in "fc":
        raise TypeError(f"log2 does not accept dtype {aval_of(x).dtype}. Fix: convert to floats.")
    return of_numpy(x)


def one_minus_square(x: Any) -> Any:
    """1 - x²."""
    return a.sub(a.constant(x, 1), a.mul(x, x))


def reciprocal(x: Any) -> Any:
    """1 / x."""
    return bind(a.integer_pow_p, x, y=-1)


def select(pred: Any, on_true: Any, on_false: Any) -> Any:
    """`on_true` where `pred` holds, else `on_false`: arrays of one shape and dtype."""
    return bind(c.select_n_p, pred, on_false, on_true)


def round(x: Any, rounding_method: Any = jax.lax.RoundingMethod.AWAY_FROM_ZERO) -> Any:
    """The nearest whole number; halves go away from 0 or to the even one."""
    return bind(e.round_p, x, rounding_method=jax.lax.RoundingMethod(rounding_method))


def stop_gradient(x: Any) -> Any:
    """`x`, through which no derivative passes; a pytree."""
    from jaxcore.transforms.grad import stop_gradient as stop

    return stop(x)


# --- dtype --------------------------------------------------------------------------------------


def convert_element_type(operand: Any, new_dtype: Any) -> Any:
    """`operand` in `new_dtype`."""
    key = backend.is_extended(getattr(operand, "dtype", np.dtype(np.float32)))
    if key or not hasattr(operand, "aval") or hasattr(new_dtype, "_rules"):
        return jax.lax.convert_element_type(operand, new_dtype)
    return v.convert(operand, user_dtype(new_dtype, "lax.convert_element_type"))


def bitcast_convert_type(operand: Any, new_dtype: Any) -> Any:
    """The bits of `operand` read as `new_dtype`.

    Elements of another size make a last axis, or take the place of one.
    """
    x, aval = typed("bitcast_convert_type", operand)
    dtype = user_dtype(new_dtype, "bitcast_convert_type")
    bits = {str(t).removeprefix("u") for t in (aval.dtype, dtype)}
    if bits & {"int2", "int4"} or any(kind_of(t) in "bck" for t in (aval.dtype, dtype)):
        return jax.lax.bitcast_convert_type(operand, new_dtype)
    return bind(v.bitcast_convert_type_p, x, new_dtype=dtype)


def reduce_precision(operand: Any, exponent_bits: int, mantissa_bits: int) -> Any:
    """`operand` rounded to a float of fewer bits."""
    return bind(
        v.reduce_precision_p, operand, exponent_bits=exponent_bits, mantissa_bits=mantissa_bits
    )


# --- reductions ---------------------------------------------------------------------------------


def _reduction(name: str, primitive: Primitive, doc: str) -> Callable[..., Any]:
    def function(operand: Any, axes: Sequence[int], *, out_sharding: Any = None) -> Any:
        if out_sharding is not None:
            return getattr(jax.lax, name)(operand, axes, out_sharding=out_sharding)
        rank = len(aval_of(operand).shape)
        return bind(primitive, operand, axes=tuple(canonical_axis(i, rank) for i in axes))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


reduce_sum = _reduction("reduce_sum", r.reduce_sum_p, "The sum over `axes`.")
reduce_prod = _reduction("reduce_prod", r.reduce_prod_p, "The product over `axes`.")
reduce_max = _reduction("reduce_max", r.reduce_max_p, "The largest element over `axes`.")
reduce_min = _reduction("reduce_min", r.reduce_min_p, "The smallest element over `axes`.")
reduce_and = _reduction("reduce_and", r.reduce_and_p, "The bitwise and over `axes`.")
reduce_or = _reduction("reduce_or", r.reduce_or_p, "The bitwise or over `axes`.")
reduce_xor = _reduction("reduce_xor", r.reduce_xor_p, "The bitwise exclusive or over `axes`.")


def argmax(operand: Any, axis: int, index_dtype: Any) -> Any:
    """The index of the first largest element along `axis`."""
    return _arg(r.argmax_p, operand, axis, index_dtype)


def argmin(operand: Any, axis: int, index_dtype: Any) -> Any:
    """The index of the first smallest element along `axis`."""
    return _arg(r.argmin_p, operand, axis, index_dtype)


def _arg(primitive: Primitive, operand: Any, axis: int, index_dtype: Any) -> Any:
    place = canonical_axis(axis, len(aval_of(operand).shape))
    dtype = user_dtype(index_dtype, primitive.name)
    return bind(primitive, operand, axes=(place,), index_dtype=dtype)


# --- running totals and sorting -----------------------------------------------------------------


def _running(name: str, primitive: Primitive, doc: str) -> Callable[..., Any]:
    def function(operand: Any, axis: int = 0, reverse: bool = False) -> Any:
        place = canonical_axis(axis, len(aval_of(operand).shape))
        return bind(primitive, operand, axis=place, reverse=bool(reverse))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


cumsum = _running("cumsum", s.cumsum_p, "Running sums along `axis`.")
cumprod = _running("cumprod", s.cumprod_p, "Running products along `axis`.")
cummax = _running("cummax", s.cummax_p, "Running maxima along `axis`.")
cummin = _running("cummin", s.cummin_p, "Running minima along `axis`.")
cumlogsumexp = _running("cumlogsumexp", s.cumlogsumexp_p, "Running log-sum-exps along `axis`.")


def sort(operand: Any, dimension: int = -1, is_stable: bool = True, num_keys: int = 1) -> Any:
    """`operand` sorted along `dimension`; of several arrays the first `num_keys` decide."""
    many = isinstance(operand, tuple | list)
    operands = tuple(operand) if many else (operand,)
    if not operands:
        raise TypeError("Sort requires at least one operand")
    if not 1 <= num_keys <= len(operands):
        raise ValueError(f"num_keys={num_keys} must be between 1 and {len(operands)}.")
    place = canonical_axis(dimension, len(aval_of(operands[0]).shape))
    out = bind(o.sort_p, *operands, dimension=place, is_stable=is_stable, num_keys=num_keys)
    return tuple(out) if many else out[0]


def top_k(operand: Any, k: int, *, axis: int = -1, is_stable: bool = True) -> Any:
    """The `k` largest elements along `axis`, in descending order, and their indices.

    Of equal elements the first come first; without `is_stable` nobody says which (since jax 0.12).
    """
    if not is_stable:
        options: dict[str, Any] = {"is_stable": False}
        return jax.lax.top_k(operand, k, axis=axis, **options)
    place = canonical_axis(axis, len(aval_of(operand).shape))
    return bind(o.top_k_p, operand, k=int(k), axis=place)
