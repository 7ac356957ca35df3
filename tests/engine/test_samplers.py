"""Samplers with parameters: JAX's samples, derivatives and batches, on native programs."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxcore
from jaxcore import random
from jaxcore.ir import Program
from jaxcore.primitive import _opaque

KEY = jax.random.key(11)
BF16 = jnp.bfloat16
P = np.array([0.2, 0.7, 0.5], np.float32)
A = np.array([[0.3], [2.5]], np.float32)
B = np.array([1.5, 0.7, 30.0], np.float32)
COV = np.array([[2.0, 0.3], [0.3, 1.0]], np.float32)
MEANS = np.array([0.0, 0.5, 9.0, 20.0, 1e3, np.nan], np.float32)
COUNTS = np.array([5.0, 100.0, 1e4, np.nan, np.inf, -1.0], np.float32)
CHANCES = np.array([0.9, 0.4, 0.01, 0.5, 0.5, 0.5], np.float32)

# Each sampler with several arguments: the first is held against JAX's bits, eagerly and with a raw
# key, the others are compared under jit.
DRAWS = {
    "cauchy": [lambda r, k: r.cauchy(k, (3,)), lambda r, k: r.cauchy(k, (2,), BF16)],
    "rayleigh": [lambda r, k: r.rayleigh(k, P), lambda r, k: r.rayleigh(k, 2.0, (3,))],
    "triangular": [
        lambda r, k: r.triangular(k, 0.0, P, 2.0),
        lambda r, k: r.triangular(k, -1.0, 0.0, 2.0, (4,)),
    ],
    "weibull_min": [
        lambda r, k: r.weibull_min(k, P, B, (3,)),
        lambda r, k: r.weibull_min(k, 1, 2, (3,), BF16),
    ],
    "pareto": [lambda r, k: r.pareto(k, B), lambda r, k: r.pareto(k, 2.0, (3,), np.float16)],
    "lognormal": [
        lambda r, k: r.lognormal(k, P),
        lambda r, k: r.lognormal(k),
        lambda r, k: r.lognormal(k, 0.5, (3,), np.complex64),
    ],
    "wald": [lambda r, k: r.wald(k, P), lambda r, k: r.wald(k, 1.5, (4,))],
    "maxwell": [lambda r, k: r.maxwell(k, (4,)), lambda r, k: r.maxwell(k)],
    "double_sided_maxwell": [
        lambda r, k: r.double_sided_maxwell(k, P, 2.0),
        lambda r, k: r.double_sided_maxwell(k, 1.0, 2.0, (4,)),
    ],
    "gamma": [
        lambda r, k: r.gamma(k, B),
        lambda r, k: r.gamma(k, A, (2, 3)),
        lambda r, k: r.gamma(k, 3, (2,), BF16),
    ],
    "loggamma": [lambda r, k: r.loggamma(k, 0.001, (5,))],
    "beta": [lambda r, k: r.beta(k, B, 2.0, (2, 3))],
    "dirichlet": [lambda r, k: r.dirichlet(k, B, (2,))],
    "chisquare": [lambda r, k: r.chisquare(k, B)],
    "f": [lambda r, k: r.f(k, B, 2.5)],
    "t": [lambda r, k: r.t(k, B, (2, 3))],
    "generalized_normal": [lambda r, k: r.generalized_normal(k, 1.5, (3,))],
    "ball": [lambda r, k: r.ball(k, 2, 1.5, (3,))],
    "orthogonal": [lambda r, k: r.orthogonal(k, 3), lambda r, k: r.orthogonal(k, 2, (2,), m=4)],
    "multivariate_normal": [
        lambda r, k: r.multivariate_normal(k, jnp.ones(2), COV),
        lambda r, k: r.multivariate_normal(k, jnp.ones((3, 2)), COV, method="eigh"),
        lambda r, k: r.multivariate_normal(k, jnp.zeros(2), COV, (4,), method="svd"),
    ],
    "poisson": [lambda r, k: r.poisson(k, MEANS), lambda r, k: r.poisson(k, 5, (3,), np.int16)],
    "binomial": [
        lambda r, k: r.binomial(k, COUNTS, CHANCES),
        lambda r, k: r.binomial(k, 10, 0.3, (5,)),
    ],
    "multinomial": [
        lambda r, k: r.multinomial(k, 20, jnp.array([0.2, 0.3, 0.5])),
        lambda r, k: r.multinomial(k, jnp.array([5.0, 9.0]), jnp.array([[0.2, 0.8], [1.0, 0.0]])),
    ],
    "geometric": [lambda r, k: r.geometric(k, P), lambda r, k: r.geometric(k, 0.3, (2,), np.int8)],
}
OF_LINEAR_ALGEBRA = ("orthogonal", "multivariate_normal")


def close(ours, theirs):
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert jax.typeof(a) == jax.typeof(b), (jax.typeof(a), jax.typeof(b))
        if not jnp.issubdtype(a.dtype, jnp.inexact):
            np.testing.assert_array_equal(a, b)
            continue
        tol = 1e-5 if a.dtype.itemsize >= 4 else 1e-2
        a, b = (np.asarray(x).astype(np.complex128) for x in (a, b))
        np.testing.assert_allclose(a, b, rtol=tol, atol=tol)


@pytest.mark.parametrize("name", DRAWS)
@pytest.mark.rank_promotion
def test_samples(name):
    raw = jax.random.PRNGKey(5)
    first = DRAWS[name][0]
    ours, theirs = first(random, raw), first(jax.random, raw)
    assert jax.typeof(ours) == jax.typeof(theirs)
    chex.assert_trees_all_equal(ours, theirs)
    others = lambda r: lambda key: [draw(r, key) for draw in DRAWS[name][1:]]
    if len(DRAWS[name]) > 1:
        close(jaxcore.jit(others(random))(KEY), jax.jit(others(jax.random))(KEY))
    if name not in OF_LINEAR_ALGEBRA:
        check_native(jaxcore.make_jaxpr(lambda key: first(random, key))(KEY))


def check_native(program):
    """No equation is one that only JAX's rules understand."""
    foreign = set(_opaque.values())
    for eq in program.equations:
        assert eq.primitive not in foreign, eq.primitive.name
        for value in (eq.params or {}).values():
            if isinstance(value, Program):
                check_native(value)


