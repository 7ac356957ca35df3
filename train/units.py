"""Units of time: `Steps` and `Epochs` say when to stop, log, evaluate and save."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import TrainError, explain


@dataclass(frozen=True)
class _Duration:
    count: int

    def __post_init__(self) -> None:
        if isinstance(self.count, bool) or not isinstance(self.count, int) or self.count < 1:
            name = type(self).__name__
            raise TrainError(
                explain(
                    f"`{name}` counts whole {name.lower()}.",
                    got=repr(self.count),
                    expected="an int of at least 1",
                    fix=f"write for example {name}(10).",
                )
            )


@dataclass(frozen=True)
class Steps(_Duration):
    """So many training steps; one step is one call of the update, whatever it accumulates.

    >>> Steps(500)
    Steps(count=500)
    """


@dataclass(frozen=True)
class Epochs(_Duration):
    """So many passes over the training data.

    >>> Epochs(10)
    Epochs(count=10)
    """


Duration = Steps | Epochs
EVERY_EPOCH = Epochs(1)


def check_duration(name: str, value: object) -> None:
    """Raise `TrainError` unless `value` is `Steps` or `Epochs`; `name` is the argument's."""
    if not isinstance(value, Steps | Epochs):
        raise TrainError(
            explain(
                f"`{name}` has no unit.",
                got=repr(value),
                expected="Steps(n) or Epochs(n)",
                fix=f"write {name}=Epochs(10) or {name}=Steps(1000).",
            )
        )


def is_due(every: Duration, *, step: int, epochs: int, epoch_ended: bool) -> bool:
    """Whether something that happens `every` so often happens now, after a step.

    Args:
      every: the interval.
      step: number of steps done since the run began.
      epochs: number of whole epochs done.
      epoch_ended: whether this very step was an epoch's last.

    >>> is_due(Steps(10), step=20, epochs=0, epoch_ended=False)
    True
    >>> is_due(Epochs(2), step=20, epochs=3, epoch_ended=True)
    False
    """
    if isinstance(every, Steps):
        return step % every.count == 0
    return epoch_ended and epochs % every.count == 0


def is_over(until: Duration, *, step: int, epochs: int) -> bool:
    """Whether a run that lasts `until` is over."""
    return (step if isinstance(until, Steps) else epochs) >= until.count
