"""The critic's step of a WGAN with gradient penalty: a second derivative through convolutions.

Gulrajani et al. 2017, https://arxiv.org/abs/1704.00028
"""

import itertools
from typing import Any

import numpy

from benchmarks.harness import Row
from benchmarks.peers import torch_training
from benchmarks.sides import Side
from benchmarks.work import Step, Work, measure, normal, training, training_state

PENALTY = 10.0
EPSILON = 1e-12  # under the root, where its derivative would be infinite


def step(side: Side) -> Step:
    """A side's step on ``(real, made, mix)``: images and where between them the slope is taken."""
    np, lax = side.np, side.lax

    def critic(params: Any, x: Any) -> Any:
        for kernel in params["kernels"]:
            axes = ("NHWC", "HWIO", "NHWC")
            x = lax.conv_general_dilated(
                x, kernel, (2, 2), ((1, 1), (1, 1)), dimension_numbers=axes
            )
            x = np.where(x > 0, x, 0.2 * x)
        return x.reshape(len(x), -1) @ params["head"]

    def loss(params: Any, batch: Any) -> Any:
        real, made, mix = batch
        between = mix * real + (1 - mix) * made
        slope = side.grad(lambda x: np.sum(critic(params, x)))(between)
        size = np.sqrt(np.sum(slope * slope, axis=(1, 2, 3)) + EPSILON)
        apart = np.mean(critic(params, made)) - np.mean(critic(params, real))
        return apart + PENALTY * np.mean((size - 1) ** 2)

    return training(side, loss)


def torch_loss(params: Any, batch: Any) -> Any:
    """The same in PyTorch, features before places."""
    import torch
    from torch.nn import functional

    def critic(x: Any) -> Any:
        for kernel in params["kernels"]:
            x = functional.conv2d(x, kernel.permute(3, 2, 0, 1), stride=2, padding=1)
            x = functional.leaky_relu(x, 0.2)
        return x.permute(0, 2, 3, 1).flatten(1) @ params["head"]

    real, made, mix = (x.permute(0, 3, 1, 2) for x in batch)
    between = (mix * real + (1 - mix) * made).requires_grad_()
    (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    size = torch.sqrt(slope.square().sum((1, 2, 3)) + EPSILON)
    apart = critic(made).mean() - critic(real).mean()
    return apart + PENALTY * ((size - 1) ** 2).mean()


def work(width: int = 32, batch: int = 16, size: int = 32) -> Work:
    """A critic of three convolutions, `width` features in the first, on images of `size`."""
    rng = numpy.random.default_rng(0)
    features = [3, width, 2 * width, 4 * width]
    params = {
        "kernels": [normal(rng, 4, 4, m, n) for m, n in itertools.pairwise(features)],
        "head": normal(rng, (size // 8) ** 2 * 4 * width, 1)[:, 0],
    }
    real, made = rng.standard_normal((2, batch, size, size, 3), "float32")
    data = real, made, rng.random((batch, 1, 1, 1), "float32")
    others = torch_training(torch_loss, params, data, compiles=False)  # no second derivatives there
    return Work(step, training_state(params), data, others)


def run() -> list[Row]:
    """Measure it."""
    return measure("WGAN critic", lambda k: work(32 + 4 * k))
