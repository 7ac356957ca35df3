"""Errors: the user's line, the full types, the fix. Classes are JAX's, so that existing handlers
keep working.
"""

from __future__ import annotations

import linecache
from collections.abc import Sequence
from inspect import CO_VARARGS
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol

import jax
import numpy as np

from jaxcore import backend, namespaces
from jaxcore.source import is_internal

if TYPE_CHECKING:
    from jaxcore.source import Source

__all__ = ["UnexpectedTracerError", "check_live", "format_aval", "explain", "with_source"]

UnexpectedTracerError = jax.errors.UnexpectedTracerError


def format_aval(aval: Any) -> str:
    """``float32[3,4]``; a leading ``~`` marks a weak type."""
    return str(aval)


def describe_source(source: Source | None) -> str:
    """``file:line (function): the line itself``."""
    if source is None or source.code is None:
        return "an unknown line"
    text = f": {source.text}" if source.text else ""
    path = f" in module {source.path}" if source.path else ""
    return f"{source.filename}:{source.line} ({source.function}){path}{text}"


class _Named(Protocol):
    """What a message names: a primitive, or a function that stands in for one."""

    name: str


def with_source(
    error: Exception, primitive: _Named, avals: Sequence[Any], source: Source
) -> Exception:
    """The same error with the operands' full types and the user's line added once."""
    message = str(error)
    if "Your line:" in message:
        return error
    operands = ", ".join(format_aval(a) for a in avals)
    line = describe_source(source)
    text = f"{message}\n  Operands of {primitive.name}: {operands}\n  Your line: {line}"
    try:
        return type(error)(text)
    except TypeError:
        return TypeError(text)


def explain(error: Exception) -> None:
    """Add to an error raised inside the library the user's line and the operands' full types.

    Called where an exception leaves a traced function: the traceback tells which line of the
    user's called which function with what, so the functions themselves need not keep track.
    """
    message = str(error)
    if "Your line:" in message or not isinstance(error, TypeError | ValueError | IndexError):
        return
    frames = []
    tb = error.__traceback__
    while tb is not None:
        frames.append((tb.tb_frame, tb.tb_lineno))
        tb = tb.tb_next
    users = [i for i, (f, _) in enumerate(frames) if not is_internal(f.f_code.co_filename)]
    if not users or users[-1] == len(frames) - 1:  # raised by the user's own code
        return
    frame, line = frames[users[-1]]
    called = frames[users[-1] + 1][0]
    text = linecache.getline(frame.f_code.co_filename, line).strip()
    where = f"{frame.f_code.co_filename}:{line} ({frame.f_code.co_qualname})"
    operands = _operands(called)
    shown = f"\n  Operands: {operands}" if operands else ""
    error.args = (f"{message}{shown}\n  Your line: {where}: {text}", *error.args[1:])


def _operands(frame: FrameType) -> str:
    """``name: type`` of the array arguments of a running function."""
    from jaxcore.trace import aval_of

    code = frame.f_code
    count = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & CO_VARARGS)
    found = []
    for name in code.co_varnames[:count]:
        value = frame.f_locals.get(name)
        values = value if isinstance(value, tuple | list) else (value,)
        for i, x in enumerate(values):
            if isinstance(x, jax.Array | backend.Tracer | np.ndarray):
                label = f"{name}[{i}]" if values is value else name
                found.append(f"{label}: {format_aval(aval_of(x))}")
    return ", ".join(found)


def origin(tracer: Any) -> str:
    """Said under JAX's conversion errors: where the value was made and what to do."""
    where = getattr(tracer, "source", None)
    if where is not None:
        made = f"\nThe value was made at {describe_source(where)}"
    elif type(tracer).__name__ == "StageTracer":
        made = "\nThe value is an argument of the traced function"
    else:
        made = "\nThe value depends on an argument of the transformed function"
    name = getattr(tracer._trace, "name", None)
    inside = f" while tracing {name}." if name else "."
    return (
        f"{made}, it has type {format_aval(tracer.aval)}{inside}\n"
        "Fix: use jaxcore.numpy.where or jaxcore.lax.cond for a choice that depends on it, "
        "jaxcore.numpy instead of "
        "numpy for arithmetic, or mark the argument static (jit(..., static_argnames=...)) if it "
        "is a plain Python value."
    )


def check_live(x: Any) -> None:
    """Raise for a tracer whose trace has ended."""
    if not x._trace.is_valid():
        raise leaked(x)


def leaked(x: Any) -> Exception:
    """The error for a tracer that outlived its trace."""
    where = describe_source(getattr(x, "source", None))
    name = getattr(x._trace, "name", type(x._trace).__name__)
    return UnexpectedTracerError(
        f"A traced value of type {format_aval(x.aval)} is used after the tracing of '{name}' has "
        f"ended "
        f"(a leaked tracer).\n  It was made at {where}.\n"
        "Fix: return the value from the function instead of storing it in a list, attribute or "
        "global, and do not "
        "keep values across calls of a traced function."
    )


def not_an_array(x: Any, where: str) -> TypeError:
    """The error for a leaf that is not a valid array."""
    return TypeError(
        f"{where} is {x!r} of type {type(x).__name__}, which is not a valid JAX type: expected "
        f"an array, a NumPy array "
        "or a Python number.\nFix: convert it, or mark the argument static with static_argnums "
        "or static_argnames."
    )


def deleted(x: Any, where: str) -> Exception:
    """The error for a donated array that is used again."""
    return RuntimeError(
        f"{where} is an array that has been deleted, of type {x.aval}: it was donated to an "
        f"earlier call, whose result "
        "took over its buffer.\nFix: use the result of that call instead, or do not donate the "
        "argument."
    )


def __getattr__(name: str) -> Any:
    return namespaces.lookup(__name__, name)


def __dir__() -> list[str]:
    return namespaces.listing(__name__)


backend.exclude_from_tracebacks(__file__)
