"""Types, values and places as messages show them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from jaxcore import backend

if TYPE_CHECKING:
    from jaxcore.source import Source

__all__ = ["describe_source", "describe_type", "format_aval", "is_arraylike", "shorten"]


def format_aval(aval: Any) -> str:
    """``float32[3,4]``; a leading ``~`` marks a weak type."""
    return str(aval)


def is_arraylike(x: Any) -> bool:
    """True for what has a shape and a dtype: arrays, tracers, NumPy's arrays and scalars."""
    return isinstance(x, jax.Array | backend.Tracer | np.ndarray | np.generic)


def describe_type(x: Any) -> str:
    """The full type of an array (NumPy's own dtype of a NumPy array), else the class."""
    if isinstance(x, np.ndarray | np.generic):
        return f"{x.dtype}[{','.join(map(str, x.shape))}]"
    if isinstance(x, jax.Array | backend.Tracer):
        from jaxcore.trace import aval_of

        return format_aval(aval_of(x))
    return type(x).__name__


def describe_source(source: Source | None) -> str:
    """``file:line (function) in module path: the line itself``."""
    if source is None or source.code is None:
        return "an unknown line"
    text = f": {source.text}" if source.text else ""
    path = f" in module {source.path}" if source.path else ""
    return f"{source.filename}:{source.line} ({source.function}){path}{text}"


def shorten(text: str, limit: int = 60) -> str:
    """`text` on one line, its middle left out where it is long."""
    text = " ".join(text.split())
    if len(text) <= limit:
        return text
    return f"{text[: limit // 2]}...{text[-limit // 2 + 3 :]}"
