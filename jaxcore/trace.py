"""Tracing: what an operation does depends on the trace that is current, and ours are JAX's traces.

`bind` hands an operation to the current trace. `StageTrace` records it as an equation; the traces
of `jaxcore.transforms` compute derivatives or batches. Because they subclass JAX's own `Trace` and
`Tracer`, JAX's functions run on our tracers: a JAX primitive that arrives in `process_primitive`
becomes its native equation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np

from jaxcore import backend, errors
from jaxcore.axes import align, result_types, vary
from jaxcore.backend import ShapedArray
from jaxcore.collector import collector_paused
from jaxcore.ir import Atom, Equation, Literal, Program, Var, checked, intern, live_equations
from jaxcore.primitive import Primitive, from_jax
from jaxcore.source import (
    Source,
    current_source,
    forget_frames,
    relative_path,
    resolved,
    swap_source,
)
from jaxcore.values import SCALAR_KINDS, SCALARS, aval_of, numpy_literal, scalar_literal

__all__ = [
    "JaxcoreTrace",
    "JaxcoreTracer",
    "StageTrace",
    "StageTracer",
    "aval_of",
    "bind",
    "bind_with",
    "eval_program",
    "is_staging",
    "trace_program",
]


class JaxcoreTracer(backend.Tracer):
    """A value known by its type only (operators and methods are attached by `jaxcore.numpy`)."""

    __slots__ = ()

    def _contents(self) -> list[tuple[str, Any]]:
        """JAX asks: may this value have a derivative, where a function closes over it?"""
        aval: Any = self.aval.to_tangent_aval()
        trivial = aval.dtype == backend.float0
        return [] if trivial else [("tangent", backend.perturbed)]


class JaxcoreTrace(backend.Trace):
    """Base of our traces; `process` takes one of our primitives and returns the list of its
    results.
    """

    __slots__ = ("manual",)

    def __init__(self) -> None:
        super().__init__()
        self.requires_low = False  # composite operations of JAX arrive with their own derivatives
        self.manual = backend.manual_mesh()  # where types say over which axes a value varies

    def process(
        self, primitive: Primitive, args: Sequence[Any], params: dict[str, Any]
    ) -> list[Any]:
        """Apply `primitive`; traces of a transformation define what that means."""
        raise NotImplementedError(f"{type(self).__name__} does not define process.")

    def process_primitive(self, primitive: Any, tracers: Any, params: Any, /) -> Any:
        """JAX's entry: the operation is one of JAX's primitives."""
        ours, args, native = from_jax(primitive, tracers, params)
        with backend.set_current_trace(self):
            out = self.process_foreign(ours, args, native)
        return out if primitive.multiple_results else out[0]

    def process_foreign(
        self, primitive: Primitive, args: Sequence[Any], params: dict[str, Any]
    ) -> list[Any]:
        """`process` of an operation that JAX's own functions produced."""
        return self.process(primitive, args, params)

    def process_call(
        self, primitive: Any, fun: Any, tracers: Any, params: Any, /
    ) -> Any:  # jax < 0.12
        """JAX's older call primitives say nothing but where a function began: run it here."""
        with backend.set_current_trace(self):
            return fun.call_wrapped(*tracers)

    def process_shard_map(self, primitive: Any, fun: Any, args: Any, /, **settings: Any) -> Any:
        from jaxcore.ops.shard_map import stage_shard_map

        with backend.set_current_trace(self):
            return stage_shard_map(fun, args, **settings)

    def process_custom_jvp_call(
        self, primitive: Any, fun: Any, jvp: Any, tracers: Any, /, *, symbolic_zeros: bool
    ) -> Any:
        from jaxcore.ops.custom_jax import stage_custom_jvp

        with backend.set_current_trace(self):
            return stage_custom_jvp(fun, jvp, tracers, symbolic_zeros)

    def process_custom_vjp_call(
        self,
        primitive: Any,
        fun: Any,
        fwd: Any,
        bwd: Any,
        tracers: Any,
        /,
        *,
        out_trees: Any,
        symbolic_zeros: bool,
    ) -> Any:
        from jaxcore.ops.custom_jax import stage_custom_vjp

        with backend.set_current_trace(self):
            return stage_custom_vjp(fun, fwd, bwd, tracers, out_trees, symbolic_zeros)


class StageTracer(JaxcoreTracer):
    """Stands for a variable of the program being recorded."""

    __slots__ = ("source", "variable")

    def __init__(self, trace: StageTrace, var: Var, source: Source | None) -> None:
        self._trace = trace
        self.aval = var.aval
        self.variable = var
        self.source = source

    def to_concrete_value(self) -> Any:
        return self._trace.concrete(self.variable)

    def _origin_msg(self) -> str:
        return errors.origin(self)

    @property
    def _debug_info(self) -> Any:
        where = f" The value was created at {self.source}." if self.source is not None else ""
        return SimpleNamespace(func_src_info=self._trace.name, traced_for="jaxcore" + where)


