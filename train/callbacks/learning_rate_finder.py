"""A first guess at the learning rate, by trying many in a row."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

import jaxcore.numpy as jnp
from jaxcore import tree

from ..arguments import check_choice, check_counts, check_numbers
from ..errors import TrainError, explain
from ..feed import Padder
from ..optimizer import set_rate
from ..run import Run
from ..state import State
from ..step import init_state, make_step
from ..task import Task
from .base import Callback


class RangeTest(NamedTuple):
    """The rates that were tried, and the smoothed loss after each.

    >>> losses = [1.0, 1.0, 0.9, 0.2, 0.1, 5.0]
    >>> RangeTest([1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0], losses).suggestion(skip_begin=0)
    0.01
    """

    rates: list[float]
    losses: list[float]

    def suggestion(self, skip_begin: int = 10, skip_end: int = 1) -> float | None:
        """The rate at which the loss falls most steeply; None if there are not two points."""
        end = len(self.losses) - skip_end
        pairs = zip(self.rates[skip_begin:end], self.losses[skip_begin:end], strict=True)
        finite = [(rate, loss) for rate, loss in pairs if math.isfinite(loss)]
        if len(finite) < 2:
            return None
        rates, losses = map(np.array, zip(*finite, strict=True))
        return float(rates[int(np.argmin(np.gradient(losses, rates)))])


def lr_range_test(
    task: Task,
    state: State | None,
    batches: Iterable[Any],
    *,
    key: Any = None,
    min_lr: float = 1e-8,
    max_lr: float = 1.0,
    num_training_steps: int = 100,
    mode: str = "exponential",
    early_stop_threshold: float | None = 4.0,
) -> RangeTest:
    """Train a copy with a rate that grows at each step; what was trained is thrown away.

    Args:
      task: its `tx` is a factory; its `lr` is not used.
      state: where to begin; it is copied. None makes one from `key`.
      batches: at most `num_training_steps` are used.
      key: for the state, if there is none.
      min_lr, max_lr: the first rate, and the one after the last.
      num_training_steps: rates to try.
      mode: "exponential" or "linear": how the rate grows.
      early_stop_threshold: end when the loss is above this many times the best one.

    Raises:
      TrainError: the task's optimiser does not take a rate.
    """
    check_choice(("exponential", "linear"), "leave it out for rates of all magnitudes.", mode=mode)

    check_range(min_lr, max_lr, num_training_steps, early_stop_threshold)

    def rate(count: Any) -> Any:
        part = count / num_training_steps
        if mode == "linear":
            return min_lr + (max_lr - min_lr) * part
        return jnp.exp(math.log(min_lr) + (math.log(max_lr) - math.log(min_lr)) * part)

    tried = dataclasses.replace(task, lr=rate)
    step, padder, found = make_step(tried), Padder(), RangeTest([], [])
    smooth, best, running = 0.0, math.inf, None
    for index, batch in zip(range(num_training_steps), batches, strict=False):
        padded = padder(batch)
        if running is None:
            variables = None if state is None else tree.map(jnp.copy, state.variables)
            running = init_state(tried, _key(key, state), padded.batch, variables)
        running, metrics = step(running, padded.batch, padded.mask)
        smooth = 0.98 * smooth + 0.02 * float(metrics["loss"])
        loss = smooth / (1 - 0.98 ** (index + 1))
        found.rates.append(float(rate(index)))
        found.losses.append(loss)
        if early_stop_threshold is not None and index and loss > early_stop_threshold * best:
            break
        if math.isnan(loss):
            break
        best = min(best, loss)
    return found


def check_range(
    min_lr: float, max_lr: float, num_training_steps: int, early_stop_threshold: float | None
) -> None:
    """Raise `TrainError` unless there is a range to test."""
    check_numbers(0, open=True, min_lr=min_lr)
    check_numbers(min_lr, open=True, max_lr=max_lr)
    check_counts(2, num_training_steps=num_training_steps)
    check_numbers(1, open=True, optional=True, early_stop_threshold=early_stop_threshold)


def _key(key: Any, state: State | None) -> Any:
    return key if state is None else jnp.copy(state.key)


class LearningRateFinder(Callback):
    """Try rates before the first step, and begin with the one at which the loss falls fastest.

    A run that is resumed has its rate already. The task needs a factory, and a number as `lr`.

    Args:
      min_lr, max_lr, num_training_steps, mode, early_stop_threshold: as in `lr_range_test`.
      update: False only finds; `result` and `suggestion` tell.

    >>> finder = LearningRateFinder(num_training_steps=50)
    """

    def __init__(
        self,
        *,
        min_lr: float = 1e-8,
        max_lr: float = 1.0,
        num_training_steps: int = 100,
        mode: str = "exponential",
        early_stop_threshold: float | None = 4.0,
        update: bool = True,
    ) -> None:
        check_range(min_lr, max_lr, num_training_steps, early_stop_threshold)
        self._settings: dict[str, Any] = {
            "min_lr": min_lr,
            "max_lr": max_lr,
            "num_training_steps": num_training_steps,
            "mode": mode,
            "early_stop_threshold": early_stop_threshold,
        }
        self.update = update
        self.result: RangeTest | None = None
        self.suggestion: float | None = None

    def on_fit_start(self, run: Run) -> None:
        if run.resumed_from is not None:
            return
        lr = run.task.lr
        if self.update and not isinstance(lr, int | float):
            raise TrainError(
                explain(
                    "LearningRateFinder sets a number, and the task's rate is none.",
                    got=f"lr={lr!r:.60}",
                    expected="lr=1e-3, say, beside a factory such as optax.adamw",
                    fix="write LearningRateFinder(update=False) and use its `suggestion`.",
                )
            )
        if getattr(run.source, "one_shot", False):
            raise TrainError(
                explain(
                    "LearningRateFinder would use up the data.",
                    got="an iterator that serves one pass",
                    expected="data that can be read again",
                    fix="give ArrayData, a list, or an object whose __iter__ starts afresh.",
                )
            )

        def batches() -> Iterable[Any]:
            for epoch in range(self._settings["num_training_steps"]):
                yield from run.source.batches(epoch)

        self.result = lr_range_test(run.task, run.state, batches(), **self._settings)
        self.suggestion = self.result.suggestion(
            skip_begin=min(10, len(self.result.rates) // 10), skip_end=1
        )
        if self.update and self.suggestion is not None:
            opt_state = run.state.opt_state
            for group in opt_state:
                opt_state = set_rate(opt_state, group, self.suggestion, 1.0)
            run.state = run.state.replace(opt_state=opt_state)
