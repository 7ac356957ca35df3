"""A new process, as far as executables go; what the cache counted; equality of bits."""

import gc

import jax
import numpy as np

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import cache, eager
from jaxcore.primitive import Primitive


def base(x):
    return jnp.sin(x) * 2.0


X = np.ones(4, np.float32)


def named(f, name="base"):
    def g(x):
        return f(x)

    g.__name__ = g.__qualname__ = name
    return g


def here():
    return jax.sharding.SingleDeviceSharding(jax.devices()[0])


def fresh(f, **options):
    """`f` as a new process would find it: nothing about it is in memory."""
    jax.clear_caches()
    return jaxcore.jit(f, **options)


def forget_operations():
    """As a new process: no operation outside `jit` was run yet."""
    jaxcore.clear_caches()
    for x in gc.get_objects():
        if issubclass(type(x), Primitive):
            x.eager_memo.clear()
    eager._recent.clear()


def counts():
    found = cache.stats()
    return found.hits, found.misses, found.stored


def same_bits(a, b):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            x, y = jax.random.key_data(x), jax.random.key_data(y)
        assert (x.dtype, x.shape, x.weak_type) == (y.dtype, y.shape, y.weak_type)
        assert np.asarray(x).tobytes() == np.asarray(y).tobytes()
    assert jax.tree.structure(a) == jax.tree.structure(b)
