"""A callback without a class."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ..arguments import unknown_argument
from ..run import Run
from ..units import Duration, Unit, check_duration, is_over
from .base import Callback

_EVENTS = [name for name in vars(Callback) if name.startswith("on_")]
_MAKE = "configure", "inside_step"  # what the step is made from
_OUTSIDE = "on_validation", "on_test", "on_predict"  # events that there are without a run, too


class LambdaCallback(Callback):
    """Functions in place of methods, and when they are called.

    Args:
      every: call only at multiples of this; a call of several steps ends there.
      after: call only once the run is that far; `before`: only until then.
      only: `run -> bool`: call only if it is true.
      hooks: methods of `Callback` by name, without `self`. The conditions hold for the events of
        a run, not for those of a validation, test or prediction.

    >>> from jaxcore import train
    >>> callback = LambdaCallback(on_log=lambda run, row: print(row["step"]))
    >>> show = lambda run: print(run.step)
    >>> callback = LambdaCallback(on_step_end=show, every=train.Steps(100), after=train.Epochs(1))
    """

    def __init__(
        self,
        *,
        every: Duration | None = None,
        after: Unit | None = None,
        before: Unit | None = None,
        only: Callable[[Run], bool] | None = None,
        **hooks: Callable[..., Any],
    ) -> None:
        for name, value in (("every", every), ("after", after), ("before", before)):
            if value is not None:
                check_duration(name, value, fraction=name == "every")
        self.every = every
        self.after = after
        self.before = before
        self.only = only
        for name, hook in hooks.items():
            if name not in (*_EVENTS, *_MAKE):
                conditions = ["every", "after", "before", "only"]
                raise unknown_argument("LambdaCallback", name, [*_EVENTS, *_MAKE, *conditions])
            of_run = name in _EVENTS and not name.startswith(_OUTSIDE)
            setattr(self, name, functools.partial(self._if_due, hook) if of_run else hook)

    def _if_due(self, hook: Callable[..., Any], run: Run, *details: Any) -> None:
        if (
            (self.every is None or run.is_due(self.every))
            and (self.after is None or is_over(self.after, run.position))
            and (self.before is None or not is_over(self.before, run.position))
            and (self.only is None or self.only(run))
        ):
            hook(run, *details)
