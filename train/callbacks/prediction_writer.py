"""Predictions written as they come."""

from __future__ import annotations

from typing import Any

from ..errors import TrainError, explain
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
        if write_interval not in ("batch", "epoch", "batch_and_epoch"):
            raise TrainError(
                explain(
                    "Unknown `write_interval`.",
                    got=repr(write_interval),
                    expected="'batch', 'epoch' or 'batch_and_epoch'",
                    fix="leave it out to write batch by batch.",
                )
            )
        self.write_interval = write_interval

    def write_on_batch_end(self, outputs: Any, rows: range, number: int) -> None:
        """Write the outputs of batch `number`."""

    def write_on_epoch_end(self, outputs: Any) -> None:
        """Write all outputs."""

    def on_predict_batch(self, outputs: Any, rows: Any, number: int) -> None:
        if self.write_interval != "epoch":
            self.write_on_batch_end(outputs, rows, number)

    def on_predict_end(self, outputs: Any) -> None:
        if self.write_interval != "batch":
            self.write_on_epoch_end(outputs)
