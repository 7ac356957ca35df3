"""custom_root, custom_linear_solve and linear_transpose against JAX."""

import functools

import jax
import jax.numpy
import numpy as np
import pytest

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import lax

A = np.array([[3.0, 1.0], [0.5, 2.0]], np.float32)
B = np.array([1.0, 2.0], np.float32)
PAIRS = {"native": (lax, jnp), "through JAX": (jax.lax, jax.numpy)}


@pytest.fixture(params=PAIRS.values(), ids=PAIRS)
def pair(request):
    return request.param


def close(ours, theirs, tolerance=2e-4):
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs)):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=1e-5)


def everything(t, f, args, batched):
    """Values and derivatives of a scalar function of two arguments under every transformation."""
    gradient = t.grad(f, (0, 1))

    @t.jit
    def run(args, more):
        rows = [t.vmap(gradient, axes)(*xs) for (axes, _), xs in zip(batched, more)]
        return f(*args), gradient(*args), t.jvp(f, args, args), t.hessian(f, 1)(*args), rows

    return run(args, [xs for _, xs in batched])


def scalar_root(lax_, np_, has_aux):
    """The root of x³ = 10 sin(a) + b, by a loop that has no reverse mode."""

    def newton(f, x0):
        step = lambda x: x - f(x) / (3 * x * x)
        x = lax_.while_loop(lambda x: np_.abs(f(x)) > 1e-5, step, x0)
        return (x, {"size": np_.abs(x)}) if has_aux else x

    def root(a, b):
        f = lambda x: x**3 - np_.sin(a) * 10 - b
        out = lax_.custom_root(f, 1.0, newton, lambda g, y: y / g(1.0), has_aux=has_aux)
        return out[0] * out[1]["size"] if has_aux else out

    return root


@pytest.mark.parametrize("has_aux", [False, True])
def test_custom_root(pair, has_aux):
    args = (np.float32(0.7), np.float32(5.0))
    more = np.array([0.3, 0.7, 1.1], np.float32)
    batched = [((0, None), (more, args[1])), ((0, 0), (more, more + 4))]
    ours, theirs = scalar_root(*pair, has_aux), scalar_root(*PAIRS["through JAX"], has_aux)
    want = everything(jax, theirs, args, batched)
    close(everything(jaxcore, ours, args, batched), want)
    if not has_aux:
        close(jaxcore.grad(ours)(*args), want[1][0])
        close(jax.jit(jax.grad(ours))(*args), want[1][0])
        total = lambda a: jnp.sum(jaxcore.vmap(ours, (0, None))(a, args[1]))
        close(jaxcore.grad(total)(more), want[4][0][0])


def vector_root(lax_, np_, t):
    def root(a, b):
        f = lambda x: {"y": a @ x["y"] + 0.1 * x["y"] ** 3 - b}
        step = lambda f: lambda i, x: {"y": x["y"] - 0.3 * f(x)["y"]}
        solve = lambda f, x0: lax_.fori_loop(0, 40, step(f), x0)

        def tangent_solve(g, y):
            jacobian = t.jacobian(lambda v: g({"y": v})["y"])(y["y"])
            return {"y": np_.linalg.solve(jacobian, y["y"])}

        return np_.sum(lax_.custom_root(f, {"y": np_.zeros(2)}, solve, tangent_solve)["y"] ** 2)

    return root


def test_custom_root_of_a_tree():
    batched = [((None, 0), (A, np.stack([B, 2 * B])))]
    ours, theirs = vector_root(lax, jnp, jaxcore), vector_root(jax.lax, jax.numpy, jax)
    want = everything(jax, theirs, (A, B), batched)
    close(everything(jaxcore, ours, (A, B), batched), want)


def linear_solve(lax_, np_, **options):
    def solve(matvec, b):
        going = lambda x: np_.sum((matvec(x) - b) ** 2) > 1e-9
        x = lax_.while_loop(going, lambda x: x - 0.2 * (matvec(x) - b), np_.zeros_like(b))
        return (x, np_.sum(x)) if options.get("has_aux") else x

    def f(a, b):
        out = lax_.custom_linear_solve(lambda x: a @ x, b, solve, **options)
        return np_.sum((out[0] if options.get("has_aux") else out) ** 2)

    if not options.get("symmetric"):
        options["transpose_solve"] = solve
    return f


