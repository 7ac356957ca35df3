"""Random numbers are JAX's, bit for bit, whatever the dtype, the shape and the kind of key."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxcore
from jaxcore import random

KEYS = {
    "typed": lambda r: r.key(11),
    "raw": lambda r: r.PRNGKey(11),
    "rbg": lambda r: r.key(11, impl="rbg"),
    "unsafe_rbg": lambda r: r.key(11, impl="unsafe_rbg"),
}
FLOATS = [np.float32, jnp.bfloat16, np.float16]


def same(ours, theirs):
    """Equal to the last bit, in types and weak types too."""
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert jax.typeof(a) == jax.typeof(b), (jax.typeof(a), jax.typeof(b))
    if jax.dtypes.issubdtype(jax.tree.leaves(ours)[0].dtype, jax.dtypes.prng_key):
        ours, theirs = jax.tree.map(jax.random.key_data, (ours, theirs))
    chex.assert_trees_all_equal(ours, theirs)


def check(draw, make=KEYS["typed"]):
    """`draw(random, key)` with ours equals the same with JAX's, with values and under jit."""
    key = make(jax.random)
    wanted = draw(jax.random, key)
    same(draw(random, key), wanted)
    same(jaxcore.jit(lambda key: draw(random, key))(key), wanted)


# --- keys ----------------------------------------------------------------------------------------


WORDS = np.arange(8, dtype=np.uint32).reshape(2, 2, 2)
OF_WORDS = [  # (what, a part of the message where it is an error)
    (lambda t: t.random.wrap_key_data(WORDS), None),
    (lambda t: t.random.wrap_key_data(np.arange(4, dtype=np.uint32), dtype="rbg"), None),
    (lambda t: t.vmap(lambda w: t.random.wrap_key_data(w), 1)(WORDS), None),
    (lambda t: t.random.key_data(t.random.wrap_key_data(WORDS)), None),
    (lambda t: t.jit(lambda k: t.random.key_data(t.random.clone(k)))(t.random.key(3)), None),
    (lambda t: t.vmap(t.random.key_data)(t.random.split(t.random.key(3), (2, 3))), None),
    (lambda t: (t.random.key_data(WORDS), t.random.clone(WORDS)), None),
    (lambda t: t.random.wrap_key_data(WORDS[0, 0, :1]), r"\(\.\.\., \(2,\)\), got uint32\[1\]"),
    (lambda t: t.random.wrap_key_data(np.arange(2)), r"uint32 words .* got int32\[2\]"),
    (lambda t: t.random.wrap_key_data([0, 1]), "wrap_key_data"),
    (lambda t: t.random.wrap_key_data(WORDS, impl="rbg", dtype="rbg"), "both"),
    (lambda t: t.random.key_data(1.0), "key_data"),
]


@pytest.mark.parametrize("number", range(len(OF_WORDS)))
def test_words_of_keys(number):
    make, message = OF_WORDS[number]
    if message is None:
        return same(make(jaxcore), make(jax))
    with pytest.raises((TypeError, ValueError)) as theirs:
        make(jax)
    with pytest.raises(theirs.type, match=message):
        make(jaxcore)


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize(
    "seed", [0, -1, 123, 2**40 + 5, np.int32(3), np.uint32(2**32 - 1)], ids=str
)
def test_seeds(kind, seed):
    impl = None if kind in ("typed", "raw") else kind
    name = "PRNGKey" if kind == "raw" else "key"
    ours, theirs = (
        getattr(random, name)(seed, impl=impl),
        getattr(jax.random, name)(seed, impl=impl),
    )
    same(ours, theirs)


def test_a_seed_may_be_traced():
    same(jaxcore.jit(random.key)(7), jax.random.key(7))
    same(jaxcore.vmap(random.key)(jnp.arange(3)), jax.vmap(jax.random.key)(jnp.arange(3)))


@pytest.mark.parametrize("kind", KEYS)
def test_split_and_fold_in(kind):
    for draw in (
        lambda r, k: r.split(k),
        lambda r, k: r.split(k, 5),
        lambda r, k: r.split(k, (2, 3)),
        lambda r, k: r.fold_in(k, 3),
        lambda r, k: r.fold_in(k, np.uint32(2**31 + 1)),
        lambda r, k: r.key_data(k),
        lambda r, k: r.fold_in(r.split(k)[1], 0),
    ):
        check(draw, KEYS[kind])


