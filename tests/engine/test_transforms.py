"""grad, jvp, vjp, linearize, vmap and jit, each composed with each, against JAX."""

import itertools

import jax
import jax.numpy
import numpy as np
import pytest

import jaxcore
import jaxcore.numpy as jnp

X = np.array([0.3, -1.2, 2.1], np.float32)


def body(np_, x):
    return np_.sum(np_.sin(x) * x + np_.exp(-x * x))


def close(ours, theirs, tol=1e-5):
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs)):
        assert np.shape(a) == np.shape(b)
        assert jax.numpy.asarray(a).dtype == jax.numpy.asarray(b).dtype
        np.testing.assert_allclose(a, b, rtol=tol, atol=tol)


def steps(lib):
    """Transformations that map a function of a vector to a scalar onto another such function."""
    return {
        "jit": lib.jit,
        "grad": lambda f: lambda x: lib.grad(f)(x).sum(),
        "jvp": lambda f: lambda x: lib.jvp(f, (x,), (x,))[1],
        "vjp": lambda f: lambda x: lib.vjp(f, x)[1](f(x))[0].sum(),
        "linearize": lambda f: lambda x: lib.linearize(f, x)[1](x),
        "vmap": lambda f: lambda x: lib.vmap(f)(lib.numpy.stack([x, x * 2.0])).sum(),
    }


@pytest.mark.parametrize("names", list(itertools.product(steps(jax), repeat=2)), ids="-".join)
def test_every_pair_composes(names):
    ours, theirs = (lambda x: body(jnp, x)), (lambda x: body(jax.numpy, x))
    for name in names:
        ours, theirs = steps(jaxcore)[name](ours), steps(jax)[name](theirs)
    close(ours(X), theirs(X), 1e-4)


@pytest.mark.parametrize(
    "names",
    [
        ("jit", "vmap", "grad", "grad"),
        ("grad", "vmap", "jit", "grad"),
        ("vmap", "vmap", "grad", "jit"),
        ("jvp", "grad", "vmap", "jit"),
        ("grad", "jvp", "grad", "jit"),
        ("linearize", "jit", "vjp", "vmap"),
        ("jit", "grad", "jit", "grad", "jit"),
    ],
    ids="-".join,
)
def test_longer_chains(names):
    ours, theirs = (lambda x: body(jnp, x)), (lambda x: body(jax.numpy, x))
    for name in names:
        ours, theirs = steps(jaxcore)[name](ours), steps(jax)[name](theirs)
    close(ours(X), theirs(X), 1e-3)


def test_our_transformations_are_ours(no_jax_transforms):
    def f(x):
        return jnp.sum(jnp.tanh(x) * x)

    g = jaxcore.jit(jaxcore.vmap(jaxcore.grad(lambda x: jaxcore.grad(f)(x).sum())))
    out = g(jnp.stack([X, X]))
    t = np.tanh(X)
    second = 2 * (1 - t**2) - 2 * X * t * (1 - t**2)
    np.testing.assert_allclose(out[0], second, rtol=1e-4, atol=1e-6)
    assert jaxcore.jvp(f, (X,), (X,))[1].shape == ()


def test_gradient_follows_python_control_flow_on_values():
    def f(x):
        total = x[0] * 0.0
        for i in range(3):
            if x[i] > 0:
                total = total + x[i] ** 2
            else:
                total = total - x[i]
        return total

    np.testing.assert_allclose(jaxcore.grad(f)(jnp.asarray(X)), [0.6, -1, 4.2], rtol=1e-5)
    assert float(jaxcore.grad(lambda x: x * float(np.asarray(2.0)))(3.0)) == 2.0


def test_value_and_grad_of_trees_with_aux_and_several_arguments():
    def loss(np_):
        def f(params, x, scale=1.0):
            h = np_.tanh(x @ params["w"]) + params["b"][0]
            return np_.sum(h * h) * scale, {"h": h, "n": 3}

        return f

    params = {"w": np.ones((3, 2), np.float32) * 0.3, "b": [np.float32(0.5)]}
    args = (params, X[None], 2.0)
    close(
        jaxcore.value_and_grad(loss(jnp), argnums=(0, 1), has_aux=True)(*args),
        jax.value_and_grad(loss(jax.numpy), argnums=(0, 1), has_aux=True)(*args),
    )
    close(
        jaxcore.jit(jaxcore.grad(loss(jnp), has_aux=True))(*args),
        jax.jit(jax.grad(loss(jax.numpy), has_aux=True))(*args),
    )
    gradient = jaxcore.grad(loss(jnp), argnums=-1, has_aux=True)(*args)[0]
    close(gradient, jax.grad(loss(jax.numpy), argnums=2, has_aux=True)(*args)[0])


def test_vjp_and_linearize_are_reusable_and_leave_jit():
    def f(x, y):
        return {"a": x * y, "b": jnp.sin(x)}

    y, back = jaxcore.vjp(f, 2.0, 3.0)
    assert [float(g) for g in back(y)] == pytest.approx([18 + np.cos(2) * np.sin(2), 12])
    assert [float(g) for g in back(y)] == pytest.approx([18 + np.cos(2) * np.sin(2), 12])
    out, back = jaxcore.jit(lambda x: jaxcore.vjp(jnp.sin, x))(2.0)
    assert float(back(1.0)[0]) == pytest.approx(np.cos(2))
    _, f_jvp = jaxcore.linearize(f, 2.0, 3.0)
    assert float(f_jvp(1.0, 0.0)["a"]) == 3.0
    assert float(f_jvp(0.0, 1.0)["a"]) == 2.0
    out, back, aux = jaxcore.vjp(lambda x: (x * 2, x + 1), 3.0, has_aux=True)
    assert (float(out), float(aux), float(back(1.0)[0])) == (6, 4, 2)


