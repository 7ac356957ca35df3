"""A program run a second time for its values must not repeat its effects."""

from __future__ import annotations

from typing import Any

from jaxcore import errors
from jaxcore.ir import Equation, Program, intern
from jaxcore.trace import live_equations

__all__ = ["without_effects"]


def without_effects(program: Program) -> Program:
    """`program` without the operations that are there for their effect alone.

    Raises:
      NotImplementedError: a result comes from an operation with an effect, such as `io_callback`.

    Example:
      >>> import jax, jaxcore
      >>> def f(x):
      ...     jax.debug.print("{}", x)
      ...     return x * 2.0
      >>> program = jaxcore.make_jaxpr(f)(1.0)
      >>> len(program.equations), len(without_effects(program).equations)
      (2, 1)
    """
    if not program.effects:
        return program
    found = program.memo.get("without_effects")
    if found is None:
        silent = [_silent(eq) for eq in program.equations if eq.outputs or not eq.effects]
        kept = live_equations(silent, program.outputs)
        found = intern(Program(program.inputs, kept, program.outputs, program.name))
        program.memo["without_effects"] = found
    return found


def _silent(eq: Equation) -> Equation:
    if not eq.effects:
        return eq
    params = {name: _silent_parameter(value) for name, value in eq.params.items()}
    silent = Equation(eq.primitive, eq.inputs, eq.outputs, params, eq.source)
    if silent.effects:
        raise NotImplementedError(
            f"Forward-mode differentiation of a while_loop runs its body a second time beside the "
            f"tangents, but '{eq.primitive.name}' has an effect and its result is used.\n"
            f"  Your line: {errors.describe_source(eq.source)}\n"
            "Fix: take the effect out of the loop, use lax.scan, or use pure_callback if the "
            "function has no side effect."
        )
    return silent


def _silent_parameter(value: Any) -> Any:
    if isinstance(value, Program):
        return without_effects(value)
    if isinstance(value, tuple):
        return tuple(_silent_parameter(x) for x in value)
    return value
