"""Learning rates: schedules over a whole run, rates by depth, and which leaves decay."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jaxcore.numpy as jnp
from jaxcore import tree

from .errors import TrainError, explain
from .optimizer import Schedule
from .task import Task


@dataclass(frozen=True)
class OfRun:
    """A schedule that is made once the number of steps is known; `fit` knows it.

    Attributes:
      make: `total steps -> (count -> rate)`.
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
    peak: float, *, warmup: float = 0.3, div: float = 25.0, final_div: float = 1e4
) -> OfRun:
    """Up to `peak` in the part `warmup` of the run, then down, both along a cosine.

    It begins at `peak / div` and ends at `peak / div / final_div` (Smith & Topin 2018,
    https://arxiv.org/abs/1708.07120), as `torch.optim.lr_scheduler.OneCycleLR` does.

    >>> rate = one_cycle(1.0).make(10)
    >>> [round(float(rate(i)), 3) for i in (0, 2, 9)]
    [0.04, 1.0, 0.0]
    """

    def make(total: int) -> Schedule:
        turn = max(1.0, warmup * total - 1)

        def rate(count: Any) -> Any:
            up = _cosine(peak / div, peak, count / turn)
            down = _cosine(peak, peak / div / final_div, (count - turn) / max(1, total - 1 - turn))
            return jnp.where(count <= turn, up, down)

        return rate

    return OfRun(make)


def warmup_stable_decay(
    peak: float, *, warmup: float = 0.05, decay: float = 0.2, final: float = 0.0
) -> OfRun:
    """Linear warm-up, a constant `peak`, and a linear decay to `final` in the last part.

    >>> rate = warmup_stable_decay(1.0, warmup=0.1, decay=0.5).make(10)
    >>> [round(float(rate(i)), 2) for i in (0, 1, 5, 10)]
    [0.0, 1.0, 1.0, 0.0]
    """

    def make(total: int) -> Schedule:
        rise, fall = warmup * total, decay * total

        def rate(count: Any) -> Any:
            up = jnp.minimum(1.0, count / max(rise, 1e-9))
            down = jnp.clip((total - count) / max(fall, 1e-9), 0.0, 1.0)
            return peak * up * down + final * (1 - down)

        return rate

    return OfRun(make)


def warmup_cosine(peak: float, *, warmup: float = 0.05, final: float = 0.0) -> OfRun:
    """Linear warm-up to `peak`, then a cosine down to `final` at the run's end.

    >>> rate = warmup_cosine(1.0, warmup=0.1, final=0.1).make(10)
    >>> [round(float(rate(i)), 2) for i in (0, 1, 10)]
    [0.0, 1.0, 0.1]
    """

    def make(total: int) -> Schedule:
        rise = warmup * total

        def rate(count: Any) -> Any:
            down = _cosine(peak, final, (count - rise) / max(1e-9, total - rise))
            return jnp.where(count < rise, peak * count / max(rise, 1e-9), down)

        return rate

    return OfRun(make)


def inverse_sqrt(peak: float, *, warmup: int) -> Schedule:
    """Linear warm-up over `warmup` steps, then `peak · sqrt(warmup / count)`.

    >>> rate = inverse_sqrt(1.0, warmup=100)
    >>> [round(float(rate(i)), 2) for i in (50, 100, 400)]
    [0.5, 1.0, 0.5]
    """

    def rate(count: Any) -> Any:
        later = jnp.sqrt(warmup / jnp.maximum(count, 1))
        return peak * jnp.where(count < warmup, count / warmup, later)

    return rate


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

    >>> import numpy as np
    >>> decays({"kernel": np.ones((2, 2)), "bias": np.ones(2)})
    {'bias': False, 'kernel': True}
    """
    return tree.map(lambda leaf: leaf.ndim > 1, params)


def resolve_rates(task: Task, total_steps: int | None) -> Task:
    """`task` with its schedules over the whole run made for `total_steps`.

    Raises:
      TrainError: there is such a schedule, and the number of steps is not known.
    """
    rates: Mapping[str, Any] = task.lr if isinstance(task.lr, Mapping) else {"": task.lr}
    if not any(isinstance(rate, OfRun) for rate in rates.values()):
        return task
    if total_steps is None:
        raise TrainError(
            explain(
                "The learning rate's schedule needs the number of steps of the run.",
                got="`until` in another unit, or data of unknown length",
                expected="until=Steps(n), or Epochs(n) of data that has a length",
                fix="write until=Steps(n), or lr=schedule.make(total_steps).",
            )
        )
    made = {g: r.make(total_steps) if isinstance(r, OfRun) else r for g, r in rates.items()}
    return dataclasses.replace(task, lr=made if isinstance(task.lr, Mapping) else made[""])


def _cosine(begin: float, end: float, part: Any) -> Any:
    return end + (begin - end) * (1 + jnp.cos(jnp.pi * jnp.clip(part, 0.0, 1.0))) / 2
