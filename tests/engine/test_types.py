"""Result types: every pair of dtypes, weak or not, with Python's and NumPy's scalars, as in JAX."""

import itertools
import warnings

import jax
import jax.experimental
import jax.numpy
import numpy as np
import pytest

import jaxcore

KINDS = [
    "bool",
    "int8",
    "int32",
    "uint8",
    "uint16",
    "uint32",
    "float16",
    "bfloat16",
    "float32",
    "complex64",
    "float8_e4m3fn",
    "int4",
    "weak int32",
    "weak float32",
    "weak complex64",
]
WIDE = ["int64", "uint64", "float64", "complex128"]
SCALARS = {
    "1": 1,
    "1.0": 1.0,
    "1j": 1j,
    "np.float32": np.float32(1),
    "np.int64": np.int64(1),
    "np.bool_": np.bool_(True),
}


x64 = jax.enable_x64 if hasattr(jax, "enable_x64") else jax.experimental.enable_x64


def spec(name, shape=(2,)):
    weak, _, dtype = name.rpartition(" ")
    return jax.ShapeDtypeStruct(shape, dtype, weak_type=bool(weak))


def types(m, f, names):
    """Shapes, dtypes and weak types of ``f(m, *operands)``, or the class of its error."""
    arrays = [name for name in names if name not in SCALARS]

    def run(*values):
        left = iter(values)
        return f(m, *(SCALARS[name] if name in SCALARS else next(left) for name in names))

    try:
        avals = m.make_jaxpr(run)(*map(spec, arrays)).out_avals
    except (TypeError, ValueError, NotImplementedError) as error:
        return type(error).__name__
    return [(a.shape, str(a.dtype), a.weak_type) for a in avals]


def called(name):
    return lambda m, x, y: getattr(m.numpy, name)(x, y)


NAMED = """
true_divide floor_divide power maximum arctan2 logical_and bitwise_and left_shift fmod copysign
less dot heaviside gcd
"""
PAIRS = {
    **{name: called(name) for name in NAMED.split()},
    "+": lambda m, x, y: x + y,
    "*": lambda m, x, y: x * y,
    "/": lambda m, x, y: x / y,
    "**": lambda m, x, y: x**y,
    "<": lambda m, x, y: x < y,
    "&": lambda m, x, y: x & y,
    "@": lambda m, x, y: x @ y,
    "where": lambda m, x, y: m.numpy.where(True, x, y),
    "clip": lambda m, x, y: m.numpy.clip(x, y, y),
    "select": lambda m, x, y: m.numpy.select([True], [x], y),
    "concatenate": lambda m, x, y: m.numpy.concatenate(
        [m.numpy.atleast_1d(x), m.numpy.atleast_1d(y)]
    ),
    "stack": lambda m, x, y: m.numpy.stack(
        [m.numpy.broadcast_to(x, (2,)), m.numpy.broadcast_to(y, (2,))]
    ),
    "lax.mul": lambda m, x, y: m.lax.mul(x, y),
    "einsum": lambda m, x, y: m.numpy.einsum("i,i->", x, y),
    "full_like": lambda m, x, y: m.numpy.full_like(x, y.real if y is SCALARS["1j"] else y),
    "linspace": lambda m, x, y: m.numpy.linspace(x, y, 3),
    "result_type": lambda m, x, y: m.numpy.zeros((), m.numpy.result_type(x, y)),
}


@pytest.mark.rank_promotion
@pytest.mark.parametrize("name", PAIRS)
def test_pairs(name):
    """What JAX computes has JAX's type here; what it refuses for its types may be computed."""
    narrow = [k for k in KINDS if k not in ("uint16", "int32", "weak complex64")]
    compare(PAIRS[name], itertools.product([*narrow, *SCALARS], repeat=2))


@pytest.mark.rank_promotion
@pytest.mark.parametrize(
    "name", ["+", "/", "where", "power", "maximum", "concatenate", "logical_and"]
)
def test_pairs_with_64_bits(name):
    names = ["bool", "int32", "uint32", "bfloat16", "float32", "complex64", "weak float32", *WIDE]
    with x64(True):
        compare(PAIRS[name], itertools.product([*names, *SCALARS], repeat=2))