def test_a_split_key_unpacks_and_indexes():
    def f(key):
        a, b = random.split(key)
        keys = random.split(key, 3)
        return random.bits(a), random.bits(b), random.bits(keys[2]), len(keys)

    ours = jaxcore.jit(f)(random.key(0))
    a, b = jax.random.split(jax.random.key(0))
    assert int(ours[0]) == int(jax.random.bits(a)) and int(ours[1]) == int(jax.random.bits(b))
    assert int(ours[3]) == 3


def test_keys_are_batched_in_every_way():
    keys = jax.random.split(jax.random.key(0), 4)
    raw = jax.random.key_data(keys)
    data = jnp.arange(4)

    def draw(t, r):
        fold = t.vmap(r.fold_in)
        return {
            "keys": t.vmap(lambda k: r.normal(k, (2,)))(keys),
            "raw": t.vmap(lambda k: r.normal(k, (2,)))(raw),
            "last axis": t.vmap(lambda k: r.uniform(k), in_axes=1)(raw.T),
            "fold": r.key_data(fold(keys, data)),
            "fold key": r.key_data(t.vmap(r.fold_in, (0, None))(keys, 1)),
            "fold data": r.key_data(t.vmap(r.fold_in, (None, 0))(keys[0], data)),
            "fold grid": r.key_data(t.vmap(t.vmap(r.fold_in, (None, 0)), (0, None))(keys, data)),
            "split": r.key_data(t.vmap(lambda k: r.split(k, 3))(keys)),
            "twice": t.vmap(t.vmap(lambda k: r.bits(k)))(keys.reshape(2, 2)),
            "out": t.vmap(lambda k: r.uniform(k, (3,)), out_axes=1)(keys),
        }

    theirs = jax.jit(lambda: draw(jax, jax.random))()
    chex.assert_trees_all_equal(jaxcore.jit(lambda: draw(jaxcore, random))(), theirs)
    chex.assert_trees_all_equal(draw(jaxcore, random), theirs)


# --- samples -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FLOATS, ids=lambda d: np.dtype(d).name)
@pytest.mark.parametrize(
    "name", ["uniform", "normal", "exponential", "gumbel", "laplace", "logistic"]
)
def test_samplers_of_a_shape_and_dtype(name, dtype):
    check(lambda r, k: getattr(r, name)(k, (3, 5), dtype))


@pytest.mark.parametrize("kind", KEYS)
def test_samplers_for_each_kind_of_key(kind):
    def draw(r, key):
        return (
            r.normal(key),
            r.uniform(key, (2, 0)),
            r.uniform(key, (7,), minval=-2.0, maxval=3.0),
            r.randint(key, (5,), 0, 7),
            r.bernoulli(key, 0.3, (4,)),
            r.permutation(key, 6),
        )

    check(draw, KEYS[kind])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32], ids=lambda d: d.__name__)
def test_bits(dtype):
    check(lambda r, k: r.bits(k, (3, 4), dtype))


