"""Trace, lower, compile and run the training step of a 12-layer GPT.

Ours calls a block as a module does, as one function of the program; JAX's user writes the plain
call. The second group gives both sides the same help, each block a nested ``jit``.
"""

import dataclasses
import functools
import itertools
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy

import jaxcore
from benchmarks import gpt
from benchmarks.harness import OURS, PEER, Row, in_turns, row
from benchmarks.sides import SIDES, Side

TRACES = 5
STEPS = 15


def plain(side: Side) -> gpt.CallBlock:
    """A module's call on our side, a plain call on JAX's."""
    if side.name == OURS:
        return lambda block, *args: jaxcore.block(block, *args, name="block")
    return lambda block, *args: block(*args)


def nested_jit(side: Side) -> gpt.CallBlock:
    """The same nested ``jit`` on both sides."""
    jit = functools.lru_cache(side.jit)
    return lambda block, *args: jit(block)(*args)


def lowering(side: Side, config: gpt.Config, call: gpt.CallBlock) -> Callable[[], Any]:
    """Prepare a step that was never traced, and its arguments; the call traces and lowers it."""
    step = gpt.training_step(side, config, call)
    return functools.partial(step.lower, gpt.state(config), gpt.tokens(config))


def traces(config: gpt.Config, call: Callable[[Side], gpt.CallBlock]) -> dict[str, list[float]]:
    """Time first traces: each at a width of its own, so that it finds nothing already made."""
    widths = itertools.count(config.width + config.heads, config.heads)
    samples: dict[str, list[float]] = {OURS: [], PEER: []}
    for _ in range(TRACES):
        sides = {
            side.name: lowering(side, dataclasses.replace(config, width=next(widths)), call(side))
            for side in SIDES
        }
        for name, times in in_turns(sides, 1, collector=True).items():
            samples[name] += times
    return samples


def measure(
    title: str, config: gpt.Config, call: Callable[[Side], gpt.CallBlock], **targets: float
) -> list[Row]:
    """Measure one way to call a block, and check that both sides train alike.

    Args:
        title: What the rows' names begin with.
        config: Sizes of the model.
        call: How a side calls its blocks.
        targets: The largest ratios of `trace`, `compile`, `temporaries` and `step`.
    """
    # A small model first: what either side sets up once per process is no part of a trace.
    small = dataclasses.replace(config, layers=2, width=config.width // 2)
    for side in SIDES:
        lowering(side, small, call(side))().compile()

    rows = [row(f"{title}: trace + lower", traces(config, call), targets.get("trace"))]
    lowered = {side.name: lowering(side, config, call(side))() for side in SIDES}
    compiled, more = compiling(title, lowered, targets.get("compile"), targets.get("temporaries"))
    batch = jax.device_put(gpt.tokens(config))
    states = {name: jax.device_put(gpt.state(config)) for name in compiled}
    samples, losses = stepping(compiled, states, batch, warm=2, rounds=STEPS)
    numpy.testing.assert_allclose(losses[OURS], losses[PEER], rtol=2e-3)
    return [*rows, *more, row(f"{title}: step", samples, targets.get("step"))]


def compiling(
    title: str, lowered: dict[str, Any], compile: float | None, temporaries: float | None
) -> tuple[dict[str, Any], list[Row]]:
    """Both sides' steps compiled, once each, and what that took: time, and the memory that they
    need beside arguments and results. `compile` and `temporaries` are targets.
    """
    compiled: dict[str, Any] = {}
    seconds = {}
    for name, program in lowered.items():
        begin = time.perf_counter()
        compiled[name] = program.compile()
        seconds[name] = [time.perf_counter() - begin]
    ours, peer = (compiled[n].memory_analysis().temp_size_in_bytes for n in (OURS, PEER))
    return compiled, [
        row(f"{title}: compile", seconds, compile),
        Row(f"{title}: temporaries", ours, peer, ours / peer, temporaries, "B"),
    ]


def stepping(
    compiled: dict[str, Any], states: dict[str, Any], batch: Any, *, warm: int, rounds: int
) -> tuple[dict[str, list[float]], dict[str, list[jax.Array]]]:
    """Times of both sides' steps, taken in turns after `warm` rounds, and all their losses."""
    losses: dict[str, list[jax.Array]] = {name: [] for name in compiled}

    def advance(name: str) -> jax.Array:
        states[name], loss = compiled[name](states[name], batch)
        losses[name].append(loss)
        return loss

    sides = {name: functools.partial(advance, name) for name in compiled}
    in_turns(sides, warm)
    return in_turns(sides, rounds), losses


def run() -> list[Row]:
    """Measure both ways to call a block."""
    config = gpt.Config()
    return [
        *measure("12-layer GPT", config, plain, trace=1 / 5, step=0.7),
        *measure("12-layer GPT, blocks under jit", config, nested_jit),
    ]
