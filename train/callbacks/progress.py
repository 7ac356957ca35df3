"""What a person sees while a run goes on."""

from __future__ import annotations

import time

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Column

from ..arguments import check_numbers
from ..history import Row
from ..run import Run
from ..units import Epochs, Seconds
from .base import Callback

_HIDDEN = (
    "step",
    "epoch",
    "seconds",
    "gradient_norm",
    "update_norm",
    "parameter_norm",
    "loss_scale",
    "flops_per_second",
    "peak_megabytes",
    "cpu_seconds",
)


class ProgressBar(Callback):
    """A bar with the loss, the rate, the speed and the time left; plain lines without a terminal.

    The time left is estimated from what the run took since its first step, validations included.

    Args:
      refresh: least seconds between two updates of the bar, which take half a hundredth of the
        time at most.
    """

    def __init__(self, refresh: float = 0.1) -> None:
        check_numbers(0, refresh=refresh)
        self.refresh = refresh
        self._progress: Progress | None = None
        self._numbers = ""
        self._began = self._next = 0.0
        self._first_step = self._from = -1
        self._compiled = 0.0  # when the first step was done, and everything compiled

    def on_fit_start(self, run: Run) -> None:
        if run.resumed_from is not None:
            run.console.print(f"resumed from {run.resumed_from} (step {run.step})", soft_wrap=True)
        self._began, self._first_step, self._numbers = time.perf_counter(), run.step, ""
        self._next = self._compiled = 0.0
        self._progress = None
        if run.console.is_terminal:
            self._progress = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TextColumn("{task.fields[left]}"),
                # What does not fit into the line is cut off here, and not from the bar.
                TextColumn("{task.fields[numbers]}", table_column=Column(ratio=1, no_wrap=True)),
                console=run.console,
                expand=True,
                auto_refresh=False,  # a thread would take the interpreter from the steps
            )
            self._task = self._progress.add_task(
                "tracing and compiling",
                total=run.total_steps,
                completed=run.step,
                left="",
                numbers="",
            )
            self._progress.start()

    def on_step_end(self, run: Run) -> None:
        now = time.perf_counter()
        if not self._compiled:
            self._compiled, self._from = now, run.step
            if run.step == self._first_step + 1:
                seconds = now - self._began
                self._say(run, f"first step, with tracing and compiling: {seconds:.1f} s")
        if self._progress is not None and now > self._next:
            self._draw(run)
            drawn = time.perf_counter()
            self._next = drawn + max(self.refresh, 200 * (drawn - now))

    def on_log(self, run: Run, row: Row) -> None:
        self._numbers = numbers_of(row)
        if self._progress is None or any(name.startswith("val/") for name in row):
            left = self._left(run)
            numbers = f"{self._numbers}  {left}" if left else self._numbers
            self._say(run, f"{_place(run)}  step {run.step:<6d}  {numbers}")

    def on_fit_end(self, run: Run) -> None:
        if self._progress is not None:
            self._draw(run)
            self._progress.stop()
            self._progress = None
        seconds = time.perf_counter() - self._began
        done = run.step - self._first_step
        reason = run.stop_reason or "interrupted"
        run.console.print(f"{reason}: {done} steps in {seconds:.1f} s", soft_wrap=True)

    def _left(self, run: Run) -> str:
        """How long the rest of the run will take, by what it took since the first step."""
        left = None
        if isinstance(run.until, Seconds):
            left = run.until.count - run.seconds
        elif run.total_steps is not None and run.step > self._from and self._compiled:
            spent = time.perf_counter() - self._compiled
            left = spent / (run.step - self._from) * (run.total_steps - run.step)
        return "" if left is None or left < 0.5 else f"{duration(left)} left"

    def _draw(self, run: Run) -> None:
        assert self._progress is not None
        self._progress.update(
            self._task,
            completed=run.step,
            description=_place(run),
            left=self._left(run),
            numbers=self._numbers,
            refresh=True,
        )

    def _say(self, run: Run, text: str) -> None:
        run.console.print(text, soft_wrap=True, highlight=False)


def numbers_of(row: Row) -> str:
    """The columns of a row that a person wants to see, as text.

    >>> numbers_of({"step": 3, "loss": 0.5, "gradient_norm": 1.0})
    'loss 0.5000'
    >>> numbers_of({"mse": 2.5e-7, "learning_rate/body_*": 0.1})
    'mse 2.500e-07  learning rate/body_* 1.00e-01'
    """
    return "  ".join(_spell(name, row[name]) for name in row if _shown(name, row))


def duration(seconds: float) -> str:
    """A stretch of time as a clock has it.

    >>> duration(7), duration(75.2), duration(7 * 3600 + 125)
    ('0:07', '1:15', '7:02:05')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _place(run: Run) -> str:
    epoch = run.epoch if run.epoch_ended else run.epoch + 1
    total = str(run.until.count) if isinstance(run.until, Epochs) else ""
    return f"epoch {epoch:>{len(total)}}/{total}" if total else f"epoch {epoch}"


def _shown(name: str, row: Row) -> bool:
    if name.rsplit("/", 1)[-1] == "skipped":
        return row[name] > 0
    return name.rsplit("/", 1)[-1] not in _HIDDEN


def _spell(name: str, value: float) -> str:
    if name == "steps_per_second":
        return f"{value:.3g} steps/s" if value < 100 else f"{value:.0f} steps/s"
    if name.startswith("learning_rate"):
        return f"learning rate{name.removeprefix('learning_rate')} {value:.2e}"
    if value and not 1e-3 <= abs(value) < 1e4:
        return f"{name} {value:.3e}"
    return f"{name} {value:.4f}"
