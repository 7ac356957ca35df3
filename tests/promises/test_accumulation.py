"""Promise: k micro-batches need the memory of one and a copy of the gradient, and are the batch."""

import functools

import chex
import jax
import numpy as np
import optax
import pytest

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import nn, random, train

ROWS, WIDTH = 64, 64


class Net(nn.Module):
    def __call__(self, x):
        for _ in range(4):
            x = nn.tanh(nn.Dense(WIDTH)(x))
        return x.sum(-1)


class Fitting(train.Task):
    def loss(self, model, batch, ctx):
        x, y = batch
        return train.Weighted((model(x) - y) ** 2, ctx.mask * 1.0)


def arrays(rows):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 32, WIDTH)).astype(np.float32)
    return x, x.sum(-1)


def temporaries(pieces, rows):
    task = Fitting(model=Net(), tx=optax.sgd(0.1))
    batch, mask = arrays(rows), np.ones(rows, bool)
    state = train.init_state(task, random.key(0), batch)

    def step(state, batch, mask):
        return task.update(state, batch, accumulate=pieces, mask=mask)

    compiled = jaxcore.jit(step, donate_argnums=0).lower(state, batch, mask).compile()
    gradient = sum(x.nbytes for x in jax.tree.leaves(state.params))
    return compiled.memory_analysis().temp_size_in_bytes, gradient


def test_the_memory_of_one_micro_batch_and_one_gradient():
    whole, _ = temporaries(1, ROWS)
    one, gradient = temporaries(1, ROWS // 8)
    pieced, _ = temporaries(8, ROWS)
    assert pieced <= 1.05 * (one + gradient)
    assert pieced < whole / 3


class Tokens(train.Task):
    """A loss for each token, of which some do not count."""

    def init(self, key, batch):
        return jax.tree.map(lambda x: x.astype(batch[0].dtype), super().init(key, batch))

    def loss(self, model, batch, ctx):
        x, y, weights = batch
        return train.Weighted((model(x) - y) ** 2, weights)


def remembering(lr, count):
    """SGD that keeps the gradient in its state, and counts how often it is executed."""

    def update(gradient, state, params=None):
        jax.debug.callback(lambda: count.__setitem__(0, count[0] + 1))
        return jax.tree.map(lambda g: -lr * g, gradient), gradient

    return optax.GradientTransformation(lambda params: params, update)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("pieces", [1, 2, 4, 8])
def test_a_window_is_the_full_batch_updates_once_and_skips_what_is_not_finite(pieces, dtype, rng):
    x, y = rng.normal(size=(16, 5, 3)), rng.normal(size=(16, 5))
    weights = (rng.random((16, 5)) < 0.5) * rng.uniform(0.1, 3, (16, 5))
    weights[4:6] = 0  # a whole micro-batch of eight counts for nothing
    mask = np.arange(16) < 11  # a short window: the last ones are partly or all padding
    batch = tuple(a.astype(dtype) for a in (x, y, weights))
    count = [0]
    model = nn.Sequential((nn.Dense(4), nn.tanh, nn.Dense(1), lambda x: x[..., 0]))
    schedule = optax.linear_schedule(0.1, 0.0, 10)
    task = Tokens(model=model, tx=functools.partial(remembering, count=count), lr=schedule)
    with jax.enable_x64(dtype == "float64"):
        state = train.init_state(task, random.key(0), batch)

        def objective(params):
            x, y, w = (a[:11] for a in batch)
            return jnp.sum(w * (model.apply({"params": params}, x) - y) ** 2) / jnp.sum(w)

        loss, gradient = jaxcore.value_and_grad(objective)(state.params)
        step = train.make_step(task, accumulate=pieces, donate=False)
        done, metrics = step(state, batch, mask)
        bad = batch[0].copy()
        bad[7, 2, 1] = np.nan
        bad_weights = np.where(np.arange(16)[:, None] == 7, 1, batch[2]).astype(dtype)
        kept, bad_metrics = step(done, (bad, batch[1], bad_weights), mask)
        again, _ = step(kept, batch, mask)
        jax.block_until_ready(again)
        jax.effects_barrier()
    assert count == [3]
    tolerance = 1e-6 if dtype == "float32" else 1e-12
    for ours, wanted in zip(
        jax.tree.leaves(done.opt_state["**"].inner), jax.tree.leaves(gradient), strict=True
    ):
        assert ours.dtype == dtype
        assert np.linalg.norm(ours - wanted) <= tolerance * np.linalg.norm(wanted)
    assert float(metrics["loss"]) == pytest.approx(float(loss), rel=tolerance)
    chex.assert_trees_all_equal(kept.variables, done.variables)
    chex.assert_trees_all_equal(kept.opt_state, done.opt_state)
    assert [float(m["skipped"]) for m in (metrics, bad_metrics)] == [0, 1]
    assert [int(s.opt_state["**"].count) for s in (state, done, kept, again)] == [0, 1, 1, 2]
    assert [int(s.step) for s in (done, kept, again)] == [1, 2, 3]
