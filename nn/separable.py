"""Convolutions with fewer weights, depthwise and separable, and with more: `ConvLocal`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import jaxcore.numpy as jnp
from jaxcore import Array, eval_shape, lax

from . import initializers
from .convolution import (
    Conv,
    Ints,
    Padding,
    _apply_padding,
    _masked,
    _numbers,
    _pads,
    _per_axis,
    _spatial_rank,
    convolve,
)
from .dtypes import as_array, promote
from .errors import InputError, where
from .linear import need_rank
from .module import Module


class DepthwiseConv(Module):
    """Convolves each channel by itself: ``(..., *spatial, c) -> (..., *spatial', c · multiplier)``.

    Output ``c · multiplier + m`` is channel c seen through its m-th kernel.

    Parameters: ``kernel (*kernel_size, 1, c · multiplier)``, ``bias (c · multiplier,)``: those of
    `Conv` with ``feature_group_count=c``, which this is.

    Args:
      multiplier: kernels of a channel.

    From PyTorch: ``Conv2d(c, c, k, groups=c)``. From Keras: ``DepthwiseConv2D(k,
    depth_multiplier=multiplier)``, whose kernel ``(h, w, c, multiplier)`` is reshaped to
    ``(h, w, 1, c · multiplier)``.

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn, random
    >>> variables = nn.DepthwiseConv((3, 3)).init(random.key(0), jnp.ones((1, 8, 8, 6)))
    >>> variables["params"]["kernel"].shape
    (3, 3, 1, 6)
    """

    kernel_size: Ints
    strides: Ints | None = 1
    padding: Padding = "SAME"
    kernel_dilation: Ints | None = 1
    multiplier: int = 1
    use_bias: bool = True
    dtype: Any = None
    param_dtype: Any = jnp.float32
    precision: Any = None
    kernel_init: Callable[..., Any] = initializers.lecun_normal()
    bias_init: Callable[..., Any] = initializers.zeros

    uses_rng: ClassVar[bool] = False

    def __call__(self, x: Array) -> Array:
        x = need_rank(self, x, 2, "(..., *spatial, channels)")
        return convolve(self, x, x.shape[-1] * self.multiplier, x.shape[-1])


class SeparableConv(Module):
    """A depthwise convolution, then a pointwise one: ``(..., *spatial, in) -> (..., features)``.

    ``in · (k + features)`` weights instead of ``k · in · features`` for k kernel positions.

    Parameters: ``depthwise/kernel (*kernel_size, 1, in · multiplier)``, ``pointwise/kernel (1, ...,
    in · multiplier, features)``, ``pointwise/bias (features,)``.

    From Keras: ``SeparableConv2D(features, k, depth_multiplier=multiplier)``.

    Chollet 2017, https://arxiv.org/abs/1610.02357

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn, random
    >>> layer = nn.SeparableConv(8, (3, 3))
    >>> layer.init_with_output(random.key(0), jnp.ones((1, 5, 5, 4)))[0].shape
    (1, 5, 5, 8)
    """

    features: int
    kernel_size: Ints
    strides: Ints | None = 1
    padding: Padding = "SAME"
    kernel_dilation: Ints | None = 1
    multiplier: int = 1
    use_bias: bool = True
    dtype: Any = None
    param_dtype: Any = jnp.float32
    precision: Any = None
    kernel_init: Callable[..., Any] = initializers.lecun_normal()
    bias_init: Callable[..., Any] = initializers.zeros

    uses_rng: ClassVar[bool] = False

    def __call__(self, x: Array) -> Array:
        x, rank = _spatial_rank(self, x, self.kernel_size)
        shared = {
            "dtype": self.dtype,
            "param_dtype": self.param_dtype,
            "precision": self.precision,
            "kernel_init": self.kernel_init,
        }
        x = DepthwiseConv(
            self.kernel_size,
            self.strides,
            self.padding,
            self.kernel_dilation,
            self.multiplier,
            use_bias=False,
            name="depthwise",
            **shared,
        )(x)
        return Conv(
            self.features,
            (1,) * rank,
            use_bias=self.use_bias,
            bias_init=self.bias_init,
            name="pointwise",
            **shared,
        )(x)


class ConvLocal(Module):
    """A convolution whose kernel differs from place to place: locally connected, unshared weights.

    ``(..., *spatial, in) -> (..., *spatial', features)``.

    Parameters: ``kernel (*spatial', prod(kernel_size) · in, features)``, with the input channels
    outermost in its rows, ``bias (*spatial', features)``; so the spatial sizes are fixed.

    Raises:
      InputError: too few axes, groups, a mask of another shape.

    LeCun 1989, "Generalization and network design strategies"

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn, random
    >>> variables = nn.ConvLocal(2, (3,), padding="VALID").init(random.key(0), jnp.ones((1, 6, 4)))
    >>> variables["params"]["kernel"].shape
    (4, 12, 2)
    """

    features: int
    kernel_size: Ints
    strides: Ints | None = 1
    padding: Padding = "SAME"
    input_dilation: Ints | None = 1
    kernel_dilation: Ints | None = 1
    feature_group_count: int = 1
    use_bias: bool = True
    mask: Any = None
    dtype: Any = None
    param_dtype: Any = jnp.float32
    precision: Any = None
    kernel_init: Callable[..., Any] = initializers.lecun_normal()
    bias_init: Callable[..., Any] = initializers.zeros

    uses_rng: ClassVar[bool] = False

    def __call__(self, x: Array) -> Array:
        x, rank = _spatial_rank(self, x, self.kernel_size)
        if self.feature_group_count != 1:
            raise InputError(
                f"{where(self.path, 'ConvLocal')}: feature_group_count="
                f"{self.feature_group_count}. Expected 1: every place has a kernel of its own, "
                "over all channels; for groups use Conv."
            )
        size = _per_axis(self, self.kernel_size, rank, "kernel_size")
        dilation = _per_axis(self, self.kernel_dilation, rank, "kernel_dilation")
        lead, channels = x.shape[: x.ndim - rank - 1], x.shape[-1]
        x = x.reshape(math.prod(lead), *x.shape[len(lead) :])
        x, pads = _apply_padding(self, x, _pads(self, self.padding, rank), size, dilation)
        options: dict[str, Any] = {
            "lhs_dilation": _per_axis(self, self.input_dilation, rank, "input_dilation"),
            "rhs_dilation": dilation,
            "dimension_numbers": _numbers(rank),
        }
        strides = _per_axis(self, self.strides, rank, "strides")
        places = eval_shape(
            lambda x, k: lax.conv_general_dilated(x, k, strides, pads, **options),
            x,
            jnp.zeros((*size, channels, self.features), x.dtype),
        ).shape[1:-1]
        shape = (*places, math.prod(size) * channels, self.features)
        kernel = self.param("kernel", self.kernel_init, shape, self.param_dtype)
        bias = None
        if self.use_bias:
            shape = (*places, self.features)
            bias = self.param("bias", self.bias_init, shape, self.param_dtype)
        kernel = _masked(self, kernel)
        x, kernel, bias = promote(self.compute_dtype, x, kernel, bias)
        y = lax.conv_general_dilated_local(
            x, kernel, strides, pads, filter_shape=size, precision=self.precision, **options
        )
        if bias is not None:
            y = y + as_array(bias)[None]
        return y.reshape(*lead, *y.shape[1:])
