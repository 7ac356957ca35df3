"""No silent recompiles: one compilation serves a training run, each further one is explained."""

import itertools
import logging

import jax
import numpy as np
import optax
import pytest

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import nn, random, train
from jaxcore.train.feed import Padder, feed

_compiled = []


@jax.monitoring.register_event_duration_secs_listener
def _count(event, duration, **_):
    if event == "/jax/core/compile/backend_compile_duration":
        _compiled.append(event)


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.WARNING, logger="jaxcore.recompile")
    return lambda: [record.getMessage() for record in caplog.records]


RATES = (0.1, np.float32(0.1), np.float64(0.1), jnp.float32(0.1), jnp.asarray(0.1))


def step(params, batch, mask, rate):
    def loss(params):
        errors = batch["x"] @ params["w"] + params["b"] - batch["y"]
        return jnp.sum(errors**2 * mask) / jnp.sum(mask)

    value, grads = jaxcore.value_and_grad(loss)(params)
    params = jaxcore.tree.map(lambda p, g: p - rate * g, params, grads)
    return params, {"loss": value, "rate": rate}


def test_a_thousand_steps_with_rates_of_every_kind_compile_once(rng, lines):
    x = rng.standard_normal((10, 3), np.float32)
    data = train.ArrayData({"x": x, "y": x @ np.ones(3, np.float32)}, batch_size=4)
    batches = feed(data, 0, 0, Padder(4))
    params = {"w": np.zeros(3, np.float32), "b": np.float32(0)}
    jitted = jaxcore.jit(step)
    before = len(_compiled)
    for item, rate in zip(itertools.islice(batches, 1000), itertools.cycle(RATES), strict=False):
        params, metrics = jitted(params, item.batch.batch, item.batch.mask, rate)
        weak = jax.typeof(rate).weak_type if isinstance(rate, float | jax.Array) else False
        assert metrics["rate"].weak_type == weak  # as JAX has it: executables are shared, not types
    assert len(_compiled) == before + 1
    assert lines() == []
    np.testing.assert_allclose(params["w"], np.ones(3), rtol=1e-3)


class Line(train.Task):
    def loss(self, model, batch, ctx):
        x, y = batch
        return (model(x)[:, 0] - y) ** 2


def test_a_thousand_steps_of_the_trainer_compile_once(rng, lines):
    x = rng.standard_normal((10, 3), np.float32)
    data = train.ArrayData((x, x.sum(1)), batch_size=4)
    task = Line(model=nn.Dense(1), tx=optax.adam, lr=0.05)
    before = len(jaxcore.cache.log())
    fit = train.Trainer(callbacks=[]).fit(task, data, until=train.Steps(1000))
    steps = [c for c in jaxcore.cache.log()[before:] if c.function == "one"]
    assert len(steps) == 1 and steps[0].how == "compiled" and lines() == []
    assert fit.history.rows[-1]["loss"] < 1e-3


def test_a_rate_of_any_kind_in_the_state_of_the_trainer(rng, lines):
    x = rng.standard_normal((4, 3), np.float32)
    task = Line(model=nn.Dense(1), tx=optax.adam, lr=0.05)
    state = train.init_state(task, random.key(0), (x, x.sum(1)))
    advance = train.make_step(task)
    advance(jax.tree.map(jnp.copy, state), (x, x.sum(1)))
    before = len(_compiled)
    for rate in RATES:
        (group,) = state.opt_state
        with_rate = state.opt_state[group]._replace(learning_rate=rate)
        state = state.replace(opt_state={group: with_rate})
        state, _ = advance(state, (x, x.sum(1)))
    assert len(_compiled) == before and lines() == []


def test_each_further_compilation_is_one_line(lines):
    jitted = jaxcore.jit(step)
    params = {"w": np.zeros(3, np.float32), "b": np.float32(0)}

    def batch(rows, dtype=np.float32):
        return {"x": np.ones((rows, 3), dtype), "y": np.ones(rows, np.float32)}

    jitted(params, batch(4), np.ones(4), 0.1)
    assert lines() == []
    jitted(params, batch(2), np.ones(2), 0.1)  # the call site
    jitted(params, batch(4, np.int32), np.ones(4), 0.1)
    jitted(params, batch(4), np.ones(4), 1)
    first, second, third = lines()
    assert all("\n" not in line for line in (first, second, third))
    assert "batch['x'] float32[4,3] -> float32[2,3]" in first
    assert "batch['y'] float32[4] -> float32[2]; mask float32[4] -> float32[2]" in first
    assert f"{__file__}:" in first and first.endswith("# the call site")
    assert "step again" in first
    assert "batch['x'] float32[4,3] -> int32[4,3], called" in second
    assert "rate ~float32[] -> ~int32[], called" in third
