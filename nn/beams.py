"""Beam search: several texts at a time, the likeliest continuations of all of them kept."""

from __future__ import annotations

from typing import Any, NamedTuple

import jaxcore.numpy as jnp
from jaxcore import Array, lax, tree

from .activations import log_softmax
from .generation import Generated, Settings, next_logits, stopped

_NEVER = -1e9  # the score of what is not a text


class _Beams(NamedTuple):
    """The texts of all rows: (batch, beams, ...); those that go on, and those that ended."""

    cache: Any
    tokens: Array
    sums: Array  # of log-probabilities
    ended: Array
    ended_lengths: Array
    ended_scores: Array
    lengths: Array  # (batch,) of the texts that go on
    done: Array  # (batch,)


def search(
    settings: Settings,
    variables: Any,
    cache: Any,
    tokens: Array,
    lengths: Array,
    limits: Array,
    numbers: dict[str, Array],
) -> Generated:
    """The best text of each row by score / (new tokens) ** length_penalty.

    Each turn takes the 2 · beams best continuations: enough that `beams` of them go on even if as
    many end. A row is done at its limit, or when even the best text that goes on scores, at its
    present length, below the worst of `beams` texts that ended.
    """
    batch, size = tokens.shape
    beams = settings.beams
    wide = lambda x: jnp.repeat(x[:, None], beams, axis=1)
    first = jnp.where(jnp.arange(beams) == 0, 0.0, _NEVER)

    def turn(state: _Beams) -> _Beams:
        logits, cache = next_logits(
            settings,
            variables,
            state.cache,
            state.tokens.reshape(-1, size),
            jnp.repeat(state.lengths, beams),
        )
        chances = log_softmax(logits).reshape(batch, beams, -1)
        count = chances.shape[-1]
        sums = (state.sums[..., None] + chances).reshape(batch, -1)
        sums, chosen = lax.top_k(sums, 2 * beams)
        source, new = chosen // count, (chosen % count).astype(jnp.int32)
        texts = jnp.take_along_axis(state.tokens, source[..., None], axis=1)
        here = jnp.arange(size)[None, None] == state.lengths[:, None, None]
        texts = jnp.where(here, new[..., None], texts)
        longer = state.lengths + 1
        ends = stopped(settings.stop, texts.reshape(-1, size), jnp.repeat(longer, 2 * beams))
        ends = ends.reshape(batch, -1) | (longer >= limits)[:, None]

        # Those that go on.
        sums_on, kept = lax.top_k(jnp.where(ends, _NEVER, sums), beams)
        on = jnp.take_along_axis(texts, kept[..., None], axis=1)
        rows = jnp.arange(batch)[:, None] * beams + jnp.take_along_axis(source, kept, axis=1)
        # Those that end: only of the best `beams`, lest many poor short texts win.
        per_token = (longer - lengths).astype(jnp.float32) ** numbers["length_penalty"]
        counts = ends & (jnp.arange(2 * beams) < beams)[None] & ~state.done[:, None]
        scores = jnp.where(counts, sums / per_token[:, None], _NEVER)
        scores = jnp.concatenate([state.ended_scores, scores], axis=1)
        ended = jnp.concatenate([state.ended, texts], axis=1)
        all_lengths = jnp.concatenate(
            [state.ended_lengths, jnp.broadcast_to(longer[:, None], (batch, 2 * beams))], axis=1
        )
        scores, kept = lax.top_k(scores, beams)
        best_on = sums_on[:, 0] / per_token
        done = state.done | (longer >= limits) | (best_on <= scores[:, -1])
        stay = lambda old, now: jnp.where(
            state.done.reshape((batch,) + (1,) * (now.ndim - 1)), old, now
        )
        return _Beams(
            tree.map(lambda v: _reordered(v, rows.reshape(-1)), cache),
            stay(state.tokens, on),
            stay(state.sums, sums_on),
            jnp.take_along_axis(ended, kept[..., None], axis=1),
            jnp.take_along_axis(all_lengths, kept, axis=1),
            scores,
            stay(state.lengths, longer),
            done,
        )

    start = _Beams(
        tree.map(lambda v: _repeated(v, beams), cache),
        wide(tokens),
        jnp.broadcast_to(first, (batch, beams)),
        wide(tokens),
        wide(lengths),
        jnp.full((batch, beams), _NEVER),
        lengths,
        lengths >= limits,
    )
    state = lax.while_loop(lambda state: ~state.done.all(), turn, start)
    length = state.ended_lengths[:, 0]
    behind = jnp.arange(size)[None] >= length[:, None]
    scores = jnp.where(lengths >= limits, 0.0, state.ended_scores[:, 0])
    return Generated(jnp.where(behind, numbers["pad"], state.ended[:, 0]), length, scores)


def _repeated(value: Array, beams: int) -> Array:
    """Keys or values (..., batch, length, heads, depth), every row `beams` times."""
    return value if value.ndim < 4 else jnp.repeat(value, beams, axis=value.ndim - 4)


def _reordered(value: Array, rows: Array) -> Array:
    return value if value.ndim < 4 else jnp.take(value, rows, axis=value.ndim - 4)
