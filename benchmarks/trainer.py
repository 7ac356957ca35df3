"""`Trainer.fit`, with all that is on by default, beside a loop written by hand, and Lightning's.

The loop by hand is what people write in JAX: a jitted step, batches cut from shuffled arrays, the
loss looked at every fifty steps. `fit` also shows a progress bar, writes a CSV file, measures the
gradient's norm, skips steps that are not finite, watches for signals and is ready to save.
"""

import contextlib
import io
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy
import numpy
import optax
from rich.console import Console

from benchmarks.harness import OURS, PEER, Row, row
from jaxcore import nn, train

LOG_EVERY = 50


@dataclass(frozen=True)
class Size:
    """A multilayer perceptron on random data, and how it is measured.

    Attributes:
        name: Of the rows.
        width: Of both hidden layers, and of the data.
        rows: Of a batch.
        steps: Of one stretch of the run that is timed.
        rounds: How many stretches.
    """

    name: str
    width: int
    rows: int
    steps: int
    rounds: int


TINY = Size("tiny MLP", width=32, rows=32, steps=400, rounds=15)
LARGER = Size("MLP of about 5 ms a step", width=512, rows=384, steps=100, rounds=9)


class MLP(nn.Module):
    """Two hidden layers, one output."""

    width: int

    def __call__(self, x: Any) -> Any:
        for _ in range(2):
            x = nn.relu(nn.Dense(self.width)(x))
        return nn.Dense(1)(x)[:, 0]


class Regression(train.Task):
    """Squared errors, one for each row."""

    def loss(self, model: Any, batch: Any, ctx: Any) -> Any:
        x, y = batch
        return (model(x) - y) ** 2


def task(size: Size) -> train.Task:
    """The model with its optimiser."""
    return Regression(model=MLP(size.width), tx=optax.adam(1e-3))


def arrays(size: Size) -> tuple[numpy.ndarray, numpy.ndarray]:
    """The data: more batches than a run takes, so that no epoch ends within it."""
    rng = numpy.random.default_rng(0)
    count = min(size.steps * (size.rounds + 2) * size.rows, 1 << 18)
    x = rng.standard_normal((count, size.width), numpy.float32)
    return x, x.sum(1)


def batches(x: numpy.ndarray, y: numpy.ndarray, rows: int) -> Iterator[Any]:
    """Shuffled batches for ever."""
    rng = numpy.random.default_rng(0)
    while True:
        order = rng.permutation(len(x))
        for start in range(0, len(x) - rows + 1, rows):
            taken = order[start : start + rows]
            yield x[taken], y[taken]


def by_hand(size: Size) -> Callable[[], Any]:
    """A call makes one step of the loop written by hand in JAX."""
    tx = optax.adam(1e-3)
    data = batches(*arrays(size), size.rows)
    params = train.init_state(task(size), jax.random.key(0), next(data)).params

    def loss(params: Any, x: Any, y: Any) -> Any:
        for name in ("Dense_0", "Dense_1"):
            x = jax.nn.relu(x @ params[name]["kernel"] + params[name]["bias"][None, :])
        out = x @ params["Dense_2"]["kernel"] + params["Dense_2"]["bias"][None, :]
        return jax.numpy.mean((out[:, 0] - y) ** 2)

    def step(params: Any, moments: Any, x: Any, y: Any) -> Any:
        value, grads = jax.value_and_grad(loss)(params, x, y)
        updates, moments = tx.update(grads, moments, params)
        return optax.apply_updates(params, updates), moments, value

    compiled = jax.jit(step, donate_argnums=(0, 1))
    held: list[Any] = [params, tx.init(params)]
    printed, count = io.StringIO(), 0

    def run() -> Any:
        nonlocal count
        *held[:], value = compiled(*held, *next(data))
        count += 1
        if count % LOG_EVERY == 0:
            print(f"step {count} loss {float(value):.4f}", file=printed)
        return value

    return run


class Stretches:
    """Times stretches of a run, and beside each as many steps of another loop."""

    def __init__(self, steps: int, other: Callable[[], Any]) -> None:
        self.steps = steps
        self.other = other
        self.samples: dict[str, list[float]] = {OURS: [], PEER: []}
        self.began = 0.0

    def at(self, step: int, ready: Callable[[], Any] = lambda: None) -> None:
        """To be called after every step, or some; `ready` waits until it is computed."""
        if step % self.steps:
            return
        ready()
        ended = time.perf_counter()
        if self.began:
            self.samples[OURS].append((ended - self.began) / self.steps)
            began = time.perf_counter()
            for _ in range(self.steps - 1):
                self.other()
            jax.block_until_ready(self.other())
            self.samples[PEER].append((time.perf_counter() - began) / self.steps)
        self.began = time.perf_counter()


