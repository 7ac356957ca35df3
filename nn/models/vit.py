"""The vision transformer, with timm's weights.

Dosovitskiy et al. 2020, https://arxiv.org/abs/2010.11929
"""

from __future__ import annotations

from typing import Any, ClassVar

import jaxcore.numpy as jnp
from jaxcore import Array

from .. import initializers
from ..activations import gelu
from ..attention import MultiHeadAttention
from ..convolution import Conv
from ..errors import InputError, where
from ..linear import Dense
from ..module import Module
from ..normalization import LayerNorm
from ..weights import NameMap, conv, dense, norm, plain

_init = initializers.truncated_normal(0.02)


class ViTBlock(Module):
    """Attention and MLP, each behind a norm: ``(batch, tokens, features)`` to the same."""

    num_heads: int
    mlp_ratio: int = 4

    def __call__(self, x: Array) -> Array:
        width = x.shape[-1]
        y = LayerNorm(name="norm1")(x)
        x = x + MultiHeadAttention(self.num_heads, kernel_init=_init, name="attention")(y)
        y = LayerNorm(name="norm2")(x)
        y = gelu(Dense(self.mlp_ratio * width, kernel_init=_init, name="fc1")(y), approximate=False)
        return x + Dense(width, kernel_init=_init, name="fc2")(y)


class ViT(Module):
    """Images ``(batch, size, size, 3)`` to logits ``(batch, num_classes)``.

    Cut into patches, each a token; the class is read from one more token in front of them.

    Args:
      image_size, patch_size: in pixels; the position table is as long as these say.
      features, num_layers, num_heads: of the transformer.
      num_classes: 0 for the features in front of the last layer.

    >>> import jaxcore
    >>> from jaxcore import nn, random
    >>> model = nn.models.vit_tiny(num_classes=10)
    >>> x = jaxcore.ShapeDtypeStruct((1, 224, 224, 3), "float32")
    >>> jaxcore.eval_shape(model.init_with_output, random.key(0), x)[0].shape
    (1, 10)
    """

    image_size: int = 224
    patch_size: int = 16
    features: int = 192
    num_layers: int = 12
    num_heads: int = 3
    num_classes: int = 1000

    names: ClassVar[NameMap] = NameMap(
        plain("cls_token", "cls_token"),
        plain("pos_embed", "pos_embed"),
        conv("patch_embed.proj", "patch_embed"),
        norm("blocks.{i}.norm1", "block_{i}/norm1"),
        dense(
            "blocks.{i}.attn.qkv",
            *(f"block_{{i}}/attention/{n}" for n in ("query", "key", "value")),
        ),
        dense("blocks.{i}.attn.proj", "block_{i}/attention/out", inputs=2),
        norm("blocks.{i}.norm2", "block_{i}/norm2"),
        dense("blocks.{i}.mlp.fc1", "block_{i}/fc1"),
        dense("blocks.{i}.mlp.fc2", "block_{i}/fc2"),
        norm("norm", "norm"),
        dense("head", "head"),
    )

    def example(self) -> tuple[Any, ...]:
        """Inputs of the right type, for `init`."""
        return (jnp.zeros((1, self.image_size, self.image_size, 3)),)

    def __call__(self, x: Array) -> Array:
        if x.shape[1:3] != (self.image_size,) * 2:
            raise InputError(
                f"{where(self.path, 'ViT')}: the images have shape {x.shape}. Expected (batch, "
                f"{self.image_size}, {self.image_size}, 3); resize them, or set image_size."
            )
        patch = (self.patch_size, self.patch_size)
        x = Conv(self.features, patch, strides=patch, padding="VALID", name="patch_embed")(x)
        x = x.reshape(x.shape[0], -1, self.features)
        token = self.param("cls_token", initializers.normal(1e-6), (1, 1, self.features))
        x = jnp.concatenate([jnp.broadcast_to(token, (x.shape[0], 1, x.shape[-1])), x], axis=1)
        x = x + self.param("pos_embed", _init, (1, x.shape[1], self.features))
        for i in range(self.num_layers):
            x = ViTBlock(self.num_heads, name=f"block_{i}")(x)
        x = LayerNorm(name="norm")(x)[:, 0]
        return Dense(self.num_classes, name="head")(x) if self.num_classes else x


def vit_tiny(num_classes: int = 1000) -> ViT:
    """timm's ``vit_tiny_patch16_224``: 5.7 million parameters."""
    return ViT(num_classes=num_classes)
