"""How a module prints: a tree of its fields, defaults left out."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .module import Module


def tree_repr(module: Module) -> str:
    """The module as an indented tree.

    >>> from jaxcore import nn
    >>> nn.Sequential([nn.Dense(4), nn.relu])
    Sequential(
      layers=[
        Dense(features=4),
        relu,
      ],
    )
    """
    parts = []
    for field in dataclasses.fields(module):
        value = getattr(module, field.name)
        if value is field.default or _is_plain_default(value, field.default):
            continue
        parts.append(f"{field.name}={_text(value)}")
    return _join(f"{type(module).__name__}(", parts, ")")


def _is_plain_default(value: Any, default: Any) -> bool:
    plain = (bool, int, float, str, tuple, type(None))
    return type(value) is type(default) and isinstance(value, plain) and value == default


def _text(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return _join("[", [_text(v) for v in value], "]") if _deep(value) else repr(value)
    if isinstance(value, dict):
        return _join("{", [f"{k!r}: {_text(v)}" for k, v in value.items()], "}")
    if isinstance(value, functools.partial):
        return f"partial({_text(value.func)})"
    if isinstance(value, type):
        return value.__name__
    return getattr(value, "__name__", None) or repr(value)


def _deep(value: Any) -> bool:
    return any(hasattr(type(v), "_static_key") or callable(v) for v in value)


def _join(start: str, parts: list[str], end: str) -> str:
    line = start + ", ".join(parts) + end
    if len(line) <= 60 and "\n" not in line and start[0] not in "[{":
        return line
    body = "".join(f"{part},\n" for part in parts)
    indented = "".join(f"  {row}\n" for row in body.splitlines())
    return f"{start}\n{indented}{end}"
