"""Lowering: a `Program` becomes StableHLO inside the module that JAX is building.

`program_p` is the JAX primitive that stands for a program of ours: its lowering emits our
equations, and its jvp, transpose and batching rules let JAX's own transformations work over
functions of ours. A called program becomes a private function of the module, emitted once for each
module.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxcore import backend
from jaxcore.axes import Axis
from jaxcore.backend import mlir
from jaxcore.builder import Builder
from jaxcore.ir import Program
from jaxcore.passes.forms import arrange
from jaxcore.passes.simplify import simplified
from jaxcore.placement import program_params
from jaxcore.primitive import mirror

__all__ = ["bind_program", "primitive_of"]


def bind_program(program: Program, args: Sequence[Any]) -> list[Any]:
    """Apply `program` under one of JAX's traces."""
    primitive = primitive_of(program)
    backend.teach(primitive, _as_jit)
    return primitive.bind(*args, **program_params(program))


def primitive_of(program: Program) -> backend.JaxPrimitive:
    """The JAX primitive that stands for `program`."""
    return program_on_devices_p if _needs_devices(program) else program_p


def _needs_devices(program: Program) -> bool:
    """True where some operation is lowered for the devices at hand, as `pure_callback` is."""
    found = program.memo.get("needs_devices")
    if found is None:
        found = program.memo["needs_devices"] = any(
            backend.needs_devices(eq.primitive.jax, eq.params)
            or any(_needs_devices(p) for p in eq.programs)
            for eq in program.equations
        )
    return found


def _as_jit(*, program: Program, **_: Any) -> dict[str, Any]:
    from jaxcore.ops.as_jax import jit_params

    return jit_params(program=program)


def _lower_program(
    ctx: Any,
    *operands: Any,
    program: Program,
    blocks: str | None = None,
    off: tuple[str, ...] = (),
    **_: Any,
) -> Any:
    if backend.has_symbolic_shapes(ctx):  # JAX's rules know how to write these down
        from jaxcore.ops.as_jax import run_as_jax

        return backend.lower_function(ctx, lambda *args: run_as_jax(program, args), operands)
    if blocks is None and backend.partitions(ctx) > 1:
        blocks = "inline"  # the partitioner looks through no call that has to stay one
    program, outlined = arrange(
        simplified(program, off), tuple(ctx.module_context.platforms), blocks
    )
    builder = Builder(ctx, outlined)
    out = builder.program(program, operands)
    if builder.tokens:
        ctx.set_tokens_out(backend.TokenSet(builder.tokens))
    return out


def _impl(*args: Any, program: Program, **_: Any) -> list[Any]:
    from jaxcore import eager

    return eager.execute(program, args)


def _jvp(primals: Sequence[Any], tangents: Sequence[Any], *, program: Program, **_: Any) -> Any:
    from jaxcore.transforms.linearize import linearize_program

    active = tuple(type(t) is not backend.Zero for t in tangents)
    split = linearize_program(program, active)
    results = bind_program(split.primal, [*split.consts, *primals])
    pool = [*primals, *results]
    residuals = [pool[i] for i in split.residuals]
    given = [t for t, on in zip(tangents, active, strict=True) if on]
    moved = iter(bind_program(split.linear, [*residuals, *given]))
    outs = results[: len(split.active)]
    return outs, [
        next(moved) if on else backend.Zero(o.to_tangent_aval())
        for o, on in zip(program.out_avals, split.active, strict=True)
    ]


def _transpose(cts: Sequence[Any], *args: Any, program: Program, **_: Any) -> list[Any]:
    from jaxcore.transforms.transpose import transpose_program

    linear = tuple(type(a) is backend.UndefinedPrimal for a in args)
    present = tuple(type(c) is not backend.Zero for c in cts)
    back = transpose_program(program, linear, present)
    known = [a for a, on in zip(args, linear, strict=True) if not on]
    given = [c for c in cts if type(c) is not backend.Zero]
    results = iter(bind_program(back.program, [*back.consts, *known, *given]))
    filled = iter(back.present)
    return [
        (next(results) if next(filled) else backend.Zero(a.aval.to_tangent_aval())) if on else None
        for a, on in zip(args, linear, strict=True)
    ]


def _batch(
    axis: Any, args: Sequence[Any], dims: Sequence[Any], *, program: Program, **_: Any
) -> Any:
    from jaxcore.transforms.vmap import batch_program

    named = axis.spmd_name is not None or backend.axis_is_bound(axis.name)
    size = Axis(axis.size, axis.name, axis.spmd_name) if named else axis.size
    batched = batch_program(program, size, tuple(dims))
    outs = bind_program(batched.program, [*batched.consts, *args])
    return outs, list(batched.dims)


def _make(name: str) -> backend.JaxPrimitive:
    primitive = backend.JaxPrimitive(name)
    primitive.multiple_results = True
    primitive.def_effectful_abstract_eval(
        lambda *avals, program, **_: (program.out_avals, set(program.effects))
    )
    primitive.def_impl(_impl)
    mlir.register_lowering(primitive, _lower_program)
    backend.ad.primitive_jvps[primitive] = _jvp
    backend.ad.primitive_transposes[primitive] = _transpose
    backend.batching.fancy_primitive_batchers[primitive] = _batch
    return primitive


program_p = _make("jaxcore_program")
program_on_devices_p = _make("jaxcore_program_on_devices")
backend.require_devices(program_on_devices_p)


@mirror(program_on_devices_p)
@mirror(program_p)
def _from_jax(args: Sequence[Any], params: dict[str, Any]) -> Any:
    """A program of ours inside a function that JAX traced is a call again."""
    from jaxcore.ops.call import call_p

    return call_p, args, {"program": params["program"]}
