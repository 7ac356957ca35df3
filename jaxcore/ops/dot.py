"""Contraction of two arrays: `dot_general`, on which every product of matrices rests."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from jaxcore.backend import ShapedArray
from jaxcore.ops.arithmetic import add
from jaxcore.ops.avals import memoised
from jaxcore.ops.convert import convert
from jaxcore.ops.rules import kind_of
from jaxcore.ops.shape import dropping, inverse, transpose_p
from jaxcore.primitive import Linear, Primitive
from jaxcore.trace import aval_of, bind

__all__ = ["Dims", "dot_general_p", "dot_shape"]

Dims = tuple[tuple[tuple[int, ...], tuple[int, ...]], tuple[tuple[int, ...], tuple[int, ...]]]


def dot_shape(x: tuple[int, ...], y: tuple[int, ...], dimension_numbers: Dims) -> tuple[int, ...]:
    """Batch dimensions, then those only of x, then those only of y."""
    (xc, yc), (xb, yb) = dimension_numbers
    return (*[x[i] for i in xb], *_kept(x, xc, xb), *_kept(y, yc, yb))


def _kept(shape: Sequence[int], contract: Sequence[int], batch: Sequence[int]) -> list[int]:
    return [n for i, n in enumerate(shape) if i not in contract and i not in batch]


def _kept_dims(ndim: int, contract: Sequence[int], batch: Sequence[int]) -> list[int]:
    return [i for i in range(ndim) if i not in contract and i not in batch]


def _check(x: ShapedArray, y: ShapedArray, dims: Dims) -> None:
    (xc, yc), (xb, yb) = dims
    for name, a, b in (("contracting", xc, yc), ("batch", xb, yb)):
        if len(a) != len(b):
            raise TypeError(
                f"dot_general requires equal numbers of {name} dimensions of lhs and rhs, got "
                f"{tuple(a)} and {tuple(b)}."
            )
    for name, shape, c, b in (("lhs", x.shape, xc, xb), ("rhs", y.shape, yc, yb)):
        both = (*c, *b)
        if len(set(both)) != len(both) or not all(0 <= i < len(shape) for i in both):
            raise TypeError(
                f"dot_general requires the contracting and batch dimensions of {name} to be "
                f"distinct and in [0, {len(shape)}), got contracting {tuple(c)} and batch "
                f"{tuple(b)}."
            )
    for name, a, b in (("contracting", xc, yc), ("batch", xb, yb)):
        sizes = [x.shape[i] for i in a], [y.shape[i] for i in b]
        if sizes[0] != sizes[1]:
            raise TypeError(
                f"dot_general requires {name} dimensions to have the same shape, got "
                f"{tuple(sizes[0])} and {tuple(sizes[1])}."
            )


def _dot_type(
    x: ShapedArray,
    y: ShapedArray,
    *,
    dimension_numbers: Dims,
    precision: Any,
    preferred_element_type: Any,
) -> ShapedArray:
    _check(x, y, dimension_numbers)
    dtype = x.dtype if x.dtype == y.dtype else _wider(x.dtype, y.dtype)
    preferred = preferred_element_type
    if preferred is not None and preferred != dtype:
        exact = kind_of(dtype) != "f" and not _is_algorithm(precision)
        if exact and _bits(preferred) < _bits(dtype):
            raise TypeError(
                "`preferred_element_type` must not be narrower than the original type, got "
                f"preferred_element_type of {preferred} for result type of {dtype}."
            )
        dtype = preferred
    return ShapedArray(
        dot_shape(x.shape, y.shape, dimension_numbers),
        np.dtype(dtype),
        weak_type=x.weak_type and y.weak_type,
    )


def _is_algorithm(precision: Any) -> bool:
    return isinstance(precision, jax.lax.DotAlgorithm | jax.lax.DotAlgorithmPreset)


def _bits(dtype: Any) -> int:
    kind = kind_of(np.dtype(dtype))
    if kind in "fc":
        return int(jax.numpy.finfo(dtype).bits)
    return 1 if kind == "b" else int(jax.numpy.iinfo(dtype).bits)


def _wider(a: Any, b: Any) -> Any:
    """XLA's choice for operands of two dtypes: complex, then exponent, mantissa, width, sign."""

    def rank(dtype: Any) -> tuple[Any, ...]:
        kind = kind_of(dtype)
        real = np.zeros((), dtype).real.dtype if kind == "c" else dtype
        info = jax.numpy.finfo(real) if kind in "fc" else None
        return (
            kind == "c",
            int(info.maxexp) if info else -1,
            int(info.nmant) if info else -1,
            _bits(real),
            kind != "u",
        )

    if rank(a) == rank(b):
        raise TypeError(f"lax.dot_general argument type error: {a}, {b}")
    return a if rank(a) > rank(b) else b


def _dot(x: Any, y: Any, params: dict[str, Any], dims: Dims) -> Any:
    return bind(dot_general_p, x, y, **{**params, "dimension_numbers": dims})


def _dot_jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
    x, y = primals
    dx, dy = tangents
    terms = [
        bind(dot_general_p, *pair, **params)
        for pair, t in (((dx, y), dx), ((x, dy), dy))
        if t is not None
    ]
    return bind(dot_general_p, x, y, **params), terms[0] if len(terms) == 1 else add(*terms)


