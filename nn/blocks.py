"""Small blocks that many vision models repeat."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jaxcore.numpy as jnp
from jaxcore import Array

from . import initializers
from .activations import relu
from .convolution import Conv
from .module import Module
from .normalization import BatchNorm


class ConvNormAct(Module):
    """A convolution, a norm, an activation: ``(batch, *spatial, in) -> (..., features)``.

    Parameters: ``conv``, without a bias where there is a norm; ``norm``.

    Args:
      kernel_size, strides, padding, kernel_dilation, feature_group_count: those of `Conv`.
      norm: the norm, or None.
      activation: a function, or None.

    From torchvision: ``Conv2dNormActivation``, whose padding is ``k // 2`` on both sides
    (`BatchNorm` there: ``momentum=0.9, unbiased=True``); from timm: ``ConvNormAct``.

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn, random
    >>> block = nn.ConvNormAct(4, (3, 3), strides=2)
    >>> y, variables = block.init_with_output(random.key(0), jnp.ones((1, 8, 8, 3)))
    >>> y.shape, sorted(variables["params"]["conv"])
    ((1, 4, 4, 4), ['kernel'])
    """

    features: int
    kernel_size: int | Sequence[int] = (3, 3)
    strides: int | Sequence[int] = 1
    padding: Any = "SAME"
    kernel_dilation: int | Sequence[int] = 1
    feature_group_count: int = 1
    norm: Module | None = BatchNorm()
    activation: Callable[..., Any] | None = relu
    dtype: Any = None
    param_dtype: Any = jnp.float32
    kernel_init: Callable[..., Any] = initializers.lecun_normal()

    def __call__(self, x: Array) -> Array:
        x = Conv(
            self.features,
            self.kernel_size,
            self.strides,
            self.padding,
            kernel_dilation=self.kernel_dilation,
            feature_group_count=self.feature_group_count,
            use_bias=self.norm is None,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            kernel_init=self.kernel_init,
            name="conv",
        )(x)
        x = x if self.norm is None else self.norm(x)
        return x if self.activation is None else self.activation(x)
