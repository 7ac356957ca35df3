"""Predictions written as they come."""

from __future__ import annotations

from typing import Any

from ..arguments import check_choice
from ..errors import TrainError, explain
from ..run import Evaluation
from .base import Callback


class BasePredictionWriter(Callback):
    """Override `write_on_batch_end`, `write_on_epoch_end`, or both.

    `Trainer.predict(..., collect=False)` keeps nothing but what the first of them writes. Outputs
    are NumPy arrays without padding; `rows` are the numbers of their examples in the data.

    Args:
      write_interval: "batch", "epoch" or "batch_and_epoch".

    >>> class Save(BasePredictionWriter):
    ...     def write_on_batch_end(self, outputs, rows, number):
    ...         print(number, list(rows))
    """

    def __init__(self, write_interval: str = "batch") -> None:
        check_choice(
            ("batch", "epoch", "batch_and_epoch"),
            "leave it out to write batch by batch.",
            write_interval=write_interval,
        )
        self.write_interval = write_interval

    def write_on_batch_end(self, outputs: Any, rows: range, number: int) -> None:
        """Write the outputs of batch `number`."""

    def write_on_epoch_end(self, outputs: Any) -> None:
        """Write all outputs."""

    def on_predict_start(self, evaluation: Evaluation) -> None:
        if self.write_interval != "batch" and not evaluation.collect:
            raise TrainError(
                explain(
                    f"{type(self).__name__} is to write all outputs, which are not kept.",
                    got=f"write_interval={self.write_interval!r}, predict(..., collect=False)",
                    expected="collect=True, or write_interval='batch'",
                    fix="leave out collect=False.",
                )
            )

    def on_predict_batch_end(
        self, evaluation: Evaluation, outputs: Any, rows: range, number: int
    ) -> None:
        if self.write_interval != "epoch":
            self.write_on_batch_end(outputs, rows, number)

    def on_predict_end(self, evaluation: Evaluation, outputs: Any) -> None:
        if self.write_interval != "batch":
            self.write_on_epoch_end(outputs)
