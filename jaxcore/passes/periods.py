"""Blocks that alternate, as local and global attention do: each period of them becomes one call.

A chain of calls of A, B, A, B, ... has no two neighbours that are alike. With each pair as one call
of a program that calls A and then B, it is a chain of equal calls, which can be rolled.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from jaxcore.ir import Atom, Equation, Program, Var, intern
from jaxcore.ops.call import call_p

__all__ = ["grouped"]

_LONGEST = 8


def grouped(program: Program, least: int, taken: Collection[Equation] = ()) -> Program | None:
    """`program` with each period of at least `least` alternating calls as one call.

    Args:
      program: what calls the blocks.
      least: calls from which on periods are looked for; a period occurs twice at least.
      taken: calls that stay as they are.

    Returns:
      A program, or None where nothing alternates.
    """
    ids = {id(eq) for eq in taken}
    calls = [
        eq
        for eq in program.equations
        if eq.primitive is call_p and id(eq) not in ids and not eq.effects
    ]
    groups = _periods(calls, least)
    if not groups:
        return None
    last = {id(group[-1]): group for group in groups}
    member = {id(eq): i for i, group in enumerate(groups) for eq in group}
    open_, equations, waiting = -1, list[Equation](), list[Equation]()
    late: set[Atom] = set()  # what depends on calls of the group that is being collected
    for eq in program.equations:
        i = member.get(id(eq))
        if i is None:
            if late.isdisjoint(eq.inputs):
                equations.append(eq)
            else:
                waiting.append(eq)
                late.update(eq.outputs)
            continue
        if i != open_:
            if late:  # a group within a group
                return None
            open_ = i
        if any(x in late and not _made_by(groups[i], x) for x in eq.inputs):
            return None  # the group depends on itself by way of something else
        late.update(eq.outputs)
        if id(eq) in last:
            equations += [_as_one(groups[i]), *waiting]
            waiting, late = [], set()
    return Program(program.inputs, equations, program.outputs, program.name)


def _made_by(group: Sequence[Equation], x: Atom) -> bool:
    return any(x is v for eq in group for v in eq.outputs)


def _periods(calls: Sequence[Equation], least: int) -> list[Sequence[Equation]]:
    """The calls, in order, as groups of the shortest periods in which their callees repeat."""
    names = [id(eq.params["program"]) for eq in calls]
    groups: list[Sequence[Equation]] = []
    at = 0
    while at < len(names):
        for n in range(2, _LONGEST + 1):
            end = at + n
            while end < len(names) and names[end] == names[end - n]:
                end += 1
            times = (end - at) // n
            if times >= 2 and times * n >= least and len(set(names[at : at + n])) > 1:
                groups += [calls[at + i * n : at + (i + 1) * n] for i in range(times)]
                at += times * n
                break
        else:
            at += 1
    return groups


def _as_one(group: Sequence[Equation]) -> Equation:
    """The calls of a group as one call of a program that makes them."""
    inner: dict[Atom, Var] = {}
    inputs: list[Var] = []
    operands: list[Atom] = []
    body: list[Equation] = []
    results: list[Var] = []
    for eq in group:
        given: list[Atom] = []
        for x, v in zip(eq.inputs, eq.params["program"].inputs, strict=True):
            if x not in inner:
                operands.append(x)
                inputs.append(Var(v.aval))
            given.append(inner[x] if x in inner else inputs[-1])
        made = [Var(v.aval) for v in eq.outputs]
        inner.update(zip(eq.outputs, made, strict=True))
        body.append(Equation(eq.primitive, given, made, eq.params, eq.source))
        results += made
    first = group[0]
    name = "_".join(dict.fromkeys(eq.params["program"].name for eq in group))
    callee = intern(Program(inputs, body, results, name))
    outputs = [v for eq in group for v in eq.outputs]
    return Equation(call_p, operands, outputs, {**first.params, "program": callee}, first.source)
