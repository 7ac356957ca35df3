"""Common subexpressions: an operation that was done on the same operands is not done again.

XLA does the same inside one computation; here whole calls, loops and branches are operations too,
which XLA computes twice where they are outlined.
"""

from __future__ import annotations

from typing import Any

from jaxcore.ir import Atom, Equation, Literal, Program, Var, live_equations, param_key
from jaxcore.ops.hints import optimization_barrier_p
from jaxcore.ops.random import rng_uniform_p
from jaxcore.passes.residuals import rewired

__all__ = ["merged"]

_APART = frozenset({optimization_barrier_p, rng_uniform_p})  # told to be kept, or never the same


def merged(program: Program) -> Program:
    """`program` with each group of equal equations as its first one.

    Equal are the operation, its parameters, its operands and the types of its results. Operations
    with an effect stay as they are; random bits are a function of their key, which is an operand.
    """
    first: dict[Any, Equation] = {}
    more: dict[Any, list[Equation]] = {}  # like the first in operation and outer operands
    env: dict[Any, Var] = {}
    kept: list[Equation] = []
    for eq in program.equations:
        if env and not env.keys().isdisjoint(eq.inputs):
            eq = rewired([eq], env)[0]
        x, y = (eq.inputs[0], eq.inputs[-1]) if eq.inputs else (None, None)
        key = (
            eq.primitive,
            x.value.tobytes() if type(x) is Literal else x,
            y.value.tobytes() if type(y) is Literal else y,
        )
        other = first.setdefault(key, eq)
        if other is not eq:
            like = more.setdefault(key, [other])
            twin = _twin(eq, like)
            if twin is not None:
                env.update(zip(eq.outputs, twin.outputs, strict=True))
                continue
            like.append(eq)
        kept.append(eq)
    if not env:
        return program
    outputs = [env.get(x, x) for x in program.outputs]
    return Program(program.inputs, live_equations(kept, outputs), outputs, program.name)


def _twin(eq: Equation, like: list[Equation]) -> Equation | None:
    """An equation equal to `eq` among those that are `like` it in operation and outer operands."""
    if eq.primitive in _APART or eq.effects:
        return None
    params = param_key(eq.params)
    for other in like:
        if (
            len(eq.inputs) == len(other.inputs)
            and len(eq.outputs) == len(other.outputs)
            and all(map(_same, eq.inputs, other.inputs))
            and all(a.aval == b.aval for a, b in zip(eq.outputs, other.outputs, strict=True))
            and param_key(other.params) == params
        ):
            return other
    return None


def _same(a: Atom, b: Atom) -> bool:
    return a is b or (type(a) is Literal and type(b) is Literal and a.key == b.key)
