"""Where an equation comes from: the user's line and the path of modules that was open when it was
recorded.
"""

from __future__ import annotations

import linecache
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from inspect import CO_GENERATOR
from types import CodeType, FrameType
from typing import Any, TypeVar

from jaxcore import backend

__all__ = ["HERE", "Source", "current_source", "name_scope", "named_call", "resolved", "use_source"]

_R = TypeVar("_R")

_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep


class Source:
    """A place in the user's code, resolved to a line only when somebody asks.

    Attributes:
      code, instruction: the code object and the index of its running instruction.
      path: module path such as ``"encoder/layer_3"``; relative to the enclosing shared function.
      phase: what of the line it computes: its value ("forward"), what its derivative needs
        ("derivative"), or cotangents that run back through it ("backward").
    """

    __slots__ = ("code", "instruction", "path", "phase")

    def __init__(
        self, code: CodeType | None, instruction: int, path: str, phase: str = "forward"
    ) -> None:
        self.code = code
        self.instruction = instruction
        self.path = path
        self.phase = phase

    def during(self, phase: str) -> Source:
        """The same place in a later phase; a phase that is later already stays."""
        if _PHASES[phase] <= _PHASES[self.phase]:
            return self
        return Source(self.code, self.instruction, self.path, phase)

    @property
    def filename(self) -> str:
        return self.code.co_filename if self.code is not None else "<unknown>"

    @property
    def line(self) -> int:
        if self.code is None:
            return 0
        for start, end, line in self.code.co_lines():
            if start <= self.instruction < end and line is not None:
                return line
        return self.code.co_firstlineno

    @property
    def function(self) -> str:
        return self.code.co_qualname if self.code is not None else "<unknown>"

    @property
    def text(self) -> str:
        """The user's own line, stripped; empty where the file is gone."""
        return linecache.getline(self.filename, self.line).strip()

    def __str__(self) -> str:
        place = f"{self.filename}:{self.line} ({self.function})"
        return f"{self.path} at {place}" if self.path else place


_PHASES = {"forward": 0, "derivative": 1, "backward": 2}
_ELSEWHERE = -1
HERE = Source(None, _ELSEWHERE, "")
"""Where an equation will be, once the memoised program that holds it is used (see `resolved`)."""


def resolved(source: Source) -> Source:
    """`source`; for `HERE`, the place that is current now."""
    if source.instruction != _ELSEWHERE:
        return source
    return current_source().during(source.phase)


class _State(threading.local):
    def __init__(self) -> None:
        self.path = ""
        self.source: Source | None = None
        self.frames: dict[FrameType, Source] = {}
        self.outer: tuple[str, ...] = ()  # paths at the calls of the open shared functions


_state = _State()
_internal: dict[str, bool] = {}
_installed = os.path.isdir(os.path.join(_HERE, "nn"))  # else the layers stand beside us
_above = _HERE if _installed else os.path.dirname(os.path.dirname(_HERE))
_layer_roots = tuple(os.path.join(_above, layer) + os.sep for layer in ("nn", "train"))
_hidden_roots = (_HERE, *_layer_roots)


def is_engine(filename: str) -> bool:
    """True for internal files below the layers of modules and training."""
    return is_internal(filename) and not os.path.abspath(filename).startswith(_layer_roots)


def is_library(filename: str) -> bool:
    """True for files of the engine and of the modules, whose own functions are nobody's concern."""
    path = os.path.abspath(filename)
    return path.startswith((_HERE, _layer_roots[0])) and not path.startswith(_layer_roots[1])


def is_replaying() -> bool:
    """True while equations of a program are applied again: the running line says nothing then."""
    return _state.source is not None and _state.source.instruction != _ELSEWHERE


def is_internal(filename: str) -> bool:
    """True for files of jaxcore, JAX and what stands between them and the user."""
    known = _internal.get(filename)
    if known is None:
        known = backend.source_file_is_jax(filename) or filename.startswith("<frozen")
        known = known or os.path.abspath(filename).startswith(_hidden_roots)
        known = known or f"{os.sep}site-packages{os.sep}optax{os.sep}" in filename
        known = known or filename.endswith(("contextlib.py", "functools.py"))
        _internal[filename] = known
    return known


