"""Result types made once: building an abstract value costs more than looking one up."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any

import jax

from jaxcore.backend import ShapedArray

__all__ = ["memoised", "shaped"]


@lru_cache(16384)
def _shaped(shape: tuple[int, ...], dtype: Any, weak_type: bool, mesh: Any) -> ShapedArray:
    return ShapedArray(shape, dtype, weak_type=weak_type)


def shaped(shape: tuple[int, ...], dtype: Any, weak_type: bool = False) -> ShapedArray:
    """The type of an array; a new type takes its sharding from the mesh that is current."""
    return _shaped(shape, dtype, weak_type, jax.sharding.get_abstract_mesh())


def memoised(rule: Callable[..., Any]) -> Callable[..., Any]:
    """A result type rule worked out once for equal arguments under one mesh."""

    @lru_cache(8192)
    def cached(mesh: Any, *avals: ShapedArray, **params: Any) -> Any:
        return rule(*avals, **params)

    @wraps(rule)
    def look_up(*avals: ShapedArray, **params: Any) -> Any:
        try:
            return cached(jax.sharding.get_abstract_mesh(), *avals, **params)
        except TypeError:  # ill-typed operands, or a parameter that cannot be hashed
            return rule(*avals, **params)

    return look_up
