"""How XLA sees the calls of a program: inline, outlined, or rolled into a loop.

XLA's CPU backend inlines calls before it fuses, and then fuses a residual chain again into every
block's gradient: compile time and the step grow with the square of the depth. A block compiled as a
computation of its own (outlined) costs the traffic of its operands and results through memory, and
compile time grows with the depth only; a chain of blocks as a loop (rolled) is compiled once, and
costs the stacking of what differs from block to block. Other backends inline: nothing was measured
on them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from jaxcore.ir import Atom, Equation, Program, Var
from jaxcore.ops.call import call_p
from jaxcore.ops.cond import cond_p
from jaxcore.ops.loop import while_p
from jaxcore.ops.pieces import slice_p
from jaxcore.ops.scan import scan_p
from jaxcore.ops.shape import reshape_p, squeeze_p
from jaxcore.passes.periods import grouped
from jaxcore.passes.pieces import assembled
from jaxcore.passes.residuals import bytes_of, rewired
from jaxcore.passes.roll import Run, roll, runs_of
from jaxcore.passes.stacks import alike

__all__ = ["FORMS", "arrange", "check_form"]

FORMS = ("inline", "outlined", "rolled")

_IN_PLACE = (cond_p, scan_p, while_p)
_SIZE = 12  # operations from which a call is worth a computation of its own
_FEW, _MANY = 3, 32  # calls from which blocks are outlined, and rolled
_LYING = 16  # calls from which blocks whose operands lie stacked are rolled
_HEAVY = 16  # calls up to which blocks whose operands outweigh the rest stay inline


def check_form(blocks: str | None) -> None:
    """Raise for a form of calls that there is not."""
    if blocks is not None and blocks not in FORMS:
        raise ValueError(
            f"jit: blocks={blocks!r} is not a form of calls. Fix: one of "
            f"{', '.join(map(repr, FORMS))}, or None to let each call be decided by its cost."
        )


def arrange(
    program: Program, platforms: tuple[str, ...], blocks: str | None = None
) -> tuple[Program, set[Program]]:
    """`program` with some chains of calls as loops, and the callees that XLA must not inline.

    Args:
      program: what is to be lowered.
      platforms: what for, such as ``("cpu",)``.
      blocks: the form of all calls; None decides for each chain by its cost.
    """
    on_cpu = platforms == ("cpu",)
    if blocks is None and not on_cpu:
        blocks = "inline"
    if blocks != "inline" and _calls(program):
        program = flattened(program)
    if blocks in (None, "rolled"):
        program = _rolled(program, forced=bool(blocks))
    if not on_cpu:  # the only backend that knows how to keep a call
        return program, set()
    counts, sizes, again = _count(program)
    if blocks in (None, "outlined"):
        again.update(
            p
            for p, n in counts.items()
            if n >= (2 if blocks else _FEW)
            and sizes[p] >= _SIZE
            and (blocks or n > _HEAVY or not _heavy(p))
        )
    return program, again


def _rolled(program: Program, forced: bool) -> Program:
    """`program` with its chains of blocks as loops: all of them, or those that are worth it."""
    runs = _chosen(program, 2 if forced else _LYING, forced)
    taken = [eq for run in runs for eq in run.calls]
    alternating = grouped(program, 4 if forced else _MANY, taken)
    if alternating is not None:
        more = _chosen(alternating, 2, forced)
        if len(more) > len(runs):
            program, runs = alternating, more
    rolled = roll(program, runs) if runs else None
    # What the loops stack may lie stacked already, and what they make may be used as it is.
    return program if rolled is None else alike(assembled(rolled))


def _chosen(program: Program, least: int, forced: bool) -> list[Run]:
    runs = runs_of(program, least)
    if forced or not runs:
        return runs
    made: dict[Atom, Equation] = {v: eq for eq in program.equations for v in eq.outputs}
    return [run for run in runs if _worth_a_loop(run, made)]


def _calls(program: Program) -> bool:
    return any(eq.primitive is call_p for eq in program.equations)


def _worth_a_loop(run: Run, made: Mapping[Atom, Equation]) -> bool:
    """A long chain of blocks of some size, whose operands lie stacked or are small beside the rest.

    `made` says what makes each variable of the program.
    """
    blocks = len(run.calls) * max(1, sum(eq.primitive is call_p for eq in run.callee.equations))
    if blocks < _LYING or _operations(run.callee) < _SIZE:
        return False
    return _lies_stacked(run, made) or (blocks >= _MANY and not _heavy(run.callee))


def _lies_stacked(run: Run, made: Mapping[Atom, Equation]) -> bool:
    """Whether operands differ between calls, and each is made by calls or cut from one array."""

    def origin(x: Atom) -> Any:
        while (eq := made.get(x)) is not None and eq.primitive in (reshape_p, squeeze_p):
            x = eq.inputs[0]
        if eq is None:
            return None
        return eq.inputs[0] if eq.primitive is slice_p else eq.params.get("program")

    operands = [run.operands(p) for p in range(len(run.callee.inputs)) if p not in run.carry]
    differing = [atoms for atoms in operands if any(x is not atoms[0] for x in atoms)]
    for atoms in differing:
        found, times = Counter(map(origin, atoms)).most_common(1)[0]
        if found is None or times < len(atoms) - 1:  # what enters the first block is made elsewhere
            return False
    return bool(differing)


def _heavy(callee: Program) -> bool:
    """True where what a block reads and returns outweighs what it computes on the way: parameters
    and their gradients, mostly.
    """
    passed = {*callee.inputs, *(x for x in callee.outputs if type(x) is Var)}
    inside = 0
    for eq in callee.equations:
        if eq.primitive is call_p:  # a period of blocks: what each of them computes on the way
            body = eq.params["program"]
            inside += sum(bytes_of(v.aval) for e in body.equations for v in e.outputs)
            inside -= sum(bytes_of(x.aval) for x in body.outputs)
        inside += sum(bytes_of(v.aval) for v in eq.outputs if v not in passed)
    return sum(bytes_of(v.aval) for v in passed) > inside


def _operations(program: Program) -> int:
    return _count(program)[1][program]


def _count(program: Program) -> tuple[dict[Program, int], dict[Program, int], set[Program]]:
    """How often each program is called in the text of `program`, how many operations each has, and
    which ones compute again what a checkpoint did not keep.

    The bodies of loops and branches are not called but stand where they run: as a computation of
    its own, one that several loops shared ran for ever on the CPU where the arrays of the loops
    were laid out in different orders. What is computed again must be a computation of its own: the
    CPU backend drops barriers before it looks for common subexpressions, and would share the second
    computation with the first.
    """
    counts: dict[Program, int] = {}
    sizes: dict[Program, int] = {}
    again: set[Program] = set()

    def visit(p: Program) -> int:
        size = 0
        for eq in p.equations:
            callees = eq.programs
            for callee in callees:
                counts[callee] = counts.get(callee, 0) + (eq.primitive not in _IN_PLACE)
                if eq.params.get("again") and any(eq.params["prevent_cse"]):
                    again.add(callee)
                if callee not in sizes:
                    sizes[callee] = visit(callee)
                size += sizes[callee]
            size += not callees
        return size

    sizes[program] = visit(program)
    return counts, sizes, again


def flattened(program: Program) -> Program:
    """`program` with each call in place whose callee is called once and calls something itself.

    So the blocks of a model are calls of the outermost program, however many modules hold them.
    """
    counts = _count(program)[0]
    if not any(_stands_alone(eq, counts) for eq in program.equations):
        return program
    equations, outputs = _unfolded(program, counts, {})
    return Program(program.inputs, equations, outputs, program.name)


def _stands_alone(eq: Equation, counts: Mapping[Program, int]) -> bool:
    """Whether `eq` is the only call of its callee, which calls something itself."""
    callee: Any = eq.params.get("program") if eq.primitive is call_p else None
    return callee is not None and counts[callee] == 1 and _calls(callee)


def _unfolded(
    program: Program, counts: dict[Program, int], env: dict[Var, Atom]
) -> tuple[list[Equation], list[Atom]]:
    equations: list[Equation] = []
    for eq in program.equations:
        if not _stands_alone(eq, counts):
            equations += rewired([eq], env)
            continue
        callee: Any = eq.params["program"]
        operands = [env.get(x, x) if type(x) is Var else x for x in eq.inputs]
        inner: dict[Var, Atom] = dict(zip(callee.inputs, operands, strict=True))
        body, results = _unfolded(callee, counts, inner)
        equations += body
        env.update(zip(eq.outputs, results, strict=True))
    return equations, [_read(env, x) for x in program.outputs]


def _read(env: dict[Var, Atom], x: Atom) -> Atom:
    return env.get(x, x) if type(x) is Var else x
