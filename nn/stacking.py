"""Parameters of equal layers as one array each, and as layers again.

    {"block_0": {"w": (4, 4)}, "block_1": {"w": (4, 4)}}   <->   {"block_*": {"w": (2, 4, 4)}}

A model whose layers stand in a plain loop can so be trained as if it were written around stacked
parameters: the optimiser sees one array for all layers, and the loop of the layers is compiled as
one, whatever their number.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import jaxcore.numpy as jnp
from jaxcore import tree

from .errors import InputError

__all__ = ["stack_layers", "unstack_layers"]


def stack_layers(params: Mapping[str, Any], *globs: str) -> dict[str, Any]:
    """Puts the parameters of equal layers into one array for each leaf, first axis the layer.

    Args:
      params: nested dicts of arrays.
      globs: paths of layers, their number as ``*`` in the last name: ``"block_*"``,
        ``"encoder/layer_*"``; ``"**/block_*"`` finds them at any depth. They are numbered from 0.

    Returns:
      Nested dicts in which ``block_*`` itself is the name of what was stacked.

    Raises:
      InputError: nothing matches, a number is missing, or layers differ in structure, shape or
        dtype.

    >>> import jaxcore.numpy as jnp
    >>> params = {"block_0": {"w": jnp.zeros(3)}, "block_1": {"w": jnp.ones(3)}, "b": jnp.ones(2)}
    >>> tree.map(jnp.shape, stack_layers(params, "block_*"))
    {'b': (2,), 'block_*': {'w': (2, 3)}}
    """
    for glob in globs:
        *parents, last = glob.split("/")
        if last.count("*") != 1 or any("*" in name and name != "**" for name in parents):
            raise InputError(
                f"stack_layers: {glob!r} does not name layers. Expected one * in the last name, "
                "for the layer's number, as in 'encoder/block_*'."
            )
        params, count = _stacked(params, tuple(parents), last, "")
        if not count:
            raise InputError(
                f"stack_layers: nothing matches {glob!r}. The names are {sorted(params)[:10]}."
            )
    return dict(params)


def _stacked(
    params: Mapping[str, Any], parents: tuple[str, ...], last: str, path: str
) -> tuple[dict[str, Any], int]:
    """`params` with the layers under `parents` stacked, and how many groups there were."""
    out, count = dict(params), 0
    if parents and parents[0] == "**":
        out, count = _stacked(params, parents[1:], last, path)
        inner, rest = [name for name in out if name != last], parents
    else:
        inner, rest = [name for name in out if parents and name == parents[0]], parents[1:]
    if not parents:
        return _gathered(out, last, path)
    for name in inner:
        if isinstance(out[name], Mapping):
            out[name], found = _stacked(out[name], rest, last, f"{path}{name}/")
            count += found
    return out, count


def _gathered(params: dict[str, Any], glob: str, path: str) -> tuple[dict[str, Any], int]:
    number = re.compile(re.escape(glob).replace(r"\*", r"(\d+)"))
    layers = {int(m[1]): m[0] for m in map(number.fullmatch, params) if m is not None}
    if len(layers) < 2:
        return params, 0
    names = [layers.get(i) for i in range(len(layers))]
    if None in names:
        raise InputError(
            f"stack_layers: {path}{glob} matches {sorted(layers.values())}. Expected numbers from "
            "0 on, without gaps."
        )
    first, types = params[names[0]], []  # type: ignore[index]
    for name in names:
        types.append(tree.map(lambda x: (jnp.shape(x), jnp.result_type(x)), params[name]))  # type: ignore[index]
        if types[-1] != types[0]:
            raise InputError(
                f"stack_layers: {path}{name} is {types[-1]}, {path}{names[0]} is {types[0]}. "
                "Expected layers of the same names, shapes and dtypes; leave those that differ "
                "out of the glob."
            )
    whole = tree.map(lambda *xs: jnp.stack(xs), first, *(params[name] for name in names[1:]))  # type: ignore[index]
    rest = {name: value for name, value in params.items() if name not in names}
    return {**rest, glob: whole}, 1


def unstack_layers(params: Mapping[str, Any]) -> dict[str, Any]:
    """Gives back each layer of what `stack_layers` has stacked, under its own name.

    Inside a compiled function this costs nothing: the layers are views.

    >>> import jaxcore.numpy as jnp
    >>> sorted(unstack_layers({"block_*": {"w": jnp.zeros((2, 3))}}))
    ['block_0', 'block_1']
    """
    out: dict[str, Any] = {}
    for name, value in params.items():
        if not isinstance(value, Mapping):
            out[name] = value
        elif "*" not in name:
            out[name] = unstack_layers(value)
        else:
            for i in range(len(tree.leaves(value)[0])):
                layer = tree.map(lambda x, i=i: x[i], value)
                out[name.replace("*", str(i))] = unstack_layers(layer)
    return out
