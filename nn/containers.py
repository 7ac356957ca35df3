"""Modules made of modules: `Sequential`, `Residual`, `Parallel`, `BatchApply`."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jaxcore.numpy as jnp
from jaxcore import tree

from .errors import InputError, where
from .module import Module

Layer = Callable[..., Any]


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

    layers: Sequence[Layer]

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


class Residual(Module):
    """``x + layer(x)``, or what `combine` makes of both; further arguments go to the layer.

    Args:
      layer: ``x -> y`` of the input's shape.
      shortcut: what the input passes through on the other way, if it has to change its shape.
      combine: ``combine(shortcut(x), layer(x))``.

    He et al. 2016, https://arxiv.org/abs/1512.03385

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn, random
    >>> block = nn.Residual(nn.Sequential([nn.LayerNorm(), nn.Dense(4)]))
    >>> block.init_with_output(random.key(0), jnp.ones((2, 4)))[0].shape
    (2, 4)
    """

    layer: Layer
    shortcut: Layer | None = None
    combine: Callable[[Any, Any], Any] = operator.add

    def __call__(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        out = self.layer(x, *args, **kwargs)
        passed = x if self.shortcut is None else self.shortcut(x)
        if self.combine is operator.add and jnp.shape(out) != jnp.shape(passed):
            raise InputError(
                f"{where(self.path, 'Residual')}: the layer makes {jnp.shape(out)} of "
                f"{jnp.shape(x)}, to which {jnp.shape(passed)} is to be added. Expected equal "
                "shapes; give shortcut=nn.Dense(...) or nn.Conv(...) of the layer's width."
            )
        return self.combine(passed, out)


class Parallel(Module):
    """Gives the same arguments to every branch, and merges what they return.

    Args:
      branches: modules or functions; a list, or a dict by name.
      merge: a function of the list (or dict) of outputs, or ``"concatenate"`` (along the last
        axis), ``"sum"``, ``"mean"``, ``"product"``, ``"max"``, ``"min"``; None returns them all.

    From Keras: the layers ``Concatenate``, ``Add``, ``Average``, ``Multiply``, ``Maximum``,
    ``Minimum``. Szegedy et al. 2015 (Inception), https://arxiv.org/abs/1409.4842

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn, random
    >>> both = nn.Parallel([nn.Dense(3), nn.Dense(4)])
    >>> both.init_with_output(random.key(0), jnp.ones((2, 5)))[0].shape
    (2, 7)
    """

    branches: Sequence[Layer] | Mapping[str, Layer]
    merge: str | Callable[[Any], Any] | None = "concatenate"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if isinstance(self.branches, Mapping):
            named = {name: f(*args, **kwargs) for name, f in self.branches.items()}
            outputs: Any = named
            values = list(named.values())
        else:
            outputs = values = [branch(*args, **kwargs) for branch in self.branches]
        if self.merge is None:
            return outputs
        if callable(self.merge):
            return self.merge(outputs)
        if self.merge not in _MERGES or not values:
            raise InputError(
                f"{where(self.path, 'Parallel')}: merge={self.merge!r} of {len(values)} branches. "
                f"Expected a function, None, or one of {list(_MERGES)}, and at least one branch."
            )
        return _MERGES[self.merge](values)


_MERGES: dict[str, Callable[[list[Any]], Any]] = {
    "concatenate": lambda ys: jnp.concatenate(ys, -1),
    "sum": lambda ys: functools.reduce(jnp.add, ys),
    "mean": lambda ys: functools.reduce(jnp.add, ys) / len(ys),
    "product": lambda ys: functools.reduce(jnp.multiply, ys),
    "max": lambda ys: functools.reduce(jnp.maximum, ys),
    "min": lambda ys: functools.reduce(jnp.minimum, ys),
}


class BatchApply(Module):
    """Calls `f` on arguments whose first `num_dims` axes are made one, and splits them again.

    For functions that take one batch axis only, such as a `BatchNorm` over (batch, time). Arrays
    of fewer axes, and what are not arrays, pass as they are. From Keras: ``TimeDistributed``.

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn
    >>> nn.BatchApply(lambda x: x.sum(-1)).apply({}, jnp.ones((2, 3, 4))).shape
    (2, 3)
    """

    f: Layer
    num_dims: int = 2

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        n = self.num_dims
        leads = [jnp.shape(v)[:n] for v in tree.leaves((args, kwargs)) if len(jnp.shape(v)) >= n]
        if not leads or any(lead != leads[0] for lead in leads):
            raise InputError(
                f"{where(self.path, 'BatchApply')}: the arguments' first {n} axes are "
                f"{leads or 'missing'}. Expected arrays that share num_dims={n} leading axes."
            )
        flat = math.prod(leads[0])

        def fold(v: Any) -> Any:
            shape = jnp.shape(v)
            return v if len(shape) < n else jnp.reshape(v, (flat, *shape[n:]))

        out = self.f(*tree.map(fold, args), **tree.map(fold, kwargs))
        return tree.map(lambda v: jnp.reshape(v, (*leads[0], *jnp.shape(v)[1:])), out)
