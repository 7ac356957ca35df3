"""JAX's transformations and control flow on our tracers."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxcore

X = np.array([0.3, -1.2, 2.1], np.float32)
W = np.array([[0.5, 0.1, -0.2], [0.0, 1.0, 0.3], [0.7, -0.4, 0.2]], np.float32)


def close(ours, theirs, tolerance=1e-5):
    chex.assert_trees_all_equal_shapes_and_dtypes(ours, theirs)
    chex.assert_trees_all_close(ours, theirs, rtol=tolerance, atol=tolerance)


def wave(x):
    return jnp.sum(jnp.sin(x) * x)


def scan(x):
    def body(carry, w):
        carry = jnp.tanh(w * carry)
        return carry, jnp.sum(carry)

    carry, sums = jax.lax.scan(body, x, jnp.arange(1.0, 4.0))
    return jnp.sum(carry) + jnp.sum(sums)


def scan_over_captured(x):
    """The body closes over a traced value, and runs backwards in unrolled steps."""
    body = lambda c, t: (c + t * jnp.sum(x**2), c)
    c, ys = jax.lax.scan(body, jnp.sum(x), jnp.arange(4.0), reverse=True, unroll=2)
    return c + jnp.sum(ys)


def cond(x):
    return jax.lax.cond(jnp.sum(x) > 0, wave, lambda x: jnp.sum(x**3), x)


def switch(x):
    return jax.lax.switch(jnp.int32(2), [wave, jnp.sum, lambda x: jnp.sum(jnp.exp(x))], x)


def fori(x):
    return jax.lax.fori_loop(0, 3, lambda i, c: c + i * jnp.sin(c), jnp.sum(x))


def checkpointed(x):
    return wave(jax.checkpoint(lambda x: jnp.sin(jnp.sin(x)))(x))


def jitted(x):
    return jax.jit(wave)(x) + jax.jit(jax.jit(wave))(x * 2)


def jax_grad(x):
    return jnp.sum(jax.grad(wave)(x) ** 2)


def jax_vmap(x):
    return jnp.sum(jax.vmap(lambda a, b: a * jnp.sin(b), (0, None))(x, x) ** 2)


def jax_jvp(x):
    return jax.jvp(wave, (x,), (x,))[1]


def jax_vjp(x):
    y, back = jax.vjp(lambda x: jnp.sin(x) * x, x)
    return jnp.sum(back(y)[0])


def jax_linearize(x):
    y, f = jax.linearize(jnp.sin, x)
    return jnp.sum(f(y))


def jax_hessian(x):
    return jnp.sum(jax.hessian(wave)(x))


def jax_jacobians(x):
    f = lambda x: jnp.sin(x) * x[::-1]
    return jnp.sum(jax.jacrev(f)(x) ** 2) + jnp.sum(jax.jacfwd(f)(x) ** 3)


def associative(x):
    return jnp.sum(jax.lax.associative_scan(jnp.multiply, x))


def mapped(x):
    return jnp.sum(jax.lax.map(lambda v: jnp.sin(v) * x, x))


def custom_root(x):
    solve = lambda f, y: jax.lax.fori_loop(0, 30, lambda _, z: z - f(z) / 2.0, y)
    return jax.lax.custom_root(
        lambda y: y + 0.1 * jnp.sin(y) - jnp.sum(x), jnp.zeros(()), solve, lambda g, y: y / g(1.0)
    )


def axis_name(x):
    return jnp.sum(
        jax.vmap(lambda v: jnp.exp(v) / jax.lax.psum(jnp.exp(v), "i"), axis_name="i")(x) ** 2
    )


def closure_convert(x):
    f, consts = jax.closure_convert(lambda y: y * jnp.sum(x**2), x[0])
    return f(x[1], *consts)


def ode(x):
    """A custom_vjp around loops: tangents there have another weak type than their primals."""
    from jax.experimental.ode import odeint

    return jnp.sum(odeint(lambda y, t, x: -y * jnp.sum(x), x, jnp.array([0.0, 0.1]), x)[-1])


def linear_transpose(x):
    return jnp.sum(jax.linear_transpose(lambda v: jnp.asarray(W) @ v, x)(x)[0] * x)


def mixed(x):
    """Ours inside JAX's inside ours."""
    inner = lambda x: jnp.sum(jax.grad(lambda x: jaxcore.jit(wave)(x) ** 2)(x))
    return jaxcore.jit(lambda x: jax.jit(jaxcore.grad(inner))(x).sum())(x)


INSIDE = [
    scan,
    scan_over_captured,
    cond,
    switch,
    fori,
    checkpointed,
    jitted,
    jax_grad,
    jax_vmap,
    jax_jvp,
    jax_vjp,
    jax_linearize,
    jax_hessian,
    jax_jacobians,
    associative,
    mapped,
    custom_root,
    axis_name,
    closure_convert,
    linear_transpose,
    mixed,
]


@pytest.mark.parametrize("f", INSIDE, ids=lambda f: f.__name__)
@pytest.mark.rank_promotion
def test_functions_of_jax_inside_ours(f):
    xs = np.stack([X, -X])

    def everything(t):
        gradient = t.grad(f)

        def run(x, xs):
            return {
                "value": f(x),
                "grad": gradient(x),
                "vmap": t.vmap(f)(xs),
                "vmap of grad": t.vmap(gradient)(xs),
                "second": t.grad(lambda x: jnp.sum(gradient(x) * x))(x),
            }

        return run

    close(jaxcore.jit(everything(jaxcore))(X, xs), jax.jit(everything(jax))(X, xs), 1e-4)


@pytest.mark.parametrize("f", [scan, cond, jitted, jax_grad, mixed], ids=lambda f: f.__name__)
@pytest.mark.rank_promotion
def test_functions_of_jax_inside_ours_with_values(f):
    close(jaxcore.grad(f)(X), jax.grad(f)(X), 1e-4)


@pytest.mark.rank_promotion
def test_an_integrator_of_jax_to_second_order():
    def second(t):
        return t.jit(t.grad(lambda x: jnp.sum(t.grad(ode)(x) * x)))

    close(second(jaxcore)(X), second(jax)(X), 1e-4)


def test_disabled_jit_runs_python_with_values():
    seen = []
    f = jaxcore.jit(lambda x: seen.append(x) or jnp.sum(jnp.sin(x)))
    with jax.disable_jit():
        close(f(X), jnp.sum(jnp.sin(X)))
        close(jaxcore.grad(f)(X), jnp.cos(X))
    assert isinstance(seen[0], np.ndarray)


def test_a_while_loop_runs_and_batches_and_goes_forward():
    def f(x):
        return jax.lax.while_loop(lambda c: jnp.sum(c) < 100.0, lambda c: c * 2.0 + 1.0, x)

    close(jaxcore.jit(f)(X), f(X))
    xs = np.stack([X, X * 10])
    close(jaxcore.jit(jaxcore.vmap(f))(xs), jax.vmap(f)(xs))
    close(jaxcore.jvp(f, (X,), (X,)), jax.jvp(f, (X,), (X,)))
    with pytest.raises((ValueError, NotImplementedError), match="(?i)while"):
        jaxcore.grad(lambda x: jnp.sum(f(x)))(X)
