"""Penalties on parameters, to be added to a loss: `l1` and `l2`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import jaxcore.numpy as jnp
from jaxcore import Array, tree

from ..dtypes import at_least_float32
from ..filters import partition


def l1(params: Mapping[str, Any], globs: str | Iterable[str] = "**/kernel") -> Array:
    """``Σ |w|`` over the parameters that match the globs, as `partition` takes them.

    >>> import jaxcore.numpy as jnp
    >>> float(l1({"Dense_0": {"kernel": jnp.array([1.0, -2.0]), "bias": jnp.ones(3)}}))
    3.0
    """
    return _total(params, globs, jnp.abs)


def l2(params: Mapping[str, Any], globs: str | Iterable[str] = "**/kernel") -> Array:
    """``Σ w²`` over the parameters that match the globs; Keras's ``L2(c)`` is c times this.

    For decay that an adaptive optimiser does not rescale use `optax.adamw`.

    >>> import jaxcore.numpy as jnp
    >>> float(l2({"kernel": jnp.array([1.0, -2.0])}))
    5.0
    """
    return _total(params, globs, lambda w: w * w)


def _total(params: Mapping[str, Any], globs: Any, term: Any) -> Array:
    matched, _ = partition(params, globs)
    return sum((jnp.sum(term(at_least_float32(w))) for w in tree.leaves(matched)), jnp.float32(0))
