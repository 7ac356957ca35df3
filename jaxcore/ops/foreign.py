"""JAX primitives without a record of ours: opaque equations whose rules are JAX's own, running on
our tracers.

So the long tail (linear algebra, FFT, special functions, control flow given as jaxprs) works inside
every transformation without a line here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jax.ref import AbstractRef

from jaxcore import backend
from jaxcore.ir import Var, intern, param_key
from jaxcore.ops.basic import zeros
from jaxcore.primitive import Linear, Primitive
from jaxcore.trace import StageTrace, StageTracer, aval_of

__all__ = ["make_opaque"]


def make_opaque(primitive: backend.JaxPrimitive) -> Primitive:
    """Wrap a JAX primitive."""
    types: dict[Any, tuple[list[Any], Any]] = {}
    many = primitive.multiple_results

    def infer(avals: Sequence[Any], params: dict[str, Any]) -> tuple[list[Any], Any]:
        key = (tuple(avals), param_key(params), backend.trace_context())
        found = types.get(key)
        if found is None:
            if len(types) > 4096:
                types.clear()
            found = backend.abstract_eval(primitive, avals, params)
            if any(isinstance(a, AbstractRef) for a in (*avals, *found[0])):
                raise NotImplementedError(
                    f"'{primitive}' works on a mutable reference (jax.Ref), but programs are pure."
                    "\nFix: return the new value, and carry it through a loop by "
                    "jaxcore.lax.scan or fori_loop."
                )
            types[key] = found
        return found

    def type_rule(*avals: Any, **params: Any) -> Any:
        out, _ = infer(avals, params)
        return out if many else out[0]

    def jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
        rule = backend.jvp_rule(primitive)
        if rule is None:
            raise NotImplementedError(f"Differentiation rule for '{primitive}' not implemented")
        given = [
            backend.Zero(aval_of(p).to_tangent_aval()) if t is None else t
            for p, t in zip(primals, tangents, strict=True)
        ]
        out, out_tangents = rule(primals, given, **params)
        if not many:
            return out, None if type(out_tangents) is backend.Zero else out_tangents
        return list(out), [None if type(t) is backend.Zero else t for t in out_tangents]

    def transpose(cts: Any, args: Sequence[Any], **params: Any) -> list[Any]:
        if many:
            out_avals = type_rule(
                *[a.aval if type(a) is Linear else aval_of(a) for a in args], **params
            )
            whole = backend.holds_program(params)
            cts = [
                (zeros if whole else backend.Zero)(a.to_tangent_aval()) if c is None else c
                for c, a in zip(cts, out_avals, strict=True)
            ]
        return backend.transpose(primitive, cts, args, [type(a) is Linear for a in args], params)

    def batch(size: int, args: Sequence[Any], dims: Sequence[int | None], **params: Any) -> Any:
        out, out_dims = backend.batch(primitive, size, args, dims, params)
        return (out, out_dims) if many else (out[0], out_dims[0])

    def linearize(avals: Sequence[Any], active: tuple[bool, ...], **params: Any) -> Any:
        from jaxcore.transforms.linearize import split_jvp

        if backend.holds_program(params):
            return _split_by_jaxpr(primitive, avals, active, params)
        return split_jvp(record, avals, active, params)

    record = Primitive(
        str(primitive),
        type_rule,
        jvp=jvp,
        transpose=transpose,
        batch=batch,
        linearize=linearize,
        effects=lambda avals, params: backend.proper_effects(infer(avals, params)[1]),
        axis_names=lambda avals, params: backend.effect_axes(infer(avals, params)[1]),
        jax=None,
        multiple_results=many,
    )
    record.jax = primitive
    return record


def _split_by_jaxpr(
    primitive: backend.JaxPrimitive,
    avals: Sequence[Any],
    active: tuple[bool, ...],
    params: dict[str, Any],
) -> Any:
    """Linearise an equation that holds jaxprs: JAX splits it, and both halves become programs."""
    from jaxcore.ops.call import program_from_jaxpr
    from jaxcore.transforms.linearize import Linearized

    jaxpr = backend.single_equation_jaxpr(primitive, avals, params)
    forward, n_residuals, active_out, linear = backend.linearize_jaxpr(jaxpr, active)
    primal, consts = program_from_jaxpr(forward, str(primitive))
    linear_program, linear_consts = program_from_jaxpr(linear, "linear")
    if linear_consts:  # constants of the linear half become residuals
        trace = StageTrace("linear")
        inputs = [Var(a) for a in linear_program.in_avals[len(linear_consts) :]]
        with backend.set_current_trace(trace):
            outs = trace.inline(linear_program, [*(trace.lift(c) for c in linear_consts), *inputs])
        linear_program, found = trace.finish(inputs, outs)
        return _with_constant_residuals(
            primal, consts, intern(linear_program), found, n_residuals, avals, active_out
        )
    start = len(avals) + len(primal.outputs) - n_residuals
    return Linearized(
        primal,
        tuple(consts),
        linear_program,
        tuple(range(start, start + n_residuals)),
        tuple(active_out),
    )


def _with_constant_residuals(
    primal: Any,
    consts: Sequence[Any],
    linear: Any,
    extra: Sequence[Any],
    n_residuals: int,
    avals: Sequence[Any],
    active_out: Sequence[bool],
) -> Any:
    from jaxcore.transforms.linearize import Linearized

    stage = StageTrace(primal.name)
    inputs = [Var(a) for a in avals]
    with backend.set_current_trace(stage):
        args = [*consts, *(StageTracer(stage, v, None) for v in inputs)]
        outs = stage.inline(primal, [stage.lift(a) for a in args]) + [stage.lift(x) for x in extra]
    program, found = stage.finish(inputs, outs)
    start = len(avals) + len(primal.outputs) - n_residuals
    n_outs = len(primal.outputs)
    order = [len(avals) + n_outs + i for i in range(len(extra))] + list(
        range(start, start + n_residuals)
    )
    return Linearized(intern(program), tuple(found), linear, tuple(order), tuple(active_out))
