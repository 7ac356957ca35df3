"""Compile and run the training step of ResNet-18, ours beside Flax linen's twin and PyTorch.

``RESNET=4x128 python -m benchmarks resnet`` takes another batch and size than 8 x 224,
``RESNET=50:4x128`` a ResNet-50.
"""

import functools
import os
from typing import Any

import flax.linen
import jax
import numpy
import optax

from benchmarks.harness import OURS, PEER, Row
from benchmarks.peers import torch_training
from benchmarks.sides import Side
from benchmarks.work import Step, Work, measure
from jaxcore import nn

CLASSES = 1000
STAGES = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}


def _conv(dtype: str, features: int, size: int, stride: int, name: str) -> flax.linen.Conv:
    window, padding = (size, size), size // 2
    return flax.linen.Conv(
        features, window, stride, padding, use_bias=False, dtype=dtype, name=name
    )


def _norm(dtype: str, name: str) -> flax.linen.BatchNorm:
    return flax.linen.BatchNorm(use_running_average=False, momentum=0.9, dtype=dtype, name=name)


def convolutions(features: int, stride: int, bottleneck: bool) -> list[tuple[int, int, int]]:
    """The features, window and stride of each convolution of a residual block."""
    if bottleneck:
        return [(features, 1, 1), (features, 3, stride), (4 * features, 1, 1)]
    return [(features, 3, stride), (features, 3, 1)]


def blocks(depth: int) -> list[tuple[str, int, int]]:
    """The name, features and stride of each residual block."""
    return [
        (f"layer{i + 1}_{j}", 64 << i, 2 if i > 0 and j == 0 else 1)
        for i, count in enumerate(STAGES[depth])
        for j in range(count)
    ]


class Block(flax.linen.Module):
    """A residual block, under the names of ours."""

    features: int
    stride: int
    bottleneck: bool
    dtype: str = "float32"

    @flax.linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        y, sizes = x, convolutions(self.features, self.stride, self.bottleneck)
        for i, (features, size, stride) in enumerate(sizes, 1):
            y = _conv(self.dtype, features, size, stride, f"conv{i}")(y)
            y = _norm(self.dtype, f"bn{i}")(y)
            y = flax.linen.relu(y) if i < len(sizes) else y
        if x.shape != y.shape:
            x = _conv(self.dtype, y.shape[-1], 1, self.stride, "downsample")(x)
            x = _norm(self.dtype, "downsample_bn")(x)
        return flax.linen.relu(x + y)


class ResNet(flax.linen.Module):
    """Linen's twin of our ResNets, with the same parameters."""

    depth: int
    dtype: str = "float32"

    @flax.linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = _conv(self.dtype, 64, 7, 2, "conv1")(x)
        x = flax.linen.relu(_norm(self.dtype, "bn1")(x))
        x = flax.linen.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))
        for name, features, stride in blocks(self.depth):
            x = Block(features, stride, self.depth == 50, self.dtype, name=name)(x)
        return flax.linen.Dense(CLASSES, name="fc")(x.mean((1, 2)))


def torch_loss(depth: int, params: Any, batch: Any) -> Any:
    """The same in PyTorch."""
    from torch.nn import functional

    def conv(p: Any, x: Any, stride: int) -> Any:
        kernel = p["kernel"].permute(3, 2, 0, 1)
        return functional.conv2d(x, kernel, stride=stride, padding=kernel.shape[-1] // 2)

    def norm(p: Any, x: Any) -> Any:
        return functional.batch_norm(x, None, None, p["scale"], p["bias"], training=True)

    images, labels = batch
    x = conv(params["conv1"], images.permute(0, 3, 1, 2), 2)
    x = functional.max_pool2d(norm(params["bn1"], x).relu(), 3, 2, 1)
    for name, features, stride in blocks(depth):
        p, y, sizes = params[name], x, convolutions(features, stride, depth == 50)
        for i, (_, _, by) in enumerate(sizes, 1):
            y = norm(p[f"bn{i}"], conv(p[f"conv{i}"], y, by))
            y = y.relu() if i < len(sizes) else y
        if "downsample" in p:
            x = norm(p["downsample_bn"], conv(p["downsample"], x, stride))
        x = (x + y).relu()
    logits = x.mean((2, 3)) @ params["fc"]["kernel"] + params["fc"]["bias"]
    return functional.cross_entropy(logits, labels)


def work(depth: int = 18, batch: int = 8, size: int = 224, dtype: str = "float32") -> Work:
    """A step of AdamW, the running statistics with it."""
    ours = {18: nn.models.resnet18, 50: nn.models.resnet50}[depth](CLASSES)
    optimiser = optax.adamw(1e-3)
    applies = {
        OURS: functools.partial(ours.apply, train=True, dtype=dtype, mutable=["batch_stats"]),
        PEER: functools.partial(ResNet(depth, dtype).apply, mutable=["batch_stats"]),
    }

    def step(side: Side) -> Step:
        def loss(params: Any, stats: Any, images: Any, labels: Any) -> Any:
            variables = {"params": params, "batch_stats": stats}
            logits, updates = applies[side.name](variables, images)
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
            return losses.mean(), updates["batch_stats"]

        def step(state: Any, batch: Any) -> Any:
            params, stats, moments = state
            (value, stats), grads = side.value_and_grad(loss, has_aux=True)(params, stats, *batch)
            changes, moments = optimiser.update(grads, moments, params)
            return (optax.apply_updates(params, changes), stats, moments), value

        return step

    rng = numpy.random.default_rng(0)
    images = rng.standard_normal((batch, size, size, 3), numpy.float32)
    data = images, rng.integers(0, CLASSES, batch).astype(numpy.int32)
    variables = jax.tree.map(numpy.asarray, ours.init(jax.random.key(0), images[:1]))
    params, stats = variables["params"], variables["batch_stats"]
    loss = functools.partial(torch_loss, depth)
    others = torch_training(loss, params, data, dtype=dtype)
    return Work(step, (params, stats, optimiser.init(params)), data, others)


def run() -> list[Row]:
    """Measure it at the size that is asked for."""
    depth, _, sizes = os.environ.get("RESNET", "18:8x224").rpartition(":")
    batch, size = map(int, sizes.split("x"))
    title = f"ResNet-{depth or 18}, {batch} x {size} x {size}"
    make = lambda k: work(int(depth or 18), batch, size)
    return measure(title, make, traces=1, compiles=1, warm=work(18, 2, 32), step=0.5)
