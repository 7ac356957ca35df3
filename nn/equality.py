"""When are two configurations the same? A key for equality and hash that never says yes wrongly.

Modules are static arguments of compiled functions, so two modules that compare equal share one
compiled program. Python's own equality is too coarse for that (``1 == True == 1.0``, ``0.0 ==
-0.0``) and, for functions, too fine (two calls of ``normal(0.02)`` give unequal closures).
"""

from __future__ import annotations

import functools
import types
from collections.abc import Hashable
from typing import Any

import jax

_SCALARS = (str, bytes, bool, int, type(None), type(Ellipsis))


class _Same:
    """Compares by identity and keeps its object alive, so that an ``id`` is never reused."""

    __slots__ = ("value",)

    def __init__(self, value: Any):
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)


def static_key(value: Any, tracers: list[Any] | None = None) -> Hashable:
    """A hashable key, equal for two values exactly where one may stand for the other.

    Types count, floats compare by their bits, containers and closures by content, everything
    unhashable (arrays above all) by identity. Tracers met on the way are appended to `tracers`.

    >>> static_key(1) == static_key(True)
    False
    >>> make = lambda scale: lambda x: x * scale
    >>> static_key(make(2)) == static_key(make(2)), static_key(make(2)) == static_key(make(3))
    (True, False)
    """
    return _key(value, [] if tracers is None else tracers, {})


def _key(value: Any, tracers: list[Any], open_: dict[int, int]) -> Hashable:
    kind = type(value)
    if kind in _SCALARS:
        return (kind, value)
    if kind is float:
        return (kind, value.hex())
    if kind is complex:
        return (kind, value.real.hex(), value.imag.hex())
    if isinstance(value, jax.core.Tracer):
        tracers.append(value)
        return _Same(value)
    if hasattr(kind, "_static_key"):  # a Module
        return value._static_key()
    if id(value) in open_:  # a recursive function reaches itself through its closure
        return ("recursive", open_[id(value)])
    open_[id(value)] = len(open_)
    try:
        return _compound(value, lambda part: _key(part, tracers, open_))
    finally:
        del open_[id(value)]


def _compound(value: Any, key: Any) -> Hashable:
    kind = type(value)
    if isinstance(value, (tuple, list)):
        return (kind, *map(key, value))
    if isinstance(value, dict):  # in order: a module may iterate
        return (kind, *((key(k), key(v)) for k, v in value.items()))
    if isinstance(value, (set, frozenset)):
        return (kind, frozenset(map(key, value)))
    if kind is slice:  # hashable since Python 3.12, and then by 1 == True
        return (kind, key(value.start), key(value.stop), key(value.step))
    if isinstance(value, functools.partial):
        return (kind, key(value.func), key(value.args), key(value.keywords))
    if hasattr(kind, "_static_parts"):  # an initialiser
        return value._fixed_key or (kind, *map(key, value._static_parts()))
    if isinstance(value, types.MethodType):
        return (kind, key(value.__self__), key(value.__func__))
    if isinstance(value, types.FunctionType):
        return (
            kind,
            value.__code__,
            id(value.__globals__),
            key(value.__defaults__),
            key(value.__kwdefaults__),
            tuple(_cell(cell, key) for cell in value.__closure__ or ()),
        )
    try:
        hash(value)
    except TypeError:
        return _Same(value)
    return (kind, value)


def _cell(cell: Any, key: Any) -> Hashable:
    try:
        return key(cell.cell_contents)
    except ValueError:  # not assigned yet
        return "empty cell"
