"""Count the work of a training step by module, before compiling, beside JAX's count of it lowered.

JAX's figure counts the body of a loop once and knows no modules; ours has to stay under 50 ms.
"""

import dataclasses
import gc

from benchmarks import gpt
from benchmarks.harness import OURS, PEER, Row, row, stopwatch
from benchmarks.sides import SIDES

ROUNDS = 5
LIMIT = 0.05


def run() -> list[Row]:
    """Measure the count of a 12-layer and of a 48-layer GPT's step, each traced anew."""
    rows = []
    for layers in (12, 48):
        config = dataclasses.replace(gpt.Config(), layers=layers)
        samples: dict[str, list[float]] = {OURS: [], PEER: []}
        for round_ in range(ROUNDS if layers == 12 else 2):
            # A width of its own each time, so that nothing is counted already.
            sized = dataclasses.replace(config, width=config.width + 4 * (round_ + 1))
            work = gpt.work(sized)
            for side in SIDES:
                lowered = work.jitted(side).lower(work.state, work.batch)
                samples[side.name].append(stopwatch(lowered.cost_analysis))
                del lowered
            gc.collect()
        rows.append(row(f"{layers}-layer GPT: count the step's work", samples))
        assert min(samples[OURS]) < LIMIT, f"counting took {min(samples[OURS]):.3f} s"
    return rows