class Timed(train.Callback):
    """`Stretches` of a run of ours."""

    def __init__(self, stretches: Stretches) -> None:
        self.stretches = stretches

    def on_step_end(self, run: Any) -> None:
        self.stretches.at(run.step, lambda: jax.block_until_ready(run.state.step))


def fitting(size: Size, steps_per_call: int = 1) -> dict[str, list[float]]:
    """Seconds of a step inside `Trainer.fit`, and of the loop by hand in between."""
    other = by_hand(size)
    jax.block_until_ready(other())
    stretches = Stretches(size.steps, other)
    data = train.ArrayData(arrays(size), batch_size=size.rows)
    terminal = Console(file=io.StringIO(), force_terminal=True, width=120)
    with tempfile.TemporaryDirectory() as dir:
        trainer = train.Trainer(
            dir=dir,
            console=terminal,
            log_every=train.Steps(LOG_EVERY),
            steps_per_call=steps_per_call,
        )
        trainer.callbacks.append(Timed(stretches))
        trainer.fit(task(size), data, until=train.Steps((size.rounds + 1) * size.steps))
    return stretches.samples


def lightning_fitting(size: Size) -> dict[str, list[float]]:
    """Seconds of a step inside Lightning's `Trainer.fit`, and of a loop by hand in PyTorch."""
    import lightning
    import torch

    def model() -> Any:
        width = size.width
        layers = [torch.nn.Linear(width, width), torch.nn.ReLU()] * 2
        return torch.nn.Sequential(*layers, torch.nn.Linear(width, 1))

    def loss_of(model: Any, batch: Any) -> Any:
        x, y = batch
        return ((model(x)[:, 0] - y) ** 2).mean()

    def loader() -> Any:
        data = torch.utils.data.TensorDataset(*map(torch.from_numpy, arrays(size)))
        return torch.utils.data.DataLoader(data, batch_size=size.rows, shuffle=True)

    def loop() -> Callable[[], Any]:
        net, printed, count = model(), io.StringIO(), 0
        optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
        data = iter(loader())

        def run() -> Any:
            nonlocal count
            optimizer.zero_grad()
            loss = loss_of(net, next(data))
            loss.backward()
            optimizer.step()
            count += 1
            if count % LOG_EVERY == 0:
                print(f"step {count} loss {float(loss):.4f}", file=printed)

        return run

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = model()

        def training_step(self, batch: Any, index: int) -> Any:
            loss = loss_of(self.net, batch)
            self.log("loss", loss, prog_bar=True)
            return loss

        def configure_optimizers(self) -> Any:
            return torch.optim.Adam(self.parameters(), lr=1e-3)

    class Ends(lightning.Callback):
        def on_train_batch_end(self, trainer: Any, *rest: Any) -> None:
            stretches.at(trainer.global_step)

    stretches = Stretches(size.steps, loop())
    with (
        tempfile.TemporaryDirectory() as dir,
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        lightning.Trainer(
            max_steps=(size.rounds + 1) * size.steps,
            accelerator="cpu",
            default_root_dir=dir,
            logger=lightning.pytorch.loggers.CSVLogger(dir),
            log_every_n_steps=LOG_EVERY,
            callbacks=[Ends()],
        ).fit(Module(), loader())
    return stretches.samples


def added(samples: dict[str, list[float]]) -> float:
    """Seconds that a trainer adds to a step of the loop by hand."""
    return statistics.median(a - b for a, b in zip(samples[OURS], samples[PEER], strict=True))


def run() -> list[Row]:
    """Measure a step of 5 ms, a tiny one, many in a call, and what is added beside Lightning."""
    tiny = fitting(TINY)
    rows = [
        row(f"{LARGER.name}: Trainer.fit", fitting(LARGER), target=1.03),
        row(f"{TINY.name}: Trainer.fit", tiny, target=1.1),
        row(f"{TINY.name}: Trainer.fit, 50 steps a call", fitting(TINY, 50), target=0.25),
    ]
    try:
        theirs = added(lightning_fitting(TINY))
    except ImportError:
        print("trainer: Lightning is not installed and left out (pip install jaxcore[bench])")
        return rows
    ours = added(tiny)
    name = f"{TINY.name}: what fit adds to a step; what Lightning adds"
    return [*rows, Row(name, ours, theirs, ours / theirs, target=0.5)]
