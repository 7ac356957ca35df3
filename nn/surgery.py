"""Models taken apart: modules and sizes, results of inner layers, parts and channels replaced."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import random, tree

from .errors import InputError
from .filters import matches
from .intercept import intercept_methods
from .module import Module
from .scope import submodules
from .state import flatten, unflatten


def features(
    module: Module,
    variables: Mapping[str, Any],
    *args: Any,
    at: str | Iterable[str],
    **options: Any,
) -> dict[str, Any]:
    """What the inner modules `at` these paths return: ``{"layer2_0": ..., "layer3_0": ...}``.

    Args:
      module, variables, *args, **options: as for ``module.apply``.
      at: globs over the paths of modules, as `partition` takes them; see ``module.summary``. Of a
        module that is called several times the last result counts.

    Raises:
      InputError: no module that is called has such a path; the message lists those that are.

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn, random
    >>> model = nn.Sequential([nn.Dense(8), nn.relu, nn.Dense(2)])
    >>> x = jnp.ones((1, 4))
    >>> found = nn.features(model, model.init(random.key(0), x), x, at="layers_0")
    >>> found["layers_0"].shape
    (1, 8)
    """
    globs = (at,) if isinstance(at, str) else tuple(at)
    called: dict[str, bool] = {}

    def wanted(part: Module, method: str) -> bool:
        if method != "__call__":
            return False
        path = "/".join(part.path)
        called[path] = any(matches(path, glob) for glob in globs)
        return called[path]

    options.pop("mutable", None)
    _, updates = module.apply(variables, *args, capture_intermediates=wanted, **options)
    for glob in globs:
        if not any(matches(path, glob) for path in called):
            raise InputError(
                f"features: no module that is called has the path {glob!r}. Expected one of "
                f"{sorted(path for path in called if path)}."
            )
    found: dict[str, Any] = {}
    for path, is_wanted in called.items():
        if is_wanted:
            node = updates["intermediates"]
            for name in filter(None, path.split("/")):
                node = node[name]
            found[path] = node["__call__"][-1]
    return found


def modules(module: Module, *args: Any, **kwargs: Any) -> dict[str, Module]:
    """Every module that is called, by path, the model itself under "": outermost first.

    Takes the arguments of ``__call__``, arrays or `ShapeDtypeStruct`s, and computes nothing.
    PyTorch's ``named_modules``; linen's ``module_paths``. A variable is found by its path likewise,
    ``nn.partition(variables, "params/encoder/kernel")``.

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn
    >>> found = nn.modules(nn.Sequential([nn.Dense(8), nn.relu, nn.Dense(2)]), jnp.ones((1, 4)))
    >>> list(found), found["layers_2"].features
    (['', 'layers_0', 'layers_2'], 2)
    """
    found: dict[str, Module] = {}

    def note(run: Any, args: Any, kwargs: Any, context: Any) -> Any:
        found.setdefault("/".join(context.module.path), context.module)
        return run(*args, **kwargs)

    with intercept_methods(note):
        jaxcore.eval_shape(lambda: module.init(random.key(0), *args, **kwargs))
    return found


def parameter_count(params: Any) -> int:
    """How many numbers a tree of parameters holds, or of their shapes.

    >>> import jaxcore
    >>> from jaxcore import nn, random
    >>> shapes = jaxcore.eval_shape(nn.Dense(4).init, random.key(0), jaxcore.numpy.ones((1, 3)))
    >>> parameter_count(shapes["params"]), parameter_bytes(shapes["params"])
    (16, 64)
    """
    return sum(math.prod(leaf.shape) for leaf in tree.leaves(params))


def parameter_bytes(params: Any) -> int:
    """How many bytes a tree of parameters takes, or would take: see `parameter_count`."""
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in tree.leaves(params))


def replace(module: Module, path: str, part: Any) -> Any:
    """The module with another submodule in the field at `path`: ``"encoder/head"``, ``"layers_2"``.

    The parameters of all other parts keep their paths, so ``nn.load(variables, new.init(key, x),
    strict=False)`` carries them over.

    Raises:
      InputError: no field holds a module of that name. What a module constructs while it is
        called is changed by its other fields, as in ``dataclasses.replace(model, num_classes=5)``.

    >>> from jaxcore import nn
    >>> nn.replace(nn.Sequential([nn.Dense(8), nn.relu, nn.Dense(2)]), "layers_2", nn.Dense(5))
    Sequential(
      layers=[
        Dense(features=8),
        relu,
        Dense(features=5),
      ],
    )
    """
    first, _, rest = path.partition("/")
    held = dict(submodules(module))
    if first not in held:
        raise InputError(
            f"replace: {type(module).__name__} holds no module in a field at {first!r}. Fields "
            f"hold {sorted(held) or 'none'}; what is constructed in a method is changed by the "
            "module's own fields, with dataclasses.replace(module, field=...)."
        )
    if rest:
        part = replace(held[first], rest, part)
    for field in dataclasses.fields(module):
        value = getattr(module, field.name)
        changed = _changed(field.name, value, first, part)
        if changed is not value:
            return dataclasses.replace(module, **{field.name: changed})
    raise AssertionError(f"{first} is held by no field")


def _changed(name: str, value: Any, wanted: str, part: Any) -> Any:
    """A field's value with the module called `wanted` exchanged; itself if it is not in there."""
    if name == wanted and isinstance(value, Module):
        return part
    if isinstance(value, tuple):
        new = tuple(_changed(f"{name}_{i}", v, wanted, part) for i, v in enumerate(value))
        return new if any(a is not b for a, b in zip(new, value)) else value
    if isinstance(value, dict):
        items = {k: _changed(f"{name}_{k}", v, wanted, part) for k, v in value.items()}
        return items if any(items[k] is not value[k] for k in value) else value
    return value


def with_input_channels(variables: Mapping[str, Any], path: str, channels: int) -> dict[str, Any]:
    """Variables whose first convolution takes another number of channels.

    The kernel at `path`, ``(*window, in, out)``, is repeated along its input channels and scaled,
    so that pictures whose channels are all alike give what they gave; for one channel it is the
    sum. This is what timm does with ``in_chans``.

    Raises:
      InputError: there is no kernel at `path`.

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn
    >>> variables = {"params": {"conv1": {"kernel": jnp.ones((3, 3, 3, 8))}}}
    >>> nn.with_input_channels(variables, "conv1", 1)["params"]["conv1"]["kernel"].shape
    (3, 3, 1, 8)
    """
    leaves = dict(flatten(variables))
    key = ("params", *path.split("/"), "kernel")
    if key not in leaves or jnp.ndim(leaves[key]) < 2 or channels < 1:
        raise InputError(
            f"with_input_channels: no kernel at '{'/'.join(key)}', or channels={channels} is not "
            "positive. Expected the path of a convolution, such as 'conv1'."
        )
    kernel = leaves[key]
    old = kernel.shape[-2]
    repeats = [1] * kernel.ndim
    repeats[-2] = -(-channels // old)
    if channels == 1:
        kernel = kernel.sum(-2, keepdims=True)
    else:
        kernel = jnp.tile(kernel, repeats)[..., :channels, :] * (old / channels)
    leaves[key] = kernel
    return unflatten(leaves)
