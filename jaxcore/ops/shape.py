"""Operations that lay elements out anew: reshape, transpose, squeeze, broadcast, rev; and iota.

All but `iota` are linear in their array operand, so their jvp is the operation itself, and none
costs a floating-point operation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax

from jaxcore import backend
from jaxcore.backend import ShapedArray
from jaxcore.ops.avals import memoised, shaped
from jaxcore.ops.reduce import reduce_sum_p
from jaxcore.ops.rules import move_dim
from jaxcore.primitive import Primitive
from jaxcore.trace import aval_of, bind

__all__ = [
    "batched_at",
    "broadcast_in_dim_p",
    "by_jax_for_keys",
    "dropping",
    "inverse",
    "iota_p",
    "linear",
    "no_cost",
    "reshape_p",
    "resized",
    "rev_p",
    "squeeze_p",
    "transpose_p",
]

Shape = tuple[int, ...]


def resized(x: ShapedArray, shape: Shape) -> ShapedArray:
    """The type `x` with another shape."""
    return shaped(shape, x.dtype, x.weak_type)


def by_jax_for_keys(box: list[Primitive], lower: Callable[..., Any]) -> Callable[..., Any]:
    """`lower`, except that key arrays, whose values have hidden dimensions, go by JAX's rule."""

    def rule(b: Any, operands: Sequence[Any], avals_in: Any, avals_out: Any, **params: Any) -> Any:
        if backend.is_extended(avals_out[0].dtype):
            return b.jax(box[0], operands, avals_in, avals_out, params)
        return lower(b, operands, avals_in, avals_out, **params)

    return rule


def linear(
    name: str,
    type: Callable[..., Any],
    *,
    transpose: Callable[..., Any],
    batch: Callable[..., Any],
    lower: Callable[..., Any],
    drop: dict[str, Any] | None = None,
    multiple_results: bool = False,
) -> Primitive:
    """A record of an operation that is linear in its one operand."""

    def jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
        return bind(record, *primals, **params), bind(record, *tangents, **params)

    box: list[Primitive] = []
    record = Primitive(
        name,
        memoised(type),
        jvp=jvp,
        transpose=transpose,
        batch=batch,
        lower=by_jax_for_keys(box, lower),
        cost=no_cost,
        jax=getattr(jax.lax, name + "_p"),
        from_jax=dropping(drop) if drop else None,
        to_jax=(lambda params: {**params, **drop}) if drop else None,
        multiple_results=multiple_results,
    )
    box.append(record)
    return record


def dropping(extra: dict[str, Any]) -> Callable[[dict[str, Any]], dict[str, Any] | None]:
    """The `from_jax` that leaves out parameters which must have the given values."""

    def convert(params: dict[str, Any]) -> dict[str, Any] | None:
        kept = dict(params)
        for key, value in extra.items():
            if key in kept and kept.pop(key) is not value:
                return None
        return kept

    return convert


def no_cost(avals_in: Any, avals_out: Any, **_: Any) -> int:
    """Moving data is no arithmetic."""
    return 0


# --- reshape ------------------------------------------------------------------------------------


def _reshape_type(x: ShapedArray, *, new_sizes: Shape) -> ShapedArray:
    if math.prod(new_sizes) != math.prod(x.shape):
        raise TypeError(
            f"reshape total size must be unchanged, got new_sizes {tuple(new_sizes)} (total size "
            f"{math.prod(new_sizes)}) for shape {tuple(x.shape)} (total size "
            f"{math.prod(x.shape)})."
        )
    return resized(x, new_sizes)


def _reshape_batch(size: int, args: Sequence[Any], dims: Sequence[Any], *, new_sizes: Shape) -> Any:
    x = move_dim(args[0], dims[0], 0)
    return bind(reshape_p, x, new_sizes=(size, *new_sizes)), 0


reshape_p = linear(
    "reshape",
    _reshape_type,
    transpose=lambda ct, args, new_sizes: [bind(reshape_p, ct, new_sizes=args[0].aval.shape)],
    batch=_reshape_batch,
    lower=lambda b, operands, avals_in, avals_out, new_sizes: b.one(
        "stablehlo.reshape", avals_out[0], *operands
    ),
    drop={"dimensions": None, "sharding": None},
)


