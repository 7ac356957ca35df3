"""`Run`: a training run as callbacks see it, and the requests they may make of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from .data import LeftOut, Source
from .feed import Feed
from .history import History, Row
from .iterables import BatchIterable
from .phases import Phases
from .plan import Plan
from .state import State
from .task import Task
from .units import Duration, Epochs, Fraction, Position, Steps, Uneven, Unit, is_due, resolve


@dataclass
class Run:
    """What a run knows of itself. Callbacks read it and *request*; the loop acts.

    Attributes:
      task, until, source: what `fit` was given.
      dir: the run's directory, or None.
      console: where to print.
      state: the newest state. The next step consumes it: copy what must live longer.
      plan: what the step of this epoch is made from: the task as callbacks changed it.
      step: steps done.
      epoch: whole epochs done.
      batch: batches done in the unfinished epoch.
      samples, tokens: rows and tokens seen; tokens only if `counts_tokens`.
      seconds: spent so far, earlier parts of a resumed run included.
      before: the position before the newest call of the step.
      phases: where the time goes.
      epoch_ended: whether the step just done was its epoch's last.
      data_state: state of the data's iterator, where it has one.
      validates: whether there is validation data.
      history: the rows logged so far.
      resumed_from: the checkpoint the run went on from, or None.
      stop_reason: None while the run goes on.
      ending: what `fit` raises instead of returning, once the run has ended well.
    """

    task: Task
    until: Unit
    source: Source
    example: Any
    dir: Path | None
    console: Console
    validates: bool
    state: Any = None
    plan: Plan | None = None
    counts_tokens: bool = False
    step: int = 0
    epoch: int = 0
    batch: int = 0
    epoch_ended: bool = False
    data_state: Any = None
    samples: int = 0
    tokens: int = 0
    seconds: float = 0.0
    before: Position = field(default_factory=Position)
    phases: Phases = field(default_factory=Phases)
    history: History = field(default_factory=History)
    resumed_from: Path | None = None
    stop_reason: str | None = None
    stop_now: bool = False
    ending: BaseException | None = None
    save_requested: bool = False
    evaluate_requested: bool = False
    log_requested: bool = False
    writer: Any = None

    @property
    def position(self) -> Position:
        """How far the run is, in every unit."""
        return Position(self.step, self.epoch, self.samples, self.tokens, self.seconds)

    def resolved(self, every: Duration) -> Unit | Uneven:
        """`every`, of which a `Fraction` is one of this run."""
        if not isinstance(every, Fraction):  # asked after every step
            return every
        return resolve(every, self.until, self.steps_per_epoch)

    def is_due(self, every: Duration) -> bool:
        """Whether what happens `every` so often happens now, after the newest call of the step."""
        return is_due(self.resolved(every), self.before, self.position)

    @property
    def steps_per_epoch(self) -> int | None:
        """Batches in an epoch, or None when not known."""
        return self.source.steps_per_epoch

    @property
    def usual_log_interval(self) -> Unit:
        """Between rows, if nobody says: 50 steps, or an epoch where those are shorter."""
        per_epoch = self.steps_per_epoch
        return Epochs(1) if per_epoch is not None and per_epoch <= 50 else Steps(50)

    @property
    def total_steps(self) -> int | None:
        """Steps in the whole run, or None when not known."""
        if isinstance(self.until, Steps):
            return self.until.count
        per_epoch = self.steps_per_epoch
        if isinstance(self.until, Epochs) and per_epoch is not None:
            return per_epoch * self.until.count
        return None

    @property
    def row(self) -> Row | None:
        """The row logged at this very step, if there is one."""
        rows = self.history.rows
        return rows[-1] if rows and rows[-1]["step"] == self.step else None

    def advance(self, items: Sequence[Feed], seconds: float) -> None:
        """Note the steps that a call has made; requests of the step before are over."""
        last = items[-1]
        self.step += len(items)
        for item in items:
            self.samples += item.batch.rows
            self.tokens += item.tokens
        self.seconds = seconds
        self.epoch_ended = last.last
        self.epoch = last.epoch + last.last
        self.batch = 0 if last.last else last.number + 1
        self.data_state = last.state
        self.evaluate_requested = self.log_requested = self.save_requested = False

    def batch_again(self) -> Any:
        """The batch of the newest step, or None of data that can be read only once."""
        if isinstance(self.source, BatchIterable) or self.step == 0:
            return None
        epoch, number = self.epoch, self.batch - 1
        if self.epoch_ended:
            epoch, number = self.epoch - 1, (self.steps_per_epoch or 0) - 1
        batch = next(self.source.batches(epoch, number), None) if number >= 0 else None
        return batch.batch if isinstance(batch, LeftOut) else batch

    def forget_stop(self) -> None:
        """Take back requests to stop, unless one was to be granted at once."""
        if not self.stop_now:
            self.stop_reason = None

    def request_stop(self, reason: str, *, now: bool = False) -> None:
        """Stop after this step; the first reason given is kept.

        Before the run's `at_least` the request is forgotten, unless it must be `now`.
        """
        self.stop_reason = self.stop_reason or reason
        self.stop_now = self.stop_now or now

    def request_save(self) -> None:
        """Save a checkpoint after this step."""
        self.save_requested = True

    def request_evaluate(self) -> None:
        """Validate after this step. Only `on_step_end` comes early enough to ask."""
        self.evaluate_requested = True

    def request_log(self) -> None:
        """Log a row after this step. Only `on_step_end` comes early enough to ask."""
        self.log_requested = True


@dataclass(frozen=True)
class Fit:
    """What `Trainer.fit` returns: state, log, why the run ended, and where its time went.

    It also is a pair: ``state, history = trainer.fit(...)``.
    """

    state: State
    history: History
    stop_reason: str
    phases: Phases = field(default_factory=Phases)

    def __iter__(self) -> Iterator[Any]:
        return iter((self.state, self.history))

    def __repr__(self) -> str:  # without the state, which is as long as the model is large
        return f"Fit: {self.stop_reason}. {self.history!r}"


@dataclass(frozen=True)
class Evaluation:
    """What is measured or predicted, as callbacks hear of it.

    Attributes:
      stage: "validation", "test" or "predict".
      name: of the data, as the metrics have it: "val", "val/easy", "test"; else "predict".
      task: whose `evaluate` or `predict` is asked.
      state: what it is asked of; `state.eval_variables` are the variables.
      run: the run that validates, or None outside of one.
      collect: whether predictions are kept for `on_predict_end`.
    """

    stage: str
    name: str
    task: Task
    state: State
    run: Run | None = None
    collect: bool = True
