"""The largest batch that fits, asked of the compiler: nothing has to run out of memory."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import jaxcore
from jaxcore import random, tree

from ..arguments import check_choice, check_counts, check_numbers
from ..data import ArrayData, ExampleData
from ..errors import TrainError, explain
from ..run import Run
from ..step import init_state
from ..task import Task
from .base import Callback


def step_bytes(task: Task, example: Any, rows: int, *, accumulate: int = 1) -> int:
    """Bytes of device memory that a training step of `rows` rows needs, by compiling it.

    Args:
      task: the task.
      example: a batch, for the types of its arrays.
      rows: rows of the batch asked about.
      accumulate: micro-batches.
    """

    def spec(x: Any) -> Any:
        return jaxcore.ShapeDtypeStruct((rows, *x.shape[1:]), x.dtype)

    batch = tree.map(spec, example)
    state = jaxcore.eval_shape(lambda key, b: init_state(task, key, b), random.key(0), batch)

    def step(state: Any, batch: Any) -> Any:
        return task.update(state, batch, accumulate=accumulate)

    memory = jaxcore.jit(step, donate_argnums=0).lower(state, batch).compile().memory_analysis()
    return (
        memory.temp_size_in_bytes
        + memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        - memory.alias_size_in_bytes
    )


def largest(fits: Callable[[int], bool], *, mode: str, init_val: int, max_val: int) -> int:
    """The largest number found to fit: doubled while it fits, and with "binsearch" refined.

    >>> largest(lambda n: n <= 100, mode="power", init_val=2, max_val=8192)
    64
    >>> largest(lambda n: n <= 100, mode="binsearch", init_val=2, max_val=8192)
    100
    >>> largest(lambda n: False, mode="power", init_val=2, max_val=8192)
    0
    """
    good, bad = 0, None
    size = init_val
    while bad is None and size <= max_val:
        good, bad = (size, None) if fits(size) else (good, size)
        size *= 2
    if mode == "binsearch" and good:
        top = min(bad or max_val + 1, max_val + 1)
        while top - good > 1:
            middle = (good + top) // 2
            good, top = (middle, top) if fits(middle) else (good, middle)
    return good


class BatchSizeFinder(Callback):
    """Before the run, set the data's batch size to the largest whose step fits into the memory.

    The compiler says what a step needs, so a run that is resumed finds the same size.

    Args:
      mode: "power" doubles; "binsearch" then looks between the last two.
      init_val, max_val: the smallest and the largest size to try.
      margin: part of the memory to leave free.
      memory: bytes there are; None asks the device, which a CPU does not know.

    >>> finder = BatchSizeFinder(memory=2 * 2**30, mode="binsearch")
    """

    def __init__(
        self,
        *,
        mode: str = "power",
        init_val: int = 2,
        max_val: int = 8192,
        margin: float = 0.05,
        memory: int | None = None,
    ) -> None:
        check_choice(("power", "binsearch"), "leave it out to double.", mode=mode)
        check_counts(1, init_val=init_val)
        check_counts(init_val, max_val=max_val)
        check_counts(1, optional=True, memory=memory)
        check_numbers(0, 0.999, margin=margin)
        self.mode = mode
        self.init_val = init_val
        self.max_val = max_val
        self.margin = margin
        self.memory = memory
        self.batch_size: int | None = None

    def on_setup(self, run: Run) -> None:
        source = run.source
        if not isinstance(source, ArrayData | ExampleData):
            raise TrainError(
                explain(
                    "BatchSizeFinder cannot set the batch size of this data.",
                    got=type(source).__name__,
                    expected="train.ArrayData or train.ExampleData",
                    fix="call train.callbacks.step_bytes(task, batch, rows) and decide yourself.",
                )
            )
        limit = (1 - self.margin) * (self.memory or _free_memory())
        self.batch_size = largest(
            lambda rows: step_bytes(run.task, run.example, rows) <= limit,
            mode=self.mode,
            init_val=self.init_val,
            max_val=min(self.max_val, source.rows),
        )
        if self.batch_size == 0:
            raise TrainError(
                explain(
                    "Not even the smallest batch fits into the memory.",
                    got=f"{self.init_val} rows and {limit:.0f} bytes",
                    expected="a step that needs less",
                    fix="use a smaller init_val, a smaller model, or jaxcore.checkpoint.",
                )
            )
        run.source = copy.copy(source)
        run.source.batch_size = self.batch_size


def _free_memory() -> int:
    stats = jaxcore.devices()[0].memory_stats() or {}
    if "bytes_limit" not in stats:
        raise TrainError(
            explain(
                "The device does not say how much memory it has.",
                got=f"{jaxcore.devices()[0]}",
                expected="a number of bytes",
                fix="write BatchSizeFinder(memory=8 * 2**30).",
            )
        )
    return stats["bytes_limit"] - stats.get("bytes_in_use", 0)