BATCHED = {
    "gamma": (lambda r, k, a: r.gamma(k, a), B),
    "poisson": (lambda r, k, a: r.poisson(k, a, (2,)), B),
    "binomial": (lambda r, k, a: r.binomial(k, 20, a), P),
    "multivariate_normal": (
        lambda r, k, a: r.multivariate_normal(k, a, COV),
        np.stack([P[:2], B[:2]]),
    ),
}


@pytest.mark.parametrize("name", BATCHED)
@pytest.mark.rank_promotion
def test_samples_are_batched(name):
    """Over keys, over parameters, and over both: each example gets its own samples."""
    draw, parameters = BATCHED[name]
    n = len(parameters)
    parameters = jnp.asarray(np.stack(parameters))
    keys = jax.random.split(KEY, n)
    run = lambda axes: jaxcore.vmap(lambda k, a: draw(random, k, a), axes)
    one = jax.jit(lambda k, a: draw(jax.random, k, a))
    both, by_key, by_parameter = jaxcore.jit(
        lambda keys, p: (run((0, 0))(keys, p), run((0, None))(keys, p[0]), run((None, 0))(KEY, p))
    )(keys, parameters)
    for i in range(n):
        close(both[i], one(keys[i], parameters[i]))
        close(by_key[i], one(keys[i], parameters[0]))
        close(by_parameter[i], one(KEY, parameters[i]))