@pytest.mark.parametrize("options", [{}, {"symmetric": True}, {"has_aux": True}], ids=str)
def test_custom_linear_solve(pair, options):
    a = A + A.T if options.get("symmetric") else A
    more_a, more_b = np.stack([a, 1.1 * a, 0.9 * a]), np.stack([B, 2 * B, -B])
    batched = [((None, 0), (a, more_b)), ((0, None), (more_a, B)), ((0, 0), (more_a, more_b))]
    ours = linear_solve(*pair, **options)
    theirs = linear_solve(*PAIRS["through JAX"], **options)
    want = everything(jax, theirs, (a, B), batched)
    close(everything(jaxcore, ours, (a, B), batched), want)
    if not options:
        close(jaxcore.grad(ours, (0, 1))(a, B), want[1])
        close(jax.jit(jax.grad(ours, (0, 1)))(a, B), want[1])


def test_a_linear_solve_of_jax_is_ours():
    f = lambda a: jax.numpy.sum(jax.numpy.linalg.solve(a, B))
    names = [eq.primitive.name for eq in jaxcore.make_jaxpr(f)(A).equations]
    assert "linear_solve" in names
    close(jaxcore.jit(jaxcore.hessian(f))(A), jax.hessian(f)(A))


def test_mistakes_are_named():
    identity = lambda f, x: x
    with pytest.raises(TypeError, match="tangent_solve must be a function, got None"):
        lax.custom_root(lambda x: x, 1.0, identity, None)
    with pytest.raises(TypeError, match="f must return the structure of initial_guess"):
        lax.custom_root(lambda x: (x, x), 1.0, identity, identity)
    with pytest.raises(TypeError, match="solve must return the structure of initial_guess"):
        lax.custom_root(lambda x: x, 1.0, lambda f, x: (x,), identity)
    with pytest.raises(TypeError, match="matvec must return the structure of b"):
        lax.custom_linear_solve(lambda x: (x,), B, identity)
    with pytest.raises(ValueError, match=r"matvec must return the shapes of b, \[\(2,\)\]"):
        lax.custom_linear_solve(lambda x: x[0], B, identity)
    with pytest.raises(TypeError, match="transpose_solve required for backwards mode"):
        jaxcore.grad(lambda b: jnp.sum(lax.custom_linear_solve(lambda x: x * 2, b, identity)))(B)
    with pytest.raises(TypeError, match=r"solve must return a pair \(x, aux\)"):
        lax.custom_linear_solve(lambda x: x, B, identity, has_aux=True)


# --- linear_transpose ----------------------------------------------------------------------------


def affine(np_):
    return lambda x, y: {"sum": np_.sum(x["a"] * 2.0) - 0.5 * y, "dot": np_.dot(A, x["a"])}


def test_linear_transpose():
    args = ({"a": B}, np.float32(1.0))
    cotangent = {"sum": np.float32(3.0), "dot": B}
    want = jax.linear_transpose(affine(jax.numpy), *args)(cotangent)
    ours = jaxcore.linear_transpose(affine(jnp), *args)
    close(ours(cotangent), want)
    close(jaxcore.jit(ours)(cotangent), want)
    close(jax.jit(ours)(cotangent), want)
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), args)
    close(jaxcore.linear_transpose(affine(jax.numpy), *shapes)(cotangent), want)
    twice = jaxcore.linear_transpose(lambda ct: ours(ct)[0]["a"], cotangent)
    close(twice(B)[0]["dot"], A @ B)


def test_linear_transpose_of_integers_complex_numbers_and_captured_values():
    numbers = np.arange(3)
    close(
        jaxcore.linear_transpose(lambda x: x * 3, numbers)(numbers),
        jax.linear_transpose(lambda x: x * 3, numbers)(numbers),
    )
    f = lambda np_: lambda z: np_.sum(z * (1 + 2j))
    close(
        jaxcore.linear_transpose(f(jnp), np.ones(2, np.complex64))(np.complex64(1j)),
        jax.linear_transpose(f(jax.numpy), np.ones(2, np.complex64))(np.complex64(1j)),
    )
    close(jaxcore.grad(lambda c: jaxcore.linear_transpose(lambda x: x * c, 1.0)(2.0)[0])(5.0), 2.0)
    close(jaxcore.vmap(lambda c: jaxcore.linear_transpose(lambda x: x * c, 1.0)(2.0)[0])(B), 2 * B)
    assert jaxcore.linear_transpose(lambda x, y: x, 1.0, 2.0)(3.0) == (3.0, 0.0)


def test_linear_transpose_mistakes():
    with pytest.raises(TypeError, match="or from integers to integers"):
        jaxcore.linear_transpose(lambda x: x * 1.5, 3)
    back = jaxcore.linear_transpose(functools.partial(jnp.multiply, 2.0), B)
    with pytest.raises(TypeError, match="cotangent must have the structure of the output"):
        back((B,))
    with pytest.raises(TypeError, match=r"type of the output, float32\[2\]; got float32\[\]"):
        back(np.float32(1.0))
    with pytest.raises(NotImplementedError, match="sin.*no transpose rule"):
        jaxcore.linear_transpose(jnp.sin, B)(B)
