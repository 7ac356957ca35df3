"""GPT-2, with Hugging Face's weights.

Radford et al. 2019, "Language Models are Unsupervised Multitask Learners"
"""

from __future__ import annotations

from typing import Any, ClassVar

import jaxcore.numpy as jnp
from jaxcore import Array

from .. import initializers
from ..activations import gelu
from ..attention import MultiHeadAttention
from ..linear import Dense, Embed
from ..module import Module
from ..normalization import LayerNorm
from ..stochastic import Dropout
from ..weights import NameMap, dense, embed, norm
from .language import check_length, token_positions

_init = initializers.normal(0.02)


class GPT2Block(Module):
    """Causal attention and MLP, each behind a norm: ``(batch, length, features)`` to the same."""

    num_heads: int
    dropout_rate: float
    decode: bool = False

    def __call__(self, x: Array, positions: Array) -> Array:
        width = x.shape[-1]
        attention = MultiHeadAttention(
            self.num_heads,
            dropout_rate=self.dropout_rate,
            broadcast_dropout=False,
            is_causal=True,
            decode=self.decode,
            kernel_init=_init,
            name="attention",
        )
        y = attention(LayerNorm(1e-5, name="norm1")(x), positions=positions)
        x = x + Dropout(self.dropout_rate)(y)
        y = Dense(4 * width, kernel_init=_init, name="fc")(LayerNorm(1e-5, name="norm2")(x))
        y = Dense(width, kernel_init=_init, name="proj")(gelu(y))
        return x + Dropout(self.dropout_rate)(y)


class GPT2(Module):
    """Tokens ``(batch, length)`` to the logits of each next token ``(batch, length, vocab_size)``.

    The last layer is the table of tokens again.

    Args:
      vocab_size, features, num_layers, num_heads, max_length: sizes; the defaults are the small
        model's, 124 million parameters.
      dropout_rate: of attention weights and of all that is added; needs the stream ``dropout``.
      decode: keep keys and values in the collection ``cache``; `nn.generate` sets it.

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn, random
    >>> model = nn.models.GPT2(10, features=8, num_layers=1, num_heads=2, max_length=6)
    >>> tokens = jnp.array([[1, 2, 3]])
    >>> model.apply(model.init(random.key(0), tokens), tokens).shape
    (1, 3, 10)
    """

    vocab_size: int = 50257
    features: int = 768
    num_layers: int = 12
    num_heads: int = 12
    max_length: int = 1024
    dropout_rate: float = 0.1
    decode: bool = False

    names: ClassVar[NameMap] = NameMap(
        embed("wte", "wte"),
        embed("wpe", "wpe"),
        norm("h.{i}.ln_1", "block_{i}/norm1"),
        dense(
            "h.{i}.attn.c_attn",
            *(f"block_{{i}}/attention/{n}" for n in ("query", "key", "value")),
            layout="matrix",
        ),
        dense("h.{i}.attn.c_proj", "block_{i}/attention/out", inputs=2, layout="matrix"),
        norm("h.{i}.ln_2", "block_{i}/norm2"),
        dense("h.{i}.mlp.c_fc", "block_{i}/fc", layout="matrix"),
        dense("h.{i}.mlp.c_proj", "block_{i}/proj", layout="matrix"),
        norm("ln_f", "norm"),
        prefixes=("transformer.", ""),
        ignored=("lm_head.weight", "h.*.attn.bias", "h.*.attn.masked_bias"),
    )

    def example(self) -> tuple[Any, ...]:
        """Inputs of the right type, for `init`."""
        return (jnp.zeros((1, 4), jnp.int32),)

    def __call__(self, tokens: Array, positions: Array | None = None) -> Array:
        """`positions` (batch, length), by default 0, 1, 2, ..."""
        check_length(self, tokens, self.max_length)
        positions = token_positions(self, tokens, positions)
        table = Embed(self.vocab_size, self.features, embedding_init=_init, name="wte")
        places = Embed(self.max_length, self.features, embedding_init=_init, name="wpe")
        x = Dropout(self.dropout_rate)(table(tokens) + places(positions))
        for i in range(self.num_layers):
            block = GPT2Block(self.num_heads, self.dropout_rate, self.decode, name=f"block_{i}")
            x = block(x, positions)
        return table.attend(LayerNorm(1e-5, name="norm")(x))
