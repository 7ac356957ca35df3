"""Attention that never holds all scores: blocks of queries against blocks of keys.

For a block of queries the blocks of keys are taken one after another; a running maximum and sum
make the softmax exact. Only the output and the logarithm of every query's sum are kept for
derivatives, which compute the scores of each block again, and what dropout keeps of them, from a
key of the block's own. Memory grows with the length, not with its square; blocks that no query may
see are not computed.

Milakov and Gimelshein 2018, https://arxiv.org/abs/1805.02867; Rabe and Staats 2021,
https://arxiv.org/abs/2112.05682; Dao et al. 2022, https://arxiv.org/abs/2205.14135.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import Array, lax, random
from jaxcore.custom_derivatives import SymbolicZero, linear_call

BLOCK = 256  # queries and keys at a time
_LOW = -1e30  # a maximum of nothing; finite, so that no difference is NaN


class _Setting(NamedTuple):
    """What is known while tracing: what queries see by their places, sizes, options."""

    causal: bool
    window: tuple[int, int] | None
    queries: int
    keys: int
    block: int
    precision: Any
    rate: float  # of dropout
    broadcast: bool  # dropout of the same weights in all examples and heads

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

    def over_keys(self, q: Any, add: Callable[[Any, Any], Any], state: Any) -> Any:
        """``state = add(k, state)`` for every block `k` of keys that the block `q` may see."""
        first, end = self.range(q)
        if not self.causal and self.window is None:
            return lax.fori_loop(first, end, add, state)
        step = lambda now: (now[0] + 1, add(*now))
        most = -(-self.keys // self.block)
        start = (jnp.asarray(first, jnp.int32), state)
        return lax.while_loop(lambda now: now[0] < end, step, start, max_steps=most)[1]

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

    def einsum(self, subscripts: str, *operands: Any) -> Array:
        """Sums of products in float32."""
        return jnp.einsum(
            subscripts, *operands, precision=self.precision, preferred_element_type=jnp.float32
        )


class _Operands(NamedTuple):
    """Arrays by whole blocks; batch axes are one, heads are ``(shared, groups)``.

    `bias` and `mask` are ``(rows, shared, groups, q, k)``, each axis of full size or 1.
    """

    q: Array  # (rows, q, shared, groups, depth)
    k: Array  # (rows, k, shared, depth)
    v: Array
    bias: Array | None
    mask: Array | None
    dropout: Any  # a key, or None


def fused_attention(
    query: Array,
    key: Array,
    value: Array,
    mask: Any = None,
    *,
    bias: Any = None,
    scale: float | None = None,
    is_causal: bool = False,
    local_window_size: tuple[int, int] | None = None,
    dropout_rng: Any = None,
    dropout_rate: float = 0.0,
    broadcast_dropout: bool = True,
    precision: Any = None,
    block: int = BLOCK,
) -> tuple[Array, Array]:
    """Dot-product attention in memory proportional to the length, with derivatives of all orders.

    Args:
      query, key, value: ``(..., length, heads, depth)``; the heads of the query are a multiple of
        those of key and value.
      mask: True where a query may see a key, broadcasts to ``(..., heads, q, k)``.
      bias: added to the scores, broadcasts as the mask does.
      scale: of the scores, 1 / √d by default.
      is_causal, local_window_size: as for `dot_product_attention`.
      dropout_rng, dropout_rate, broadcast_dropout: dropout of the weights. What is dropped depends
        on the size of the blocks, and is not what `dot_product_attention` drops otherwise.
      block: queries, and keys, at a time.

    Returns:
      The means ``(..., q, heads, depth)``, and logsumexp of the scores ``(..., q, heads)``. A query
      that sees no key gets the mean of all values, as from `dot_product_attention`.
    """
    *batch, length, heads, depth = query.shape
    keys, shared = key.shape[-3:-1]
    block = min(block, max(length, keys, 1))
    rate = dropout_rate if dropout_rng is not None else 0.0
    setting = _Setting(
        is_causal, local_window_size, length, keys, block, precision, rate, broadcast_dropout
    )
    rows = math.prod(batch)
    query = query * (1 / math.sqrt(depth) if scale is None else scale)
    q = query.reshape(rows, length, shared, heads // shared, depth)
    k, v = (x.reshape(rows, keys, shared, x.shape[-1]) for x in (key, value))
    q, k, v = _padded(q, block), _padded(k, block), _padded(v, block)
    bias, mask = (_pairs(x, tuple(batch), rows, shared, block) for x in (bias, mask))
    mask = None if mask is None else mask.astype(bool)
    operands = _Operands(q, k, v, bias, mask, dropout_rng if rate else None)
    out, sums = _compiled(setting, *operands)
    blind = sums <= _LOW / 2
    mean = v.sum(1, keepdims=True) / max(keys, 1)
    out = jnp.where(blind[..., None], mean[:, :, :, None], out)
    out = out[:, :length].reshape(*batch, length, heads, value.shape[-1])
    return out.astype(query.dtype), sums[:, :length].reshape(*batch, length, heads)


def _padded(x: Array, block: int) -> Array:
    extra = -x.shape[1] % block
    return jnp.pad(x, ((0, 0), (0, extra)) + ((0, 0),) * (x.ndim - 2)) if extra else x


def _pairs(x: Any, batch: tuple[int, ...], rows: int, shared: int, block: int) -> Array | None:
    """A mask or bias as (rows or 1, shared or 1, groups or 1, q or 1, k or 1), in whole blocks."""
    if x is None:
        return None
    x = jnp.asarray(x)
    *lead, heads, q, k = (1,) * (len(batch) + 3 - x.ndim) + x.shape
    if math.prod(lead) != 1:
        x = jnp.broadcast_to(x, (*batch, heads, q, k))
    split = (1, 1) if heads == 1 else (shared, heads // shared)
    x = x.reshape(-1, *split, q, k)
    pads = [(0, 0)] * 3 + [(0, 0 if n == 1 else -n % block) for n in (q, k)]
    return jnp.pad(x, pads)


def _part(x: Array, i: Any, block: int, axis: int = 1) -> Array:
    return lax.dynamic_slice_in_dim(x, i * block, block, axis)


def _at(x: Array, i: Any, j: Any, block: int) -> Array:
    """The block (i, j) of what `_pairs` made."""
    for axis, n in ((3, i), (4, j)):
        x = x if x.shape[axis] == 1 else _part(x, n, block, axis)
    return x


def _scores(s: _Setting, x: _Operands, i: Any, j: Any, query: Array, key: Array) -> Any:
    """Scores (rows, shared, groups, q, k) in float32 of one block, and where they count."""
    scores = s.einsum("bqhgd,bkhd->bhgqk", query, key)
    if x.bias is not None:
        scores = scores + _at(x.bias, i, j, s.block)
    seen = s.seen(i, j)[None, None, None]
    return scores, seen if x.mask is None else seen & _at(x.mask, i, j, s.block)


def _dropped(s: _Setting, x: _Operands, i: Any, j: Any, weights: Array) -> Array:
    """What dropout leaves of a block's weights, or of tangents or cotangents of them."""
    if x.dropout is None:
        return weights
    keep = 1.0 - s.rate
    shape = (1, 1, 1, *weights.shape[3:]) if s.broadcast else weights.shape
    key = random.fold_in(random.fold_in(x.dropout, i), j)
    return weights * (random.bernoulli(key, keep, shape).astype(weights.dtype) / keep)


