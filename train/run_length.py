"""How long a run will be, in steps, and how many steps a part of it has."""

from __future__ import annotations

import math
from typing import Any

from .arguments import check_numbers
from .errors import TrainError, explain
from .objective import batch_rows
from .run import Run
from .task import Task
from .units import Epochs, Fraction, Samples, Steps, Tokens, Unit

Part = float | Unit | Fraction


class RunLength(int):
    """The steps of a run, as an int that also knows what an epoch, a sample and a token is of them.

    >>> from jaxcore.train import Epochs
    >>> length = RunLength(1000, per_epoch=50, rows=32)
    >>> length.steps_of("warmup", 0.1), length.steps_of("warmup", Epochs(2))
    (100.0, 100.0)
    """

    per_epoch: int | None
    rows: int | None
    tokens: float | None

    def __new__(
        cls,
        steps: int,
        per_epoch: int | None = None,
        rows: int | None = None,
        tokens: float | None = None,
    ) -> RunLength:
        length = super().__new__(cls, steps)
        length.per_epoch, length.rows, length.tokens = per_epoch, rows, tokens
        return length

    def steps_of(self, name: str, part: Part) -> float:
        """The steps of a part of the run: a number in [0, 1], or so many of a unit.

        Raises:
          TrainError: nobody knows how many steps these are; `name` is the argument's.
        """
        if isinstance(part, int | float):
            named: dict[str, Any] = {name: part}
            check_numbers(0, 1, **named)
            return part * self
        if isinstance(part, Fraction):
            return part.part * self
        if isinstance(part, Steps):
            return float(part.count)
        if isinstance(part, Epochs) and self.per_epoch:
            return float(part.count * self.per_epoch)
        if isinstance(part, Samples) and self.rows:
            return part.count / self.rows
        if isinstance(part, Tokens) and self.tokens:
            return part.count / self.tokens
        raise TrainError(
            explain(
                f"`{name}` is not a part of the run whose steps are known.",
                got=repr(part),
                expected="a number in [0, 1], Steps, Fraction; of data that has a length Epochs; "
                "of batches of one size Samples and Tokens",
                fix=f"write {name}=train.Steps(500).",
            )
        )


def length_of(run: Run, buckets: bool = False) -> RunLength | None:
    """How long a run will be, as far as that can be known before it."""
    source, until, per_epoch = run.source, run.until, run.steps_per_epoch
    rows, size = getattr(source, "rows", None), getattr(source, "batch_size", None)
    of_row = None if buckets else _tokens_of_row(run)
    total = run.total_steps
    of_unit = of_row if isinstance(until, Tokens) else 1.0 if isinstance(until, Samples) else None
    if total is None and rows and size and per_epoch and of_unit:
        rows = min(rows, per_epoch * size)  # fewer where the remainder is dropped
        epochs, rest = divmod(math.ceil(until.count / of_unit), rows)
        total = epochs * per_epoch + -(-rest // size)
    if total is None:
        return None
    return RunLength(total, per_epoch, size, of_row * size if of_row and size else None)


def _tokens_of_row(run: Run) -> float | None:
    """Tokens of one example, where all have as many: `Task.tokens` counts entries of an array."""
    if type(run.task).tokens is not Task.tokens:
        return None
    try:
        return run.task.tokens(run.example) / batch_rows(run.example)
    except TrainError:  # the model's input is no tokens
        return None