SAMPLES = {
    "bits": lambda r, k: r.bits(k),
    "a number for a shape": lambda r, k: r.bits(k, 3),
    "large normal": lambda r, k: r.normal(k, (50, 50)),
    "complex normal": lambda r, k: r.normal(k, (4,), np.complex64),
    "bounds": lambda r, k: r.uniform(k, (2, 3), minval=jnp.zeros(3), maxval=jnp.ones((2, 1)) * 4),
    "integer bounds": lambda r, k: r.uniform(k, (3,), minval=1, maxval=4),
    "truncated": lambda r, k: r.truncated_normal(k, -2, 2, (50,)),
    "truncated, arrays": lambda r, k: r.truncated_normal(k, jnp.zeros(3), jnp.ones((2, 1))),
    "truncated, bf16": lambda r, k: r.truncated_normal(k, -1.0, 1.0, (5,), jnp.bfloat16),
    "bernoulli": lambda r, k: r.bernoulli(k),
    "bernoulli, array": lambda r, k: r.bernoulli(k, jnp.array([0.1, 0.9])),
    "bernoulli, shape": lambda r, k: r.bernoulli(k, jnp.array([0.1, 0.9]), (3, 2)),
    "bernoulli, high": lambda r, k: r.bernoulli(k, 0.01, (9,), mode="high"),
    "bernoulli, bf16": lambda r, k: r.bernoulli(k, jnp.bfloat16(0.5), (3,)),
    "randint": lambda r, k: r.randint(k, (9,), -5, 5),
    "randint, uint8": lambda r, k: r.randint(k, (9,), 0, 256, np.uint8),
    "randint, int8": lambda r, k: r.randint(k, (9,), -128, 127, np.int8),
    "randint, uint32": lambda r, k: r.randint(k, (9,), 0, 7, np.uint32),
    "randint, empty range": lambda r, k: r.randint(k, (3,), 5, 5),
    "randint, full range": lambda r, k: r.randint(k, (9,), -(2**31), 2**31 - 1),
    "randint, arrays": lambda r, k: r.randint(k, (2, 3), jnp.arange(3), jnp.array([[9], [90]])),
    "rademacher": lambda r, k: r.rademacher(k, (5,), np.float32),
    "permutation": lambda r, k: r.permutation(k, 10),
    "permutation, rows": lambda r, k: r.permutation(k, jnp.arange(12.0).reshape(4, 3)),
    "permutation, axis": lambda r, k: r.permutation(k, jnp.arange(12.0).reshape(4, 3), axis=1),
    "permutation, independent": lambda r, k: r.permutation(
        k, jnp.arange(12).reshape(4, 3), independent=True
    ),
    "permutation, one": lambda r, k: r.permutation(k, jnp.arange(1)),
    "choice": lambda r, k: r.choice(k, 5, (4,)),
    "choice, all": lambda r, k: r.choice(k, jnp.arange(5.0), (5,), replace=False),
    "choice, rows": lambda r, k: r.choice(k, jnp.arange(6).reshape(2, 3), (2, 2), axis=1),
    "choice, p": lambda r, k: r.choice(k, 3, (6,), p=jnp.array([0.1, 0.2, 0.7])),
    "choice, p, once": lambda r, k: r.choice(
        k, 3, (2,), replace=False, p=jnp.array([0.1, 0.2, 0.7])
    ),
    "choice, none": lambda r, k: r.choice(k, 3, (0,)),
    "categorical": lambda r, k: r.categorical(k, jnp.arange(6.0).reshape(2, 3)),
    "categorical, axis": lambda r, k: r.categorical(k, jnp.arange(6.0).reshape(2, 3), axis=0),
    "categorical, shape": lambda r, k: r.categorical(k, jnp.zeros((2, 3)), shape=(4, 2)),
    "categorical, once": lambda r, k: r.categorical(k, jnp.zeros(5), shape=(3,), replace=False),
    "gumbel, high": lambda r, k: r.gumbel(k, (4,), mode="high"),
}


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.rank_promotion
def test_samples(name):
    check(SAMPLES[name])


def test_64_bits():
    with jax.enable_x64(True):
        check(lambda r, k: r.uniform(k, (3,), np.float64))
        check(lambda r, k: r.normal(k, (3,)))
        check(lambda r, k: r.randint(k, (3,), 0, 2**40))
        check(lambda r, k: r.bits(k, (3,)))
        same(random.key(2**40 + 1), jax.random.key(2**40 + 1))


def test_samples_inside_the_transformations_of_jax():
    def draw(r):
        def f(key, x):
            return jnp.sum(r.normal(r.fold_in(key, 1), (3,)) * x + r.uniform(key, (3,), maxval=x))

        return f

    key, x = jax.random.key(1), jnp.array([1.0, 2.0, 3.0])
    for t in (
        lambda f: jax.jit(f)(key, x),
        lambda f: jax.grad(f, 1)(key, x),
        lambda f: jax.vmap(f, (0, None))(jax.random.split(key, 2), x),
    ):
        chex.assert_trees_all_close(t(draw(random)), t(draw(jax.random)), rtol=1e-6)


