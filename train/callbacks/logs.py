"""Callbacks that write down what happens: a CSV file, the model's summary, a guard on NaN."""

from __future__ import annotations

import csv
import os
from pathlib import Path

from ..errors import TrainError, explain
from ..history import Row
from ..run import Run
from .base import Callback


class CSVLogger(Callback):
    """Write the history to a CSV file, a row at a time.

    The file is rewritten when a new column appears and when a run resumes, so it never has rows
    that the restored run will log again.

    Args:
      path: the file; by default "metrics.csv" in the run's directory.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self.path = None if path is None else Path(path)
        self._columns: list[str] = []
        self._target: Path | None = None

    def on_fit_start(self, run: Run) -> None:
        self._target = self.path
        if self._target is None:
            if run.dir is None:
                raise TrainError(
                    explain(
                        "CSVLogger has nowhere to write.",
                        got="Trainer(dir=None) and CSVLogger()",
                        expected="a directory for the run, or a path",
                        fix="write Trainer(dir='runs/first') or CSVLogger('metrics.csv').",
                    )
                )
            self._target = run.dir / "metrics.csv"
        self._target.parent.mkdir(parents=True, exist_ok=True)
        self._rewrite(run)

    def on_log(self, run: Run, row: Row) -> None:
        assert self._target is not None
        if not set(row) <= set(self._columns):
            self._rewrite(run)
            return
        with open(self._target, "a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self._columns).writerow(row)

    def _rewrite(self, run: Run) -> None:
        assert self._target is not None
        self._columns = run.history.names
        temporary = self._target.with_name(f".{self._target.name}.tmp")
        run.history.to_csv(temporary)
        os.replace(temporary, self._target)


class ModelSummary(Callback):
    """Print the model's table of layers, shapes and parameters before the first step."""

    def on_fit_start(self, run: Run) -> None:
        model = run.task.model
        if hasattr(model, "summary"):
            # A table of its own width: wrapped lines, as in a file, could not be read.
            table = model.summary(*run.task.inputs(run.example))
            run.console.print(table, soft_wrap=True, highlight=False)


class StopOnNonFinite(Callback):
    """End a run, with an error, whose losses or gradients are all NaN or infinite.

    Single steps of that kind are skipped and counted by the step itself; this watches for a run
    that no longer learns at all.

    Args:
      limit: consecutive skipped steps that are too many.
    """

    def __init__(self, limit: int = 50) -> None:
        self.limit = limit
        self._logged = 0
        self._skipped = 0

    def on_fit_start(self, run: Run) -> None:
        self._logged, self._skipped = run.step, 0

    def on_log(self, run: Run, row: Row) -> None:
        window, self._logged = run.step - self._logged, run.step
        skipped = max((v for n, v in row.items() if n.rsplit("/", 1)[-1] == "skipped"), default=0)
        self._skipped = self._skipped + window if skipped >= window else 0
        if self._skipped >= self.limit:
            raise TrainError(
                explain(
                    f"The last {self._skipped} steps had a loss or gradient that is not finite.",
                    got=f"loss {row.get('loss')}, gradient norm {row.get('gradient_norm')}",
                    expected="finite numbers",
                    fix="lower the learning rate, clip (optax.clip_by_global_norm(1.0)), or look "
                    "for log(0), 0/0 and overflowing exponentials in the loss. The state is the "
                    "last good one.",
                )
            )
