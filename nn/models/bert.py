"""BERT, with Hugging Face's weights; sentence embeddings as sentence-transformers makes them.

Devlin et al. 2018, https://arxiv.org/abs/1810.04805; Reimers and Gurevych 2019,
https://arxiv.org/abs/1908.10084
"""

from __future__ import annotations

from typing import Any, ClassVar

import jaxcore.numpy as jnp
from jaxcore import Array

from .. import initializers
from ..activations import gelu
from ..attention import MultiHeadAttention
from ..errors import InputError, where
from ..linear import Dense, Embed
from ..module import Module
from ..normalization import LayerNorm
from ..stochastic import Dropout
from ..weights import NameMap, dense, embed, norm

_init = initializers.normal(0.02)


class BertLayer(Module):
    """Attention and MLP, each with a norm after its sum: ``(batch, length, features)``."""

    num_heads: int
    mlp_features: int
    epsilon: float
    dropout_rate: float

    def __call__(self, x: Array, mask: Array | None) -> Array:
        y = MultiHeadAttention(
            self.num_heads,
            dropout_rate=self.dropout_rate,
            broadcast_dropout=False,
            kernel_init=_init,
            name="attention",
        )(x, mask=mask)
        y = Dropout(self.dropout_rate)(y)
        x = LayerNorm(self.epsilon, name="attention_norm")(x + y)
        y = Dense(self.mlp_features, kernel_init=_init, name="intermediate")(x)
        y = Dense(x.shape[-1], kernel_init=_init, name="output")(gelu(y, approximate=False))
        return LayerNorm(self.epsilon, name="output_norm")(x + Dropout(self.dropout_rate)(y))


class Bert(Module):
    """Tokens ``(batch, length)`` to hidden states and to those of the first token, pooled.

    Args:
      vocab_size, features, num_layers, num_heads, mlp_features, max_length, epsilon: as in
        Hugging Face's ``config.json``.
      dropout_rate: of attention weights and of all that is added; needs the stream ``dropout``.

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn, random
    >>> model = nn.models.Bert(30, features=8, num_layers=1, num_heads=2, mlp_features=16)
    >>> tokens = jnp.array([[2, 7, 3, 0]])
    >>> variables = model.init(random.key(0), tokens)
    >>> model.apply(variables, tokens, tokens != 0, method="embed").shape
    (1, 8)
    """

    vocab_size: int = 30522
    features: int = 768
    num_layers: int = 12
    num_heads: int = 12
    mlp_features: int = 3072
    max_length: int = 512
    num_types: int = 2
    epsilon: float = 1e-12
    dropout_rate: float = 0.1

    names: ClassVar[NameMap] = NameMap(
        embed("embeddings.word_embeddings", "word_embeddings"),
        embed("embeddings.position_embeddings", "position_embeddings"),
        embed("embeddings.token_type_embeddings", "token_type_embeddings"),
        norm("embeddings.LayerNorm", "embeddings_norm"),
        *(
            dense(f"encoder.layer.{{i}}.attention.self.{n}", f"layer_{{i}}/attention/{n}")
            for n in ("query", "key", "value")
        ),
        dense("encoder.layer.{i}.attention.output.dense", "layer_{i}/attention/out", inputs=2),
        norm("encoder.layer.{i}.attention.output.LayerNorm", "layer_{i}/attention_norm"),
        dense("encoder.layer.{i}.intermediate.dense", "layer_{i}/intermediate"),
        dense("encoder.layer.{i}.output.dense", "layer_{i}/output"),
        norm("encoder.layer.{i}.output.LayerNorm", "layer_{i}/output_norm"),
        dense("pooler.dense", "pooler"),
        prefixes=("", "bert."),
        ignored=("embeddings.position_ids", "cls.*"),
    )

    def example(self) -> tuple[Any, ...]:
        """Inputs of the right type, for `init`."""
        return (jnp.zeros((1, 4), jnp.int32),)

    def __call__(
        self, tokens: Array, mask: Array | None = None, types: Array | None = None
    ) -> tuple[Array, Array]:
        """`mask` (batch, length) is True at real tokens; `types` says which of two sentences."""
        length = tokens.shape[-1]
        if length > self.max_length:
            raise InputError(
                f"{where(self.path, 'Bert')}: {length} tokens. Expected at most {self.max_length}; "
                "cut the text."
            )
        types = jnp.zeros_like(tokens) if types is None else types
        table = lambda size, name: Embed(size, self.features, embedding_init=_init, name=name)
        x = table(self.vocab_size, "word_embeddings")(tokens)
        x = x + table(self.num_types, "token_type_embeddings")(types)
        x = x + table(self.max_length, "position_embeddings")(jnp.arange(length)[None])
        x = LayerNorm(self.epsilon, name="embeddings_norm")(x)
        x = Dropout(self.dropout_rate, name="dropout")(x)
        seen = None if mask is None else mask.astype(bool)[:, None, None, :]
        for i in range(self.num_layers):
            layer = BertLayer(
                self.num_heads,
                self.mlp_features,
                self.epsilon,
                self.dropout_rate,
                name=f"layer_{i}",
            )
            x = layer(x, seen)
        return x, jnp.tanh(Dense(self.features, kernel_init=_init, name="pooler")(x[:, 0]))

    def embed(self, tokens: Array, mask: Array, normalize: bool = True) -> Array:
        """Sentence embeddings ``(batch, features)``: the mean over real tokens, of length 1.

        With ``normalize=False`` the mean as it is, as a classifier's head wants it.
        """
        hidden, _ = self(tokens, mask)
        hidden = hidden.astype(jnp.promote_types(hidden.dtype, jnp.float32))
        weights = mask.astype(hidden.dtype)[..., None]
        mean = (hidden * weights).sum(-2) / jnp.maximum(weights.sum(-2), 1e-9)
        if not normalize:
            return mean
        squares = jnp.square(mean).sum(-1, keepdims=True)
        return mean / jnp.sqrt(jnp.maximum(squares, 1e-24))  # 0 for a row without tokens


def minilm_l6() -> Bert:
    """``sentence-transformers/all-MiniLM-L6-v2``: 22.7 million parameters."""
    return Bert(features=384, num_layers=6, mlp_features=1536)
