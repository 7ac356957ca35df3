"""What the log of compilations says, and which executables are shared."""

import logging

import jax
import numpy as np
import pytest

import jaxcore
import jaxcore.numpy as jnp
from jaxcore.cache import Change

X = np.ones((2, 3), np.float32)


@pytest.fixture(autouse=True)
def quiet(caplog):
    caplog.set_level(logging.DEBUG, logger="jaxcore.recompile")


def compilations(fun, *calls, **settings):
    """What the log says of a jitted function's calls, each (args, kwargs)."""
    before = len(jaxcore.cache.log())
    jitted = jaxcore.jit(fun, **settings)
    for args, kwargs in calls:
        jitted(*args, **kwargs)
    return jaxcore.cache.log()[before:]


def scaled(x, n=2.0, *, flag=None):
    return jax.tree.map(lambda v: v * n, x)


CHANGES = {
    "shape": (((X,), {}), ((X[:1],), {}), Change("x", "float32[2,3]", "float32[1,3]")),
    "key added": (
        (({"a": X},), {}),
        (({"a": X, "b": X},), {}),
        Change("x['b']", "nothing", "float32[2,3]"),
    ),
    "key gone": (
        (({"a": X, "b": X},), {}),
        (({"a": X},), {}),
        Change("x['b']", "float32[2,3]", "nothing"),
    ),
    "keyword": (((X,), {}), ((X,), {"flag": True}), Change("flag", "nothing", "bool[]")),
    "structure": (
        (([X],), {}),
        (((X,),), {}),
        Change(
            "the structure of the arguments",
            "PyTreeDef((([*],), {}))",
            "PyTreeDef((((*,),), {}))",
        ),
    ),
}


@pytest.mark.parametrize("case", CHANGES)
def test_what_changed(case):
    one, other, change = CHANGES[case]
    first, second = compilations(scaled, one, other, one)
    assert first.changes == () and second.changes == (change,)
    assert first.function == second.function == "scaled"
    assert first.how == second.how == "compiled" and second.seconds > 0
    assert __file__ in second.call_site


def test_a_static_argument_and_a_setting_of_jax():
    records = compilations(
        scaled, ((X, 2), {}), ((X, 3), {}), ((X,), {"n": 4}), static_argnames="n"
    )
    assert [c.changes for c in records[1:]] == [
        (Change("n", "2", "3"),),
        (Change("n", "3", "4"),),
    ]
    jitted = jaxcore.jit(scaled)
    jitted(X)
    with jax.default_matmul_precision("highest"):
        jitted(X)
    (change,) = jaxcore.cache.log()[-1].changes
    assert change == Change("a setting of JAX", "None", "highest")


def test_an_array_that_was_put_somewhere():
    put = jax.device_put(X, jax.devices()[0])
    _, second = compilations(scaled, ((X,), {}), ((put,), {}))
    (change,) = second.changes
    assert change.path == "x" and change.old == "float32[2,3]" and " on " in change.new


def test_it_is_compared_with_the_call_most_like_it():
    big, small = np.ones((9, 9), np.float32), np.ones((1, 1), np.float32)
    two = lambda x, y: (x, y)
    records = compilations(two, ((X, X), {}), ((big, big), {}), ((X, small), {}))
    assert records[-1].changes == (Change("y", "float32[2,3]", "float32[1,1]"),)
    assert records[1].changes[0].path == "x" and len(records[1].changes) == 2


def test_a_long_list_of_changes_is_one_short_line():
    def many(n):
        return (({f"w{i}": np.ones((n,), np.float32) for i in range(9)},), {})

    _, second = compilations(scaled, many(2), many(3))
    assert len(second.changes) == 9
    assert "x['w2'] float32[2] -> float32[3]; 6 more, called at" in str(second)


# --- weak types: executables are shared, types are not -------------------------------------------


