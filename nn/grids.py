"""Images read at any places: the parts of a spatial transformer."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import jaxcore.numpy as jnp
from jaxcore import Array, vmap

from .dtypes import as_array, promote
from .errors import InputError

_MODES = ("bilinear", "nearest")
_PADDINGS = ("zeros", "border", "reflection")


def affine_grid(theta: Any, spatial_shape: Sequence[int], *, align_corners: bool = False) -> Array:
    """Where an affine map takes the places of an image: ``(..., n, n + 1) -> (..., *shape, n)``.

    Coordinates go from -1 to 1 over the image and stand in the order x, y (, z): width first. With
    `align_corners` -1 and 1 are the middles of the outermost pixels, else their outer edges.
    PyTorch's ``F.affine_grid``.

    Jaderberg et al. 2015, https://arxiv.org/abs/1506.02025

    >>> import jaxcore.numpy as jnp
    >>> grid = affine_grid(jnp.array([[1.0, 0, 0], [0, 1, 0]]), (1, 2))
    >>> grid.tolist()
    [[[-0.5, 0.0], [0.5, 0.0]]]
    """
    (theta,) = promote(None, as_array(theta))
    n = len(spatial_shape)
    if theta.shape[-2:] != (n, n + 1):
        raise InputError(
            f"affine_grid: theta has shape {theta.shape} for {n} spatial axes. Expected (..., "
            f"{n}, {n + 1}), a matrix and a shift."
        )

    def line(size: int) -> Array:
        if align_corners:
            return jnp.linspace(-1.0, 1.0, size, dtype=theta.dtype) if size > 1 else jnp.zeros(1)
        return ((jnp.arange(size) * 2 + 1) / size - 1).astype(theta.dtype)

    axes = jnp.meshgrid(*[line(size) for size in spatial_shape], indexing="ij")
    places = jnp.stack([*axes[::-1], jnp.ones(tuple(spatial_shape), theta.dtype)], -1)
    flat = places.reshape(-1, n + 1)
    grid = jnp.einsum("...ij,pj->...pi", theta, flat)
    return grid.reshape(*theta.shape[:-2], *spatial_shape, n)


def grid_sample(
    x: Any,
    grid: Any,
    *,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool = False,
) -> Array:
    """The image at the grid's places: ``(*batch, *spatial, c), (*batch, *out, n) -> (*batch, *out,
    c)``.

    PyTorch's ``F.grid_sample``, channels last, for any number n of spatial axes; gradients go to
    image and grid.

    Args:
      grid: coordinates as `affine_grid` gives them: x, y (, z), from -1 to 1 over the image.
      mode: "bilinear" (linear in every axis) or "nearest".
      padding_mode: what stands outside: "zeros", "border" (the nearest pixel) or "reflection".
      align_corners: as for `affine_grid`.

    Raises:
      InputError: shapes that do not fit, or an unknown mode.

    Jaderberg et al. 2015, https://arxiv.org/abs/1506.02025

    >>> import jaxcore.numpy as jnp
    >>> image = jnp.array([[1.0, 3.0]])[..., None]
    >>> grid_sample(image, jnp.array([[[0.0, 0.0], [-0.5, 0.0]]])).ravel().tolist()
    [2.0, 1.0]
    """
    x, grid = promote(None, as_array(x), as_array(grid))
    n = grid.shape[-1] if grid.ndim else 0
    batch = x.ndim - n - 1
    if n < 1 or batch < 0 or grid.ndim <= batch or grid.shape[:batch] != x.shape[:batch]:
        raise InputError(
            f"grid_sample: the image has shape {x.shape} and the grid {grid.shape}. Expected "
            "(*batch, *spatial, channels) and (*batch, *places, n), n the number of spatial axes."
        )
    if mode not in _MODES or padding_mode not in _PADDINGS:
        raise InputError(
            f"grid_sample: mode={mode!r}, padding_mode={padding_mode!r}. Expected one of {_MODES} "
            f"and one of {_PADDINGS}."
        )
    sample = lambda image, grid: _sampled(image, grid, mode, padding_mode, align_corners)
    for _ in range(batch):
        sample = vmap(sample)
    return sample(x, grid)


def _sampled(x: Array, grid: Array, mode: str, padding: str, align: bool) -> Array:
    sizes = x.shape[:-1]
    places = [  # in pixels, the first axis first
        _pixel(grid[..., -1 - axis], size, padding, align) for axis, size in enumerate(sizes)
    ]
    if mode == "nearest":
        return _read(x, [jnp.round(p).astype(jnp.int32) for p in places])
    total: Any = 0.0
    floors = [jnp.floor(p) for p in places]
    for corner in itertools.product((0, 1), repeat=len(sizes)):
        weight: Any = 1.0
        for place, floor, up in zip(places, floors, corner, strict=True):
            weight = weight * ((place - floor) if up else (1 - (place - floor)))
        index = [f.astype(jnp.int32) + up for f, up in zip(floors, corner, strict=True)]
        total = total + _read(x, index) * weight[..., None]
    return total


def _pixel(coordinate: Array, size: int, padding: str, align: bool) -> Array:
    scaled = (coordinate + 1) / 2 * (size - 1) if align else ((coordinate + 1) * size - 1) / 2
    if padding == "reflection":
        low, high = (0.0, size - 1.0) if align else (-0.5, size - 0.5)
        width = high - low
        if width == 0:
            return jnp.zeros_like(scaled)
        away = jnp.abs(scaled - low)
        turns, rest = jnp.floor(away / width), jnp.mod(away, width)
        scaled = jnp.where(jnp.mod(turns, 2) == 0, rest + low, high - rest)
    return scaled if padding == "zeros" else jnp.clip(scaled, 0, size - 1)


def _read(x: Array, index: list[Array]) -> Array:
    """Pixels at integer places, 0 outside."""
    inside: Any = True
    for i, size in zip(index, x.shape[:-1], strict=True):
        inside = inside & (i >= 0) & (i < size)
    held = [jnp.clip(i, 0, size - 1) for i, size in zip(index, x.shape[:-1], strict=True)]
    return jnp.where(inside[..., None], x[tuple(held)], 0)
