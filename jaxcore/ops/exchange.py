"""Collectives that move values between the positions of a named axis; a position's number."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from jaxcore import backend
from jaxcore.ops.collective import Params, collective, folded, positions_before, split, spread
from jaxcore.trace import aval_of, bind

__all__ = ["all_to_all_p", "axis_index_p", "pbroadcast_p", "ppermute_p"]


def _permute_over(
    x: Any, dim: int | None, size: int, left: tuple[Any, ...], params: Params
) -> tuple[Any, int | None]:
    """Positions that are nobody's destination get zeros."""
    import jaxcore.numpy as jnp

    perm = [(source % size, target % size) for source, target in params["perm"]]
    sources = {target: source for source, target in perm}
    if len(sources) < len(perm) or len({source for source, _ in perm}) < len(perm):
        raise ValueError(
            f"ppermute: sources and destinations must be unique, got perm={params['perm']}."
        )
    y = spread(x, dim, size)[np.array([sources.get(i, 0) for i in range(size)])]
    if len(sources) == size:
        return y, 0
    filled = np.array([i in sources for i in range(size)])
    filled = filled.reshape(size, *(1,) * (len(aval_of(y).shape) - 1))
    return jnp.where(filled, y, np.zeros((), aval_of(y).dtype)), 0


def _permute_transpose(ct: Any, aval: Any, params: Params) -> Any:
    perm = tuple((target, source) for source, target in params["perm"])
    return bind(ppermute_p, ct, **{**params, "perm": perm})


def _broadcast_over(
    x: Any, dim: int | None, size: int, left: tuple[Any, ...], params: Params
) -> tuple[Any, int | None]:
    from jaxcore import lax

    if dim is None:
        return x, None
    return lax.index_in_dim(x, params["source"], dim, keepdims=False), None


def _broadcast_transpose(ct: Any, aval: Any, params: Params) -> Any:
    from jaxcore import lax
    from jaxcore import numpy as jnp

    total = lax.psum(ct, params["axis_name"])
    here = jax.lax.axis_index(params["axis_name"]) == params["source"]
    return jnp.where(here, total, jnp.zeros_like(total))


def _exchange_over(
    x: Any, dim: int | None, size: int, left: tuple[Any, ...], params: Params
) -> tuple[Any, int | None]:
    """Position j gets the chunks j of all positions, one behind the other."""
    import jaxcore.numpy as jnp

    at, concat = params["split_axis"], params["concat_axis"]
    if not left:
        y = jnp.moveaxis(split(spread(x, dim, size), at + 1, size), at + 1, 0)
        return folded(jnp.moveaxis(y, 1, concat + 1), concat + 1), 0
    # Destinations go first, sources second, while the chunks travel along the other axes.
    before = positions_before(left, params)
    y = split(split(spread(x, dim, size), at + 1, before), at + 2, size)
    y = folded(jnp.moveaxis(y, at + 2, 0), at + 2)
    others = {"axis_name": left, "split_axis": at + 2, "concat_axis": concat + 2}
    y = split(bind(all_to_all_p, y, **{**params, **others}), concat + 2, before)
    return folded(folded(jnp.moveaxis(y, 1, concat + 2), concat + 1), concat + 1), 0


def _exchange_shift(dim: int, params: Params) -> tuple[Params, int]:
    moved = {k: params[k] + (dim <= params[k]) for k in ("split_axis", "concat_axis")}
    return {**params, **moved}, dim


def _exchange_transpose(ct: Any, aval: Any, params: Params) -> Any:
    back = {"split_axis": params["concat_axis"], "concat_axis": params["split_axis"]}
    return bind(all_to_all_p, ct, **{**params, **back})


def _index_over(
    x: Any, dim: int | None, size: int, left: tuple[Any, ...], params: Params
) -> tuple[Any, int | None]:
    from jaxcore import lax

    return lax.iota("int32", size), 0


ppermute_p = collective(
    backend.ppermute_p, "axis_name", _permute_over, transpose=_permute_transpose
)
pbroadcast_p = collective(
    backend.pbroadcast_p, "axis_name", _broadcast_over, transpose=_broadcast_transpose
)
all_to_all_p = collective(
    backend.all_to_all_p,
    "axis_name",
    _exchange_over,
    shift=_exchange_shift,
    transpose=_exchange_transpose,
    several=True,
)
axis_index_p = collective(backend.axis_index_p, "axis_name", _index_over)