def _dot_transpose(ct: Any, args: Sequence[Any], **params: Any) -> list[Any]:
    x, y = args
    (xc, yc), (xb, yb) = params["dimension_numbers"]
    if type(x) is Linear:
        return [_transpose_operand(ct, x.aval, y, ((xc, yc), (xb, yb)), params, False), None]
    return [None, _transpose_operand(ct, y.aval, x, ((yc, xc), (yb, xb)), params, True)]


def _transpose_operand(
    ct: Any, x: ShapedArray, y: Any, dims: Dims, params: dict[str, Any], swapped: bool
) -> Any:
    """The cotangent of the operand of type `x`; `swapped`: it was the right one."""
    (xc, yc), (xb, yb) = dims
    ndim = len(aval_of(y).shape)
    x_kept, y_kept = _kept_dims(len(x.shape), xc, xb), _kept_dims(ndim, yc, yb)
    start = len(xb) + (0 if swapped else len(x_kept))
    ct_y = tuple(range(start, start + len(y_kept)))
    order = [xc[i] for i in sorted(range(len(yc)), key=yc.__getitem__)]
    contracted, batch = (ct_y, tuple(y_kept)), (tuple(range(len(xb))), yb)
    permutation = inverse((*xb, *x_kept, *order))
    reversed_order = (*xb, *order, *x_kept)
    if reversed_order == tuple(range(len(reversed_order))):  # y first leaves nothing to transpose
        out = _dot(y, ct, params, (contracted[::-1], batch[::-1]))
        permutation = reversed_order
    else:
        out = _dot(ct, y, params, (contracted, batch))
    if permutation != tuple(range(len(permutation))):
        out = bind(transpose_p, out, permutation=permutation)
    return out if aval_of(out).dtype == x.dtype else convert(out, x.dtype)


def _dot_batch(size: int, args: Sequence[Any], dims: Sequence[int | None], **params: Any) -> Any:
    x, y = args
    dx, dy = dims
    (xc, yc), (xb, yb) = params["dimension_numbers"]
    nx, ny = len(aval_of(x).shape), len(aval_of(y).shape)
    if dx is not None:
        xc, xb = _bump(xc, dx), _bump(xb, dx)
    if dy is not None:
        yc, yb = _bump(yc, dy), _bump(yb, dy)
    if dx is not None and dy is not None:
        return _dot(x, y, params, ((xc, yc), ((dx, *xb), (dy, *yb)))), 0
    # The examples of one operand are one more dimension of its own.
    out = _dot(x, y, params, ((xc, yc), (xb, yb)))
    if dx is not None:
        return out, len(xb) + _kept_dims(nx, xc, xb).index(dx)
    assert dy is not None  # a rule is called where an operand is batched
    return out, nx - len(xc) + _kept_dims(ny, yc, yb).index(dy)


def _bump(dims: tuple[int, ...], at: int) -> tuple[int, ...]:
    return tuple([i + (i >= at) for i in dims])


_plain = {
    np.dtype(t)
    for t in ("float16", "float32", "float64", "int32", "int64", "complex64", "complex128")
} | {np.dtype(jax.numpy.bfloat16)}


def _dot_lower(
    b: Any,
    operands: Sequence[Any],
    avals_in: Any,
    avals_out: Any,
    *,
    dimension_numbers: Dims,
    precision: Any,
    preferred_element_type: Any,
) -> list[Any]:
    x, y = avals_in
    if x.dtype != y.dtype or x.dtype not in _plain or _is_algorithm(precision):
        # What a platform accepts of mixed types and algorithms is JAX's knowledge.
        params = {
            "dimension_numbers": dimension_numbers,
            "precision": precision,
            "preferred_element_type": preferred_element_type,
        }
        return b.jax(dot_general_p, operands, avals_in, avals_out, params)
    (xc, yc), (xb, yb) = dimension_numbers
    numbers = b.parse(
        f"#stablehlo.dot<lhs_batching_dimensions = {list(xb)}, "
        f"rhs_batching_dimensions = {list(yb)}, lhs_contracting_dimensions = {list(xc)}, "
        f"rhs_contracting_dimensions = {list(yc)}>"
    )
    return b.one(
        "stablehlo.dot_general",
        avals_out[0],
        *operands,
        dot_dimension_numbers=numbers,
        precision_config=b.parse(precision_text(precision)),
    )


def precision_text(precision: Any) -> str:
    """The attribute of a precision: None, or a pair of `jax.lax.Precision`."""
    pair = precision if isinstance(precision, tuple) else (precision, precision)
    names = ["DEFAULT" if p is None else p.name for p in pair]
    return "[" + ", ".join(f"#stablehlo<precision {n}>" for n in names) + "]"


def _dot_cost(avals_in: Any, avals_out: Any, *, dimension_numbers: Dims, **_: Any) -> int:
    (contract, _yc), _batch = dimension_numbers
    depth = math.prod(avals_in[0].shape[i] for i in contract)
    return 2 * depth * math.prod(avals_out[0].shape)


dot_general_p = Primitive(
    "dot_general",
    memoised(_dot_type),
    jvp=_dot_jvp,
    transpose=_dot_transpose,
    batch=_dot_batch,
    lower=_dot_lower,
    cost=_dot_cost,
    jax=jax.lax.dot_general_p,
    from_jax=dropping({"out_sharding": None}),
    to_jax=lambda params: {**params, "out_sharding": None},
)
