"""`Callback`: everything optional in a run is one of these."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..arguments import Keywords, check_events
from ..errors import TrainError, explain
from ..history import Row
from ..metrics import Measured, Metrics
from ..plan import Plan
from ..run import Evaluation, Run
from ..units import Duration
from ..watching import Inside


class Callback(Keywords):
    """Override what you need; each method gets the `Run`.

    The loop acts in one order:

    1. `on_setup`; `configure` for the first epoch; the state is made or restored; `on_fit_start`;
       of a new run a few batches are validated, of which nobody hears.
    2. At the first batch of an epoch: `configure`, `on_epoch_start`.
    3. After a call of the step: `on_step_end`; validation, if due or requested; a row of the log,
       if due or requested, and `on_log`; `on_epoch_end`, if the epoch ended; the decision to stop,
       and `on_stop`; a checkpoint, if requested; `on_save` for each that is on the disk by now.
    4. `on_exception`, if one ended the run; `on_fit_end`, in reverse order.

    A validation, in a run or by `Trainer.validate`, is `on_validation_start`,
    `on_validation_batch_end` after each batch, `on_validation_end`; by name where there are several
    data sets. `Trainer.test` and `predict` have the same three. Methods that are not overridden
    cost nothing. A method `on_...` of another name would never be called, so it is an error.

    Attributes:
      every: when the callback acts, if it does so regularly: calls of several steps end there.
    """

    every: Duration | None = None

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        check_events(cls, Callback)

    def on_setup(self, run: Run) -> None:
        """Before the state is made: `run.source` may be replaced, lengths may be asked for."""

    def configure(self, plan: Plan, epoch: int) -> Plan:
        """Change what the step of an epoch is made from: a function of its arguments alone."""
        return plan

    def inside_step(self, inside: Inside) -> Mapping[str, Any]:
        """Columns of the log made of a step's gradient and updates, as part of its program.

        The function is traced, like a loss: what it takes of `self` is a constant.
        """
        return {}

    def on_fit_start(self, run: Run) -> None:
        """Once the state is there, fresh or restored, before the first step."""

    def on_epoch_start(self, run: Run) -> None:
        """Before an epoch's first step; `run.state` may be replaced here."""

    def on_step_end(self, run: Run) -> None:
        """After every step. Reading `run.state` here waits for the device: do it rarely."""

    def on_log(self, run: Run, row: Row) -> None:
        """After a row went into the history; it has the validation's metrics if there was one."""

    def on_epoch_end(self, run: Run) -> None:
        """After an epoch's last step, its validation and its row; `run.state` may be replaced."""

    def on_stop(self, run: Run) -> None:
        """When the run will end after this step; `run.stop_reason` says why."""

    def on_save(self, run: Run, path: Path) -> None:
        """After a checkpoint was written to `path`, which may be some steps after it was taken."""

    def on_exception(self, run: Run, error: BaseException) -> None:
        """When an error ends the run, before `on_fit_end`."""

    def on_fit_end(self, run: Run) -> None:
        """At the very end, also after an error."""

    def on_validation_start(self, evaluation: Evaluation) -> None:
        """Before the first batch; `evaluation.run` is the run, or None outside of one."""

    def on_validation_batch_end(
        self, evaluation: Evaluation, batch: Any, metrics: Metrics, number: int
    ) -> None:
        """After batch `number`, as the data gave it. Reading `metrics` waits for the device."""

    def on_validation_end(self, evaluation: Evaluation, measured: Measured) -> None:
        """After the last batch, with the metrics of all: {"val/loss": ...}."""

    def on_test_start(self, evaluation: Evaluation) -> None:
        """As `on_validation_start`, in `Trainer.test`."""

    def on_test_batch_end(
        self, evaluation: Evaluation, batch: Any, metrics: Metrics, number: int
    ) -> None:
        """As `on_validation_batch_end`, in `Trainer.test`."""

    def on_test_end(self, evaluation: Evaluation, measured: Measured) -> None:
        """As `on_validation_end`, in `Trainer.test`."""

    def on_predict_start(self, evaluation: Evaluation) -> None:
        """Before the first batch of `Trainer.predict`."""

    def on_predict_batch_end(
        self, evaluation: Evaluation, outputs: Any, rows: range, number: int
    ) -> None:
        """After batch `number` of `Trainer.predict`; `rows` are the numbers of its examples."""

    def on_predict_end(self, evaluation: Evaluation, outputs: Any) -> None:
        """At the end of `Trainer.predict`, with all outputs, or None with `collect=False`."""

    def state(self) -> dict[str, Any]:
        """What a checkpoint should hold of this callback: counters, never settings; JSON only."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""


def check_callbacks(callbacks: Sequence[Callback]) -> None:
    """Raise `TrainError` unless these are callbacks: instances, in a list."""
    if isinstance(callbacks, Callback):
        raise TrainError(
            explain(
                "`callbacks` is a single callback.",
                got=type(callbacks).__name__,
                expected="a list of callbacks",
                fix=f"write callbacks=[{type(callbacks).__name__}(...)].",
            )
        )
    for callback in callbacks:
        if not isinstance(callback, Callback):
            of_class = isinstance(callback, type) and issubclass(callback, Callback)
            name = callback.__name__ if of_class else ""
            raise TrainError(
                explain(
                    "`callbacks` has something else in it.",
                    got=f"the class {name}" if of_class else repr(callback),
                    expected="instances of subclasses of train.Callback",
                    fix=f"make an instance: {name}(), not {name}."
                    if of_class
                    else "wrap a function: train.LambdaCallback(on_log=function).",
                )
            )


def listeners(callbacks: Sequence[Callback], event: str) -> Iterator[Callable[..., None]]:
    """The methods of this name, without those that are not overridden and do nothing.

    >>> list(listeners([Callback()], "on_step_end"))
    []
    """
    for callback in callbacks:
        method = getattr(callback, event)
        if getattr(method, "__func__", None) is not getattr(Callback, event):
            yield method


def configured(callbacks: Sequence[Callback], plan: Plan, epoch: int) -> Plan:
    """What the step of an epoch is made from, as the callbacks want it."""
    for callback in callbacks:
        plan = callback.configure(plan, epoch)
        for watcher in listeners([callback], "inside_step"):
            plan = plan.change(watch=(*plan.task.watch, watcher))
    return plan


def named(callbacks: Sequence[Callback]) -> dict[str, Callback]:
    """Callbacks by the names under which checkpoints keep their state.

    >>> list(named([Callback(), Callback()]))
    ['Callback', 'Callback_1']
    """
    names: dict[str, Callback] = {}
    for callback in callbacks:
        base = type(callback).__name__
        count = sum(type(other).__name__ == base for other in names.values())
        names[f"{base}_{count}" if count else base] = callback
    return names
