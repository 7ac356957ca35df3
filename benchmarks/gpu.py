"""GPT-2 124M, ResNet-50 and ViT-B in bfloat16 on a GPU: steps, tokens or images a second.

Ours compiles each in its three forms of repeated blocks; the share of peak counts the operations of
the step against what the device's tensor cores could do. Without a GPU there is nothing to measure.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax

from benchmarks import gpt, resnet
from benchmarks.harness import OURS, PEER, Row, in_turns, row
from benchmarks.peers import WITHOUT
from benchmarks.sides import SIDES
from benchmarks.work import Work, check, start, stepping
from benchmarks.works import vit

FORMS = ("inline", "outlined", "rolled")
PEAKS = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L4": 121e12, "V100": 125e12}

GPT2 = gpt.Config(12, 768, 12, vocabulary=50304, batch=8, length=1024, dtype="bfloat16")


def gpt2() -> Work:
    """GPT-2 of 124 million parameters."""
    return gpt.work(GPT2)


def resnet50() -> Work:
    """ResNet-50 on 128 images."""
    return resnet.work(50, 128, 224, "bfloat16")


def vit_base() -> Work:
    """ViT-B on 64 images."""
    return vit.work(768, 12, 12, 64, dtype="bfloat16")


WORKS: dict[str, tuple[Callable[[], Work], int, str]] = {
    "GPT-2 124M": (gpt2, GPT2.batch * GPT2.length, "tokens"),
    "ResNet-50": (resnet50, 128, "images"),
    "ViT-B": (vit_base, 64, "images"),
}


def peak() -> float | None:
    """Operations a second in bfloat16 that the device is sold for; None where nobody told us.

    >>> PEAKS["H100"]
    989000000000000.0
    """
    kind = jax.devices()[0].device_kind
    return next((value for name, value in PEAKS.items() if name in kind), None)


def measure(title: str, work: Work, items: int, unit: str, rounds: int = 15) -> list[Row]:
    """Compile and run the step: ours in each form, JAX's and PyTorch's.

    Args:
        title: What the rows' names begin with.
        work: What is measured.
        items: How many examples, or tokens, a step takes,
        unit: and what they are called.
        rounds: How many steps each takes.
    """
    ours, jax_ = SIDES
    operations = ours_lowered(work).cost_analysis()["flops"]
    begun = {form: start(work, ours, blocks=form) for form in FORMS} | {PEER: start(work, jax_)}
    first = {name: [times["first step"]] for name, (_, times) in begun.items()}
    advances = {name: stepping(compiled, work) for name, (compiled, _) in begun.items()}
    advances |= {name: begin() for name, begin in work.others.items() if name not in WITHOUT}
    first = check(advances, rtol=0.05) | first
    samples = in_turns(advances, rounds)

    def beside(form: str, of: dict[str, list[float]]) -> dict[str, list[float]]:
        return {OURS: of[form], **{name: times for name, times in of.items() if name not in FORMS}}

    rows = []
    for form in FORMS:
        step = row("", beside(form, samples))
        speed = f"{items / step.ours:,.0f} {unit}/s"
        if peak():
            speed += f", {operations / step.ours / peak():.0%} of peak"
        rows += [
            row(f"{title}, {form}: first step", beside(form, first), 1 / 3),
            dataclasses.replace(step, name=f"{title}, {form}: step ({speed})", target=1.0),
        ]
    return rows


def ours_lowered(work: Work) -> Any:
    """Our lowered step, which knows how many operations it is."""
    return work.jitted(SIDES[0]).lower(*work.arguments())


def run() -> list[Row]:
    """Measure each model, if there is a GPU."""
    if jax.default_backend() != "gpu":
        return []
    return [
        row
        for title, (make, items, unit) in WORKS.items()
        for row in measure(title, make(), items, unit)
    ]
