"""MLIR, and lowering by JAX's rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jax._src import core, source_info_util
from jax._src.interpreters import mlir
from jax._src.lib.mlir import ir
from jax._src.lib.mlir.dialects import func as func_dialect  # noqa: F401 (for jaxcore.lower)

from jaxcore.backend.rules import single_equation_jaxpr
from jaxcore.backend.traces import JaxPrimitive

physical_aval = core.physical_aval
TOKEN = core.abstract_token  # the type of the values that keep effects in order
TokenSet = mlir.TokenSet


def platforms_of(ctx: Any) -> Sequence[str]:
    """The platforms that an operation is lowered for."""
    return ctx.platforms or ctx.module_context.platforms


def ir_type(aval: Any) -> Any:
    """The MLIR type of a value of type `aval` (keys become their bits)."""
    if aval is TOKEN:
        return mlir.token_type()
    aval = core.physical_aval(aval)
    return ir.RankedTensorType.get(aval.shape, mlir.dtype_to_ir_type(aval.dtype))


def has_symbolic_shapes(ctx: Any) -> bool:
    """True in a module whose shapes have variables, as an export with symbolic shapes has."""
    state = ctx.module_context.shape_poly_state
    return len(state.dim_vars) > state.has_platform_index_argument


def lower_function(ctx: Any, function: Callable[..., Any], operands: Sequence[Any]) -> Any:
    """Lower a function of JAX's in place; its ordered effects go through ctx."""
    return mlir.lower_fun(function)(ctx, *operands)


def lower_with_jax(
    ctx: Any,
    primitive: JaxPrimitive | None,
    avals_in: Sequence[Any],
    avals_out: Sequence[Any],
    operands: Sequence[Any],
    params: dict[str, Any],
) -> tuple[list[Any], Any]:
    """Lower one equation in place by the rule JAX registered for `primitive`; its results, and the
    ordered tokens of ctx after it.
    """
    if primitive is None:
        raise NotImplementedError("An equation has no lowering of its own and no primitive of JAX.")
    return lower_jaxpr(ctx, single_equation_jaxpr(primitive, avals_in, params), operands)


def lower_jaxpr(ctx: Any, closed: Any, operands: Sequence[Any]) -> tuple[list[Any], Any]:
    """Lower the equations of a closed jaxpr in place; its results, and the ordered tokens after
    it.
    """
    body = getattr(closed, "jaxpr", closed)
    with source_info_util.reset_name_stack():
        out, tokens = mlir.jaxpr_subcomp(
            ctx.module_context,
            body,
            ctx.name_stack,
            ctx.tokens_in,
            mlir.ir_consts(closed.consts, [v.aval for v in body.constvars]),
            *operands,
            dim_var_values=ctx.dim_var_values,
            const_lowering=ctx.const_lowering,
            outer_traceback=None,
        )
    return list(out), tokens


def manual_context(ctx: Any) -> Any:
    """What the lowering of a collective depends on; None outside `shard_map`."""
    context = ctx.module_context.axis_context
    return context if getattr(context, "manual_axes", None) else None


def partitions(ctx: Any) -> int:
    """Among how many devices the module being built is divided."""
    return int(getattr(ctx.module_context.axis_context, "num_devices", 1) or 1)
