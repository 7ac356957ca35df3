"""A mistake: code that is wrong on the line marked ``# wrong``, and what its message must say.

The code takes a library (ours, or JAX), so that the class of the error is compared with JAX's. The
message must name the line, its text, the operands with full types, and what to do.
"""

from __future__ import annotations

import inspect
import linecache
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import jax
import numpy as np
import optax
import pytest

import jaxcore
import jaxcore.nn
import jaxcore.train

X = np.ones((2, 8), np.float32)
W = np.ones((9, 4), np.float32)
N = np.arange(3, dtype=np.int32)


@dataclass(frozen=True)
class Mistake:
    """Code, the class of the error, and parts of its message."""

    code: Callable[[Any], Any]
    kind: type[Exception]
    parts: tuple[str, ...]
    only_ours: bool

    @property
    def name(self) -> str:
        return self.code.__name__

    @property
    def line(self) -> int:
        """The number of the marked line."""
        lines, first = inspect.getsourcelines(self.code)
        (offset,) = (i for i, text in enumerate(lines) if text.rstrip().endswith("# wrong"))
        return first + offset


def table() -> tuple[list[Mistake], Callable[..., Any]]:
    """A list, and the decorator that adds code to it.

    ``@mistake(kind, *parts)``; with ``only_ours=True`` JAX raises nothing, or does not have it.
    """
    rows: list[Mistake] = []

    def mistake(kind: type[Exception], *parts: str, only_ours: bool = False) -> Any:
        def add(code: Callable[[Any], Any]) -> Callable[[Any], Any]:
            rows.append(Mistake(code, kind, parts, only_ours))
            return code

        return add

    return rows, mistake


def raised(code: Callable[[Any], Any], library: ModuleType) -> Exception:
    """What the code raises with this library."""
    try:
        code(library)
    except Exception as error:
        return error
    pytest.fail(f"{code.__name__} raises nothing with {library.__name__}")


def check(mistake: Mistake) -> None:
    """The class is JAX's, and the message says where, what and how to go on."""
    error = raised(mistake.code, jaxcore)
    message = str(error)
    assert isinstance(error, mistake.kind), repr(error)
    if not mistake.only_ours:
        theirs = type(raised(mistake.code, jax))
        public = next(c for c in theirs.__mro__ if c.__module__ in ("builtins", "jax.errors"))
        assert isinstance(error, public), f"JAX raises {public.__name__}: {message}"
    file = mistake.code.__code__.co_filename
    assert f"{file}:{mistake.line}" in message, message
    assert linecache.getline(file, mistake.line).strip() in message, message
    for part in (*mistake.parts, "Fix:"):
        assert part in message, message


__all__ = ["N", "W", "X", "Mistake", "check", "jax", "jaxcore", "np", "optax", "raised", "table"]
