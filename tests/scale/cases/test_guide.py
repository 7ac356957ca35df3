"""What a guide to computing on many devices shows, written for jaxcore: one layer in three ways."""

from functools import partial

import jax
import numpy as np
import pytest

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import nn
from jaxcore.sharding import AxisType, Mesh, NamedSharding
from jaxcore.sharding import PartitionSpec as P

MESH = Mesh(np.array(jaxcore.devices()).reshape(8), ("x",))
X = np.linspace(-2, 2, 32, dtype=np.float32)


@jaxcore.jit
def layer(x, weights, bias):
    return jaxcore.nn.sigmoid(x @ weights + bias)


@pytest.fixture
def operands(rng):
    shapes = (32,), (32, 4), (4,)
    return [rng.standard_normal(shape, np.float32) for shape in shapes]


def test_an_array_and_its_parts():
    mesh = jaxcore.make_mesh((2, 4), ("x", "y"), axis_types=(AxisType.Auto,) * 2)
    whole = np.arange(32.0, dtype=np.float32).reshape(4, 8)
    x = jaxcore.device_put(whole, NamedSharding(mesh, P("x", "y")))
    assert len(x.addressable_shards) == 8
    assert x.addressable_shards[0].data.shape == (2, 2)
    y = jaxcore.jit(lambda x: 2 * jnp.sin(x) + 1)(x)  # stays where it is
    assert y.sharding == x.sharding
    total = jaxcore.jit(lambda x: x.sum(axis=0))(x)  # the compiler adds what communicates
    assert total.sharding.is_equivalent_to(NamedSharding(mesh, P("y")), 1)
    np.testing.assert_allclose(total, whole.sum(0))

    @jaxcore.jit
    def constrained(x):
        return jaxcore.lax.with_sharding_constraint(x.sum(axis=0), NamedSharding(mesh, P("x")))

    assert constrained(x).sharding.is_equivalent_to(NamedSharding(mesh, P("x")), 1)


def test_parts_by_hand():
    seen = []

    @partial(jaxcore.shard_map, mesh=MESH, in_specs=P("x"), out_specs=P("x"))
    def elementwise(x):
        seen.append(x.shape)
        return 2 * jnp.sin(x) + 1

    y = elementwise(X)
    np.testing.assert_allclose(y, 2 * np.sin(X) + 1, rtol=1e-5, atol=1e-6)
    assert seen == [(4,)] and len(y.sharding.device_set) == 8

    @jaxcore.jit
    @jaxcore.shard_map(mesh=MESH, in_specs=P("x"), out_specs=P())
    def total(x):
        return jaxcore.lax.psum(x.sum(), "x")

    np.testing.assert_allclose(total(jnp.arange(32)), 32 * 31 / 2)


def test_a_layer_in_three_ways(operands):
    x, weights, bias = operands
    want = 1 / (1 + np.exp(-(x @ weights + bias)))

    cut = NamedSharding(MESH, P("x"))
    whole = NamedSharding(MESH, P())
    by_compiler = layer(
        jax.device_put(x, cut), jax.device_put(weights, cut), jax.device_put(bias, whole)
    )
    np.testing.assert_allclose(by_compiler, want, rtol=1e-5)

    explicit = jaxcore.make_mesh((8,), ("x",))
    placed = [jax.device_put(a, NamedSharding(explicit, P("x"))) for a in (x, weights)]
    with jaxcore.set_mesh(explicit):
        np.testing.assert_allclose(layer(*placed, bias), want, rtol=1e-5)

    @jaxcore.jit
    @partial(jaxcore.shard_map, mesh=MESH, in_specs=(P("x"), P("x"), P()), out_specs=P())
    def by_hand(x, weights, bias):
        return jaxcore.nn.sigmoid(jaxcore.lax.psum(x @ weights, "x") + bias)

    np.testing.assert_allclose(by_hand(x, weights, bias), want, rtol=1e-5)


class Model(nn.Module):
    def __call__(self, x):
        for _ in range(3):
            x = x + nn.Dense(8)(jnp.tanh(nn.LayerNorm()(x)))
        return nn.Dense(1)(x)


def test_a_model_with_its_examples_on_eight_devices(rng, key):
    x, y = rng.standard_normal((16, 8), np.float32), rng.standard_normal((16, 1), np.float32)
    model = Model()
    variables = model.init(key, x)

    def loss(variables, x, y):
        return jnp.mean((model.apply(variables, x) - y) ** 2)

    want = jaxcore.jit(jaxcore.grad(loss))(variables, x, y)
    cut, whole = NamedSharding(MESH, P("x")), NamedSharding(MESH, P())
    by_compiler = jaxcore.jit(
        jaxcore.grad(loss), in_shardings=(whole, cut, cut), out_shardings=whole
    )(variables, x, y)

    @jaxcore.jit
    @jaxcore.shard_map(mesh=MESH, in_specs=(P(), P("x"), P("x")), out_specs=P())
    def by_hand(variables, x, y):  # the gradient of what is the same everywhere is summed
        return jaxcore.grad(lambda v: loss(v, x, y) / 8)(variables)

    for got in (by_compiler, by_hand(variables, x, y)):
        for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


def test_functions_of_jax_that_map_over_devices():
    want = np.sin(X.reshape(8, 4)) / X.reshape(8, 4).sum(0)
    got = jaxcore.pmap(lambda x: jnp.sin(x) / jaxcore.lax.psum(x, "i"), axis_name="i")(
        X.reshape(8, 4)
    )
    np.testing.assert_allclose(got, want, rtol=1e-4)
    with jaxcore.set_mesh(MESH):
        got = jaxcore.smap(lambda x: jnp.sin(x) * 2, in_axes=0, out_axes=0, axis_name="x")(X)
    np.testing.assert_allclose(got, np.sin(X) * 2, rtol=1e-5, atol=1e-6)
