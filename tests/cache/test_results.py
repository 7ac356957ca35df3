"""What comes from the disk computes the same bits and behaves the same."""

from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np
import pytest
from cache.helpers import X, counts, forget_operations, fresh, same_bits

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import cache

pytestmark = pytest.mark.rank_promotion


def mlp(params, x):
    for p in params:
        x = jnp.tanh(x @ p["w"] + p["b"])
    return jnp.mean(x * x)


def training_step(params, x):
    loss, gradient = jaxcore.value_and_grad(mlp)(params, x)
    return jax.tree.map(lambda p, g: p - 0.1 * g, params, gradient), loss


def keys(key, n):
    a, b = jaxcore.random.split(key)
    return a, jaxcore.random.normal(b, (3,)) * n


def loop(x):
    def body(carry, y):
        return carry * 0.5 + y, jnp.where(y > 0, carry, -carry)

    carry, ys = jaxcore.lax.scan(body, jnp.zeros(()), x)
    return jaxcore.lax.cond(carry > 0, lambda: ys, lambda: ys * 2), carry


CASES = {
    "training step": (
        training_step,
        lambda r: (
            [{"w": r.standard_normal((4, 4), np.float32), "b": r.standard_normal(4, np.float32)}]
            * 2,
            r.standard_normal((3, 4), np.float32),
        ),
    ),
    "bfloat16": (
        lambda x: jnp.exp(x) @ x,
        lambda r: (r.standard_normal((3, 3)).astype(jnp.bfloat16),),
    ),
    "integers, booleans": (
        lambda x: (x // 3, x > 2, x << 1),
        lambda r: (np.arange(5, dtype="i2"),),
    ),
    "complex": (lambda x: jnp.abs(x * (1 + 2j)), lambda r: (np.ones(3, np.complex64) * 1j,)),
    "keys": (keys, lambda r: (jax.random.key(3), 2.0)),
    "weak types": (lambda x, y: (x + y, x * 2), lambda r: (1.0, 2)),
    "an unused input": (lambda x, y: x + 1, lambda r: (np.ones(2, np.float32), np.ones(7))),
    "no input": (lambda: jnp.arange(3) * 2, lambda r: ()),
    "inputs handed on": (lambda x, y: (y, x, x), lambda r: (np.ones(2, np.float32), 3)),
    "empty": (lambda x: x.sum(0), lambda r: (np.zeros((0, 3), np.float32),)),
    "control flow": (loop, lambda r: (r.standard_normal(5).astype(np.float32),)),
    "linear algebra": (
        lambda x: (jnp.linalg.solve(x, x.T), jnp.linalg.qr(x), jnp.linalg.eigh(x + x.T)),
        lambda r: (r.standard_normal((4, 4), np.float32),),
    ),
    "a rule of derivatives": (
        lambda x: jax.nn.relu(x) + jax.nn.silu(x),
        lambda r: (np.ones(3, "f4"),),
    ),
    "computed again": (
        jaxcore.grad(jaxcore.checkpoint(lambda x: jnp.sum(jnp.sin(jnp.cos(x))))),
        lambda r: (r.standard_normal(3, np.float32),),
    ),
    "sorting": (lambda x: (jnp.sort(x), jnp.argsort(x)), lambda r: (r.standard_normal(9),)),
}


@pytest.mark.parametrize("name", CASES)
def test_a_second_process_computes_the_same_bits(name, rng, compilations):
    f, arguments = CASES[name]
    args = jax.tree.map(jnp.asarray, arguments(rng)) if name != "weak types" else arguments(rng)
    before = compilations()
    first = fresh(f)(*args)
    assert counts() == (0, 1, 1) and compilations() == before + 2
    second = fresh(f)
    same_bits(first, second(*args))
    assert counts() == (1, 1, 1) and compilations() == before + 2
    same_bits(first, second(*args))  # by the dispatcher
    assert cache.stats().seconds_saved > 0 and cache.stats().errors == 0


def test_captured_arrays_are_arguments_of_what_is_stored(rng):
    for value in rng.standard_normal((3, 4)).astype(np.float32):
        captured = jnp.asarray(value)
        np.testing.assert_array_equal(fresh(lambda x: x + captured)(1.0), value + 1)  # noqa: B023
    assert counts() == (2, 1, 1)


def test_operations_outside_jit(compilations):
    x = jnp.asarray([1.0, -2.0])
    forget_operations()
    first = [jnp.sin(x), jnp.multiply(x, x), jnp.sum(x)]
    assert counts() == (0, 3, 3)
    before = compilations()
    forget_operations()
    same_bits(first, [jnp.sin(x), jnp.multiply(x, x), jnp.sum(x)])
    assert counts() == (3, 3, 3) and compilations() == before


def test_gradients_outside_jit(compilations):
    x = jnp.asarray([1.0, -2.0, 0.5])

    def gradients():
        forget_operations()
        f = lambda x: jnp.sum(jnp.cosh(x) * x)
        return jaxcore.grad(f)(x), jaxcore.vjp(f, x)[1](np.float32(2.0))

    first = gradients()
    before, (_, _, stored) = compilations(), counts()
    same_bits(first, gradients())
    assert counts() == (stored, stored, stored) and compilations() == before
    assert stored > 1


def test_donated_buffers_are_taken_over():
    def f(x, y):
        return x * 2 + y

    for hits in (0, 1):
        x, y = jax.numpy.ones(1000), jax.numpy.ones(1000)
        g = fresh(f, donate_argnums=0)
        for _ in range(2):
            pointer = x.unsafe_buffer_pointer()
            old, x = x, g(x, y)
            assert old.is_deleted() and not y.is_deleted()
            assert x.unsafe_buffer_pointer() == pointer
        with pytest.raises(RuntimeError, match="deleted"):
            g(old, y)
        assert counts()[0] == hits


def test_wrong_arguments_are_still_refused():
    compiled = [fresh(lambda x: x + 1), fresh(lambda x: x + 1)]
    for f in compiled:
        f(X)
        with pytest.raises(TypeError):
            f("text")
    assert counts() == (1, 1, 1)


def test_non_finite_values_are_still_found():
    def f(x):
        return jnp.log(x) * 2

    fresh(f)(X)
    with jax.debug_nans(True), pytest.raises(FloatingPointError, match="log"):
        fresh(f)(-X)


def test_a_loaded_executable_describes_itself():
    def f(x):
        return jnp.sin(x) @ x

    x = np.ones((2, 2), np.float32)
    fresh(f)(x)
    g = fresh(f)
    g(x)
    (entry,) = g._entries.values()
    assert "sin" in entry.compiled.as_text()
    assert entry.compiled.memory_analysis().argument_size_in_bytes == 16
    (sharding,), _ = entry.compiled.input_shardings
    assert sharding.device_set == {jax.devices()[0]}
    assert counts() == (1, 1, 1)


def test_several_threads_start_at_once():
    f, arguments = CASES["training step"]
    args = arguments(np.random.default_rng(0))
    expected = fresh(f)(*args)
    for _ in range(2):  # from the disk, then compiled by several and written by several
        functions = [fresh(f) for _ in range(4)]
        with ThreadPoolExecutor(4) as pool:
            for result in pool.map(lambda g: g(*args), functions):
                same_bits(expected, result)
        cache.clear()
    found = cache.stats()
    assert found.errors == 0 and found.hits >= 4 and found.hits + found.misses == 9
