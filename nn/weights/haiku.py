"""Haiku's parameters and state as variables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..errors import WeightsError
from .loading import Report, load
from .names import Match, NameMap

#: Haiku's module, as its name begins; ours; and Haiku's parameters beside ours.
_MODULES: dict[str, tuple[str, dict[str, str]]] = {
    "linear": ("Dense", {"w": "kernel", "b": "bias"}),
    "conv1_d": ("Conv", {"w": "kernel", "b": "bias"}),
    "conv2_d": ("Conv", {"w": "kernel", "b": "bias"}),
    "conv3_d": ("Conv", {"w": "kernel", "b": "bias"}),
    "embed": ("Embed", {"embeddings": "embedding"}),
    "layer_norm": ("LayerNorm", {"scale": "scale", "offset": "bias"}),
    "group_norm": ("GroupNorm", {"scale": "scale", "offset": "bias"}),
    "rms_norm": ("RMSNorm", {"scale": "scale"}),
    "batch_norm": ("BatchNorm", {"scale": "scale", "offset": "bias"}),
}
_AVERAGES = {"mean_ema": "mean", "var_ema": "var"}
_FEATURES = ("scale", "offset", "average")  # some of these have axes of size 1 in front


def from_haiku(
    params: Mapping[str, Any],
    state: Mapping[str, Any] | None,
    like: Mapping[str, Any],
    modules: Mapping[str, str] | None = None,
) -> tuple[dict[str, Any], Report]:
    """Variables from what a Haiku ``transform`` or ``transform_with_state`` gave.

    ``linear`` becomes ``Dense_0``, ``linear_1`` ``Dense_1``, a module of one's own ``my_block_1``
    ``MyBlock_1``; ``~`` is left out. Kernels lie alike in both libraries.

    Args:
      params, state: Haiku's two-level dicts; state may be None.
      like: the variables of the model here, from `init` or ``eval_shape`` of it.
      modules: paths of Haiku that become other paths, ``{"mlp/~/linear_0": "Dense_0"}``.

    Raises:
      WeightsError: names or shapes that do not fit; the message lists them all.

    >>> import numpy as np
    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn, random
    >>> variables = nn.Sequential([nn.Dense(2)]).init(random.key(0), jnp.ones((1, 3)))
    >>> params = {"linear": {"w": np.ones((3, 2)), "b": np.ones(2)}}
    >>> converted, _ = nn.weights.from_haiku(params, None, variables, {"linear": "layers_0"})
    >>> converted["params"]["layers_0"]["kernel"].shape
    (3, 2)
    """
    flat: dict[str, Any] = {}
    for collection, tree in (("params", params), ("batch_stats", state or {})):
        for module, arrays in tree.items():
            for name, array in arrays.items():
                if found := _path(collection, module, name, dict(modules or {})):
                    flat[found] = _flat(array) if name in _FEATURES else array
    return load(flat, like, _Paths())


class _Paths(NameMap):
    """Names that are paths already."""

    def find(self, name: str) -> Match | None:
        from .names import Layout

        return Match(name, (name,), Layout(), ())


def _path(collection: str, module: str, name: str, modules: dict[str, str]) -> str | None:
    """Our path of one array; None for Haiku's counters, which we do not keep."""
    kinds = [part for part in module.split("/") if part != "~"]
    average = None
    if collection == "batch_stats":
        *kinds, average = kinds
        module = module.rsplit("/~/", 1)[0]
        if average not in _AVERAGES:
            raise WeightsError(
                f"Haiku's state '{module}/{name}' is not a running average of a BatchNorm. "
                "Expected mean_ema and var_ema; pass other state to load() yourself."
            )
        if name != "average":
            return None
    renamed = modules.get(module)
    ours = renamed if renamed is not None else "/".join(map(_module, kinds))
    if average is not None:
        return f"batch_stats/{ours}/{_AVERAGES[average]}"
    kind = re.sub(r"_\d+$", "", kinds[-1])
    leaf = _MODULES.get(kind, ("", {}))[1].get(name)
    if leaf is None:
        leaf = {"w": "kernel", "b": "bias", "offset": "bias", "embeddings": "embedding"}.get(
            name, name
        )
    return f"params/{ours}/{leaf}"


def _flat(array: Any) -> Any:
    return array.reshape(-1) if array.size == array.shape[-1] else array


def _module(name: str) -> str:
    """Haiku's automatic name as ours: ``linear`` is ``Dense_0``, ``linear_2`` ``Dense_2``."""
    found = re.fullmatch(r"(.*?)(?:_(\d+))?", name)
    assert found is not None  # the pattern takes any string
    kind, number = found[1], found[2] or "0"
    ours = (
        _MODULES[kind][0] if kind in _MODULES else "".join(p.capitalize() for p in kind.split("_"))
    )
    return f"{ours}_{number}"
