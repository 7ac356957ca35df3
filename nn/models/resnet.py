"""ResNet, with torchvision's and timm's weights.

He et al. 2015, https://arxiv.org/abs/1512.03385
"""

from __future__ import annotations

import functools
from typing import Any, ClassVar

import jaxcore.numpy as jnp
from jaxcore import Array

from .. import initializers
from ..activations import relu
from ..convolution import Conv
from ..linear import Dense
from ..module import Module
from ..normalization import BatchNorm
from ..pooling import max_pool
from ..weights import NameMap, batch_norm, conv, dense

# torchvision's initial values, and PyTorch's averages: the old value counts 0.9, variances are
# unbiased.
_conv = functools.partial(
    Conv, use_bias=False, kernel_init=initializers.variance_scaling(2.0, "fan_out", "normal")
)
_norm = functools.partial(BatchNorm, momentum=0.9, epsilon=1e-5, unbiased=True)


class ResNetBlock(Module):
    """A residual block: ``(batch, height, width, channels)`` to as many channels as it says.

    Two convolutions of 3 × 3; or, as a bottleneck, one between two of 1 × 1, the last four times
    as wide. The stride stands at the convolution of 3 × 3, as in torchvision ("v1.5").
    """

    features: int
    stride: int = 1
    bottleneck: bool = False

    def __call__(self, x: Array) -> Array:
        if self.bottleneck:
            sizes = [
                (self.features, 1, 1),
                (self.features, 3, self.stride),
                (4 * self.features, 1, 1),
            ]
        else:
            sizes = [(self.features, 3, self.stride), (self.features, 3, 1)]
        y = x
        for i, (features, size, stride) in enumerate(sizes, 1):
            y = _conv(features, (size, size), strides=stride, padding=size // 2, name=f"conv{i}")(y)
            y = _norm(name=f"bn{i}")(y)
            y = relu(y) if i < len(sizes) else y
        if x.shape != y.shape:
            x = _conv(y.shape[-1], (1, 1), strides=self.stride, padding=0, name="downsample")(x)
            x = _norm(name="downsample_bn")(x)
        return relu(x + y)


class ResNet(Module):
    """Images ``(batch, height, width, 3)`` to logits ``(batch, num_classes)``.

    Parameters are named as in torchvision, ``layer1.0.conv1`` being ``layer1_0/conv1``.

    Args:
      stages: how many blocks of each width.
      bottleneck: blocks of three convolutions.
      num_classes: 0 for the features in front of the last layer.
      width: channels of the first stage.

    >>> import jaxcore
    >>> from jaxcore import nn, random
    >>> model = nn.models.resnet18(num_classes=10)
    >>> x = jaxcore.ShapeDtypeStruct((1, 64, 64, 3), "float32")
    >>> jaxcore.eval_shape(model.init_with_output, random.key(0), x)[0].shape
    (1, 10)
    """

    stages: tuple[int, ...]
    bottleneck: bool = False
    num_classes: int = 1000
    width: int = 64

    names: ClassVar[NameMap] = NameMap(
        conv("conv1", "conv1", bias=False),
        batch_norm("bn1", "bn1"),
        *(conv(f"layer{{i}}.{{j}}.conv{n}", f"layer{{i}}_{{j}}/conv{n}", False) for n in (1, 2, 3)),
        *(batch_norm(f"layer{{i}}.{{j}}.bn{n}", f"layer{{i}}_{{j}}/bn{n}") for n in (1, 2, 3)),
        conv("layer{i}.{j}.downsample.0", "layer{i}_{j}/downsample", bias=False),
        batch_norm("layer{i}.{j}.downsample.1", "layer{i}_{j}/downsample_bn"),
        dense("fc", "fc"),
    )

    def example(self) -> tuple[Any, ...]:
        """Inputs of the right type, for `init`."""
        return (jnp.zeros((1, 64, 64, 3)),)

    def __call__(self, x: Array) -> Array:
        x = _conv(self.width, (7, 7), strides=2, padding=3, name="conv1")(x)
        x = relu(_norm(name="bn1")(x))
        x = max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))
        for i, blocks in enumerate(self.stages):
            for j in range(blocks):
                stride = 2 if i > 0 and j == 0 else 1
                x = ResNetBlock(self.width << i, stride, self.bottleneck, name=f"layer{i + 1}_{j}")(
                    x
                )
        x = x.mean((1, 2))
        return Dense(self.num_classes, name="fc")(x) if self.num_classes else x


def resnet18(num_classes: int = 1000) -> ResNet:
    """18 layers, 11.7 million parameters."""
    return ResNet((2, 2, 2, 2), num_classes=num_classes)


def resnet50(num_classes: int = 1000) -> ResNet:
    """50 layers in bottlenecks, 25.6 million parameters."""
    return ResNet((3, 4, 6, 3), bottleneck=True, num_classes=num_classes)
