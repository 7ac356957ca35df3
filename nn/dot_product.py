"""Dot-product attention as a function, and masks.

Shapes: ``q`` queries, ``k`` keys and values, ``h`` heads, ``d`` depth of a head. Queries, keys
and values are ``(..., length, h, d)``; masks and biases broadcast to ``(..., h, q, k)``. Keys and
values may have fewer heads than queries, each shared by a group of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax

import jaxcore.numpy as jnp
from jaxcore import Array, lax, random

from .activations import logsumexp, softmax
from .dtypes import as_array, at_least_float32, promote
from .errors import InputError
from .fused import fused_attention


def dot_product_attention_weights(
    query: Any,
    key: Any,
    bias: Any = None,
    mask: Any = None,
    broadcast_dropout: bool = True,
    dropout_rng: Any = None,
    dropout_rate: float = 0.0,
    deterministic: bool = False,
    dtype: Any = None,
    precision: Any = None,
) -> Array:
    """``softmax(query · key / √d + bias)`` where `mask` is True: ``(..., h, q, k)``."""
    query, key = promote(dtype, query, key)
    weights = softmax(_scores(query, key, bias, mask, None, precision))
    return _dropped(weights, broadcast_dropout, dropout_rng, dropout_rate, deterministic)


def dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    bias: Any = None,
    mask: Any = None,
    broadcast_dropout: bool = True,
    dropout_rng: Any = None,
    dropout_rate: float = 0.0,
    deterministic: bool = False,
    dtype: Any = None,
    precision: Any = None,
    *,
    scale: Any = None,
    is_causal: bool = False,
    query_seq_lengths: Any = None,
    key_value_seq_lengths: Any = None,
    local_window_size: int | tuple[int, int] | None = None,
    implementation: str | None = None,
    return_residual: bool = False,
) -> Any:
    """Means of the values, weighted by how well their keys match: ``(..., q, h, d)``.

    It takes what Flax linen's function of that name takes, and, by keyword, what JAX's does.

    Vaswani et al. 2017, https://arxiv.org/abs/1706.03762; groups of heads: Ainslie et al. 2023,
    https://arxiv.org/abs/2305.13245; windows: Beltagy et al. 2020,
    https://arxiv.org/abs/2004.05150.

    Args:
      query, key, value: arrays; the heads of the query are a multiple of those of key and value.
      bias: added to the scores.
      mask: True where a query may see a key. A query that sees none gets the mean of all.
      broadcast_dropout: drop the same weights in all examples and heads.
      dropout_rng, dropout_rate, deterministic: dropout of the weights.
      dtype: compute dtype; the operands' common one by default. The softmax is in float32.
      precision: see `lax.dot_general`.
      scale: of the scores, 1 / √d by default.
      is_causal: let a query see no later keys.
      query_seq_lengths: integers (...): results of queries from there on are 0.
      key_value_seq_lengths: integers (...): keys from there on are not seen.
      local_window_size: how many keys before and after its own place a query sees.
      implementation: "xla" holds all scores at once; "fused" never does (see `fused`; dropout
        draws other numbers there); "cudnn" is JAX's call of cuDNN, for half precision on NVIDIA's
        GPUs. None takes "fused" for a million scores a head and more, else "xla".
      return_residual: also return logsumexp of the scores, ``(..., q, h)``, as a constant.

    Raises:
      ValueError: shapes that do not fit, or an unknown implementation.
    """
    if implementation == "cudnn":
        if dropout_rate != 0.0 and not deterministic:
            raise InputError("attention: cuDNN's implementation has no dropout here.")
        of_jax: Any = jax.nn.dot_product_attention
        return of_jax(
            *promote(dtype, query, key, value),
            bias,
            mask,
            scale=scale,
            is_causal=is_causal,
            query_seq_lengths=query_seq_lengths,
            key_value_seq_lengths=key_value_seq_lengths,
            local_window_size=local_window_size,
            implementation="cudnn",
            return_residual=return_residual,
        )
    if implementation not in (None, "xla", "fused"):
        raise InputError(
            f"Unsupported implementation option: {implementation!r}. Expected None, 'xla', 'fused' "
            "or 'cudnn'."
        )
    query, key, value = promote(dtype, query, key, value)
    if key.shape[:-1] != value.shape[:-1]:
        raise InputError(
            f"attention: the key has shape {key.shape} and the value {value.shape}. Expected "
            "equal batch, length and heads."
        )
    places = query.shape[-3], key.shape[-3]
    _groups(query, key)
    _need_key(dropout_rng, dropout_rate, deterministic)
    large = places[0] * places[1] >= _LARGE
    some = 0 not in query.shape and 0 not in key.shape
    if some and (implementation == "fused" or (implementation is None and large)):
        if key_value_seq_lengths is not None:
            real = _before(key_value_seq_lengths, places[1])[..., None, None, :]
            mask = real if mask is None else both_masks(mask, real)
        out, total = fused_attention(
            query,
            key,
            value,
            mask,
            bias=bias,
            scale=scale,
            is_causal=is_causal,
            local_window_size=_window(local_window_size),
            dropout_rng=None if deterministic else dropout_rng,
            dropout_rate=dropout_rate,
            broadcast_dropout=broadcast_dropout,
            precision=precision,
        )
        out = _only_real(out, query_seq_lengths)
        return (out, lax.stop_gradient(total.astype(key.dtype))) if return_residual else out
    seen = places_mask(places, is_causal, local_window_size)
    lengths = _lengths(places, query_seq_lengths, key_value_seq_lengths)
    for more in (seen, lengths):
        mask = more if mask is None else mask if more is None else both_masks(mask, more)
    scores = _scores(query, key, bias, mask, scale, precision)
    weights = softmax(scores)
    weights = _dropped(weights, broadcast_dropout, dropout_rng, dropout_rate, deterministic)
    out = _mix(weights, value, precision)
    out = _only_real(out, query_seq_lengths)
    if not return_residual:
        return out
    total = logsumexp(at_least_float32(scores), axis=-1)
    return out, lax.stop_gradient(jnp.swapaxes(total, -1, -2).astype(key.dtype))


#: From so many scores a head on, attention is computed in blocks.
_LARGE = 1 << 20


# --- the steps ------------------------------------------------------------------------------------


def _groups(query: Any, key: Any) -> int:
    """How many heads of the query share one of the key."""
    heads, shared = query.shape[-2], key.shape[-2]
    if query.shape[-1] != key.shape[-1] or heads % shared:
        raise InputError(
            f"attention: the query has shape {query.shape} and the key {key.shape}. Expected "
            "(..., length, heads, depth) with equal depth, and the number of query heads a "
            "multiple of key/value heads."
        )
    return heads // shared


def _scores(query: Any, key: Any, bias: Any, mask: Any, scale: Any, precision: Any) -> Any:
    groups = _groups(query, key)
    query = query / math.sqrt(query.shape[-1]) if scale is None else query * scale
    if groups == 1:
        scores = jnp.einsum("...qhd,...khd->...hqk", query, key, precision=precision)
    else:
        grouped = query.reshape(*query.shape[:-2], key.shape[-2], groups, query.shape[-1])
        scores = jnp.einsum("...qhgd,...khd->...hgqk", grouped, key, precision=precision)
        scores = scores.reshape(*scores.shape[:-4], query.shape[-2], *scores.shape[-2:])
    if bias is not None:
        scores = (scores + _at_rank(bias, scores.ndim)).astype(scores.dtype)
    if mask is not None:  # a large number, not -inf: a row without any key is uniform, not NaN
        mask = _at_rank(mask, scores.ndim)
        largest = min(jnp.finfo(scores.dtype).max, jnp.finfo(jnp.float32).max)
        scores = jnp.where(mask, scores, jnp.asarray(-0.7 * float(largest), scores.dtype))
    return scores


def _mix(weights: Any, value: Any, precision: Any) -> Any:
    heads, shared = weights.shape[-3], value.shape[-2]
    if heads == shared:
        return jnp.einsum("...hqk,...khd->...qhd", weights, value, precision=precision)
    grouped = weights.reshape(*weights.shape[:-3], shared, heads // shared, *weights.shape[-2:])
    out = jnp.einsum("...hgqk,...khd->...qhgd", grouped, value, precision=precision)
    return out.reshape(*out.shape[:-3], heads, out.shape[-1])


def _dropped(weights: Any, broadcast: bool, key: Any, rate: float, deterministic: bool) -> Any:
    if deterministic or rate == 0.0:
        return weights
    _need_key(key, rate, deterministic)
    keep = 1.0 - rate
    # One draw for all examples and heads, as in linen, saves most of the random numbers.
    shape = (1,) * (weights.ndim - 2) + weights.shape[-2:] if broadcast else weights.shape
    return weights * (random.bernoulli(key, keep, shape).astype(weights.dtype) / keep)


def _need_key(key: Any, rate: float, deterministic: bool) -> None:
    if key is None and rate != 0.0 and not deterministic:
        raise InputError("attention: dropout_rate is not 0, and no dropout_rng was given.")


def _at_rank(x: Any, rank: int) -> Any:
    """`x` with leading axes of size 1 up to `rank`."""
    x = as_array(x)
    return x if x.ndim >= rank else x.reshape((1,) * (rank - x.ndim) + x.shape)


def both_masks(a: Any, b: Any) -> Any:
    """Pairs that two masks allow, whatever their ranks."""
    rank = max(jnp.ndim(a), jnp.ndim(b))
    return jnp.logical_and(_at_rank(a, rank), _at_rank(b, rank))


def places_mask(sizes: tuple[int, int], causal: bool, window: int | tuple[int, int] | None) -> Any:
    """Which keys a query sees by its place: ``(q, k)``, or None for all."""
    if not causal and window is None:
        return None
    q, k = (lax.broadcasted_iota(jnp.int32, sizes, axis) for axis in (0, 1))
    seen = k <= q if causal else None
    if window is not None:
        before, after = _window(window) or (0, 0)
        near = jnp.logical_and(q <= k + before, q >= k - after)
        seen = near if seen is None else jnp.logical_and(seen, near)
    return seen


def _window(window: int | tuple[int, int] | None) -> tuple[int, int] | None:
    return (window, window) if isinstance(window, int) else window


def _only_real(out: Any, lengths: Any) -> Any:
    """`out` with 0 for queries behind the ends of their sequences."""
    if lengths is None:
        return out
    return out * _before(lengths, out.shape[-3])[..., None, None].astype(out.dtype)


def _before(lengths: Any, size: int) -> Any:
    """True at the places before each of `lengths`: ``(..., size)``."""
    lengths = jnp.asarray(lengths)[..., None]
    places = lax.broadcasted_iota(jnp.int32, (*lengths.shape[:-1], size), lengths.ndim - 1)
    return places < lengths


def _lengths(sizes: tuple[int, int], queries: Any, keys: Any) -> Any:
    """Pairs of places before the ends of their sequences: ``(..., 1, q, k)``, or None for all."""
    if queries is None and keys is None:
        return None
    parts = []
    for lengths, size, axis in ((queries, sizes[0], -1), (keys, sizes[1], -2)):
        if lengths is not None:
            parts.append(jnp.expand_dims(_before(lengths, size), axis))
    both = parts[0] if len(parts) == 1 else jnp.logical_and(*parts)
    return both[..., None, :, :]


# --- masks ----------------------------------------------------------------------------------------


def make_attention_mask(
    query_input: Any,
    key_input: Any,
    pairwise_fn: Callable[[Any, Any], Any] = jnp.multiply,
    dtype: Any = jnp.float32,
) -> Array:
    """``pairwise_fn(query, key)`` for all pairs: ``(..., q), (..., k) -> (..., 1, q, k)``.

    Of two padding masks this is the pairs in which both tokens are real.
    """
    query_input, key_input = as_array(query_input), as_array(key_input)
    mask = pairwise_fn(query_input[..., :, None], key_input[..., None, :])
    return as_array(mask[..., None, :, :], dtype)


def make_causal_mask(x: Any, dtype: Any = jnp.float32) -> Array:
    """True where the key is not after the query: ``(..., length) -> (..., 1, length, length)``."""
    index = jnp.broadcast_to(jnp.arange(jnp.shape(x)[-1], dtype=jnp.int32), jnp.shape(x))
    return make_attention_mask(index, index, jnp.greater_equal, dtype)


def combine_masks(*masks: Any, dtype: Any = jnp.float32) -> Array | None:
    """Pairs that every mask allows; None stands for "all" and of nothing is None."""
    given = [m for m in masks if m is not None]
    if not given:
        return None
    if len({m.ndim for m in given}) > 1:
        raise InputError(
            f"combine_masks: the masks have shapes {[m.shape for m in given]}. Expected equal "
            "ranks, (..., heads, q, k); add axes with mask[None]."
        )
    mask = given[0]
    for other in given[1:]:
        mask = jnp.logical_and(mask, other)
    return mask.astype(dtype)
