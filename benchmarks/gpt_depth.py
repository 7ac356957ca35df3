"""The training step of GPTs that are deep, or wide with few tokens: layers in a plain loop.

XLA's CPU backend takes the square of the depth for JAX's program. Wide layers with few tokens are
the other extreme: their parameters outweigh what they compute, and a form of the blocks that moves
them through memory loses.
"""

from benchmarks import gpt
from benchmarks.gpt_step import measure, plain
from benchmarks.harness import Row


def run() -> list[Row]:
    """Measure 24 narrow layers, and 12 wide ones on two sequences."""
    deep, wide = gpt.Config(layers=24), gpt.Config(width=512, batch=2)
    return [
        *measure("24-layer GPT", deep, plain, compile=1 / 8, step=0.45),
        *measure("12-layer GPT, width 512, batch 2", wide, plain, temporaries=1.0, step=0.95),
    ]
