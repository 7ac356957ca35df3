"""`debug.check` raises where an index, a key, a dtype or an integer would go wrong in silence."""

import jax
import numpy as np
import pytest

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import debug, errors, lax, nn, random

X = np.arange(3, dtype=np.float32)
KEY = random.key(0)
BIG = np.array([70000], np.int32)
SOME = np.array([0, 5])


# name: (function, arguments, class, parts of the message)
WRONG = {
    "gather": (lambda x, i: x[i], (X, SOME), errors.OutOfBoundsError, ["index 5", "size 3"]),
    "one index": (lambda x, i: x[i], (X, 3), IndexError, ["index 3"]),
    "negative": (lambda x, i: x[i], (X, -4), IndexError, ["index -4 (-1 from the front)"]),
    "second axis": (lambda x, i: x[:, i], (np.ones((4, 3)) > 0, SOME), IndexError, ["axis 1"]),
    "scatter": (lambda x, i: x.at[i].add(1.0), (X, SOME), IndexError, ["index 5"]),
    "take": (lambda x, i: jnp.take(x, i), (X, SOME), IndexError, ["index 5"]),
    "slice": (
        lambda x, i: lax.dynamic_slice(x, (i,), (2,)),
        (X, 2),
        IndexError,
        ["index 2", "a window of 2"],
    ),
    "update": (
        lambda x, i: lax.dynamic_update_slice(x, x[:2], (i,)),
        (X, 2),
        IndexError,
        ["dynamic_update_slice"],
    ),
    "in a loop": (
        lambda x, n: lax.scan(lambda c, i: (c, x[i]), 0, n),
        (X, np.arange(4, dtype=np.int32)),
        IndexError,
        ["iteration 3", "index 3"],
    ),
    "two draws": (
        lambda key: random.normal(key) + random.uniform(key),
        (KEY,),
        errors.KeyReuseError,
        ["first by random_bits at"],
    ),
    "split of a used key": (
        lambda key: (random.normal(key), random.split(key)),
        (KEY,),
        errors.ReusedKeyError,
        ["by random_split"],
    ),
    "raw keys": (
        lambda key: random.normal(key) + random.normal(key),
        (random.PRNGKey(1),),
        errors.ReusedKeyError,
        [],
    ),
    "one key in a loop": (
        lambda key: lax.scan(lambda c, _: (c, random.normal(key)), 0.0, None, 2),
        (KEY,),
        errors.ReusedKeyError,
        ["(iteration 0)", "(iteration 1)"],
    ),
    "equal keys side by side": (
        jaxcore.vmap(lambda key: random.normal(key)),
        (jnp.stack([KEY, KEY]),),
        errors.ReusedKeyError,
        [],
    ),
    "float64": (lambda x: x * 2, (np.ones(3),), TypeError, ["float64, which becomes float32"]),
    "float64 made": (lambda: jnp.asarray(np.ones(3)), (), errors.NarrowedError, ["float64[3]"]),
    "int64": (lambda x: x + 1, (np.array([2**40]),), errors.NarrowedError, ["int32 cannot hold"]),
    "overflow": (
        lambda x, i: x[i * i - 1],
        (X, BIG),
        OverflowError,
        ["wrapped around in mul", "is an index at"],
    ),
    "sum overflow": (
        lambda x, i: x[jnp.sum(i).astype(int) // 9],
        (X, np.full(2, 2**30, np.int32)),
        errors.IndexOverflowError,
        ["reduce_sum"],
    ),
    "overflow carried by a loop": (
        lambda x, i: x[lax.scan(lambda c, _: (c * 70000, c), i, None, 3)[0]],
        (X, BIG[0]),
        errors.IndexOverflowError,
        ["iteration 0"],
    ),
    "division": (lambda i: i // (i - 70000), (BIG,), ZeroDivisionError, ["div", "int32[1]"]),
}


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "jit"])
@pytest.mark.parametrize("name", WRONG)
def test_what_is_found(name, compiled):
    function, args, kind, parts = WRONG[name]
    run = jaxcore.jit(function) if compiled else function
    if not compiled:  # NumPy's own indexing, arithmetic and errors do not go through us
        args = [x if name in ("float64", "int64") else jnp.asarray(x) for x in args]
        if name in ("float64", "int64"):
            run = lambda x: function(jnp.asarray(x))
    with pytest.raises(kind) as caught:
        debug.check(run)(*args)
    message = str(caught.value)
    assert isinstance(caught.value, errors.CheckError)
    assert "Your line: " in message and __file__ in message and "Fix: " in message
    for part in parts:
        assert part in message


