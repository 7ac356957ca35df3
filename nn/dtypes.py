"""Which dtype a layer computes in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jax.numpy import inexact, issubdtype

import jaxcore.numpy as jnp
from jaxcore import Array


def compute_dtype(dtype: Any, *values: Any) -> Any:
    """`dtype` where it is given, else the operands' common dtype, made inexact.

    >>> import jaxcore.numpy as jnp
    >>> compute_dtype(None, jnp.ones(2, jnp.bfloat16), jnp.ones(2)).name
    'float32'
    """
    if dtype is not None:
        return jnp.dtype(dtype)
    found = _one_dtype(values)
    if found is None:
        found = jnp.result_type(*(v for v in values if v is not None))
    return found if issubdtype(found, inexact) else jnp.promote_types(jnp.float32, found)


def _one_dtype(values: Sequence[Any]) -> Any:
    """The dtype that all arrays have, else None; asking JAX costs more than most equations."""
    found = None
    for v in values:
        if v is not None:
            if not isinstance(v, Array) or v.weak_type or (found is not None and v.dtype != found):
                return None
            found = v.dtype
    return found


def as_array(x: Any, dtype: Any = None) -> Any:
    """``jnp.asarray``, which costs more than most equations, only where there is work for it."""
    if isinstance(x, Array) and (dtype is None or x.dtype == dtype):
        return x
    return jnp.asarray(x, dtype)


def promote(dtype: Any, *values: Any) -> list[Any]:
    """Every value in the layer's compute dtype; None stays None."""
    dtype = compute_dtype(dtype, *values)
    return [None if v is None else as_array(v, dtype) for v in values]


def at_least_float32(x: Any) -> Any:
    """`x` in float32 or wider: sums over many bfloat16 values lose what they sum."""
    if isinstance(x, Array) and x.dtype == np.float32 and not x.weak_type:
        return x
    return as_array(x, jnp.promote_types(compute_dtype(None, x), jnp.float32))
