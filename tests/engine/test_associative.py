"""associative_scan against JAX's."""

import jax
import jax.numpy
import numpy as np
import pytest

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import lax


def product(np_):
    """The composition of affine maps, an operation that is associative and does not commute."""
    return lambda f, g: {"a": g["a"] * f["a"], "b": g["a"] * f["b"] + g["b"]}


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 7, 8])
@pytest.mark.parametrize("reverse", [False, True])
def test_values_are_those_of_jax_at_every_size(size, reverse, rng):
    tree = {"a": rng.standard_normal((2, size)), "b": rng.standard_normal((2, size))}
    tree = jax.tree.map(lambda x: x.astype(np.float32), tree)
    ours = jaxcore.jit(lambda t: lax.associative_scan(product(jnp), t, reverse, axis=-1))(tree)
    theirs = jax.jit(lambda t: jax.lax.associative_scan(product(jax.numpy), t, reverse, 1))(tree)
    for name in tree:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-5)


def test_signs_of_zeros_and_booleans_pass_through():
    zeros = np.array([0.0, -0.0, -0.0, -0.0], np.float32)
    last = lax.associative_scan(lambda a, b: b, zeros)
    np.testing.assert_array_equal(np.signbit(last), np.signbit(zeros))
    flags = np.array([False, False, True, False, False])
    np.testing.assert_array_equal(
        lax.associative_scan(jnp.logical_or, flags), np.logical_or.accumulate(flags)
    )


def test_derivatives_and_batches_are_those_of_jax(rng):
    def f(t, lax_, np_):
        @t.jit
        def loss(x):
            out = lax_.associative_scan(np_.multiply, x, axis=0)
            return np_.sum(np_.sin(out))

        return lambda xs: (t.vmap(t.grad(loss))(xs), t.hessian(loss)(xs[0]))

    xs = rng.standard_normal((3, 5)).astype(np.float32)
    ours, theirs = f(jaxcore, lax, jnp), f(jax, jax.lax, jax.numpy)
    for a, b in zip(jaxcore.jit(ours)(xs), theirs(xs)):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    inside = jax.jit(jax.grad(lambda x: jnp.sum(lax.associative_scan(jnp.multiply, x))))(xs[0])
    np.testing.assert_allclose(
        inside, jax.grad(lambda x: jax.numpy.cumprod(x).sum())(xs[0]), rtol=1e-4
    )


@pytest.mark.parametrize("name", ["cumprod", "cummax", "cummin", "cumlogsumexp"])
def test_running_reductions_are_differentiated_without_jax(name, no_jax_transforms, monkeypatch):
    monkeypatch.setattr(jax.lax, "associative_scan", None)
    x = np.array([0.5, 2.0, -1.0, 2.0], np.float32)
    gradient = jaxcore.grad(lambda x: jnp.sum(getattr(lax, name)(x, 0) * x))(x)
    slope = [
        (
            jnp.sum(getattr(lax, name)(x + d, 0) * (x + d))
            - jnp.sum(getattr(lax, name)(x - d, 0) * (x - d))
        )
        / 2e-2
        for d in 1e-2 * np.eye(4, dtype=np.float32)
    ]
    np.testing.assert_allclose(gradient, np.array(slope), rtol=0.02, atol=0.02)


def test_mistakes_are_named():
    x = np.arange(4, dtype=np.float32)
    with pytest.raises(TypeError, match="fn must be a function, got 3"):
        lax.associative_scan(3, x)
    with pytest.raises(ValueError, match=r"one size along axis 0.*\(4,\), \(2,\)"):
        lax.associative_scan(lambda a, b: a, (x, x[:2]))
    with pytest.raises(ValueError, match=r"axis 1 is out of bounds for float32\[4\]"):
        lax.associative_scan(jnp.add, x, axis=1)
    with pytest.raises(TypeError, match="fn must return the structure of elems"):
        lax.associative_scan(lambda a, b: (a, b), x)
    with pytest.raises(TypeError, match=r"made float32\[\] of float32\[2\]"):
        lax.associative_scan(lambda a, b: jnp.sum(a + b), x)
    with pytest.raises(ValueError, match="elems has no arrays"):
        lax.associative_scan(jnp.add, ())
