"""Sums and extrema over sliding windows, and what the gradient of an extremum needs.

The gradient of a maximum over windows sends each cotangent to the element that was chosen
(`select_and_scatter_add`); its own derivative reads tangents at those places
(`select_and_gather_add`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from jaxcore.backend import ShapedArray
from jaxcore.ops.compare import compare_lower
from jaxcore.ops.forms import lower_by_form
from jaxcore.ops.indexing import jax_type
from jaxcore.ops.pieces import pad_p, slice_p
from jaxcore.ops.shape import batched_at
from jaxcore.ops.window_forms import extreme_identity, scatter_form
from jaxcore.primitive import Primitive
from jaxcore.trace import aval_of, bind

__all__ = [
    "WINDOW",
    "batched_window",
    "reduce_window_max_p",
    "reduce_window_min_p",
    "reduce_window_sum_p",
    "select_and_gather_add_p",
    "select_and_scatter_add_p",
    "window_attributes",
    "window_shape",
]

# The settings of a window, and what they are along an axis over which it does not slide.
WINDOW = {
    "window_dimensions": 1,
    "window_strides": 1,
    "padding": (0, 0),
    "base_dilation": 1,
    "window_dilation": 1,
}


def batched_window(params: dict[str, Any], at: int) -> dict[str, Any]:
    """The settings with one more dimension at `at`, over which no window slides."""
    return {
        name: (*value[:at], WINDOW[name], *value[at:]) if name in WINDOW else value
        for name, value in params.items()
    }


def window_shape(x: ShapedArray, window: dict[str, Any]) -> tuple[int, ...]:
    """The shape of a reduction of `x` over windows."""
    return reduce_window_max_p.type(x, **window).shape


def window_attributes(
    b: Any,
    *,
    window_dimensions: Any,
    window_strides: Any,
    padding: Any,
    base_dilation: Any,
    window_dilation: Any,
) -> dict[str, Any]:
    """The attributes of a reduction over windows."""
    return {
        "window_dimensions": b.ints(window_dimensions),
        "window_strides": b.ints(window_strides),
        "base_dilations": b.ints(base_dilation),
        "window_dilations": b.ints(window_dilation),
        "padding": b.parse(_pairs(padding)),
    }


# --- reductions ---------------------------------------------------------------------------------


def _window_batch(box: list[Primitive]) -> Callable[..., Any]:
    def rule(size: int, args: Sequence[Any], dims: Sequence[Any], **params: Any) -> Any:
        return bind(box[0], args[0], **batched_window(params, dims[0])), dims[0]

    return rule


def _window_lower(combine: str, identity: Callable[[Any], Any]) -> Callable[..., Any]:
    def lower(
        b: Any, operands: Sequence[Any], avals_in: Any, avals_out: Any, **window: Any
    ) -> list[Any]:
        point = ShapedArray((), avals_in[0].dtype)
        start = b.constant(identity(point.dtype), point)
        attributes = window_attributes(b, **window)
        op = b.op("stablehlo.reduce_window", avals_out, [*operands, start], regions=1, **attributes)
        b.region(op, [point, point], lambda x, y: b.one(combine, point, x, y))
        return [op.results[0]]

    return lower


def _pairs(padding: Sequence[tuple[int, int]]) -> str:
    if not padding:
        return "dense<> : tensor<0x2xi64>"
    rows = ", ".join(f"[{low}, {high}]" for low, high in padding)
    return f"dense<[{rows}]> : tensor<{len(padding)}x2xi64>"


def _window_cost(avals_in: Any, avals_out: Any, *, window_dimensions: Any, **_: Any) -> int:
    return math.prod(window_dimensions) * math.prod(avals_out[0].shape)


def _reduction(
    name: str, combine: str, identity: Callable[[Any], Any], jvp: Any, transpose: Any = None
) -> Primitive:
    box: list[Primitive] = []
    theirs = getattr(jax.lax, name + "_p")
    record = Primitive(
        name,
        jax_type(theirs),
        jvp=jvp(box),
        transpose=transpose,
        batch=_window_batch(box),
        lower=_window_lower(combine, identity),
        cost=_window_cost,
        jax=theirs,
    )
    box.append(record)
    return record


def _sum_jvp(box: list[Primitive]) -> Callable[..., Any]:
    return lambda primals, tangents, **params: (
        bind(box[0], primals[0], **params),
        bind(box[0], tangents[0], **params),
    )


def _dilated(size: int, dilation: int) -> int:
    return 0 if size == 0 else (size - 1) * dilation + 1


def _sum_transpose(
    ct: Any,
    args: Sequence[Any],
    *,
    window_dimensions: Any,
    window_strides: Any,
    padding: Any,
    base_dilation: Any,
    window_dilation: Any,
) -> list[Any]:
    """Each element gets the cotangents of the windows it lies in: a window sum once more."""
    config = []
    aval = aval_of(ct)
    for size, window, stride, n, (low, _high), base, dilation in zip(
        args[0].aval.shape,
        window_dimensions,
        window_strides,
        aval.shape,
        padding,
        base_dilation,
        window_dilation,
        strict=True,
    ):
        big, k, made = _dilated(size, base), _dilated(window, dilation), _dilated(n, stride)
        before = k - low - 1
        config.append((before, big + k - 1 - made - before, stride - 1))
    padded = bind(pad_p, ct, np.zeros((), aval.dtype)[()], padding_config=tuple(config))
    ones = (1,) * len(config)
    return [
        bind(
            reduce_window_sum_p,
            padded,
            window_dimensions=window_dimensions,
            window_strides=base_dilation,
            padding=((0, 0),) * len(config),
            base_dilation=ones,
            window_dilation=window_dilation,
        )
    ]


def _chosen_jvp(select: Any) -> Callable[..., Any]:
    def make(box: list[Primitive]) -> Callable[..., Any]:
        return lambda primals, tangents, **params: (
            bind(box[0], primals[0], **params),
            bind(select_and_gather_add_p, tangents[0], primals[0], select_prim=select, **params),
        )

    return make


reduce_window_sum_p = _reduction(
    "reduce_window_sum", "stablehlo.add", lambda dtype: 0, _sum_jvp, _sum_transpose
)
reduce_window_max_p = _reduction(
    "reduce_window_max",
    "stablehlo.maximum",
    lambda dtype: extreme_identity(dtype, True),
    _chosen_jvp(jax.lax.ge_p),
)
reduce_window_min_p = _reduction(
    "reduce_window_min",
    "stablehlo.minimum",
    lambda dtype: extreme_identity(dtype, False),
    _chosen_jvp(jax.lax.le_p),
)


# --- the chosen elements ------------------------------------------------------------------------


def _pair_jvp(box: list[Primitive]) -> Callable[..., Any]:
    """Linear in the first operand; the choice by the second is constant."""

    def jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
        out = bind(box[0], *primals, **params)
        if tangents[0] is None:
            return out, None
        return out, bind(box[0], tangents[0], primals[1], **params)

    return jvp


def _pair_batch(box: list[Primitive]) -> Callable[..., Any]:
    def rule(size: int, args: Sequence[Any], dims: Sequence[int | None], **params: Any) -> Any:
        moved = [batched_at(x, d, 0, size) for x, d in zip(args, dims, strict=True)]
        return bind(box[0], *moved, **batched_window(params, 0)), 0

    return rule


def _gather_transpose(
    ct: Any,
    args: Sequence[Any],
    *,
    select_prim: Any,
    window_dimensions: Any,
    window_strides: Any,
    padding: Any,
    base_dilation: Any,
    window_dilation: Any,
) -> list[Any]:
    operand = args[1]
    if any(d != 1 for d in window_dilation):
        raise NotImplementedError(
            "VJP not implemented for select_and_gather (MaxPool) with window dilation, got "
            f"window_dilation={window_dilation}."
        )
    aval = aval_of(operand)
    dilated = any(d != 1 for d in base_dilation)
    if dilated:
        fill = extreme_identity(aval.dtype, select_prim is jax.lax.ge_p)
        operand = bind(
            pad_p,
            operand,
            np.asarray(fill, aval.dtype)[()],
            padding_config=tuple([(0, 0, d - 1) for d in base_dilation]),
        )
    back = bind(
        select_and_scatter_add_p,
        ct,
        operand,
        select_prim=select_prim,
        window_dimensions=window_dimensions,
        window_strides=window_strides,
        padding=padding,
    )
    if dilated:
        shape = aval_of(back).shape
        back = bind(
            slice_p,
            back,
            start_indices=(0,) * len(shape),
            limit_indices=shape,
            strides=base_dilation,
        )
    return [back, None]


def _scatter_transpose(
    ct: Any, args: Sequence[Any], *, window_dimensions: Any, **params: Any
) -> list[Any]:
    ones = (1,) * len(window_dimensions)
    return [
        bind(
            select_and_gather_add_p,
            ct,
            args[1],
            window_dimensions=window_dimensions,
            base_dilation=ones,
            window_dilation=ones,
            **params,
        ),
        None,
    ]


def _scatter_lower(
    b: Any, operands: Sequence[Any], avals_in: Any, avals_out: Any, **params: Any
) -> list[Any]:
    made = lower_by_form(b, scatter_form, operands, avals_in, avals_out[0], params)
    return _scatter_of_xla(b, operands, avals_in[1], **params) if made is None else made


def _scatter_of_xla(
    b: Any,
    operands: Sequence[Any],
    aval: ShapedArray,
    *,
    select_prim: Any,
    window_dimensions: Any,
    window_strides: Any,
    padding: Any,
) -> list[Any]:
    source, operand = operands
    point = ShapedArray((), aval.dtype)
    greatest = select_prim is jax.lax.ge_p
    # XLA's CPU and GPU compilers crash on padding here, so the operand itself is padded.
    low, high = [p[0] for p in padding], [p[1] for p in padding]
    wide = ShapedArray(
        tuple([n + a + c for n, a, c in zip(aval.shape, low, high, strict=True)]), aval.dtype
    )
    padded = wide.shape != aval.shape
    if padded:
        fill = b.constant(extreme_identity(aval.dtype, greatest), point)
        operand = b.one(
            "stablehlo.pad",
            wide,
            operand,
            fill,
            edge_padding_low=b.ints(low),
            edge_padding_high=b.ints(high),
            interior_padding=b.ints([0] * len(low)),
        )[0]
    op = b.op(
        "stablehlo.select_and_scatter",
        [wide],
        [operand, source, b.constant(0, point)],
        regions=2,
        window_dimensions=b.ints(window_dimensions),
        window_strides=b.ints(window_strides),
        padding=b.parse(_pairs([(0, 0)] * len(low))),
    )
    direction = "GE" if greatest else "LE"
    b.region(op, [point, point], lambda x, y: [compare_lower(b, direction, x, y, point)], 0)
    b.region(op, [point, point], lambda x, y: b.one("stablehlo.add", point, x, y), 1)
    if not padded:
        return [op.results[0]]
    stop = [a + n for a, n in zip(low, aval.shape, strict=True)]
    return b.one(
        "stablehlo.slice",
        aval,
        op.results[0],
        start_indices=b.ints(low),
        limit_indices=b.ints(stop),
        strides=b.ints([1] * len(low)),
    )


def _chooser(name: str, transpose: Any, lower: Any) -> Primitive:
    box: list[Primitive] = []
    theirs = getattr(jax.lax, name + "_p")
    record = Primitive(
        name,
        jax_type(theirs),
        jvp=_pair_jvp(box),
        transpose=transpose,
        batch=_pair_batch(box),
        lower=lower,
        cost=_window_cost,
        jax=theirs,
    )
    box.append(record)
    return record


# How a pair is reduced depends on the platform, so JAX's lowering is used.
select_and_gather_add_p = _chooser("select_and_gather_add", _gather_transpose, None)
select_and_scatter_add_p = _chooser("select_and_scatter_add", _scatter_transpose, _scatter_lower)
