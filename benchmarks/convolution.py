"""Convolutions one by one: forward, input gradient and kernel gradient, beside JAX and PyTorch.

The distinct convolutions of ResNet-18 and ResNet-50, a depthwise one of ConvNeXt, a grouped one of
ResNeXt and a transposed one, in float32 with their features last. ``CONVOLUTION=depthwise`` takes
those whose names hold the word, ``CONVOLUTION=wide:2`` with batches of 2 instead of 8.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy

import jaxcore
from benchmarks import peers
from benchmarks.harness import OURS, PEER, Row, repeated, row
from benchmarks.sides import SIDES, Side


@dataclass(frozen=True)
class Convolution:
    """A square convolution with padding that keeps the size, but for its stride.

    Attributes:
        size: Height and width of the input.
        inputs, outputs: Features.
        window: Height and width of the kernel.
        stride: Of the window; of the output if `transposed`.
        groups: Of features.
        transposed: Whether it makes images larger by its stride.
    """

    size: int
    inputs: int
    outputs: int
    window: int
    stride: int = 1
    groups: int = 1
    transposed: bool = False

    def __call__(self, x: Any, kernel: Any) -> Any:
        """Apply it, as either library does."""
        near = self.window // 2
        low, high = near, near
        strides, dilation = (self.stride,) * 2, (1, 1)
        if self.transposed:
            strides, dilation = dilation, strides
            low, high = self.window - 1 - near, self.window - 1 - near + self.stride - 1
        return jax.lax.conv_general_dilated(
            x,
            kernel,
            strides,
            ((low, high),) * 2,
            dilation,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=self.groups,
        )

    def torch(self, x: Any, kernel: Any) -> Any:
        """The same in PyTorch, on images and kernels with their features first."""
        from torch.nn import functional

        near = self.window // 2
        if self.transposed:
            more = self.stride - 1
            return functional.conv_transpose2d(x, kernel, None, self.stride, near, more)
        return functional.conv2d(x, kernel, None, self.stride, near, 1, self.groups)

    def operands(self, batch: int) -> tuple[Any, Any]:
        """An input and a kernel."""
        rng = numpy.random.default_rng(0)
        kernel = (self.window, self.window, self.inputs // self.groups, self.outputs)
        return tuple(
            rng.standard_normal(shape, numpy.float32)
            for shape in ((batch, self.size, self.size, self.inputs), kernel)
        )


CONVOLUTIONS = {
    "stem 7x7, 3-64": Convolution(224, 3, 64, 7, 2),
    "3x3 of 56, 64-64": Convolution(56, 64, 64, 3),
    "3x3 of 56, 64-128, stride 2": Convolution(56, 64, 128, 3, 2),
    "3x3 of 28, 128-128": Convolution(28, 128, 128, 3),
    "3x3 of 14, 256-256": Convolution(14, 256, 256, 3),
    "3x3 of 14, 256-512, stride 2": Convolution(14, 256, 512, 3, 2),
    "wide 3x3 of 7, 512-512": Convolution(7, 512, 512, 3),
    "1x1 of 56, 64-256": Convolution(56, 64, 256, 1),
    "1x1 of 56, 256-512, stride 2": Convolution(56, 256, 512, 1, 2),
    "1x1 of 7, 2048-512": Convolution(7, 2048, 512, 1),
    "depthwise 7x7 of 28, 192": Convolution(28, 192, 192, 7, groups=192),
    "grouped 3x3 of 28, 128-128, 32 groups": Convolution(28, 128, 128, 3, groups=32),
    "transposed 3x3 of 14, 256-128, stride 2": Convolution(14, 256, 128, 3, 2, transposed=True),
    "tiny 3x3 of 2, 512-512": Convolution(2, 512, 512, 3),
}


def directions(side: Side, conv: Convolution) -> dict[str, Callable[..., Any]]:
    """What is measured of a convolution: functions of input, kernel and the result's cotangent."""
    vjp = {OURS: jaxcore.vjp, PEER: jax.vjp}[side.name]
    return {
        "forward": lambda x, kernel, ct: conv(x, kernel),
        "input gradient": lambda x, kernel, ct: vjp(lambda x: conv(x, kernel), x)[1](ct)[0],
        "kernel gradient": lambda x, kernel, ct: vjp(lambda k: conv(x, k), kernel)[1](ct)[0],
    }


