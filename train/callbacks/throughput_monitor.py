"""How fast a run is: samples, tokens and floating-point operations a second."""

from __future__ import annotations

import jaxcore
from jaxcore import tree

from ..arguments import check_numbers
from ..history import Row, of_steps
from ..run import Run
from ..task import Task
from ..units import Position
from .base import Callback


def step_flops(task: Task, state: object, batch: object, *, accumulate: int = 1) -> int:
    """Floating-point operations of one training step, counted exactly in its program.

    Only the types of `state` and `batch` matter; nothing is compiled.
    """

    def abstract(x: object) -> object:
        return jaxcore.eval_shape(lambda: x)

    def step(state: object, batch: object) -> object:
        return task.update(state, batch, accumulate=accumulate)  # type: ignore[arg-type]

    arguments = tree.map(abstract, (state, batch))
    return int(jaxcore.jit(step).trace(*arguments).cost_analysis()["flops"])


class ThroughputMonitor(Callback):
    """Add speeds to every row, between it and the one before; validation does not count.

    Columns "samples_per_second"; "tokens_per_second", as `Task.tokens` counts;
    "flops_per_second", from the exact count of the step's operations; and with `peak_flops` their
    share of what the devices can do, "mfu". The first row of a run, which waits for the
    compiler, has none of them.

    Args:
      tokens: count tokens.
      flops: count operations, which traces the step once more.
      peak_flops: operations a second of all devices together.

    >>> monitor = ThroughputMonitor(tokens=True, peak_flops=989e12)
    """

    def __init__(
        self, *, tokens: bool = False, flops: bool = True, peak_flops: float | None = None
    ) -> None:
        check_numbers(0, open=True, optional=True, peak_flops=peak_flops)
        self.tokens = tokens
        self.flops = flops
        self.peak_flops = peak_flops
        self._last: tuple[Position, float] | None = None
        self._flops: int | None = None

    def on_setup(self, run: Run) -> None:
        run.counts_tokens = run.counts_tokens or self.tokens
        self._last, self._flops = None, None

    def on_log(self, run: Run, row: Row) -> None:
        if not of_steps(row):
            return
        now = run.position
        training = now.seconds - run.phases.seconds.get("validate", 0.0)
        last, self._last = self._last, (now, training)
        if last is None:
            return
        before, began = last
        elapsed = max(training - began, 1e-9)
        row["samples_per_second"] = (now.samples - before.samples) / elapsed
        if self.tokens:
            row["tokens_per_second"] = (now.tokens - before.tokens) / elapsed
        if self.flops:
            if self._flops is None and run.plan is not None:
                task, accumulate = run.plan
                self._flops = step_flops(task, run.state, run.example, accumulate=accumulate)
            rate = (self._flops or 0) * (now.step - before.step) / elapsed
            row["flops_per_second"] = rate
            if self.peak_flops is not None:
                row["mfu"] = rate / self.peak_flops
