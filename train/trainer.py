"""`Trainer`: the loop around the step, in one function that reads top to bottom."""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

import jaxcore.numpy as jnp
from jaxcore import random, tree

from .buckets import BatchBuckets, Rules
from .callbacks import Callback, Checkpoint, CSVLogger, ProgressBar, StopOnNonFinite
from .checkpoint import latest_checkpoint, load_checkpoint
from .data import Padded, Padder, Source, as_source, example_batch, feed
from .errors import ScalarLossError, TrainError, explain
from .history import History, Row
from .metrics import Metrics, merge_metrics
from .objective import batch_rows
from .resume import abstract_state, checkpoint_to_resume, need_dir, restore_run, save_run
from .run import Run
from .state import State
from .step import init_state, make_eval_step, make_predict_step, make_step
from .task import Task
from .units import EVERY_EPOCH, Duration, Epochs, Steps, check_duration, is_due, is_over


@dataclass(frozen=True)
class Fit:
    """What `Trainer.fit` returns: the trained state, the log, and why the run ended."""

    state: State
    history: History
    stop_reason: str


class Trainer:
    """Trains tasks. It holds settings only; everything that changes is in the run's `State`.

        trainer = train.Trainer(dir="runs/digits")
        fit = trainer.fit(task, data, until=train.Epochs(10), val=val_data)
        print(trainer.test(task, test_data, fit.state))
        fit.history.plot("curve.png")

    >>> import numpy as np, optax
    >>> from jaxcore import nn, train
    >>> class Line(train.Task):
    ...     def loss(self, model, batch, ctx):
    ...         x, y = batch
    ...         return (model(x)[:, 0] - y) ** 2
    >>> x = np.linspace(-1, 1, 20, dtype=np.float32)[:, None]
    >>> data = train.ArrayData((x, 3 * x[:, 0]), batch_size=8)
    >>> task = Line(model=nn.Dense(1), tx=optax.sgd, lr=0.5)
    >>> fit = train.Trainer(callbacks=[]).fit(task, data, until=train.Epochs(10))
    >>> fit.stop_reason, round(float(fit.state.params["kernel"][0, 0]), 2)
    ('reached 10 epochs', 3.0)

    Args:
      dir: the run's directory, for checkpoints and logs; None writes nothing.
      callbacks: what happens beside training, in this order. None means a progress bar and a
        guard against NaN, and with `dir` also a CSV log and checkpoints; a list is taken as it is.
      seed: of the initial parameters and of everything random in the steps.
      accumulate: micro-batches per step; the batch size must be divisible by it.
      log_every: `Steps` or `Epochs` between rows of the log; None means 50 steps, or an epoch
        where epochs are shorter.
      validate_every: `Steps` or `Epochs` between validations; one more is done at the end.
      buckets: axes of the batches whose size changes from batch to batch, by the path of the item:
        `{"tokens": {1: "length"}}`, or a `jaxcore.Bucket` with sizes and a value to fill up with.
        They are filled up to the next power of two (or listed size), so that a few compiled steps
        serve all lengths. What is added is the loss's to leave out: fill up with a value that says
        so, and return `Weighted(values, tokens >= 0)`.
      console: where to print; None means the standard output.
    """

    def __init__(
        self,
        *,
        dir: str | os.PathLike[str] | None = None,
        callbacks: Sequence[Callback] | None = None,
        seed: int = 0,
        accumulate: int = 1,
        log_every: Duration | None = None,
        validate_every: Duration = EVERY_EPOCH,
        buckets: Rules | None = None,
        console: Console | None = None,
    ) -> None:
        if log_every is not None:
            check_duration("log_every", log_every)
        check_duration("validate_every", validate_every)
        self.dir = None if dir is None else Path(dir)
        if callbacks is None:
            callbacks = [ProgressBar(), StopOnNonFinite()]
            callbacks += [] if dir is None else [CSVLogger(), Checkpoint()]
        for callback in callbacks:
            if not isinstance(callback, Callback):
                raise TrainError(
                    explain(
                        "`callbacks` has something else in it.",
                        got=f"{callback!r}",
                        expected="instances of subclasses of train.Callback",
                        fix="make an instance: EarlyStopping(), not EarlyStopping.",
                    )
                )
        self.callbacks = list(callbacks)
        self.seed = seed
        self.accumulate = accumulate
        self.log_every = log_every
        self.validate_every = validate_every
        self.buckets = None if buckets is None else BatchBuckets(buckets)
        self.console = console or Console()
        self._steps: Any = weakref.WeakKeyDictionary()

    def fit(
        self,
        task: Task,
        data: Any,
        *,
        until: Duration,
        val: Any = None,
        resume: str | os.PathLike[str] = "auto",
        state: State | None = None,
    ) -> Fit:
        """Train until `until`, or until a callback asks to stop.

        Args:
          task: what to train.
          data: `ArrayData` or any iterable of batches.
          until: `Epochs(n)` or `Steps(n)`, counted from the very beginning, not from the resume.
          val: data to validate on, as `data`.
          resume: "auto" goes on from the newest checkpoint in `dir` if there is one; "never"
            raises if there is one; "overwrite" deletes the ones there are; or the path of a
            checkpoint to go on from.
          state: start from this instead of `task.init`; it is copied, so it stays usable.

        Raises:
          TrainError: something does not fit together; the message says what and how to mend it.
        """
        check_duration("until", until)
        source = as_source(data)
        val_source = None if val is None else as_source(val, argument="val")
        run, pending = self._begin(task, source, until, val is not None, resume, state)
        log_every = self.log_every or _default_log_interval(run)
        step = _Masking(make_step(task, accumulate=self.accumulate))
        # From the example, not from the first batch: a resumed run may begin with the short one.
        rows = getattr(source, "batch_size", None) or batch_rows(run.example)
        batches = feed(source, run.epoch, run.batch, Padder(rows, self.buckets))
        saved_step = run.step if run.resumed_from else -1
        clock, clock_step = time.perf_counter(), run.step
        started: list[Callback] = []

        try:
            for callback in self.callbacks:
                started.append(callback)
                callback.on_fit_start(run)

            while run.stop_reason is None:
                item = next(batches)
                run.state, metrics = step(run.state, item.batch)
                if len(pending) == 256:  # a long interval must not hoard buffers
                    pending = [merge_metrics(pending)]
                pending.append(metrics)
                run.step += 1
                run.epoch_ended = item.last
                run.epoch = item.epoch + item.last
                run.batch = 0 if item.last else item.number + 1
                run.evaluate_requested = run.log_requested = run.save_requested = False
                now: dict[str, Any] = {"step": run.step, "epochs": run.epoch}
                now["epoch_ended"] = item.last

                for callback in self.callbacks:
                    callback.on_step_end(run)

                over = is_over(until, step=run.step, epochs=run.epoch)
                ending = over or run.stop_reason is not None
                due = over or run.evaluate_requested or is_due(self.validate_every, **now)
                held_out = val_source if due else None
                if held_out is not None or ending or run.log_requested or is_due(log_every, **now):
                    totals = merge_metrics(pending)  # waits for the device
                    elapsed = time.perf_counter() - clock
                    run.seconds += elapsed
                    row: Row = {
                        "step": run.step,
                        "epoch": run.epoch,
                        **{name: totals[name].result for name in sorted(totals, key=_rank)},
                        **(
                            {}
                            if held_out is None
                            else self._measure(task, held_out, run.state, "val")
                        ),
                        "seconds": run.seconds,
                        "steps_per_second": (run.step - clock_step) / max(elapsed, 1e-9),
                    }
                    clock, clock_step, pending = time.perf_counter(), run.step, []
                    run.history.rows.append(row)
                    for callback in self.callbacks:
                        callback.on_log(run, row)

                if over:
                    run.request_stop(f"reached {until.count} {type(until).__name__.lower()}")
                if run.stop_reason is not None:
                    for callback in self.callbacks:
                        callback.on_stop(run)

                if run.save_requested and saved_step != run.step:
                    pending = [merge_metrics(pending)]
                    path = save_run(run, self.callbacks, pending[0])
                    saved_step = run.step
                    for callback in self.callbacks:
                        callback.on_save(run, path)
        finally:
            for callback in reversed(started):
                callback.on_fit_end(run)
        return Fit(run.state, run.history, run.stop_reason)

    def validate(self, task: Task, data: Any, state: State) -> dict[str, float]:
        """The task's `evaluate` over all of `data`: {"val/loss": ..., ...}."""
        return self._measure(task, as_source(data), state, "val")

    def test(self, task: Task, data: Any, state: State) -> dict[str, float]:
        """As `validate`, under the names "test/...": one last time, on data never looked at."""
        return self._measure(task, as_source(data), state, "test")

    def predict(self, task: Task, data: Any, state: State) -> Any:
        """The task's `predict` over all of `data`, as NumPy arrays, one row per example, in order.

        `data` should not be shuffled: `ArrayData(x, batch_size=256, shuffle=False)`.
        """
        if getattr(data, "shuffle", False):
            raise TrainError(
                explain(
                    "Predictions of shuffled data could not be told apart.",
                    got="ArrayData(..., shuffle=True)",
                    expected="data in a fixed order",
                    fix="write ArrayData(..., shuffle=False).",
                )
            )
        source = as_source(data)
        padder = Padder(getattr(source, "batch_size", None), self.buckets)
        step = self._compiled(task, make_predict_step)
        outputs = []
        for batch in source.batches(0):
            padded = padder(batch)
            output = step(state, padded.batch, padded.mask)
            outputs.append(tree.map(lambda x, n=padded.rows: np.asarray(x)[:n], output))
        if not outputs:
            example_batch(source)  # raises, saying that there is no batch
        trailing = {tuple(x.shape[1:] for x in tree.leaves(output)) for output in outputs}
        if len(trailing) > 1:
            raise TrainError(
                explain(
                    f"The outputs of `{type(task).__name__}.predict` differ from batch to batch.",
                    got=f"the shapes (rows, ...) {sorted(trailing)}",
                    expected="outputs of one shape for each example",
                    fix="reduce the axis that `buckets` fills up in `predict`, or predict the "
                    "batches of each length by themselves.",
                )
            )
        return tree.map(lambda *parts: np.concatenate(parts), *outputs)

    def restore(self, task: Task, data: Any, path: str | os.PathLike[str] | None = None) -> State:
        """The state in a checkpoint: by default the newest of `dir`; `data` gives the shapes."""
        if path is None:
            path = latest_checkpoint(need_dir(self.dir))
        example = example_batch(as_source(data))
        return load_checkpoint(path, abstract_state(task, random.key(self.seed), example))

    def _begin(
        self,
        task: Task,
        source: Source,
        until: Duration,
        validates: bool,
        resume: str | os.PathLike[str],
        state: State | None,
    ) -> tuple[Run, list[Metrics]]:
        """The run before its first step, and metrics not yet logged; fresh or restored."""
        path = checkpoint_to_resume(self.dir, resume)
        example = example_batch(source)
        key = random.key(self.seed)
        if path is not None:
            state = load_checkpoint(path, abstract_state(task, key, example))
        elif state is None:
            state = init_state(task, key, example)
        state = tree.map(jnp.copy, state)  # the first step consumes it
        run = Run(task, until, source, example, self.dir, self.console, state, validates)
        run.step = int(state.step)
        pending = [] if path is None else restore_run(run, path, self.callbacks)
        if is_over(until, step=run.step, epochs=run.epoch):
            run.request_stop(f"reached {until.count} {type(until).__name__.lower()} before")
        return run, pending

    def _measure(self, task: Task, source: Source, state: State, prefix: str) -> dict[str, float]:
        padder = Padder(getattr(source, "batch_size", None), self.buckets)
        step = self._compiled(task, lambda task: _Masking(make_eval_step(task)))
        metrics = [step(state, padder(batch)) for batch in source.batches(0)]
        if not metrics:
            example_batch(source)  # raises, saying that there is no batch
        return {f"{prefix}/{k}": metric.result for k, metric in merge_metrics(metrics).items()}

    def _compiled(self, task: Task, make: Callable[[Task], Any]) -> Any:
        """One compiled step per task and kind, shared by all calls of this trainer."""
        steps = self._steps.setdefault(task, {})
        kind = make.__code__
        if kind not in steps:
            steps[kind] = make(task)
        return steps[kind]


class _Masking:
    """Calls a step with the mask of real rows; without it where the loss is a scalar.

    A scalar loss cannot leave rows out. It is allowed while every batch is full; the first short
    one raises `ScalarLossError`.
    """

    def __init__(self, step: Callable[..., Any]) -> None:
        self._step = step
        self._scalar = False

    def __call__(self, state: State, padded: Padded) -> Any:
        full = padded.rows == len(padded.mask)
        if not (self._scalar and full):
            try:
                return self._step(state, padded.batch, padded.mask)
            except ScalarLossError:
                if not full:
                    raise
                self._scalar = True
        return self._step(state, padded.batch)


def _rank(name: str) -> tuple[int, str]:
    """Order of columns: the loss, the task's metrics, then what describes the step."""
    tail = name.split("learning_rate/")[0].rsplit("/", 1)[-1] or "learning_rate"
    late = ("learning_rate", "gradient_norm", "update_norm", "loss_scale", "skipped")
    return (0 if tail == "loss" else 2 + late.index(tail) if tail in late else 1), name


def _default_log_interval(run: Run) -> Duration:
    per_epoch = run.steps_per_epoch
    return Epochs(1) if per_epoch is not None and per_epoch <= 50 else Steps(50)
