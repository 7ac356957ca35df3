"""Multi-head attention, with Flax linen's parameters; the function is in `dot_product`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jaxcore.numpy as jnp
from jaxcore import Array, lax, vmap

from . import initializers
from .dot_product import (
    both_masks,
    combine_masks,
    dot_product_attention,
    dot_product_attention_weights,
    places_mask,
)
from .errors import InputError, where
from .linear import DenseGeneral, need_rank
from .module import Module
from .normalization import LayerNorm
from .positions import rotary
from .running import Variable


class MultiHeadAttention(Module):
    """Multi-head attention: ``(..., q, in) -> (..., q, out_features)``.

    Called with one input it attends to itself, with two or three to keys (and values) of another.

    Parameters: ``query``, ``key``, ``value`` (`DenseGeneral`, kernel ``(in, heads, depth)``),
    ``out`` (kernel ``(heads, depth, out_features)``); with `normalize_qk` also ``query_ln`` and
    ``key_ln``. With `decode`, the collection ``cache`` holds keys and values of the positions so
    far: initialise with an input of the full length, then feed one or more positions at a call.
    They follow those before; or `positions` (..., q) says where each row's are, as far as rows
    differ in length.

    Args:
      num_heads: heads of the queries.
      qkv_features: depth of all heads together; by default the input's width.
      out_features: by default the input's width.
      num_kv_heads: fewer heads for keys and values, each shared by a group of query heads
        (Ainslie et al. 2023, https://arxiv.org/abs/2305.13245).
      dropout_rate: of the attention weights; needs the stream ``dropout`` in training.
      normalize_qk: layer norm of queries and keys (Dehghani et al. 2023,
        https://arxiv.org/abs/2302.05442).
      is_causal: a query sees no later keys.
      local_window_size: how many keys before and after its own place a query sees.
      rotary_base: turn queries and keys by their positions, see `rotary`.
      rotary_options: further keywords for `rotary`.

    PyTorch's ``MultiheadAttention(e, h)`` is ``MultiHeadAttention(h)``: its ``in_proj_weight`` are
    our three kernels, transposed and one below the other; its masks are True where ours are False.

    Vaswani et al. 2017, https://arxiv.org/abs/1706.03762

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn, random
    >>> layer = nn.MultiHeadAttention(4, num_kv_heads=2, is_causal=True)
    >>> variables = layer.init(random.key(0), jnp.ones((1, 3, 8)))
    >>> variables["params"]["key"]["kernel"].shape
    (8, 2, 2)
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
    is_causal: bool = False
    local_window_size: int | tuple[int, int] | None = None
    rotary_base: float | None = None
    rotary_options: dict[str, Any] | None = None

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
        bias: Array | None = None,
        positions: Array | None = None,
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
        cache = self._cache(key, value) if self.decode else None
        explicit = positions is not None
        if cache is not None and positions is None:
            positions = cache.place.value + jnp.arange(query.shape[-3], dtype=jnp.int32)
        if self.rotary_base is not None:
            options = {"base": self.rotary_base, **(self.rotary_options or {})}
            query, key = (rotary(x, positions, **options) for x in (query, key))
        limits: dict[str, Any] = {}
        if cache is not None:
            key, value = self._stored(cache, key, value, positions, explicit)
            mask = self._seen(mask, positions, key.shape)
        else:
            if self.is_causal:
                limits["is_causal"] = True
            if self.local_window_size is not None:
                limits["local_window_size"] = self.local_window_size
        if kv_heads != self.num_heads and self.attention_fn is not dot_product_attention:
            key, value = (jnp.repeat(v, self.num_heads // kv_heads, axis=-2) for v in (key, value))
        options = self._dropout_options(deterministic, dropout_rng)
        if bias is not None:
            options["bias"] = bias
        if sow_weights:
            self._sow_weights(query, key, mask, limits, options)
        x = self.attention_fn(
            query, key, value, mask=mask, dtype=self.compute_dtype, **limits, **options
        )
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

    def _sow_weights(self, query: Any, key: Any, mask: Any, limits: Any, options: Any) -> None:
        places = places_mask(
            (query.shape[-3], key.shape[-3]),
            limits.get("is_causal", False),
            limits.get("local_window_size"),
        )
        mask = places if mask is None else mask if places is None else both_masks(mask, places)
        weights = dot_product_attention_weights(
            query, key, mask=mask, dtype=self.compute_dtype, **options
        )
        self.sow("intermediates", "attention_weights", weights)

    def _cache(self, key: Array, value: Array) -> _Cache | None:
        """The variables of the cache; None where they were made just now, of the full length."""
        ready = self.has_variable("cache", "cached_key")
        cache = _Cache(
            self.variable("cache", "cached_key", jnp.zeros, key.shape, key.dtype),
            self.variable("cache", "cached_value", jnp.zeros, value.shape, value.dtype),
            self.variable("cache", "cache_index", jnp.zeros, (), jnp.int32),
        )
        if not ready:
            return None
        *batch, length, _, _ = cache.key.value.shape
        if key.shape[:-3] != tuple(batch) or key.shape[-3] > length:
            raise InputError(
                f"{where(self.path, type(self).__name__)}: the cache has shape "
                f"{cache.key.value.shape} and the new keys {key.shape}. Expected the same batch "
                f"and at most {length} new positions; initialise with the batch and the full "
                "length you will decode."
            )
        return cache

    def _stored(
        self, cache: _Cache, key: Array, value: Array, positions: Any, explicit: bool
    ) -> tuple[Array, Array]:
        """Keys and values of all positions, after the new ones were put in their places."""
        batch = key.shape[:-3]
        if not explicit:
            start = cache.place.value
            cache.place.value = start + key.shape[-3]
        else:  # of each row
            start = jnp.broadcast_to(positions, (*batch, key.shape[-3]))[..., 0].reshape(-1)
        for variable, new in ((cache.key, key), (cache.value, value)):
            variable.value = _put(variable.value, new.astype(variable.value.dtype), start)
        return cache.key.value, cache.value.value

    def _seen(self, mask: Any, positions: Any, shape: tuple[int, ...]) -> Array:
        """The mask that hides positions that are still empty, or too far away."""
        query = positions[..., :, None]
        key = jnp.arange(shape[-3]).reshape((1,) * (query.ndim - 1) + (-1,))
        seen = key <= query
        if self.local_window_size is not None:
            window = self.local_window_size
            before = window if isinstance(window, int) else window[0]
            seen = jnp.logical_and(seen, key >= query - before)
        seen = jnp.broadcast_to(seen, (*shape[:-3], *seen.shape[-2:]))[..., None, :, :]
        return combine_masks(mask, seen, dtype=bool)  # type: ignore[return-value]


class _Cache(NamedTuple):
    key: Variable
    value: Variable
    place: Variable  # of the next position


def _put(stored: Array, new: Array, start: Any) -> Array:
    """`new` written into `stored` from the position `start`: one for all rows, or one of each."""
    zero = jnp.zeros((), jnp.int32)
    if jnp.ndim(start) == 0:
        place = (*(zero,) * (stored.ndim - 3), start.astype(jnp.int32), zero, zero)
        return lax.dynamic_update_slice(stored, new, place)
    rows = stored.reshape(-1, *stored.shape[-3:])
    put = lambda row, part, at: lax.dynamic_update_slice(row, part, (at, zero, zero))
    written = vmap(put)(rows, new.reshape(-1, *new.shape[-3:]), start.astype(jnp.int32))
    return written.reshape(stored.shape)


class SelfAttention(MultiHeadAttention):
    """`MultiHeadAttention` of one input to itself, as linen has it: the mask stands second.

    Parameters as there.

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn, random
    >>> layer, x = nn.SelfAttention(2), jnp.ones((1, 3, 4))
    >>> layer.apply(layer.init(random.key(0), x), x, nn.make_causal_mask(x[..., 0])).shape
    (1, 3, 4)
    """

    def __call__(  # type: ignore[override]
        self,
        inputs_q: Array,
        mask: Array | None = None,
        deterministic: bool | None = None,
        dropout_rng: Any = None,
        sow_weights: bool = False,
        **options: Any,
    ) -> Array:
        return super().__call__(
            inputs_q,
            mask=mask,
            deterministic=deterministic,
            dropout_rng=dropout_rng,
            sow_weights=sow_weights,
            **options,
        )


#: Linen's name of `MultiHeadAttention`.
MultiHeadDotProductAttention = MultiHeadAttention
