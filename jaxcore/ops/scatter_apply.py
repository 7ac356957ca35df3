"""A function of each element, applied at positions known when the program runs.

Where a position occurs several times the function is applied as often.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax

from jaxcore import backend
from jaxcore.cost import program_flops
from jaxcore.ir import Program
from jaxcore.ops.indexing import jax_type
from jaxcore.ops.scatter import scatter_batch
from jaxcore.ops.scatter_lowering import emit_scatter
from jaxcore.primitive import Primitive

__all__ = ["from_update", "scatter_apply_p"]

_scatter_type = jax_type(jax.lax.scatter_p, update_jaxpr=None, update_consts=())


def _type(*avals: Any, program: Program, **params: Any) -> Any:
    (out,), wanted = program.out_avals, avals[0].dtype
    if out.shape or out.dtype != wanted:
        raise TypeError(
            f"scatter_apply: the function must return a scalar of type {wanted}, as it is given, "
            f"got {out}."
        )
    return _scatter_type(*avals, **params)


def _jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
    raise NotImplementedError(
        "scatter_apply JVP not implemented. Fix: gather the elements, apply the function to them, "
        "and scatter them back: x.at[i].set(f(x[i]))."
    )


def _lower(
    b: Any,
    operands: Sequence[Any],
    avals_in: Any,
    avals_out: Any,
    *,
    program: Program,
    **params: Any,
) -> list[Any]:
    return emit_scatter(
        b, operands, avals_in, avals_out, lambda old, _: b.program(program, [old]), **params
    )


def _cost(avals_in: Any, avals_out: Any, *, program: Program, **_: Any) -> int:
    return program_flops(program) * math.prod(avals_in[2].shape)


# Operands: the array, indices, and updates, of which only the shape counts.
scatter_apply_p = Primitive("scatter_apply", _type, jvp=_jvp, lower=_lower, cost=_cost)
scatter_apply_p.batch = scatter_batch(scatter_apply_p)


def from_update(args: Sequence[Any], update: Any, params: dict[str, Any]) -> Any:
    """JAX's scatter with a function of the old element (and of an update that it ignores)."""
    from jaxcore.ops.call import program_from_jaxpr

    both, consts = program_from_jaxpr(backend.close_jaxpr(update), "update")
    if consts or any(both.inputs[1] in eq.inputs for eq in both.equations):
        return None
    old = Program(both.inputs[:1], both.equations, both.outputs, both.name)
    return scatter_apply_p, args, {**params, "program": old}
