"""An end by the clock."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from ..arguments import check_choice, check_numbers
from ..errors import TrainError, explain
from ..run import Run
from ..units import Seconds
from .base import Callback


class Timer(Callback):
    """Stop after so much time, that of the earlier parts of a resumed run included.

    Args:
      duration: a `timedelta`, its arguments as a dict, `Seconds`, or "DD:HH:MM:SS"; None only
        measures.
      interval: "step" or "epoch": when to look at the clock.

    >>> Timer("00:12:00:00").duration
    43200.0
    """

    def __init__(
        self,
        duration: str | timedelta | dict[str, float] | Seconds | None = None,
        *,
        interval: str = "step",
    ) -> None:
        check_choice(
            ("step", "epoch"),
            "leave it out to look at the clock after every step.",
            interval=interval,
        )
        self.duration = None if duration is None else _seconds(duration)
        if self.duration is not None:
            check_numbers(0, open=True, duration=self.duration)
        self.interval = interval
        self._run: Run | None = None

    def time_elapsed(self) -> float:
        """Seconds of the run so far."""
        return 0.0 if self._run is None else self._run.seconds

    def time_remaining(self) -> float | None:
        """Seconds until the stop; None without a duration."""
        return None if self.duration is None else max(0.0, self.duration - self.time_elapsed())

    def on_fit_start(self, run: Run) -> None:
        self._run = run
        self._check(run)

    def on_step_end(self, run: Run) -> None:
        if self.interval == "step" or run.epoch_ended:
            self._check(run)

    def _check(self, run: Run) -> None:
        if self.duration is not None and run.seconds >= self.duration:
            run.request_stop(f"{self.duration:g} seconds are over", now=True)


def _seconds(duration: Any) -> float:
    if isinstance(duration, Seconds):
        return float(duration.count)
    if isinstance(duration, dict):
        duration = timedelta(**duration)
    if isinstance(duration, timedelta):
        return duration.total_seconds()
    try:
        days, hours, minutes, seconds = map(int, duration.split(":"))
    except (AttributeError, ValueError) as error:
        raise TrainError(
            explain(
                "`duration` is no stretch of time.",
                got=repr(duration),
                expected="'DD:HH:MM:SS', a timedelta, its arguments as a dict, or Seconds",
                fix="write Timer(timedelta(hours=12)).",
            )
        ) from error
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds).total_seconds()
