"""Layers computed with other parameters than they have: `WeightNorm`, `SpectralNorm`, `LoRA`.

All stand on `call_with`, which shows a layer its parameters changed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jaxcore.numpy as jnp
from jaxcore import Array, lax, random

from . import initializers, scope
from .dtypes import as_array, compute_dtype
from .errors import InputError, where
from .filters import partition
from .module import Module
from .running import Variable, missing
from .scope import Frame
from .state import MISSING, Path, flatten, unflatten

Init = Callable[..., Any]


def call_with(
    frame: Frame,
    layer: Module,
    change: Callable[[Path, Any], Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> Any:
    """``layer(*args, **kwargs)``, to which each parameter looks like ``change(path, parameter)``.

    The path is the parameter's below the layer. What the layer writes is written.
    """
    run, under = frame.run, scope.child_path(layer)
    start = 1 + len(under)

    def parameters() -> dict[Path, Any]:
        given, prepared = run.leaves(under)
        known = given | prepared
        if run.plan is not None:
            planned = [path for path in run.plan.entries if path[1:start] == under]
            known |= {path: run.plan.placeholder(path) for path in planned}
        return {path: value for path, value in known.items() if path[0] == "params"}

    if run.plan is not None or (run.mutable("params") and not parameters()):
        layer(*args, **kwargs)  # creates them
    changed = {path: change(path[start:], value) for path, value in parameters().items()}
    with run.layer(given=changed) as inner:
        out = layer(*args, **kwargs)
    for path, value in inner.values.items():
        if path not in changed:
            run.put(path, value)
    return out


def _own(frame: Frame, path: Path, init: Init, *args: Any, key: bool = True) -> Any:
    """A variable of the wrapper, at any path below its own: made, or looked up."""
    from .initialize import check_shape, create

    path = (path[0], *frame.path, *path[1:])
    value = frame.run.get(path)
    if value is MISSING:
        if not (frame.run.initializing or frame.run.mutable(path[0])):
            raise missing(frame, path)
        return create(frame, path, init, args, needs_key=key)
    check_shape(path, value, args, type(frame.module).__name__)
    return value


def _unit(x: Array, axes: Any, epsilon: float) -> Array:
    return x * lax.rsqrt(jnp.sum(x * x, axes, keepdims=True) + epsilon)


class WeightNorm(Module):
    """A layer whose kernels have a learned length and a direction: ``scale · v / √(Σ v² + ε)``.

    Call it as the layer. Parameters: the layer's own, v, and for each kernel a ``scale`` of the
    `feature_axes`' shape, under ``<layer>/<path>/scale`` (one name with slashes, as in linen).

    Args:
      layer_instance: the layer.
      feature_axes: axes with a length for each entry; None for one length of the whole.
      variable_filter: parts of a parameter's path, one of which must occur; None for all.

    From PyTorch: ``weight_norm(layer)``, where g is our ``scale`` and starts at v's length; here it
    starts at 1, as in linen.

    Salimans and Kingma 2016, https://arxiv.org/abs/1602.07868

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn, random
    >>> layer = nn.WeightNorm(nn.Dense(4))
    >>> sorted(layer.init(random.key(0), jnp.ones((2, 3)))["params"])
    ['layer_instance', 'layer_instance/kernel/scale']
    """

    layer_instance: Module
    epsilon: float = 1e-12
    dtype: Any = None
    param_dtype: Any = jnp.float32
    use_scale: bool = True
    scale_init: Init = initializers.ones
    feature_axes: int | Sequence[int] | None = -1
    variable_filter: Iterable[str] | None = ("kernel",)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        frame = self._frame("__call__")
        under = scope.child_path(self.layer_instance)[-1]

        def change(path: Path, value: Array) -> Array:
            name = "/".join((under, *path))
            if self.variable_filter and not any(part in name for part in self.variable_filter):
                return value
            axes = () if self.feature_axes is None else self.feature_axes
            kept = {a % value.ndim for a in ((axes,) if isinstance(axes, int) else axes)}
            rest = tuple(a for a in range(value.ndim) if a not in kept)
            unit, operands = _unit(value, rest, self.epsilon), [value]
            if self.use_scale:
                shape = tuple(value.shape[a] for a in sorted(kept))
                path = ("params", name + "/scale")
                scale = _own(frame, path, self.scale_init, shape, self.param_dtype)
                wide = [n if a in kept else 1 for a, n in enumerate(value.shape)]
                unit, operands = unit * scale.reshape(wide), [value, scale]
            return as_array(unit, compute_dtype(self.dtype, *operands))

        return call_with(frame, self.layer_instance, change, args, kwargs)


class SpectralNorm(Module):
    """A layer whose kernels are divided by their largest singular value, so that it is 1-Lipschitz.

    The value is found by power iteration, ``v = unit(u Wᵀ)``, ``u = unit(v W)``, ``σ = v W uᵀ``,
    which goes on from call to call. Call it as the layer; `update_stats` says whether this call
    keeps what it found, by default whether it is training.

    Parameters: the layer's own; variables of `collection_name`: ``<layer>/<path>/u (1, n)`` and
    ``.../sigma`` for each parameter of two axes or more, as in linen.

    Args:
      n_steps: iterations of a call; 0 leaves the kernels as they are.
      error_on_non_matrix: refuse kernels of more than two axes instead of flattening all but
        the last.

    From PyTorch: ``spectral_norm(layer)`` (for `Conv` its matrix is ours transposed); from Keras:
    ``SpectralNormalization``.

    Miyato et al. 2018, https://arxiv.org/abs/1802.05957

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn, random
    >>> layer = nn.SpectralNorm(nn.Dense(4))
    >>> sorted(layer.init(random.key(0), jnp.ones((2, 3)))["batch_stats"])
    ['layer_instance/kernel/sigma', 'layer_instance/kernel/u']
    """

    layer_instance: Module
    n_steps: int = 1
    epsilon: float = 1e-12
    dtype: Any = None
    param_dtype: Any = jnp.float32
    error_on_non_matrix: bool = False
    collection_name: str = "batch_stats"

    def __call__(self, *args: Any, update_stats: bool | None = None, **kwargs: Any) -> Any:
        frame = self._frame("__call__")
        under = scope.child_path(self.layer_instance)[-1]
        update = (self.training if update_stats is None else update_stats) and not self.initializing
        found: dict[str, Any] = {}

        def change(path: Path, value: Array) -> Array:
            if value.ndim < 2 or self.n_steps < 1:
                return value
            if value.ndim > 2 and self.error_on_non_matrix:
                raise InputError(
                    f"{where(self.path, 'SpectralNorm')}: '{'/'.join(path)}' has shape "
                    f"{value.shape}. Expected a matrix; error_on_non_matrix=False flattens all "
                    "axes but the last."
                )
            matrix = value.reshape(math.prod(value.shape[:-1]), value.shape[-1])
            name = "/".join((under, *path))
            shape = (1, value.shape[-1])
            u = _own(
                frame,
                (self.collection_name, name + "/u"),
                random.normal,
                shape,
                self.param_dtype,
            )
            _own(
                frame,
                (self.collection_name, name + "/sigma"),
                jnp.ones,
                (),
                self.param_dtype,
                key=False,
            )
            for _ in range(self.n_steps):
                v = _unit(u @ matrix.T, None, self.epsilon)
                u = _unit(v @ matrix, None, self.epsilon)
            u, v = lax.stop_gradient(u), lax.stop_gradient(v)
            sigma = (v @ matrix @ u.T)[0, 0]
            found.update({name + "/u": u, name + "/sigma": sigma})
            value = value / jnp.where(sigma != 0, sigma, 1)
            return as_array(value, compute_dtype(self.dtype, value, u))

        out = call_with(frame, self.layer_instance, change, args, kwargs)
        for name, value in found.items() if update else ():
            Variable(frame, (self.collection_name, *frame.path, name)).value = value
        return out


class LoRA(Module):
    """A layer, or a whole model, with a learned change of low rank to each of its kernels.

    ``kernel + alpha / rank · a @ b``, where ``a (in, rank)`` starts random and ``b (rank, out)`` at
    zero, so that the model begins as it was. Kernels of more axes are taken as matrices of all axes
    but the last. Call it as the layer.

    Parameters: the layer's own under ``layer``, and ``lora/<path>/a``, ``b``. To train these alone:
    ``trained, frozen = nn.partition(params, "**/lora/**")``.

    Args:
      rank, alpha: above; alpha is the rank by default.
      globs: which parameters, as `partition` takes them.

    Raises:
      InputError: no parameter matches, or one has fewer than two axes.

    From PyTorch: peft's ``lora_A`` and ``lora_B`` are transposed; from Keras: ``enable_lora``.

    Hu et al. 2021, https://arxiv.org/abs/2106.09685

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn, random
    >>> layer, x = nn.LoRA(nn.Dense(4), rank=2), jnp.ones((1, 3))
    >>> params = layer.init(random.key(0), x)["params"]
    >>> params["lora"]["kernel"]["a"].shape, params["lora"]["kernel"]["b"].shape
    ((3, 2), (2, 4))
    >>> sorted(layer.merged(params))
    ['bias', 'kernel']
    """

    layer: Module
    rank: int
    alpha: float | None = None
    globs: str | Sequence[str] = ("**/kernel", "**/embedding")
    param_dtype: Any = jnp.float32
    a_init: Init = initializers.variance_scaling(1 / 3, "fan_in", "uniform")
    b_init: Init = initializers.zeros

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        frame = self._frame("__call__")
        found: list[Path] = []

        def change(path: Path, value: Array) -> Array:
            if not partition(unflatten({path: value}), self.globs)[0]:
                return value
            if value.ndim < 2:
                raise InputError(
                    f"{where(self.path, 'LoRA')}: '{'/'.join(path)}' has shape {value.shape}. "
                    f"Expected matrices; narrow globs={self.globs}."
                )
            found.append(path)
            at = ("params", "lora", *path)
            inputs, dtype = math.prod(value.shape[:-1]), self.param_dtype
            a = _own(frame, (*at, "a"), self.a_init, (inputs, self.rank), dtype)
            b = _own(frame, (*at, "b"), self.b_init, (self.rank, value.shape[-1]), dtype)
            return self._changed(value, a, b)

        out = call_with(frame, self.layer, change, args, kwargs)
        if not found:
            raise InputError(
                f"{where(self.path, 'LoRA')}: no parameter of the layer matches "
                f"globs={self.globs}. Expected paths such as 'kernel' or 'encoder/**/kernel', of "
                "parameters below the layer: layers that it holds and that were constructed inside "
                "another module's __call__ stand beside it there; make it a field instead."
            )
        return out

    def _changed(self, kernel: Array, a: Array, b: Array) -> Array:
        factor = (self.rank if self.alpha is None else self.alpha) / self.rank
        return kernel + (factor * (a @ b)).reshape(kernel.shape).astype(kernel.dtype)

    def merged(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters of `layer` alone, with the changes added: as fast as before."""
        changes = unflatten(dict(flatten(params.get("lora", {}))))

        def at(path: Path) -> Any:
            node: Any = changes
            for name in path:
                node = node.get(name, {}) if isinstance(node, dict) else {}
            return node

        return unflatten(
            {
                path: self._changed(value, at(path)["a"], at(path)["b"]) if at(path) else value
                for path, value in flatten(params["layer"])
            }
        )
