"""Equations split at what is not known yet: what can be computed without it, and the rest.

The rule of a custom derivative may compute anything beside what is linear in the tangents: a loop
counts while it moves a tangent, a function returns both. An equation that holds programs, some of
whose results depend on unknown operands and some do not, becomes two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jaxcore.ir import Atom, Equation, Program, Var, intern
from jaxcore.ops.call import call_p
from jaxcore.ops.checkpoint import checkpoint_p
from jaxcore.ops.cond import cond_p
from jaxcore.ops.loop import while_p
from jaxcore.ops.loop_bounds import bounded
from jaxcore.ops.scan import scan_p, stacked
from jaxcore.trace import live_equations

__all__ = ["partition"]

Mask = tuple[bool, ...]


def partition(
    equations: Sequence[Equation], unknown: set[Var], *, enter_calls: bool = True
) -> tuple[list[Equation], list[Equation]]:
    """Equations that do not depend on `unknown`, and those that do.

    With `enter_calls` a call is split wherever a part of it can be computed before; otherwise, as
    other equations that hold programs, only where one of its results can.
    """
    known: list[Equation] = []
    rest: list[Equation] = []
    unknown = set(unknown)
    for eq in equations:
        mask = _mask(eq.inputs, unknown)
        if True not in mask:
            known.append(eq)
            continue
        outs = _unknown_results(eq, mask)
        if False in outs or (enter_calls and eq.primitive is call_p and False in mask):
            first, second = _SPLITS[eq.primitive](eq, mask, outs)
            known.append(first)
            eq = second
        rest.append(eq)
        unknown.update(eq.outputs)
    return known, rest


def _mask(atoms: Sequence[Atom], unknown: set[Var]) -> Mask:
    return tuple([type(x) is Var and x in unknown for x in atoms])


def _where(values: Sequence[Any], mask: Sequence[bool], on: bool = True) -> list[Any]:
    return [x for x, m in zip(values, mask, strict=True) if m is on]


# --- which results depend on unknown operands ---------------------------------------------------


def _depends(program: Program, mask: Mask) -> Mask:
    """Which outputs depend on the inputs where `mask`; memoised on the program."""
    key = ("depends", mask)
    found = program.memo.get(key)
    if found is None:
        unknown = set(_where(program.inputs, mask))
        for eq in program.equations:
            inputs = _mask(eq.inputs, unknown)
            if True in inputs:
                unknown.update(_where(eq.outputs, _unknown_results(eq, inputs)))
        found = program.memo[key] = _mask(program.outputs, unknown)
    return found


def _unknown_results(eq: Equation, mask: Mask) -> Mask:
    rule = _DEPENDS.get(eq.primitive)
    if rule is None or False not in mask:
        return (True,) * len(eq.outputs)
    return rule(eq.params, mask)


def _depends_call(params: dict[str, Any], mask: Mask) -> Mask:
    return _depends(params["program"], mask)


def _depends_cond(params: dict[str, Any], mask: Mask) -> Mask:
    if mask[0]:
        return (True,) * len(params["branches"][0].outputs)
    found = [_depends(p, mask[1:]) for p in params["branches"]]
    return tuple([True in outs for outs in zip(*found, strict=True)])


def _depends_scan(params: dict[str, Any], mask: Mask) -> Mask:
    start = params["n_consts"]
    end = start + params["n_carry"]
    carry = mask[start:end]
    while True:
        outs = _depends(params["program"], (*mask[:start], *carry, *mask[end:]))
        grown = tuple([a or b for a, b in zip(carry, outs, strict=False)])
        if grown == carry:
            return (*carry, *outs[len(carry) :])
        carry = grown


def _depends_while(params: dict[str, Any], mask: Mask) -> Mask:
    if params.get("max_steps") is None:  # cannot be split, nor transposed
        return (True,) * len(params["body"].outputs)
    return _depends(_as_program(params), mask)


def _as_program(params: dict[str, Any]) -> Program:
    return bounded(*(params[k] for k in ("cond", "body", "n_cond", "n_body", "max_steps")))


# --- the two halves -----------------------------------------------------------------------------


def _pruned(program: Program, outputs: Sequence[Atom], inputs: Sequence[Var]) -> Program:
    """The part of `program` that `outputs` need."""
    equations = live_equations(program.equations, outputs)
    return intern(Program(inputs, equations, outputs, program.name))


def _known_part(program: Program, mask: Mask, outputs: Sequence[Atom]) -> Program:
    """What gives `outputs`, which do not depend on the inputs where `mask`."""
    known, _ = partition(program.equations, set(_where(program.inputs, mask)), enter_calls=False)
    inputs = _where(program.inputs, mask, False)
    return intern(Program(inputs, live_equations(known, outputs), outputs, program.name))


Halves = tuple[Equation, Equation]


def _split_call(eq: Equation, mask: Mask, outs: Mask) -> Halves:
    """Two calls: what the known operands determine, and the rest given residuals."""
    program: Program = eq.params["program"]
    key = ("partition", mask)
    found = program.memo.get(key)
    if found is None:
        unknown_in = set(_where(program.inputs, mask))
        known, rest = partition(program.equations, unknown_in)
        made = unknown_in | {v for e in rest for v in e.outputs}
        residuals = list(
            dict.fromkeys(x for e in rest for x in e.inputs if type(x) is Var and x not in made)
        )
        outputs = [*_where(program.outputs, outs, False), *residuals]
        first = Program(_where(program.inputs, mask, False), known, outputs, program.name)
        inputs = [*residuals, *_where(program.inputs, mask)]
        second = Program(inputs, rest, _where(program.outputs, outs), program.name)
        found = (intern(first), intern(second), [v.aval for v in residuals])
        program.memo[key] = found
    first, second, avals = found
    residuals = [Var(a) for a in avals]
    given = [*residuals, *_where(eq.inputs, mask)]
    return (
        Equation(
            call_p,
            _where(eq.inputs, mask, False),
            [*_where(eq.outputs, outs, False), *residuals],
            {"program": first},
            eq.source,
        ),
        Equation(call_p, given, _where(eq.outputs, outs), {"program": second}, eq.source),
    )


def _split_checkpoint(eq: Equation, mask: Mask, outs: Mask) -> Halves:
    """The known results are those of a call; the rest is computed from all operands."""
    program: Program = eq.params["program"]
    first = _known_part(program, mask, _where(program.outputs, outs, False))
    second = _pruned(program, _where(program.outputs, outs), program.inputs)
    inputs = _where(eq.inputs, mask, False)
    params = {**eq.params, "program": second}
    return (
        Equation(call_p, inputs, _where(eq.outputs, outs, False), {"program": first}, eq.source),
        Equation(checkpoint_p, eq.inputs, _where(eq.outputs, outs), params, eq.source),
    )


def _split_cond(eq: Equation, mask: Mask, outs: Mask) -> Halves:
    """Two conds with the same index."""
    branches = eq.params["branches"]
    first = [_known_part(p, mask[1:], _where(p.outputs, outs, False)) for p in branches]
    second = [_pruned(p, _where(p.outputs, outs), p.inputs) for p in branches]
    halves = [
        Equation(cond_p, inputs, outputs, {**eq.params, "branches": tuple(programs)}, eq.source)
        for programs, inputs, outputs in (
            (first, _where(eq.inputs, mask, False), _where(eq.outputs, outs, False)),
            (second, eq.inputs, _where(eq.outputs, outs)),
        )
    ]
    return halves[0], halves[1]


def _split_scan(eq: Equation, mask: Mask, outs: Mask) -> Halves:
    """Two scans: the first one stacks the known carries, which the second one takes as inputs."""
    params, n = eq.params, eq.params["n_carry"]
    program: Program = params["program"]
    start, end = params["n_consts"], params["n_consts"] + n
    unknown = (*mask[:start], *outs[:n], *mask[end:])
    carries = _where(program.inputs[start:end], outs[:n], False)
    kept = [Var(stacked(v.aval, params["length"])) for v in carries]

    known = _where(program.outputs[:n], outs[:n], False)
    ys = _where(program.outputs[n:], outs[n:], False)
    first = Equation(
        scan_p,
        _where(eq.inputs, unknown, False),
        [*_where(eq.outputs, outs, False), *kept],
        {
            **params,
            "program": _known_part(program, unknown, [*known, *ys, *carries]),
            "n_consts": sum(not on for on in mask[:start]),
            "n_carry": len(carries),
        },
        eq.source,
    )
    consts, xs = program.inputs[:start], program.inputs[end:]
    inputs = [*consts, *_where(program.inputs[start:end], outs[:n]), *xs, *carries]
    second = Equation(
        scan_p,
        [*eq.inputs[:start], *_where(eq.inputs[start:end], outs[:n]), *eq.inputs[end:], *kept],
        _where(eq.outputs, outs),
        {
            **params,
            "program": _pruned(program, _where(program.outputs, outs), inputs),
            "n_carry": n - len(carries),
        },
        eq.source,
    )
    return first, second


def _split_while(eq: Equation, mask: Mask, outs: Mask) -> Halves:
    """A loop of at most n steps is split as the scans that it can be written as."""
    params = {"program": _as_program(eq.params)}
    return _split_call(Equation(call_p, eq.inputs, eq.outputs, params, eq.source), mask, outs)


_DEPENDS: dict[Any, Callable[[dict[str, Any], Mask], Mask]] = {
    call_p: _depends_call,
    checkpoint_p: _depends_call,
    cond_p: _depends_cond,
    scan_p: _depends_scan,
    while_p: _depends_while,
}
_SPLITS: dict[Any, Callable[[Equation, Mask, Mask], Halves]] = {
    call_p: _split_call,
    checkpoint_p: _split_checkpoint,
    cond_p: _split_cond,
    scan_p: _split_scan,
    while_p: _split_while,
}
