"""The training step of an LSTM in a scan: width 128, 32 sequences of 64 steps."""

from typing import Any

import numpy

from benchmarks.harness import Row
from benchmarks.peers import torch_training
from benchmarks.sides import Side
from benchmarks.work import Step, Work, measure, normal, training, training_state
from benchmarks.works.mlp import cross_entropy


def step(side: Side) -> Step:
    """A side's step on ``(sequences, labels)``, time first."""
    np, lax = side.np, side.lax

    def sigmoid(x: Any) -> Any:
        return 1 / (1 + np.exp(-x))

    def loss(params: Any, batch: Any) -> Any:
        xs, labels = batch

        def cell(carry: Any, x: Any) -> Any:
            h, c = carry
            gates = x @ params["input"] + h @ params["hidden"] + params["bias"]
            i, f, g, o = np.split(gates, 4, axis=-1)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            return (sigmoid(o) * np.tanh(c), c), None

        zeros = np.zeros((xs.shape[1], params["hidden"].shape[0]), xs.dtype)
        (h, _), _ = lax.scan(cell, (zeros, zeros), xs)
        return cross_entropy(side, h @ params["head"], labels)

    return training(side, loss)


def torch_loss(params: Any, batch: Any) -> Any:
    """The same in PyTorch, with its fused LSTM; it adds two biases."""
    import torch
    from torch.nn import functional

    xs, labels = batch
    zeros = xs.new_zeros((1, xs.shape[1], len(params["hidden"])))
    bias = params["bias"]
    weights = [params["input"].T, params["hidden"].T, bias, torch.zeros_like(bias)]
    _, h, _ = torch.lstm(xs, (zeros, zeros), weights, True, 1, 0.0, True, False, False)
    return functional.cross_entropy(h[0] @ params["head"], labels)


def work(width: int = 128, inputs: int = 64, batch: int = 32, length: int = 64) -> Work:
    """An LSTM of `width` that tells ten classes apart after the last step."""
    rng = numpy.random.default_rng(0)
    params = {
        "input": normal(rng, inputs, 4 * width),
        "hidden": normal(rng, width, 4 * width),
        "bias": numpy.zeros(4 * width, "float32"),
        "head": normal(rng, width, 10),
    }
    xs = rng.standard_normal((length, batch, inputs), "float32")
    data = xs, rng.integers(0, 10, batch).astype("int32")
    others = torch_training(torch_loss, params, data, compiles=False)  # its LSTM is run as it is
    return Work(step, training_state(params), data, others)


def run() -> list[Row]:
    """Measure it."""
    return measure("LSTM", lambda k: work(128 + 8 * k))
