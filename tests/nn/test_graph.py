"""Models written as graphs."""

from __future__ import annotations

import pickle

import jax
import numpy as np
import pytest
from layer_table import refused

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import nn, random

X = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3)), jnp.float32)


def make():
    x, y = nn.Input(), nn.Input()
    shared = nn.Dense(4)
    h = shared(x).then(nn.relu) * 2.0 + shared(y)
    h = nn.Dropout(0.5)(nn.BatchNorm(name="norm")(h), deterministic=True)
    return nn.Graph.of([x, y], {"h": h[:, :2], "sum": 1.0 + nn.Lambda(jnp.sum, {"axis": -1})(h)})


def test_graph_is_the_function_it_draws():
    model = make()
    variables = model.init(random.key(0), X, X + 1)
    assert set(variables["params"]) == {"layers_Dense_0", "layers_norm"}

    def run(params):
        state = {**variables, "params": params}
        y, updates = model.apply(state, X, X + 1, train=True, mutable=["batch_stats"])
        return (y["h"] ** 2).sum() + y["sum"].sum(), (y, updates)

    grads, (y, updates) = jaxcore.jit(jaxcore.grad(run, has_aux=True))(variables["params"])
    dense, y = jax.tree.map(np.asarray, (variables["params"]["layers_Dense_0"], y))
    first, second = (np.asarray(v) @ dense["kernel"] for v in (X, X + 1))
    h = 2 * np.maximum(first, 0) + second
    normal = (h - h.mean(0)) / np.sqrt(h.var(0) + 1e-5)
    np.testing.assert_allclose(y["h"], normal[:, :2], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(y["sum"], 1 + normal.sum(-1), rtol=1e-3, atol=1e-4)
    mean = updates["batch_stats"]["layers_norm"]["mean"]
    np.testing.assert_allclose(mean, 0.01 * h.mean(0), rtol=1e-4, atol=1e-6)
    assert all(np.all(np.isfinite(g)) for g in jax.tree.leaves(grads))


def test_a_graph_is_a_plain_value():
    model = make()
    assert model == make() and hash(model) == hash(make())
    again = pickle.loads(pickle.dumps(model))
    assert again == model and "layers_Dense_0" in again.summary(X, X)
    x = nn.Input()
    outer = nn.Graph.of([x], model(x, x)["h"])
    assert "layers_Graph_0" in outer.init(random.key(0), X)["params"]


MISTAKES = {
    "input": (lambda: nn.Graph.of([nn.Input()], nn.Dense(2)(nn.Input())), ["1 inputs", "Add it"]),
    "arguments": (lambda: make().init(0, X), ["<root> (Graph)", "1 arguments", "Expected 2"]),
    "names": (
        lambda: nn.Graph.of([x := nn.Input()], nn.Dense(2, name="a")(nn.Dense(2, name="a")(x))),
        ["two layers have the name 'a'"],
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake(name):
    refused(*MISTAKES[name])
    with pytest.raises(TypeError, match="by index"):
        a, b = nn.Input()
