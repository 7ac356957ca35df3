"""ConvNeXt, with timm's weights.

Liu et al. 2022, https://arxiv.org/abs/2201.03545
"""

from __future__ import annotations

from typing import Any, ClassVar

import jaxcore.numpy as jnp
from jaxcore import Array

from .. import initializers
from ..activations import gelu
from ..convolution import Conv
from ..linear import Dense
from ..module import Module
from ..normalization import LayerNorm
from ..weights import NameMap, conv, dense, norm, plain

_init = initializers.truncated_normal(0.02)


class ConvNeXtBlock(Module):
    """A depthwise convolution and an MLP on every pixel: ``(batch, h, w, channels)`` to the same.

    The sum's new part starts small: it is scaled by ``gamma (channels,)``, at first 1e-6.
    """

    def __call__(self, x: Array) -> Array:
        width = x.shape[-1]
        y = Conv(
            width,
            (7, 7),
            padding=3,
            feature_group_count=width,
            kernel_init=_init,
            name="conv_dw",
        )(x)
        y = LayerNorm(name="norm")(y)
        y = gelu(Dense(4 * width, kernel_init=_init, name="fc1")(y), approximate=False)
        y = Dense(width, kernel_init=_init, name="fc2")(y)
        gamma = self.param("gamma", initializers.constant(1e-6), (width,))
        return x + y * gamma.astype(y.dtype).reshape(1, 1, 1, -1)


class ConvNeXt(Module):
    """Images ``(batch, height, width, 3)`` to logits ``(batch, num_classes)``.

    Args:
      depths, widths: how many blocks of which width; every stage halves the picture.
      num_classes: 0 for the features in front of the last layer.

    >>> import jaxcore
    >>> from jaxcore import nn, random
    >>> model = nn.models.ConvNeXt((1, 1), (8, 16), num_classes=10)
    >>> x = jaxcore.ShapeDtypeStruct((1, 32, 32, 3), "float32")
    >>> jaxcore.eval_shape(model.init_with_output, random.key(0), x)[0].shape
    (1, 10)
    """

    depths: tuple[int, ...] = (3, 3, 9, 3)
    widths: tuple[int, ...] = (96, 192, 384, 768)
    num_classes: int = 1000

    names: ClassVar[NameMap] = NameMap(
        conv("stem.0", "stem_conv"),
        norm("stem.1", "stem_norm"),
        norm("stages.{i}.downsample.0", "downsample_{i}_norm"),
        conv("stages.{i}.downsample.1", "downsample_{i}_conv"),
        conv("stages.{i}.blocks.{j}.conv_dw", "stage_{i}_{j}/conv_dw"),
        norm("stages.{i}.blocks.{j}.norm", "stage_{i}_{j}/norm"),
        dense("stages.{i}.blocks.{j}.mlp.fc1", "stage_{i}_{j}/fc1"),
        dense("stages.{i}.blocks.{j}.mlp.fc2", "stage_{i}_{j}/fc2"),
        plain("stages.{i}.blocks.{j}.gamma", "stage_{i}_{j}/gamma"),
        norm("head.norm", "head_norm"),
        dense("head.fc", "head"),
    )

    def example(self) -> tuple[Any, ...]:
        """Inputs of the right type, for `init`."""
        return (jnp.zeros((1, 64, 64, 3)),)

    def __call__(self, x: Array) -> Array:
        for i, (depth, width) in enumerate(zip(self.depths, self.widths, strict=True)):
            if i == 0:
                x = Conv(width, (4, 4), 4, "VALID", kernel_init=_init, name="stem_conv")(x)
                x = LayerNorm(name="stem_norm")(x)
            else:
                x = LayerNorm(name=f"downsample_{i}_norm")(x)
                x = Conv(width, (2, 2), 2, "VALID", kernel_init=_init, name=f"downsample_{i}_conv")(
                    x
                )
            for j in range(depth):
                x = ConvNeXtBlock(name=f"stage_{i}_{j}")(x)
        x = LayerNorm(name="head_norm")(x.mean((1, 2)))
        return Dense(self.num_classes, name="head")(x) if self.num_classes else x


def convnext_tiny(num_classes: int = 1000) -> ConvNeXt:
    """timm's ``convnext_tiny``: 28.6 million parameters."""
    return ConvNeXt(num_classes=num_classes)
