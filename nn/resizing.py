"""Images of another size: `resize`, `Upsample`, and channels traded for pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import jaxcore.numpy as jnp
from jaxcore import Array

from .dtypes import as_array
from .errors import InputError, where
from .module import Module


def _cubic(a: float) -> Callable[[Any], Any]:
    """Keys' cubic kernel; -0.5 is the one that reproduces parabolas."""

    def kernel(d: Any) -> Any:
        near = ((a + 2) * d - (a + 3)) * d * d + 1
        far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
        return np.where(d < 1, near, np.where(d < 2, far, 0))

    return kernel


def _lanczos(radius: int) -> Callable[[Any], Any]:
    return lambda d: np.where(d < radius, np.sinc(d) * np.sinc(d / radius), 0)


_KERNELS: dict[str, Callable[[Any], Any]] = {
    "linear": lambda d: np.maximum(0, 1 - d),
    "cubic": _cubic(-0.5),
    "cubic_torch": _cubic(-0.75),
    "lanczos3": _lanczos(3),
    "lanczos5": _lanczos(5),
}
_NAMES = {"bilinear": "linear", "trilinear": "linear", "bicubic": "cubic"}
_METHODS = ("nearest", "nearest_floor", *_KERNELS, *_NAMES)


def _weights(size: int, new: int, method: str, antialias: bool, align_corners: bool) -> np.ndarray:
    """Which share each of `size` inputs has in each of `new` outputs, as a matrix."""
    if align_corners:
        scale = (size - 1) / max(new - 1, 1)
        places = np.arange(new) * scale
    else:
        scale = size / new
        places = (np.arange(new) + 0.5) * scale - 0.5
    stretch = max(scale, 1.0) if antialias else 1.0
    if method == "cubic_torch":  # looks beyond the border, where it finds the border's value
        inputs = np.arange(-2 * int(stretch) - 2, size + 2 * int(stretch) + 2)
    else:
        inputs = np.arange(size)
    weights = _KERNELS[method](np.abs(places[None] - inputs[:, None]) / stretch)
    weights = weights / weights.sum(0)
    if method == "cubic_torch":
        inside = np.zeros((size, new))
        np.add.at(inside, np.clip(inputs, 0, size - 1), weights)
        weights = inside
    return weights


def resize(
    x: Array,
    size: Sequence[int],
    method: str = "linear",
    antialias: bool = True,
    align_corners: bool = False,
) -> Array:
    """Images of another size: ``(..., *spatial, channels) -> (..., *size, channels)``.

    Pixels are squares and places refer to their middles, as in `jax.image.resize` and Keras.

    Args:
      size: the new size of each spatial axis.
      method: ``"nearest"``, ``"linear"`` (or ``"bilinear"``), ``"cubic"``, ``"lanczos3"``,
        ``"lanczos5"``: JAX's; ``"cubic_torch"``: PyTorch's bicubic, of another parameter and
        another border; ``"nearest_floor"``: PyTorch's ``"nearest"``, which takes the pixel before.
      antialias: average over what becomes one pixel when an image becomes smaller.
      align_corners: the middles of the outermost pixels stay in place (an option of PyTorch).

    From PyTorch: ``interpolate(x, size, mode="bilinear")`` is ``resize(x, size,
    antialias=False)``; ``mode="nearest-exact"`` is ``method="nearest"``.

    Raises:
      InputError: an unknown method, too few axes, a size below 1.

    >>> import jaxcore.numpy as jnp
    >>> resize(jnp.array([0.0, 2.0]).reshape(1, 2, 1), (4,)).ravel().tolist()
    [0.0, 0.5, 1.5, 2.0]
    """
    x = as_array(x)
    if method not in _METHODS:
        raise InputError(f"resize: method={method!r}. Expected one of {list(_METHODS)}.")
    method = _NAMES.get(method, method)
    if len(size) >= x.ndim or any(n < 1 for n in size) or 0 in x.shape[x.ndim - 1 - len(size) :]:
        raise InputError(
            f"resize: size={tuple(size)} for an input of shape {x.shape}. Expected (..., *spatial, "
            "channels), without empty spatial axes, and a positive size for each of them."
        )
    for axis, new in enumerate(size, x.ndim - 1 - len(size)):
        old = x.shape[axis]
        if new == old:
            continue
        if method.startswith("nearest"):
            middle = 0.0 if method == "nearest_floor" else 0.5
            x = jnp.take(x, np.floor((np.arange(new) + middle) * old / new).astype(np.int32), axis)
            continue
        weights = _weights(old, new, method, antialias, align_corners)
        kind = x.dtype if jnp.issubdtype(x.dtype, jnp.inexact) else jnp.result_type(float)
        y = jnp.tensordot(x.astype(kind), jnp.asarray(weights, kind), ((axis,), (0,)))
        x = jnp.moveaxis(y, -1, axis)
    return x


