"""`lax.dot_general` and its kin, and what a precision means."""

from __future__ import annotations

from operator import index
from typing import Any

import jax
import numpy as np

from jaxcore import backend
from jaxcore.numpy.creation import user_dtype
from jaxcore.numpy.operand import typed
from jaxcore.ops.dot import dot_general_p
from jaxcore.ops.ragged import RaggedDims, ragged_dot_general_p
from jaxcore.trace import bind

__all__ = [
    "batch_matmul",
    "dot",
    "dot_general",
    "ragged_dot",
    "ragged_dot_general",
    "resolve_precision",
]

Array = jax.Array


def dot_general(
    lhs: Any,
    rhs: Any,
    dimension_numbers: Any,
    precision: Any = None,
    preferred_element_type: Any = None,
    *,
    out_sharding: Any = None,
) -> Array:
    """Contract `lhs` with `rhs`.

    Args:
      lhs: array.
      rhs: array.
      dimension_numbers: ``((lhs_contract, rhs_contract), (lhs_batch, rhs_batch))``. The result has
        the batch dimensions, then the others of lhs, then the others of rhs.
      precision: None, a `jax.lax.Precision` (or its name), a pair of them, or a dot algorithm.
      preferred_element_type: dtype to accumulate in and return.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> from jaxcore import lax
      >>> lax.dot_general(
      ...     jnp.ones((5, 2, 3)), jnp.ones((5, 3, 4)), (((2,), (1,)), ((0,), (0,)))
      ... ).shape
      (5, 2, 4)
    """
    if out_sharding is not None:
        return jax.lax.dot_general(
            lhs,
            rhs,
            dimension_numbers,
            precision,
            preferred_element_type,
            out_sharding=out_sharding,
        )
    lhs, _ = typed("dot_general", lhs)
    rhs, _ = typed("dot_general", rhs, 1)
    (xc, yc), (xb, yb) = dimension_numbers
    ints = lambda dims: tuple([index(d) for d in dims])
    return bind(
        dot_general_p,
        lhs,
        rhs,
        dimension_numbers=((ints(xc), ints(yc)), (ints(xb), ints(yb))),
        precision=resolve_precision(precision),
        preferred_element_type=None
        if preferred_element_type is None
        else user_dtype(preferred_element_type),
    )


def dot(
    lhs: Any,
    rhs: Any,
    *,
    dimension_numbers: Any = None,
    precision: Any = None,
    preferred_element_type: Any = None,
    out_sharding: Any = None,
) -> Array:
    """The product of vectors or matrices, or what `dimension_numbers` say; see `dot_general`.

    Raises:
      ValueError: the operands are no vectors or matrices that fit, and no `dimension_numbers` say
        how to contract them.
    """
    x, tx = typed("dot", lhs)
    y, ty = typed("dot", rhs, 1)
    if dimension_numbers is None:
        ranks = len(tx.shape), len(ty.shape)
        if not set(ranks) <= {1, 2} or tx.shape[-1] != ty.shape[0]:
            raise ValueError(
                "jax.lax.dot: dimension_numbers must be specified when not performing simple "
                "un-batched matrix-matrix, matrix-vector, or vector-vector products; got shapes "
                f"{tuple(tx.shape)} and {tuple(ty.shape)}."
            )
        dimension_numbers = (((ranks[0] - 1,), (0,)), ((), ()))
    return dot_general(
        x, y, dimension_numbers, precision, preferred_element_type, out_sharding=out_sharding
    )


def batch_matmul(lhs: Any, rhs: Any, precision: Any = None) -> Array:
    """Products of matrices, one for each index of the leading axes, which must be equal."""
    x, tx = typed("batch_matmul", lhs)
    y, ty = typed("batch_matmul", rhs, 1)
    rank = len(tx.shape)
    if min(rank, len(ty.shape)) < 2 or rank != len(ty.shape):
        raise ValueError(
            "Arguments to batch_matmul must have one rank of at least 2, got shapes "
            f"{tuple(tx.shape)} and {tuple(ty.shape)}."
        )
    batch = tuple(range(rank - 2))
    return dot_general(x, y, (((rank - 1,), (rank - 2,)), (batch, batch)), precision)


