"""Which call took an array: asked when a donated array is used again.

A function that donates remembers its first and its last call: the donated arguments, whose memory
is gone, and the line. Nothing else is kept alive.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import jax

from jaxcore.errors.describe import describe_source
from jaxcore.source import Source

__all__ = ["Donation", "donors", "taken_by"]


@dataclass(frozen=True, slots=True)
class Donation:
    """One call: the donated arguments by name, and the line of the call."""

    arguments: dict[str, Any]
    source: Source


class Donor(Protocol):
    """A function that takes the memory of arguments."""

    __name__: str

    @property
    def donations(self) -> list[Donation]: ...


donors: weakref.WeakSet[Any] = weakref.WeakSet()


def taken_by(x: Any) -> str:
    """``donated as state['w'] to the call of step at file:line: the line``; empty where nobody
    knows.
    """
    for donor in list(donors):
        for donation in donor.donations:
            for path in _paths(donation, x):
                where = describe_source(donation.source)
                return f"donated as {path} to the call of {donor.__name__} at {where}"
    return ""


def _paths(donation: Donation, x: Any) -> Iterator[str]:
    for name, tree in donation.arguments.items():
        for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
            if leaf is x:
                yield name + jax.tree_util.keystr(path)
