"""What a derivative keeps of a program, and the program that computes the rest again.

`plan(program, wanted, policy)` goes backwards from the outputs that the derivative wants. A value
that the policy allows is kept, an argument is at hand, and what leads from those to the wanted ones
is computed again. Calls, scans and conds are entered, so that the policy sees what is inside.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from jaxcore import errors
from jaxcore.backend import ShapedArray
from jaxcore.ir import Atom, Equation, Program, Var, intern
from jaxcore.ops.call import call_p, run_program
from jaxcore.ops.cond import blank, close_over_all, cond_p, strip
from jaxcore.ops.scan import scan_p, stacked

__all__ = ["Plan", "plan"]

Policy = Callable[[Equation], bool]  # may the results of this equation be kept?
Mask = tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """How some outputs of a program are computed again.

    Attributes:
      program: what is computed again in part.
      again: from the inputs that it uses, then the kept values, to the wanted outputs.
      uses: which inputs of `program` those are.
      kept: variables of the kept values; those of entered equations are new ones.
      entered: by number of an equation, how it is split and its kept values.
    """

    program: Program
    again: Program
    uses: Mask
    kept: tuple[Var, ...]
    entered: dict[int, tuple[_Split, list[Var]]]

    def forward(self, keep: Sequence[bool]) -> Program:
        """From all inputs to the outputs where `keep`, then the kept values; nothing else is
        computed.
        """
        outputs = [x for x, on in zip(self.program.outputs, keep, strict=True) if on]
        outputs += self.kept
        needed: set[Any] = {x for x in outputs if type(x) is Var}
        equations: list[Equation] = []
        for i, eq in reversed(list(enumerate(self.program.equations))):
            live = tuple([v in needed for v in eq.outputs])
            split, kept = self.entered.get(i, (None, []))
            if True not in live and not kept and not eq.effects:
                continue
            if split is None and False in live and eq.primitive in _SPLITS:
                split = _SPLITS[eq.primitive](eq, (False,) * len(live), _keep_nothing)
            if split is not None:
                eq = split.first(live, kept)
            equations.append(eq)
            needed.update(x for x in eq.inputs if type(x) is Var)
        equations.reverse()
        return intern(Program(self.program.inputs, equations, outputs, self.program.name))


def plan(program: Program, wanted: Mask, policy: Policy) -> Plan:
    """How the outputs of `program` where `wanted` are computed again; memoised on it.

    Raises:
      NotImplementedError: the result of an operation with an effect would be computed again.
    """
    key = ("remat", wanted, policy)
    found = program.memo.get(key)
    if found is None:
        found = program.memo[key] = _plan(program, wanted, policy)
    return found


def _plan(program: Program, wanted: Mask, policy: Policy) -> Plan:
    outputs = [x for x, on in zip(program.outputs, wanted, strict=True) if on]
    needed: set[Any] = {x for x in outputs if type(x) is Var}
    kept: list[Var] = []
    entered: dict[int, tuple[_Split, list[Var]]] = {}
    again: list[Equation] = []
    for i, eq in reversed(list(enumerate(program.equations))):
        hit = tuple([v in needed for v in eq.outputs])
        if True not in hit:
            continue
        if eq.primitive in _SPLITS:
            split = _SPLITS[eq.primitive](eq, hit, policy)
            inside = [Var(a) for a in split.saved]
            entered[i] = (split, inside)
            kept += inside
            eq = split.second(inside)
        elif policy(eq):
            kept += [v for v, on in zip(eq.outputs, hit, strict=True) if on]
            continue
        elif eq.effects:
            raise NotImplementedError(
                f"checkpoint: a result of '{eq.primitive.name}', which has an effect, would have "
                f"to be computed again for the derivative.\n"
                f"  Your line: {errors.describe_source(eq.source)}\n"
                "Fix: call it outside the checkpointed function and pass the result in, or use "
                "pure_callback if the function has no side effect."
            )
        again.append(eq)
        needed.update(x for x in eq.inputs if type(x) is Var)
    again.reverse()
    uses = tuple([v in needed for v in program.inputs])
    inputs = [v for v, on in zip(program.inputs, uses, strict=True) if on]
    second = intern(Program([*inputs, *kept], again, outputs, program.name))
    return Plan(program, second, uses, tuple(kept), entered)


def _keep_nothing(eq: Equation) -> bool:
    return False


# --- equations that hold programs ---------------------------------------------------------------


class _Split(Protocol):
    """An equation that is entered, in two: what runs first, and what runs again.

    `saved` gives the types of the values that are kept; `first` takes which results are live.
    """

    saved: list[ShapedArray]

    def first(self, live: Mask, kept: Sequence[Var]) -> Equation: ...
    def second(self, kept: Sequence[Var]) -> Equation: ...


def _where(values: Sequence[Any], mask: Sequence[bool]) -> list[Any]:
    return [x for x, on in zip(values, mask, strict=True) if on]


class _Call:
    """A call becomes two calls."""

    def __init__(self, eq: Equation, wanted: Mask, policy: Policy) -> None:
        self.eq, self.wanted = eq, wanted
        self.plan = plan(eq.params["program"], wanted, policy)
        self.saved = [v.aval for v in self.plan.kept]

    def first(self, live: Mask, kept: Sequence[Var]) -> Equation:
        outputs = [*_where(self.eq.outputs, live), *kept]
        program = self.plan.forward(live)
        return Equation(call_p, self.eq.inputs, outputs, {"program": program}, self.eq.source)

    def second(self, kept: Sequence[Var]) -> Equation:
        inputs = [*_where(self.eq.inputs, self.plan.uses), *kept]
        outputs = _where(self.eq.outputs, self.wanted)
        params = {"program": self.plan.again}
        return Equation(call_p, inputs, outputs, params, self.eq.source)


class _Scan:
    """A scan becomes two: kept values are stacked, and a carry runs again where it is used."""

    def __init__(self, eq: Equation, wanted: Mask, policy: Policy) -> None:
        self.eq, self.wanted = eq, wanted
        self.n_consts, self.n_carry = eq.params["n_consts"], eq.params["n_carry"]
        start, end = self.n_consts, self.n_consts + self.n_carry
        carry = wanted[: self.n_carry]
        while True:
            self.plan = plan(eq.params["program"], (*carry, *wanted[self.n_carry :]), policy)
            used = self.plan.uses[start:end]
            grown = tuple([a or b for a, b in zip(carry, used, strict=True)])
            if grown == carry:
                break
            carry = grown
        self.carry = carry
        self.uses = (*self.plan.uses[:start], *carry, *self.plan.uses[end:])
        self.saved = [stacked(v.aval, eq.params["length"]) for v in self.plan.kept]

    def first(self, live: Mask, kept: Sequence[Var]) -> Equation:
        eq, n = self.eq, self.n_carry
        program = self.plan.forward((*(True,) * n, *live[n:]))
        outputs = [*eq.outputs[:n], *_where(eq.outputs[n:], live[n:]), *kept]
        return Equation(scan_p, eq.inputs, outputs, {**eq.params, "program": program}, eq.source)

    def second(self, kept: Sequence[Var]) -> Equation:
        eq, n = self.eq, self.n_carry
        body, again = eq.params["program"], self.plan.again
        given = iter(again.inputs)
        inputs = [  # a wanted carry that the next step does not use is an input all the same
            next(given) if used else Var(v.aval)
            for v, used, taken in zip(body.inputs, self.plan.uses, self.uses, strict=True)
            if taken
        ]
        program = intern(Program([*inputs, *given], again.equations, again.outputs, again.name))
        outputs = [
            v if on else Var(v.aval)
            for v, on, runs in zip(eq.outputs[:n], self.wanted, self.carry, strict=False)
            if runs
        ] + _where(eq.outputs[n:], self.wanted[n:])
        counts = {"n_consts": sum(self.uses[: self.n_consts]), "n_carry": sum(self.carry)}
        params = {**eq.params, "program": program, **counts}
        return Equation(scan_p, [*_where(eq.inputs, self.uses), *kept], outputs, params, eq.source)


class _Cond:
    """A cond becomes two; branches share places for the values they keep, by type."""

    def __init__(self, eq: Equation, wanted: Mask, policy: Policy) -> None:
        self.eq, self.wanted = eq, wanted
        self.plans = [plan(p, wanted, policy) for p in eq.params["branches"]]
        self.uses = tuple([any(on) for on in zip(*(p.uses for p in self.plans), strict=True)])
        self.saved: list[ShapedArray] = []
        self.places = [self.place(p) for p in self.plans]

    def place(self, branch: Plan) -> list[int]:
        """Where in `saved` the branch puts the values it keeps."""
        free, found = list(range(len(self.saved))), []
        for aval in [strip(v.aval) for v in branch.kept]:
            at = next((i for i in free if self.saved[i] == aval), None)
            if at is None:
                at = len(self.saved)
                self.saved.append(aval)
            else:
                free.remove(at)
            found.append(at)
        return found

    def first(self, live: Mask, kept: Sequence[Var]) -> Equation:
        def branch(k: int) -> Callable[..., list[Any]]:
            program = self.plans[k].forward(live)

            def run(*values: Any) -> list[Any]:
                results = run_program(program, values)
                outs = results[: sum(live)]
                own = dict(zip(self.places[k], results[sum(live) :], strict=True))
                blanks = [own[i] if i in own else blank(a) for i, a in enumerate(self.saved)]
                return [*outs, *blanks]

            return run

        outputs = [*_where(self.eq.outputs, live), *kept]
        return self.equation(branch, self.eq.inputs, outputs)

    def second(self, kept: Sequence[Var]) -> Equation:
        def branch(k: int) -> Callable[..., list[Any]]:
            def run(*values: Any) -> list[Any]:
                given = iter(values)
                shared = [next(given) if used else None for used in self.uses]
                known, saved = _where(shared, self.plans[k].uses), list(given)
                own = [saved[i] for i in self.places[k]]
                return run_program(self.plans[k].again, [*known, *own])

            return run

        inputs = [self.eq.inputs[0], *_where(self.eq.inputs[1:], self.uses), *kept]
        return self.equation(branch, inputs, _where(self.eq.outputs, self.wanted))

    def equation(
        self,
        branch: Callable[[int], Callable[..., list[Any]]],
        inputs: Sequence[Atom],
        outputs: Sequence[Var],
    ) -> Equation:
        functions = [branch(k) for k in range(len(self.plans))]
        programs, _ = close_over_all(functions, [x.aval for x in inputs[1:]], "branch")
        params = {**self.eq.params, "branches": programs}
        return Equation(cond_p, inputs, outputs, params, self.eq.source)


_SPLITS: dict[Any, Callable[[Equation, Mask, Policy], _Split]] = {
    call_p: _Call,
    scan_p: _Scan,
    cond_p: _Cond,
}
