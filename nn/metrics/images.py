"""How alike two images are."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import jaxcore.numpy as jnp
from jaxcore import Array

from ..errors import InputError
from ..losses.shared import pair
from .states import Mean


def psnr(images: Any, targets: Any, max_value: float = 1.0, weights: Any = None) -> Mean:
    """Peak signal-to-noise ratio in decibels, ``10 · log10(max² / mse)``, averaged over images.

    ``(batch, ...)``, twice; `weights` are one for each image. Infinite for equal images.

    >>> import jaxcore.numpy as jnp
    >>> round(float(psnr(jnp.zeros((1, 2, 2, 1)), jnp.full((1, 2, 2, 1), 0.1))), 3)
    20.0
    """
    a, b = pair("psnr", images, targets)
    error = jnp.mean(jnp.square(a - b), tuple(range(1, a.ndim)))
    return Mean.of(10 * (2 * math.log10(max_value) - jnp.log10(error)), weights)


def ssim(
    images: Any,
    targets: Any,
    max_value: float = 1.0,
    weights: Any = None,
    window: int = 11,
    sigma: float = 1.5,
    k1: float = 0.01,
    k2: float = 0.03,
) -> Mean:
    """Structural similarity of images, 1 for equal ones, averaged over images.

    In every window, ``(2 μ_a μ_b + c1) (2 σ_ab + c2) / ((μ_a² + μ_b² + c1) (σ_a² + σ_b² + c2))``
    with ``c_i = (k_i · max_value)²`` and moments weighted by a normal distribution; the mean over
    the windows that lie inside, and over channels.

    ``(batch, height, width, channels)``, twice; `weights` are one for each image.

    Wang et al. 2004, https://doi.org/10.1109/TIP.2003.819861

    Raises:
      InputError: images of another rank, or smaller than the window.

    >>> import jaxcore.numpy as jnp
    >>> x = jnp.arange(144.0).reshape(1, 12, 12, 1) / 144
    >>> round(float(ssim(x, x)), 3)
    1.0
    """
    a, b = pair("ssim", images, targets)
    if a.ndim != 4 or min(a.shape[1:3]) < window:
        raise InputError(
            f"ssim: the images have shape {a.shape}. Expected (batch, height, width, channels) of "
            f"height and width {window} at least; give a smaller window, or x[..., None] for gray "
            "images."
        )
    places = np.arange(window) - (window - 1) / 2
    weight = np.exp(-(places**2) / (2 * sigma**2))
    weight /= weight.sum()

    def blur(x: Array) -> Array:
        for axis in (1, 2):
            size = x.shape[axis]
            band = np.zeros((size, size - window + 1))
            for i in range(size - window + 1):
                band[i : i + window, i] = weight
            x = jnp.moveaxis(
                jnp.tensordot(x, jnp.asarray(band, x.dtype), ((axis,), (0,))), -1, axis
            )
        return x

    mean_a, mean_b = blur(a), blur(b)
    var_a, var_b = blur(a * a) - mean_a * mean_a, blur(b * b) - mean_b * mean_b
    both = blur(a * b) - mean_a * mean_b
    c1, c2 = (k1 * max_value) ** 2, (k2 * max_value) ** 2
    light = (2 * mean_a * mean_b + c1) / (mean_a * mean_a + mean_b * mean_b + c1)
    detail = (2 * both + c2) / (var_a + var_b + c2)
    return Mean.of(jnp.mean(light * detail, (1, 2, 3)), weights)
