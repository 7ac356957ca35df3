"""A work: a step that ours and JAX's run from the same code, and the figures that are taken of it.

Trace + lower, compile and the first step are taken of programs that the process has not seen: each
sample is the work at sizes of its own. Steps are taken in turns by all, PyTorch among them.
"""

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy
import optax

from benchmarks.harness import OURS, PEER, Row, repeated, row, stopwatch
from benchmarks.peers import WITHOUT, Advance, Begin
from benchmarks.sides import SIDES, Side

Step = Callable[[Any, Any], tuple[Any, Any]]

CHECKED = 3


@dataclass(frozen=True)
class Work:
    """One piece of work at one size.

    Attributes:
        step: Builds a side's ``step(state, batch) -> (state, value)``; values are compared.
        state, batch: What it begins with, NumPy arrays.
        others: Further peers, each by what begins it: a call makes a step and returns its value.
    """

    step: Callable[[Side], Step]
    state: Any
    batch: Any
    others: dict[str, Begin] = field(default_factory=dict)

    def arguments(self) -> tuple[Any, Any]:
        """State and batch on the device, as copies that may be donated."""
        return jax.block_until_ready(jax.tree.map(jax.numpy.array, (self.state, self.batch)))

    def jitted(self, side: Side, **options: Any) -> Any:
        """A side's step, not yet traced, its state donated."""
        return side.jit(self.step(side), donate_argnums=0, **options)


Make = Callable[[int], Work]


def training(side: Side, loss: Callable[[Any, Any], Any]) -> Step:
    """The step of AdamW for ``loss(params, batch)``; its state comes from `training_state`."""
    optimiser = optax.adamw(1e-3)

    def step(state: Any, batch: Any) -> tuple[Any, Any]:
        params, moments = state
        value, gradients = side.value_and_grad(loss)(params, batch)
        updates, moments = optimiser.update(gradients, moments, params)
        return (optax.apply_updates(params, updates), moments), value

    return step


def training_state(params: Any) -> Any:
    """Parameters and the optimiser's state before the first step."""
    return params, jax.tree.map(numpy.asarray, optax.adamw(1e-3).init(params))


def normal(rng: numpy.random.Generator, *shape: int) -> numpy.ndarray:
    """A kernel: normal numbers over the root of its inputs, all dimensions but the last."""
    scale = numpy.prod(shape[:-1]) ** -0.5
    return (rng.standard_normal(shape) * scale).astype(numpy.float32)


def measure(
    title: str,
    make: Make,
    *,
    traces: int = 5,
    compiles: int = 2,
    warm: Work | None = None,
    **targets: float,
) -> list[Row]:
    """Take all figures of a work and check that all compute the same.

    Args:
        title: What the rows' names begin with.
        make: The work at its sizes for 0, at sizes near them for other numbers.
        traces: How many sizes are traced and lowered.
        compiles: How many of them are compiled and run too.
        warm: What goes first, since what is set up once per process is no part of a figure.
        targets: The largest ratios of `trace`, `compile`, `temporaries`, `first` and `step`.
    """
    for side in SIDES:
        start(warm or make(traces), side)
    figures: dict[str, dict[str, list[float]]] = {}
    for k in reversed(range(traces)):
        work = make(k)
        for side in SIDES if k % 2 else SIDES[::-1]:
            compiled, times = start(work, side, stop=k >= compiles)
            for figure, seconds in times.items():
                figures.setdefault(figure, {OURS: [], PEER: []})[side.name].append(seconds)
            if k == 0:
                figures.setdefault("temporaries", {})[side.name] = [
                    compiled.memory_analysis().temp_size_in_bytes
                ]
                figures.setdefault("programs", {})[side.name] = compiled
    programs = figures.pop("programs")
    sides = {name: stepping(program, work) for name, program in programs.items()}
    sides |= {name: begin() for name, begin in work.others.items() if name not in WITHOUT}
    figures["first step"] = check(sides) | figures["first step"]
    bytes_ = {"temporaries": "B"}
    return [
        *(
            row(
                f"{title}: {figure}", times, targets.get(figure.split()[0]), bytes_.get(figure, "s")
            )
            for figure, times in figures.items()
        ),
        repeated(f"{title}: step", sides, target=targets.get("step"), rounds=21, limit=10),
    ]


def start(
    work: Work, side: Side, *, stop: bool = False, **options: Any
) -> tuple[Any, dict[str, float]]:
    """Trace and lower a side's step, and unless told to `stop` there, compile and run it.

    `options` are those of its `jit`.
    """
    step, arguments = work.jitted(side, **options), work.arguments()
    gc.collect()
    begin = time.perf_counter()
    lowered = step.lower(*arguments)
    times = {"trace + lower": time.perf_counter() - begin}
    if stop:
        return None, times
    compiled = lowered.compile()
    times["compile"] = time.perf_counter() - begin - times["trace + lower"]
    jax.block_until_ready(compiled(*arguments))
    times["first step"] = time.perf_counter() - begin
    return compiled, times


def stepping(compiled: Step, work: Work) -> Advance:
    """A call makes one more step from where the last one ended."""
    state, batch = work.arguments()

    def advance() -> Any:
        nonlocal state
        state, value = compiled(state, batch)
        return value

    return advance


def check(sides: dict[str, Advance], rtol: float = 5e-3) -> dict[str, list[float]]:
    """Take a few steps with all and compare their values with JAX's; return the times of their
    first steps, which count for those that compile at their first step.
    """
    values: dict[str, list[Any]] = {}
    first = {}
    for name, advance in sides.items():
        keep = lambda name=name, advance=advance: values.setdefault(name, []).append(advance())
        first[name] = [stopwatch(keep)]
        for _ in range(CHECKED - 1):
            keep()
    for name, taken in values.items():
        numpy.testing.assert_allclose(
            numpy.stack(taken),
            numpy.stack(values[PEER]),
            rtol=rtol,
            atol=1e-5,
            err_msg=f"{name} and {PEER} do not compute the same",
        )
    return first
