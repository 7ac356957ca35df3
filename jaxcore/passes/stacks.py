"""Equal values stacked into one array, and taken apart again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from jaxcore.backend import ShapedArray
from jaxcore.ir import Atom, Equation, Literal, Program, Var
from jaxcore.ops.pieces import slice_p
from jaxcore.source import Source
from jaxcore.trace import trace_program

__all__ = ["alike", "part_equations", "stack_equations", "unstack_equations"]


_INDEX = ShapedArray((), np.dtype(np.int32))


@lru_cache(1024)
def _stack(aval: Any, n: int) -> Program:
    import jaxcore.numpy as jnp

    return trace_program(lambda *xs: [jnp.stack(xs)], [aval] * n, "stack")[0]


@lru_cache(4096)
def _row(aval: Any, i: int) -> Program:
    from jaxcore import lax

    return trace_program(lambda x: [lax.index_in_dim(x, i, 0, keepdims=False)], [aval], "row")[0]


@lru_cache(1024)
def _slice(aval: Any, axis: int, size: int) -> Program:
    from jaxcore import lax

    sizes = [size if i == axis else n for i, n in enumerate(aval.shape)]

    def take(x: Any, start: Any) -> list[Any]:
        start = lax.optimization_barrier(start)
        starts = [start if i == axis else 0 for i in range(len(sizes))]
        return [lax.dynamic_slice(x, starts, sizes, allow_negative_indices=False)]

    return trace_program(take, [aval, _INDEX], "slice")[0]


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
    return [eq for i, v in wanted for eq in _inlined(_row(x.aval, i), [x], [v], source)]


def alike(program: Program, least: int = 8) -> Program:
    """`program` with the slices of an array that it cuts into many in one form.

    With their start behind a barrier XLA compiles one kernel for all of them.
    """
    cuts = Counter(x for x in map(_cut, program.equations) if x is not None)
    if max(cuts.values(), default=0) < least:
        return program
    equations: list[Equation] = []
    for eq in program.equations:
        cut = _cut(eq)
        if cut is None or cuts[cut] < least:
            equations.append(eq)
            continue
        x, axis, size = cut
        start = Literal(np.int32(eq.params["start_indices"][axis]), _INDEX)
        equations += _inlined(_slice(x.aval, axis, size), [x, start], eq.outputs, eq.source)
    return Program(program.inputs, equations, program.outputs, program.name)


def _cut(eq: Equation) -> tuple[Var, int, int] | None:
    """What a slice along one axis is taken of, the axis, and its size."""
    x = eq.inputs[0] if eq.primitive is slice_p else None
    if type(x) is not Var or any(n != 1 for n in eq.params["strides"] or ()):
        return None
    shape = eq.outputs[0].aval.shape
    axes = [i for i, n in enumerate(shape) if n != x.aval.shape[i]]
    return (x, axes[0], shape[axes[0]]) if len(axes) == 1 else None