def _by_query(x: Array, i: Any, block: int) -> Array:
    """The block `i` of a number for every query, beside scores: (rows, shared, groups, q, 1)."""
    return jnp.moveaxis(_part(x, i, block), 1, 3)[..., None]


def _joined(blocks: Array) -> Array:
    """(blocks, rows, shared, groups, block, ...) as (rows, length, shared, groups, ...)."""
    moved = jnp.moveaxis(blocks, (0, 4), (1, 2))
    return moved.reshape(moved.shape[0], -1, *moved.shape[3:])


@functools.partial(jaxcore.custom_jvp, nondiff_argnums=(0,))
def _attend(
    s: _Setting, q: Any, k: Any, v: Any, bias: Any, mask: Any, dropout: Any
) -> tuple[Array, Array]:
    """The means (rows, q, shared, groups, depth) in float32, and each query's logsumexp."""
    x = _Operands(q, k, v, bias, mask, dropout)
    rows, _, shared, groups, _ = q.shape
    shape = (rows, shared, groups, s.block)

    def of_block(_: Any, i: Any) -> Any:
        query = _part(q, i, s.block)

        def add(j: Any, state: Any) -> Any:
            most, total, mean = state
            key, value = _part(k, j, s.block), _part(v, j, s.block)
            scores, seen = _scores(s, x, i, j, query, key)
            higher = jnp.maximum(most, jnp.where(seen, scores, _LOW).max(-1))
            weights = jnp.where(seen, jnp.exp(scores - higher[..., None]), 0.0)
            fade = jnp.exp(most - higher)
            kept = _dropped(s, x, i, j, weights).astype(v.dtype)
            new = s.einsum("bhgqk,bkhd->bhgqd", kept, value)
            return higher, total * fade + weights.sum(-1), mean * fade[..., None] + new

        start = (
            jnp.full(shape, _LOW, jnp.float32),
            jnp.zeros(shape, jnp.float32),
            jnp.zeros((*shape, v.shape[-1]), jnp.float32),
        )
        most, total, mean = s.over_keys(i, add, start)
        some = total > 0
        total = jnp.where(some, total, 1.0)
        return None, (mean / total[..., None], jnp.where(some, most + jnp.log(total), _LOW))

    _, (out, sums) = lax.scan(of_block, None, jnp.arange(q.shape[1] // s.block))
    return _joined(out), _joined(sums)


def _derivative(s: _Setting, primals: Any, tangents: Any) -> Any:
    out, sums = _attend(s, *primals)
    moving = {
        name: t
        for name, t in zip(("q", "k", "v", "bias"), tangents[:4], strict=True)
        if t is not None and not isinstance(t, SymbolicZero)
    }
    if not moving:
        return (out, sums), (jnp.zeros_like(out), jnp.zeros_like(sums))
    known = (_Operands(*primals), out, sums)
    forward = functools.partial(_forward, s)
    backward = functools.partial(_backward, s, tuple(moving))
    return (out, sums), linear_call(forward, backward, known, moving)


_attend.defjvp(_derivative, symbolic_zeros=True)

# Traced once for each type; JAX's transformations take it as one operation.
_compiled = jaxcore.jit(_attend, static_argnums=0)


def _forward(s: _Setting, known: Any, moving: dict[str, Array]) -> tuple[Array, Array]:
    """How the means and logsumexps move with queries, keys, values and bias.

    With weights ``p``, what dropout keeps of them ``m p``, and scores that move by ``ds``, the
    logsumexp moves by ``r = Σ p ds``, the mean by ``Σ m p (ds v + dv) - r out``.
    """
    x, out, sums = known
    rows, _, shared, groups, _ = x.q.shape

    def of_block(_: Any, i: Any) -> Any:
        query, total = _part(x.q, i, s.block), _by_query(sums, i, s.block)

        def add(j: Any, state: Any) -> Any:
            dmean, rise = state
            key, value = _part(x.k, j, s.block), _part(x.v, j, s.block)
            scores, seen = _scores(s, x, i, j, query, key)
            weights = jnp.where(seen, jnp.exp(scores - total), 0.0)
            dscores = jnp.zeros_like(scores)
            if "q" in moving:
                dquery = _part(moving["q"], i, s.block)
                dscores = dscores + s.einsum("bqhgd,bkhd->bhgqk", dquery, key)
            if "k" in moving:
                dkey = _part(moving["k"], j, s.block)
                dscores = dscores + s.einsum("bqhgd,bkhd->bhgqk", query, dkey)
            if "bias" in moving:
                dscores = dscores + _at(moving["bias"], i, j, s.block)
            dweights = weights * dscores
            kept = _dropped(s, x, i, j, dweights).astype(x.v.dtype)
            dmean = dmean + s.einsum("bhgqk,bkhd->bhgqd", kept, value)
            if "v" in moving:
                kept = _dropped(s, x, i, j, weights).astype(x.v.dtype)
                dvalue = _part(moving["v"], j, s.block)
                dmean = dmean + s.einsum("bhgqk,bkhd->bhgqd", kept, dvalue)
            return dmean, rise + dweights.sum(-1)

        shape = (rows, shared, groups, s.block)
        start = (
            jnp.zeros((*shape, x.v.shape[-1]), jnp.float32),
            jnp.zeros(shape, jnp.float32),
        )
        return None, s.over_keys(i, add, start)

    _, (dmean, rise) = lax.scan(of_block, None, jnp.arange(x.q.shape[1] // s.block))
    dmean, rise = _joined(dmean), _joined(rise)
    return dmean - rise[..., None] * out, rise


def _backward(
    s: _Setting, names: tuple[str, ...], known: Any, cotangents: tuple[Array, Array]
) -> dict[str, Array]:
    """The gradients of the operands `names`, from scores that are computed again.

    With weights ``p`` and ``dp = m (dout · v)``, the scores get ``ds = p (dp - Σ p dp)``, and
    ``Σ p dp`` is ``out · dout``; from the logsumexp they get ``p`` times its own cotangent.
    """
    x, out, sums = known
    dout, dsums = cotangents
    inner = (out * dout).sum(-1) - dsums

    def of_block(state: Any, i: Any) -> Any:
        query, given = _part(x.q, i, s.block), _part(dout, i, s.block)
        total, mean = _by_query(sums, i, s.block), _by_query(inner, i, s.block)

        def add(j: Any, state: Any) -> Any:
            dquery, dk, dv, dbias = state
            key, value = _part(x.k, j, s.block), _part(x.v, j, s.block)
            scores, seen = _scores(s, x, i, j, query, key)
            weights = jnp.where(seen, jnp.exp(scores - total), 0.0)
            dweights = _dropped(s, x, i, j, s.einsum("bqhgd,bkhd->bhgqk", given, value))
            exact = weights * (dweights - mean)
            dscores = exact.astype(x.q.dtype)
            dvalue = s.einsum("bhgqk,bqhgd->bkhd", _dropped(s, x, i, j, weights), given)
            dkey = s.einsum("bhgqk,bqhgd->bkhd", dscores, query)
            dquery = dquery + s.einsum("bhgqk,bkhd->bqhgd", dscores, key)
            if dbias is not None:
                dbias = _added(dbias, _summed(exact, dbias.shape), (0, 0, 0, i, j), s.block)
            dk = _added(dk, dkey, (0, j, 0, 0), s.block)
            return dquery, dk, _added(dv, dvalue, (0, j, 0, 0), s.block), dbias

        dquery = jnp.zeros(query.shape, jnp.float32)
        dquery, *state = s.over_keys(i, add, (dquery, *state))
        return tuple(state), jnp.moveaxis(dquery, 1, 3)

    zeros = lambda v: None if v is None else jnp.zeros(v.shape, jnp.float32)
    start = (zeros(x.k), zeros(x.v), zeros(x.bias if "bias" in names else None))
    (dk, dv, dbias), dq = lax.scan(of_block, start, jnp.arange(x.q.shape[1] // s.block))
    found = {"q": _joined(dq), "k": dk, "v": dv, "bias": dbias}
    return {name: found[name].astype(getattr(x, name).dtype) for name in names}


def _summed(x: Array, shape: tuple[int, ...]) -> Array:
    """`x` summed over the axes that have size 1 in `shape`."""
    axes = tuple(axis for axis, n in enumerate(shape) if n == 1 and x.shape[axis] != 1)
    return x.sum(axes, keepdims=True)


def _added(x: Array, new: Array, place: tuple[Any, ...], block: int) -> Array:
    """`x` with `new` added to the block at `place`; axes of size 1 have one place."""
    start = [i * block if n > 1 else 0 for i, n in zip(place, x.shape, strict=True)]
    old = lax.dynamic_slice(x, start, new.shape)
    return lax.dynamic_update_slice(x, old + new, start)
