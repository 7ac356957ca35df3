"""The progress bar of tqdm."""

from __future__ import annotations

import sys
from typing import Any

from ..arguments import check_counts
from ..errors import TrainError, explain
from ..history import Row
from ..run import Run
from .base import Callback
from .progress import numbers_of


class TQDMProgressBar(Callback):
    """A bar drawn by tqdm, with the numbers of the newest row.

    Args:
      refresh_rate: steps between two updates of the bar; 0 shows none.
      leave: keep the bar when the run is over.

    Raises:
      TrainError: tqdm is not installed.
    """

    def __init__(self, refresh_rate: int = 1, *, leave: bool = True) -> None:
        check_counts(0, refresh_rate=refresh_rate)
        self.refresh_rate = refresh_rate
        self.leave = leave
        self._bar: Any = None

    def on_fit_start(self, run: Run) -> None:
        if self.refresh_rate == 0:
            return
        try:
            from tqdm import tqdm
        except ImportError as error:
            raise TrainError(
                explain(
                    "TQDMProgressBar needs tqdm.",
                    got="no module named tqdm",
                    expected="tqdm installed",
                    fix="pip install tqdm, or use ProgressBar().",
                )
            ) from error
        self._bar = tqdm(
            total=run.total_steps, initial=run.step, leave=self.leave, unit="step", file=sys.stdout
        )

    def on_step_end(self, run: Run) -> None:
        if (
            self._bar is not None
            and run.step // self.refresh_rate > self._bar.n // self.refresh_rate
        ):
            self._bar.update(run.step - self._bar.n)

    def on_log(self, run: Run, row: Row) -> None:
        if self._bar is not None:
            self._bar.set_postfix_str(numbers_of(row), refresh=False)

    def on_fit_end(self, run: Run) -> None:
        if self._bar is not None:
            self._bar.update(run.step - self._bar.n)
            self._bar.close()
            self._bar = None