def current_source() -> Source:
    """The innermost frame outside jaxcore and JAX, with the open module path."""
    state = _state
    if state.source is not None:
        return state.source
    frame: FrameType | None = sys._getframe(2)
    known, path, walked = _internal, state.path, 0
    while frame is not None:
        code = frame.f_code
        internal = known.get(code.co_filename)
        if internal is None:
            internal = is_internal(code.co_filename)
        if not internal:
            source = Source(code, frame.f_lasti, path)
            if walked > _DEEP:
                _remember_frames(source)
            return source
        if walked >= _DEEP:
            found = state.frames.get(frame)
            if found is not None and found.path == path:
                return found
        walked += 1
        frame = frame.f_back
    return Source(None, 0, path)


_DEEP = 4


def _remember_frames(source: Source) -> None:
    """Let the frames between the user's line and here be a short cut to it.

    While such a frame runs, what called it stands still: a library that maps one function over
    hundreds of leaves is walked through once. Generators may be resumed from elsewhere.
    """
    frames = _state.frames
    frames.clear()
    frame: FrameType | None = sys._getframe(3)
    while frame is not None and frame.f_code is not source.code:
        if not frame.f_code.co_flags & CO_GENERATOR:
            frames[frame] = source
        frame = frame.f_back


def forget_frames() -> None:
    """Let go of the frames that `current_source` remembered; a trace that ends calls it."""
    if _state.frames:
        _state.frames.clear()


@contextmanager
def use_source(source: Source | None) -> Iterator[None]:
    """Give equations recorded inside `source` instead of the running line (None: the running line
    again).
    """
    previous = _state.source
    _state.source = source
    try:
        yield
    finally:
        _state.source = previous


def swap_source(source: Source | None) -> Source | None:
    """`use_source` for hot loops: set, and return what was there before."""
    previous = _state.source
    _state.source = source
    return previous


@contextmanager
def name_scope(name: str) -> Iterator[None]:
    """Open the module path component `name`: equations recorded inside carry it.

    Example:
      >>> import jaxcore
      >>> def f(x):
      ...     with jaxcore.name_scope("encoder"):
      ...         return x + 1.0
      >>> jaxcore.make_jaxpr(f)(2.0).equations[0].source.path
      'encoder'
    """
    previous = _state.path
    _state.path = f"{previous}/{name}" if previous else name
    try:
        yield
    except Exception as error:
        if not hasattr(error, "module_path"):
            error.module_path = module_path(error)  # type: ignore[attr-defined]
        raise
    finally:
        _state.path = previous


def named_call(fun: Callable[..., _R], *, name: str | None = None) -> Callable[..., _R]:
    """`fun`, called inside ``name_scope(name)``; its own name is the default.

    Example:
      >>> import jaxcore
      >>> f = jaxcore.named_call(lambda x: x + 1.0, name="encoder")
      >>> jaxcore.make_jaxpr(f)(2.0).equations[0].source.path
      'encoder'
    """
    scope = getattr(fun, "__name__", "call") if name is None else name

    @wraps(fun)
    def named(*args: Any, **kwargs: Any) -> _R:
        with name_scope(scope):
            return fun(*args, **kwargs)

    return named


def module_path(error: Exception) -> str:
    """The absolute path of the modules that were open where `error` was raised."""
    found = getattr(error, "module_path", None)
    return "/".join(p for p in (*_state.outer, _state.path) if p) if found is None else found


@contextmanager
def relative_path() -> Iterator[None]:
    """Start an empty module path: in what an equation calls, locations are relative to it."""
    previous, source, outer = _state.path, _state.source, _state.outer
    _state.path, _state.outer = "", (*outer, previous)
    if source is not None and source.path:
        _state.source = Source(source.code, source.instruction, "", source.phase)
    try:
        yield
    finally:
        _state.path, _state.source, _state.outer = previous, source, outer


@contextmanager
def fresh_path() -> Iterator[None]:
    """`relative_path` for a function of the user's, whose own lines count."""
    previous, source, outer = _state.path, _state.source, _state.outer
    _state.path, _state.source, _state.outer = "", None, (*outer, previous)
    try:
        yield
    finally:
        _state.path, _state.source, _state.outer = previous, source, outer
