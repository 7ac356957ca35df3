"""Equal values stacked into one array, and taken apart again."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from jaxcore.ir import Atom, Equation, Program, Var
from jaxcore.source import Source
from jaxcore.trace import trace_program

__all__ = ["part_equations", "stack_equations", "unstack_equations"]


@lru_cache(1024)
def _stack(aval: Any, n: int) -> Program:
    import jaxcore.numpy as jnp

    return trace_program(lambda *xs: [jnp.stack(xs)], [aval] * n, "stack")[0]


@lru_cache(4096)
def _unstack(aval: Any, positions: tuple[int, ...]) -> Program:
    """Every slice behind a barrier has the same form, so that XLA compiles one kernel for all."""
    import jaxcore.numpy as jnp
    from jaxcore import lax

    def take(x: Any) -> list[Any]:
        indices = [lax.optimization_barrier(jnp.full((), i, "int32")) for i in positions]
        return [lax.dynamic_index_in_dim(x, i, 0, keepdims=False) for i in indices]

    return trace_program(take, [aval], "unstack")[0]


def _inlined(
    program: Program, atoms: Sequence[Atom], outputs: Sequence[Var], source: Source
) -> list[Equation]:
    """The equations of `program` on `atoms`, whose results are `outputs`."""
    env: dict[Any, Any] = dict(zip(program.inputs, atoms, strict=True))
    env.update(zip(program.outputs, outputs, strict=True))
    made = []
    for eq in program.equations:
        for v in eq.outputs:
            env.setdefault(v, Var(v.aval))
        inputs = [env[x] if type(x) is Var else x for x in eq.inputs]
        made.append(Equation(eq.primitive, inputs, [env[v] for v in eq.outputs], eq.params, source))
    return made


def stack_equations(atoms: Sequence[Atom], out: Var, source: Source) -> list[Equation]:
    """Equations that stack `atoms`, of one type, into `out`."""
    return _inlined(_stack(atoms[0].aval, len(atoms)), atoms, [out], source)


@lru_cache(1024)
def _part(aval: Any, start: int, n: int) -> Program:
    from jaxcore import lax

    return trace_program(lambda x: [lax.slice_in_dim(x, start, start + n)], [aval], "part")[0]


def part_equations(x: Var, start: int, out: Var, source: Source) -> list[Equation]:
    """Equations that take the rows of `x` from `start` on that fill `out`."""
    return _inlined(_part(x.aval, start, out.aval.shape[0]), [x], [out], source)


def unstack_equations(x: Var, wanted: Sequence[tuple[int, Var]], source: Source) -> list[Equation]:
    """Equations that take rows of `x`: (position, variable) for each."""
    program = _unstack(x.aval, tuple(i for i, _ in wanted))
    return _inlined(program, [x], [v for _, v in wanted], source)