SLOPES = {
    "gamma": (lambda r, a: r.gamma(KEY, a), [B]),
    "loggamma": (lambda r, a: r.loggamma(KEY, a), [np.array([1e-3, 0.5, 9.0], np.float32)]),
    "beta": (lambda r, a, b: r.beta(KEY, a, b), [B, B[::-1].copy()]),
    "t": (lambda r, df: r.t(KEY, df), [B]),
    "generalized_normal": (lambda r, p: r.generalized_normal(KEY, p, (3,)), [np.float32(1.5)]),
    "multivariate_normal": (lambda r, m, c: r.multivariate_normal(KEY, m, c), [P[:2], COV]),
    "wald": (lambda r, m: r.wald(KEY, m), [P]),
    "triangular": (lambda r, a, b, c: r.triangular(KEY, a, b, c), [P - 1, P, P + 1]),
    "weibull_min": (lambda r, s, c: r.weibull_min(KEY, s, c, (3,)), [P, B]),
}


@pytest.mark.parametrize("name", SLOPES)
def test_derivatives_by_the_parameters(name):
    draw, parameters = SLOPES[name]

    def slopes(lib, r):
        loss = lambda *p: lib.numpy.sum(lib.numpy.sin(draw(r, *p)))
        return lib.jit(lib.grad(loss, tuple(range(len(parameters)))))(*parameters)

    chex.assert_trees_all_close(
        slopes(jaxcore, random), slopes(jax, jax.random), rtol=1e-3, atol=1e-4
    )


MISTAKES = {
    "gamma of integers": lambda r: r.gamma(KEY, 1.0, dtype=np.int32),
    "gamma shape": lambda r: r.gamma(KEY, B, (2,)),
    "loggamma of a list": lambda r: r.loggamma([1, 2], 1.0),
    "beta cast": lambda r: r.beta(KEY, jnp.zeros(2, jnp.complex64), 1.0),
    "dirichlet of a number": lambda r: r.dirichlet(KEY, 1.0),
    "dirichlet shape": lambda r: r.dirichlet(KEY, A, (3,)),
    "t shape": lambda r: r.t(KEY, B, (2,)),
    "lognormal of integers": lambda r: r.lognormal(KEY, 1.0, (), np.int32),
    "triangular shape": lambda r: r.triangular(KEY, 0.0, B, 1.0, (2,)),
    "method": lambda r: r.multivariate_normal(KEY, jnp.zeros(2), COV, method="lu"),
    "mean of rank 0": lambda r: r.multivariate_normal(KEY, 0.0, COV),
    "covariance of rank 1": lambda r: r.multivariate_normal(KEY, jnp.zeros(2), jnp.ones(2)),
    "covariance size": lambda r: r.multivariate_normal(KEY, jnp.zeros(3), COV),
    "another generator": lambda r: r.poisson(jax.random.key(0, impl="rbg"), 3.0),
    "binomial of integers": lambda r: r.binomial(KEY, 5, 0.5, dtype=np.int32),
    "geometric of floats": lambda r: r.geometric(KEY, 0.5, dtype=np.float32),
    "geometric shape": lambda r: r.geometric(KEY, P, (2,)),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_raise_what_jax_raises(name):
    with pytest.raises(Exception) as theirs:
        MISTAKES[name](jax.random)
    with pytest.raises(type(theirs.value)) as ours:
        MISTAKES[name](random)
    assert len(str(ours.value)) > 20


def test_approximate_samplers_are_those_of_jax():
    if jax.__version_info__ >= (0, 11):
        for name in ("gamma", "chisquare", "poisson"):
            ours, theirs = (
                getattr(r, name)(KEY, B, method="approximate") for r in (random, jax.random)
            )
            close(ours, theirs)
    else:
        with pytest.raises(NotImplementedError, match="needs jax 0.12"):
            random.gamma(KEY, B, method="approximate")
    with pytest.raises(ValueError, match="approximate"):
        random.gamma(KEY, 1.0, method="quick")
