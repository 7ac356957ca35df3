"""Errors about one value: leaked, deleted, or not an array at all."""

from __future__ import annotations

from typing import Any

from jaxcore.errors.boundary import raised
from jaxcore.errors.classes import DonatedArrayError, UnexpectedTracerError
from jaxcore.errors.describe import describe_source, format_aval
from jaxcore.errors.donation import taken_by

__all__ = ["check_live", "deleted", "leaked", "not_an_array", "origin"]


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
    return f"{made}, it has type {format_aval(tracer.aval)}{inside}"


def check_live(x: Any) -> None:
    """Raise for a tracer whose trace has ended."""
    if not x._trace.is_valid():
        raise leaked(x)


def leaked(x: Any) -> Exception:
    """The error for a tracer that outlived its trace."""
    where = describe_source(getattr(x, "source", None))
    name = getattr(x._trace, "name", type(x._trace).__name__)
    return raised(
        UnexpectedTracerError(
            f"A traced value of type {format_aval(x.aval)} is used after the tracing of '{name}' "
            f"has ended (a leaked tracer).\n  It was made at {where}.\n  Fix: return the value "
            "from the function instead of storing it in a list, attribute or global, and do not "
            "keep values across calls of a traced function."
        )
    )


def not_an_array(x: Any, where: str) -> TypeError:
    """The error for a leaf that is not a valid array."""
    return TypeError(
        f"{where} is {x!r} of type {type(x).__name__}, which is not a valid JAX type: expected an "
        "array, a NumPy array or a Python number.\n  Fix: convert it, leave it out, or mark the "
        "argument static with static_argnums or static_argnames."
    )


def deleted(x: Any, where: str) -> Exception:
    """The error for a donated array that is used again."""
    taken = taken_by(x) or "donated to an earlier call, whose result took over its memory."
    return raised(
        DonatedArrayError(
            f"{where} is an array that has been deleted, of type {format_aval(x.aval)}: it was "
            f"{taken}\n  Fix: use the result of that call instead, or do not donate the argument."
        )
    )
