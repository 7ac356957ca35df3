"""Stochastic weight averaging: the mean of the weights of the last epochs."""

from __future__ import annotations

from typing import Any

import jaxcore.numpy as jnp

from ..arguments import check_choice, check_counts, check_numbers
from ..averaging import Average
from ..batch_stats import update_batch_stats
from ..errors import TrainError, explain
from ..plan import Plan
from ..run import Run
from ..units import Epochs
from .base import Callback
from .weight_averaging import steps_of_epoch


class StochasticWeightAveraging(Callback):
    """Average the weights at the end of each late epoch, at a rate that is high and constant.

    At the end of the run the statistics of batch normalisation are computed anew for the averaged
    weights, by one pass over the data (Izmailov et al. 2018, https://arxiv.org/abs/1803.05407).

    Args:
      swa_lrs: the rate that the learning rate goes to, and then has; None leaves the rate alone.
      swa_epoch_start: epochs before the first average, or their part of the run.
      annealing_epochs: over how many epochs the rate goes there.
      annealing_strategy: "cos" or "linear".

    >>> callback = StochasticWeightAveraging(swa_lrs=1e-2)
    """

    def __init__(
        self,
        swa_lrs: float | None = None,
        *,
        swa_epoch_start: int | float = 0.8,
        annealing_epochs: int = 10,
        annealing_strategy: str = "cos",
    ) -> None:
        check_choice(
            ("cos", "linear"), "leave it out for the cosine.", annealing_strategy=annealing_strategy
        )
        check_numbers(0, open=True, optional=True, swa_lrs=swa_lrs)
        check_counts(0, annealing_epochs=annealing_epochs)
        if isinstance(swa_epoch_start, float):
            check_numbers(0, 1, swa_epoch_start=swa_epoch_start)
        else:
            check_counts(1, swa_epoch_start=swa_epoch_start)
        self.swa_lrs = swa_lrs
        self.swa_epoch_start = swa_epoch_start
        self.annealing_epochs = annealing_epochs
        self.annealing_strategy = annealing_strategy
        self._average: Average | None = None
        self._rates: dict[Any, Any] = {}

    def on_setup(self, run: Run) -> None:
        per_epoch = steps_of_epoch(run, "StochasticWeightAveraging")
        start = self.swa_epoch_start
        if isinstance(start, float):
            if not isinstance(run.until, Epochs):
                raise TrainError(
                    explain(
                        "`swa_epoch_start` is a part of the run's epochs.",
                        got=f"{start} and until={run.until!r}",
                        expected="until=Epochs(n), or a number of epochs",
                        fix="write swa_epoch_start=8.",
                    )
                )
            start = int(start * run.until.count)
        self._begin, self._per_epoch = max(1, start) * per_epoch, per_epoch
        self._average = Average(None, every=per_epoch, start=self._begin - 1)
        self._rates = {}

    def configure(self, plan: Plan, epoch: int) -> Plan:
        if self.swa_lrs is None:
            return plan.change(average=self._average)
        lr = plan.task.lr
        if lr is None or isinstance(lr, dict):
            raise TrainError(
                explain(
                    "`swa_lrs` replaces the learning rate, which is not the task's `lr`.",
                    got=f"lr={lr!r}",
                    expected="a task with tx=optax.sgd, lr=0.1 or a schedule",
                    fix="give the task `lr`, or leave out swa_lrs.",
                )
            )
        if id(lr) not in self._rates:  # one function for all epochs, or each would compile
            self._rates[id(lr)] = self._rate(lr)
        return plan.change(average=self._average, lr=self._rates[id(lr)])

    def _rate(self, lr: Any) -> Any:
        def rate(count: Any) -> Any:
            before = lr(count) if callable(lr) else lr
            last = lr(self._begin) if callable(lr) else lr
            part = (count - self._begin) / max(1, self.annealing_epochs * self._per_epoch)
            part = jnp.clip(part, 0.0, 1.0)
            if self.annealing_strategy == "cos":
                part = jnp.square(jnp.sin(jnp.pi / 2 * part))
            return jnp.where(count < self._begin, before, last + (self.swa_lrs - last) * part)

        return rate

    def on_stop(self, run: Run) -> None:
        average, plan = run.state.average, run.plan
        ended = not run.stop_now and average is not None and int(average.count) > 0
        if ended and plan is not None and "batch_stats" in run.state.variables:
            run.state = update_batch_stats(plan.task, run.state, run.source)
