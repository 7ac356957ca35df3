"""Where variables lie on many devices, said by their paths."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from jax.sharding import Mesh, NamedSharding, PartitionSpec

from .errors import InputError
from .filters import matches
from .state import flatten, unflatten


def shardings(
    variables: Mapping[str, Any], mesh: Mesh, rules: Mapping[str, PartitionSpec]
) -> dict[str, Any]:
    """A sharding for every variable: a tree to give to ``jit`` or to ``jaxcore.device_put``.

    Args:
      variables: arrays, or their types from ``eval_shape`` of `init`.
      mesh: the devices.
      rules: for globs over paths (``"**/query/kernel"``, see `partition`), along which axes of the
        mesh an array is divided. The first rule that matches holds; arrays that none matches are
        whole on every device. Paths may leave out ``params/``.

    Raises:
      InputError: a rule that matches nothing, that has more axes than the array, or whose mesh
        axes do not divide it.

    >>> import jax
    >>> import jaxcore.numpy as jnp
    >>> from jax.sharding import PartitionSpec as P
    >>> from jaxcore import nn
    >>> mesh = jax.make_mesh((1,), ("model",))
    >>> variables = {"params": {"Dense_0": {"kernel": jnp.ones((4, 8)), "bias": jnp.ones(8)}}}
    >>> placed = nn.shardings(variables, mesh, {"**/kernel": P(None, "model")})
    >>> tuple(placed["params"]["Dense_0"]["kernel"].spec)
    (None, 'model')
    """
    used: set[str] = set()
    found: dict[tuple[str, ...], Any] = {}
    for path, leaf in flatten(variables):
        text = "/".join(map(str, path))
        bare = text.removeprefix("params/")
        rule = next((g for g in rules if matches(text, g) or matches(bare, g)), None)
        spec = PartitionSpec() if rule is None else rules[rule]
        used |= {g for g in rules if matches(text, g) or matches(bare, g)}
        _check(text, leaf, mesh, rule, spec)
        found[path] = NamedSharding(mesh, spec)
    if unused := [glob for glob in rules if glob not in used]:
        raise InputError(
            f"shardings: the rules {unused} match no variable. Paths are like "
            f"{['/'.join(path) for path in list(found)[:3]]}; leave these rules out."
        )
    return unflatten(found)


def _check(path: str, leaf: Any, mesh: Mesh, rule: str | None, spec: PartitionSpec) -> None:
    shape = tuple(leaf.shape)
    wrong = None
    if len(spec) > len(shape):
        wrong = f"{len(spec)} axes"
    for size, names in zip(shape, spec):
        axes = () if names is None else (names,) if isinstance(names, str) else tuple(names)
        if unknown := [name for name in axes if name not in mesh.shape]:
            wrong = f"the axis {unknown[0]!r}, which the mesh {dict(mesh.shape)} does not have"
        elif size % math.prod(mesh.shape[name] for name in axes):
            wrong = f"an axis of {size} divided among {axes} of the mesh {dict(mesh.shape)}"
    if wrong:
        raise InputError(
            f"shardings: '{path}' has shape {shape}, and the rule {rule!r}: {spec} gives it "
            f"{wrong}. Expected at most one entry an axis, of mesh axes that divide it."
        )
