"""What init and apply mean: mode, dtype, collections, random streams, programs."""

from __future__ import annotations

import functools

import jax
import numpy as np
import pytest

import jaxcore
import jaxcore.nn as nn
import jaxcore.numpy as jnp
from jaxcore import random

KEY = random.key(0)
X = jnp.asarray(np.random.default_rng(0).normal(size=(4, 3)), jnp.float32)


class Block(nn.Module):
    width: int = 3

    def __call__(self, x):
        return x + nn.Dropout(0.5)(nn.Dense(self.width)(x))


class Deep(nn.Module):
    n: int = 3

    def __call__(self, x):
        for _ in range(self.n):
            x = Block()(x)
        return x


def shapes(tree):
    return jax.tree.map(jnp.shape, tree)


# --- mode, dtype, state -------------------------------------------------------------------------


class Modes(nn.Module):
    def __call__(self, x):
        frozen = nn.BatchNorm(name="frozen")(x, train=False)
        return nn.BatchNorm(name="free")(x) + frozen


def test_mode_is_ambient_and_a_call_may_override_it():
    variables = Modes().init(KEY, X)
    _, updates = Modes().apply(variables, X, train=True, mutable=["batch_stats"])
    means = updates["batch_stats"]
    assert np.all(means["frozen"]["mean"] == 0) and np.all(means["free"]["mean"] != 0)


def test_a_method_with_its_own_train_parameter_gets_the_mode():
    class Own(nn.Module):
        def __call__(self, x, train=False):
            return x, train, self.training

    class Caller(nn.Module):
        def __call__(self, x):
            return Own()(x)[1:], Own()(x, False)[1:], Own()(x, train=False)[1:]

    assert Own().apply({}, X, train=True)[1:] == (True, True)
    assert Own().apply({}, X, True)[1:] == (True, True)
    assert Caller().apply({}, X, train=True) == ((True, True), (False, False), (False, False))


def test_compute_dtype_is_ambient_and_parameters_stay_float32():
    class Model(nn.Module):
        def __call__(self, x):
            a, b = nn.Dense(2)(x), nn.Dense(2, dtype=jnp.float32)(x)
            return a.dtype, b.dtype, nn.LayerNorm()(a), nn.Dense(2)(x, dtype=jnp.float16)

    variables = Model().init(KEY, X, dtype=jnp.bfloat16)
    assert {v.dtype for v in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    out = Model().apply(variables, X, dtype=jnp.bfloat16)
    assert out[:2] == (jnp.bfloat16, jnp.float32)
    assert (out[2].dtype, out[3].dtype) == (jnp.bfloat16, jnp.float16)
    assert Model().apply(variables, X)[0] == jnp.float32


class Counter(nn.Module):
    def __call__(self, x):
        fresh = not self.has_variable("state", "count")
        count = self.variable("state", "count", jnp.zeros, (), jnp.int32)
        if not fresh:
            count.value = count.value + 1
        self.sow("intermediates", "doubled", 2 * x)
        self.sow("losses", "sum", x.sum(), lambda a, b: a + b, lambda: jnp.zeros(()))
        return x


def test_collections():
    class Twice(nn.Module):
        def __call__(self, x):
            counter = Counter()
            return counter(counter(x))

    variables = Twice().init(KEY, X)
    assert set(variables) == {"state"}
    start = variables["state"]["Counter_0"]["count"]
    y, updates = Twice().apply(variables, X, mutable=True)
    assert updates["state"]["Counter_0"]["count"] == start + 2
    assert len(updates["intermediates"]["Counter_0"]["doubled"]) == 2
    np.testing.assert_allclose(updates["losses"]["Counter_0"]["sum"], 2 * X.sum(), rtol=1e-5)


def test_updates_hold_only_the_mutable_collections():
    variables = Modes().init(KEY, X)
    y = Modes().apply(variables, X)
    assert not isinstance(y, tuple)
    assert set(Modes().apply(variables, X, train=True, mutable=["batch_stats"])[1]) == {
        "batch_stats"
    }
    assert Modes().apply(variables, X, mutable=["other"])[1] == {}


# --- random streams -----------------------------------------------------------------------------


def test_rngs_one_key_or_streams():
    variables = Deep().init(KEY, X)
    run = functools.partial(Deep().apply, variables, X, train=True)
    once = run(rngs=KEY)
    np.testing.assert_array_equal(once, run(rngs=KEY))
    assert np.any(once != run(rngs=random.key(1)))
    by_name = run(rngs={"dropout": KEY})
    assert by_name.shape == once.shape
    assert np.any(by_name != run(rngs={"dropout": random.key(1)}))


def test_every_call_draws_other_numbers():
    class Draws(nn.Module):
        def __call__(self, x):
            drop = nn.Dropout(0.5)
            return drop(x), drop(x), nn.Dropout(0.5)(x), self.make_rng("a"), self.make_rng("a")

    ones = jnp.ones((64,))
    a, b, c, k1, k2 = Draws().apply({}, ones, train=True, rngs=KEY)
    assert np.any(a != b) and np.any(b != c) and np.any(a != c)
    assert np.any(random.key_data(k1) != random.key_data(k2))


def test_init_is_reproducible_and_depends_on_the_path_alone():
    class One(nn.Module):
        first: bool

        def __call__(self, x):
            if self.first:
                nn.Dense(3, name="extra")(x)
            return nn.Dense(3, name="same")(x)

    a, b = (One(first).init(KEY, X)["params"]["same"]["kernel"] for first in (False, True))
    np.testing.assert_allclose(a, b, rtol=1e-6)
    different = Deep().init(KEY, X)["params"]
    kernels = [different[f"Block_{i}"]["Dense_0"]["kernel"] for i in range(3)]
    assert np.any(kernels[0] != kernels[1]) and np.any(kernels[1] != kernels[2])
    assert abs(float(jnp.std(jnp.stack(kernels))) - 3**-0.5) < 0.2, "lecun_normal: 1/sqrt(fan in)"


# --- init -----------------------------------------------------------------------------------------


def test_init_from_shapes_inside_jit_and_abstractly():
    expected = Deep().init(KEY, X)
    struct = jaxcore.ShapeDtypeStruct(X.shape, X.dtype)
    for got in (Deep().init(KEY, struct), jaxcore.jit(Deep().init)(KEY, X)):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), got, expected)
    assert shapes(jaxcore.eval_shape(Deep().init, KEY, X)) == shapes(expected)


