"""`with_sharding_constraint`: where a value lies. Its derivative lies there too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxcore import backend
from jaxcore.primitive import Primitive
from jaxcore.trace import bind

__all__ = ["sharding_constraint_p"]


def _jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
    (x,), (t,) = primals, tangents
    out = bind(sharding_constraint_p, x, **params)
    return out, None if t is None else bind(sharding_constraint_p, t, **params)


def _batch(size: int, args: Sequence[Any], dims: Sequence[int | None], **params: Any) -> Any:
    """JAX's rule: the batch dimension is free, or lies over the axes that vmap was given."""
    out, out_dims = backend.batch(backend.sharding_constraint_p, size, args, dims, params)
    return out[0], out_dims[0]


sharding_constraint_p = Primitive(
    "sharding_constraint",
    lambda x, **params: x,
    jvp=_jvp,
    transpose=lambda ct, args, **params: [bind(sharding_constraint_p, ct, **params)],
    batch=_batch,
    cost=lambda avals_in, avals_out, **params: 0,
    jax=backend.sharding_constraint_p,
)
