"""Which line of the user's failed: read from the traceback, and from the stack around it."""

from __future__ import annotations

import ast
import linecache
import os
import sys
import sysconfig
from dataclasses import dataclass
from types import CodeType, FrameType, TracebackType
from typing import Any

from jaxcore.source import is_engine, is_internal

__all__ = ["Failure", "Spot", "expression", "locate"]

_LIBRARIES = tuple(
    {os.path.join(p, "") for p in map(sysconfig.get_path, ("stdlib", "purelib", "platlib")) if p}
)


@dataclass(frozen=True, slots=True)
class Spot:
    """A frame and where in it the program was."""

    frame: FrameType
    instruction: int
    line: int

    @property
    def filename(self) -> str:
        return self.frame.f_code.co_filename

    @property
    def text(self) -> str:
        return linecache.getline(self.filename, self.line, self.frame.f_globals).strip()

    def __str__(self) -> str:
        text = f": {self.text}" if self.text else ""
        return f"{self.filename}:{self.line} ({self.frame.f_code.co_qualname}){text}"


@dataclass(frozen=True, slots=True)
class Failure:
    """Where an error came from.

    Attributes:
      user: the innermost line of the user's.
      operation: the innermost line outside the engine, which may be one of a layer's.
      called, user_called: the frames that they called; None if there is none.
    """

    user: Spot
    operation: Spot
    called: FrameType | None
    user_called: FrameType | None


def locate(traceback: TracebackType | None) -> Failure | None:
    """The failure that a traceback shows; None where the user's own code raised the error, and
    where there is no code of the user's.
    """
    inner = []
    while traceback is not None:
        inner.append(Spot(traceback.tb_frame, traceback.tb_lasti, traceback.tb_lineno))
        traceback = traceback.tb_next
    if inner and not _is_library(inner[-1].filename):
        return None
    spots = inner
    at = _last_user(spots)
    if at is None:
        outer = _stack(inner[0].frame.f_back if inner else sys._getframe(1))
        spots = [*outer, *inner]
        at = _last_user(spots)
    if at is None:
        return None
    last = max(i for i, spot in enumerate(spots) if i == at or not is_engine(spot.filename))
    called = [spot.frame for spot in spots[1:]] + [None]
    return Failure(spots[at], spots[last], called[last], called[at])


def _stack(frame: FrameType | None) -> list[Spot]:
    spots = []
    while frame is not None:
        spots.append(Spot(frame, frame.f_lasti, frame.f_lineno))
        frame = frame.f_back
    return spots[::-1]


def _last_user(spots: list[Spot]) -> int | None:
    """The innermost line outside every library; code that is installed counts where there is no
    other.
    """
    own = [i for i, spot in enumerate(spots) if not _is_library(spot.filename)]
    installed = [i for i, spot in enumerate(spots) if not is_internal(spot.filename)]
    found = own or installed
    return found[-1] if found else None


def _is_library(filename: str) -> bool:
    return is_internal(filename) or filename.startswith(_LIBRARIES)


def expression(code: CodeType, instruction: int) -> ast.AST | None:
    """The expression, or augmented assignment, that an instruction belongs to."""
    positions = list(code.co_positions())[instruction // 2]
    line, end_line, column, end_column = positions
    if line is None or end_line is None or column is None or end_column is None:
        return None
    lines = [linecache.getline(code.co_filename, n).encode() for n in range(line, end_line + 1)]
    if not all(lines):
        return None
    lines[-1] = lines[-1][:end_column]
    lines[0] = lines[0][column:]
    segment = b"".join(lines).decode(errors="replace")
    return _parsed(f"({segment})") or _parsed(segment)


def _parsed(text: str) -> Any:
    try:
        body = ast.parse(text).body
    except (SyntaxError, ValueError):
        return None
    if len(body) != 1:
        return None
    return body[0].value if isinstance(body[0], ast.Expr) else body[0]
