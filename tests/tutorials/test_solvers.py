"""Solvers of differential equations run and are differentiated over functions of ours.

The fields are ours, and so are the transformations around the solvers. `jax.experimental.ode` has
an adjoint of its own, a `custom_vjp` that solves backwards, and diffrax a checkpointed while loop.
The solution of ``dy/dt = -rate * y`` is known exactly, with its derivatives.
"""

import warnings

import numpy as np
import pytest

import jaxcore
import jaxcore.numpy as jnp
from jaxcore.experimental.ode import odeint

START = np.array([1.0, 2.0], np.float32)
RATES = np.array([0.5, 0.8], np.float32)


@jaxcore.jit
def field(y, t, rate):
    return -rate * y + 0.0 * jnp.sin(t)


def check(results, tolerance):
    """Values of ``sum(y(1))`` and gradients by start and rate, a row for each rate."""
    value, (by_start, by_rate) = results
    expected = START.sum() * np.exp(-RATES)
    np.testing.assert_allclose(value, expected, rtol=tolerance)
    np.testing.assert_allclose(by_rate, -expected, rtol=tolerance)
    slopes = np.exp(-RATES)[:, None] * np.ones(2)
    np.testing.assert_allclose(by_start, slopes, rtol=tolerance)


@pytest.mark.rank_promotion  # in JAX's solver
def test_odeint():
    def total(start, rate):
        return jnp.sum(odeint(field, start, np.array([0.0, 1.0], np.float32), rate)[-1])

    gradient = jaxcore.value_and_grad(total, (0, 1))
    check(jaxcore.jit(jaxcore.vmap(gradient, (None, 0)))(START, RATES), 1e-4)


@pytest.mark.slow
@pytest.mark.rank_promotion
def test_diffrax():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import diffrax

        def total(start, rate):
            term = diffrax.ODETerm(lambda t, y, rate: field(y, t, rate))
            solver = diffrax.Heun()
            return jnp.sum(diffrax.diffeqsolve(term, solver, 0.0, 1.0, 0.05, start, rate).ys[-1])

        gradient = jaxcore.value_and_grad(total, (0, 1))
        check(jaxcore.jit(jaxcore.vmap(gradient, (None, 0)))(START, RATES), 1e-3)
