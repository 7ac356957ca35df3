"""Positions in attention: rotary, sinusoidal, linear biases (ALiBi) and relative biases (T5)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np

import jaxcore.numpy as jnp
from jaxcore import Array, lax

from . import initializers
from .dtypes import as_array, at_least_float32, promote
from .errors import InputError
from .module import Module


def rotary(
    x: Any,
    positions: Any = None,
    base: float = 10000.0,
    *,
    features: int | None = None,
    interleaved: bool = False,
    scaling: Mapping[str, float] | None = None,
) -> Array:
    """Turns pairs of features by angles that grow with the position: ``(..., length, heads, d)``.

    Pair ``i`` at position ``p`` is turned by ``p · base^(-2i/d)``, so that the product of a query
    and a key depends on their distance alone. Computed in float32; the dtype is kept.

    Su et al. 2021, https://arxiv.org/abs/2104.09864

    Args:
      x: queries or keys.
      positions: integers ``(..., length)``; by default 0, 1, 2, ...
      base: the longest wavelength is about 2π times this.
      features: how many of the first features are turned; by default all (GPT-NeoX turns a part).
      interleaved: pairs are neighbours (0, 1), (2, 3) as in the paper and in Meta's files; by
        default they are (0, d/2), (1, d/2 + 1), as in Hugging Face's and in GPT-NeoX's.
      scaling: how Llama 3 stretches the long wavelengths: ``factor``, ``low_freq_factor``,
        ``high_freq_factor``, ``original_max_position_embeddings``.

    Raises:
      InputError: an odd number of features.

    >>> import jaxcore.numpy as jnp
    >>> rotary(jnp.ones((1, 2, 1, 2)), positions=jnp.array([0, 2]))[0, :, 0].astype(int).tolist()
    [[1, 1], [-1, 0]]
    """
    x = as_array(x)
    width = x.shape[-1] if features is None else features
    if x.ndim < 3 or width % 2 or width > x.shape[-1]:
        raise InputError(
            f"rotary: x has shape {x.shape}, and {width} features are to be turned in pairs. "
            "Expected (..., length, heads, depth), and an even number of at most depth."
        )
    if positions is None:
        positions = jnp.arange(x.shape[-3])
    frequencies = _scaled(base ** (-np.arange(0, width, 2) / width), scaling)
    angles = as_array(positions).astype(jnp.float32)[..., None, None] * jnp.asarray(
        frequencies.astype(np.float32)
    ).reshape((1,) * (jnp.ndim(positions) + 1) + (-1,))
    angles = angles.reshape((1,) * (x.ndim - angles.ndim) + angles.shape)
    sin, cos = jnp.sin(angles), jnp.cos(angles)
    turned, rest = at_least_float32(x[..., :width]), x[..., width:]
    if interleaved:
        pairs = turned.reshape(*turned.shape[:-1], width // 2, 2)
        a, b = pairs[..., 0], pairs[..., 1]
        turned = jnp.stack([a * cos - b * sin, b * cos + a * sin], axis=-1).reshape(turned.shape)
    else:
        a, b = turned[..., : width // 2], turned[..., width // 2 :]
        turned = jnp.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)
    turned = turned.astype(x.dtype)
    return turned if width == x.shape[-1] else jnp.concatenate([turned, rest], axis=-1)


def _scaled(frequencies: np.ndarray, scaling: Mapping[str, float] | None) -> np.ndarray:
    """Long waves divided by `factor`, short ones as they are, those between blended."""
    if scaling is None:
        return frequencies
    factor, low = scaling["factor"], scaling["low_freq_factor"]
    high, length = scaling["high_freq_factor"], scaling["original_max_position_embeddings"]
    turns = length * frequencies / (2 * math.pi)  # within the length of the first training
    kept = np.clip((turns - low) / (high - low), 0.0, 1.0)
    return frequencies * (kept + (1 - kept) / factor)


def sinusoidal_positions(
    length: int, features: int, base: float = 10000.0, dtype: Any = jnp.float32
) -> Array:
    """A fixed table of positions: ``(length, features)``; sines in even, cosines in odd columns.

    ``table[p, 2i] = sin(p · base^(-2i/features))``, and ``cos`` in column ``2i + 1``.

    Vaswani et al. 2017, https://arxiv.org/abs/1706.03762

    >>> sinusoidal_positions(2, 4).round(3).tolist()[0]
    [0.0, 1.0, 0.0, 1.0]
    """
    angles = np.arange(length)[:, None] * base ** (-np.arange(0, features, 2) / features)
    table = np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(length, -1)[:, :features]
    return jnp.asarray(table, dtype)


def alibi_slopes(num_heads: int) -> np.ndarray:
    """How fast each head forgets with distance: a geometric sequence, ``(heads,)``.

    For a power of two these are ``2^(-8/h), 2^(-16/h), ...``; else every other slope of twice as
    many heads is added.

    Press et al. 2021, https://arxiv.org/abs/2108.12409

    >>> alibi_slopes(4).tolist()
    [0.25, 0.0625, 0.015625, 0.00390625]
    """
    whole = 1 << (num_heads.bit_length() - 1)
    slopes = [2 ** (-8 * (i + 1) / whole) for i in range(whole)]
    slopes += [2 ** (-4 * (2 * i + 1) / whole) for i in range(num_heads - whole)]
    return np.asarray(slopes, np.float32)


def alibi_bias(num_heads: int, query_positions: Any, key_positions: Any) -> Array:
    """Attention's bias ``-slope · |query - key|``: ``(..., q), (..., k) -> (..., heads, q, k)``.

    Give it to `dot_product_attention` or a layer as ``bias``, with a causal mask.

    Press et al. 2021, https://arxiv.org/abs/2108.12409

    >>> import jaxcore.numpy as jnp
    >>> alibi_bias(2, jnp.array([2]), jnp.arange(2))[0].tolist()
    [[-0.125, -0.0625]]
    """
    query, key = as_array(query_positions), as_array(key_positions)
    distance = jnp.abs(query[..., :, None] - key[..., None, :]).astype(jnp.float32)[..., None, :, :]
    slopes = alibi_slopes(num_heads).reshape((1,) * (distance.ndim - 3) + (-1, 1, 1))
    return -jnp.asarray(slopes) * distance


class RelativePositionBias(Module):
    """Attention's bias learned for each head and distance: ``(heads, q, k)``, as in T5.

    Small distances have a number of their own, larger ones share logarithmically wider buckets.
    Called with the positions of queries and keys, or with their counts.

    Parameters: ``embedding (num_buckets, num_heads)``.

    Args:
      num_heads: of the attention.
      num_buckets: distances told apart.
      max_distance: from there on all are one.
      bidirectional: False for decoders: keys after the query are all distance 0.

    PyTorch's T5 shares one such layer between all blocks; so does one instance called once whose
    result is handed on. Raffel et al. 2019, https://arxiv.org/abs/1910.10683

    >>> from jaxcore import nn, random
    >>> bias = nn.RelativePositionBias(4)
    >>> bias.apply(bias.init(random.key(0), 3, 5), 3, 5).shape
    (4, 3, 5)
    """

    num_heads: int
    num_buckets: int = 32
    max_distance: int = 128
    bidirectional: bool = True
    dtype: Any = None
    param_dtype: Any = jnp.float32
    embedding_init: Callable[..., Any] = initializers.variance_scaling(
        1.0, "fan_in", "normal", out_axis=0
    )

    uses_rng: ClassVar[bool] = False

    def __call__(self, query_positions: Any, key_positions: Any) -> Array:
        query, key = (
            jnp.arange(p) if isinstance(p, int) else as_array(p)
            for p in (query_positions, key_positions)
        )
        table = self.param(
            "embedding", self.embedding_init, (self.num_buckets, self.num_heads), self.param_dtype
        )
        (table,) = promote(self.compute_dtype, table)
        buckets = self._bucket(key[..., None, :] - query[..., :, None])
        return jnp.moveaxis(jnp.take(table, buckets, axis=0), -1, -3)

    def _bucket(self, relative: Any) -> Any:
        count, offset = self.num_buckets, 0
        if self.bidirectional:
            count //= 2
            offset = jnp.where(relative > 0, count, 0)
            distance = jnp.abs(relative)
        else:
            distance = jnp.maximum(-relative, 0)
        exact = count // 2
        ratio = jnp.maximum(distance, 1).astype(jnp.float32) / exact
        scaled = jnp.log(ratio) / math.log(self.max_distance / exact) * (count - exact)
        far = jnp.minimum(exact + scaled.astype(jnp.int32), count - 1)
        return offset + lax.select(distance < exact, distance.astype(jnp.int32), far)
