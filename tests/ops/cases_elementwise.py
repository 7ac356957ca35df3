"""Cases of elementwise functions."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ops.harness import Case

import jaxcore.lax
import jaxcore.numpy

BF16 = jnp.bfloat16

# All elementwise records share one batching rule: these functions stand for the others.
BATCHED = {"sin", "round", "add", "maximum", "logaddexp", "remainder", "less", "isclose"}


def grid(low: float, high: float, shape: tuple[int, ...] = (2, 3), dtype: Any = np.float32) -> Any:
    """Values spread over [low, high], no two equal."""
    n = int(np.prod(shape))
    return np.linspace(low, high, n).reshape(shape).astype(dtype)


def lax_of(np_like: Any) -> Any:
    """The lax namespace that goes with an array namespace."""
    return jaxcore.lax if np_like is jaxcore.numpy else jax.lax


def unary(name: str, low: float, high: float, **options: Any) -> Case:
    """A function of floats in three dtypes, of integers and of a scalar."""

    def fn(np_like: Any, x: Any, half: Any, i: Any) -> Any:
        f = getattr(np_like, name)
        return f(x), f(half), f(i), f(x[0, 0])

    ints = np.array([int(np.ceil(low)), int(np.floor(high))], np.int32)
    args = (grid(low, high), grid(low, high, dtype=BF16), ints)
    return Case(name, fn, args, vmap=name in BATCHED, **options)


FLOAT_FUNCTIONS = [
    unary("exp", -2, 2, second=True),
    unary("exp2", -2, 2),
    unary("expm1", -1, 1),
    unary("log", 0.5, 3, second=True),
    unary("log2", 0.5, 3),
    unary("log10", 0.5, 3),
    unary("log1p", -0.5, 3),
    unary("sqrt", 0.5, 3, second=True),
    unary("cbrt", 0.5, 3),
    unary("sin", -3, 3, second=True),
    unary("cos", -3, 3),
    unary("tan", -1, 1),
    unary("arcsin", -0.9, 0.9),
    unary("arccos", -0.9, 0.9),
    unary("arctan", -3, 3),
    unary("sinh", -2, 2),
    unary("cosh", -2, 2),
    unary("tanh", -2, 2, second=True),
    unary("arcsinh", -2, 2),
    unary("arccosh", 1.5, 4),
    unary("arctanh", -0.9, 0.9),
    unary("square", -2, 2),
    unary("reciprocal", 0.5, 3, second=True),
    unary("negative", -2, 2),
    unary("positive", -2, 2),
    unary("absolute", -2, 2),
    unary("fabs", -2, 2),
    unary("sign", -2, 2),
    unary("floor", -2, 2),
    unary("ceil", -2, 2),
    unary("trunc", -2, 2),
    unary("rint", -2, 2),
    unary("round", -2.5, 2.5),
    unary("deg2rad", -90, 90),
    unary("rad2deg", -2, 2),
    unary("isnan", -2, 2),
    unary("isinf", -2, 2),
    unary("isfinite", -2, 2),
    unary("isposinf", -2, 2),
    unary("isneginf", -2, 2),
    unary("logical_not", -2, 2),
    unary("real", -2, 2),
    unary("imag", -2, 2),
    unary("conjugate", -2, 2),
    unary("nan_to_num", -2, 2),
]


def binary(name: str, low: float, high: float, **options: Any) -> Case:
    """A function of two arrays: one shape, axes of size 1, a scalar array, Python scalars, ints."""

    def fn(np_like: Any, x: Any, y: Any, column: Any, s: Any, half: Any, i: Any) -> Any:
        f = getattr(np_like, name)
        return f(x, y), f(column, x), f(x, s), f(half, x), f(2.0, x), f(i, x), f(i, i)

    args = (
        grid(low, high),
        grid(high, low + 0.1, dtype=np.float32),
        grid(low, high - 0.2, (2, 1)),
        np.float32(high)[None].reshape(()),
        grid(low, high, dtype=BF16),
        np.array([[1, 2, 3], [2, 1, 1]], np.int32),
    )
    return Case(name, fn, args, vmap=name in BATCHED, **options)


BINARY_FUNCTIONS = [
    binary("add", -2, 2),
    binary("subtract", -2, 2),
    binary("multiply", -2, 2, second=True),
    binary("divide", 0.5, 2, second=True),
    binary("maximum", -2, 2),
    binary("minimum", -2, 2),
    binary("float_power", 0.5, 2),
    binary("arctan2", 0.5, 2, second=True),
    binary("hypot", 0.5, 2),
    binary("logaddexp", -2, 2),
    binary("logaddexp2", -2, 2),
    binary("remainder", 0.5, 2),
    binary("fmod", 0.5, 2),
    binary("floor_divide", 0.5, 2),
    binary("divmod", 0.5, 2),
    binary("heaviside", -2, 2),
    binary("fmax", -2, 2),
    binary("fmin", -2, 2),
    binary("equal", -2, 2),
    binary("not_equal", -2, 2),
    binary("less", -2, 2),
    binary("less_equal", -2, 2),
    binary("greater", -2, 2),
    binary("greater_equal", -2, 2),
    binary("logical_and", -2, 2),
    binary("logical_or", -2, 2),
    binary("logical_xor", -2, 2),
    binary("isclose", -2, 2),
    binary("nextafter", -2, 2, grad=False),
]

INTS = np.array([[1, -7, 3], [0, 5, 2]], np.int32)
SMALL = np.array([[1, 2, 3], [4, 5, 6]], np.uint8)
BOOLS = np.array([[True, False, True], [False, False, True]])

INTEGER_FUNCTIONS = [
    Case(
        "bitwise",
        lambda np, i, u, b: (
            [f(i, 3) for f in (np.bitwise_and, np.bitwise_or, np.bitwise_xor)],
            [f(u, u) for f in (np.bitwise_and, np.bitwise_or, np.bitwise_xor)],
            [f(b, b) for f in (np.bitwise_and, np.bitwise_or, np.bitwise_xor)],
            np.invert(i), np.invert(u), np.invert(b),
        ),
        (INTS, SMALL, BOOLS),
    ),
    Case(
        "shifts",
        lambda np, i, u: (np.left_shift(i, 2), np.right_shift(i, 1), np.right_shift(u, 1),
                          np.left_shift(u, u), np.bitwise_count(i), np.bitwise_count(u)),
        (INTS, SMALL),
    ),
    Case(
        "integers",
        lambda np, i, u: (i + u, i * 2, u - 1, -i, i // 3, i % 3, u // 2, u % 4, i // -3, i % -3,
                          i / 2, abs(i), np.sign(i), np.sign(u), i**2, np.square(u), i == u, i < 2,
                          divmod(i, 2), np.fmod(i, 3), i // 0, i % 0),
        (INTS, SMALL),
    ),
    Case(
        "bools",
        lambda np, b: (b + b, b * True, b | False, b & b, ~b, np.maximum(b, False), b == b, b < b,
                       np.logical_not(b), b + 1, b * 2.0,
                       np.square(b), np.exp(b), np.where(b, 1, 0)),
        (BOOLS,),
    ),
]  # fmt: skip

COMPLEX = (grid(-1, 1) + 1j * grid(2, -1)).astype(np.complex64)


def complex_functions(np: Any, z: Any, w: Any) -> Any:
    return (
        z + w, z * w, z / w, z - 1.0, np.exp(z), np.log(z), np.sqrt(z), np.sin(z), np.cos(z),
        np.tanh(z), np.real(z), np.imag(z), np.conj(z), np.abs(z), z**2, z.astype("complex64"),
        np.square(z), np.log1p(z), np.expm1(z),
    )  # fmt: skip


COMPLEX_FUNCTIONS = [
    Case("complex", complex_functions, (COMPLEX, COMPLEX[::-1] + 0.5), tol=1e-4),
    Case(
        "complex tests",
        lambda np, z: (z == z, z != 1, np.isnan(z), np.isfinite(z), np.isinf(z), np.angle(z),
                       np.less(z, 1j), np.greater_equal(z, z), np.maximum(z, 0), np.sign(z),
                       np.rint(z), np.log2(z), np.log10(z)),
        (COMPLEX,),
        grad=False,
    ),
    Case("make complex", lambda np, x, y: lax_of(np).complex(x, y), (grid(0, 1), grid(1, 2))),
]  # fmt: skip

POWERS = [
    Case(
        "integer powers",
        lambda np, x: [np.power(x, n) for n in (-3, -1, 0, 1, 2, 3, 4, 7)] + [x**2, 2.0**x],
        (grid(0.5, 2),),
        second=True,
    ),
    Case(
        "power",
        lambda np, x, y, i: (x**y, x**0.5, x**i, 3**y, np.power(x, 2.0)),
        (grid(0.5, 2), grid(-1, 1), np.array([[0, 1, 2], [3, 0, 1]], np.int32)),
        second=True,
    ),
    Case(
        "power at zero",
        lambda np, x, i: (x**2, x**i, x**1, np.power(x, 3.0)),
        (np.zeros(3, np.float32), np.array([0, 1, 2], np.int32)),
    ),
]


def choices(np: Any, x: Any, y: Any, m: Any, half: Any) -> Any:
    return (
        np.where(m, x, y), np.where(x > 0, x, 0.0), np.where(m, 1.0, y), np.where(m, half, 0),
        np.where(m, x, half), np.clip(x, -0.5, 0.5), np.clip(x, None, y), np.clip(x, y[:1], None),
        np.where(m[:, :1], x, y), np.where(x[0, 0] > 0, x, y),
    )  # fmt: skip


TIES = np.array([[0.0, 1.0, -1.0], [2.0, 2.0, 0.0]], np.float32)

CHOICES = [
    Case("choices", choices, (grid(-1, 1), grid(1, -1.1), BOOLS, grid(-2, 2, dtype=BF16))),
    Case(
        "ties",
        lambda np, x: (np.maximum(x, 0.0), np.minimum(x, 2.0), np.abs(x), np.clip(x, 0.0, 2.0),
                       np.sign(x), np.maximum(x, x), np.where(x == 0, x, 2 * x)),
        (TIES,),
        steps=True,
    ),
    Case(
        "clamp",
        lambda np, lo, x, hi: lax_of(np).clamp(lo, x, hi),
        (np.full((2, 3), -0.5, np.float32), grid(-1, 1), np.full((2, 3), 0.5, np.float32)),
    ),
    Case(
        "clamp scalars",
        lambda np, x: lax_of(np).clamp(-0.5, x, 0.5),
        (grid(-1, 1),),
    ),
    Case(
        "select_n",
        lambda np, i, x, y, z: lax_of(np).select_n(i, x, y, z),
        (np.array([[0, 1, 2], [2, 1, 0]], np.int32), grid(0, 1), grid(1, 2), grid(2, 3)),
    ),
]  # fmt: skip

DTYPES = [
    Case(
        "astype",
        lambda np, x, i, b, h, z: (
            [v.astype(t) for v in (x, i, b, h) for t in ("float32", "int32", "bool", "float16")],
            x.astype(BF16), h.astype("int8"), z.real.astype("bool"), i.astype("uint8"),
            i.astype("complex64"), x.astype(float), np.astype(x, None),
        ),
        (grid(0.2, 2.8), np.abs(INTS), BOOLS, grid(0.2, 2.8, dtype=BF16), COMPLEX),
    ),
    Case(
        "promotion",
        lambda np, x, h, i, u, b: [
            a + c for a in (x, h, i, u, b) for c in (x, h, i, u, b, 1, 2.0, True)
        ],
        (grid(0, 1), grid(0, 1, dtype=BF16), np.abs(INTS), SMALL, BOOLS),
        grad=False,
        vmap=False,
    ),
    Case(
        "weak types",
        lambda np, x: (np.exp(1.0), np.sin(1), np.add(1, 2.0), np.maximum(1, 2), 1.0 + x[0, 0],
                       np.where(x[0, 0] > 0, 1.0, 2), np.square(2.0), np.sqrt(4), np.equal(1, 2),
                       np.real(1.0), np.multiply(True, 2), np.abs(-1), np.power(2.0, 3)),
        (grid(0, 1),),
    ),
    Case(
        "reduce_precision",
        lambda np, x: lax_of(np).reduce_precision(x, 8, 7),
        (grid(-1, 1),),
        grad=False,
    ),
    Case(
        "bitcast",
        lambda np, x: (jax.lax.bitcast_convert_type(x, jnp.int32),
                       jax.lax.bitcast_convert_type(x, jnp.uint16)),
        (grid(-1, 1),),
        grad=False,
    ),
    Case(
        "broadcasting",
        lambda np, x, row, s: (x + row, row * x, np.maximum(row, x), x / row, row + s,
                               np.where(row > 0, x, row)),
        (grid(-1, 1), grid(1, 2, (3,)), np.float32(1.5)[None].reshape(())),
        rank_promotion=True,
    ),
    Case(
        "empty",
        lambda np, x: (x + 1, np.sin(x), x * x, np.where(x > 0, x, 0), np.sum(x)),
        (np.zeros((0, 3), np.float32),),
    ),
]  # fmt: skip

SPECIAL_VALUES = np.array([0.0, -0.0, 1.0, np.inf, -np.inf, np.nan], np.float32)

SPECIAL = [
    Case(
        "special values",
        lambda np, x: (np.isnan(x), np.isinf(x), np.isfinite(x), np.nan_to_num(x), np.sign(x),
                       np.maximum(x, 0.0), np.minimum(x, 0.0), np.logaddexp(x, x), x == x,
                       np.abs(x),
                       np.fmax(x, 1.0), np.isclose(x, x), np.isclose(x, x, equal_nan=True),
                       np.floor(x), np.exp(x), np.tanh(x), np.isposinf(x), np.hypot(x, 1.0),
                       np.array_equal(x, x), np.array_equal(x, x, equal_nan=True),
                       np.allclose(x, x), np.sqrt(x), np.log(x)),
        (SPECIAL_VALUES,),
        grad=False,
    ),
    Case(
        "lax special",
        lambda np, x: [getattr(lax_of(np), n)(x) for n in
                       ("erf", "erfc", "logistic", "rsqrt", "lgamma", "digamma", "erf_inv")],
        (grid(0.1, 0.9),),
        second=False,
        tol=1e-4,
    ),
    Case(
        "round decimals",
        lambda np, x: [np.round(x, d) for d in (0, 1, 2)],
        (grid(-2, 2),),
        steps=True,
    ),
    Case("modf", lambda np, x: np.modf(x), (grid(-2.3, 2.4),)),
]  # fmt: skip

CASES = [
    *FLOAT_FUNCTIONS,
    *BINARY_FUNCTIONS,
    *INTEGER_FUNCTIONS,
    *COMPLEX_FUNCTIONS,
    *POWERS,
    *CHOICES,
    *DTYPES,
    *SPECIAL,
]
