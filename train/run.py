"""`Run`: a training run as callbacks see it, and the requests they may make of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from .data import Source
from .history import History, Row
from .state import State
from .task import Task
from .units import Duration, Epochs


@dataclass
class Run:
    """What a run knows of itself. Callbacks read it and *request*; the loop acts.

    Attributes:
      task, until, source: what `fit` was given.
      dir: the run's directory, or None.
      console: where to print.
      state: the newest state. The next step consumes it: copy what must live longer.
      step: steps done.
      epoch: whole epochs done.
      batch: batches done in the unfinished epoch.
      epoch_ended: whether the step just done was its epoch's last.
      validates: whether there is validation data.
      history: the rows logged so far.
      resumed_from: the checkpoint the run went on from, or None.
      stop_reason: None while the run goes on.
    """

    task: Task
    until: Duration
    source: Source
    example: Any
    dir: Path | None
    console: Console
    state: State
    validates: bool
    step: int = 0
    epoch: int = 0
    batch: int = 0
    epoch_ended: bool = False
    seconds: float = 0.0
    history: History = field(default_factory=History)
    resumed_from: Path | None = None
    stop_reason: str | None = None
    save_requested: bool = False
    evaluate_requested: bool = False
    log_requested: bool = False

    @property
    def steps_per_epoch(self) -> int | None:
        """Batches in an epoch, or None when not known."""
        return self.source.steps_per_epoch

    @property
    def total_steps(self) -> int | None:
        """Steps in the whole run, or None when not known."""
        if not isinstance(self.until, Epochs):
            return self.until.count
        per_epoch = self.steps_per_epoch
        return None if per_epoch is None else per_epoch * self.until.count

    @property
    def row(self) -> Row | None:
        """The row logged at this very step, if there is one."""
        rows = self.history.rows
        return rows[-1] if rows and rows[-1]["step"] == self.step else None

    def request_stop(self, reason: str) -> None:
        """Stop after this step; the first reason given is kept."""
        self.stop_reason = self.stop_reason or reason

    def request_save(self) -> None:
        """Save a checkpoint after this step."""
        self.save_requested = True

    def request_evaluate(self) -> None:
        """Validate after this step. Only `on_step_end` comes early enough to ask."""
        self.evaluate_requested = True

    def request_log(self) -> None:
        """Log a row after this step. Only `on_step_end` comes early enough to ask."""
        self.log_requested = True
