"""Composite operations of JAX's, which are made of others and bring rules of their own.

Since jax 0.12 `lax.custom_root`, `custom_vjp` with some of its options and whoever writes such
operations arrive as one equation, so that their derivatives hold inside our transformations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxcore import backend
from jaxcore.ir import Program, Var
from jaxcore.ops.custom import program_primitive
from jaxcore.primitive import Linear, mirror
from jaxcore.trace import StageTrace, StageTracer, aval_of, trace_program

__all__ = ["hi_p"]


def _jvp(
    primals: Sequence[Any], tangents: Sequence[Any], *, program: Any, composite: Any, n_consts: int
) -> Any:
    primals, tangents = primals[n_consts:], tangents[n_consts:]
    given = [
        backend.Zero(aval_of(p).to_tangent_aval()) if t is None else t
        for p, t in zip(primals, tangents, strict=True)
    ]
    rule = backend.jvp_rule(backend.hi_p)
    assert rule is not None
    outs, moved = rule(primals, given, _prim=composite)
    return list(outs), [None if type(t) is backend.Zero else t for t in moved]


def _linearize(avals: Sequence[Any], active: tuple[bool, ...], **params: Any) -> Any:
    """By the operation's jvp, or by its backward pass where it has that alone."""
    from jaxcore.transforms.linearize import split_jvp, split_trace

    composite, n_consts = params["composite"], params["n_consts"]
    if backend.hi_has_jvp(composite):
        return split_jvp(hi_p, avals, active, params)
    trace = StageTrace(hi_p.name)
    primals = [Var(a) for a in avals]
    tangents = [
        Var(a.to_tangent_aval()) if on else None for a, on in zip(avals, active, strict=True)
    ]
    with backend.set_current_trace(trace):
        given = [StageTracer(trace, v, None) for v in primals[n_consts:]]
        directions = [
            backend.Zero(a.to_tangent_aval()) if v is None else StageTracer(trace, v, None)
            for v, a in zip(tangents[n_consts:], avals[n_consts:], strict=True)
        ]
        outs, moved = backend.linearize_hi(composite, active[n_consts:], given, directions)
        values = [trace.lift(x) for x in outs]
        tangent_outs = [None if type(t) is backend.Zero else trace.lift(t) for t in moved]
    return split_trace(trace, primals, [v for v in tangents if v is not None], values, tangent_outs)


def _transpose(
    cts: list[Any], args: Sequence[Any], *, program: Any, composite: Any, n_consts: int
) -> list[Any]:
    avals = program.out_avals
    given = [
        backend.Zero(a.to_tangent_aval()) if ct is None else ct
        for ct, a in zip(cts, avals, strict=True)
    ]
    linear = [type(a) is Linear for a in args[n_consts:]]
    back = backend.transpose(backend.hi_p, given, args[n_consts:], linear, {"_prim": composite})
    return [None] * n_consts + back


def _batch(
    size: int,
    args: Sequence[Any],
    dims: Sequence[int | None],
    *,
    program: Any,
    composite: Any,
    n_consts: int,
) -> Any:
    params = {"_prim": composite}
    return backend.batch(backend.hi_p, size, args[n_consts:], dims[n_consts:], params)


hi_p = program_primitive(
    "hi_primitive", jvp=_jvp, linearize=_linearize, transpose=_transpose, batch=_batch
)


@mirror(backend.hi_p)
def _from_jax(args: Sequence[Any], params: dict[str, Any]) -> Any:
    composite = params["_prim"]
    program, consts = _expanded(composite, [aval_of(a) for a in args])
    ours = {"program": program, "composite": composite, "n_consts": len(consts)}
    return hi_p, [*consts, *args], ours


def _expanded(composite: Any, avals: Sequence[Any]) -> tuple[Program, list[Any]]:
    """The program of the operations that it is made of."""
    expand = lambda *args: backend.expand_hi(composite, args)
    return trace_program(expand, avals, type(composite).__name__)