def ragged_dot(
    lhs: Any,
    rhs: Any,
    group_sizes: Any,
    precision: Any = None,
    preferred_element_type: Any = None,
    group_offset: Any = None,
    out_sharding: Any = None,
) -> Array:
    """Rows times the matrix of their group: [m, k] · [g, k, n] -> [m, n].

    Args:
      lhs: rows, in the order of their groups.
      rhs: a matrix for each group.
      group_sizes: integers [g]: how many rows each group has. Rows that are left over give 0.
      precision: see `dot_general`.
      preferred_element_type: dtype to accumulate in and return.
      group_offset: not supported, here as in JAX.
      out_sharding: left to JAX.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> from jaxcore import lax
      >>> matrices = jnp.array([[[1.0]], [[10.0]]])
      >>> print(lax.ragged_dot(jnp.ones((3, 1)), matrices, jnp.array([1, 2])).ravel())
      [ 1. 10. 10.]
    """
    return ragged_dot_general(
        lhs,
        rhs,
        group_sizes,
        RaggedDims((((1,), (1,)), ((), ())), (0,), (0,)),
        precision,
        preferred_element_type,
        group_offset,
        out_sharding,
    )


def ragged_dot_general(
    lhs: Any,
    rhs: Any,
    group_sizes: Any,
    ragged_dot_dimension_numbers: Any,
    precision: Any = None,
    preferred_element_type: Any = None,
    group_offset: Any = None,
    out_sharding: Any = None,
) -> Array:
    """Contract `lhs`, one dimension of which is divided into groups, with `rhs`.

    Args:
      lhs: array.
      rhs: array.
      group_sizes: integers [g], or [..., g] with the batch dimensions of lhs and those of its
        dimensions that stand before the ragged one.
      ragged_dot_dimension_numbers: a `jax.lax.RaggedDotDimensionNumbers`: the dimensions of
        `dot_general`, the ragged dimension of lhs, and the dimension of the groups of rhs. If the
        ragged dimension is contracted, each group gives a result, along a new first dimension.
      precision, preferred_element_type, group_offset, out_sharding: see `ragged_dot`.

    Raises:
      TypeError: the shapes do not fit.
      NotImplementedError: `group_offset` is given; or the derivative of a product with a ragged
        dimension that is contracted is transposed.
    """
    precise = resolve_precision(precision)
    if group_offset is not None or out_sharding is not None:
        return jax.lax.ragged_dot_general(
            lhs,
            rhs,
            group_sizes,
            ragged_dot_dimension_numbers,
            precise,
            preferred_element_type,
            group_offset,
            out_sharding,
        )
    return bind(
        ragged_dot_general_p,
        typed("ragged_dot_general", lhs)[0],
        typed("ragged_dot_general", rhs, 1)[0],
        typed("ragged_dot_general", group_sizes, 2)[0],
        ragged_dot_dimension_numbers=ragged_dot_dimension_numbers,
        precision=precise,
        preferred_element_type=None
        if preferred_element_type is None
        else user_dtype(preferred_element_type),
    )


_resolved: dict[Any, Any] = {}


def resolve_precision(precision: Any) -> Any:
    """What a user's `precision` means under the current default of JAX's configuration."""
    default = backend.flag("jax_default_matmul_precision")
    if precision is None and default is None:
        return None
    key = (str(precision), default)
    if key not in _resolved:
        # JAX knows the names and the algorithms: read off what it records.
        one = jax.ShapeDtypeStruct((1,), np.float32)
        with backend.set_current_trace(backend.eval_trace):
            jaxpr = jax.make_jaxpr(lambda x: jax.lax.dot(x, x, precision=precision))(one)
        _resolved[key] = jaxpr.eqns[0].params["precision"]
    return _resolved[key]