def test_init_of_an_ensemble():
    keys = random.split(KEY, 3)
    many = jaxcore.vmap(lambda key: Deep().init(key, X))(keys)
    one = Deep().init(keys[1], X)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a[1], b, rtol=1e-5), many, one)


def test_equal_parameters_are_separate_buffers():
    variables = Deep().init(KEY, X)["params"]
    donate = jaxcore.jit(lambda p: jax.tree.map(lambda v: v + 1, p), donate_argnums=0)
    donate(variables)


def test_init_values_that_need_the_data():
    class Norm(nn.Module):
        def __call__(self, x):
            mean = self.variable("stats", "mean", lambda: x.mean(0))
            scale = self.param("scale", lambda key: x.std(0) + 0 * random.uniform(key))
            twice = self.variable("stats", "twice", lambda: 2 * mean.value)
            steps = self.variable("stats", "steps", lambda: jnp.zeros((), jnp.int32))
            steps.value = steps.value + 1
            kernel = self.param("kernel", nn.initializers.normal(), (3, 2))
            return ((x - mean.value[None]) / scale[None]) @ kernel + twice.value.sum()

    variables = Norm().init(KEY, X)
    stats = variables["stats"]
    np.testing.assert_allclose(stats["mean"], X.mean(0), rtol=1e-5)
    np.testing.assert_allclose(stats["twice"], 2 * X.mean(0), rtol=1e-5)
    np.testing.assert_allclose(variables["params"]["scale"], X.std(0), rtol=1e-5)
    assert stats["steps"] == 1 and variables["params"]["kernel"].shape == (3, 2)


def test_init_with_output_and_creation_in_apply():
    y, variables = Deep().init_with_output(KEY, X)
    np.testing.assert_array_equal(y, Deep().apply(variables, X))
    y, created = Deep().apply({}, X, mutable=["params"], rngs=KEY)
    assert shapes(created) == shapes(variables)


# --- programs -------------------------------------------------------------------------------------


def test_apply_under_transformations():
    model = Deep()
    variables = model.init(KEY, X)

    def loss(params, x, key):
        return (model.apply({"params": params}, x, train=True, rngs=key) ** 2).sum()

    eager = jaxcore.value_and_grad(loss)(variables["params"], X, KEY)
    staged = jaxcore.jit(jaxcore.value_and_grad(loss))(variables["params"], X, KEY)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), eager, staged)
    each = jaxcore.vmap(lambda x: model.apply(variables, x[None])[0])(X)
    np.testing.assert_allclose(each, model.apply(variables, X), rtol=1e-5)


