"""What a `Trainer` does besides training: validate, test and predict."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from . import evaluation
from .arguments import Keywords
from .buckets import BatchBuckets
from .callbacks import Callback
from .data import Source
from .datamodule import limited, prepared, sets
from .dispatch import Masking
from .feed import Padder
from .iterables import as_source
from .layout import Layout
from .metrics import Measured
from .processes import loss_explained
from .run import Evaluation
from .state import State
from .step import make_eval_step, make_predict_step
from .task import Task, check_task


class Measuring(Keywords):
    """The half of `Trainer` that changes no state; the settings are those of the trainer."""

    dir: Path | None
    callbacks: list[Callback]
    limit_val_batches: int | None
    limit_test_batches: int | None
    limit_predict_batches: int | None
    fast_dev_run: int
    buckets: BatchBuckets | None
    layout: Layout | None
    deterministic: bool
    _steps: weakref.WeakKeyDictionary[Task, dict[Callable[..., Any], Any]]

    def validate(self, task: Task, data: Any, state: State) -> Measured:
        """The task's `evaluate` over all of `data`: {"val/loss": ..., ...}.

        Of {name: data} the metrics are "val/name/loss" and so on. What comes back also has
        `states`: of a metric that is more than its numbers, such as `nn.metrics.Confusion`, all.
        With `limit_val_batches` it is over the first batches of each; with 0 there is nothing.
        """
        return self._measure_sets(task, data, state, "validate", "val")

    def test(self, task: Task, data: Any, state: State) -> Measured:
        """As `validate`, under the names "test/...": one last time, on data never looked at."""
        return self._measure_sets(task, data, state, "test", "test")

    def predict(self, task: Task, data: Any, state: State, *, collect: bool = True) -> Any:
        """The task's `predict` over all of `data`, as NumPy arrays, one row per example, in order.

        `data` should not be shuffled: `ArrayData(x, batch_size=256, shuffle=False)`. Callbacks hear
        of every batch; with `collect=False` that is all, and None comes back, as it does with
        `limit_predict_batches=0`.
        """
        check_task(task)
        limit = self._limit("predict")
        if limit == 0:
            return None
        with loss_explained(self.dir), prepared(data, "predict") as (data, _):
            evaluation.check_shuffle(data)
            source = limited(as_source(data), limit)
            padder = self._padder(getattr(source, "batch_size", None))
            step = self._compiled(task, make_predict_step)
            asked = Evaluation("predict", "predict", task, state, collect=collect)
            return evaluation.predict(asked, step, source, padder, self._put, self.callbacks)

    def _measure_sets(
        self, task: Task, data: Any, state: State, stage: str, prefix: str
    ) -> Measured:
        check_task(task)
        found, limit = Measured(), self._limit(prefix)
        if limit == 0:
            return found
        with loss_explained(self.dir), prepared(data, stage) as (data, _):
            for name, source in sets(data, prefix).items():
                kind = "validation" if prefix == "val" else prefix
                asked = Evaluation(kind, name, task, state)
                found.add(self._measure(asked, limited(source, limit), self.callbacks))
        return found

    def _limit(self, stage: str) -> int | None:
        """The batches of a "val", "test" or "predict" stage, or None for all."""
        limit: int | None = getattr(self, f"limit_{stage}_batches")
        return self.fast_dev_run or limit

    def _measure(
        self, asked: Evaluation, source: Source, callbacks: Sequence[Callback]
    ) -> Measured:
        padder = self._padder(getattr(source, "batch_size", None))
        step = self._compiled(asked.task, _measuring)
        return evaluation.measure(asked, step, source, padder, self._put, callbacks)

    def _compiled(self, task: Task, make: Callable[..., Any]) -> Any:
        """One compiled step per task and kind, shared by all calls of this trainer."""
        steps = self._steps.setdefault(task, {})
        if make not in steps:
            steps[make] = make(task, deterministic=self.deterministic)
        return steps[make]

    def _put(self, batch: Any, mask: Any) -> tuple[Any, Any]:
        return (batch, mask) if self.layout is None else self.layout.put_batch(batch, mask)

    def _padder(self, rows: int | None, may_be_short: bool = True) -> Padder:
        parts = 1 if self.layout is None else self.layout.parts
        return Padder(rows, self.buckets, parts, may_be_short)


def _measuring(task: Task, deterministic: bool) -> Masking:
    return Masking(make_eval_step(task, deterministic=deterministic))
