"""`lax.dot_general`, and what a precision means."""

from __future__ import annotations

from operator import index
from typing import Any

import jax
import numpy as np

from jaxcore import backend
from jaxcore.numpy.creation import user_dtype
from jaxcore.numpy.operand import typed
from jaxcore.ops.dot import dot_general_p
from jaxcore.trace import bind

__all__ = ["dot_general", "resolve_precision"]

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
