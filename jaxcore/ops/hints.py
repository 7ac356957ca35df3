"""Operations that tell the compiler something: barriers, and composites with a name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax

from jaxcore import backend
from jaxcore.backend import ShapedArray, ir, mlir
from jaxcore.cost import program_flops
from jaxcore.ir import Program
from jaxcore.ops.call import program_from_jaxpr
from jaxcore.ops.shape import no_cost
from jaxcore.primitive import Primitive, mirror
from jaxcore.trace import bind

__all__ = ["composite_p", "optimization_barrier_p"]


# --- optimization_barrier -----------------------------------------------------------------------


def _apart(values: Sequence[Any]) -> list[Any]:
    """The values that there are, behind a barrier of their own."""
    given = [v for v in values if v is not None]
    found = iter(bind(optimization_barrier_p, *given) if given else ())
    return [None if v is None else next(found) for v in values]


def _barrier_batch(size: int, args: Sequence[Any], dims: Sequence[int | None]) -> Any:
    return bind(optimization_barrier_p, *args), list(dims)


def _barrier_lower(b: Any, operands: Sequence[Any], avals_in: Any, avals_out: Any) -> list[Any]:
    return list(b.op("stablehlo.optimization_barrier", avals_out, operands).results)


optimization_barrier_p = Primitive(
    "optimization_barrier",
    lambda *avals: list(avals),
    jvp=lambda primals, tangents: (bind(optimization_barrier_p, *primals), _apart(tangents)),
    transpose=lambda cts, args: _apart(cts),
    batch=_barrier_batch,
    lower=_barrier_lower,
    cost=no_cost,
    jax=jax.lax.optimization_barrier_p,
    multiple_results=True,
)


# --- composite ----------------------------------------------------------------------------------


def _composite_type(*avals: ShapedArray, program: Program, **_: Any) -> list[ShapedArray]:
    return list(program.out_avals)


def _composite_jvp(primals: Sequence[Any], tangents: Sequence[Any], **_: Any) -> Any:
    raise ValueError(
        "JVP rule for composite not implemented. Fix: wrap the composite in jax.custom_jvp with a "
        "derivative of your own."
    )


def _composite_lower(
    b: Any,
    operands: Sequence[Any],
    avals_in: Any,
    avals_out: Any,
    *,
    program: Program,
    name: str,
    version: int,
    attributes: tuple[tuple[str, tuple[Any, ...], Any], ...],
) -> list[Any]:
    settings = {key: tree.unflatten(leaves) for key, leaves, tree in attributes}
    op = b.op(
        "stablehlo.composite",
        avals_out,
        operands,
        name=ir.StringAttr.get(name),
        decomposition=b.function(program),
        composite_attributes=ir.DictAttr.get(
            {key: mlir.ir_attribute(v) for key, v in settings.items() if v is not None}
        ),
        version=b.parse(f"{version} : i32"),
    )
    return list(op.results)


composite_p = Primitive(
    "composite",
    _composite_type,
    jvp=_composite_jvp,
    lower=_composite_lower,
    cost=lambda avals_in, avals_out, program, **_: program_flops(program),
    multiple_results=True,
)


@mirror(backend.composite_p)
def _from_composite(args: Sequence[Any], params: dict[str, Any]) -> Any:
    kept = dict(params)
    jaxpr = kept.pop("call_jaxpr" if "call_jaxpr" in kept else "jaxpr")  # renamed in 0.12
    program, consts = program_from_jaxpr(jaxpr, kept["name"])
    return composite_p, [*consts, *args], {**kept, "program": program}
