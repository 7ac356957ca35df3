"""Linearisation: one pass that computes a function's value and records its derivative as a linear
program.

Each equation is split once for each (primitive, parameters, types, active inputs) into a primal
program, which also computes the coefficients, and a linear program over tangents; the split is read
off the jvp rule by data flow. Under an eager parent the primal program is one cached executable, so
a value costs one dispatch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxcore import backend, errors
from jaxcore.axes import align, vary
from jaxcore.backend import ShapedArray
from jaxcore.ir import Atom, Equation, Program, Var, intern, param_key
from jaxcore.ops.call import call_p, run_program
from jaxcore.primitive import Primitive
from jaxcore.source import HERE, current_source, use_source
from jaxcore.trace import (
    JaxcoreTrace,
    JaxcoreTracer,
    StageTrace,
    StageTracer,
    aval_of,
    bind_with,
    eval_program,
    live_equations,
)
from jaxcore.transforms.lean import Linearized, lean
from jaxcore.transforms.partition import partition

__all__ = [
    "LinearizeTrace",
    "LinearizeTracer",
    "Linearized",
    "linearize_program",
    "linearized",
    "pushed_forward",
]


class LinearizeTracer(JaxcoreTracer):
    """A primal value of the parent trace and the variable of its tangent."""

    __slots__ = ("primal", "tangent")

    def __init__(self, trace: LinearizeTrace, primal: Any, tangent: Atom) -> None:
        self._trace = trace
        self.aval = aval_of(primal)
        self.primal = primal
        self.tangent = tangent

    def to_concrete_value(self) -> Any:
        """Python control flow on values works where the parent is eager."""
        primal = self.primal
        return primal.to_concrete_value() if isinstance(primal, backend.Tracer) else primal

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise backend.conversion_error(self)

    def _origin_msg(self) -> str:
        return errors.origin(self)


class LinearizeTrace(JaxcoreTrace):
    """Computes primals under `parent` and appends to `linear`, a program over tangents."""

    __slots__ = ("linear", "name", "parent")

    def __init__(self, parent: Any, name: str = "linearize") -> None:
        super().__init__()
        self.parent = parent
        self.linear = StageTrace("linear")
        self.name = name

    def new(self, primal: Any, tangent_aval: ShapedArray) -> tuple[LinearizeTracer, Var]:
        """A tracer for an active input and the variable of its tangent."""
        var = Var(tangent_aval)
        return LinearizeTracer(self, primal, var), var

    def split(self, x: Any) -> tuple[Any, Atom | None]:
        """Primal and tangent (None: zero) of a value."""
        if type(x) is LinearizeTracer and x._trace is self:
            return x.primal, x.tangent
        return x, None

    def process(
        self, primitive: Primitive, args: Sequence[Any], params: dict[str, Any]
    ) -> list[Any]:
        if self.manual is not None:
            args = align(primitive, args, params, self.manual)
        pairs = [self.split(a) for a in args]
        primals = [p for p, _ in pairs]
        active = tuple([t is not None for _, t in pairs])
        differentiable = (
            primitive.jvp is not None or primitive.linearize is not None or primitive is call_p
        )
        with backend.set_current_trace(self.parent):
            if not differentiable or True not in active:
                return bind_with(self.parent, primitive, primals, params)
            split = linearized(primitive, [aval_of(p) for p in primals], active, params)
            operands = [*split.consts, *primals]
            if primitive is call_p and self.parent is not backend.eval_trace:
                results = bind_with(self.parent, call_p, operands, {"program": split.primal})
            else:
                results = run_program(split.primal, operands)
        pool = [*primals, *results]
        tangents: list[Atom] = [t for _, t in pairs if t is not None]
        atoms = [self.linear.lift(pool[i]) for i in split.residuals] + tangents
        if primitive is call_p and self.parent is not backend.eval_trace:
            outs: list[Atom] = [Var(a) for a in split.linear.out_avals]
            equation = Equation(call_p, atoms, outs, {"program": split.linear}, current_source())  # type: ignore
            self.linear.equations.append(equation)
        else:
            outs = self.linear.inline(split.linear, atoms)
        it = iter(outs)
        moved = [next(it) if a else None for a in split.active]
        return [
            r if t is None or t.aval.dtype == backend.float0 else self.tracer(r, t)
            for r, t in zip(results, moved, strict=False)
        ]

    def tracer(self, primal: Any, tangent: Atom) -> LinearizeTracer:
        """The pair; the tangent, typed by a rule of its own, gets the weak type of the primal, and
        varies over the same axes of a mesh.
        """
        made: Any = LinearizeTracer(self, primal, tangent)
        if self.manual is not None:
            with backend.set_current_trace(self.linear):
                moved = self.linear.value(tangent)
                moved = vary(moved, backend.varying(made.aval), self.manual)
                made.tangent = tangent = self.linear.lift(moved)
        weak = made.aval.weak_type
        if tangent.aval.weak_type != weak and tangent.aval.dtype != backend.float0:
            from jaxcore.ops.convert import convert_element_type_p

            made.tangent = out = Var(tangent.aval.update(weak_type=weak))
            params = {"new_dtype": out.aval.dtype, "weak_type": weak}
            self.linear.equations.append(
                Equation(convert_element_type_p, [tangent], [out], params, current_source())
            )
        return made

    def stage_value(self, val: Any) -> Any:
        owner = type(val) is LinearizeTracer and val._trace is self
        return val if owner else self.parent.stage_value(val)


_splits: dict[Any, Linearized] = {}


def linearized(
    primitive: Primitive,
    avals: Sequence[ShapedArray],
    active: tuple[bool, ...],
    params: dict[str, Any],
) -> Linearized:
    """The split of one equation, memoised."""
    if primitive is call_p:
        return linearize_program(params["program"], active)
    key = (primitive, tuple(avals), active, param_key(params), backend.trace_context())
    split = _splits.get(key)
    if split is None:
        with use_source(HERE):
            if primitive.linearize is not None:
                split = primitive.linearize(avals, active, **params)
            else:
                split = split_jvp(primitive, avals, active, params)
        if len(_splits) > 16384:
            _splits.clear()
        if not any(isinstance(c, backend.Tracer) for c in split.consts):
            _splits[key] = split
    return split


def split_jvp(
    primitive: Primitive,
    avals: Sequence[ShapedArray],
    active: Sequence[bool],
    params: dict[str, Any],
) -> Linearized:
    """Trace the jvp rule and split it: what depends on a tangent is linear, the rest is primal."""
    assert primitive.jvp is not None
    rule = primitive.jvp
    trace = StageTrace(primitive.name)
    primals = [Var(a) for a in avals]
    tangents = [
        Var(a.to_tangent_aval()) if on else None for a, on in zip(avals, active, strict=True)
    ]
    with backend.set_current_trace(trace):
        out, out_tangent = rule(
            [StageTracer(trace, v, None) for v in primals],
            [StageTracer(trace, v, None) if v is not None else None for v in tangents],
            **params,
        )
        if not primitive.multiple_results:
            out, out_tangent = [out], [out_tangent]
        outs = [trace.lift(o) for o in out]
        tangent_outs = [None if t is None else trace.lift(t) for t in out_tangent]
    return split_trace(trace, primals, [t for t in tangents if t is not None], outs, tangent_outs)


def split_trace(
    trace: StageTrace,
    primals: Sequence[Var],
    tangents: Sequence[Var],
    outs: Sequence[Atom],
    tangent_outs: Sequence[Atom | None],
) -> Linearized:
    """Split what `trace` recorded at `tangents` into a primal and a linear program."""
    trace.invalidate()
    needed = [*outs, *(t for t in tangent_outs if t is not None)]
    equations = live_equations(trace.equations, needed)
    known, linear = partition(equations, set(tangents))
    value = {id(eq) for eq in live_equations(known, outs)}
    for eq in [*linear, *(eq for eq in known if id(eq) not in value)]:
        eq.source = eq.source.during("derivative")
    made_linear = set(tangents) | {v for eq in linear for v in eq.outputs}
    consts = list(trace.consts.values())
    used_in_linear: dict[Var, None] = {}
    for x in [x for eq in linear for x in eq.inputs] + [t for t in tangent_outs if t is not None]:
        if type(x) is Var and x not in made_linear:
            used_in_linear[x] = None
    pool: dict[Var, int] = {}
    for i, v in enumerate(primals):
        pool.setdefault(v, i)
    results: list[Atom] = list(outs)
    for j, x in enumerate(outs):
        if type(x) is Var:
            pool.setdefault(x, len(primals) + j)
    for x in used_in_linear:
        if x not in pool:
            pool[x] = len(primals) + len(results)
            results.append(x)
    residuals = list(used_in_linear)
    linear_program = intern(
        Program(
            [*residuals, *tangents],
            linear,
            [t for t in tangent_outs if t is not None],
            "linear",
        )
    )
    known = live_equations(known, results)
    used = {x for eq in known for x in eq.inputs} | set(results)
    kept = [(v, x) for v, x in consts if v in used]
    primal = intern(Program([*(v for v, _ in kept), *primals], known, results, trace.name))
    return Linearized(
        primal,
        tuple(x for _, x in kept),
        linear_program,
        tuple(pool[v] for v in residuals),
        tuple(t is not None for t in tangent_outs),
    )


def linearize_program(program: Program, active: tuple[bool, ...]) -> Linearized:
    """The split of a program, memoised on it."""
    key = ("linearize", active, backend.trace_context())
    found = program.memo.get(key)
    if found is None:
        found = _linearize_program(program, active)
        if not any(isinstance(c, backend.Tracer) for c in found.consts):
            program.memo[key] = found
    return found


def pushed_forward(
    program: Program, primals: Sequence[Any], tangents: Sequence[Any]
) -> tuple[list[Any], list[Any]]:
    """Results of `program` and their tangents, under the current trace; None is a zero tangent."""
    active = tuple([t is not None for t in tangents])
    split = linearize_program(program, active)
    results = run_program(split.primal, [*split.consts, *primals])
    pool = [*primals, *results]
    given = [t for t in tangents if t is not None]
    moved = iter(run_program(split.linear, [*(pool[i] for i in split.residuals), *given]))
    return results[: len(split.active)], [next(moved) if on else None for on in split.active]


def _linearize_program(program: Program, active: tuple[bool, ...]) -> Linearized:
    stage = StageTrace(program.name)
    trace = LinearizeTrace(stage)
    primals = [Var(a) for a in program.in_avals]
    tangents: list[Var] = []
    args: list[Any] = []
    for v, on in zip(primals, active, strict=True):
        value: Any = StageTracer(stage, v, None)
        if on:
            value, tangent = trace.new(value, v.aval.to_tangent_aval())
            tangents.append(tangent)
        args.append(value)
    with backend.set_current_trace(trace):
        pairs = [trace.split(x) for x in eval_program(program, args)]
    outs = [stage.lift(p) for p, _ in pairs]
    linear, residual_values = trace.linear.finish(tangents, [t for _, t in pairs if t is not None])
    trace.invalidate()
    linear = intern(linear)
    pool: dict[Var, int] = {}
    for i, v in enumerate(primals):
        pool.setdefault(v, i)
    results: list[Atom] = list(outs)
    for j, x in enumerate(outs):
        if type(x) is Var:
            pool.setdefault(x, len(primals) + j)
    indices = []
    for value in residual_values:
        atom = stage.lift(value)
        if type(atom) is not Var or atom not in pool:
            if type(atom) is Var:
                pool[atom] = len(primals) + len(results)
            indices.append(len(primals) + len(results))
            results.append(atom)
        else:
            indices.append(pool[atom])
    primal, consts = stage.finish(primals, results)
    active_out = tuple(t is not None for _, t in pairs)
    return lean(Linearized(primal, tuple(consts), linear, tuple(indices), active_out))
