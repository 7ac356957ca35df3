"""State that a function writes beside its result, threaded through transformations.

A layer above (modules) keeps state that code inside a traced function may write. Such a value must
leave the function as an output, and be written again outside. Whoever keeps state registers an
opener here; `jit` and the derivatives collect what was written inside and deliver it outside.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, Protocol

__all__ = ["Keeper", "SideState", "active", "register"]


class Keeper(Protocol):
    """Collects writes while it is entered.

    `leave` gives the values written, flat, as they are inside; `arrive` gets them as they are
    outside, in the same order.
    """

    def __enter__(self) -> Any: ...
    def __exit__(self, *exception: Any) -> None: ...
    def leave(self) -> list[Any]: ...
    def arrive(self, values: Sequence[Any]) -> None: ...


_openers: list[Callable[[], Keeper | None]] = []


def register(opener: Callable[[], Keeper | None]) -> None:
    """Ask `opener` at each transformation of a function; None: there is no state to keep now."""
    _openers.append(opener)


def active() -> bool:
    """True while somebody keeps state: a function may then read or write more than it shows."""
    return any(opener() is not None for opener in _openers)


class SideState:
    """The values one traced function wrote."""

    def __init__(self) -> None:
        self.keepers: list[tuple[Keeper, int]] = []
        self.n_outputs: int | None = None

    def wrap(self, fun: Callable[..., Sequence[Any]]) -> Callable[..., list[Any]]:
        """`fun` with the values it wrote as further outputs."""

        def with_state(*args: Any) -> list[Any]:
            keepers = [k for k in (opener() for opener in _openers) if k is not None]
            with ExitStack() as stack:
                for keeper in keepers:
                    stack.enter_context(keeper)
                outputs = list(fun(*args))
            self.n_outputs = len(outputs)
            self.keepers = []
            for keeper in keepers:
                values = keeper.leave()
                self.keepers.append((keeper, len(values)))
                outputs += values
            return outputs

        return with_state

    def deliver(self, outputs: Sequence[Any]) -> list[Any]:
        """Write the further outputs outside; returns the function's own."""
        at = self.n_outputs or 0
        for keeper, count in self.keepers:
            if count:
                keeper.arrive(outputs[at : at + count])
            at += count
        return list(outputs[: self.n_outputs])