def in_torch(conv: Convolution, x: Any, kernel: Any, ct: Any) -> dict[str, Callable[[], Any]]:
    """The same in PyTorch, whose kernels are [out, in, ...], and [in, out, ...] if transposed."""
    import torch

    axes = (2, 3, 0, 1) if conv.transposed else (3, 2, 0, 1)
    if conv.transposed:  # theirs turns the kernel round
        kernel = kernel[::-1, ::-1]
    first = [v.transpose(0, 3, 1, 2) for v in (x, ct)]
    x, ct, kernel = (torch.from_numpy(v.copy()) for v in (*first, numpy.transpose(kernel, axes)))
    moved_x, moved_kernel = x.clone().requires_grad_(), kernel.clone().requires_grad_()
    by_x, by_kernel = conv.torch(moved_x, kernel), conv.torch(x, moved_kernel)
    pull = lambda out, at: torch.autograd.grad(out, at, ct, retain_graph=True)[0]
    return {
        "forward": lambda: conv.torch(x, kernel),
        "input gradient": lambda: pull(by_x, moved_x),
        "kernel gradient": lambda: pull(by_kernel, moved_kernel),
    }


def from_torch(conv: Convolution, what: str, value: Any) -> Any:
    """What PyTorch computed, in the layout of ours."""
    value = value.detach().numpy()
    if what != "kernel gradient":
        return value.transpose(0, 2, 3, 1)
    if conv.transposed:
        return value.transpose(2, 3, 0, 1)[::-1, ::-1]
    return value.transpose(2, 3, 1, 0)


def measure(name: str, conv: Convolution, batch: int, **settings: Any) -> list[Row]:
    """The step of all three, their compile times and their largest temporaries."""
    x, kernel = conv.operands(batch)
    ct = numpy.random.default_rng(1).standard_normal(
        jax.eval_shape(conv, x, kernel).shape, numpy.float32
    )
    args = jax.device_put((x, kernel, ct))
    torch = in_torch(conv, x, kernel, ct) if peers.installed("torch") else {}
    seconds, memory = {OURS: 0.0, PEER: 0.0}, {OURS: 1.0, PEER: 1.0}
    rows = []
    for what in directions(SIDES[0], conv):
        thunks = {}
        for side in SIDES:
            lowered = side.jit(directions(side, conv)[what]).lower(*args)
            begin = time.perf_counter()
            step = lowered.compile()
            seconds[side.name] += time.perf_counter() - begin
            used = float(step.memory_analysis().temp_size_in_bytes)
            memory[side.name] = max(memory[side.name], used)
            thunks[side.name] = lambda step=step: step(*args)
        made = [numpy.asarray(thunk()) for thunk in thunks.values()]
        if what in torch:
            thunks["torch"] = torch[what]
            made.append(from_torch(conv, what, torch[what]()))
        for other in made[1:]:
            numpy.testing.assert_allclose(made[0], other, rtol=1e-3, atol=1e-4 * abs(other).max())
        rows.append(repeated(f"{name}: {what}", thunks, **settings))
    samples = {side: [value] for side, value in seconds.items()}
    most = {side: [value] for side, value in memory.items()}
    rows.append(row(f"{name}: compile all three", samples))
    rows.append(row(f"{name}: temporaries at most", most, unit="B"))
    return rows


def run() -> list[Row]:
    """Measure those that are asked for."""
    word, _, batch = os.environ.get("CONVOLUTION", "").partition(":")
    return [
        line
        for name, conv in CONVOLUTIONS.items()
        if word in name
        for line in measure(name, conv, int(batch or 8), rounds=9, limit=3.0)
    ]
