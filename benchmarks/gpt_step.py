"""Trace, lower, compile and run the training step of a 12-layer GPT.

Ours calls a block as a module does, as one function of the program; JAX's user writes the plain
call. The second group gives both sides the same help, each block a nested ``jit``.
"""

from benchmarks import gpt
from benchmarks.harness import Row


def run() -> list[Row]:
    """Measure both ways to call a block."""
    config = gpt.Config()
    return [
        *gpt.measured("12-layer GPT", config, trace=1 / 5, step=0.7),
        *gpt.measured("12-layer GPT, blocks under jit", config, gpt.nested_jit),
    ]
