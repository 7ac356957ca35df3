"""Promise: k micro-batches need the memory of one and a copy of the gradient, and are the batch."""

import functools

import chex
import jax
import numpy as np
import optax
import pytest

import jaxcore
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


def step_of(pieces, count):
    inner = optax.sgd(0.1)

    def update(updates, state, params=None):
        jax.debug.callback(lambda: count.__setitem__(0, count[0] + 1))
        return inner.update(updates, state, params)

    task = Fitting(model=Net(), tx=optax.GradientTransformation(inner.init, update))
    return task, functools.partial(task.update, accumulate=pieces)


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


@pytest.mark.parametrize("pieces", [2, 8])
def test_the_update_is_that_of_the_full_batch_and_made_once(pieces):
    batch = arrays(16)
    mask = np.arange(16) < 11  # a short window: the last micro-batches are partly or all padding
    found = []
    for k in (1, pieces):
        count = [0]
        task, step = step_of(k, count)
        state = train.init_state(task, random.key(0), batch)
        assert count == [0]
        new, metrics = jaxcore.jit(step)(state, batch, mask=mask)
        jax.block_until_ready(new)
        jax.effects_barrier()
        assert count[0] == 1
        found.append((new.params, metrics["loss"].result))
    chex.assert_trees_all_close(found[0][0], found[1][0], rtol=1e-6, atol=1e-6)
    assert found[0][1] == pytest.approx(found[1][1], rel=1e-6)
