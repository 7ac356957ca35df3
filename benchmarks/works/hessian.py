"""A damped Newton step with the Hessian of an MLP in all its parameters."""

from typing import Any

import numpy

from benchmarks.harness import Row
from benchmarks.peers import torch_step
from benchmarks.sides import Side
from benchmarks.work import Step, Work, measure, normal

DAMPING = 1.0


def step(side: Side, width: int, inputs: int) -> Step:
    """A side's step: the state is the vector of all parameters."""
    np = side.np

    def loss(vector: Any, batch: Any) -> Any:
        return squares(vector, batch, width, inputs, np.tanh)

    def step(vector: Any, batch: Any) -> Any:
        value, slope = side.value_and_grad(loss)(vector, batch)
        curvature = side.hessian(loss)(vector, batch) + DAMPING * np.eye(len(vector))
        return vector - np.linalg.solve(curvature, slope), value

    return step


def squares(vector: Any, batch: Any, width: int, inputs: int, tanh: Any) -> Any:
    """Mean squared error of the MLP whose parameters are parts of `vector`."""
    x, y = batch
    ends = numpy.cumsum([inputs * width, width * width, width]).tolist()
    first = vector[: ends[0]].reshape(inputs, width)
    second = vector[ends[0] : ends[1]].reshape(width, width)
    return ((tanh(tanh(x @ first) @ second) @ vector[ends[1] : ends[2]] - y) ** 2).mean()


def torch_form(width: int, inputs: int) -> Step:
    """The same in PyTorch, with `torch.func`."""

    def step(vector: Any, batch: Any) -> Any:
        import torch

        loss = lambda v: squares(v, batch, width, inputs, torch.tanh)
        slope, value = torch.func.grad_and_value(loss)(vector)
        curvature = torch.func.hessian(loss)(vector) + DAMPING * torch.eye(len(vector))
        return vector - torch.linalg.solve(curvature, slope), value

    return step


def work(width: int = 16, inputs: int = 8, batch: int = 64) -> Work:
    """Two hidden layers of `width` and one result."""
    rng = numpy.random.default_rng(0)
    kernels = [normal(rng, inputs, width), normal(rng, width, width), normal(rng, width)]
    vector = numpy.concatenate([kernel.ravel() for kernel in kernels])
    data = rng.standard_normal((batch, inputs), "float32"), rng.standard_normal(batch, "float32")
    others = torch_step(torch_form(width, inputs), vector, data)
    return Work(lambda side: step(side, width, inputs), vector, data, others)


def run() -> list[Row]:
    """Measure it."""
    return measure("Hessian of an MLP", lambda k: work(16 + k))
