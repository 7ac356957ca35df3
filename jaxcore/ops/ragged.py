"""Products of matrices in groups: rows of the left operand belong to groups of given sizes.

A mixture of experts multiplies the tokens of each expert by its own matrix: [m, k] · [g, k, n] ->
[m, n], with the rows in the order of their groups. Where the rows run out of groups, they are 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax

from jaxcore import backend
from jaxcore.ops.arithmetic import add
from jaxcore.ops.convert import convert
from jaxcore.ops.indexing import jax_type
from jaxcore.ops.rules import broadcast_in_dim, transpose
from jaxcore.ops.shape import batched_at, dropping, inverse
from jaxcore.primitive import Linear, Primitive
from jaxcore.trace import aval_of, bind

__all__ = ["RaggedDims", "ragged_dot_general_p"]

RaggedDims = jax.lax.RaggedDotDimensionNumbers
Params = dict[str, Any]
_DIMS = "ragged_dot_dimension_numbers"
_UNSAID = {"group_offset": None, "out_sharding": None}


def _ragged(x: Any, y: Any, sizes: Any, params: Params, dims: RaggedDims | None = None) -> Any:
    if dims is not None:
        params = {**params, _DIMS: dims}
    return bind(ragged_dot_general_p, x, y, sizes, **params)


def _kept(rank: int, *others: Sequence[int]) -> list[int]:
    gone = {i for dims in others for i in dims}
    return [i for i in range(rank) if i not in gone]


def _jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
    x, y, sizes = primals
    dx, dy, _ = tangents
    out = _ragged(x, y, sizes, params)
    terms = []
    if dx is not None:
        terms.append(_ragged(dx, y, sizes, params))
    if dy is not None:
        terms.append(_ragged(x, dy, sizes, params))
    return out, None if not terms else terms[0] if len(terms) == 1 else add(*terms)


def _transpose(ct: Any, args: Sequence[Any], **params: Any) -> list[Any]:
    x, y, sizes = args
    numbers: RaggedDims = params[_DIMS]
    (xc, yc), (xb, yb) = numbers.dot_dimension_numbers
    group, (ragged,) = numbers.rhs_group_dimensions, numbers.lhs_ragged_dimensions
    aval = x.aval if type(x) is Linear else y.aval
    x_kept = _kept(len((x.aval if type(x) is Linear else aval_of(x)).shape), xc, xb)
    y_kept = _kept(len((y.aval if type(y) is Linear else aval_of(y)).shape), yc, yb, group)
    if ragged not in x_kept:
        raise NotImplementedError(
            "the transpose of ragged_dot_general is only implemented where the ragged dimension "
            f"{ragged} of lhs is neither contracted nor a batch dimension, got "
            f"{numbers.dot_dimension_numbers}."
        )
    batch = tuple(range(len(xb)))
    of_x = tuple(range(len(xb), len(xb) + len(x_kept)))
    of_y = tuple(range(len(xb) + len(x_kept), len(xb) + len(x_kept) + len(y_kept)))
    if type(x) is Linear:
        dims = RaggedDims(((of_y, y_kept), (batch, yb)), [of_x[x_kept.index(ragged)]], group)
        back = _ragged(ct, y, sizes, params, dims)
        found = [*xb, *x_kept, *[xc[i] for i in _order(yc)]]
    else:
        dims = RaggedDims(((x_kept, of_x), (xb, batch)), [ragged], [])
        back = _ragged(x, ct, sizes, params, dims)
        found = [*group, *yb, *[yc[i] for i in _order(xc)], *y_kept]
    back = convert(transpose(back, inverse(found)), aval.dtype)
    return [back, None, None] if type(x) is Linear else [None, back, None]


def _order(dims: Sequence[int]) -> list[int]:
    return sorted(range(len(dims)), key=lambda i: dims[i])


def _batch(size: int, args: Sequence[Any], dims: Sequence[int | None], **params: Any) -> Any:
    """The examples are a batch dimension, which sizes of groups have to name as well."""
    numbers: RaggedDims = params[_DIMS]
    (xc, yc), (xb, yb) = numbers.dot_dimension_numbers
    (ragged,) = numbers.lhs_ragged_dimensions
    up = lambda axes: tuple([a + 1 for a in axes])
    x, y, sizes = (batched_at(a, d, 0, size) for a, d in zip(args, dims, strict=True))
    shape, groups = aval_of(x).shape, aval_of(sizes).shape
    kept = _kept(len(shape) - 1, xc, xb)
    before = next(list(axes) for axes in (kept, xc, xb) if ragged in axes)
    inner = before[: before.index(ragged)]
    lead = up(inner if ragged in xb else [*xb, *inner])
    if lead and len(groups) == 2:  # sizes of one example are a vector
        full = (size, *[shape[i] for i in lead], groups[-1])
        sizes = broadcast_in_dim(sizes, full, (0, len(full) - 1))
    raised = RaggedDims(
        ((up(xc), up(yc)), ((0, *up(xb)), (0, *up(yb)))),
        up([ragged]),
        up(numbers.rhs_group_dimensions),
    )
    return _ragged(x, y, sizes, params, raised), 1 if ragged in xc else 0


def _cost(avals_in: Any, avals_out: Any, **params: Any) -> int:
    """Each row is multiplied by the matrix of its own group only."""
    x, y, _ = avals_in
    (xc, yc), (_, yb) = params[_DIMS].dot_dimension_numbers
    made = [y.shape[i] for i in _kept(len(y.shape), yc, yb, params[_DIMS].rhs_group_dimensions)]
    return 2 * math.prod(x.shape) * math.prod(made)


ragged_dot_general_p = Primitive(
    "ragged_dot_general",
    jax_type(backend.ragged_dot_general_p, **_UNSAID),
    jvp=_jvp,
    transpose=_transpose,
    batch=_batch,
    cost=_cost,
    jax=backend.ragged_dot_general_p,
    from_jax=dropping(_UNSAID),
    to_jax=lambda params: {**params, **_UNSAID},
)
