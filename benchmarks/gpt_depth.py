"""The training step of GPTs of 1 to 96 layers in a plain loop, and of 12 wide ones on few tokens.

XLA's CPU backend takes the square of the depth for JAX's program. Wide layers with few tokens are
the other extreme: their parameters outweigh what they compute, and a form of the blocks that moves
them through memory loses.

``GPT_DEPTHS=24,48 python -m benchmarks gpt_depth`` takes some of the depths; 96 are not among
those it takes by itself, since JAX's plain loop and ``torch.compile`` want many minutes for them.
"""

import os

from benchmarks import gpt
from benchmarks.harness import Row

DEPTHS = "1,6,24,48"
TARGETS = {24: {"compile": 1 / 8, "step": 0.45}, 48: {"trace": 0.1, "compile": 0.05, "step": 0.14}}


def run() -> list[Row]:
    """Measure each depth, then 12 layers of width 512 on two sequences."""
    rows = []
    for layers in map(int, os.environ.get("GPT_DEPTHS", DEPTHS).split(",")):
        title = f"{layers}-layer GPT" if layers > 1 else "GPT of one layer"
        traces = 5 if layers < 24 else 3
        config = gpt.Config(layers=layers)
        rows += gpt.measured(title, config, traces=traces, **TARGETS.get(layers, {}))
    wide = gpt.Config(width=512, batch=2)
    title = "12-layer GPT, width 512, batch 2"
    return [*rows, *gpt.measured(title, wide, traces=3, temporaries=1.0, step=0.95)]
