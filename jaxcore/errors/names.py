"""What a value is called: the leaf of a function's arguments, or the parameter of a module.

Nothing is looked up before an error happens. While a function of the user's runs, a stack holds
ways to find names; a value is then found by identity, through the tracers that stand for it.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from jaxcore import backend

__all__ = ["Finder", "Name", "argument_names", "boundaries", "name_of", "stand_ins"]


@dataclass(frozen=True, slots=True)
class Name:
    """The name of a value.

    Attributes:
      short: as an operand is called, ``blocks_1/up/kernel``; empty where the user's own variable
        says it better.
      full: where it is, ``params['blocks_1']['up']['kernel'] of step``, or empty.
    """

    short: str
    full: str = ""


Finder = Callable[[Any], Name | None]


class _Stack(threading.local):
    def __init__(self) -> None:
        self.boundaries: list[Any] = []


_stack = _Stack()


def boundaries() -> list[Any]:
    """The functions of the user's that run in this thread, the innermost last."""
    return _stack.boundaries


def name_of(x: Any) -> Name | None:
    """The name of a value, if it has one."""
    while x is not None:
        for boundary in reversed(_stack.boundaries):
            found = boundary.find(x) if boundary.find is not None else None
            if found is not None:
                return found
        x = _behind(x)
    return None


def _behind(x: Any) -> Any:
    """The value of the trace outside that a tracer carries, or None."""
    if not isinstance(x, backend.Tracer):
        return None
    primal = getattr(x, "primal", None)
    return getattr(x, "value", None) if primal is None else primal


def argument_names(
    values: Sequence[Any], path: Callable[[int], str], function: str, outer: Sequence[Any] = ()
) -> Finder:
    """Names of the flat arguments of a function: `path(i)` is ``params['w']``.

    `outer` are the values that the caller passed; a leaf that has a name there keeps it.
    """

    def find(x: Any) -> Name | None:
        for i, value in enumerate(values):
            if value is x:
                known = name_of(outer[i]) if i < len(outer) and outer[i] is not x else None
                if known is not None and known.short:
                    return known
                return _leaf(path(i), function)
        return None

    return find


def _leaf(path: str, function: str) -> Name:
    """``params['w'].value`` is called ``w/value``; numbers alone say less than a variable."""
    keys = re.findall(r"\['?([^\]']+)'?\]|\.(\w+)", path)
    parts = ["".join(key) for key in keys]
    if path.startswith(("args[", "kwargs[")):  # the first key is the argument's own name
        parts = parts[1:]
    short = "" if all(part.isdigit() for part in parts) else "/".join(parts)
    return Name(short, f"{path} of {function}")


def stand_ins(values: Sequence[Any], outer: Sequence[Any]) -> Finder:
    """Names of values that stand for those of a caller."""

    def find(x: Any) -> Name | None:
        for value, given in zip(values, outer, strict=False):
            if value is x and given is not x:
                return name_of(given)
        return None

    return find