def test_state_flows_out_of_blocks():
    class Inner(nn.Module):
        def __call__(self, x):
            self.sow("intermediates", "in", x)
            return nn.BatchNorm()(x) + Counter()(x)

    class Outer(nn.Module):
        def __call__(self, x):
            inner = Inner()
            return inner(inner(x)) + Inner()(x)

    variables = Outer().init(KEY, X)
    step = functools.partial(Outer().apply, train=True, mutable=True)
    eager, staged = step(variables, X), jaxcore.jit(step)(variables, X)
    assert jax.tree.structure(eager) == jax.tree.structure(staged)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), eager, staged)
    assert staged[1]["state"]["Inner_0"]["Counter_0"]["count"] == 3


def test_equal_blocks_are_one_program():
    model = Deep(6)
    params = model.init(KEY, X)

    def forward(params, key):
        return model.apply(params, X, train=True, rngs=key)

    program = jaxcore.make_jaxpr(forward)(params, KEY)
    if not hasattr(program, "equations"):
        pytest.skip("not the engine's program")
    calls = [
        value
        for equation in program.equations
        for value in equation.params.values()
        if type(value).__name__ == "Program" and value.name == "Block"
    ]
    assert len(calls) == 6 and len({id(call) for call in calls}) == 1


def test_transformations_inside_a_module_see_its_parameters():
    class Model(nn.Module):
        def __call__(self, x):
            x = jaxcore.checkpoint(lambda x: nn.Dense(3, name="remat")(x))(x)
            dense = nn.Dense(3)
            x = jaxcore.vmap(dense)(x)
            slope = jaxcore.grad(lambda row: dense(row).sum())(x[0])
            return jaxcore.jit(lambda x: nn.Dense(3, name="jitted")(x))(x) + slope[None]

    variables = Model().init(KEY, X)
    assert set(variables["params"]) == {"remat", "Dense_0", "jitted"}
    p = variables["params"]
    h = X @ p["remat"]["kernel"] @ p["Dense_0"]["kernel"]
    expected = h @ p["jitted"]["kernel"] + p["Dense_0"]["kernel"].sum(1)[None]
    np.testing.assert_allclose(Model().apply(variables, X), expected, rtol=1e-4, atol=1e-5)
    staged = jaxcore.jit(Model().apply)(variables, X)
    np.testing.assert_allclose(staged, expected, rtol=1e-4, atol=1e-5)


def layer_outside_of_any_class(x):
    return nn.Dense(3, name="dense")(x)


def in_a_branch(f):
    return lambda x: jax.lax.cond(x.sum() < 1e9, f, lambda x: x, x)


@pytest.mark.parametrize("start", [jax.checkpoint, jax.jit, in_a_branch])
def test_jaxs_caches_keep_nothing_of_init(start):
    """A function that lives on is traced by JAX once for init and once for apply."""
    run = start(layer_outside_of_any_class)

    class Model(nn.Module):
        def __call__(self, x):
            return run(x)

    variables = Model().init(KEY, X)
    expected = X @ variables["params"]["dense"]["kernel"]
    np.testing.assert_allclose(Model().apply(variables, X), expected, rtol=1e-5, atol=1e-6)


class Stateful(nn.Module):
    """Writes state inside a transformation that it starts itself."""

    mode: str

    def __call__(self, x):
        def inner(x):
            y = nn.BatchNorm(name="norm")(nn.Dense(3, name="dense")(x))
            self.sow("intermediates", "y", y)
            return jnp.sum(y * y * x[:, :1])

        if self.mode == "jit":
            return jaxcore.jit(inner)(x)
        if self.mode == "grad":
            return jaxcore.value_and_grad(inner)(x)[0]
        if self.mode == "vjp":
            return jaxcore.vjp(inner, x)[0]
        if self.mode == "nested":
            return jaxcore.jit(jaxcore.value_and_grad(jaxcore.jit(inner)))(x)[0]
        return inner(x)


@pytest.mark.parametrize("mode", ["jit", "grad", "vjp", "nested"])
@pytest.mark.parametrize("wrap", [lambda f: f, jaxcore.jit], ids=["eager", "jit"])
def test_state_written_inside_a_transformation_gets_out(mode, wrap, rng):
    x = rng.standard_normal((4, 2)).astype(np.float32)
    plain, model = Stateful("plain"), Stateful(mode)
    variables = plain.init(jaxcore.random.key(0), x)
    found = model.init(jaxcore.random.key(0), x)
    jax.tree.map(np.testing.assert_array_equal, found, variables)
    run = lambda m: lambda v: m.apply(v, x, train=True, mutable=["batch_stats", "intermediates"])
    step = wrap(run(model))
    for scale in (1.0, 1.5):  # nothing of the first variables may be left in the second call
        v = jax.tree.map(lambda a, by=scale: a * by, variables)
        close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
        jax.tree.map(close, step(v), run(plain)(v))