def compare(f, pairs):
    wrong = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of JAX: a complex value becomes real
        for pair in pairs:
            if all(name in SCALARS for name in pair):
                continue
            expected, got = types(jax, f, pair), types(jaxcore, f, pair)
            if got != expected and not isinstance(expected, str):
                wrong.append(f"{pair}: expected {expected}, got {got}")
    assert not wrong, "\n".join(wrong)


ALONE = """
sin exp sqrt abs sign round square negative invert isnan sum mean prod max cumsum any std
median sort zeros_like ones_like asarray real angle reciprocal floor cbrt logical_not atleast_2d
ravel sinc deg2rad log2
"""
SINGLE = {
    **{name: lambda m, x, name=name: getattr(m.numpy, name)(x) for name in ALONE.split()},
    "argmax": lambda m, x: m.numpy.argmax(m.numpy.real(x)),
    "astype": lambda m, x: x.astype("float16"),
    "view": lambda m, x: x.view("uint8"),
    "at add": lambda m, x: x.at[0].add(1),
    "at set": lambda m, x: x.at[0].set(2.5),
    "item": lambda m, x: x[0],
    "grad": lambda m, x: m.grad(lambda v: (v * x).sum().real)(x),
    "jit": lambda m, x: m.jit(lambda v: v * 2)(x),
    "vmap": lambda m, x: m.vmap(lambda v: v + 1)(x),
    "scan": lambda m, x: m.lax.scan(lambda c, v: (c, v + 1), x[0], x),
    "cond": lambda m, x: m.lax.cond(True, lambda v: v * 2, lambda v: v, x),
}


@pytest.mark.parametrize("name", SINGLE)
@pytest.mark.parametrize("wide", [False, True], ids=["32 bits", "64 bits"])
def test_single_operands(name, wide):
    names = [k for k in [*KINDS, *(WIDE if wide else [])] if not (wide and k.startswith("weak "))]
    with x64(wide):
        compare(SINGLE[name], [(n,) for n in names])


CREATION = {
    "zeros": lambda m: m.numpy.zeros(3),
    "ones of int": lambda m: m.numpy.ones(3, int),
    "full": lambda m: (m.numpy.full(2, 1), m.numpy.full(2, 1.5), m.numpy.full(2, True)),
    "arange": lambda m: (m.numpy.arange(3), m.numpy.arange(3.0), m.numpy.arange(0, 1, 0.5)),
    "lists": lambda m: (m.numpy.array([1, 2]), m.numpy.array([1, 2.0]), m.numpy.array([True])),
    "scalars": lambda m: (m.numpy.asarray(1), m.numpy.asarray(1.0), m.numpy.asarray(1j)),
    "float64 asked for": lambda m: m.numpy.asarray(np.arange(3.0)),
    "eye": lambda m: m.numpy.eye(2),
    "linspace": lambda m: m.numpy.linspace(0, 1, 3),
    "python": lambda m: (m.numpy.sin(1), m.numpy.add(1, 2), m.numpy.add(1, 2.0), m.numpy.abs(True)),
    "random": lambda m: m.random.uniform(m.random.key(0), (2,), m.numpy.bfloat16),
}


@pytest.mark.parametrize("name", CREATION)
@pytest.mark.parametrize("wide", [False, True], ids=["32 bits", "64 bits"])
def test_creation_eager_and_traced(name, wide):
    def shown(tree):
        leaves = [jax.numpy.asarray(x) for x in jax.tree.leaves(tree)]
        return [(x.shape, str(x.dtype), x.weak_type) for x in leaves]

    with x64(wide):
        expected = shown(CREATION[name](jax))
        assert shown(CREATION[name](jaxcore)) == expected
        assert shown(jaxcore.jit(lambda: CREATION[name](jaxcore))()) == expected


def test_a_real_function_of_complex_numbers_has_a_gradient():
    z = np.array([1 + 2j, -0.5j], np.complex64)

    def f(m):
        return m.grad(lambda z: (m.numpy.abs(z) ** 2 + (z * z).real).sum())

    np.testing.assert_allclose(f(jaxcore)(z), f(jax)(z), rtol=1e-6)
    np.testing.assert_allclose(jaxcore.jit(f(jaxcore))(z), f(jax)(z), rtol=1e-6)