def test_derivatives_are_those_of_the_reparameterisation():
    def f(bound, key):
        return jnp.sum(random.truncated_normal(key, -bound, bound, (4,)) ** 2)

    def g(bound, key):
        return jnp.sum(jax.random.truncated_normal(key, -bound, bound, (4,)) ** 2)

    key = jax.random.key(0)
    for ours, theirs in (
        (jaxcore.grad(f)(1.5, key), jax.grad(g)(1.5, key)),
        (jaxcore.jit(jaxcore.grad(f))(1.5, key), jax.grad(g)(1.5, key)),
    ):
        chex.assert_trees_all_close(ours, theirs, rtol=1e-4)


def test_equal_samplers_are_one_function():
    def f(key):
        return sum(random.normal(k, (3,)) for k in random.split(key, 4))

    program = jaxcore.make_jaxpr(f)(random.key(0))
    called = [eq.params["program"] for eq in program.equations if eq.primitive.name == "call"]
    normals = [p for p in called if "normal" in p.name]
    assert len(normals) == 4 and len(set(normals)) == 1
    names = {eq.primitive.name for eq in normals[0].equations}
    assert "random_bits" in names and all(eq.primitive.type for eq in normals[0].equations)


# --- errors --------------------------------------------------------------------------------------

MISTAKES = {
    "a batch of keys": lambda r: r.normal(jax.random.split(jax.random.key(0), 2)),
    "no key": lambda r: r.normal(3.5),
    "a list": lambda r: r.normal([0, 1]),
    "raw key of wrong shape": lambda r: r.normal(jnp.zeros(3, jnp.uint32)),
    "raw key of wrong dtype": lambda r: r.normal(jnp.zeros(2, jnp.float32)),
    "seed of rank 1": lambda r: r.key(jnp.arange(3)),
    "seed is a key": lambda r: r.key(jax.random.key(0)),
    "seed is a float": lambda r: r.key(1.5),
    "two generators": lambda r: r.key(0, impl="rbg", dtype="rbg"),
    "unknown generator": lambda r: r.key(0, impl="dice"),
    "fold_in of rank 1": lambda r: r.fold_in(jax.random.key(0), jnp.arange(3)),
    "integer dtype": lambda r: r.uniform(jax.random.key(0), (2,), np.int32),
    "float dtype": lambda r: r.randint(jax.random.key(0), (2,), 0, 3, np.float32),
    "signed bits": lambda r: r.bits(jax.random.key(0), (2,), np.int32),
    "shape of floats": lambda r: r.normal(jax.random.key(0), (2.0,)),
    "bounds do not fit": lambda r: r.randint(jax.random.key(0), (2,), jnp.zeros(3, int), 4),
    "probabilities do not fit": lambda r: r.bernoulli(jax.random.key(0), jnp.zeros(3), (2,)),
    "integer probability": lambda r: r.bernoulli(jax.random.key(0), 1),
    "unknown mode": lambda r: r.bernoulli(jax.random.key(0), 0.5, mode="medium"),
    "too many draws": lambda r: r.choice(jax.random.key(0), 3, (4,), replace=False),
    "draws from nothing": lambda r: r.choice(jax.random.key(0), 0, (4,)),
    "shape of choice": lambda r: r.choice(jax.random.key(0), 3, 4),
    "p does not fit": lambda r: r.choice(jax.random.key(0), 3, (4,), p=jnp.ones(2)),
    "permutation of a float": lambda r: r.permutation(jax.random.key(0), 3.0),
    "permutation axis": lambda r: r.permutation(jax.random.key(0), jnp.arange(3), axis=1),
    "categorical of a list": lambda r: r.categorical(jax.random.key(0), [1.0, 2.0]),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_raise_what_jax_raises(name):
    with pytest.raises(Exception) as theirs:
        MISTAKES[name](jax.random)
    with pytest.raises(type(theirs.value)) as ours:
        MISTAKES[name](random)
    assert len(str(ours.value)) > 20


def test_a_negative_size_is_refused():
    with pytest.raises(ValueError, match=r"negative sizes, got \(2, -1\)"):
        random.normal(random.key(0), (2, -1))


def test_names_of_jax_are_all_there():
    public = {n for n in dir(jax.random) if not n.startswith("_")}
    assert public <= set(dir(random))
    with pytest.raises(AttributeError):
        random.no_such_sampler  # noqa: B018