class StageTrace(JaxcoreTrace):
    """Records operations as equations; arrays and outer tracers that are captured become leading
    inputs.
    """

    __slots__ = ("consts", "equations", "name")

    def __init__(self, name: str = "main") -> None:
        super().__init__()
        self.name = name
        self.equations: list[Equation] = []
        self.consts: dict[int, tuple[Var, Any]] = {}

    def lift(self, x: Any) -> Atom:
        """The atom of this program that stands for `x`."""
        if type(x) is StageTracer and x._trace is self:
            return x.variable
        found = self.consts.get(id(x))
        if found is not None:
            return found[0]
        kind = type(x)
        if kind in SCALARS:
            return scalar_literal(x)
        if isinstance(x, SCALAR_KINDS) and hasattr(x, "dtype") and not np.shape(x):
            return numpy_literal(x)
        if isinstance(x, backend.Tracer):
            errors.check_live(x)
        aval = aval_of(x)
        if self.manual is not None and aval.sharding.mesh is not self.manual:
            aval = backend.retyped(aval, self.manual, backend.varying(aval))
        elif not aval.sharding.mesh.empty:
            aval = backend.plain(aval)
        var = Var(aval)
        self.consts[id(x)] = (var, x)
        return var

    def process(
        self, primitive: Primitive, args: Sequence[Any], params: dict[str, Any]
    ) -> list[Any]:
        if self.manual is not None:
            args = align(primitive, args, params, self.manual)
        inputs = [
            a.variable if type(a) is StageTracer and a._trace is self else self.lift(a)
            for a in args
        ]
        source = current_source()
        avals = [x.aval for x in inputs]
        try:
            types = primitive.type(*avals, **params)
        except (TypeError, ValueError) as error:
            raise errors.with_source(error, primitive, avals, source) from None
        if self.manual is not None:
            types = result_types(primitive, types, avals, params, self.manual)
        if primitive.multiple_results:
            outputs = [Var(t) for t in types]
            self.equations.append(Equation(primitive, inputs, outputs, params, source))
            return [StageTracer(self, v, source) for v in outputs]
        output = Var(types)
        self.equations.append(Equation(primitive, inputs, [output], params, source))
        return [StageTracer(self, output, source)]

    def process_foreign(
        self, primitive: Primitive, args: Sequence[Any], params: dict[str, Any]
    ) -> list[Any]:
        """The little jitted helpers of JAX's library are not worth a function of their own."""
        if primitive.name == "call":
            program = params["program"]
            if len(program.equations) <= 8:
                return [self.traced(x) for x in self.inline_values(program, args)]
            args = matched(program, args)
        return self.process(primitive, args, params)

    def inline(self, program: Program, atoms: Sequence[Atom]) -> list[Atom]:
        """Append the equations of `program` with its inputs replaced by `atoms`; returns its
        outputs here.
        """
        env: dict[Var, Atom] = dict(zip(program.inputs, atoms, strict=True))
        for eq in program.equations:
            source = resolved(eq.source)
            outputs = []
            for v in eq.outputs:
                new = Var(v.aval)
                env[v] = new
                outputs.append(new)
            inputs = [env[x] if type(x) is Var else x for x in eq.inputs]  # type: ignore[index]
            self.equations.append(Equation(eq.primitive, inputs, outputs, eq.params, source))
        return [env[x] if type(x) is Var else x for x in program.outputs]  # type: ignore[index]

    def inline_values(self, program: Program, args: Sequence[Any]) -> list[Any]:
        """`inline` with values of this trace in and out."""
        atoms = self.inline(program, [self.lift(a) for a in matched(program, args)])
        return [self.value(a) for a in atoms]

    def value(self, atom: Atom) -> Any:
        """The tracer (or scalar) that stands for `atom` while this trace records."""
        return StageTracer(self, atom, None) if type(atom) is Var else literal_value(atom)  # type: ignore[arg-type]

    def stage_value(self, val: Any) -> Any:
        return self.traced(self.value(self.lift(val)))

    def traced(self, x: Any) -> StageTracer:
        """The tracer of `x`, where JAX's functions expect one: also of a number."""
        if type(x) is StageTracer:
            return x
        shape = {"shape": (), "broadcast_dimensions": (), "sharding": None}
        return self.process(*from_jax(jax.lax.broadcast_in_dim_p, (x,), shape))[0]

    def concrete(self, var: Var) -> Any:
        """The value that `var` stands for where it is known while recording, else None."""
        return None

    def finish(self, inputs: Sequence[Var], outputs: Sequence[Atom]) -> tuple[Program, list[Any]]:
        """Close the program: drop what no output needs; captured values come back in the order of
        their inputs.
        """
        self.invalidate()
        forget_frames()
        equations = live_equations(self.equations, outputs)
        used: set[Var] = {x for eq in equations for x in eq.inputs if type(x) is Var}
        used.update(x for x in outputs if type(x) is Var)
        consts = [(v, x) for v, x in self.consts.values() if v in used]
        program = Program([*(v for v, _ in consts), *inputs], equations, outputs, self.name)
        from jaxcore.passes.scalars import share_scalars

        return share_scalars(program), [x for _, x in consts]


