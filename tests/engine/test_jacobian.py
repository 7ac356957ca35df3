"""jacfwd, jacrev and hessian against JAX."""

import jax
import jax.numpy
import numpy as np
import pytest

import jaxcore
import jaxcore.numpy as jnp

X = np.array([0.5, -1.2, 2.0], np.float32)
M = np.arange(6, dtype=np.float32).reshape(2, 3) * 0.2


def close(ours, theirs):
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs)):
        assert a.shape == b.shape and a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def tree_function(np_):
    def f(p, x):
        return {"a": np_.sin(p["m"] @ x), "b": (p["s"] * np_.sum(x * x), x[0] * x)}

    return f


@pytest.mark.parametrize("name", ["jacfwd", "jacrev"])
@pytest.mark.parametrize("argnums", [0, 1, (0, 1), -1])
@pytest.mark.parametrize("compiled", [False, True])
def test_trees_and_argnums(name, argnums, compiled):
    args = ({"m": M, "s": np.float32(0.7)}, X)
    ours = getattr(jaxcore, name)(tree_function(jnp), argnums)
    theirs = getattr(jax, name)(tree_function(jax.numpy), argnums)
    close((jaxcore.jit(ours) if compiled else ours)(*args), theirs(*args))


def test_hessian():
    f = lambda np_: lambda x, s: np_.sum(np_.tanh(x * s) * x)
    args = (X, np.float32(1.3))
    close(jaxcore.hessian(f(jnp))(*args), jax.hessian(f(jax.numpy))(*args))
    close(
        jaxcore.jit(jaxcore.hessian(f(jnp), (0, 1)))(*args),
        jax.hessian(f(jax.numpy), (0, 1))(*args),
    )


@pytest.mark.parametrize("name", ["jacfwd", "jacrev", "hessian"])
def test_aux_and_holomorphic(name):
    f = lambda np_: lambda x: (np_.sum(x**3), {"n": x * 2})
    g = lambda np_: lambda z: np_.sum(np_.sin(z) * z)
    close(
        getattr(jaxcore, name)(f(jnp), has_aux=True)(X),
        getattr(jax, name)(f(jax.numpy), has_aux=True)(X),
    )
    z = (X + 1j * X[::-1]).astype(np.complex64)
    close(
        getattr(jaxcore, name)(g(jnp), holomorphic=True)(z),
        getattr(jax, name)(g(jax.numpy), holomorphic=True)(z),
    )


@pytest.mark.parametrize("name", ["jacfwd", "jacrev"])
def test_wrong_arguments(name):
    transform = getattr(jaxcore, name)
    with pytest.raises(ValueError, match="argnums=2.*1 positional"):
        transform(lambda x: x, argnums=2)(X)
    with pytest.raises(TypeError, match=r"float dtype, got int32\[3\]"):
        transform(lambda x: x * 1.0)(np.arange(3))
    with pytest.raises(TypeError, match="holomorphic"):
        transform(lambda x: x)(X * 1j)
