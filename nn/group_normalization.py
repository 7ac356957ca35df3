"""Normalisation of each example by itself: groups of channels, single ones, neighbours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import jaxcore.numpy as jnp
from jaxcore import Array, lax

from . import initializers
from .dtypes import as_array
from .errors import InputError, where
from .linear import need_rank
from .module import Module
from .normalization import Axes, _affine, _axes, _moments
from .pooling import avg_pool

Init = Callable[..., Any]


class GroupNorm(Module):
    """Normalises groups of channels of each example: ``(batch, *spatial, channels)``.

    Give `num_groups`, or ``num_groups=None`` and the channels in one group as `group_size`.

    Parameters: ``scale``, ``bias``, both ``(channels,)``.

    Args:
      reduction_axes: what is averaged over, with the channels' axis the last of them; all but the
        batch by default.
      axis_name: also average over this mapped axis.

    Of a call:
      mask: True where a value counts, of the input's shape.

    From PyTorch: ``epsilon=1e-5``. From Keras: ``epsilon=1e-3``.

    Wu and He 2018, https://arxiv.org/abs/1803.08494

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn, random
    >>> y, _ = nn.GroupNorm(2).init_with_output(random.key(0), jnp.arange(8.0).reshape(1, 2, 4))
    >>> y.shape
    (1, 2, 4)
    """

    num_groups: int | None = 32
    group_size: int | None = None
    epsilon: float = 1e-6
    dtype: Any = None
    param_dtype: Any = jnp.float32
    use_bias: bool = True
    use_scale: bool = True
    bias_init: Init = initializers.zeros
    scale_init: Init = initializers.ones
    reduction_axes: Axes | None = None
    axis_name: str | None = None
    axis_index_groups: Any = None
    use_fast_variance: bool = True

    uses_rng: ClassVar[bool] = False

    def __call__(self, x: Array, *, mask: Array | None = None) -> Array:
        x = need_rank(self, x, 2, "(batch, ..., channels)")
        groups = self._groups(x.shape[-1])
        given = self.reduction_axes
        axes = _axes(range(1, x.ndim) if given is None else given, x.ndim)
        if axes[-1:] != (x.ndim - 1,):
            raise InputError(
                f"{where(self.path, 'GroupNorm')}: reduction_axes={given} leave out the last axis. "
                "Expected them to hold it: it has the channels, which make the groups."
            )
        size = x.shape[-1] // groups
        apart = lambda v: v.reshape(*v.shape[:-1], groups, size)
        if mask is not None:
            mask = apart(jnp.broadcast_to(mask, x.shape))
        mean, var = _moments(self, apart(x), (*axes[:-1], x.ndim), mask)
        mean, var = (jnp.repeat(v, size, axis=-1) for v in (mean, var))
        return _affine(self, x, mean, var, axes[:-1], (x.ndim - 1,))

    def _groups(self, channels: int) -> int:
        if (self.num_groups is None) == (self.group_size is None):
            raise InputError(
                f"{where(self.path, 'GroupNorm')}: num_groups={self.num_groups} and group_size="
                f"{self.group_size}. Expected exactly one of them; for group_size pass "
                "num_groups=None."
            )
        groups = self.num_groups or max(1, channels // (self.group_size or 1))
        if channels % groups or (self.group_size and channels % self.group_size):
            raise InputError(
                f"{where(self.path, 'GroupNorm')}: {channels} channels do not split evenly with "
                f"num_groups={self.num_groups}, group_size={self.group_size}. Expected a divisor "
                f"of {channels}."
            )
        return groups


class InstanceNorm(Module):
    """Normalises every channel of each example over its spatial axes.

    Parameters: ``scale``, ``bias``, of the `feature_axes`' shape.

    From PyTorch: ``InstanceNorm2d`` has ``epsilon=1e-5``, and no scale and bias by default.

    Ulyanov et al. 2016, https://arxiv.org/abs/1607.08022

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn, random
    >>> y, _ = nn.InstanceNorm().init_with_output(random.key(0), jnp.ones((2, 4, 4, 3)))
    >>> y.shape
    (2, 4, 4, 3)
    """

    epsilon: float = 1e-6
    dtype: Any = None
    param_dtype: Any = jnp.float32
    use_bias: bool = True
    use_scale: bool = True
    bias_init: Init = initializers.zeros
    scale_init: Init = initializers.ones
    feature_axes: Axes = -1
    axis_name: str | None = None
    axis_index_groups: Any = None
    use_fast_variance: bool = True

    uses_rng: ClassVar[bool] = False

    def __call__(self, x: Array, *, mask: Array | None = None) -> Array:
        x = need_rank(self, x, 3, "(batch, *spatial, channels)")
        features = _axes(self.feature_axes, x.ndim)
        if 0 in features:
            raise InputError(
                f"{where(self.path, 'InstanceNorm')}: feature_axes={self.feature_axes} hold the "
                "first axis. Expected axes behind it: it is the batch's."
            )
        axes = tuple(a for a in range(1, x.ndim) if a not in features)
        mean, var = _moments(self, x, axes, mask)
        return _affine(self, x, mean, var, axes, features)


def normalize(x: Array, axis: Axes = -1, epsilon: float = 1e-12, order: float = 2) -> Array:
    """``x / max(‖x‖, epsilon)`` along `axis`: vectors of length 1; its derivative at 0 is 0.

    PyTorch's ``F.normalize``, Keras's ``UnitNormalization``.

    >>> import jaxcore.numpy as jnp
    >>> print(normalize(jnp.array([3.0, 4.0])).round(3))
    [0.6 0.8]
    """
    x = as_array(x)
    powers = jnp.sum(jnp.abs(x) ** order, _axes(axis, x.ndim), keepdims=True)
    some = powers > 0
    length = jnp.where(some, jnp.where(some, powers, 1) ** (1 / order), 0)
    return x / jnp.maximum(length, epsilon)


def local_response_norm(
    x: Array, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Array:
    """``x / (k + alpha · mean(x²))^beta``, the mean over `size` neighbouring channels (last axis).

    As in PyTorch, the mean counts zeros beyond the ends.

    Krizhevsky et al. 2012, "ImageNet classification with deep convolutional neural networks"

    >>> import jaxcore.numpy as jnp
    >>> print(local_response_norm(jnp.ones((1, 3)), 3, alpha=3.0, beta=1.0)[0].round(3))
    [0.333 0.25  0.333]
    """
    x = as_array(x)
    square = lax.square(x)[..., None]
    mean = avg_pool(square, (size,), padding=[(size // 2, (size - 1) // 2)])[..., 0]
    return x / (k + alpha * mean) ** beta
