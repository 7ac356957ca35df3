"""What the CPU computes instead of one of XLA's own operations: chosen by types, made once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from jaxcore import backend
from jaxcore.backend import ShapedArray
from jaxcore.ir import Program
from jaxcore.trace import trace_program

__all__ = ["lower_by_form"]

FormOf = Callable[..., Callable[..., Any] | None]


def lower_by_form(
    b: Any,
    form_of: FormOf,
    operands: Sequence[Any],
    avals_in: Sequence[ShapedArray],
    out: ShapedArray,
    params: dict[str, Any],
) -> list[Any] | None:
    """Emit the function that ``form_of(*avals_in, out, params)`` gives, if it gives one.

    Where the module is not for the CPU alone, or is divided among devices, nothing is: the result
    is None, and the operation is XLA's own.
    """
    if tuple(backend.platforms_of(b.ctx)) != ("cpu",) or backend.partitions(b.ctx) != 1:
        return None
    program = program_of_form(form_of, tuple(avals_in), out, tuple(params.items()))
    return None if program is None else b.program(program, operands)


@lru_cache(1024)
def program_of_form(
    form_of: FormOf,
    avals_in: tuple[ShapedArray, ...],
    out: ShapedArray,
    params: tuple[tuple[str, Any], ...],
) -> Program | None:
    """The program of the form for operands and a result of these types, if there is one."""
    form = form_of(*avals_in, out, dict(params))
    if form is None:
        return None
    program, consts = trace_program(lambda *args: [form(*args)], avals_in, "form")
    assert not consts
    return program
