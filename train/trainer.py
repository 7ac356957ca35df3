"""`Trainer`: its settings and `fit`; the loop itself is in `loop.py`."""

from __future__ import annotations

import functools
import os
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import random, tree
from jaxcore.sharding import Mesh, PartitionSpec

from .arguments import answers, check_choice, check_counts
from .buckets import BatchBuckets, Rules
from .callbacks import (
    Callback,
    EarlyStopping,
    ModelCheckpoint,
    OnExceptionCheckpoint,
    ProgressBar,
    SaveOnSignal,
    TerminateOnNaN,
    check_callbacks,
    check_monitors,
    configured,
)
from .checkpoint import latest_checkpoint, load_checkpoint
from .data import Source
from .datamodule import intervals, limited, prepared, sets
from .dispatch import Dispatcher
from .errors import TrainError, explain
from .feed import feed
from .iterables import as_source, example_batch
from .layout import Layout, check_mesh
from .loggers import CSVLogger, Logger
from .loop import Loop
from .measuring import Measuring
from .metrics import Metrics
from .objective import batch_rows
from .plan import Plan
from .prefetch import prefetch
from .processes import loss_explained
from .rates import resolve_rates
from .resume import (
    abstract_state,
    check_processes,
    checkpoint_to_resume,
    need_dir,
    plan_epoch,
    restore_run,
)
from .run import Evaluation, Fit, Run
from .run_length import length_of
from .saving import Saver
from .state import State
from .step import init_state
from .task import Task, check_task
from .units import EVERY_EPOCH, Duration, Steps, Tokens, Unit, check_duration, is_over


