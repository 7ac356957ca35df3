"""The first training step of a process that starts after another one, and of that other one.

Every sample is a process of its own. It is timed from the moment its imports are done and its state
is made to the moment the loss of its first step is there. Ours finds its executables on the disk
without being asked to; JAX gets its own compilation cache, told to keep everything.
"""

import itertools
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import gpt
from benchmarks.harness import OURS, PEER, Row, row, stopwatch
from benchmarks.sides import SIDES

LAYERS = (12, 24)
ROUNDS = 3
TO_FIRST, TO_PEER = 1 / 5, 1 / 2


def first_step(name: str, layers: int) -> float:
    """Return the seconds that the first step of this process takes."""
    (side,) = (side for side in SIDES if side.name == name)
    work = gpt.work(gpt.Config(layers=layers))
    (state, batch), step = work.arguments(), work.jitted(side)
    return stopwatch(lambda: step(state, batch)[1])


def process(name: str, layers: int, directory: Path) -> float:
    """Return `first_step` of a new process whose executables are kept in `directory`."""
    kept = {
        "JAXCORE_CACHE": "1",
        "JAXCORE_CACHE_DIR": str(directory / "jaxcore"),
        "JAX_COMPILATION_CACHE_DIR": str(directory / "jax"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    if name == OURS:  # with nothing but its own
        kept = {key: value for key, value in kept.items() if key.startswith("JAXCORE_")}
    outside = {k: v for k, v in os.environ.items() if not k.startswith("JAX_COMPILATION_CACHE")}
    command = [sys.executable, "-m", "benchmarks.second_start", name, str(layers)]
    return float(subprocess.check_output(command, env=outside | kept, text=True))


def measure(layers: int) -> list[Row]:
    """Measure first and second processes of both sides in turns."""
    first: dict[str, list[float]] = {OURS: [], PEER: []}
    second: dict[str, list[float]] = {OURS: [], PEER: []}
    order = [OURS, PEER]
    for _ in range(ROUNDS):
        for name in order:
            with tempfile.TemporaryDirectory() as directory:
                for samples in (first, second):
                    samples[name].append(process(name, layers, Path(directory)))
        order.reverse()
    title = f"{layers}-layer GPT, first step"
    beside_first = {OURS: second[OURS], PEER: first[OURS]}
    return [
        row(f"{title}: first process", first),
        row(f"{title}: second process, both with a cache", second, TO_PEER),
        row(f"{title}: our second process beside our first", beside_first, TO_FIRST),
    ]


def run() -> list[Row]:
    """Measure each depth."""
    return list(itertools.chain.from_iterable(map(measure, LAYERS)))


if __name__ == "__main__":
    print(first_step(sys.argv[1], int(sys.argv[2])))
