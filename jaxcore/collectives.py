"""The collective functions of `lax`: JAX's, also over an axis of `vmap` inside `shard_map`.

JAX's functions take every name for one of the mesh's axes where they follow over which of these
values vary. A mapped axis is none of them: over it a collective is computed by `vmap`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import wraps
from typing import Any

from jax import lax

from jaxcore import backend

__all__ = [
    "all_gather",
    "all_to_all",
    "pbroadcast",
    "pmax",
    "pmean",
    "pmin",
    "ppermute",
    "pshuffle",
    "psum",
    "psum_scatter",
    "pswapaxes",
]


_REDUCTIONS = (lax.psum, lax.pmean, lax.pmax, lax.pmin)  # in any order of the axes


def _over_any_axis(fun: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(fun)
    def collective(x: Any, axis_name: Any, *args: Any, **kwargs: Any) -> Any:
        mesh = backend.manual_mesh()
        names = axis_name if isinstance(axis_name, tuple | list) else (axis_name,)
        mapped = () if mesh is None else tuple(a for a in names if a not in mesh.axis_names)
        if mapped and len(mapped) < len(names):
            if fun not in _REDUCTIONS:
                raise NotImplementedError(
                    f"{fun.__name__} over axes of the mesh and of vmap at once is not supported; "
                    f"got {axis_name!r}, of which vmap maps {mapped!r}. Fix: apply it to one axis "
                    "after the other."
                )
            x = collective(x, mapped, *args, **kwargs)
            axis_name, mapped = tuple(a for a in names if a not in mapped), ()
        with backend.unchecked() if mapped else nullcontext():
            return fun(x, axis_name, *args, **kwargs)

    return collective


all_gather = _over_any_axis(lax.all_gather)
all_to_all = _over_any_axis(lax.all_to_all)
pbroadcast = _over_any_axis(lax.pbroadcast)
pmax = _over_any_axis(lax.pmax)
pmean = _over_any_axis(lax.pmean)
pmin = _over_any_axis(lax.pmin)
ppermute = _over_any_axis(lax.ppermute)
pshuffle = _over_any_axis(lax.pshuffle)
psum = _over_any_axis(lax.psum)
psum_scatter = _over_any_axis(lax.psum_scatter)
pswapaxes = _over_any_axis(lax.pswapaxes)
