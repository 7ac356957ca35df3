"""Modules made of modules: `Sequential`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .errors import InputError, where
from .module import Module


class Sequential(Module):
    """Calls layers one after another, each on the result of the one before.

    Layers are modules or plain functions. A tuple from one layer is spread over the arguments of
    the next, a dict over its keyword arguments.

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn, random
    >>> mlp = nn.Sequential([nn.Dense(8), nn.relu, nn.Dense(2)])
    >>> sorted(mlp.init(random.key(0), jnp.ones((1, 4)))["params"])
    ['layers_0', 'layers_2']
    """

    layers: Sequence[Callable[..., Any]]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not self.layers:
            raise InputError(
                f"{where(self.path, 'Sequential')} has no layers. Expected at least one; for a "
                "layer that does nothing use lambda x: x."
            )
        out = self.layers[0](*args, **kwargs)
        for layer in self.layers[1:]:
            if isinstance(out, tuple):
                out = layer(*out)
            elif isinstance(out, dict):
                out = layer(**out)
            else:
                out = layer(out)
        return out
