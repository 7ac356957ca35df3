"""One of several processes that train the same model; what it finds goes to a file.

``python process.py OUT PORT COUNT RANK`` is process RANK of COUNT; one alone starts no distributed
runtime. `XLA_FLAGS` gives each its share of four devices.
"""

import json
import sys

import jax
import numpy as np

import jaxcore
import jaxcore.numpy as jnp
from jaxcore.sharding import AxisType, NamedSharding
from jaxcore.sharding import PartitionSpec as P

out, port, count, rank = sys.argv[1], *map(int, sys.argv[2:5])
DEVICES = 4
if count > 1:
    jaxcore.config.update("jax_cpu_collectives_implementation", "gloo")
    jaxcore.distributed.initialize(
        f"127.0.0.1:{port}", count, rank, initialization_timeout=60, heartbeat_timeout_seconds=60
    )
assert jax.device_count() == DEVICES and jax.local_device_count() == DEVICES // count

mesh = jaxcore.make_mesh((DEVICES,), ("data",), axis_types=(AxisType.Auto,))
cut, whole = NamedSharding(mesh, P("data")), NamedSharding(mesh, P())
rng = np.random.default_rng(0)
X, Y = rng.standard_normal((16, 3), np.float32), rng.standard_normal((16, 2), np.float32)
W = rng.standard_normal((3, 2), np.float32)


def place(x: np.ndarray, sharding: NamedSharding) -> jax.Array:
    """An array over the devices of all processes, of which each holds its own part."""
    return jaxcore.make_array_from_callback(x.shape, sharding, lambda index: x[index])


def loss(w, x, y):
    return jnp.mean((jnp.tanh(x @ w) - y) ** 2)


def update(w, x, y):
    value, grad = jaxcore.value_and_grad(loss)(w, x, y)
    return w - 0.1 * grad, value


def update_of_parts(w, x, y):
    """The same by hand: every device has its own examples, and the gradients are averaged."""
    value, grad = jaxcore.value_and_grad(loss)(jaxcore.lax.pcast(w, "data", to="varying"), x, y)
    return w - 0.1 * jaxcore.lax.pmean(grad, "data"), jaxcore.lax.pmean(value, "data")


automatic = jaxcore.jit(
    update, in_shardings=(whole, cut, cut), out_shardings=whole, donate_argnums=0
)
manual = jaxcore.jit(
    jaxcore.shard_map(
        update_of_parts, mesh=mesh, in_specs=(P(), P("data"), P("data")), out_specs=(P(), P())
    )
)
found = {}
x, y = place(X, cut), place(Y, cut)
for name, step in (("automatic", automatic), ("manual", manual)):
    w, values = place(W, whole), []
    for _ in range(4):  # the first by the cache miss, the others by the dispatcher
        w, value = step(w, x, y)
        values.append(float(value))
    found[name] = {"losses": values, "w": np.asarray(w).tolist()}
found["eager"] = np.asarray(jaxcore.jit(lambda a: a, out_shardings=whole)(x * 2 + 1)).tolist()
total = jaxcore.shard_map(
    lambda a: jaxcore.lax.psum(a, "data"), mesh=mesh, in_specs=P("data"), out_specs=P()
)
found["total"] = np.asarray(total(x)).tolist()
with open(out, "w") as file:
    json.dump(found, file)
if count > 1:
    jaxcore.distributed.shutdown()
