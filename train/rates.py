"""Learning rates: schedules over a whole run, rates by depth, and which leaves decay."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import optax

import jaxcore.numpy as jnp
from jaxcore import tree

from .arguments import check_choice, check_counts
from .errors import TrainError, explain
from .optimizer import Schedule
from .paths import leaf_paths
from .run_length import Part, RunLength
from .task import Task
from .units import Fraction, Unit


@dataclass(frozen=True)
class OfRun:
    """A schedule that is made once the number of steps is known; `fit` knows it.

    Attributes:
      make: `total steps -> (count -> rate)`; what `fit` gives it is a `RunLength`.
    """

    make: Callable[[int], Schedule]

    def __call__(self, count: Any) -> Any:
        raise TrainError(
            explain(
                "A schedule over the whole run does not know how long the run is.",
                got=f"count {count!r} outside of Trainer.fit",
                expected="the number of steps",
                fix="write lr=schedule.make(total_steps).",
            )
        )


def one_cycle(
    peak: float, *, warmup: Part = 0.3, div: float = 25.0, final_div: float = 1e4
) -> OfRun:
    """Up to `peak` in the part `warmup` of the run, then down, both along a cosine.

    It begins at `peak / div` and ends at `peak / div / final_div` (Smith & Topin 2018,
    https://arxiv.org/abs/1708.07120), as `torch.optim.lr_scheduler.OneCycleLR` does.

    >>> rate = one_cycle(1.0).make(10)
    >>> [round(float(rate(i)), 3) for i in (0, 2, 9)]
    [0.04, 1.0, 0.0]
    """

    def make(total: int) -> Schedule:
        turn = max(1.0, _steps(total, warmup) - 1)

        def rate(count: Any) -> Any:
            up = _between(peak / div, peak, _cosine(count / turn))
            down = _between(peak / div / final_div, peak, _cosine(_left(count, turn, total - 1)))
            return jnp.where(count <= turn, up, down)

        return rate

    return OfRun(make)


def warmup_constant(peak: float, *, warmup: Part = 0.05) -> OfRun:
    """Linear warm-up in the part `warmup` of the run (or `Steps`, `Epochs` ...), then `peak`.

    >>> from jaxcore import train
    >>> rate = warmup_constant(1.0, warmup=train.Steps(4)).make(10)
    >>> [round(float(rate(i)), 2) for i in (0, 1, 4, 10)]
    [0.0, 0.25, 1.0, 1.0]
    """
    return OfRun(lambda total: _warmed(peak, _steps(total, warmup), lambda count: peak))


def warmup_linear(
    peak: float, *, warmup: Part = 0.05, final: float = 0.0, power: float = 1.0
) -> OfRun:
    """Linear warm-up to `peak`, then straight down to `final` at the run's end.

    With another `power` it falls as `(1 - part)^power`.

    >>> rate = warmup_linear(1.0, warmup=0.2).make(10)
    >>> [round(float(rate(i)), 2) for i in (0, 1, 2, 6, 10)]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """

    def make(total: int) -> Schedule:
        rise = _steps(total, warmup)
        return _warmed(
            peak,
            rise,
            lambda count: _between(final, peak, _left(count, rise, total) ** power),
        )

    return OfRun(make)


def warmup_cosine(
    peak: float, *, warmup: Part = 0.05, final: float = 0.0, cycles: int = 1
) -> OfRun:
    """Linear warm-up to `peak`, then a cosine down to `final` at the run's end.

    With several `cycles` it jumps back to `peak` between them (Loshchilov & Hutter 2017,
    https://arxiv.org/abs/1608.03983).

    >>> rate = warmup_cosine(1.0, warmup=0.1, final=0.1).make(10)
    >>> [round(float(rate(i)), 2) for i in (0, 1, 10)]
    [0.0, 1.0, 0.1]
    """
    check_counts(1, cycles=cycles)

    def make(total: int) -> Schedule:
        rise = _steps(total, warmup)

        def down(count: Any) -> Any:
            left = _left(count, rise, total)
            if cycles > 1:
                fall = max(1e-9, total - rise)
                again = (fall - (count - rise) * cycles % fall) / fall
                left = jnp.where(left > 0, again, 0.0)
            return _between(final, peak, _cosine(left))

        return _warmed(peak, rise, down)

    return OfRun(make)


def warmup_stable_decay(
    peak: float,
    *,
    warmup: Part = 0.05,
    decay: Part = 0.2,
    final: float = 0.0,
    shape: str = "linear",
) -> OfRun:
    """Linear warm-up, a constant `peak`, and a decay to `final` in the last part.

    It decays along a line, a "cosine", or as one minus a root ("sqrt"; Hägele et al. 2024,
    https://arxiv.org/abs/2405.18392).

    >>> rate = warmup_stable_decay(1.0, warmup=0.1, decay=0.5).make(10)
    >>> [round(float(rate(i)), 2) for i in (0, 1, 5, 10)]
    [0.0, 1.0, 1.0, 0.0]
    """
    check_choice(("linear", "cosine", "sqrt"), "leave it out for a line.", shape=shape)

    def make(total: int) -> Schedule:
        rise, fall = _steps(total, warmup), _steps(total, decay, "decay")

        def down(count: Any) -> Any:
            left = _left(count, total - fall, total)
            height = {
                "linear": left,
                "cosine": _cosine(left),
                "sqrt": left / (1 + jnp.sqrt(1 - left)),  # 1 - sqrt(1 - left)
            }[shape]
            return _between(final, peak, height)

        return _warmed(peak, rise, down)

    return OfRun(make)


def inverse_sqrt(peak: float, *, warmup: int | Unit | Fraction) -> Any:
    """Linear warm-up over `warmup` steps, then `peak · sqrt(warmup / count)`.

    A number of steps gives the schedule itself, another unit an `OfRun`.

    >>> rate = inverse_sqrt(1.0, warmup=100)
    >>> [round(float(rate(i)), 2) for i in (50, 100, 400)]
    [0.5, 1.0, 0.5]
    """

    def make(rise: float) -> Schedule:
        return _warmed(
            peak, rise, lambda count: peak * jnp.sqrt(rise / jnp.maximum(count, max(rise, 1)))
        )

    if isinstance(warmup, int):
        check_counts(1, warmup=warmup)
        return make(warmup)
    return OfRun(lambda total: make(_steps(total, warmup)))


def discriminative(globs: tuple[str, ...], low: float, high: float) -> dict[str, float]:
    """Rates that grow by one factor from the first group, at `low`, to the last, at `high`.

    For `Task.lr`: the layers near the input learn slowly, the head fast.

    >>> discriminative(("stem/**", "body/**", "**"), 1e-5, 1e-3)
    {'stem/**': 1e-05, 'body/**': 0.0001, '**': 0.001}
    """
    if len(globs) == 1:
        return {globs[0]: high}
    ratio = math.log(high / low) / (len(globs) - 1)
    rates = {glob: low * math.exp(i * ratio) for i, glob in enumerate(globs)}
    return {glob: float(f"{rate:.12g}") for glob, rate in rates.items()}


def decays(params: Any) -> Any:
    """A mask for `optax.adamw(mask=decays)`: weight decay for matrices, not for biases and scales.

    Of layers that `Task.stack` keeps as one, "block_*", the first axis does not count.

    >>> import numpy as np
    >>> decays(
    ...     {"kernel": np.ones((2, 2)), "bias": np.ones(2), "block_*": {"bias": np.ones((4, 2))}}
    ... )
    {'bias': False, 'block_*': {'bias': False}, 'kernel': True}
    """
    paths = leaf_paths(params)
    matrices = [leaf.ndim - path.count("*") > 1 for path, leaf in paths]
    return tree.unflatten(tree.structure(params), matrices)


def adamw(
    learning_rate: Any, *, weight_decay: float = 0.01, mask: Any = decays, **settings: Any
) -> optax.GradientTransformation:
    """`optax.adamw` as PyTorch's users know it, but that biases and scales do not decay.

    `optax.adamw` itself decays them, with weight_decay=1e-4.

    >>> import numpy as np
    >>> tx = adamw(0.1, weight_decay=0.5)
    >>> params = {"kernel": np.ones((1, 1), np.float32), "bias": np.ones(1, np.float32)}
    >>> still = {"kernel": np.zeros((1, 1), np.float32), "bias": np.zeros(1, np.float32)}
    >>> updates, _ = tx.update(still, tx.init(params), params)
    >>> float(updates["kernel"][0, 0]) < 0, float(updates["bias"][0]) == 0
    (True, True)
    """
    return optax.adamw(learning_rate, weight_decay=weight_decay, mask=mask, **settings)


def resolve_rates(task: Task, length: RunLength | None) -> Task:
    """`task` with its schedules over the whole run made for its length.

    Raises:
      TrainError: there is such a schedule, and the number of steps is not known.
    """
    rates: Mapping[str, Any] = task.lr if isinstance(task.lr, Mapping) else {"": task.lr}
    if not any(isinstance(rate, OfRun) for rate in rates.values()):
        return task
    if length is None:
        raise TrainError(
            explain(
                "The learning rate's schedule needs the number of steps of the run.",
                got="`until` in another unit, or data of unknown length",
                expected="until=Steps(n); of data that has a length Epochs(n), too; of ArrayData "
                "and ExampleData Samples(n) and Tokens(n)",
                fix="write until=Steps(n), or lr=schedule.make(total_steps).",
            )
        )
    made = {g: r.make(length) if isinstance(r, OfRun) else r for g, r in rates.items()}
    return dataclasses.replace(task, lr=made if isinstance(task.lr, Mapping) else made[""])


def _steps(total: int, part: Part, name: str = "warmup") -> float:
    length = total if isinstance(total, RunLength) else RunLength(total)
    return length.steps_of(name, part)


def _warmed(peak: float, rise: float, after: Schedule) -> Schedule:
    """A line up to `peak` over `rise` steps, and then `after`."""
    return lambda count: jnp.where(count < rise, peak * count / max(rise, 1e-9), after(count))


# Written so that no digits cancel: the small rates near the end of a long run are as exact in
# float32 as the large ones.


def _left(count: Any, begin: float, end: float) -> Any:
    """How much of the way from `begin` to `end` is left at `count`, in [0, 1]."""
    return jnp.clip((end - count) / max(1e-9, end - begin), 0.0, 1.0)


def _cosine(height: Any) -> Any:
    """From 0 up to 1 along half a cosine: (1 - cos(π·height)) / 2."""
    return jnp.square(jnp.sin(jnp.pi / 2 * height))


def _between(low: float, high: float, height: Any) -> Any:
    return low + (high - low) * height
