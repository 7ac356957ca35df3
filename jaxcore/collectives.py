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


def _over_any_axis(fun: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(fun)
    def collective(x: Any, axis_name: Any, *args: Any, **kwargs: Any) -> Any:
        mesh = backend.manual_mesh()
        names = axis_name if isinstance(axis_name, tuple | list) else (axis_name,)
        mapped = mesh is not None and not any(a in mesh.axis_names for a in names)
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
