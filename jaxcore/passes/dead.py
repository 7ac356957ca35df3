"""Dead code through calls, branches and loops.

XLA finds what nobody uses inside one computation. Results of an outlined call are used by its
caller as far as it can tell, and so are operands; so both are taken out here. A callee that is
called several times stays one: what goes is what no call uses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jaxcore.ir import Equation, Program, Var, intern, live_equations
from jaxcore.ops.call import call_p
from jaxcore.ops.cond import cond_p
from jaxcore.ops.scan import scan_p

__all__ = ["pruned"]

Mask = tuple[bool, ...]


def pruned(program: Program) -> Program:
    """`program` without operands and results of calls, scans and conds that nothing needs."""
    while True:
        equations = _narrowed(program)
        if equations is None:
            return program
        equations = live_equations(equations, program.outputs)
        program = Program(program.inputs, equations, program.outputs, program.name)


def _narrowed(program: Program) -> list[Equation] | None:
    """The equations of `program`, those with something dead replaced; None if there are none."""
    if not any(eq.primitive in _RULES for eq in program.equations):
        return None
    live: set[Any] = {x for x in program.outputs if type(x) is Var}
    for eq in program.equations:
        live.update(eq.inputs)
    wanted: dict[Any, Mask] = {}  # of each callee, the results that some call needs
    for eq in program.equations:
        if eq.primitive in _RULES:
            mask = tuple([v in live for v in eq.outputs])
            before = wanted.get(_owner(eq), mask)
            wanted[_owner(eq)] = tuple([a or b for a, b in zip(before, mask, strict=True)])
    changed = False
    equations = []
    for eq in program.equations:
        rule = _RULES.get(eq.primitive)
        found = None if rule is None else rule(eq, wanted[_owner(eq)])
        changed |= found is not None
        equations.append(found or eq)
    return equations if changed else None


def _owner(eq: Equation) -> Any:
    """What equations share where they have to stay alike."""
    return eq.params["program"] if eq.primitive is call_p else eq


def _where(values: Sequence[Any], mask: Mask) -> list[Any]:
    return [x for x, on in zip(values, mask, strict=True) if on]


def _needs(program: Program, outputs: Mask) -> Mask:
    """Which inputs the results where `outputs`, and the effects, are made of."""
    key = ("needs", outputs)
    found = program.memo.get(key)
    if found is None:
        kept = _where(program.outputs, outputs)
        used = {x for eq in live_equations(program.equations, kept) for x in eq.inputs}
        used.update(kept)
        found = program.memo[key] = tuple([v in used for v in program.inputs])
    return found


def _part(program: Program, inputs: Mask, outputs: Mask) -> Program:
    """`program` from the inputs that its results where `outputs` need to these."""
    key = ("part", inputs, outputs)
    found = program.memo.get(key)
    if found is None:
        kept = _where(program.outputs, outputs)
        equations = live_equations(program.equations, kept)
        part = Program(_where(program.inputs, inputs), equations, kept, program.name)
        found = program.memo[key] = intern(pruned(part))
    return found


def _narrow(eq: Equation, inputs: Mask, outputs: Mask, params: dict[str, Any]) -> Equation:
    return Equation(
        eq.primitive,
        _where(eq.inputs, inputs),
        _where(eq.outputs, outputs),
        {**eq.params, **params},
        eq.source,
    )


def _call(eq: Equation, outputs: Mask) -> Equation | None:
    callee = eq.params["program"]
    inputs = _needs(callee, outputs)
    if all(outputs) and all(inputs):
        return None
    return _narrow(eq, inputs, outputs, {"program": _part(callee, inputs, outputs)})


def _cond(eq: Equation, outputs: Mask) -> Equation | None:
    branches = eq.params["branches"]
    needs = zip(*[_needs(p, outputs) for p in branches], strict=True)
    inputs = tuple([any(column) for column in needs])
    if all(outputs) and all(inputs):
        return None
    parts = tuple([_part(p, inputs, outputs) for p in branches])
    return _narrow(eq, (True, *inputs), outputs, {"branches": parts})


def _scan(eq: Equation, outputs: Mask) -> Equation | None:
    """What is handed on stays where its last value, or the next step, needs it."""
    body, n_consts, n_carry = (eq.params[name] for name in ("program", "n_consts", "n_carry"))
    while True:
        inputs = _needs(body, outputs)
        carry = inputs[n_consts : n_consts + n_carry]
        grown = tuple([a or b for a, b in zip(outputs, carry, strict=False)])
        if grown == outputs[:n_carry]:
            break
        outputs = (*grown, *outputs[n_carry:])
    # A carry that is returned is an operand, whether the body reads it or not.
    inputs = (*inputs[:n_consts], *outputs[:n_carry], *inputs[n_consts + n_carry :])
    if all(outputs) and all(inputs):
        return None
    params = {
        "program": _part(body, inputs, outputs),
        "n_consts": sum(inputs[:n_consts]),
        "n_carry": sum(outputs[:n_carry]),
    }
    return _narrow(eq, inputs, outputs, params)


_RULES: dict[Any, Callable[[Equation, Mask], Equation | None]] = {
    call_p: _call,
    cond_p: _cond,
    scan_p: _scan,
}
