"""Executables for several devices come from the disk with their shardings."""

from functools import partial

import jax
import numpy as np
import pytest
from cache.conftest import compilations, disk  # noqa: F401 (fixtures)
from cache.helpers import counts, fresh, same_bits

import jaxcore
import jaxcore.numpy as jnp
from jaxcore.sharding import AxisType, Mesh, NamedSharding, SingleDeviceSharding
from jaxcore.sharding import PartitionSpec as P

MESH = Mesh(np.array(jaxcore.devices()).reshape(4, 2), ("x", "y"))
EXPLICIT = jax.make_mesh((4, 2), ("x", "y"), axis_types=(AxisType.Explicit,) * 2)


def put(x, *spec, mesh=MESH):
    return jax.device_put(x, NamedSharding(mesh, P(*spec)))


def on_device(x, i):
    return jax.device_put(x, SingleDeviceSharding(jaxcore.devices()[i]))


def step(w, x):
    loss, gradient = jaxcore.value_and_grad(lambda w: jnp.mean(jnp.tanh(x @ w) ** 2))(w)
    return w - gradient, loss


def rows(x):
    return jaxcore.shard_map(
        lambda x: x - jaxcore.lax.pmean(x, "x"), mesh=MESH, in_specs=P("x"), out_specs=P("x")
    )(x)


def constrained(x):
    y = jaxcore.lax.with_sharding_constraint(x * 2, NamedSharding(MESH, P("y", "x")))
    return y, y.sum(0)


W = np.linspace(-1, 1, 64, dtype=np.float32).reshape(8, 8)
CASES = {
    "data in parts": (step, {}, lambda: (put(W), put(W, "x"))),
    "both in parts": (step, {}, lambda: (put(W, None, "y"), put(W, ("x", "y")))),
    "shard_map": (rows, {}, lambda: (put(W, "x"),)),
    "constraints": (constrained, {}, lambda: (put(W, "x", "y"),)),
    "in_shardings": (
        step,
        {
            "in_shardings": (NamedSharding(MESH, P()), NamedSharding(MESH, P("x"))),
            "out_shardings": NamedSharding(MESH, P()),
        },
        lambda: (W, W),
    ),
    "explicit axes": (jnp.sin, {}, lambda: (put(W, "x", "y", mesh=EXPLICIT),)),
    "another device": (step, {}, lambda: (on_device(W, 3), on_device(W, 3))),
    "keys": (lambda k: jaxcore.random.split(k, 2)[1], {}, lambda: (put(jax.random.key(1)),)),
}


@pytest.mark.parametrize("name", CASES)
def test_results_and_where_they_lie(name, compilations):  # noqa: F811
    f, options, arguments = CASES[name]
    args = arguments()
    first = fresh(f, **options)(*args)
    assert counts() == (0, 1, 1)
    g, before = fresh(f, **options), compilations()
    second = g(*args)
    assert counts() == (1, 1, 1) and compilations() == before
    for again in (second, g(*args)):
        same_bits(first, again)
        for x, y in zip(jax.tree.leaves(first), jax.tree.leaves(again), strict=True):
            assert x.sharding == y.sharding and x.committed == y.committed
            assert jax.typeof(x) == jax.typeof(y)


def test_each_placement_has_its_own():
    f = partial(jnp.multiply, 2)
    f.__name__ = "twice"
    places = [
        W,
        put(W),
        put(W, "x"),
        put(W, "y"),
        put(W, None, "x"),
        put(W, "x", "y"),
        put(W, mesh=Mesh(np.array(jaxcore.devices()[::-1]).reshape(4, 2), ("x", "y"))),
        put(W, mesh=Mesh(np.array(jaxcore.devices()[:4]).reshape(2, 2), ("x", "y"))),
        on_device(W, 0),
        on_device(W, 3),
    ]
    for _ in range(2):
        for x in places:
            y = fresh(f)(x)
            np.testing.assert_array_equal(y, 2 * W)
            if isinstance(x, jax.Array):
                assert y.sharding.is_equivalent_to(x.sharding, 2)
    n = len(places)
    assert counts() == (n, n, n)
