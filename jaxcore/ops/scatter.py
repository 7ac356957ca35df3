"""Writing into an array at positions known when the program runs: scatter and its kinds."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from jaxcore import backend
from jaxcore.backend import ShapedArray
from jaxcore.ops.arithmetic import add, div, mul, neg
from jaxcore.ops.compare import eq, select
from jaxcore.ops.indexing import FILL, GatherDims, Mode, bumped, gather_p, jax_type
from jaxcore.ops.rules import full, kind_of, move_dim
from jaxcore.ops.scatter_lowering import ScatterDims, lower_scatter
from jaxcore.ops.shape import batched_at, broadcast_in_dim_p, iota_p, no_cost, reshape_p
from jaxcore.primitive import Linear, Primitive, mirror
from jaxcore.trace import aval_of, bind

__all__ = [
    "ScatterDims",
    "scatter_add_p",
    "scatter_batch",
    "scatter_max_p",
    "scatter_min_p",
    "scatter_mul_p",
    "scatter_p",
    "scatter_sub_p",
]

# --- the gather that undoes a scatter -----------------------------------------------------------


def _gather_back(
    x: Any, indices: Any, updates: ShapedArray, params: dict[str, Any], mode: Any = None
) -> Any:
    """The elements of `x` at the places that the scatter writes, laid out as its updates."""
    d: ScatterDims = params["dimension_numbers"]
    numbers = GatherDims(
        tuple(d.update_window_dims),
        tuple(d.inserted_window_dims),
        tuple(d.scatter_dims_to_operand_dims),
        tuple(d.operand_batching_dims),
        tuple(d.scatter_indices_batching_dims),
    )
    shape = aval_of(x).shape
    windows = iter([updates.shape[i] for i in d.update_window_dims])
    sizes = tuple(
        [
            1 if i in d.inserted_window_dims or i in d.operand_batching_dims else next(windows)
            for i in range(len(shape))
        ]
    )
    mode = params["mode"] if mode is None else mode
    return bind(
        gather_p,
        x,
        indices,
        dimension_numbers=numbers,
        slice_sizes=sizes,
        unique_indices=params["unique_indices"],
        indices_are_sorted=params["indices_are_sorted"],
        mode=mode,
        fill_value=0 if mode == FILL else None,
    )


def _zeros_like(x: Any) -> Any:
    aval = x.aval if type(x) is Linear else aval_of(x)
    return full(0, ShapedArray(aval.shape, aval.dtype))


def _tangents(primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    """The tangents of operand and updates, instantiated."""
    return tuple(  # type: ignore[return-value]
        full(0, aval_of(p).to_tangent_aval()) if t is None else t
        for p, t in ((primals[0], tangents[0]), (primals[2], tangents[2]))
    )


# --- batching -----------------------------------------------------------------------------------


def scatter_batch(primitive: Primitive) -> Callable[..., Any]:
    """The batching rule of a kind of scatter."""

    def rule(
        size: int,
        args: Sequence[Any],
        dims: Sequence[int | None],
        *,
        dimension_numbers: ScatterDims,
        **params: Any,
    ) -> Any:
        (x, indices, updates), (dx, di, du) = args, dims
        d = dimension_numbers
        x, updates = batched_at(x, dx, 0, size), batched_at(updates, du, 0, size)
        inserted = bumped(d.inserted_window_dims)
        to_operand = bumped(d.scatter_dims_to_operand_dims)
        if di is None:
            d = ScatterDims(
                (0, *bumped(d.update_window_dims)),
                inserted,
                to_operand,
                bumped(d.operand_batching_dims),
                d.scatter_indices_batching_dims,
            )
        else:
            indices = move_dim(indices, di, 0)
            d = ScatterDims(
                bumped(d.update_window_dims),
                inserted,
                to_operand,
                (0, *bumped(d.operand_batching_dims)),
                (0, *bumped(d.scatter_indices_batching_dims)),
            )
        return bind(primitive, x, indices, updates, dimension_numbers=d, **params), 0

    return rule


# --- derivatives --------------------------------------------------------------------------------


def _sum_jvp(box: list[Primitive]) -> Callable[..., Any]:
    def jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
        out = bind(box[0], *primals, **params)
        if tangents[0] is None and tangents[2] is None:
            return out, None
        dx, du = _tangents(primals, tangents)
        return out, bind(box[0], dx, primals[1], du, **params)

    return jvp


def _sum_transpose(sign: int) -> Callable[..., Any]:
    def transpose(ct: Any, args: Sequence[Any], **params: Any) -> list[Any]:
        x, indices, updates = args
        back = None
        if type(updates) is Linear:
            back = _gather_back(ct, indices, updates.aval, params)
            back = back if sign > 0 else neg(back)
        return [ct if type(x) is Linear else None, None, back]

    return transpose


def _need_unique(params: dict[str, Any], what: str) -> None:
    if not params["unique_indices"]:
        raise NotImplementedError(
            f"{what} only implemented if `unique_indices=True`. Fix: pass unique_indices=True "
            "where no position is written twice."
        )


def _mul_jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
    x, indices, updates = primals
    out = bind(scatter_mul_p, *primals, **params)
    dx, _, du = tangents
    total = None if dx is None else bind(scatter_mul_p, dx, indices, updates, **params)
    if du is not None:
        _need_unique(params, "scatter_mul gradients are")
        term = mul(x, bind(scatter_add_p, _zeros_like(x), indices, du, **params))
        total = term if total is None else add(total, term)
    return out, total


def _mul_transpose(ct: Any, args: Sequence[Any], **params: Any) -> list[Any]:
    x, indices, updates = args
    if type(x) is Linear:
        return [bind(scatter_mul_p, ct, indices, updates, **params), None, None]
    _need_unique(params, "scatter_mul gradients are")
    return [None, None, _gather_back(mul(ct, x), indices, updates.aval, params)]


def _set_jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
    x, indices, updates = primals
    if tangents[0] is None and tangents[2] is None:
        return bind(scatter_p, *primals, **params), None
    dx, du = _tangents(primals, tangents)
    if params["unique_indices"]:
        return bind(scatter_p, *primals, **params), bind(scatter_p, dx, indices, du, **params)
    # Of several updates of one place any may win. Each gets a number, the numbers are scattered,
    # and who finds its own number back has won: sums of the winners give value and tangent alike.
    d: ScatterDims = params["dimension_numbers"]
    shape = list(aval_of(updates).shape)
    for i in d.update_window_dims:
        shape[i] = 1
    count = math.prod(shape)
    kind = np.dtype(np.uint32 if count < 2**32 - 1 else np.uint64)
    numbers = bind(iota_p, dtype=kind, shape=(count,), dimension=0)
    numbers = add(bind(reshape_p, numbers, new_sizes=tuple(shape)), kind.type(1))
    numbers = bind(
        broadcast_in_dim_p,
        numbers,
        shape=aval_of(updates).shape,
        broadcast_dimensions=tuple(range(len(shape))),
    )
    zero = kind.type(0)
    written = bind(
        scatter_p, full(0, ShapedArray(aval_of(x).shape, kind)), indices, numbers, **params
    )
    won = eq(
        numbers, _gather_back(written, indices, aval_of(updates), params, Mode.PROMISE_IN_BOUNDS)
    )
    kept = eq(written, zero)
    out, moved = (
        bind(
            scatter_add_p,
            select(kept, a, _zeros_like(a)),
            indices,
            select(won, u, _zeros_like(u)),
            **params,
        )
        for a, u in ((x, updates), (dx, du))
    )
    return out, moved


def _set_transpose(ct: Any, args: Sequence[Any], **params: Any) -> list[Any]:
    _need_unique(params, "scatter transpose is")
    x, indices, updates = args
    back_x = back_u = None
    if type(x) is Linear:
        aval = updates.aval if type(updates) is Linear else aval_of(updates)
        zeros = full(0, ShapedArray(aval.shape, aval_of(ct).dtype))
        back_x = bind(scatter_p, ct, indices, zeros, **params)
    if type(updates) is Linear:
        back_u = _gather_back(ct, indices, updates.aval, params)
    return [back_x, None, back_u]


def _extremum_jvp(box: list[Primitive]) -> Callable[..., Any]:
    """Tangents of those that attain the extremum, averaged where several do."""

    def jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
        x, indices, updates = primals
        out = bind(box[0], *primals, **params)
        if tangents[0] is None and tangents[2] is None:
            return out, None
        dx, du = _tangents(primals, tangents)
        shape = aval_of(updates)
        plain = {**params, "unique_indices": False, "indices_are_sorted": False, "mode": FILL}

        def back(y: Any) -> Any:
            return _gather_back(y, indices, shape, plain, Mode.PROMISE_IN_BOUNDS)

        def counted(u: Any) -> Any:
            return back(bind(scatter_add_p, _zeros_like(x), indices, u, **plain))

        zeros, ones = _zeros_like(updates), full(1, ShapedArray(shape.shape, shape.dtype))
        target = back(out)
        successful, retained = eq(updates, target), eq(back(x), target)
        winners = counted(select(successful, ones, zeros))
        shared = div(ones, add(winners, ones))
        share = select(successful, select(retained, shared, div(ones, winners)), zeros)
        own = div(add(neg(ones), select(retained, shared, zeros)), counted(ones))
        moved = add(mul(back(dx), own), mul(du, share))
        return out, bind(scatter_add_p, dx, indices, moved, **params)

    return jvp


# --- records ------------------------------------------------------------------------------------


def _scatter(name: str, combine: str | None, jvp: Any, transpose: Any) -> Primitive:
    """A record; it has no `jax` because JAX's parameters hold the combining function's jaxpr."""
    theirs = getattr(jax.lax, name.replace("-", "_") + "_p")
    box: list[Primitive] = []
    record = Primitive(
        name,
        jax_type(theirs, update_jaxpr=None, update_consts=()),
        jvp=jvp(box) if jvp in (_sum_jvp, _extremum_jvp) else jvp,
        transpose=transpose,
        lower=lower_scatter(combine),
        cost=no_cost if combine is None else _cost,
    )
    box.append(record)
    record.batch = scatter_batch(record)

    @mirror(theirs)
    def convert_equation(args: Sequence[Any], params: dict[str, Any]) -> Any:
        kept = dict(params)
        update = kept.pop("update_jaxpr")
        kept.pop("update_consts")
        dtype = aval_of(args[0]).dtype
        special = backend.is_extended(dtype) or (
            kind_of(dtype) == "c" and combine in ("stablehlo.minimum", "stablehlo.maximum")
        )
        if special:
            return None
        if combine is None and update is not None:
            from jaxcore.ops.scatter_apply import from_update

            return from_update(args, update, kept)
        return record, args, kept

    return record


def _cost(avals_in: Any, avals_out: Any, **_: Any) -> int:
    return math.prod(avals_in[2].shape)


scatter_p = _scatter("scatter", None, _set_jvp, _set_transpose)
scatter_add_p = _scatter("scatter-add", "stablehlo.add", _sum_jvp, _sum_transpose(1))
scatter_sub_p = _scatter("scatter-sub", "stablehlo.subtract", _sum_jvp, _sum_transpose(-1))
scatter_mul_p = _scatter("scatter-mul", "stablehlo.multiply", _mul_jvp, _mul_transpose)
scatter_min_p = _scatter("scatter-min", "stablehlo.minimum", _extremum_jvp, None)
scatter_max_p = _scatter("scatter-max", "stablehlo.maximum", _extremum_jvp, None)
