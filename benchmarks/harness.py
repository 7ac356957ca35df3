"""Measure two sides in turns, so that what else the machine does falls on both alike."""

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import jax

OURS, PEER = "jaxcore", "jax"

Thunk = Callable[[], object]


@dataclass(frozen=True)
class Row:
    """One line of the table: the medians of both sides, and their ratio.

    Attributes:
        name: What was measured, in words.
        ours: Median time of ours, in seconds.
        peer: Median time of JAX in the same run, in seconds.
        ratio: Median over the rounds of ours / peer; below 1 ours is faster.
        target: The largest ratio that keeps the promise, or None where there is none.
        unit: What ours and peer are in: seconds or bytes.
        others: The ratio ours / theirs for each further peer.
    """

    name: str
    ours: float
    peer: float
    ratio: float
    target: float | None = None
    unit: str = "s"
    others: dict[str, float] = field(default_factory=dict)

    @property
    def met(self) -> bool | None:
        """Whether the ratio is within its target; None where there is no target."""
        return None if self.target is None else self.ratio <= self.target


def row(
    name: str, samples: dict[str, list[float]], target: float | None = None, unit: str = "s"
) -> Row:
    """Sum up the rounds of all sides.

    Sample k of one was taken beside sample k of another; where a peer has one sample only, the last
    of ours was taken beside it.
    """
    ours = samples[OURS]

    def ratio(peer: str) -> float:
        theirs = samples[peer]
        return statistics.median(a / b for a, b in zip(ours[-len(theirs) :], theirs, strict=True))

    others = {peer: ratio(peer) for peer in samples if peer not in (OURS, PEER)}
    median = statistics.median
    return Row(name, median(ours), median(samples[PEER]), ratio(PEER), target, unit, others)


def stopwatch(thunk: Thunk) -> float:
    """Return the seconds that one call takes, up to the point where its arrays are there."""
    begin = time.perf_counter()
    jax.block_until_ready(thunk())
    return time.perf_counter() - begin


def in_turns(
    sides: dict[str, Thunk], rounds: int, collector: bool = False
) -> dict[str, list[float]]:
    """Time one call of each side per round; who goes first alternates.

    With `collector`, Python's garbage collector runs as it does for a user: work that makes many
    objects pays for it, or spares itself that.
    """
    samples: dict[str, list[float]] = {name: [] for name in sides}
    order = list(sides)
    collecting = gc.isenabled()
    if not collector:
        gc.disable()
    try:
        for _ in range(rounds):
            for name in order:
                samples[name].append(stopwatch(sides[name]))
            order.reverse()
            gc.collect()
    finally:
        if collecting:
            gc.enable()
    return samples


def repeated(
    name: str,
    sides: dict[str, Thunk],
    *,
    target: float | None = None,
    rounds: int = 31,
    seconds: float = 0.02,
    limit: float = 60.0,
) -> Row:
    """Measure calls that may be too short for a clock: a sample is the mean over a batch of calls.

    Args:
        name: The row's name.
        sides: What to call, by side; each is called a few times first, to warm it up.
        target: The largest ratio that keeps the promise.
        rounds: How many batches of each side.
        seconds: About how long one batch of the slowest side takes.
        limit: About how many seconds that side may take in all; five rounds are taken anyhow.
    """
    for thunk in sides.values():
        for _ in range(3):
            jax.block_until_ready(thunk())
    slowest = max(min(stopwatch(thunk) for _ in range(3)) for thunk in sides.values())
    calls = max(1, round(seconds / slowest))
    rounds = min(rounds, max(5, round(limit / (calls * slowest))))

    def batch(thunk: Thunk) -> Thunk:
        def run() -> object:
            for _ in range(calls - 1):
                thunk()
            return thunk()

        return run

    samples = in_turns({side: batch(thunk) for side, thunk in sides.items()}, rounds)
    return row(name, {side: [t / calls for t in ts] for side, ts in samples.items()}, target)
