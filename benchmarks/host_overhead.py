"""What a step costs on the host: through modules and the trainer, beside JAX's on plain dicts.

The model is so small (24 layers of width 8, 48 parameters, Adam) that the computer does little
beside handing over arguments. JAX's side is the shortest loop there is: one jitted function of
nested dicts, called on the same batch again and again.
"""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy
import numpy
import optax
from rich.console import Console

from benchmarks.harness import OURS, PEER, Row, repeated, row
from jaxcore import nn, random, train

LAYERS, WIDTH, ROWS = 24, 8, 4
ROUNDS, STEPS = 15, 200
TARGET = 1.2
BATCH = {"x": numpy.ones((ROWS, WIDTH), numpy.float32), "y": numpy.zeros(ROWS, numpy.float32)}


class Deep(nn.Module):
    """Dense layers one after the other."""

    def __call__(self, x: Any) -> Any:
        for _ in range(LAYERS):
            x = nn.tanh(nn.Dense(WIDTH)(x))
        return x[:, 0]


class Fit(train.Task):
    """Squared errors, one for each row."""

    def loss(self, model: Any, batch: Any, ctx: Any) -> Any:
        return (model(batch["x"]) - batch["y"]) ** 2


def task() -> train.Task:
    """The model with its optimiser."""
    return Fit(model=Deep(), tx=optax.adam(1e-3))


def plain() -> Callable[[], Any]:
    """A call makes one step of the same model, written in JAX with dicts."""
    tx = optax.adam(1e-3)
    params = jax.tree.map(jax.numpy.copy, initial().params)

    def loss(params: Any, batch: Any) -> Any:
        x = batch["x"]
        for i in range(LAYERS):
            layer = params[f"Dense_{i}"]
            x = jax.numpy.tanh(x @ layer["kernel"] + layer["bias"][None, :])
        return jax.numpy.mean((x[:, 0] - batch["y"]) ** 2)

    def step(params: Any, moments: Any, batch: Any) -> Any:
        value, grads = jax.value_and_grad(loss)(params, batch)
        updates, moments = tx.update(grads, moments, params)
        return optax.apply_updates(params, updates), moments, value

    compiled = jax.jit(step, donate_argnums=(0, 1))
    held = [params, tx.init(params)]

    def run() -> Any:
        *held[:], value = compiled(*held, BATCH)
        return value

    return run


def initial() -> train.State:
    """The state before the first step."""
    return train.init_state(task(), random.key(0), BATCH)


def stepping() -> Callable[[], Any]:
    """A call makes one step by `make_step`."""
    step = train.make_step(task())
    held = [initial()]

    def run() -> Any:
        held[0], metrics = step(held[0], BATCH)
        return metrics["loss"].total

    return run


class Interleave(train.Callback):
    """Times stretches of a run, and beside each as many steps of another loop."""

    def __init__(self, other: Callable[[], Any]) -> None:
        self.other = other
        self.samples: dict[str, list[float]] = {OURS: [], PEER: []}
        self.began = 0.0

    def on_step_end(self, run: Any) -> None:
        if run.step % STEPS:
            return
        jax.block_until_ready(run.state.step)
        ended = time.perf_counter()
        if self.began:
            self.samples[OURS].append((ended - self.began) / STEPS)
            began = time.perf_counter()
            for _ in range(STEPS - 1):
                self.other()
            jax.block_until_ready(self.other())
            self.samples[PEER].append((time.perf_counter() - began) / STEPS)
        self.began = time.perf_counter()


def training() -> dict[str, list[float]]:
    """Seconds of a step inside `Trainer.fit`, and of JAX's loop in between."""
    other = plain()
    jax.block_until_ready(other())
    watch = Interleave(other)
    steps = train.Steps((ROUNDS + 1) * STEPS)
    trainer = train.Trainer(callbacks=[watch], log_every=steps, console=Console(quiet=True))
    trainer.fit(task(), [BATCH] * STEPS, until=steps)
    return watch.samples


def run() -> list[Row]:
    """Measure the compiled step by itself, and the loop around it."""
    sides = {OURS: stepping(), PEER: plain()}
    return [
        repeated("24-layer Adam step: make_step", sides, target=TARGET),
        row("24-layer Adam step: Trainer.fit", training(), target=TARGET),
    ]