def test_integer_and_key_arguments_have_float0_tangents():
    def f(x, n, key):
        return x * n + jax.random.uniform(key)

    args = (2.0, 3, jax.random.key(0))
    gx, gn, gk = jaxcore.grad(f, argnums=(0, 1, 2), allow_int=True)(*args)
    tx, tn, tk = jax.grad(f, argnums=(0, 1, 2), allow_int=True)(*args)
    assert float(gx) == float(tx) == 3.0
    assert gn.dtype == tn.dtype == jax.dtypes.float0
    assert gk.dtype == tk.dtype == jax.dtypes.float0
    out = jaxcore.jvp(lambda x, n: (x * n, n), (2.0, 3), (1.0, np.zeros((), jax.dtypes.float0)))
    assert float(out[1][0]) == 3.0 and out[1][1].dtype == jax.dtypes.float0


def test_stop_gradient():
    f = lambda x: jaxcore.stop_gradient({"a": x * x})["a"] * x
    assert float(jaxcore.grad(f)(3.0)) == 9.0
    assert float(jaxcore.jit(jaxcore.grad(f))(3.0)) == 9.0
    assert float(jaxcore.jvp(f, (3.0,), (1.0,))[1]) == 9.0
    assert jaxcore.vmap(jaxcore.grad(f))(jnp.arange(3.0)).tolist() == [0, 1, 4]


def test_complex_functions():
    f = lambda lib: lambda z: lib.sin(z) * z
    z = np.complex64(0.3 + 0.2j)
    close(jaxcore.grad(f(jnp), holomorphic=True)(z), jax.grad(f(jax.numpy), holomorphic=True)(z))
    close(jaxcore.jvp(f(jnp), (z,), (z,)), jax.jvp(f(jax.numpy), (z,), (z,)))
    close(jaxcore.vjp(f(jnp), z)[1](z), jax.vjp(f(jax.numpy), z)[1](z))
    real = lambda lib: lambda x: lib.abs(lib.exp(1j * x) * x)
    close(jaxcore.grad(real(jnp))(0.7), jax.grad(real(jax.numpy))(0.7))


VMAP = [
    ((0, 0), 0),
    ((0, None), 0),
    ((None, 1), 0),
    ((1, 1), 1),
    ((-1, 0), -1),
    (({"a": 0, "b": None}, 0), {"o": 0, "p": None}),
]


@pytest.mark.parametrize("in_axes, out_axes", VMAP)
def test_vmap_axes(in_axes, out_axes):
    x = np.arange(9, dtype=np.float32).reshape(3, 3)

    def f(np_):
        def g(x, y):
            if isinstance(x, dict):
                return {"o": x["a"] * np_.sum(y), "p": x["b"] + 1.0}
            return np_.sin(x) * np_.sum(y)

        return g

    first = {"a": x, "b": x[0]} if isinstance(in_axes[0], dict) else x
    close(
        jaxcore.vmap(f(jnp), in_axes, out_axes)(first, x),
        jax.vmap(f(jax.numpy), in_axes, out_axes)(first, x),
    )


def test_vmap_without_mapped_results_and_with_axis_size():
    close(
        jaxcore.vmap(lambda x: (x, 3.0), out_axes=(0, 0))(X),
        jax.vmap(lambda x: (x, 3.0), out_axes=(0, 0))(X),
    )
    assert jaxcore.vmap(lambda: 1.0, axis_size=4)().shape == (4,)
    assert jaxcore.vmap(lambda x, *, y: x * y)(X, y=X).shape == (3,)


def test_second_derivatives_agree_with_finite_differences():
    def f(x):
        return jnp.sum(jnp.log1p(jnp.exp(x * 2.0)) * jnp.cos(x))

    def column(i):
        e = jnp.zeros(3).at[i].set(1e-2)
        return (jaxcore.grad(f)(X + e) - jaxcore.grad(f)(X - e)) / 2e-2

    hessian = jaxcore.vmap(jaxcore.grad(lambda x, v: jnp.vdot(jaxcore.grad(f)(x), v)), (None, 0))(
        jnp.asarray(X), jnp.eye(3)
    )
    for i in range(3):
        np.testing.assert_allclose(hessian[i], column(i), atol=2e-3)


@pytest.mark.parametrize("wrap", [lambda f: f, jaxcore.jit, jaxcore.grad], ids=["", "jit", "grad"])
def test_derivatives_of_constants_are_arrays(wrap):
    """Also where they are known while tracing: a Python float has no shape."""

    def f(x):
        results = (
            jaxcore.jvp(lambda x: (2.0, x), (x,), (x,))[1],
            jaxcore.linearize(lambda x: (2.0, x), x)[1](x),
            jaxcore.vjp(lambda x, y: x, x, 1.0)[1](x),
        )
        assert all(t.shape == () and t.dtype == np.float32 for t in jax.tree.leaves(results))
        return x

    wrap(f)(np.float32(1.0))
