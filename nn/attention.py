"""Multi-head attention, with Flax linen's parameters; the function is in `dot_product`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jaxcore.numpy as jnp
from jaxcore import Array, lax

from . import initializers
from .dot_product import (
    combine_masks,
    dot_product_attention,
    dot_product_attention_weights,
)
from .errors import InputError, where
from .linear import DenseGeneral, need_rank
from .module import Module
from .normalization import LayerNorm


class MultiHeadAttention(Module):
    """Multi-head attention: ``(..., q, in) -> (..., q, out_features)``.

    Called with one input it attends to itself, with two or three to keys (and values) of another.

    Parameters: ``query``, ``key``, ``value`` (`DenseGeneral`, kernel ``(in, heads, depth)``),
    ``out`` (kernel ``(heads, depth, out_features)``); with `normalize_qk` also ``query_ln`` and
    ``key_ln``. With `decode`, the collection ``cache`` holds keys and values of the positions so
    far: initialise with an input of the full length, then feed one or more positions at a call.

    Args:
      num_heads: heads of the queries.
      qkv_features: depth of all heads together; by default the input's width.
      out_features: by default the input's width.
      num_kv_heads: fewer heads for keys and values, each shared by a group of query heads
        (Ainslie et al. 2023, https://arxiv.org/abs/2305.13245).
      dropout_rate: of the attention weights; needs the stream ``dropout`` in training.
      normalize_qk: layer norm of queries and keys (Dehghani et al. 2023,
        https://arxiv.org/abs/2302.05442).

    Vaswani et al. 2017, https://arxiv.org/abs/1706.03762
    """

    num_heads: int
    dtype: Any = None
    param_dtype: Any = jnp.float32
    qkv_features: int | None = None
    out_features: int | None = None
    broadcast_dropout: bool = True
    dropout_rate: float = 0.0
    deterministic: bool | None = None
    precision: Any = None
    kernel_init: Callable[..., Any] = initializers.lecun_normal()
    out_kernel_init: Callable[..., Any] | None = None
    bias_init: Callable[..., Any] = initializers.zeros
    out_bias_init: Callable[..., Any] | None = None
    use_bias: bool = True
    attention_fn: Callable[..., Any] = dot_product_attention
    decode: bool = False
    normalize_qk: bool = False
    num_kv_heads: int | None = None

    def __call__(
        self,
        inputs_q: Array,
        inputs_k: Array | None = None,
        inputs_v: Array | None = None,
        *,
        mask: Array | None = None,
        deterministic: bool | None = None,
        dropout_rng: Any = None,
        sow_weights: bool = False,
    ) -> Array:
        inputs_q = need_rank(self, inputs_q, 2, "(..., length, features)")
        if inputs_k is None:
            if inputs_v is not None:
                raise InputError(
                    f"{where(self.path, type(self).__name__)}: values without keys. Pass the array "
                    "as inputs_k to use it for both."
                )
            inputs_k = inputs_q
        inputs_v = inputs_k if inputs_v is None else inputs_v
        width = self.qkv_features or inputs_q.shape[-1]
        kv_heads = self.num_kv_heads or self.num_heads
        if width % self.num_heads or self.num_heads % kv_heads:
            raise InputError(
                f"{where(self.path, type(self).__name__)}: qkv_features={width}, num_heads="
                f"{self.num_heads}, num_kv_heads={kv_heads}. Expected num_heads to divide "
                "qkv_features, and num_kv_heads to divide num_heads."
            )
        depth = width // self.num_heads
        query = self._project("query", self.num_heads, depth)(inputs_q)
        key = self._project("key", kv_heads, depth)(inputs_k)
        value = self._project("value", kv_heads, depth)(inputs_v)
        if self.normalize_qk:
            query, key = self._norm("query_ln")(query), self._norm("key_ln")(key)
        if self.decode:
            key, value, mask = self._cached(query, key, value, mask)
        if kv_heads != self.num_heads and self.attention_fn is not dot_product_attention:
            key, value = (jnp.repeat(v, self.num_heads // kv_heads, axis=-2) for v in (key, value))
        options = self._dropout_options(deterministic, dropout_rng)
        if sow_weights:
            weights = dot_product_attention_weights(
                query, key, mask=mask, dtype=self.compute_dtype, **options
            )
            self.sow("intermediates", "attention_weights", weights)
        x = self.attention_fn(query, key, value, mask=mask, dtype=self.compute_dtype, **options)
        return DenseGeneral(
            self.out_features or inputs_q.shape[-1],
            axis=(-2, -1),
            use_bias=self.use_bias,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            precision=self.precision,
            kernel_init=self.out_kernel_init or self.kernel_init,
            bias_init=self.out_bias_init or self.bias_init,
            name="out",
        )(x)

    def _project(self, name: str, heads: int, depth: int) -> DenseGeneral:
        return DenseGeneral(
            (heads, depth),
            use_bias=self.use_bias,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            precision=self.precision,
            kernel_init=self.kernel_init,
            bias_init=self.bias_init,
            name=name,
        )

    def _norm(self, name: str) -> LayerNorm:
        return LayerNorm(use_bias=False, dtype=self.dtype, param_dtype=self.param_dtype, name=name)

    def _dropout_options(self, deterministic: bool | None, key: Any) -> dict[str, Any]:
        if deterministic is None:
            deterministic = self.deterministic
        if deterministic is None:
            deterministic = not self.training
        options: dict[str, Any] = {"deterministic": deterministic, "precision": self.precision}
        if self.dropout_rate > 0.0 and not deterministic:
            options["dropout_rng"] = self.make_rng("dropout") if key is None else key
        return {
            **options,
            "dropout_rate": self.dropout_rate,
            "broadcast_dropout": self.broadcast_dropout,
        }

    def _cached(self, query: Array, key: Array, value: Array, mask: Any) -> tuple[Any, Any, Any]:
        """Keys and values of all positions so far, and the mask that hides those still empty."""
        ready = self.has_variable("cache", "cached_key")
        keys = self.variable("cache", "cached_key", jnp.zeros, key.shape, key.dtype)
        values = self.variable("cache", "cached_value", jnp.zeros, value.shape, value.dtype)
        index = self.variable("cache", "cache_index", jnp.zeros, (), jnp.int32)
        if not ready:
            return key, value, mask
        *batch, length, _, _ = keys.value.shape
        new = key.shape[-3]
        if key.shape[:-3] != tuple(batch) or new > length:
            raise InputError(
                f"{where(self.path, type(self).__name__)}: the cache has shape {keys.value.shape} "
                f"and the new keys {key.shape}. Expected the same batch and at most {length} new "
                "positions; initialise with the batch and the full length you will decode."
            )
        start = index.value
        place = (*(jnp.zeros_like(start),) * len(batch), start, *(jnp.zeros_like(start),) * 2)
        key = keys.value = lax.dynamic_update_slice(keys.value, key.astype(keys.value.dtype), place)
        value = values.value = lax.dynamic_update_slice(
            values.value, value.astype(values.value.dtype), place
        )
        index.value = start + new
        seen = jnp.arange(length)[None, :] <= start + jnp.arange(new)[:, None]
        seen = jnp.broadcast_to(seen, (*batch, 1, new, length))
        return key, value, combine_masks(mask, seen, dtype=bool)


#: Linen's name of `MultiHeadAttention`.
MultiHeadDotProductAttention = MultiHeadAttention