class Upsample(Module):
    """Enlarges images: ``(..., *spatial, channels) -> (..., *(spatial · scale), channels)``.

    Args:
      scale: a factor for each spatial axis; a number for all axes between the first and the last.
      method, align_corners: see `resize`.

    From PyTorch: ``Upsample(scale_factor=2)``; from Keras: ``UpSampling2D(2)``.

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn
    >>> nn.Upsample(2).apply({}, jnp.ones((1, 3, 4, 2))).shape
    (1, 6, 8, 2)
    """

    scale: float | Sequence[float]
    method: str = "nearest"
    align_corners: bool = False

    def __call__(self, x: Array) -> Array:
        x = as_array(x)
        many = x.ndim - 2
        scales = (self.scale,) * many if isinstance(self.scale, int | float) else self.scale
        if not 1 <= len(scales) < x.ndim:
            raise InputError(
                f"{where(self.path, 'Upsample')}: scale={self.scale} for an input of shape "
                f"{x.shape}. Expected (batch, *spatial, channels) and a factor for each spatial "
                "axis."
            )
        spatial = x.shape[x.ndim - 1 - len(scales) : -1]
        size = [int(n * s) for n, s in zip(spatial, scales, strict=True)]
        return resize(x, size, self.method, align_corners=self.align_corners)


def pixel_shuffle(x: Array, factor: int) -> Array:
    """Channels become pixels: ``(..., h, w, c · r²) -> (..., h · r, w · r, c)``; PyTorch's order.

    Channel ``(c · r + i) · r + j`` becomes row i, column j of a block. `depth_to_space` has Keras's
    order.

    Shi et al. 2016, https://arxiv.org/abs/1609.05158

    >>> import jaxcore.numpy as jnp
    >>> pixel_shuffle(jnp.arange(8.0).reshape(1, 1, 8), 2)[..., 0].tolist()
    [[0.0, 1.0], [2.0, 3.0]]
    """
    x, h, w, c = _image("pixel_shuffle", x, factor, 1, factor**2)
    lead, r = x.shape[:-3], factor
    x = x.reshape(*lead, h, w, c // r**2, r, r)
    x = jnp.moveaxis(x, (-2, -1), (-4, -2))  # h, r, w, r, c
    return x.reshape(*lead, h * r, w * r, c // r**2)


def pixel_unshuffle(x: Array, factor: int) -> Array:
    """The inverse of `pixel_shuffle`: ``(..., h · r, w · r, c) -> (..., h, w, c · r²)``.

    >>> import jaxcore.numpy as jnp
    >>> pixel_unshuffle(jnp.arange(4.0).reshape(2, 2, 1), 2).ravel().tolist()
    [0.0, 1.0, 2.0, 3.0]
    """
    x, h, w, c = _image("pixel_unshuffle", x, factor, factor, 1)
    lead, r = x.shape[:-3], factor
    x = x.reshape(*lead, h // r, r, w // r, r, c)
    x = jnp.moveaxis(x, (-4, -2), (-2, -1))  # h, w, c, r, r
    return x.reshape(*lead, h // r, w // r, c * r**2)


def depth_to_space(x: Array, factor: int) -> Array:
    """Channels become pixels in Keras's order: channel ``(i · r + j) · c' + c``, c' of them left.

    >>> import jaxcore.numpy as jnp
    >>> depth_to_space(jnp.arange(8.0).reshape(1, 1, 8), 2)[..., 0].tolist()
    [[0.0, 2.0], [4.0, 6.0]]
    """
    x, h, w, c = _image("depth_to_space", x, factor, 1, factor**2)
    lead, r = x.shape[:-3], factor
    x = jnp.swapaxes(x.reshape(*lead, h, w, r, r, c // r**2), -4, -3)
    return x.reshape(*lead, h * r, w * r, c // r**2)


def space_to_depth(x: Array, factor: int) -> Array:
    """The inverse of `depth_to_space`.

    >>> import jaxcore.numpy as jnp
    >>> space_to_depth(jnp.arange(4.0).reshape(2, 2, 1), 2).ravel().tolist()
    [0.0, 1.0, 2.0, 3.0]
    """
    x, h, w, c = _image("space_to_depth", x, factor, factor, 1)
    lead, r = x.shape[:-3], factor
    x = jnp.swapaxes(x.reshape(*lead, h // r, r, w // r, r, c), -4, -3)
    return x.reshape(*lead, h // r, w // r, c * r**2)


def channel_shuffle(x: Array, groups: int) -> Array:
    """Mixes groups of channels: channel ``g · n + k`` becomes ``k · groups + g``.

    Zhang et al. 2018 (ShuffleNet), https://arxiv.org/abs/1707.01083

    >>> import jaxcore.numpy as jnp
    >>> channel_shuffle(jnp.arange(6), 2).tolist()
    [0, 3, 1, 4, 2, 5]
    """
    x = as_array(x)
    if not x.ndim or x.shape[-1] % groups:
        raise InputError(
            f"channel_shuffle: the input has shape {x.shape} and groups={groups}. Expected a "
            "number of channels, the last axis, that the groups divide."
        )
    split = x.reshape(*x.shape[:-1], groups, x.shape[-1] // groups)
    return jnp.swapaxes(split, -1, -2).reshape(x.shape)


def _image(
    name: str, x: Any, factor: int, space: int, channels: int
) -> tuple[Array, int, int, int]:
    x = as_array(x)
    if x.ndim < 3 or any(n % space for n in x.shape[-3:-1]) or x.shape[-1] % channels:
        raise InputError(
            f"{name}: the input has shape {x.shape} and factor={factor}. Expected (..., height, "
            f"width, channels) with height and width divisible by {space} and channels by "
            f"{channels}."
        )
    return x, x.shape[-3], x.shape[-2], x.shape[-1]
