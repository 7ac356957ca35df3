"""A neural ODE: the training step through 40 steps of Runge-Kutta in a scan, in reverse mode.

Chen et al. 2018, https://arxiv.org/abs/1806.07366
"""

from typing import Any

import numpy

from benchmarks.harness import Row
from benchmarks.peers import torch_training
from benchmarks.sides import Side
from benchmarks.work import Step, Work, measure, normal, training, training_state

STEPS = 40


def step(side: Side) -> Step:
    """A side's step on ``(begin, end)``: where trajectories start, and where they shall be at 1."""
    np, lax = side.np, side.lax

    def loss(params: Any, batch: Any) -> Any:
        def advance(x: Any, _: Any) -> Any:
            return runge_kutta(lambda x: np.tanh(x @ params[0]) @ params[1], x), None

        begin, end = batch
        x, _ = lax.scan(advance, begin, None, length=STEPS)
        return np.mean((x - end) ** 2)

    return training(side, loss)


def runge_kutta(field: Any, x: Any) -> Any:
    """One step of the classical method of order four."""
    dt = 1 / STEPS
    a = field(x)
    b = field(x + dt / 2 * a)
    c = field(x + dt / 2 * b)
    d = field(x + dt * c)
    return x + dt / 6 * (a + 2 * b + 2 * c + d)


def torch_loss(params: Any, batch: Any) -> Any:
    """The same in PyTorch, in a loop of Python."""
    from torch.nn import functional

    x, end = batch
    for _ in range(STEPS):
        x = runge_kutta(lambda x: (x @ params[0]).tanh() @ params[1], x)
    return functional.mse_loss(x, end)


def work(width: int = 64, batch: int = 128) -> Work:
    """A field of one hidden layer of `width` in four dimensions."""
    rng = numpy.random.default_rng(0)
    params = [normal(rng, 4, width), normal(rng, width, 4)]
    data = tuple(rng.standard_normal((2, batch, 4), "float32"))
    return Work(step, training_state(params), data, torch_training(torch_loss, params, data))


def run() -> list[Row]:
    """Measure it."""
    return measure("neural ODE", lambda k: work(64 + 8 * k))
