"""Reading an array at positions known when the program runs: gather and dynamic slices.

Writing is in `scatter.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from jaxcore import backend
from jaxcore.backend import ShapedArray
from jaxcore.ir import param_key
from jaxcore.ops.avals import memoised
from jaxcore.ops.compare import and_p, ge, le, select
from jaxcore.ops.convert import convert
from jaxcore.ops.pieces import concatenate_p, slice_p
from jaxcore.ops.reduce import reduce_and_p
from jaxcore.ops.rules import full, move_dim
from jaxcore.ops.shape import batched_at, broadcast_in_dim_p, by_jax_for_keys, no_cost, reshape_p
from jaxcore.primitive import Linear, Primitive
from jaxcore.trace import aval_of, bind, trace_program

__all__ = [
    "FILL",
    "bumped",
    "dynamic_slice_p",
    "dynamic_update_slice_p",
    "gather_p",
    "jax_type",
    "start_vector",
]

GatherDims = jax.lax.GatherDimensionNumbers
Mode = jax.lax.GatherScatterMode
FILL = Mode.FILL_OR_DROP


def jax_type(primitive: Any, **missing: Any) -> Callable[..., ShapedArray]:
    """The type rule of a JAX primitive, memoised: its checks and messages of ill-formed windows."""

    def rule(*avals: ShapedArray, **params: Any) -> ShapedArray:
        return backend.abstract_eval(primitive, avals, {**missing, **params})[0][0]

    return memoised(rule)


def bumped(dims: Sequence[int]) -> tuple[int, ...]:
    """Dimension numbers after a new first dimension."""
    return tuple([d + 1 for d in dims])


# --- gather -------------------------------------------------------------------------------------


def _gather_jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
    out = bind(gather_p, *primals, **params)
    if tangents[0] is None:
        return out, None
    zero_filled = {**params, "fill_value": 0 if params["mode"] == FILL else None}
    return out, bind(gather_p, tangents[0], primals[1], **zero_filled)


def _gather_transpose(
    ct: Any,
    args: Sequence[Any],
    *,
    dimension_numbers: GatherDims,
    slice_sizes: Any,
    unique_indices: bool,
    indices_are_sorted: bool,
    mode: Mode,
    fill_value: Any,
) -> list[Any]:
    from jaxcore.ops.scatter import ScatterDims, scatter_add_p

    operand, indices = args
    d = dimension_numbers
    zeros = full(0, ShapedArray(operand.aval.shape, aval_of(ct).dtype))
    numbers = ScatterDims(
        d.offset_dims,
        d.collapsed_slice_dims,
        d.start_index_map,
        d.operand_batching_dims,
        d.start_indices_batching_dims,
    )
    return [
        bind(
            scatter_add_p,
            zeros,
            indices,
            ct,
            dimension_numbers=numbers,
            mode=mode,
            unique_indices=unique_indices,
            indices_are_sorted=indices_are_sorted,
        ),
        None,
    ]


def _gather_batch(
    size: int,
    args: Sequence[Any],
    dims: Sequence[int | None],
    *,
    dimension_numbers: GatherDims,
    slice_sizes: tuple[int, ...],
    **params: Any,
) -> Any:
    (operand, indices), (dx, di) = args, dims
    d = dimension_numbers
    sizes = slice_sizes
    if dx is not None:
        operand = move_dim(operand, dx, 0)
    if di is not None:
        indices = move_dim(indices, di, 0)
    if di is None:  # the examples are one more axis of every window
        d = GatherDims(
            (0, *bumped(d.offset_dims)),
            bumped(d.collapsed_slice_dims),
            bumped(d.start_index_map),
            bumped(d.operand_batching_dims),
            d.start_indices_batching_dims,
        )
        sizes = (size, *sizes)
    elif dx is None:
        d = GatherDims(
            bumped(d.offset_dims),
            d.collapsed_slice_dims,
            d.start_index_map,
            d.operand_batching_dims,
            bumped(d.start_indices_batching_dims),
        )
        params = {**params, "unique_indices": False, "indices_are_sorted": False}
    else:
        d = GatherDims(
            bumped(d.offset_dims),
            bumped(d.collapsed_slice_dims),
            bumped(d.start_index_map),
            (0, *bumped(d.operand_batching_dims)),
            (0, *bumped(d.start_indices_batching_dims)),
        )
        sizes = (min(size, 1), *sizes)
    return bind(gather_p, operand, indices, dimension_numbers=d, slice_sizes=sizes, **params), 0


_fill_programs: dict[Any, Any] = {}


def _fill_program(operand: ShapedArray, indices: ShapedArray, params: dict[str, Any]) -> Any:
    """A gather that fills: an unchecked gather, and a choice by which windows lie inside."""
    key = (operand, indices, param_key(params))
    found = _fill_programs.get(key)
    if found is None:
        if len(_fill_programs) > 1024:
            _fill_programs.clear()
        found = _fill_programs[key] = trace_program(
            lambda x, i: [_gather_filled(x, i, params)], [operand, indices], "gather"
        )[0]
    return found


def _gather_filled(x: Any, indices: Any, params: dict[str, Any]) -> Any:
    d: GatherDims = params["dimension_numbers"]
    sizes, shape = params["slice_sizes"], aval_of(x).shape
    wide = max([*shape, 1]) - 1 > np.iinfo(np.int32).max
    indices = convert(indices, np.dtype(np.int64 if wide else np.int32))
    kind = aval_of(indices)
    batch = kind.shape[:-1]
    number = kind.dtype.type
    out = bind(
        gather_p, x, indices, **{**params, "mode": Mode.PROMISE_IN_BOUNDS, "fill_value": None}
    )
    inside = bind(reduce_and_p, ge(indices, number(0)), axes=(len(batch),))
    for column, axis in enumerate(d.start_index_map):
        bound = number(shape[axis] - sizes[axis])
        start = (*(0,) * len(batch), column)
        part = bind(
            slice_p, indices, start_indices=start, limit_indices=(*batch, column + 1), strides=None
        )
        inside = bind(and_p, inside, le(bind(reshape_p, part, new_sizes=batch), bound))
    result = aval_of(out)
    kept = tuple([i for i in range(len(result.shape)) if i not in d.offset_dims])
    mask = bind(broadcast_in_dim_p, inside, shape=result.shape, broadcast_dimensions=kept)
    return select(mask, out, full(params["fill_value"], result))


def _gather_lower(
    b: Any, operands: Sequence[Any], avals_in: Any, avals_out: Any, **params: Any
) -> Any:
    out = avals_out[0]
    if 0 in out.shape:
        return [b.constant(0, out)]
    if params["mode"] == FILL:
        operand, indices = avals_in
        return b.program(_fill_program(operand, indices, params), operands)
    d: GatherDims = params["dimension_numbers"]
    numbers = b.parse(
        f"#stablehlo.gather<offset_dims = {[*map(int, d.offset_dims)]}, "
        f"collapsed_slice_dims = {[*map(int, d.collapsed_slice_dims)]}, "
        f"operand_batching_dims = {[*map(int, d.operand_batching_dims)]}, "
        f"start_indices_batching_dims = {[*map(int, d.start_indices_batching_dims)]}, "
        f"start_index_map = {[*map(int, d.start_index_map)]}, "
        f"index_vector_dim = {len(avals_in[1].shape) - 1}>"
    )
    return b.one(
        "stablehlo.gather",
        out,
        *operands,
        dimension_numbers=numbers,
        slice_sizes=b.ints(params["slice_sizes"]),
        indices_are_sorted=b.parse("true" if params["indices_are_sorted"] else "false"),
    )


_gather_box: list[Primitive] = []
gather_p = Primitive(
    "gather",
    jax_type(jax.lax.gather_p),
    jvp=_gather_jvp,
    transpose=_gather_transpose,
    batch=_gather_batch,
    lower=by_jax_for_keys(_gather_box, _gather_lower),
    cost=no_cost,
    jax=jax.lax.gather_p,
)
_gather_box.append(gather_p)


# --- dynamic_slice ------------------------------------------------------------------------------


def start_vector(starts: Sequence[Any], dims: Sequence[int | None], size: int) -> tuple[Any, Any]:
    """Scalar start indices as one vector (with the examples in front where any is batched)."""
    batched = any(d is not None for d in dims)
    shape = (size, 1) if batched else (1,)
    parts = [
        bind(broadcast_in_dim_p, x, shape=shape, broadcast_dimensions=() if d is None else (0,))
        for x, d in zip(starts, dims, strict=True)
    ]
    kind = aval_of(parts[0]).dtype if parts else np.dtype(np.int32)
    if not parts:
        return full(0, ShapedArray((0,), kind)), None
    joined = parts[0] if len(parts) == 1 else bind(concatenate_p, *parts, dimension=len(shape) - 1)
    return joined, 0 if batched else None


def _slice_jvp(primals: Sequence[Any], tangents: Sequence[Any], *, slice_sizes: Any) -> Any:
    x, *starts = primals
    out = bind(dynamic_slice_p, x, *starts, slice_sizes=slice_sizes)
    if tangents[0] is None:
        return out, None
    return out, bind(dynamic_slice_p, tangents[0], *starts, slice_sizes=slice_sizes)


def _slice_transpose(ct: Any, args: Sequence[Any], *, slice_sizes: Any) -> list[Any]:
    x, *starts = args
    zeros = full(0, ShapedArray(x.aval.shape, aval_of(ct).dtype))
    return [bind(dynamic_update_slice_p, zeros, ct, *starts), *[None] * len(starts)]


def _slice_batch(
    size: int, args: Sequence[Any], dims: Sequence[int | None], *, slice_sizes: tuple[int, ...]
) -> Any:
    (x, *starts), (d, *start_dims) = args, dims
    if all(s is None for s in start_dims):
        first = aval_of(starts[0]).dtype if starts else np.dtype(np.int32)
        zero = np.zeros((), first)[()]
        return bind(
            dynamic_slice_p,
            x,
            *starts[:d],
            zero,
            *starts[d:],
            slice_sizes=(*slice_sizes[:d], size, *slice_sizes[d:]),
        ), d
    axes = tuple(range(len(slice_sizes)))
    index, at = start_vector(starts, start_dims, size)
    return _gather_batch(
        size,
        [x, index],
        [d, at],
        dimension_numbers=GatherDims(axes, (), axes),
        slice_sizes=slice_sizes,
        unique_indices=True,
        indices_are_sorted=True,
        mode=Mode.CLIP,
        fill_value=None,
    )


_slice_box: list[Primitive] = []
dynamic_slice_p = Primitive(
    "dynamic_slice",
    jax_type(jax.lax.dynamic_slice_p),
    jvp=_slice_jvp,
    transpose=_slice_transpose,
    batch=_slice_batch,
    cost=no_cost,
    jax=jax.lax.dynamic_slice_p,
    lower=by_jax_for_keys(
        _slice_box,
        lambda b, operands, avals_in, avals_out, slice_sizes: b.one(
            "stablehlo.dynamic_slice", avals_out[0], *operands, slice_sizes=b.ints(slice_sizes)
        ),
    ),
)
_slice_box.append(dynamic_slice_p)


# --- dynamic_update_slice -----------------------------------------------------------------------


def _update_jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    x, update, *starts = primals
    out = bind(dynamic_update_slice_p, x, update, *starts)
    if tangents[0] is None and tangents[1] is None:
        return out, None
    filled = [
        full(0, aval_of(p).to_tangent_aval()) if t is None else t
        for p, t in zip((x, update), tangents[:2], strict=True)
    ]
    return out, bind(dynamic_update_slice_p, *filled, *starts)


def _update_transpose(ct: Any, args: Sequence[Any]) -> list[Any]:
    x, update, *starts = args
    aval = update.aval if type(update) is Linear else aval_of(update)
    zeros = full(0, ShapedArray(aval.shape, aval_of(ct).dtype))
    return [
        bind(dynamic_update_slice_p, ct, zeros, *starts) if type(x) is Linear else None,
        bind(dynamic_slice_p, ct, *starts, slice_sizes=aval.shape)
        if type(update) is Linear
        else None,
        *[None] * len(starts),
    ]


def _update_batch(size: int, args: Sequence[Any], dims: Sequence[int | None]) -> Any:
    (x, update, *starts), (dx, du, *start_dims) = args, dims
    if all(s is None for s in start_dims):
        d = dx if dx is not None else du
        assert d is not None
        zero = np.zeros((), aval_of(starts[0]).dtype if starts else np.int32)[()]
        return bind(
            dynamic_update_slice_p,
            batched_at(x, dx, d, size),
            batched_at(update, du, d, size),
            *starts[:d],
            zero,
            *starts[d:],
        ), d
    from jaxcore.ops.scatter import ScatterDims, scatter_batch, scatter_p

    axes = tuple(range(len(aval_of(update).shape) - (du is not None)))
    index, at = start_vector(starts, start_dims, size)
    return scatter_batch(scatter_p)(
        size,
        [x, index, update],
        [dx, at, du],
        dimension_numbers=ScatterDims(axes, (), axes),
        indices_are_sorted=True,
        unique_indices=True,
        mode=Mode.CLIP,
    )


_update_box: list[Primitive] = []
dynamic_update_slice_p = Primitive(
    "dynamic_update_slice",
    jax_type(jax.lax.dynamic_update_slice_p),
    jvp=_update_jvp,
    transpose=_update_transpose,
    batch=_update_batch,
    cost=no_cost,
    jax=jax.lax.dynamic_update_slice_p,
    lower=by_jax_for_keys(
        _update_box,
        lambda b, operands, avals_in, avals_out: b.one(
            "stablehlo.dynamic_update_slice", avals_out[0], *operands
        ),
    ),
)
_update_box.append(dynamic_update_slice_p)
