"""The loop of a run, in one function that reads top to bottom."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .callbacks import Callback, configured, listeners
from .checkpoint import checkpoint_path
from .data import Source
from .dispatch import Dispatcher
from .history import Row
from .metrics import Metrics, columns
from .packed import Packed, merge_packed
from .plan import Plan, carry_over
from .processes import is_loss
from .resume import need_dir, run_info
from .run import Evaluation, Run
from .saving import Saver
from .state import State
from .units import Duration, Position, Unit, is_due, is_over, steps_until

LOSS_PATIENCE = 10.0  # seconds for a checkpoint's files, once a process of several is lost
Measure = Callable[[Evaluation, Source], dict[str, float]]


@dataclass(frozen=True)
class Loop:
    """What the loop works with besides the `Run`.

    Attributes:
      callbacks: in the order in which they are heard.
      dispatcher: gives batches to the compiled step.
      saver: writes checkpoints.
      measure: `(evaluation, source) -> {"val/loss": ...}`.
      rehearse: validates a few batches of a new run, to see its mistakes early.
      val: {prefix: source} of what is validated on.
      log_every: between rows.
      validate_every: of each in `val`, or None: only when the run is over.
      place: puts a changed state onto the devices.
      at_least: no stop is granted before, except by `until` or at once.
      validate_at_start: whether a new run has a row of validation before its first step.
    """

    callbacks: Sequence[Callback]
    dispatcher: Dispatcher
    saver: Saver
    measure: Measure
    rehearse: Callable[[Run], None]
    val: Mapping[str, Source]
    log_every: Duration
    validate_every: Mapping[str, Duration | None]
    at_least: Unit | None = None
    place: Callable[[State], State] = lambda state: state
    validate_at_start: bool = False
    _listeners: dict[str, list[Callable[..., None]]] = field(default_factory=dict)

    def run(self, run: Run, first: Plan, unlogged: Sequence[Metrics]) -> None:
        """Train until something stops the run.

        Args:
          run: before its first step, fresh or restored.
          first: the plan before callbacks change it.
          unlogged: metrics of earlier steps that are not logged yet.
        """
        pending: list[Packed | Metrics] = [*unlogged]
        phases, saver, step = run.phases, self.saver, self.dispatcher
        assert run.plan is not None
        step.use(run.plan)
        log_every = run.resolved(self.log_every)
        validate_every = {
            name: None if every is None else run.resolved(every)
            for name, every in self.validate_every.items()
        }
        saved_step = run.step if run.resumed_from else -1
        began = time.perf_counter() - run.seconds
        logged_step, compiled = run.step, 0.0
        started: list[Callback] = []
        made = run.state  # by the trainer or the step; another one is a callback's

        try:
            for callback in self.callbacks:
                started.append(callback)
                callback.on_fit_start(run)
            if run.resumed_from is None and run.stop_reason is None:
                with phases("validate"):
                    self.rehearse(run)
                if self.validate_at_start and self.val:
                    self._log_start(run, began)
            logged_seconds = time.perf_counter() - began

            while run.stop_reason is None:
                if run.batch == 0:
                    plan = configured(self.callbacks, first, run.epoch)
                    if not plan.same(run.plan):
                        run.state = carry_over(run.state, plan.task, run.example)
                        run.plan = plan
                        step.use(plan)
                    self._tell(run, "on_epoch_start")

                run.before = run.position
                with phases("data"):
                    items = step.take(self._wanted(run))
                with phases("dispatch" if step.has(len(items)) else "compile"):
                    if run.state is not made:
                        made = run.state = self.place(run.state)
                    run.state, metrics = step(run.state, items)
                    made = run.state
                if len(pending) == 256:  # a long interval must not hoard buffers
                    pending = [merge_packed(pending)]
                pending.append(metrics)
                run.advance(items, time.perf_counter() - began)
                self._tell(run, "on_step_end")

                now = run.position
                over = is_over(run.until, now)
                if self._too_early(now):
                    run.forget_stop()
                # A run that is interrupted goes on later: its next row belongs to a step to come.
                ending = over or (run.stop_reason is not None and not run.stop_now)
                asked = over or run.evaluate_requested
                val = {
                    name: source
                    for name, source in self.val.items()
                    if asked or ((every := validate_every[name]) and is_due(every, run.before, now))
                }
                if val or ending or run.log_requested or is_due(log_every, run.before, now):
                    if not ending:
                        with phases("data"):
                            step.prepare(self._wanted(run))
                    with phases("device"):
                        totals = merge_packed(pending)  # waits for the device
                    run.seconds = time.perf_counter() - began
                    compiling = phases.seconds.get("compile", 0.0)
                    elapsed = run.seconds - logged_seconds - (compiling - compiled)
                    compiled = compiling
                    row: Row = {"step": run.step, "epoch": run.epoch}
                    for name in sorted(totals, key=_rank):
                        row |= columns(name, totals[name])
                    row |= self._validated(run, val)
                    row["seconds"] = run.seconds
                    row["steps_per_second"] = (run.step - logged_step) / max(elapsed, 1e-9)
                    run.seconds = time.perf_counter() - began
                    logged_seconds, logged_step, pending = run.seconds, run.step, []
                    run.history.rows.append(row)
                    self._tell(run, "on_log", row)
                if run.epoch_ended:
                    self._tell(run, "on_epoch_end")

                if over:
                    run.request_stop(f"reached {run.until}")
                elif self._too_early(now):
                    run.forget_stop()
                if run.stop_reason is not None:
                    self._tell(run, "on_stop")

                if not (run.save_requested or saver.busy):
                    continue
                with phases("checkpoint"):
                    finished = saver.done()
                    if run.save_requested and saved_step != run.step:
                        pending = [merge_packed(pending)]
                        finished += self._save(run, pending)
                        saved_step = run.step
                for path in finished:
                    self._tell(run, "on_save", path)
            with phases("checkpoint"):
                finished = saver.wait()
            for path in finished:
                self._tell(run, "on_save", path)
        except BaseException as error:
            self._finish_saving(run, error)
            run.save_requested = False
            for callback in started:
                callback.on_exception(run, error)
            if run.save_requested and saved_step != run.step:
                self._save_after(run, pending, error)
            raise
        finally:
            step.close()
            for callback in reversed(started):
                callback.on_fit_end(run)

    def _too_early(self, now: Position) -> bool:
        """Whether a stop that is asked for now is forgotten."""
        return self.at_least is not None and not is_over(self.at_least, now)

    def _log_start(self, run: Run, began: float) -> None:
        """A row of what an untrained model is worth."""
        row: Row = {"step": run.step, "epoch": run.epoch, **self._validated(run, self.val)}
        run.seconds = row["seconds"] = time.perf_counter() - began
        run.history.rows.append(row)
        self._tell(run, "on_log", row)
        if self._too_early(run.position):
            run.forget_stop()

    def _validated(self, run: Run, val: Mapping[str, Source]) -> Row:
        """The columns of a validation on `val`."""
        row: Row = {}
        with run.phases("validate"):
            for name, source in val.items():
                evaluation = Evaluation("validation", name, run.task, run.state, run)
                row |= self.measure(evaluation, source)
        return row

    def _save(self, run: Run, pending: Sequence[Packed | Metrics]) -> list[Path]:
        """Begin a checkpoint of the newest step; returns those that are finished by now."""
        info = run_info(run, self.callbacks, merge_packed(pending))
        path = checkpoint_path(need_dir(run.dir), run.step)
        return self.saver.save(path, run.state, info)

    def _save_after(
        self, run: Run, pending: Sequence[Packed | Metrics], error: BaseException
    ) -> None:
        """Save what there is after an error, which stays the one that is raised."""
        try:
            for path in [*self._save(run, pending), *self.saver.wait()]:
                self._tell(run, "on_save", path)
        except Exception as second:
            error.add_note(f"and the state of step {run.step} could not be saved: {second}")

    def _finish_saving(self, run: Run, error: BaseException) -> None:
        """Let a checkpoint that is being written be whole, before `error` ends the run."""
        try:
            for path in self.saver.wait(LOSS_PATIENCE if is_loss(error) else None):
                self._tell(run, "on_save", path)
        except Exception as second:
            error.add_note(f"and the checkpoint that was being written failed: {second}")

    def _tell(self, run: Run, event: str, *details: Any) -> None:
        if event not in self._listeners:
            self._listeners[event] = [*listeners(self.callbacks, event)]
        with run.phases("callbacks"):
            for listener in self._listeners[event]:
                listener(run, *details)

    def _wanted(self, run: Run) -> int | None:
        """Steps until something is due, as far as steps tell; None if nothing is."""
        if self.dispatcher.steps_per_call == 1:
            return 1
        return min(self._due_steps(run), default=None)

    def _due_steps(self, run: Run) -> Iterator[int]:
        intervals = [run.until, self.log_every, *self.validate_every.values(), self.at_least]
        intervals += [callback.every for callback in self.callbacks]
        for every in intervals:
            if every is not None:
                left = steps_until(run.resolved(every), run.position)
                if left is not None:
                    yield left


def _rank(name: str) -> tuple[int, str]:
    """Order of columns: the loss, the task's metrics, then what describes the step."""
    tail = name.split("learning_rate/")[0].rsplit("/", 1)[-1] or "learning_rate"
    late = (
        "learning_rate",
        "gradient_norm",
        "update_norm",
        "parameter_norm",
        "loss_scale",
        "skipped",
    )
    return (0 if tail == "loss" else 2 + late.index(tail) if tail in late else 1), name
