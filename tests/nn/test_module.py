"""What a module means: identity, names, sharing, methods."""

from __future__ import annotations

import copy
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
    init = nn.initializers
    for value in (
        Deep(2),
        nn.Dense(3, use_bias=False),
        nn.Sequential([nn.Conv(4, (3,)), nn.relu]),
        nn.Dense(3, kernel_init=init.normal(0.02), bias_init=init.constant((1.0, 2.0, 3.0))),
        nn.Embed(3, 2, embedding_init=init.variance_scaling(1 / 3, "fan_in", "uniform")),
        nn.LSTMCell(2, kernel_init=init.torch_kernel(), recurrent_kernel_init=init.orthogonal()),
    ):
        assert pickle.loads(pickle.dumps(value)) == value == copy.deepcopy(value)
    assert repr(nn.Dense(2, kernel_init=init.he_normal())) == (
        "Dense(\n  features=2,\n  kernel_init="
        "variance_scaling(scale=2.0, mode='fan_in', distribution='truncated_normal'),\n)"
    )
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
