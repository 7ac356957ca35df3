"""What a module means: identity, names, sharing, mode, collections, random streams, programs."""

from __future__ import annotations

import dataclasses
import functools
import pickle
from typing import Any

import jax
import numpy as np
import pytest

import jaxcore
import jaxcore.nn as nn
import jaxcore.numpy as jnp
from jaxcore import random

KEY = random.key(0)
X = jnp.asarray(np.random.default_rng(0).normal(size=(4, 3)), jnp.float32)


class Scale(nn.Module):
    factor: Any

    def __call__(self, x):
        return x * self.factor


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


def names(tree):
    return sorted("/".join(path) for path in _paths(tree))


def _paths(tree):
    if not isinstance(tree, dict):
        return [()]
    return [(k, *rest) for k, v in tree.items() for rest in _paths(v)]


def shapes(tree):
    return jax.tree.map(jnp.shape, tree)


# --- identity -------------------------------------------------------------------------------------


def test_equality_counts_types_and_ignores_the_name():
    assert Scale(1) == Scale(1) and hash(Scale(1)) == hash(Scale(1))
    assert len({Scale(1), Scale(True), Scale(1.0), Scale(1.0 + 0j), Scale(-0.0), Scale(0.0)}) == 6
    assert Scale(1, name="a") == Scale(1, name="b")
    assert Scale((1, [2])) != Scale((1, [True]))
    assert Scale(Scale(1, name="a")) != Scale(Scale(1, name="b")), "they give other parameter trees"


def test_functions_compare_by_code_and_closure():
    def make(scale):
        return lambda x: x * scale

    normal = nn.initializers.normal
    assert nn.Dense(3, kernel_init=normal(0.1)) == nn.Dense(3, kernel_init=normal(0.1))
    assert nn.Dense(3, kernel_init=normal(0.1)) != nn.Dense(3, kernel_init=normal(0.2))
    assert Scale(make(1)) == Scale(make(1)) != Scale(make(True))
    partial = functools.partial
    assert Scale(partial(make, 1)) == Scale(partial(make, 1)) != Scale(partial(make, 2))
    array = np.ones(2)
    assert Scale(array) == Scale(array) != Scale(np.ones(2)), "arrays compare by identity"


def test_a_recursive_closure_has_an_identity():
    def countdown(n):
        return n if n == 0 else countdown(n - 1)

    assert Scale(countdown) == Scale(countdown)


def test_a_module_is_a_leafless_pytree_and_a_jit_argument():
    assert jax.tree.leaves(Deep()) == []
    traced = []

    @jaxcore.jit
    def double(module, x):
        traced.append(module)
        return module.apply({}, x)

    assert double(Scale(2), X)[0, 0] == 2 * X[0, 0]
    double(Scale(2), X)
    assert len(traced) == 1
    double(Scale(True), X)
    assert len(traced) == 2


def test_modules_are_frozen_and_say_what_to_do():
    with pytest.raises(dataclasses.FrozenInstanceError, match=r"dataclasses.replace\(module, n="):
        Deep().n = 4
    held = nn.Sequential([nn.relu])
    assert held.layers == (nn.relu,)
    with pytest.raises(TypeError, match="modules are static"):
        Scale({"a": 1}).factor["a"] = 2
    assert dataclasses.replace(Deep(), n=5) == Deep(5)


def test_modules_pickle_and_print_as_a_tree():
    module = nn.Sequential([nn.Dense(4), nn.relu, Deep(2)])
    assert pickle.loads(pickle.dumps(Deep(2))) == Deep(2)
    assert repr(module) == (
        "Sequential(\n  layers=[\n    Dense(features=4),\n    relu,\n    Deep(n=2),\n  ],\n)"
    )


# --- names and sharing ----------------------------------------------------------------------------


def test_names_are_given_at_construction():
    class Model(nn.Module):
        def __call__(self, x):
            outer = nn.Dense(2)(nn.Dense(5)(x))
            return outer + nn.Dense(2, name="mine")(x) + nn.Dense(2)(x)

    params = Model().init(KEY, X)["params"]
    assert shapes(params)["Dense_0"]["kernel"] == (5, 2)
    assert shapes(params)["Dense_1"]["kernel"] == (3, 5)
    assert set(params) == {"Dense_0", "Dense_1", "Dense_2", "mine"}


def test_one_instance_called_twice_shares():
    class Model(nn.Module):
        inner: nn.Module

        def __call__(self, x):
            return self.inner(self.inner(x))

    params = Model(nn.Dense(3)).init(KEY, X)["params"]
    assert names(params) == ["inner/bias", "inner/kernel"]
    y = Model(nn.Dense(3)).apply({"params": params}, X)
    layer = lambda x: x @ params["inner"]["kernel"]
    np.testing.assert_allclose(y, layer(layer(X)), rtol=1e-5)


def test_defaults_are_copied_per_owner():
    class Owner(nn.Module):
        inner: nn.Module = nn.Dense(2)
        more: tuple = (nn.Dense(2), nn.relu)

        def __call__(self, x):
            return self.inner(x) + self.more[1](self.more[0](x))

    class Model(nn.Module):
        def __call__(self, x):
            return Owner()(x) + Owner()(x)

    assert Owner().inner is not Owner().inner
    assert {n.rsplit("/", 1)[0] for n in names(Model().init(KEY, X)["params"])} == {
        f"Owner_{i}/{part}" for i in (0, 1) for part in ("inner", "more_0")
    }


def test_fields_hold_modules_in_lists_and_dicts():
    class Model(nn.Module):
        layers: list
        heads: dict

        def __call__(self, x):
            for layer in self.layers:
                x = layer(x)
            return {name: head(x) for name, head in self.heads.items()}

    model = Model([nn.Dense(4), nn.Sequential([nn.Dense(2)])], {"a": nn.Dense(1), "b": nn.Dense(2)})
    assert set(model.init(KEY, X)["params"]) == {"layers_0", "layers_1", "heads_a", "heads_b"}


def test_other_methods_and_parts_of_parts():
    class AutoEncoder(nn.Module):
        encoder: nn.Module
        decoder: nn.Module

        def __call__(self, x):
            return self.decode(self.encode(x))

        def encode(self, x):
            return self.encoder(x)

        def decode(self, z):
            return self.decoder(z)

    class Model(nn.Module):
        vae: nn.Module

        def __call__(self, x):
            return self.vae.decoder(self.vae.encode(x))

    part = AutoEncoder(nn.Dense(2), nn.Dense(3))
    variables = part.init(KEY, X)
    z = part.apply(variables, X, method="encode")
    assert z.shape == (4, 2)
    whole = part.apply(variables, X)
    np.testing.assert_array_equal(whole, part.apply(variables, z, method=AutoEncoder.decode))
    np.testing.assert_array_equal(whole, part.apply(variables, z, method=lambda m, z: m.decoder(z)))
    outer = Model(part).apply({"params": {"vae": variables["params"]}}, X)
    np.testing.assert_array_equal(whole, outer)


def test_embed_attends_with_its_own_table():
    class Tied(nn.Module):
        def __call__(self, tokens):
            embed = nn.Embed(7, 4)
            return embed.attend(embed(tokens))

    tokens = jnp.array([[1, 2], [3, 3]])
    variables = Tied().init(KEY, tokens)
    table = variables["params"]["Embed_0"]["embedding"]
    np.testing.assert_allclose(Tied().apply(variables, tokens), table[tokens] @ table.T, rtol=1e-5)


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
