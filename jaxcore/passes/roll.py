"""Runs of equal calls become a loop: one computation for any depth.

A model of equal blocks is a chain of calls of one program, each taking what the one before made. As
a loop over stacked operands the chain is compiled once, whatever its length. Operands are sorted
into what is handed on from call to call (carry), what is the same for all (invariant), and what
differs (stacked). What one loop stacks and another one needs stacked, in either direction, is
passed on as it is: the residuals of a forward chain go to the chain of its gradient without being
taken apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from jaxcore.ir import Atom, Equation, Program, Var, intern
from jaxcore.ops.call import call_p
from jaxcore.ops.scan import scan_p, stacked, unstacked
from jaxcore.passes.residuals import bytes_of
from jaxcore.passes.stacks import part_equations, stack_equations, unstack_equations

__all__ = ["Run", "roll", "runs_of"]


@dataclass(eq=False)
class Run:
    """A chain of calls of `callee`, in order.

    Attributes:
      calls: their equations.
      carry: for each operand that is handed on, the output that becomes the next call's operand.
    """

    callee: Program
    calls: list[Equation]
    carry: dict[int, int] = field(default_factory=dict)
    tainted: set[Var] = field(default_factory=set)

    def extend(self, eq: Equation) -> bool:
        """Take `eq` in as the next call, if what depends on this run reaches it as carry only."""
        last = self.calls[-1]
        made = {v: k for k, v in enumerate(last.outputs)}
        carry: dict[int, int] = {}
        for p, x in enumerate(eq.inputs):
            if type(x) is Var and x in self.tainted:
                if x not in made:
                    return False
                carry[p] = made[x]
        if not carry or (len(self.calls) > 1 and carry != self.carry):
            return False
        self.carry = carry
        self.calls.append(eq)
        self.tainted.update(eq.outputs)
        return True

    def operands(self, p: int) -> list[Atom]:
        """Operand `p` of each call."""
        return [eq.inputs[p] for eq in self.calls]

    def results(self, k: int) -> list[Var]:
        """Output `k` of each call."""
        return [eq.outputs[k] for eq in self.calls]


def runs_of(program: Program, least: int) -> list[Run]:
    """The chains of at least `least` calls in `program`."""
    calls = Counter(eq.params["program"] for eq in program.equations if eq.primitive is call_p)
    if max(calls.values(), default=0) < least:  # nothing to follow
        return []
    open_runs: dict[Program, Run] = {}
    done: list[Run] = []
    for eq in program.equations:
        for run in open_runs.values():
            if any(type(x) is Var and x in run.tainted for x in eq.inputs):
                run.tainted.update(eq.outputs)
        callee = eq.params.get("program") if eq.primitive is call_p else None
        if callee is None or callee.effects:
            continue
        found = open_runs.get(callee)
        if found is None or not found.extend(eq):
            if found is not None:
                done.append(found)
            open_runs[callee] = Run(callee, [eq], tainted=set(eq.outputs))
    done.extend(open_runs.values())
    return [run for run in done if len(run.calls) >= least]


def _key(x: Atom) -> Any:
    return x if type(x) is Var else x.key  # type: ignore[union-attr]


@dataclass(eq=False)
class _Stack:
    """An array of equal values: what a loop makes (its output, or its carry on entry), or else
    `atoms` stacked.
    """

    var: Var
    keys: tuple[Any, ...]
    loop: _Loop | None = None
    what: tuple[str, int] = ("", 0)
    atoms: list[Atom] = field(default_factory=list)
    made: bool = False


@dataclass(eq=False)
class _Loop:
    """How a run becomes one scan.

    Attributes:
      stacked: operand, the stack that has its values, and from which row on.
      ys: the stacks that somebody wants of it.
    """

    run: Run
    reverse: bool = False
    invariant: list[int] = field(default_factory=list)
    stacked: list[tuple[int, _Stack, int]] = field(default_factory=list)
    ys: list[_Stack] = field(default_factory=list)
    offers: dict[tuple[str, int], _Stack] = field(default_factory=dict)

    def ordered(self, atoms: Sequence[Atom]) -> list[Atom]:
        """`atoms`, one a call, in the order of the array that stacks them."""
        return list(reversed(atoms)) if self.reverse else list(atoms)

    def want(self, stack: _Stack) -> None:
        if stack not in self.ys:
            self.ys.append(stack)


class _Plan:
    """All loops of a program, the stacks that they share, and what is used outside them."""

    def __init__(self, program: Program, runs: Sequence[Run]) -> None:
        self.loops = [_Loop(run) for run in runs]
        self._places: dict[Any, list[tuple[_Stack, int]]] = {}
        for loop in self.loops:
            self._sort_operands(loop)
        taken = {id(eq) for loop in self.loops for eq in loop.run.calls}
        used = {x for x in program.outputs if type(x) is Var}
        for eq in program.equations:
            if id(eq) not in taken:
                used.update(x for x in eq.inputs if type(x) is Var)
        for loop in self.loops:
            used.update(x for x in self.read(loop) if type(x) is Var)
        self.used = used
        for loop in self.loops:
            last, carried = loop.run.calls[-1], set(loop.run.carry.values())
            for k in range(len(loop.run.callee.outputs)):
                results = loop.run.results(k)[: -1 if k in carried else None]
                if any(v in used for v in results) or (
                    k not in carried and last.outputs[k] in used
                ):
                    loop.want(loop.offers["output", k])

    def read(self, loop: _Loop) -> list[Atom]:
        """What a loop reads beside the stacks of other loops."""
        first = loop.run.calls[0]
        atoms = [first.inputs[p] for p in (*loop.invariant, *loop.run.carry)]
        return atoms + [x for _, stack, _ in loop.stacked for x in stack.atoms]

    def _sort_operands(self, loop: _Loop) -> None:
        run = loop.run
        differing: dict[int, tuple[Any, ...]] = {}
        for p in range(len(run.callee.inputs)):
            if p in run.carry:
                continue
            keys = tuple(_key(x) for x in run.operands(p))
            if len(set(keys)) == 1:
                loop.invariant.append(p)
            else:
                differing[p] = keys
        votes = 0
        for p, keys in differing.items():
            size = bytes_of(run.callee.inputs[p].aval)
            votes += size * ((self._find(keys) is not None) - (self._find(keys[::-1]) is not None))
        loop.reverse = votes < 0
        for p, keys in differing.items():
            keys = keys[::-1] if loop.reverse else keys
            stack, start = self._find(keys) or (None, 0)
            if stack is None:
                atoms = loop.ordered(run.operands(p))
                var = Var(stacked(run.callee.inputs[p].aval, len(keys)))
                stack = self._offer(_Stack(var, keys, atoms=atoms))
            elif stack.loop is not None:
                stack.loop.want(stack)
            loop.stacked.append((p, stack, start))
        for k, v in enumerate(run.callee.outputs):
            self._offer_of(loop, ("output", k), run.results(k), v.aval)
        for p, k in run.carry.items():
            entering = [run.calls[0].inputs[p], *run.results(k)[:-1]]
            self._offer_of(loop, ("entry", p), entering, run.callee.inputs[p].aval)

    def _offer_of(
        self, loop: _Loop, what: tuple[str, int], atoms: Sequence[Atom], aval: Any
    ) -> None:
        keys = tuple(_key(x) for x in loop.ordered(atoms))
        stack = _Stack(Var(stacked(aval, len(keys))), keys, loop, what)
        loop.offers[what] = self._offer(stack)

    def _offer(self, stack: _Stack) -> _Stack:
        for i, key in enumerate(stack.keys):
            self._places.setdefault(key, []).append((stack, i))
        return stack

    def _find(self, keys: tuple[Any, ...]) -> tuple[_Stack, int] | None:
        """A stack with `keys` as neighbouring rows, and where they begin."""
        for stack, start in self._places.get(keys[0], ()):
            if stack.keys[start : start + len(keys)] == keys:
                return stack, start
        return None


def roll(program: Program, runs: Sequence[Run]) -> Program | None:
    """`program` with `runs` as loops; None where they depend on each other both ways."""
    plan = _Plan(program, runs)
    owner = {id(eq): loop for loop in plan.loops for eq in loop.run.calls}
    producer = {v: owner.get(id(eq), eq) for eq in program.equations for v in eq.outputs}
    emitted: list[Equation] = []

    def needs(node: Any) -> list[Any]:
        atoms = plan.read(node) if isinstance(node, _Loop) else node.inputs
        found = [producer[x] for x in atoms if type(x) is Var and x in producer]
        if isinstance(node, _Loop):
            found += [stack.loop for _, stack, _ in node.stacked if stack.loop is not None]
        return found

    open_, done = 1, 2
    state: dict[int, int] = {}
    for eq in program.equations:
        root = owner.get(id(eq), eq)
        if id(root) in state:
            continue
        state[id(root)] = open_
        path = [(root, iter(needs(root)))]
        while path:  # depth first: what a node needs is emitted before it
            node, rest = path[-1]
            other = next(rest, None)
            if other is None:
                path.pop()
                state[id(node)] = done
                emitted += _equations(node, plan) if isinstance(node, _Loop) else [node]
            elif id(other) not in state:
                state[id(other)] = open_
                path.append((other, iter(needs(other))))
            elif state[id(other)] == open_:
                return None
    return Program(program.inputs, emitted, program.outputs, program.name)


def _equations(loop: _Loop, plan: _Plan) -> list[Equation]:
    """Stack, loop, take apart."""
    run, n = loop.run, len(loop.run.calls)
    first, last, line = run.calls[0], run.calls[-1], run.calls[0].source
    emitted: list[Equation] = []
    xs: list[Var] = []
    for _, stack, start in loop.stacked:
        if stack.atoms and not stack.made:
            stack.made = True
            emitted += stack_equations(stack.atoms, stack.var, line)
        rows = stack.var
        if len(stack.keys) != n:
            rows = Var(stacked(unstacked(stack.var.aval), n))
            emitted += part_equations(stack.var, start, rows, line)
        xs.append(rows)
    consts = [p for p in loop.invariant if type(first.inputs[p]) is Var]
    carried = list(run.carry)
    finals: list[Var] = []
    for p in carried:
        v = last.outputs[run.carry[p]]
        finals.append(Var(v.aval) if v in finals else v)
    operands = [*(first.inputs[p] for p in (*consts, *carried)), *xs]
    params = {
        "program": _body(loop, consts, carried),
        "n_consts": len(consts),
        "n_carry": len(carried),
        "length": n,
        "reverse": loop.reverse,
        "unroll": 1,
    }
    outputs = [*finals, *(stack.var for stack in loop.ys)]
    emitted.append(Equation(scan_p, operands, outputs, params, line))
    given = set(finals)
    for stack in loop.ys:
        if stack.what[0] == "output":
            single = [(i, v) for i, v in enumerate(stack.keys) if v in plan.used and v not in given]
            given.update(v for _, v in single)
            if single:
                emitted += unstack_equations(stack.var, single, line)
    return emitted


def _body(loop: _Loop, consts: Sequence[int], carried: Sequence[int]) -> Program:
    """Invariants, carry and stacked operands to carry and stacked results: one call."""
    callee, first = loop.run.callee, loop.run.calls[0]
    inner = [Var(v.aval) for v in callee.inputs]
    made = [Var(v.aval) for v in callee.outputs]
    given = [
        first.inputs[p] if p in loop.invariant and p not in consts else x
        for p, x in enumerate(inner)
    ]
    inputs = [inner[p] for p in (*consts, *carried, *(p for p, _, _ in loop.stacked))]
    pieces = {"output": made, "entry": inner}
    outputs = [made[loop.run.carry[p]] for p in carried]
    outputs += [pieces[kind][i] for kind, i in (stack.what for stack in loop.ys)]
    equation = Equation(call_p, given, made, {"program": callee}, first.source)
    return intern(Program(inputs, [equation], outputs, callee.name))
