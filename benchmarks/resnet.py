"""Compile and run the training step of ResNet-18, ours beside Flax linen's twin, in float32.

``RESNET=4x128 python -m benchmarks resnet`` takes another batch and size than 8 x 224.
"""

import functools
import os
from collections.abc import Callable
from typing import Any

import flax.linen
import jax
import numpy
import optax

import jaxcore
from benchmarks.gpt_step import compiling, stepping
from benchmarks.harness import OURS, PEER, Row, row
from jaxcore import nn

STEPS = 5
CLASSES = 1000

_conv = functools.partial(flax.linen.Conv, use_bias=False)
_norm = functools.partial(flax.linen.BatchNorm, use_running_average=False, momentum=0.9)


class Block(flax.linen.Module):
    """A residual block of two convolutions, under the names of ours."""

    features: int
    stride: int

    @flax.linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        y = _conv(self.features, (3, 3), self.stride, padding=1, name="conv1")(x)
        y = flax.linen.relu(_norm(name="bn1")(y))
        y = _conv(self.features, (3, 3), padding=1, name="conv2")(y)
        y = _norm(name="bn2")(y)
        if x.shape != y.shape:
            x = _conv(self.features, (1, 1), self.stride, padding=0, name="downsample")(x)
            x = _norm(name="downsample_bn")(x)
        return flax.linen.relu(x + y)


class ResNet18(flax.linen.Module):
    """Linen's twin of ``nn.models.resnet18``, with the same parameters."""

    @flax.linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = _conv(64, (7, 7), 2, padding=3, name="conv1")(x)
        x = flax.linen.relu(_norm(name="bn1")(x))
        x = flax.linen.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))
        for i in range(4):
            for j in range(2):
                stride = 2 if i > 0 and j == 0 else 1
                x = Block(64 << i, stride, name=f"layer{i + 1}_{j}")(x)
        return flax.linen.Dense(CLASSES, name="fc")(x.mean((1, 2)))


def training_step(
    apply: Callable[..., Any], value_and_grad: Callable[..., Any], optimizer: Any
) -> Callable[..., Any]:
    """A step of stochastic gradient descent: ``(state, batch) -> (state, loss)``."""

    def loss(params: Any, stats: Any, images: Any, labels: Any) -> Any:
        logits, updates = apply({"params": params, "batch_stats": stats}, images)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        return losses.mean(), updates["batch_stats"]

    def step(state: Any, batch: Any) -> Any:
        params, stats, moments = state
        (value, stats), grads = value_and_grad(loss, has_aux=True)(params, stats, *batch)
        changes, moments = optimizer.update(grads, moments)
        return (optax.apply_updates(params, changes), stats, moments), value

    return step


def run() -> list[Row]:
    """Compile both sides' steps and run them in turns from the same state."""
    batch, size = map(int, os.environ.get("RESNET", "8x224").split("x"))
    rng = numpy.random.default_rng(0)
    images = rng.standard_normal((batch, size, size, 3), numpy.float32)
    labels = rng.integers(0, CLASSES, batch).astype(numpy.int32)
    ours, peer = nn.models.resnet18(CLASSES), ResNet18()
    optimizer = optax.sgd(0.01, momentum=0.9)
    variables = jax.tree.map(numpy.asarray, ours.init(jax.random.key(0), images[:1]))
    params, stats = variables["params"], variables["batch_stats"]
    state = jax.device_put((params, stats, optimizer.init(params)))
    steps = {
        OURS: jaxcore.jit(
            training_step(
                functools.partial(ours.apply, train=True, mutable=["batch_stats"]),
                jaxcore.value_and_grad,
                optimizer,
            )
        ),
        PEER: jax.jit(
            training_step(
                functools.partial(peer.apply, mutable=["batch_stats"]),
                jax.value_and_grad,
                optimizer,
            )
        ),
    }
    data = jax.device_put((images, labels))
    title = f"ResNet-18, {batch} x {size} x {size}"
    lowered = {name: step.lower(state, data) for name, step in steps.items()}
    compiled, rows = compiling(title, lowered, None, None)
    states = dict.fromkeys(compiled, state)
    samples, losses = stepping(compiled, states, data, warm=1, rounds=STEPS)
    numpy.testing.assert_allclose(losses[OURS][:2], losses[PEER][:2], rtol=1e-3)
    return [*rows, row(f"{title}: step", samples, 0.5)]
