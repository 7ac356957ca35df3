"""Units of time, in which it is said when to stop, log, validate and save."""

from __future__ import annotations

import fractions
import functools
from dataclasses import dataclass
from typing import NamedTuple

from .arguments import is_whole
from .errors import TrainError, explain


class Position(NamedTuple):
    """How far a run is, counted from its very beginning, over all resumes.

    Attributes:
      step: updates made; one step is one call of the update, whatever it accumulates.
      epochs: whole passes over the training data.
      samples: rows seen, padding not counted.
      tokens: as `Task.tokens` counts them; 0 where nothing asks for them.
      seconds: of training and all that belongs to it.
    """

    step: int = 0
    epochs: int = 0
    samples: int = 0
    tokens: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class _Duration:
    count: int

    def __post_init__(self) -> None:
        if not is_whole(self.count) or self.count < 1:
            name = type(self).__name__
            raise TrainError(
                explain(
                    f"`{name}` counts whole {name.lower()}.",
                    got=repr(self.count),
                    expected="an int of at least 1",
                    fix=f"write for example {name}(10).",
                )
            )
        object.__setattr__(self, "count", int(self.count))  # NumPy's are not JSON

    def __str__(self) -> str:
        unit = type(self).__name__.lower()
        return f"{self.count} {unit if self.count != 1 else unit.removesuffix('s')}"


class Steps(_Duration):
    """So many training steps; one step is one call of the update, whatever it accumulates.

    >>> Steps(500)
    Steps(count=500)
    """

    def of(self, position: Position) -> int:
        return position.step


class Epochs(_Duration):
    """So many passes over the training data.

    >>> Epochs(10)
    Epochs(count=10)
    """

    def of(self, position: Position) -> int:
        return position.epochs


class Samples(_Duration):
    """So many rows of the training data, repeated ones counted again, padding not at all.

    >>> str(Samples(1_000_000))
    '1000000 samples'
    """

    def of(self, position: Position) -> int:
        return position.samples


class Tokens(_Duration):
    """So many tokens, as `Task.tokens` counts them.

    >>> Tokens(10_000).of(Position(tokens=25_000))
    25000
    """

    def of(self, position: Position) -> int:
        return position.tokens


@dataclass(frozen=True)
class Seconds:
    """So much time, that of earlier parts of a resumed run included.

    >>> Seconds(0.5).of(Position(seconds=1.25))
    1.25
    """

    count: float

    def __post_init__(self) -> None:
        number = isinstance(self.count, int | float) and not isinstance(self.count, bool)
        if not number or not 0 < self.count < float("inf"):
            raise TrainError(
                explain(
                    "`Seconds` is a stretch of time.",
                    got=repr(self.count),
                    expected="a number above 0",
                    fix="write Seconds(3600) for an hour.",
                )
            )

    def of(self, position: Position) -> float:
        return position.seconds

    def __str__(self) -> str:
        return f"{self.count:g} seconds"


@dataclass(frozen=True)
class Fraction:
    """A part of the whole run, as its `until` counts it, or in steps if it counts epochs.

    A part need not be a whole number of them: of 15 steps, what happens every tenth happens ten
    times, after steps 2, 3, 5, 6 and so on.

    >>> resolve(Fraction(0.1), Steps(1000))
    Steps(count=100)
    """

    part: float

    def __post_init__(self) -> None:
        if isinstance(self.part, bool) or not 0 < self.part <= 1:
            raise TrainError(
                explain(
                    "`Fraction` is a part of the run.",
                    got=repr(self.part),
                    expected="a number in (0, 1]",
                    fix="write Fraction(0.1) for every tenth.",
                )
            )


Unit = Steps | Epochs | Samples | Tokens | Seconds
Duration = Unit | Fraction
EVERY_EPOCH = Epochs(1)


def check_duration(name: str, value: object, *, fraction: bool = True) -> None:
    """Raise `TrainError` unless `value` has a unit; `name` is the argument's."""
    if isinstance(value, Steps | Epochs | Samples | Tokens | Seconds):
        return
    if isinstance(value, Fraction) and fraction:
        return
    raise TrainError(
        explain(
            f"`{name}` has no unit.",
            got=repr(value),
            expected="Steps(n) or Epochs(n), or Samples, Tokens, Seconds"
            + (", Fraction" if fraction else ""),
            fix=f"write {name}=Epochs(10) or {name}=Steps(1000).",
        )
    )


@dataclass(frozen=True)
class Uneven:
    """`count / scale` of a unit: the multiples of a `Fraction` that do not end with a step."""

    unit: Unit
    scale: int
    count: int

    def of(self, position: Position) -> float:
        return self.unit.of(position) * self.scale


def resolve(every: Duration, until: Unit, per_epoch: int | None = None) -> Unit | Uneven:
    """`every` with a `Fraction` turned into a unit; `per_epoch` steps make an epoch.

    >>> resolve(Fraction(0.1), Epochs(2), per_epoch=50)
    Steps(count=10)
    """
    return _share(every.part, until, per_epoch) if isinstance(every, Fraction) else every


@functools.cache
def _share(part: float, until: Unit, per_epoch: int | None) -> Unit | Uneven:
    if isinstance(until, Seconds):
        return Seconds(until.count * part)
    if isinstance(until, Epochs) and per_epoch is not None:
        until = Steps(until.count * per_epoch)
    given = fractions.Fraction(part)
    exact = given.limit_denominator(10**9) or given  # 0.1 is a tenth
    count = until.count * exact
    if count.denominator == 1:
        return type(until)(int(count))
    return Uneven(until, exact.denominator, until.count * exact.numerator)


def is_due(every: Unit | Uneven, before: Position, now: Position) -> bool:
    """Whether something that happens `every` so often happens between two positions.

    >>> is_due(Steps(10), Position(step=19), Position(step=20))
    True
    >>> is_due(Epochs(2), Position(epochs=2), Position(epochs=3))
    False
    """
    return every.of(now) // every.count > every.of(before) // every.count


def is_over(until: Unit, now: Position) -> bool:
    """Whether a run that lasts `until` is over."""
    return until.of(now) >= until.count


def steps_until(every: Unit | Uneven, now: Position) -> int | None:
    """Steps until `every` is due next, or None where steps do not tell."""
    if isinstance(every, Steps):
        return every.count - now.step % every.count
    if isinstance(every, Uneven) and isinstance(every.unit, Steps):
        left = every.count - now.step * every.scale % every.count
        return -(-left // every.scale)
    return None