RIGHT = {
    "inside": (lambda x, i: x[i], (X, np.array([-3, 2]))),
    "a mode for writing": (lambda x, i: x.at[i].set(0.0, mode="drop"), (X, SOME)),
    "a mode for reading": (lambda x, i: x.at[i].get(mode="clip"), (X, SOME)),
    "a value for outside": (lambda x, i: x.at[i].get(mode="fill", fill_value=0), (X, SOME)),
    "a function that drops": (lambda i: jnp.bincount(i, length=3), (SOME,)),
    "keys of one split": (lambda key: [random.normal(k) for k in random.split(key)], (KEY,)),
    "keys folded in a loop": (
        lambda key, n: lax.scan(lambda c, i: (c, random.normal(random.fold_in(key, i))), 0.0, n),
        (KEY, np.arange(3)),
    ),
    "a checkpoint draws again": (
        jaxcore.grad(
            jaxcore.checkpoint(lambda x, key: jnp.sum(jnp.sin(x) * random.normal(key, (3,))))
        ),
        (X, KEY),
    ),
    "small integers of 64 bits": (lambda x: x * 2, (np.arange(3),)),
    "a NumPy scalar": (lambda x: x * np.float64(0.1), (X,)),
    "an overflow that is no index": (lambda i: i * i, (BIG,)),
    "an overflow brought back": (lambda x, i: x[(i * i) % 3], (X, BIG)),
    "division": (lambda i: i // 7, (BIG,)),
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_right_passes(name):
    function, args = RIGHT[name]
    for run in (function, jaxcore.jit(function)):
        if run is function:
            args = [jnp.asarray(x) if x.dtype == np.float32 else x for x in args]
        for a, b in zip(
            jax.tree.leaves(debug.check(run)(*args)), jax.tree.leaves(run(*args)), strict=True
        ):
            np.testing.assert_allclose(a, b, rtol=1e-5)


SAMPLERS = ["normal", "uniform", "bernoulli", "gumbel", "exponential", "laplace", "cauchy"]


def test_samplers_draw_once():
    def draw(key):
        keys = random.split(key, len(SAMPLERS) + 5)
        yield from (getattr(random, name)(k) for name, k in zip(SAMPLERS, keys, strict=False))
        a, b, c, d, e = keys[len(SAMPLERS) :]
        yield random.randint(a, (2,), 0, 9)
        yield random.permutation(b, 5)
        yield random.categorical(c, jnp.zeros(3))
        yield random.gamma(d, 2.0)
        yield random.choice(e, 5, (3,), replace=False)

    debug.check(lambda key: list(draw(key)))(KEY)


def test_a_model_is_initialised_and_trained():
    class Model(nn.Module):
        def __call__(self, ids):
            x = nn.Embed(5, 4)(ids)
            return nn.Dense(2)(nn.Dropout(0.5)(nn.Dropout(0.5)(x)))

    model, ids = Model(), jnp.array([[0, 4]])

    @jaxcore.jit
    def loss(variables, ids, key):
        return jnp.sum(model.apply(variables, ids, train=True, rngs=key) ** 2)

    with debug.check():
        variables = model.init(random.key(1), ids)
        jaxcore.grad(loss)(variables, ids, random.key(2))
        with pytest.raises(errors.OutOfBoundsError, match=r"(?s)index 9.*Module: Embed_0"):
            loss(variables, jnp.array([[9]]), random.key(3))


def test_each_check_can_be_left_out():
    index = jaxcore.jit(lambda x, i: x[i])
    assert debug.check(index, bounds=False)(X, 7) == 2
    debug.check(WRONG["two draws"][0], keys=False)(KEY)
    debug.check(jaxcore.jit(lambda x: x), narrowing=False)(np.ones(2))
    debug.check(WRONG["overflow"][0], overflow=False, bounds=False)(jnp.asarray(X), jnp.array(BIG))
    debug.check(WRONG["division"][0], division=False)(jnp.asarray(BIG))


def test_context_and_decorator():
    index = jaxcore.jit(lambda x, i: x[i])
    index(X, 7)
    with debug.check(), pytest.raises(IndexError):
        index(X, 7)
    assert index(X, 7) == 2  # and off again

    @debug.check()
    def twice(key):
        return random.normal(key) + random.normal(key)

    for _ in range(2):  # each call begins anew
        with pytest.raises(errors.ReusedKeyError):
            twice(KEY)


def test_it_needs_values():
    with pytest.raises(RuntimeError, match=r"debug.check\(jit\(f\)\)"):
        jaxcore.jit(lambda x: debug.check(lambda x: x)(x))(X)
