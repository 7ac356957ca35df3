"""How the kinds of scatter become one operation of StableHLO with a region."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax

from jaxcore.backend import ShapedArray
from jaxcore.ir import param_key
from jaxcore.ops.compare import clamp_p
from jaxcore.ops.indexing import Mode
from jaxcore.ops.rules import full
from jaxcore.ops.shape import broadcast_in_dim_p
from jaxcore.trace import aval_of, bind, trace_program

__all__ = ["ScatterDims", "emit_scatter", "lower_scatter"]

ScatterDims = jax.lax.ScatterDimensionNumbers

_clamp_programs: dict[Any, Any] = {}


def _clamped(b: Any, operands: Sequence[Any], avals: Sequence[ShapedArray], d: ScatterDims) -> Any:
    """Indices moved so that every window lies inside."""
    key = (*avals, param_key({"d": d}))
    found = _clamp_programs.get(key)
    if found is None:
        shape, updates = avals[0].shape, avals[2].shape
        windows = iter([updates[i] for i in d.update_window_dims])
        sizes = [
            1 if i in d.inserted_window_dims or i in d.operand_batching_dims else next(windows)
            for i in range(len(shape))
        ]
        bounds = [shape[i] - sizes[i] for i in d.scatter_dims_to_operand_dims]
        found = _clamp_programs[key] = trace_program(
            lambda i: [_clamp_columns(i, bounds)], [avals[1]], "clamp"
        )[0]
    return b.program(found, [operands[1]])[0]


def _clamp_columns(indices: Any, bounds: Sequence[int]) -> Any:
    from jaxcore.ops.pieces import concatenate_p

    aval = aval_of(indices)
    limit = jax.numpy.iinfo(aval.dtype).max
    columns = [full(min(n, limit), ShapedArray((1,), aval.dtype)) for n in bounds]
    upper = columns[0] if len(columns) == 1 else bind(concatenate_p, *columns, dimension=0)
    upper = bind(
        broadcast_in_dim_p, upper, shape=aval.shape, broadcast_dimensions=(len(aval.shape) - 1,)
    )
    return bind(clamp_p, aval.dtype.type(0), indices, upper)


def emit_scatter(
    b: Any,
    operands: Sequence[Any],
    avals_in: Any,
    avals_out: Any,
    body: Callable[[Any, Any], list[Any]],
    *,
    dimension_numbers: ScatterDims,
    indices_are_sorted: bool,
    unique_indices: bool,
    mode: Mode,
) -> list[Any]:
    """A scatter in which ``body(old, update)`` gives the new element."""
    d = dimension_numbers
    x, indices, updates = operands
    if mode == Mode.CLIP and d.scatter_dims_to_operand_dims:
        indices = _clamped(b, operands, avals_in, d)
    numbers = b.parse(
        f"#stablehlo.scatter<update_window_dims = {[*map(int, d.update_window_dims)]}, "
        f"inserted_window_dims = {[*map(int, d.inserted_window_dims)]}, "
        f"input_batching_dims = {[*map(int, d.operand_batching_dims)]}, "
        f"scatter_indices_batching_dims = {[*map(int, d.scatter_indices_batching_dims)]}, "
        f"scatter_dims_to_operand_dims = {[*map(int, d.scatter_dims_to_operand_dims)]}, "
        f"index_vector_dim = {len(avals_in[1].shape) - 1}>"
    )
    op = b.op(
        "stablehlo.scatter",
        avals_out,
        [x, indices, updates],
        regions=1,
        scatter_dimension_numbers=numbers,
        indices_are_sorted=b.parse("true" if indices_are_sorted else "false"),
        unique_indices=b.parse("true" if unique_indices else "false"),
    )
    point = ShapedArray((), avals_out[0].dtype)
    b.region(op, [point, point], body)
    return [op.results[0]]


def lower_scatter(combine: str | None) -> Callable[..., Any]:
    """The lowering of a scatter that writes ``combine(old, update)``; None: the update."""

    def lower(
        b: Any, operands: Sequence[Any], avals_in: Any, avals_out: Any, **params: Any
    ) -> list[Any]:
        point = ShapedArray((), avals_out[0].dtype)

        def body(old: Any, new: Any) -> list[Any]:
            return [new] if combine is None else b.one(combine, point, old, new)

        return emit_scatter(b, operands, avals_in, avals_out, body, **params)

    return lower