class Trainer(Measuring):
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
        guard against NaN, and with `dir` also a CSV log, checkpoints, and saving on SIGTERM and
        Ctrl-C; a list is taken as it is.
      seed: of the initial parameters and of everything random in the steps.
      accumulate: micro-batches per step; the batch size must be divisible by it.
      steps_per_call: steps in one call of the compiled program, where nothing is due between them.
        Callbacks hear of the last.
      log_every: between rows of the log; None means 50 steps, or an epoch where those are shorter.
      validate_every: between validations; one more is done where `until` ends the run.
      validate_at_start: whether a new run, before its first step, has a row of validation, too.
      limit_train_batches, limit_val_batches, limit_test_batches, limit_predict_batches: batches of
        an epoch, a validation, a test, a prediction; None is all, and 0 leaves out all but the
        first.
      overfit_batches: train and validate on the same few batches, to see whether a model can learn.
      fast_dev_run: train so many steps, validate, test and predict as many batches, and write
        no checkpoint or log.
      num_sanity_val_steps: validation batches tried before a new run trains.
      buckets: axes of the batches whose size changes from batch to batch, by the path of the item:
        `{"tokens": {1: "length"}}`, or a `jaxcore.Bucket` with sizes and a value to fill up with.
        They are filled up to the next power of two (or listed size), so that a few compiled steps
        serve all lengths. What is added is the loss's to leave out: fill up with a value that says
        so, and return `Weighted(values, tokens >= 0)`.
      mesh: devices to train on together, with an axis "data" for the rows of a batch.
      shard: how parameters are divided among them: "fsdp", or {glob: PartitionSpec}; see `Layout`.
      prefetch: batches that a thread makes ready ahead.
      save_in_background: whether training goes on while a checkpoint is written.
      deterministic: the same bits on a GPU too, run for run, where kernels that cannot promise it
        are left out, and no other is tried for its speed. A CPU keeps that promise anyway.
      console: where to print; None means the standard output.

    After an error or Ctrl-C, `trainer.interrupted` is the `Run` with its newest state.
    """

    def __init__(
        self,
        *,
        dir: str | os.PathLike[str] | None = None,
        callbacks: Sequence[Callback] | None = None,
        seed: int = 0,
        accumulate: int = 1,
        steps_per_call: int = 1,
        log_every: Duration | None = None,
        validate_every: Duration = EVERY_EPOCH,
        validate_at_start: bool = False,
        limit_train_batches: int | None = None,
        limit_val_batches: int | None = None,
        limit_test_batches: int | None = None,
        limit_predict_batches: int | None = None,
        overfit_batches: int | None = None,
        fast_dev_run: int = 0,
        num_sanity_val_steps: int = 2,
        buckets: Rules | None = None,
        mesh: Mesh | None = None,
        shard: Mapping[str, PartitionSpec] | str | None = None,
        prefetch: int = 0,
        save_in_background: bool = True,
        deterministic: bool = False,
        console: Console | None = None,
    ) -> None:
        if log_every is not None:
            check_duration("log_every", log_every)
        check_duration("validate_every", validate_every)
        check_choice((False, True), "leave it out.", validate_at_start=validate_at_start)
        check_counts(1, accumulate=accumulate, steps_per_call=steps_per_call)
        check_counts(0, seed=seed, prefetch=prefetch, num_sanity_val_steps=num_sanity_val_steps)
        fast_dev_run = int(fast_dev_run) if isinstance(fast_dev_run, bool) else fast_dev_run
        check_counts(0, fast_dev_run=fast_dev_run)
        check_counts(1, optional=True, limit_train_batches=limit_train_batches)
        check_counts(1, optional=True, overfit_batches=overfit_batches)
        check_counts(0, optional=True, limit_val_batches=limit_val_batches)
        check_counts(0, optional=True, limit_test_batches=limit_test_batches)
        check_counts(0, optional=True, limit_predict_batches=limit_predict_batches)
        if mesh is None and shard is not None:
            raise TrainError(
                explain(
                    "`shard` divides parameters among the devices of a mesh.",
                    got=f"shard={shard!r}, mesh=None",
                    expected="a mesh",
                    fix="write mesh=jaxcore.make_mesh((8,), ('data',)).",
                )
            )
        self.dir = None if dir is None else Path(dir)
        if callbacks is None:
            callbacks = [ProgressBar(), TerminateOnNaN()]
            callbacks += [] if dir is None else [CSVLogger(), ModelCheckpoint(), SaveOnSignal()]
        check_callbacks(callbacks)
        # Loggers hear of a row last, with the columns that other callbacks added to it.
        self.callbacks = sorted(callbacks, key=lambda callback: isinstance(callback, Logger))
        self.seed = int(seed)
        self.accumulate = int(accumulate)
        self.steps_per_call = int(steps_per_call)
        self.log_every = log_every
        self.validate_every = validate_every
        self.validate_at_start = validate_at_start
        self.limit_train_batches = limit_train_batches
        self.limit_val_batches = limit_val_batches
        self.limit_test_batches = limit_test_batches
        self.limit_predict_batches = limit_predict_batches
        self.overfit_batches = overfit_batches
        self.fast_dev_run = fast_dev_run
        self.num_sanity_val_steps = num_sanity_val_steps
        self.buckets = None if buckets is None else BatchBuckets(buckets)
        self.layout = None if mesh is None else Layout(mesh, shard)
        self.prefetch = prefetch
        self.save_in_background = save_in_background
        self.deterministic = deterministic
        self.console = console or Console(quiet=jaxcore.process_index() > 0)
        self.interrupted: Run | None = None
        self._steps: Any = weakref.WeakKeyDictionary()

    @answers
    def fit(
        self,
        task: Task,
        data: Any,
        *,
        until: Unit,
        val: Any = None,
        at_least: Unit | None = None,
        resume: str | os.PathLike[str] = "auto",
        state: State | None = None,
    ) -> Fit:
        """Train until `until`, or until a callback asks to stop.

        Args:
          task: what to train.
          data: `ArrayData`, `ExampleData`, any iterable of batches, or a `DataModule`.
          until: `Epochs(n)`, `Steps(n)`, `Samples`, `Tokens` or `Seconds`, counted from the very
            beginning, not from the resume.
          val: data to validate on, as `data`, or {name: data}; in an `Evaluator` at its own times.
          at_least: what callbacks may not stop before.
          resume: "auto" goes on from the newest checkpoint in `dir` if there is one; "never"
            raises if there is one; "overwrite" deletes the ones there are; or the path of a
            checkpoint to go on from.
          state: start from this instead of `task.init`; it is copied, so it stays usable.

        Raises:
          TrainError: something does not fit together; the message says what and how to mend it.
        """
        check_task(task)
        check_duration("until", until, fraction=False)
        check_mesh(self.layout)
        if at_least is not None:
            check_duration("at_least", at_least, fraction=False)
        callbacks = self.callbacks
        limit_train, limit_val = self.limit_train_batches, self._limit("val")
        if self.fast_dev_run:
            until, at_least = Steps(self.fast_dev_run), None
            limit_train = self.fast_dev_run
            writes = ModelCheckpoint | OnExceptionCheckpoint | Logger | EarlyStopping
            callbacks = [callback for callback in callbacks if not isinstance(callback, writes)]
        with loss_explained(self.dir), prepared(data, "fit") as (data, own_val):
            source = limited(as_source(data), limit_train, self.overfit_batches)
            given = None if limit_val == 0 else own_val if val is None else val
            val_sources = {
                prefix: limited(source, limit_val, self.overfit_batches)
                for prefix, source in sets(given, "val").items()
            }
            example = example_batch(source)
            run = Run(task, until, source, example, self.dir, self.console, bool(val_sources))
            for callback in callbacks:
                callback.on_setup(run)
            if run.source is not source:
                source = run.source
                run.example = example_batch(source)
            log_every = self.log_every or run.usual_log_interval
            validate_every = intervals(given, "val", self.validate_every)
            units = [until, at_least, log_every, *validate_every.values()]
            own = "every", "after", "before"
            units += [getattr(callback, name, None) for callback in callbacks for name in own]
            if any(isinstance(every, Tokens) for every in units):
                run.counts_tokens = True
            first = Plan(
                resolve_rates(task, length_of(run, self.buckets is not None)), self.accumulate
            )
            pending = self._begin(run, first, callbacks, resume, state)
            # The example's rows: a resumed run may begin with the short batch.
            rows = getattr(source, "batch_size", None) or batch_rows(run.example)
            padder = self._padder(rows, getattr(source, "may_be_short", True))
            counted = task.tokens if run.counts_tokens else None
            items = prefetch(feed(source, run.epoch, run.batch, padder, counted), self.prefetch)
            loop = Loop(
                callbacks=callbacks,
                dispatcher=Dispatcher(items, self.steps_per_call, self.layout, self.deterministic),
                saver=Saver(self.save_in_background),
                measure=functools.partial(self._measure, callbacks=callbacks),
                rehearse=functools.partial(self._try_validation, val_sources),
                val=val_sources,
                log_every=log_every,
                validate_every=validate_every,
                at_least=at_least,
                place=self._placed,
                validate_at_start=self.validate_at_start,
            )
            self.interrupted = run
            loop.run(run, first, pending)
            if run.ending is not None:
                raise run.ending
            self.interrupted = None
        return Fit(run.state, run.history, run.stop_reason or "", run.phases)

    def restore(self, task: Task, data: Any, path: str | os.PathLike[str] | None = None) -> State:
        """The state in a checkpoint: by default the newest of `dir`; `data` gives the shapes."""
        if path is None:
            path = latest_checkpoint(need_dir(self.dir))
        example = example_batch(as_source(data))
        return self._loaded(path, abstract_state(task, random.key(self.seed), example))

    def _begin(
        self,
        run: Run,
        first: Plan,
        callbacks: Sequence[Callback],
        resume: str | os.PathLike[str],
        state: State | None,
    ) -> list[Metrics]:
        """Give the run its plan and state, fresh or restored; returns metrics not yet logged."""
        path = checkpoint_to_resume(self.dir, resume)
        epoch = 0 if path is None else plan_epoch(path)
        run.plan = configured(callbacks, first, epoch)
        task, key = run.plan.task, random.key(self.seed)
        if path is not None:
            state = self._loaded(path, abstract_state(task, key, run.example))
        elif state is None and self.layout is not None:  # divided from birth
            types = abstract_state(task, key, run.example)
            init = jaxcore.jit(
                functools.partial(init_state, task), out_shardings=self.layout.of_state(types)
            )
            state = init(key, run.example)
        elif state is None:
            state = init_state(task, key, run.example)
        if path is None or self.layout is None:  # the first step consumes it
            state = tree.map(jnp.copy, state)
        run.state = self._placed(state)
        run.step = int(state.step)
        pending = [] if path is None else restore_run(run, path, callbacks)
        check_processes(run, self.seed)
        if is_over(run.until, run.position):
            run.request_stop(f"reached {run.until} before", now=True)
        return pending

    def _loaded(self, path: str | os.PathLike[str], types: State) -> State:
        """The state in a checkpoint, each process reading what it will have."""
        place = None if self.layout is None else self.layout.of_state(types)
        return self._placed(load_checkpoint(path, types, place))

    def _placed(self, state: State) -> State:
        return state if self.layout is None else self.layout.put_state(state)

    def _try_validation(self, val: Mapping[str, Source], run: Run) -> None:
        """Validate a few batches, so that a mistake there shows before an epoch of training."""
        columns: set[str] = set()
        for prefix, source in val.items():
            if not self.num_sanity_val_steps or getattr(source, "one_shot", False):
                return
            asked = Evaluation("validation", prefix, run.task, run.state, run)
            columns |= {*self._measure(asked, limited(source, self.num_sanity_val_steps), ())}
        check_monitors(self.callbacks, columns)
