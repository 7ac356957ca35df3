"""Private gradient descent: a small CNN's gradient for each of 32 examples, clipped, then averaged.

Abadi et al. 2016, https://arxiv.org/abs/1607.00133
"""

from typing import Any

import numpy

from benchmarks.harness import Row
from benchmarks.peers import torch_step
from benchmarks.sides import Side
from benchmarks.work import Step, Work, measure, normal
from benchmarks.works.mlp import cross_entropy

RATE = 0.1


def step(side: Side) -> Step:
    """A side's step on ``(images, labels)``, without the noise."""
    np, lax = side.np, side.lax

    def loss(params: Any, example: Any) -> Any:
        image, label = example
        x = image[None]
        for kernel in params[:-1]:
            axes = ("NHWC", "HWIO", "NHWC")
            x = lax.conv_general_dilated(
                x, kernel, (2, 2), ((1, 1), (1, 1)), dimension_numbers=axes
            )
            x = np.maximum(x, 0)
        return cross_entropy(side, x.reshape(1, -1) @ params[-1], label[None])

    def step(params: Any, batch: Any) -> Any:
        values, grads = side.vmap(side.value_and_grad(loss), (None, 0))(params, batch)
        norms = np.sqrt(sum((g * g).reshape(len(g), -1).sum(1) for g in grads))
        scale = np.minimum(1, 1 / norms) / len(norms)
        return [p - RATE * np.tensordot(scale, g, 1) for p, g in zip(params, grads)], values.mean()

    return step


def torch_form(params: Any, batch: Any) -> Any:
    """The same in PyTorch, with `torch.func`."""
    import torch
    from torch.nn import functional

    def loss(params: Any, image: Any, label: Any) -> Any:
        x = image.permute(2, 0, 1)[None]
        for kernel in params[:-1]:
            x = functional.conv2d(x, kernel.permute(3, 2, 0, 1), stride=2, padding=1).relu()
        return functional.cross_entropy(x.permute(0, 2, 3, 1).flatten(1) @ params[-1], label[None])

    each = torch.func.vmap(torch.func.grad_and_value(loss), (None, 0, 0))
    grads, values = each(params, *batch)
    norms = sum(g.square().flatten(1).sum(1) for g in grads).sqrt()
    scale = (1 / norms).clamp(max=1) / len(norms)
    return [p - RATE * torch.tensordot(scale, g, 1) for p, g in zip(params, grads)], values.mean()


def work(width: int = 16, batch: int = 32, size: int = 28) -> Work:
    """Two convolutions of stride 2, `width` features in the first, and ten classes."""
    rng = numpy.random.default_rng(0)
    params = [
        normal(rng, 3, 3, 1, width),
        normal(rng, 3, 3, width, 2 * width),
        normal(rng, (size // 4) ** 2 * 2 * width, 10),
    ]
    images = rng.standard_normal((batch, size, size, 1), "float32")
    data = images, rng.integers(0, 10, batch).astype("int32")
    return Work(step, params, data, torch_step(torch_form, params, data))


def run() -> list[Row]:
    """Measure it."""
    return measure("per-example gradients", lambda k: work(16 + 2 * k))