# --- squeeze ------------------------------------------------------------------------------------


def _squeeze_type(x: ShapedArray, *, dimensions: tuple[int, ...]) -> ShapedArray:
    for d in dimensions:
        if not 0 <= d < len(x.shape) or x.shape[d] != 1:
            raise ValueError(
                "cannot select an axis to squeeze out which has size not equal to one, got "
                f"shape={tuple(x.shape)} and dimensions={dimensions}."
            )
    return resized(x, tuple(s for i, s in enumerate(x.shape) if i not in dimensions))


def _squeeze_batch(
    size: int, args: Sequence[Any], dims: Sequence[Any], *, dimensions: tuple[int, ...]
) -> Any:
    d = dims[0]
    shifted = tuple(i + (i >= d) for i in dimensions)
    return bind(squeeze_p, args[0], dimensions=shifted), d - sum(i < d for i in shifted)


squeeze_p = linear(
    "squeeze",
    _squeeze_type,
    transpose=lambda ct, args, dimensions: [bind(reshape_p, ct, new_sizes=args[0].aval.shape)],
    batch=_squeeze_batch,
    lower=lambda b, operands, avals_in, avals_out, dimensions: b.one(
        "stablehlo.reshape", avals_out[0], *operands
    ),
)


# --- transpose ----------------------------------------------------------------------------------


def _transpose_type(x: ShapedArray, *, permutation: tuple[int, ...]) -> ShapedArray:
    shape = x.shape
    if len(permutation) != len(shape) or set(permutation) != set(range(len(shape))):
        raise TypeError(
            f"transpose permutation must be a permutation of the axes of the operand, got "
            f"permutation {tuple(permutation)} for operand shape {tuple(shape)}."
        )
    return resized(x, tuple([shape[i] for i in permutation]))


def inverse(permutation: Sequence[int]) -> tuple[int, ...]:
    """The permutation that undoes `permutation`."""
    out = [0] * len(permutation)
    for i, p in enumerate(permutation):
        out[p] = i
    return tuple(out)


def _transpose_batch(
    size: int, args: Sequence[Any], dims: Sequence[Any], *, permutation: tuple[int, ...]
) -> Any:
    d = dims[0]
    return bind(transpose_p, args[0], permutation=(d, *[p + (p >= d) for p in permutation])), 0


transpose_p = linear(
    "transpose",
    _transpose_type,
    transpose=lambda ct, args, permutation: [
        bind(transpose_p, ct, permutation=inverse(permutation))
    ],
    batch=_transpose_batch,
    lower=lambda b, operands, avals_in, avals_out, permutation: b.one(
        "stablehlo.transpose", avals_out[0], *operands, permutation=b.ints(permutation)
    ),
)


# --- broadcast_in_dim ---------------------------------------------------------------------------


def _broadcast_type(
    x: ShapedArray, *, shape: Shape, broadcast_dimensions: tuple[int, ...]
) -> ShapedArray:
    dims = broadcast_dimensions
    if len(dims) != len(x.shape):
        raise TypeError(
            "broadcast_in_dim broadcast_dimensions must have length equal to operand ndim; got "
            f"broadcast_dimensions {dims} for operand of shape {tuple(x.shape)}."
        )
    last = -1
    for size, d in zip(x.shape, dims, strict=True):
        if not last < d < len(shape):
            raise TypeError(
                "broadcast_in_dim broadcast_dimensions must be strictly increasing and within the "
                f"output's dimensions; got broadcast_dimensions {dims} for output shape {shape}."
            )
        if size != shape[d] and size != 1:
            raise TypeError(
                "broadcast_in_dim operand dimension sizes must either be 1, or be equal to their "
                "corresponding dimensions in the target broadcast shape; got operand of shape "
                f"{tuple(x.shape)}, target broadcast shape {shape}, broadcast_dimensions {dims}."
            )
        last = d
    for size in shape:
        if size < 0:
            raise TypeError(f"broadcast_in_dim shape must have non-negative sizes, got {shape}.")
    return resized(x, shape)


