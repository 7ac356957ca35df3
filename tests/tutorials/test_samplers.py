"""Samplers of other libraries draw from log-densities that are functions of ours.

The libraries differentiate and compile with JAX; the density inside is ours, jitted, with our own
gradient where the library takes one. The posterior of a mean under a normal prior is known exactly.
"""

import warnings

import jax
import numpy as np
import pytest

import jaxcore
import jaxcore.numpy as jnp

DATA = np.array([1.2, 0.7, 1.9, 1.4, 0.8, 1.1], np.float32)
PRECISION = 1.0 + len(DATA) / 0.25
MEAN = DATA.sum() / 0.25 / PRECISION


@jaxcore.jit
def log_density(mean):
    """log p(mean, data) up to a constant: mean ~ N(0, 1), data ~ N(mean, 0.5)."""
    return -0.5 * mean**2 - 0.5 * jnp.sum((DATA - mean) ** 2) / 0.25


def check(draws):
    draws = np.asarray(draws)
    assert abs(draws.mean() - MEAN) < 0.06
    assert abs(draws.std() - PRECISION**-0.5) < 0.06


@pytest.mark.slow
def test_numpyro_draws_with_nuts():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from numpyro.infer import MCMC, NUTS

        kernel = NUTS(potential_fn=lambda mean: -log_density(mean))
        sampler = MCMC(kernel, num_warmup=200, num_samples=400, progress_bar=False)
        sampler.run(jax.random.key(0), init_params=np.float32(0.0))
        check(sampler.get_samples())


@pytest.mark.slow
def test_blackjax_draws_with_hmc():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import blackjax

        hmc = blackjax.hmc(log_density, 0.2, np.ones(1, np.float32), num_integration_steps=5)

        @jax.jit
        def run(key, state):
            def step(state, key):
                state, _ = hmc.step(key, state)
                return state, state.position

            return jax.lax.scan(step, state, jax.random.split(key, 600))[1]

        check(run(jax.random.key(1), hmc.init(np.float32(0.0)))[100:])


def test_distrax_gives_log_densities_to_our_gradients():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import distrax

        def log_posterior(mean):
            prior = distrax.Normal(0.0, 1.0).log_prob(mean)
            return prior + jnp.sum(distrax.Normal(mean, 0.5).log_prob(DATA))

        value, slope = jaxcore.jit(jaxcore.value_and_grad(log_posterior))(0.3)
        np.testing.assert_allclose(slope, jax.grad(log_density)(0.3), rtol=1e-5)
        assert np.isfinite(value)

        # Langevin dynamics of ours over a density of theirs.
        @jaxcore.jit
        def chain(key):
            def step(x, key):
                noise = jaxcore.random.normal(key)
                x = x + 0.01 * jaxcore.grad(log_posterior)(x) + 0.02**0.5 * noise
                return x, x

            return jaxcore.lax.scan(step, 0.0, jaxcore.random.split(key, 4000))[1]

        draws = np.asarray(chain(jaxcore.random.key(2)))[200:]
        assert abs(draws.mean() - MEAN) < 0.1
