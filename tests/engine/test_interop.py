"""Other libraries' arrays: NumPy's protocol, DLPack without a copy, pickling, keys in arrays."""

import copy
import pickle

import jax
import numpy as np
import pytest

import jaxcore
import jaxcore.numpy as jnp


@pytest.fixture(scope="module")
def result():
    return jaxcore.jit(lambda x: x * 2)(jnp.arange(4.0))


def test_numpy_reads_results(result):
    np.testing.assert_array_equal(np.asarray(result), [0, 2, 4, 6])
    assert np.sum(result) == 12 and len(result) == 4 and f"{result[1]:.1f}" == "2.0"
    np.testing.assert_array_equal(np.from_dlpack(result), [0, 2, 4, 6])


def test_results_are_pickled_and_copied(result):
    for other in (pickle.loads(pickle.dumps(result)), copy.deepcopy(result), copy.copy(result)):
        assert isinstance(other, jax.Array)
        np.testing.assert_array_equal(other, result)


def test_pytorch_shares_the_memory_of_results_and_the_other_way(result):
    torch = pytest.importorskip("torch", reason="needs the extra: pip install 'jaxcore[torch]'")
    there = torch.from_dlpack(result)
    assert there.data_ptr() == result.unsafe_buffer_pointer()
    tensor = torch.arange(4.0)
    back = jnp.from_dlpack(tensor)
    assert back.unsafe_buffer_pointer() == tensor.data_ptr()
    np.testing.assert_allclose(jaxcore.jit(jnp.sin)(back), np.sin(np.arange(4)), rtol=1e-6)


@pytest.mark.parametrize("transform", ["jit", "vmap"])
def test_tracers_have_the_methods_of_arrays(transform):
    def absent(m):
        names = []

        def f(x):
            for name in dir(jax.Array):
                try:
                    getattr(x, name)
                except AttributeError:
                    names.append(name)
                except (jax.errors.ConcretizationTypeError, NotImplementedError):
                    pass  # such as `committed` and `flat`, refused as in JAX
            return x

        getattr(m, transform)(f)(jnp.ones((2, 3, 3)))
        return set(names)

    assert absent(jaxcore) <= absent(jax)


KEYS = {
    "index": lambda m, ks: ks[m.numpy.array([2, 0])],
    "stack": lambda m, ks: m.numpy.stack([ks[0], ks[-1]]),
    "scan": lambda m, ks: m.lax.scan(lambda k, x: (x, m.random.fold_in(k, 1)), ks[0], ks)[1],
    "vmap": lambda m, ks: m.vmap(lambda k: m.random.fold_in(k, 2))(ks),
    "cond": lambda m, ks: m.lax.cond(True, lambda k: k[:2], lambda k: k[1:3], ks),
    "mapped cond": lambda m, ks: m.vmap(
        lambda p, k: m.lax.cond(p, lambda k: m.random.fold_in(k, 1), lambda k: k, k)
    )(m.numpy.array([True, False, True]), ks),
    "update": lambda m, ks: ks.at[0].set(ks[1]),
}


@pytest.mark.parametrize("name", KEYS)
def test_keys_in_arrays(name):
    keys = jax.random.split(jax.random.key(0), 3)
    expected = jax.random.key_data(KEYS[name](jax, keys))
    got = jaxcore.jit(lambda ks: KEYS[name](jaxcore, ks))(keys)
    np.testing.assert_array_equal(jax.random.key_data(got), expected)