def branches(x, rate):
    inner = jaxcore.jit(lambda a: jnp.tanh(a * rate))
    y, _ = jaxcore.lax.scan(lambda c, _: (inner(c) - rate * c, None), x, length=3)
    return jaxcore.lax.cond(y.sum() > 0, lambda v: v * rate, lambda v: v, y), rate * 0.5, rate


@pytest.mark.parametrize("transform", [lambda f: f, lambda f: jaxcore.vmap(f, (0, None))])
def test_a_program_without_use_for_a_weak_type_is_compiled_once(transform):
    fun = transform(branches)
    rates = (0.5, np.float32(0.5), jnp.float32(0.5))
    records = compilations(fun, *(((X, rate), {}) for rate in rates))
    assert [c.how for c in records] == ["compiled", "shared"]
    jitted = jaxcore.jit(fun)
    for rate in rates * 2:
        for got, want in zip(jitted(X, rate), jax.jit(transform(reference))(X, rate), strict=True):
            assert jax.typeof(got) == jax.typeof(want)
            np.testing.assert_allclose(got, want, rtol=1e-6)


def reference(x, rate):
    y, _ = jax.lax.scan(lambda c, _: (jax.numpy.tanh(c * rate) - rate * c, None), x, length=3)
    return jax.lax.cond(y.sum() > 0, lambda v: v * rate, lambda v: v, y), rate * 0.5, rate


def test_where_the_weak_type_decides_there_are_two():
    x = jnp.ones(3, jnp.bfloat16)
    records = compilations(lambda x, r: x * r, ((x, 0.5), {}), ((x, np.float32(0.5)), {}))
    assert [c.how for c in records] == ["compiled", "compiled"]
    assert records[1].changes == (Change("r", "~float32[]", "float32[]"),)


def test_captured_arrays_may_differ_between_traces():
    held = {"a": jnp.ones(3)}
    jitted = jaxcore.jit(lambda x, r: x + r * held["a"])
    x = np.zeros(3, np.float32)
    np.testing.assert_array_equal(jitted(x, 2.0), [2, 2, 2])
    held["a"] = jnp.arange(3.0)
    np.testing.assert_array_equal(jitted(x, np.float32(2)), [0, 2, 4])
    np.testing.assert_array_equal(jitted(x, 2.0), [2, 2, 2])  # as traced, like JAX


def test_donated_arguments_and_shared_executables():
    jitted = jaxcore.jit(lambda x, r: x * r, donate_argnums=0)
    for rate in (2.0, np.float32(2), 2.0, np.float32(2)):
        x = jnp.ones((4, 4))
        np.testing.assert_array_equal(jitted(x, rate), np.full((4, 4), 2.0))
        assert x.is_deleted()


# --- who is told ---------------------------------------------------------------------------------


def test_the_library_itself_is_left_out():
    before = len(jaxcore.cache.log())
    for n in (2, 3):
        jaxcore.random.beta(jaxcore.random.key(0), 2.0, 3.0, (n,))
        jnp.sin(jnp.ones(n))
    assert len(jaxcore.cache.log()) == before


def test_jitted_derivatives_are_named_by_the_users_function():
    def loss(w):
        return (w**2).sum()

    _, second = compilations(jaxcore.grad(loss), ((X,), {}), ((X[:1],), {}))
    assert second.function == "loss" and second.changes[0].path == "w"


def test_a_cleared_function_starts_afresh():
    jitted = jaxcore.jit(scaled)
    jitted(X)
    jitted.clear_cache()
    jitted(X[:1])
    assert jaxcore.cache.log()[-1].changes == ()


@pytest.mark.rank_promotion
def test_helpers_of_the_trainer_are_left_out(key):
    from jaxcore.train.step import _two_keys

    before = len(jaxcore.cache.log())
    for promotion in ("allow", "warn", "raise"):
        with jax.numpy_rank_promotion(promotion):
            _two_keys(key)
    assert len(jaxcore.cache.log()) == before
