"""Derivative rules that compute other things beside what is linear in the tangent."""

import jax
import numpy as np
import pytest

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import lax


def by_loop(x, t):
    """The index of the loop is known, and so is what it makes of x."""
    step = lambda i, c: (c[0] * 0.5 * c[1], jnp.sin(c[1]) + i)
    return lax.fori_loop(0, 3, step, (t, x))[0]


def by_scan(x, t):
    def step(c, s):
        t, n, y = c
        return (t * y * s, n + 1, jnp.cos(y)), n * y

    (t, n, y), ys = lax.scan(step, (t, 0, x), np.arange(1, 4, dtype=np.float32), reverse=True)
    return t * n * y + t * jnp.sum(ys)


def by_cond(x, t):
    moved, scale = lax.cond(x > 0, lambda t: (t * 2, x * x), lambda t: (t, x), t)
    return moved * scale


def by_checkpoint(x, t):
    value, moved = jaxcore.checkpoint(lambda x, t: (jnp.sin(jnp.sin(x)), t * jnp.cos(x)))(x, t)
    return value * moved


def by_jit(x, t):
    value, moved = jaxcore.jit(lambda x, t: (jnp.sin(x), t * jnp.cos(x)))(x, t)
    return value * moved


def by_bounded_loop(x, t):
    step = lambda c: (c[0] * jnp.cos(c[1]), c[1] + 1.0, c[2] + 1)
    moved, y, n = lax.while_loop(lambda c: c[1] < 3.0, step, (t, x, 0), max_steps=30)
    return moved * y * n


def nested(x, t):
    def step(c, _):
        t, n = c
        return lax.cond(
            n < 2, lambda t, n: (t * x, n + 1), lambda t, n: (by_loop(x, t), n), t, n
        ), n

    (t, n), ns = lax.scan(step, (t, 0), None, length=4)
    return t * n + t * jnp.sum(ns)


RULES = [by_loop, by_scan, by_cond, by_checkpoint, by_jit, by_bounded_loop, nested]


@pytest.mark.parametrize("rule", RULES, ids=[r.__name__ for r in RULES])
def test_the_gradient_is_the_rule_at_one(rule):
    @jaxcore.custom_jvp
    def f(x):
        return x * 1.0

    f.defjvp(lambda primals, tangents: (f(*primals), rule(*primals, *tangents)))
    xs = np.array([0.3, -0.7], np.float32)
    want = [rule(x, np.float32(1)) for x in xs]
    np.testing.assert_allclose(jaxcore.grad(f)(xs[0]), want[0], rtol=1e-5)
    np.testing.assert_allclose(jaxcore.jit(jaxcore.vmap(jaxcore.grad(f)))(xs), want, rtol=1e-5)
    second = jaxcore.grad(lambda x: rule(x, np.float32(1)))
    np.testing.assert_allclose(
        jaxcore.jit(jaxcore.hessian(f))(xs[0]), second(xs[0]), rtol=1e-4, atol=1e-5
    )
    np.testing.assert_allclose(jax.jit(jax.grad(jaxcore.jit(f)))(xs[1]), want[1], rtol=1e-5)
