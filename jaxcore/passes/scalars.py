"""Blocks that differ in scalars only (a drop-path rate for each layer) become one program.

The scalars that differ are turned into operands; those that agree stay literals.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxcore.ir import Atom, Equation, Literal, Program, Var, intern, is_by_place, param_key

__all__ = ["share_scalars"]


def share_scalars(program: Program) -> Program:
    """Rewrite the calls of `program` so that callees equal up to scalars are one."""
    if is_by_place():
        return program
    groups: dict[Any, list[Program]] = {}
    for eq in program.equations:
        callee = eq.params.get("program") if eq.primitive.name == "call" else None
        if callee is not None:
            group = groups.setdefault(skeleton(callee), [])
            if callee not in group:
                group.append(callee)
    groups = {key: group for key, group in groups.items() if len(group) > 1}
    if not groups:
        return program
    general: dict[Program, tuple[Program, list[Literal]]] = {}
    for group in groups.values():
        scalars = [literals(p) for p in group]
        differ = {i for i in range(len(scalars[0])) if len({s[i].key for s in scalars}) > 1}
        shared = generalise(group[0], differ)
        for p, own in zip(group, scalars, strict=True):
            general[p] = (shared, [own[i] for i in sorted(differ)])
    equations = []
    for eq in program.equations:
        entry = general.get(eq.params["program"]) if eq.primitive.name == "call" else None
        if entry is not None:
            shared, values = entry
            eq = Equation(
                eq.primitive,
                [*eq.inputs, *values],
                eq.outputs,
                {**eq.params, "program": shared},
                eq.source,
            )
        equations.append(eq)
    return Program(program.inputs, equations, program.outputs, program.name)


def skeleton(program: Program) -> Any:
    """The canonical form with the values of literals left out."""
    found = program.memo.get("skeleton")
    if found is None:
        index: dict[Var, int] = {}
        for v in program.inputs:
            index[v] = len(index)
        equations = []
        for eq in program.equations:
            params = {
                k: skeleton(v) if k == "program" and eq.primitive.name == "call" else v
                for k, v in eq.params.items()
            }
            atoms = tuple([index[x] if type(x) is Var else x.aval for x in eq.inputs])
            equations.append((eq.primitive, atoms, param_key(params)))
            for v in eq.outputs:
                index[v] = len(index)
        outputs = tuple([index[x] if type(x) is Var else x.aval for x in program.outputs])
        found = (program.name, tuple(program.in_avals), tuple(equations), outputs)
        program.memo["skeleton"] = found
    return found


def literals(program: Program) -> list[Literal]:
    """Every literal in order of appearance, those of called programs at their calls."""
    found: list[Literal] = []
    for eq in program.equations:
        found.extend(x for x in eq.inputs if type(x) is Literal)
        if eq.primitive.name == "call":
            found.extend(literals(eq.params["program"]))
    found.extend(x for x in program.outputs if type(x) is Literal)
    return found


def generalise(program: Program, positions: set[int]) -> Program:
    """`program` with the literals at `positions` (as `literals` counts) as further inputs, in that
    order; interned.
    """
    return intern(widened(program, positions))


def widened(program: Program, positions: set[int]) -> Program:
    """`generalise` of a program that is no function of its own yet."""
    extra: list[Var] = []
    counter = 0

    def replace(atoms: Sequence[Atom]) -> list[Atom]:
        nonlocal counter
        out: list[Atom] = []
        for x in atoms:
            if type(x) is Literal:
                if counter in positions:
                    extra.append(Var(x.aval))
                    x = extra[-1]
                counter += 1
            out.append(x)
        return out

    equations = []
    for eq in program.equations:
        inputs, params = replace(eq.inputs), eq.params
        if eq.primitive.name == "call":
            callee = params["program"]
            count = len(literals(callee))
            inner = {i - counter for i in positions if counter <= i < counter + count}
            if inner:
                operands = [Var(literals(callee)[i].aval) for i in sorted(inner)]
                extra.extend(operands)
                inputs = [*inputs, *operands]
                params = {**params, "program": generalise(callee, inner)}
            counter += count
        equations.append(Equation(eq.primitive, inputs, eq.outputs, params, eq.source))
    outputs = replace(program.outputs)
    return Program([*program.inputs, *extra], equations, outputs, program.name)
