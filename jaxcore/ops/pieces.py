"""Operations that cut arrays and join them: slice, split, concatenate, pad.

All are linear in their array operands and cost no floating-point operation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from jaxcore.backend import ShapedArray
from jaxcore.ops.arithmetic import sub
from jaxcore.ops.avals import memoised
from jaxcore.ops.compare import select
from jaxcore.ops.reduce import reduce_sum_p
from jaxcore.ops.rules import BOOL, full
from jaxcore.ops.shape import (
    Shape,
    batched_at,
    broadcast_in_dim_p,
    by_jax_for_keys,
    linear,
    no_cost,
    resized,
)
from jaxcore.primitive import Linear, Primitive
from jaxcore.trace import aval_of, bind

__all__ = ["concatenate_p", "pad_p", "slice_p", "split_p"]


# --- slice --------------------------------------------------------------------------------------


def _slice_type(
    x: ShapedArray, *, start_indices: Shape, limit_indices: Shape, strides: Shape | None
) -> ShapedArray:
    shape = x.shape
    steps = strides if strides is not None else (1,) * len(shape)
    if not len(start_indices) == len(limit_indices) == len(steps) == len(shape):
        raise TypeError(
            "slice start_indices, limit_indices and strides must have one entry for each "
            f"dimension of the operand, got start_indices {tuple(start_indices)}, limit_indices "
            f"{tuple(limit_indices)}, strides {strides} for operand shape {tuple(shape)}."
        )
    out = []
    for start, limit, step, size in zip(start_indices, limit_indices, steps, shape, strict=True):
        if not (0 <= start <= limit <= size and step > 0):
            raise TypeError(
                "slice needs 0 <= start <= limit <= size and a positive stride in each dimension; "
                f"got start_indices {tuple(start_indices)}, limit_indices {tuple(limit_indices)}, "
                f"strides {strides} for operand shape {tuple(shape)}."
            )
        out.append(-((start - limit) // step))
    return resized(x, tuple(out))


def _slice_transpose(
    ct: Any,
    args: Sequence[Any],
    *,
    start_indices: Shape,
    limit_indices: Shape,
    strides: Shape | None,
) -> list[Any]:
    shape, given = args[0].aval.shape, aval_of(ct)
    steps = strides if strides is not None else (1,) * len(shape)
    config = tuple(
        (start, size - start - (n - 1) * step - 1 if n else size - start, step - 1)
        for start, size, n, step in zip(start_indices, shape, given.shape, steps, strict=True)
    )
    return [bind(pad_p, ct, np.zeros((), given.dtype)[()], padding_config=config)]


def _slice_batch(
    size: int,
    args: Sequence[Any],
    dims: Sequence[Any],
    *,
    start_indices: Shape,
    limit_indices: Shape,
    strides: Shape | None,
) -> Any:
    d = dims[0]
    return bind(
        slice_p,
        args[0],
        start_indices=(*start_indices[:d], 0, *start_indices[d:]),
        limit_indices=(*limit_indices[:d], size, *limit_indices[d:]),
        strides=None if strides is None else (*strides[:d], 1, *strides[d:]),
    ), d


slice_p = linear(
    "slice",
    _slice_type,
    transpose=_slice_transpose,
    batch=_slice_batch,
    lower=lambda b, operands, avals_in, avals_out, start_indices, limit_indices, strides: b.one(
        "stablehlo.slice",
        avals_out[0],
        *operands,
        start_indices=b.ints(start_indices),
        limit_indices=b.ints(limit_indices),
        strides=b.ints(strides if strides is not None else (1,) * len(start_indices)),
    ),
)


# --- split --------------------------------------------------------------------------------------


def _split_type(x: ShapedArray, *, sizes: tuple[int, ...], axis: int) -> list[ShapedArray]:
    shape = x.shape
    if any(n < 0 for n in sizes):
        raise ValueError(f"Sizes passed to split must be nonnegative, got {list(sizes)}.")
    if sum(sizes) != shape[axis]:
        raise ValueError(
            f"Sum of sizes {sum(sizes)} must be equal to dimension {axis} of the operand shape "
            f"{tuple(shape)}."
        )
    return [resized(x, (*shape[:axis], n, *shape[axis + 1 :])) for n in sizes]


def _split_transpose(
    cts: Sequence[Any], args: Sequence[Any], *, sizes: tuple[int, ...], axis: int
) -> list[Any]:
    parts = [
        full(0, t.to_tangent_aval()) if ct is None else ct
        for ct, t in zip(cts, _split_type(args[0].aval, sizes=sizes, axis=axis), strict=True)
    ]
    return [bind(concatenate_p, *parts, dimension=axis)]


def _split_batch(
    size: int, args: Sequence[Any], dims: Sequence[Any], *, sizes: tuple[int, ...], axis: int
) -> Any:
    d = dims[0]
    return bind(split_p, args[0], sizes=sizes, axis=axis + (axis >= d)), [d] * len(sizes)


def _split_lower(
    b: Any,
    operands: Sequence[Any],
    avals_in: Any,
    avals_out: Any,
    *,
    sizes: tuple[int, ...],
    axis: int,
) -> list[Any]:
    shape = avals_in[0].shape
    out, at = [], 0
    for aval, n in zip(avals_out, sizes, strict=True):
        start = [0] * len(shape)
        limit = list(shape)
        start[axis], limit[axis] = at, at + n
        at += n
        out += b.one(
            "stablehlo.slice",
            aval,
            *operands,
            start_indices=b.ints(start),
            limit_indices=b.ints(limit),
            strides=b.ints((1,) * len(shape)),
        )
    return out


split_p = linear(
    "split",
    _split_type,
    transpose=_split_transpose,
    batch=_split_batch,
    lower=_split_lower,
    multiple_results=True,
)


# --- concatenate --------------------------------------------------------------------------------


def _concatenate_type(*xs: ShapedArray, dimension: int) -> ShapedArray:
    if not xs:
        raise TypeError("concatenate expects at least one operand, got 0.")
    first = xs[0]
    shape = first.shape
    if not 0 <= dimension < len(shape):
        raise TypeError(
            f"concatenate dimension out of bounds: dimension {dimension} for shapes "
            f"{', '.join(str(tuple(x.shape)) for x in xs)}."
        )
    total = 0
    weak = True
    for x in xs:
        s = x.shape
        if (
            len(s) != len(shape)
            or s[:dimension] != shape[:dimension]
            or (s[dimension + 1 :] != shape[dimension + 1 :])
        ):
            raise TypeError(
                "Cannot concatenate arrays with shapes that differ in dimensions other than the "
                f"one being concatenated: concatenating along dimension {dimension} for shapes "
                f"{', '.join(str(tuple(x.shape)) for x in xs)}."
            )
        if x.dtype != first.dtype:
            raise TypeError(
                "lax.concatenate requires arguments to have the same dtypes, got "
                f"{', '.join(str(x.dtype) for x in xs)}. (Tip: jnp.concatenate is a similar "
                "function that does automatic type promotion on inputs)."
            )
        total += s[dimension]
        weak = weak and x.weak_type
    return ShapedArray(
        (*shape[:dimension], total, *shape[dimension + 1 :]), first.dtype, weak_type=weak
    )


def _concatenate_jvp(primals: Sequence[Any], tangents: Sequence[Any], *, dimension: int) -> Any:
    filled = [
        full(0, aval_of(p).to_tangent_aval()) if t is None else t
        for p, t in zip(primals, tangents, strict=True)
    ]
    return (
        bind(concatenate_p, *primals, dimension=dimension),
        bind(concatenate_p, *filled, dimension=dimension),
    )


def _concatenate_transpose(ct: Any, args: Sequence[Any], *, dimension: int) -> list[Any]:
    shape = aval_of(ct).shape
    out: list[Any] = []
    at = 0
    for x in args:
        n = (x.aval if type(x) is Linear else aval_of(x)).shape[dimension]
        if type(x) is Linear:
            start, limit = [0] * len(shape), list(shape)
            start[dimension], limit[dimension] = at, at + n
            out.append(
                bind(
                    slice_p,
                    ct,
                    start_indices=tuple(start),
                    limit_indices=tuple(limit),
                    strides=None,
                )
            )
        else:
            out.append(None)
        at += n
    return out


def _concatenate_batch(
    size: int, args: Sequence[Any], dims: Sequence[Any], *, dimension: int
) -> Any:
    d = next(d for d in dims if d is not None)
    return bind(
        concatenate_p,
        *[batched_at(x, b, d, size) for x, b in zip(args, dims, strict=True)],
        dimension=dimension + (dimension >= d),
    ), d


_concatenate_box: list[Primitive] = []
concatenate_p = Primitive(
    "concatenate",
    memoised(_concatenate_type),
    jvp=_concatenate_jvp,
    transpose=_concatenate_transpose,
    batch=_concatenate_batch,
    cost=no_cost,
    jax=jax.lax.concatenate_p,
    lower=by_jax_for_keys(
        _concatenate_box,
        lambda b, operands, avals_in, avals_out, dimension: b.one(
            "stablehlo.concatenate", avals_out[0], *operands, dimension=b.int(dimension)
        ),
    ),
)
_concatenate_box.append(concatenate_p)


# --- pad ----------------------------------------------------------------------------------------

PadConfig = tuple[tuple[int, int, int], ...]


def _pad_type(x: ShapedArray, value: ShapedArray, *, padding_config: PadConfig) -> ShapedArray:
    if x.dtype != value.dtype:
        raise TypeError(
            f"pad operand and padding_value must be same dtype: got {x.dtype} and {value.dtype}."
        )
    if value.shape != ():
        raise TypeError(f"pad padding_value must be a scalar, got shape {tuple(value.shape)}.")
    if len(padding_config) != len(x.shape):
        raise ValueError(
            "length of padding_config must equal the number of axes of operand, got "
            f"padding_config {padding_config} for operand shape {tuple(x.shape)}."
        )
    if any(interior < 0 for _, _, interior in padding_config):
        raise ValueError(
            f"interior padding in padding_config must be nonnegative, got "
            f"padding_config {padding_config}."
        )
    shape = tuple(
        low + high + (n + (n - 1) * interior if n > 0 else 0)
        for n, (low, high, interior) in zip(x.shape, padding_config, strict=True)
    )
    if any(n < 0 for n in shape):
        raise ValueError(
            "Dimension size after padding is not at least 0, got result shape "
            f"{shape}, for padding_config={padding_config} operand shape {tuple(x.shape)}."
        )
    return ShapedArray(shape, x.dtype, weak_type=x.weak_type and value.weak_type)


def _pad_jvp(primals: Sequence[Any], tangents: Sequence[Any], *, padding_config: PadConfig) -> Any:
    filled = [
        full(0, aval_of(p).to_tangent_aval()) if t is None else t
        for p, t in zip(primals, tangents, strict=True)
    ]
    return (
        bind(pad_p, *primals, padding_config=padding_config),
        bind(pad_p, *filled, padding_config=padding_config),
    )


def _pad_transpose(ct: Any, args: Sequence[Any], *, padding_config: PadConfig) -> list[Any]:
    x, value = args
    aval = x.aval if type(x) is Linear else aval_of(x)
    if 0 in aval.shape:  # only padding is left
        back = full(0, aval.to_tangent_aval())
    else:
        unpad = tuple((-low, -high, 0) for low, high, _ in padding_config)
        back = bind(pad_p, ct, np.zeros((), aval_of(ct).dtype)[()], padding_config=unpad)
        steps = tuple(interior + 1 for _, _, interior in padding_config)
        if any(s != 1 for s in steps):
            back = bind(
                slice_p,
                back,
                start_indices=(0,) * len(steps),
                limit_indices=aval_of(back).shape,
                strides=steps,
            )
    out: list[Any] = [back if type(x) is Linear else None, None]
    if type(value) is Linear:
        axes = tuple(range(len(padding_config)))
        rest = bind(reduce_sum_p, back, axes=axes)
        total = bind(reduce_sum_p, ct, axes=axes)
        out[1] = sub(total, rest)
    return out


def _pad_batch(
    size: int, args: Sequence[Any], dims: Sequence[Any], *, padding_config: PadConfig
) -> Any:
    x, value = args
    d, dv = dims
    if dv is None:
        config = (*padding_config[:d], (0, 0, 0), *padding_config[d:])
        return bind(pad_p, x, value, padding_config=config), d
    # A padding value for each example: pad with anything and choose by a padded mask.
    x = batched_at(x, d, 0, size)
    aval = aval_of(x)
    config = ((0, 0, 0), *padding_config)
    padded = bind(pad_p, x, np.zeros((), aval.dtype)[()], padding_config=config)
    mask = bind(pad_p, full(True, ShapedArray(aval.shape, BOOL)), np.False_, padding_config=config)
    fill = bind(broadcast_in_dim_p, value, shape=aval_of(padded).shape, broadcast_dimensions=(0,))
    return select(mask, padded, fill), 0


def _pad_lower(
    b: Any, operands: Sequence[Any], avals_in: Any, avals_out: Any, *, padding_config: PadConfig
) -> list[Any]:
    low, high, interior = zip(*padding_config, strict=True) if padding_config else ((), (), ())
    return b.one(
        "stablehlo.pad",
        avals_out[0],
        *operands,
        edge_padding_low=b.ints(low),
        edge_padding_high=b.ints(high),
        interior_padding=b.ints(interior),
    )


pad_p = Primitive(
    "pad",
    memoised(_pad_type),
    jvp=_pad_jvp,
    transpose=_pad_transpose,
    batch=_pad_batch,
    lower=_pad_lower,
    cost=no_cost,
    jax=jax.lax.pad_p,
)
