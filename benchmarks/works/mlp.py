"""The training step of an MLP on vectors of 784, batch 128."""

import itertools
from typing import Any

import numpy

from benchmarks.harness import Row
from benchmarks.peers import torch_training
from benchmarks.sides import Side
from benchmarks.work import Step, Work, measure, normal, training, training_state


def step(side: Side) -> Step:
    """A side's step on ``(images, labels)``."""
    np = side.np

    def loss(params: Any, batch: Any) -> Any:
        x, labels = batch
        *hidden, (kernel, bias) = params
        for w, b in hidden:
            x = np.maximum(x @ w + b, 0)
        return cross_entropy(side, x @ kernel + bias, labels)

    return training(side, loss)


def cross_entropy(side: Side, logits: Any, labels: Any) -> Any:
    """Mean cross-entropy of ``(batch, classes)`` and class numbers."""
    np = side.np
    logits = logits - np.max(logits, axis=-1, keepdims=True)
    picked = np.take_along_axis(logits, labels[:, None], axis=-1)[:, 0]
    return np.mean(np.log(np.sum(np.exp(logits), axis=-1)) - picked)


def torch_loss(params: Any, batch: Any) -> Any:
    """The same in PyTorch."""
    from torch.nn import functional

    x, labels = batch
    *hidden, (kernel, bias) = params
    for w, b in hidden:
        x = functional.relu(x @ w + b)
    return functional.cross_entropy(x @ kernel + bias, labels)


def work(width: int = 512, inputs: int = 784, batch: int = 128) -> Work:
    """Two hidden layers of `width`, ten classes."""
    rng = numpy.random.default_rng(0)
    sizes = itertools.pairwise([inputs, width, width, 10])
    params = [(normal(rng, *size), numpy.zeros(size[1], "float32")) for size in sizes]
    labels = rng.integers(0, 10, batch).astype("int32")
    data = rng.standard_normal((batch, inputs), "float32"), labels
    return Work(step, training_state(params), data, torch_training(torch_loss, params, data))


def run() -> list[Row]:
    """Measure it."""
    return measure("MLP", lambda k: work(512 + 8 * k))
