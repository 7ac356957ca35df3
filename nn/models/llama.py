"""Llama, with Hugging Face's weights; Mistral, Qwen 2 without biases and SmolLM are of its form.

Touvron et al. 2023, https://arxiv.org/abs/2302.13971
"""

from __future__ import annotations

from typing import Any, ClassVar

import jaxcore.numpy as jnp
from jaxcore import Array

from .. import initializers
from ..activations import silu
from ..attention import MultiHeadAttention
from ..linear import Dense, Embed
from ..module import Module
from ..normalization import RMSNorm
from ..weights import NameMap, dense, embed, norm
from .language import check_length, token_positions

_init = initializers.normal(0.02)


class LlamaBlock(Module):
    """Causal attention with rotary positions, and a gated MLP: ``(batch, length, features)``.

    The MLP is ``down(silu(gate(x)) · up(x))``: Shazeer 2020, https://arxiv.org/abs/2002.05202
    """

    num_heads: int
    num_kv_heads: int
    head_features: int
    mlp_features: int
    epsilon: float
    rotary_base: float
    rotary_scaling: dict[str, float] | None = None
    sliding_window: int | None = None
    decode: bool = False

    def __call__(self, x: Array, positions: Array) -> Array:
        attention = MultiHeadAttention(
            self.num_heads,
            num_kv_heads=self.num_kv_heads,
            qkv_features=self.num_heads * self.head_features,
            use_bias=False,
            is_causal=True,
            local_window_size=None if self.sliding_window is None else (self.sliding_window - 1, 0),
            rotary_base=self.rotary_base,
            rotary_options={"scaling": self.rotary_scaling},
            decode=self.decode,
            kernel_init=_init,
            name="attention",
        )
        x = x + attention(RMSNorm(self.epsilon, name="norm1")(x), positions=positions)
        layer = lambda size, name: Dense(size, use_bias=False, kernel_init=_init, name=name)
        y = RMSNorm(self.epsilon, name="norm2")(x)
        y = silu(layer(self.mlp_features, "gate")(y)) * layer(self.mlp_features, "up")(y)
        return x + layer(x.shape[-1], "down")(y)


class Llama(Module):
    """Tokens ``(batch, length)`` to the logits of each next token ``(batch, length, vocab_size)``.

    Args:
      vocab_size, features, num_layers, num_heads, num_kv_heads, mlp_features, max_length,
        epsilon, rotary_base: as in Hugging Face's ``config.json``; the defaults are those of
        Llama 2 with 7 billion parameters.
      head_features: by default features / num_heads.
      rotary_scaling: Llama 3's ``rope_scaling``, see `rotary`.
      sliding_window: a query sees that many keys, itself the last (Mistral).
      tie_embeddings: the last layer is the table of tokens again.
      decode: keep keys and values in the collection ``cache``; `nn.generate` sets it.

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn, random
    >>> model = nn.models.Llama(10, 8, num_layers=1, num_heads=4, num_kv_heads=2, mlp_features=16)
    >>> tokens = jnp.array([[1, 2, 3]])
    >>> model.apply(model.init(random.key(0), tokens), tokens).shape
    (1, 3, 10)
    """

    vocab_size: int = 32000
    features: int = 4096
    num_layers: int = 32
    num_heads: int = 32
    num_kv_heads: int | None = None
    mlp_features: int = 11008
    max_length: int = 4096
    epsilon: float = 1e-5
    rotary_base: float = 10000.0
    head_features: int | None = None
    rotary_scaling: dict[str, float] | None = None
    sliding_window: int | None = None
    tie_embeddings: bool = False
    decode: bool = False

    names: ClassVar[NameMap] = NameMap(
        embed("model.embed_tokens", "embed_tokens"),
        *(
            dense(
                f"model.layers.{{i}}.self_attn.{n[0]}_proj",
                f"block_{{i}}/attention/{n}",
                bias=False,
            )
            for n in ("query", "key", "value")
        ),
        dense("model.layers.{i}.self_attn.o_proj", "block_{i}/attention/out", inputs=2, bias=False),
        *(
            dense(f"model.layers.{{i}}.mlp.{n}_proj", f"block_{{i}}/{n}", bias=False)
            for n in ("gate", "up", "down")
        ),
        norm("model.layers.{i}.input_layernorm", "block_{i}/norm1", bias=False),
        norm("model.layers.{i}.post_attention_layernorm", "block_{i}/norm2", bias=False),
        norm("model.norm", "norm", bias=False),
        dense("lm_head", "lm_head", bias=False),
        ignored=("model.layers.*.rotary_emb.inv_freq", "lm_head.weight"),
    )

    def example(self) -> tuple[Any, ...]:
        """Inputs of the right type, for `init`."""
        return (jnp.zeros((1, 4), jnp.int32),)

    def __call__(self, tokens: Array, positions: Array | None = None) -> Array:
        """`positions` (batch, length), by default 0, 1, 2, ..."""
        check_length(self, tokens, self.max_length)
        positions = token_positions(self, tokens, positions)
        table = Embed(self.vocab_size, self.features, embedding_init=_init, name="embed_tokens")
        x = table(tokens)
        for i in range(self.num_layers):
            block = LlamaBlock(
                self.num_heads,
                self.num_kv_heads or self.num_heads,
                self.head_features or self.features // self.num_heads,
                self.mlp_features,
                self.epsilon,
                self.rotary_base,
                self.rotary_scaling,
                self.sliding_window,
                self.decode,
                name=f"block_{i}",
            )
            x = block(x, positions)
        x = RMSNorm(self.epsilon, name="norm")(x)
        if self.tie_embeddings:
            return table.attend(x)
        return Dense(self.vocab_size, use_bias=False, kernel_init=_init, name="lm_head")(x)
