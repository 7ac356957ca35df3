"""A callback without a class."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import TrainError, explain
from .base import Callback


class LambdaCallback(Callback):
    """Functions in place of methods.

    Args:
      hooks: methods of `Callback` by name, without `self`.

    >>> callback = LambdaCallback(on_log=lambda run, row: print(row["step"]))
    """

    def __init__(self, **hooks: Callable[..., Any]) -> None:
        known = [name for name in vars(Callback) if name.startswith("on_") or name == "configure"]
        for name, hook in hooks.items():
            if name not in known:
                raise TrainError(
                    explain(
                        "A callback has no such method.",
                        got=repr(name),
                        expected=f"one of {', '.join(known)}",
                        fix="see train.Callback for what each is called with.",
                    )
                )
            setattr(self, name, hook)