def _broadcast_transpose(
    ct: Any, args: Sequence[Any], *, shape: Shape, broadcast_dimensions: tuple[int, ...]
) -> list[Any]:
    operand = args[0].aval.shape
    kept = {d for d, size in zip(broadcast_dimensions, operand, strict=True) if size == shape[d]}
    axes = tuple(i for i, size in enumerate(shape) if i not in kept and size != 1)
    if axes:
        ct = bind(reduce_sum_p, ct, axes=axes)
    if aval_of(ct).shape != operand:
        ct = bind(reshape_p, ct, new_sizes=operand)
    return [ct]


def _broadcast_batch(
    size: int,
    args: Sequence[Any],
    dims: Sequence[Any],
    *,
    shape: Shape,
    broadcast_dimensions: tuple[int, ...],
) -> Any:
    # The examples take the place that keeps the dimensions in order, so nothing is moved.
    d, old = dims[0], broadcast_dimensions
    at = old[d - 1] + 1 if d > 0 else 0
    new = [i + (i >= at) for i in old]
    return bind(
        broadcast_in_dim_p,
        args[0],
        shape=(*shape[:at], size, *shape[at:]),
        broadcast_dimensions=(*new[:d], at, *new[d:]),
    ), at


broadcast_in_dim_p = linear(
    "broadcast_in_dim",
    _broadcast_type,
    transpose=_broadcast_transpose,
    batch=_broadcast_batch,
    lower=lambda b, operands, avals_in, avals_out, shape, broadcast_dimensions: b.one(
        "stablehlo.broadcast_in_dim",
        avals_out[0],
        *operands,
        broadcast_dimensions=b.ints(broadcast_dimensions),
    ),
    drop={"sharding": None},
)


# --- rev ----------------------------------------------------------------------------------------


def _rev_type(x: ShapedArray, *, dimensions: tuple[int, ...]) -> ShapedArray:
    if len(set(dimensions)) != len(dimensions) or not all(
        0 <= d < len(x.shape) for d in dimensions
    ):
        raise TypeError(
            f"rev dimensions must be unique and in [0, {len(x.shape)}), got {dimensions} for "
            f"operand shape {tuple(x.shape)}."
        )
    return x


rev_p = linear(
    "rev",
    _rev_type,
    transpose=lambda ct, args, dimensions: [bind(rev_p, ct, dimensions=dimensions)],
    batch=lambda size, args, dims, dimensions: (
        bind(rev_p, args[0], dimensions=tuple(i + (i >= dims[0]) for i in dimensions)),
        dims[0],
    ),
    lower=lambda b, operands, avals_in, avals_out, dimensions: b.one(
        "stablehlo.reverse", avals_out[0], *operands, dimensions=b.ints(dimensions)
    ),
)


# --- iota ---------------------------------------------------------------------------------------


def _iota_type(*, dtype: Any, shape: Shape, dimension: int) -> ShapedArray:
    if not 0 <= dimension < len(shape):
        raise ValueError(
            f"iota dimension must be in [0, {len(shape)}), got dimension={dimension} "
            f"for shape {shape}."
        )
    return shaped(shape, dtype)


iota_p = Primitive(
    "iota",
    _iota_type,
    cost=no_cost,
    jax=jax.lax.iota_p,
    from_jax=dropping({"sharding": None}),
    to_jax=lambda params: {**params, "sharding": None},
    lower=lambda b, operands, avals_in, avals_out, dtype, shape, dimension: b.one(
        "stablehlo.iota", avals_out[0], iota_dimension=b.int(dimension)
    ),
)


# --- for batching rules -------------------------------------------------------------------------


def batched_at(x: Any, dim: int | None, target: int, size: int) -> Any:
    """`x` with its examples at axis `target`, repeated there if it has none."""
    if dim is not None:
        return move_dim(x, dim, target)
    shape = aval_of(x).shape
    return bind(
        broadcast_in_dim_p,
        x,
        shape=(*shape[:target], size, *shape[target:]),
        broadcast_dimensions=tuple(i + (i >= target) for i in range(len(shape))),
    )
