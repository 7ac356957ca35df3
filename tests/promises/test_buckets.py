"""Shapes: 200 lengths of a sequence are at most 10 compilations, and change no loss."""

import logging

import jax
import numpy as np
import optax
import pytest

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import nn, random, train

VOCABULARY, WIDTH = 7, 4
_compiled = []


@jax.monitoring.register_event_duration_secs_listener
def _count(event, duration, **_):
    if event == "/jax/core/compile/backend_compile_duration":
        _compiled.append(event)


@pytest.fixture(autouse=True)
def silent():
    logger = logging.getLogger("jaxcore.recompile")
    before = logger.level
    logger.setLevel(logging.ERROR)
    yield
    logger.setLevel(before)


def loss(params, tokens, *, length):
    """Of a causal attention layer that predicts the next token; `tokens` is (batch, length)."""
    place = jnp.arange(tokens.shape[1])
    x = params["embed"][tokens]
    scores = jnp.einsum("bqd,bkd->bqk", x @ params["query"], x)
    seen = (place[None, :] <= place[:, None]) & (place < length)[None, :]
    mixed = nn.softmax(jnp.where(seen[None], scores, -1e9)) @ x
    logits = nn.log_softmax(mixed @ params["out"])[:, :-1]
    values = -jnp.take_along_axis(logits, tokens[:, 1:, None], -1)[..., 0]
    total = jnp.sum(jnp.where(place[None, 1:] < length, values, 0.0))
    return total / jnp.maximum(tokens.shape[0] * (length - 1), 1)


def reference(params, tokens):
    """The same in NumPy, for the tokens as they are."""
    x = params["embed"][tokens]
    scores = np.einsum("bqd,bkd->bqk", x @ params["query"], x)
    scores = np.where(np.tri(tokens.shape[1], dtype=bool)[None], scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    logits = (weights / weights.sum(-1, keepdims=True)) @ x @ params["out"]
    logits = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    values = -np.take_along_axis(logits[:, :-1], tokens[:, 1:, None], -1)
    return values.mean() if values.size else 0.0


@pytest.fixture
def params(rng):
    shapes = {"embed": (VOCABULARY, WIDTH), "query": (WIDTH, WIDTH), "out": (WIDTH, VOCABULARY)}
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def test_200_lengths_compile_at_most_10_times_with_the_same_losses(params, rng):
    bucketed = jaxcore.jit(loss, bucket={"tokens": {1: "length"}})
    double = {name: x.astype(np.float64) for name, x in params.items()}
    lengths = rng.integers(1, 513, 200)
    before = len(_compiled)
    for n in lengths:
        tokens = rng.integers(0, VOCABULARY, (1, n), np.int32)
        got = bucketed(params, tokens)
        np.testing.assert_allclose(got, reference(double, tokens), rtol=1e-6, atol=1e-7)
    assert len(set(lengths)) > 100 and len(_compiled) - before <= 10


def test_gradients_are_those_of_the_unpadded(params, rng):
    step = jaxcore.jit(jaxcore.value_and_grad(loss), bucket={"tokens": {1: "length"}})
    for n in (2, 5, 8):
        tokens = rng.integers(0, VOCABULARY, (2, n), np.int32)
        want = jaxcore.jit(jaxcore.value_and_grad(loss))(params, tokens, length=n)
        for a, b in zip(jax.tree.leaves(step(params, tokens)), jax.tree.leaves(want), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


class Tokens(train.Task):
    def loss(self, model, batch, ctx):
        values = (model(batch["x"])[..., 0] - batch["y"]) ** 2
        return train.Weighted(values, batch["y"] >= 0)

    def init(self, key, batch):
        return self.model.init(key, batch["x"])


def test_the_trainer_steps_over_200_lengths_with_at_most_10_programs(rng):
    batches = []
    for n in rng.integers(1, 513, 200):
        x = rng.standard_normal((2, n, 3), np.float32)
        batches.append({"x": x, "y": np.abs(x.sum(-1))})
    y = jaxcore.Bucket({1: "length"}, pad=-1)
    trainer = train.Trainer(
        callbacks=[], log_every=train.Steps(1), buckets={"x": {1: "length"}, "y": y}
    )
    task = Tokens(model=nn.Dense(1), tx=optax.sgd, lr=0.05)
    before = len(jaxcore.cache.log())
    fit = trainer.fit(task, batches, until=train.Epochs(1))
    steps = [c for c in jaxcore.cache.log()[before:] if c.function == "one"]
    assert len(fit.history.rows) == 200 and len(steps) <= 10

    start = train.init_state(task, random.key(0), batches[0]).params
    w, b = np.float64(start["kernel"])[:, 0], np.float64(start["bias"])[0]
    for batch, row in zip(batches, fit.history.rows, strict=True):
        error = batch["x"].astype(np.float64) @ w + b - batch["y"]
        np.testing.assert_allclose(row["loss"], np.mean(error**2), rtol=1e-6, atol=1e-6)
        w = w - 0.05 * 2 * np.mean(error[..., None] * batch["x"], (0, 1))
        b = b - 0.05 * 2 * np.mean(error)
    np.testing.assert_allclose(fit.state.params["kernel"][:, 0], w, atol=1e-5)