def bind(primitive: Primitive, *args: Any, **params: Any) -> Any:
    """Apply `primitive` under the current trace."""
    trace = backend.trace_ctx.trace
    if type(trace) is StageTrace:
        out = trace.process(primitive, args, params)
    else:
        out = bind_with(trace, primitive, args, params)
    return out if primitive.multiple_results else out[0]


def bind_with(
    trace: Any, primitive: Primitive, args: Sequence[Any], params: dict[str, Any]
) -> list[Any]:
    """Apply `primitive` under `trace`, which must be current: ours, JAX's, or the eager one."""
    if isinstance(trace, JaxcoreTrace):
        return trace.process(primitive, args, params)
    if trace is backend.eval_trace:
        from jaxcore import eager

        return eager.run(primitive, args, params)
    mesh = backend.manual_mesh()
    if mesh is not None:
        args = align(primitive, args, params, mesh, scalars=True)
    if primitive.jax is None:
        from jaxcore.lower import bind_program

        return bind_program(single_program(primitive, args, params), args)
    out = primitive.jax.bind(*args, **primitive.jax_params(params))
    return list(out) if primitive.jax.multiple_results else [out]


def single_program(primitive: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Program:
    """A program of one equation."""
    trace = StageTrace(primitive.name)
    inputs = [Var(aval_of(a)) for a in args]
    with backend.set_current_trace(trace):
        out = trace.process(primitive, [StageTracer(trace, v, None) for v in inputs], params)
        outputs = [trace.lift(o) for o in out]
    return intern(trace.finish(inputs, outputs)[0])


def trace_program(
    fun: Callable[..., Sequence[Any]],
    avals: Sequence[ShapedArray],
    name: str,
    shared: bool = True,
    relative: bool = True,
) -> tuple[Program, list[Any]]:
    """Record ``fun(*tracers) -> flat outputs``; the program and the values it captured, its first
    inputs. It is interned unless it is not `shared`: nothing calls it or looks for it again.
    Module paths are `relative` to the equation that will call it, or as where it is recorded.
    """
    trace = StageTrace(name)
    inputs = [Var(a if a.sharding.mesh.empty else backend.plain(a)) for a in avals]
    with collector_paused():
        with backend.set_current_trace(trace), relative_path() if relative else nullcontext():
            results = fun(*[StageTracer(trace, v, None) for v in inputs])
            outputs = [trace.lift(r) for r in results]
        program, consts = trace.finish(inputs, outputs)
        return (intern if shared else checked)(program), consts


def eval_program(
    program: Program, args: Sequence[Any], change: Callable[[Var, Any], Any] | None = None
) -> list[Any]:
    """Run the equations of `program` on `args` under the current trace; locations are kept.
    What later equations read of a result is `change(variable, result)`, where that is given.
    """
    trace = backend.trace_ctx.trace
    env: dict[Var, Any] = dict(zip(program.inputs, matched(program, args), strict=True))
    previous = swap_source(None)
    try:
        for eq in program.equations:
            swap_source(previous)
            swap_source(resolved(eq.source))
            values = [env[x] if type(x) is Var else literal_value(x) for x in eq.inputs]  # type: ignore[index,arg-type]
            results = bind_with(trace, eq.primitive, values, eq.params)
            for v, value in zip(eq.outputs, results, strict=True):
                env[v] = value if change is None else change(v, value)
    except Exception as error:
        errors.located(error, eq)
        raise
    finally:
        swap_source(previous)
    return [env[x] if type(x) is Var else literal_value(x) for x in program.outputs]  # type: ignore[index,arg-type]


def matched(program: Program, args: Sequence[Any]) -> Sequence[Any]:
    """`args` with the weak types of the program's inputs, from which its equations got theirs, and
    varying over the same axes of a mesh.
    """
    found = args
    for i, (v, x) in enumerate(zip(program.inputs, args, strict=True)):
        aval, given = v.aval, aval_of(x)
        if given.weak_type != aval.weak_type and aval.dtype != backend.float0:
            from jaxcore.ops.convert import convert

            x = convert(x, aval.dtype, aval.weak_type)
            found = [*found[:i], x, *found[i + 1 :]]
        if aval.manual_axis_type is not given.manual_axis_type and backend.varying(aval):
            x = vary(x, backend.varying(aval), aval.sharding.mesh)
            found = [*found[:i], x, *found[i + 1 :]]
    return found


def literal_value(x: Literal) -> Any:
    """A Python or NumPy scalar that has the literal's type when it is lifted again."""
    from jaxcore.ops.basic import literal

    return literal(x)


def is_staging() -> bool:
    """True while operations are being recorded (under `jit`), at any depth of transformations."""
    trace = backend.trace_ctx.trace
    while trace is not None:
        if type(trace) is StageTrace:
            return True
        trace = getattr(trace, "parent", None)
    return False
