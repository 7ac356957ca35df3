"""Fine-tuning: parts of a model that learn later than the rest, and more slowly."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from ..arguments import check_counts, check_numbers
from ..errors import TrainError, explain
from ..optimizer import set_rate
from ..plan import Plan
from ..run import Run
from .base import Callback


class BaseFinetuning(Callback):
    """Freeze what `frozen(epoch)` names, in every epoch anew.

    A frozen leaf has no gradient and no optimiser state; one that thaws begins with a fresh state.
    Each set of frozen leaves compiles once.

        class HeadFirst(train.BaseFinetuning):
            def frozen(self, epoch):
                return ("encoder/**",) if epoch < 3 else ()
    """

    def frozen(self, epoch: int) -> tuple[str, ...]:
        """Globs of what does not learn in this epoch: a function of the epoch alone."""
        raise TrainError(
            explain(
                f"{type(self).__name__} does not say what is frozen.",
                got="no method `frozen`",
                expected="def frozen(self, epoch) that returns a tuple of globs",
                fix="return ('encoder/**',) for the epochs in which the encoder does not learn.",
            )
        )

    def configure(self, plan: Plan, epoch: int) -> Plan:
        more = self.frozen(epoch)
        return plan.change(freeze=plan.task.freeze + tuple(more)) if more else plan


class BackboneFinetuning(BaseFinetuning):
    """Train the head alone at first; then the backbone too, at a rate that grows to the head's.

    Args:
      backbone: glob of the backbone's parameters.
      unfreeze_backbone_at_epoch: the epoch, counted from 0, in which the backbone begins to learn.
      lambda_func: `epoch -> factor` by which the backbone's rate grows in that epoch.
      backbone_initial_ratio_lr: the backbone's first rate, as a part of the head's.
      backbone_initial_lr: the backbone's first rate itself, of a task whose `lr` is a number.
      should_align: keep the backbone's rate at the head's once it has grown to it.

    >>> callback = BackboneFinetuning("encoder/**", unfreeze_backbone_at_epoch=2)
    """

    def __init__(
        self,
        backbone: str = "backbone/**",
        *,
        unfreeze_backbone_at_epoch: int = 10,
        lambda_func: Callable[[int], float] = lambda epoch: 2.0,
        backbone_initial_ratio_lr: float = 0.1,
        backbone_initial_lr: float | None = None,
        should_align: bool = True,
    ) -> None:
        check_counts(0, unfreeze_backbone_at_epoch=unfreeze_backbone_at_epoch)
        check_numbers(0, backbone_initial_ratio_lr=backbone_initial_ratio_lr)
        check_numbers(0, optional=True, backbone_initial_lr=backbone_initial_lr)
        self.backbone = backbone
        self.unfreeze_backbone_at_epoch = unfreeze_backbone_at_epoch
        self.lambda_func = lambda_func
        self.backbone_initial_ratio_lr = backbone_initial_ratio_lr
        self.backbone_initial_lr = backbone_initial_lr
        self.should_align = should_align

    def frozen(self, epoch: int) -> tuple[str, ...]:
        return (self.backbone,) if epoch < self.unfreeze_backbone_at_epoch else ()

    def configure(self, plan: Plan, epoch: int) -> Plan:
        if self.frozen(epoch):
            return super().configure(plan, epoch)
        task = plan.task
        if task.lr is None or isinstance(task.lr, Mapping) or isinstance(task.tx, Mapping):
            raise TrainError(
                explain(
                    "BackboneFinetuning makes the groups of parameters itself.",
                    got=f"tx={task.tx!r:.60}, lr={task.lr!r:.60}",
                    expected="one factory and one rate, such as tx=optax.adamw, lr=1e-3",
                    fix="give the task these, or write {glob: rate} for `lr` without the callback.",
                )
            )
        groups = {self.backbone: task.tx, "**": task.tx}
        return plan._replace(task=dataclasses.replace(task, tx=groups))

    def on_epoch_start(self, run: Run) -> None:
        if run.epoch < self.unfreeze_backbone_at_epoch:
            return
        assert run.plan is not None
        lr: Any = run.plan.task.lr
        opt_state = set_rate(run.state.opt_state, self.backbone, lr, self._ratio(run))
        run.state = run.state.replace(opt_state=opt_state)

    def _ratio(self, run: Run) -> float:
        ratio = self.backbone_initial_ratio_lr
        assert run.plan is not None
        lr: Any = run.plan.task.lr
        if self.backbone_initial_lr is not None:
            if callable(lr):
                raise TrainError(
                    explain(
                        "`backbone_initial_lr` beside a schedule has no meaning.",
                        got=f"lr={lr!r:.60}",
                        expected="a number, or backbone_initial_ratio_lr",
                        fix="write backbone_initial_ratio_lr=0.1.",
                    )
                )
            ratio = self.backbone_initial_lr / lr
        for epoch in range(self.unfreeze_backbone_at_epoch + 1, run.epoch + 1):
            ratio *= self.lambda_func(epoch)
            if self.should_align:
                ratio = min(ratio, 1.0)
        return ratio
