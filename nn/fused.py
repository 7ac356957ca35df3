"""Attention that never holds all scores: blocks of queries against blocks of keys.

For a block of queries the blocks of keys are taken one after another; a running maximum and sum
make the softmax exact. Only the output and the logarithm of every query's sum are kept for the
backward pass, which computes the scores of each block again. Memory grows with the length, not
with its square; blocks that no query may see are not computed.

Milakov and Gimelshein 2018, https://arxiv.org/abs/1805.02867; Rabe and Staats 2021,
https://arxiv.org/abs/2112.05682; Dao et al. 2022, https://arxiv.org/abs/2205.14135.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import Array, lax

BLOCK = 256  # queries and keys at a time
_LOW = -1e30  # a maximum of nothing; finite, so that no difference is NaN


class _Limits(NamedTuple):
    """What queries see, as far as it is known while tracing."""

    causal: bool
    window: tuple[int, int] | None
    queries: int
    keys: int
    block: int

    def range(self, q: Any) -> tuple[Any, Any]:
        """The first and the last but one block of keys that the block `q` of queries may see."""
        lo, hi = 0, -(-self.keys // self.block)
        if self.causal:
            hi = jnp.minimum(hi, q + 1)
        if self.window is not None:
            before, after = self.window
            lo = jnp.maximum(lo, (q * self.block - before) // self.block)
            hi = jnp.minimum(hi, ((q + 1) * self.block - 1 + after) // self.block + 1)
        return lo, hi

    def seen(self, q: Any, k: Any) -> Array:
        """Which keys of a block which queries see by their places: (block, block)."""
        shape = (self.block, self.block)
        query = q * self.block + lax.broadcasted_iota(jnp.int32, shape, 0)
        key = k * self.block + lax.broadcasted_iota(jnp.int32, shape, 1)
        seen = key < self.keys
        if self.causal:
            seen = seen & (key <= query)
        if self.window is not None:
            before, after = self.window
            seen = seen & (query <= key + before) & (query >= key - after)
        return seen


def fused_attention(
    query: Array,
    key: Array,
    value: Array,
    mask: Any = None,
    *,
    scale: float | None = None,
    is_causal: bool = False,
    local_window_size: tuple[int, int] | None = None,
    precision: Any = None,
    block: int = BLOCK,
) -> Array:
    """Dot-product attention ``(..., q, heads, depth)`` in memory proportional to the length.

    Args:
      query, key, value: ``(..., length, heads, depth)``; the heads of the query are a multiple of
        those of key and value.
      mask: True where a query may see a key, broadcasts to ``(..., heads, q, k)``.
      scale: of the scores, 1 / √d by default.
      is_causal, local_window_size: as for `dot_product_attention`.
      block: queries, and keys, at a time.

    A query that sees no key gets the mean of all values, as from `dot_product_attention`.
    """
    *batch, length, heads, depth = query.shape
    keys, shared = key.shape[-3:-1]
    block = min(block, max(length, keys, 1))
    limits = _Limits(is_causal, local_window_size, length, keys, block)
    rows = math.prod(batch)
    query = query * (1 / math.sqrt(depth) if scale is None else scale)
    q = query.reshape(rows, length, shared, heads // shared, depth)
    k, v = (x.reshape(rows, keys, shared, x.shape[-1]) for x in (key, value))
    if mask is not None:
        mask = _mask(mask, tuple(batch), rows, shared, block)
    q, k, v = _padded(q, block), _padded(k, block), _padded(v, block)
    out, sums = _attend(limits, precision, q, k, v, mask)
    mean = v.sum(1, keepdims=True) / max(keys, 1)
    blind = (sums <= _LOW / 2)[..., None]
    out = jnp.where(blind, mean[:, :, :, None], out)
    return out[:, :length].reshape(*batch, length, heads, value.shape[-1]).astype(query.dtype)


def _padded(x: Array, block: int) -> Array:
    extra = -x.shape[1] % block
    return jnp.pad(x, ((0, 0), (0, extra)) + ((0, 0),) * (x.ndim - 2)) if extra else x


def _mask(mask: Any, batch: tuple[int, ...], rows: int, shared: int, block: int) -> Array:
    """A mask as (rows or 1, shared or 1, groups or 1, q or 1, k or 1), padded to whole blocks."""
    mask = jnp.asarray(mask)
    *lead, heads, q, k = (1,) * (len(batch) + 3 - mask.ndim) + mask.shape
    if math.prod(lead) != 1:
        mask = jnp.broadcast_to(mask, (*batch, heads, q, k))
    split = (1, 1) if heads == 1 else (shared, heads // shared)
    mask = mask.reshape(-1, *split, q, k).astype(bool)
    pads = [(0, 0)] * 3 + [(0, 0 if n == 1 else -n % block) for n in (q, k)]
    return jnp.pad(mask, pads)


def _part(x: Array, i: Any, block: int, axis: int = 1) -> Array:
    return lax.dynamic_slice_in_dim(x, i * block, block, axis)


def _seen(limits: _Limits, mask: Array | None, q: Any, k: Any) -> Array:
    seen = limits.seen(q, k)[None, None, None]
    if mask is None:
        return seen
    for axis, i in ((3, q), (4, k)):
        mask = mask if mask.shape[axis] == 1 else _part(mask, i, limits.block, axis)
    return seen & mask


def _scores(limits: _Limits, precision: Any, mask: Any, q: Any, qi: Any, k: Any, ki: Any) -> Any:
    """Scores (rows, shared, groups, q, k) in float32 of one block, and where they count."""
    scores = jnp.einsum(
        "bqhgd,bkhd->bhgqk", q, k, precision=precision, preferred_element_type=jnp.float32
    )
    return scores, _seen(limits, mask, qi, ki)


@functools.partial(jaxcore.custom_vjp, nondiff_argnums=(0, 1))
def _attend(limits: Any, precision: Any, q: Any, k: Any, v: Any, mask: Any) -> tuple[Any, Any]:
    """The means (rows, q, shared, groups, depth) in float32, and each query's logsumexp."""
    block = limits.block

    def of_block(_: Any, i: Any) -> Any:
        query = _part(q, i, block)
        rows, _, shared, groups, _ = query.shape

        def add(j: Any, state: Any) -> Any:
            most, total, mean = state
            key, value = _part(k, j, block), _part(v, j, block)
            scores, seen = _scores(limits, precision, mask, query, i, key, j)
            higher = jnp.maximum(most, jnp.where(seen, scores, _LOW).max(-1))
            weights = jnp.where(seen, jnp.exp(scores - higher[..., None]), 0.0)
            fade = jnp.exp(most - higher)
            new = jnp.einsum(
                "bhgqk,bkhd->bhgqd",
                weights.astype(v.dtype),
                value,
                precision=precision,
                preferred_element_type=jnp.float32,
            )
            return higher, total * fade + weights.sum(-1), mean * fade[..., None] + new

        shape = (rows, shared, groups, block)
        start = (
            jnp.full(shape, _LOW, jnp.float32),
            jnp.zeros(shape, jnp.float32),
            jnp.zeros((*shape, v.shape[-1]), jnp.float32),
        )
        first, end = limits.range(i)
        most, total, mean = lax.fori_loop(first, end, add, start)
        some = total > 0
        out = mean / jnp.where(some, total, 1.0)[..., None]
        sums = jnp.where(some, most + jnp.log(jnp.where(some, total, 1.0)), _LOW)
        return None, (jnp.moveaxis(out, 3, 1), jnp.moveaxis(sums, 3, 1))

    _, (out, sums) = lax.scan(of_block, None, jnp.arange(q.shape[1] // block))
    return _joined(out), _joined(sums)


def _joined(blocks: Array) -> Array:
    """(blocks, rows, block, ...) as (rows, length, ...)."""
    moved = jnp.moveaxis(blocks, 0, 1)
    return moved.reshape(moved.shape[0], -1, *moved.shape[3:])


def _forward(limits: Any, precision: Any, q: Any, k: Any, v: Any, mask: Any) -> Any:
    out, sums = _attend(limits, precision, q, k, v, mask)
    return (out, sums), (q, k, v, mask, out, sums)


def _backward(limits: Any, precision: Any, kept: Any, cotangents: Any) -> Any:
    """The gradients of queries, keys and values, from scores that are computed again.

    With weights ``p`` and ``dp = dout · v``, the scores get ``ds = p (dp - Σ p dp)``, and
    ``Σ p dp`` is ``out · dout``.
    """
    q, k, v, mask, out, sums = kept
    dout, _ = cotangents  # of the sums nothing is returned to the caller
    block = limits.block
    inner = (out * dout).sum(-1)
    dtypes = {"precision": precision, "preferred_element_type": jnp.float32}

    def of_block(state: Any, i: Any) -> Any:
        query, given = _part(q, i, block), _part(dout, i, block)
        total, mean = (jnp.moveaxis(_part(x, i, block), 1, 3)[..., None] for x in (sums, inner))

        def add(j: Any, state: Any) -> Any:
            dquery, dk, dv = state
            key, value = _part(k, j, block), _part(v, j, block)
            scores, seen = _scores(limits, precision, mask, query, i, key, j)
            weights = jnp.where(seen, jnp.exp(scores - total), 0.0)
            dweights = jnp.einsum("bqhgd,bkhd->bhgqk", given, value, **dtypes)
            dscores = (weights * (dweights - mean)).astype(q.dtype)
            dvalue = jnp.einsum("bhgqk,bqhgd->bkhd", weights, given, **dtypes)
            dkey = jnp.einsum("bhgqk,bqhgd->bkhd", dscores, query, **dtypes)
            dquery = dquery + jnp.einsum("bhgqk,bkhd->bqhgd", dscores, key, **dtypes)
            return dquery, _added(dk, dkey, j, block), _added(dv, dvalue, j, block)

        dquery = jnp.zeros(query.shape, jnp.float32)
        first, end = limits.range(i)
        dquery, *state = lax.fori_loop(first, end, add, (dquery, *state))
        return tuple(state), dquery

    start = (jnp.zeros(k.shape, jnp.float32), jnp.zeros(v.shape, jnp.float32))
    (dk, dv), dq = lax.scan(of_block, start, jnp.arange(q.shape[1] // block))
    return _joined(dq).astype(q.dtype), dk.astype(k.dtype), dv.astype(v.dtype), None


def _added(x: Array, new: Array, i: Any, block: int) -> Array:
    return lax.dynamic_update_slice_in_dim(x, _part(x, i, block) + new, i * block, 1)


_attend.defvjp(_forward, _backward)
