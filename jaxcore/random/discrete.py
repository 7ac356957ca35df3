"""Samples of discrete distributions and random orders, bit for bit those of JAX."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from operator import index
from typing import Any

import jax
import numpy as np

import jaxcore.numpy as jnp
from jaxcore import backend, lax
from jaxcore.jit import jit
from jaxcore.ops.random import random_split_p
from jaxcore.random.arguments import check_shape
from jaxcore.random.continuous import gumbel, plain_gumbel, uniform, uniform_bits
from jaxcore.random.keys import as_key, raw_bits, shape_of
from jaxcore.trace import aval_of, bind

__all__ = ["bernoulli", "categorical", "choice", "permutation", "rademacher", "randint"]

Array = jax.Array
Shape = tuple[int, ...]


def _array(name: str, argument: str, x: Any) -> Any:
    """`x` as an array; lists and other containers are refused."""
    if not isinstance(x, jax.Array | np.ndarray | np.generic | int | float | complex) and not (
        hasattr(x, "__jax_array__")
    ):
        raise TypeError(
            f"{name} requires ndarray or scalar arguments, got {type(x)} for {argument}. "
            "Fix: make it an array with jaxcore.numpy.asarray."
        )
    return jnp.asarray(x)


# --- coin flips ---------------------------------------------------------------------------------


@partial(jit, static_argnames=("shape", "mode"))
def _bernoulli(key: Any, p: Any, *, shape: Shape | None, mode: str) -> Array:
    aval = aval_of(p)
    dtype = aval.dtype
    if shape is None:
        shape = aval.shape
    else:
        check_shape("bernoulli", shape, p)
    p = p if aval.shape == () else jnp.broadcast_to(p, shape)
    if mode == "low":
        return lax.lt(uniform_bits(key, 0.0, 1.0, shape, dtype), _like(p, shape))
    high, low = uniform_bits(key, 0.0, 1.0, (2, *shape), dtype)
    return lax.lt(low * 2 ** -jnp.finfo(dtype).nmant, p - high)


def _like(p: Any, shape: Shape) -> Any:
    return p if aval_of(p).shape == shape else jnp.broadcast_to(p, shape)


def bernoulli(
    key: Any,
    p: Any = 0.5,
    shape: Any = None,
    mode: str = "low",
    *,
    out_sharding: Any = None,
) -> Array:
    """True with probability `p`.

    Args:
      key: a key.
      p: probability, a float or an array of floats broadcast to `shape`.
      shape: shape of the result; that of `p` by default.
      mode: ``"low"`` or ``"high"``: one uniform sample or two, for probabilities near 0 and 1.

    Raises:
      TypeError: `p` is not of a float dtype.
      ValueError: `mode` is unknown.

    Example:
      >>> from jaxcore import random
      >>> print(random.bernoulli(random.key(0), 0.9, (4,)))
      [False False  True  True]
    """
    if mode not in ("high", "low"):
        raise ValueError(f"got {mode=}, expected 'high' or 'low'")
    if out_sharding is not None:
        return jax.random.bernoulli(key, p, shape, mode, out_sharding=out_sharding)
    sizes = None if shape is None else shape_of(shape)
    typed, _ = as_key("bernoulli", key)
    dtype = aval_of(p).dtype
    if not jax.dtypes.issubdtype(dtype, np.floating):
        raise TypeError(f"bernoulli probability `p` must have a floating dtype, got {dtype}.")
    return _bernoulli(typed, p, shape=sizes, mode=mode)


def rademacher(key: Any, shape: Any = (), dtype: Any = None, *, out_sharding: Any = None) -> Array:
    """1 or -1 with equal probability, as integers unless `dtype` says otherwise."""
    if out_sharding is not None:
        return jax.random.rademacher(key, shape, dtype, out_sharding=out_sharding)
    typed, _ = as_key("rademacher", key)
    own = backend.user_dtype(int if dtype is None else dtype)
    heads = bernoulli(typed, 0.5, shape_of(shape)).astype(own)
    return (2 * heads - 1).astype(own)


# --- integers -----------------------------------------------------------------------------------


def _clipped(x: Any, dtype: Any) -> Any:
    """Integers `x` in `dtype`, the nearest one where they do not fit."""
    wide, own = jnp.iinfo(aval_of(x).dtype), jnp.iinfo(dtype)
    low, high = max(own.min, wide.min), min(own.max, wide.max)
    return jnp.clip(x, wide.dtype.type(low), wide.dtype.type(high)).astype(dtype)


@partial(jit, static_argnames=("shape", "dtype"))
def _randint(key: Any, minval: Any, maxval: Any, *, shape: Shape, dtype: Any) -> Array:
    """Twice the bits of a word, modulo the span: the bias is of the order span / 2^(2·bits)."""
    minval, maxval = _array("randint", "minval", minval), _array("randint", "maxval", maxval)
    check_shape("randint", shape, minval, maxval)
    if not jax.dtypes.issubdtype(minval.dtype, np.integer):
        minval = minval.astype(int)
    if not jax.dtypes.issubdtype(maxval.dtype, np.integer):
        maxval = maxval.astype(int)
    info = jnp.iinfo(dtype)
    most = min(info.max, jnp.iinfo(maxval.dtype).max)
    beyond = lax.gt(maxval, np.array(most, maxval.dtype)[()])  # the whole range of dtype
    low, high = (jnp.broadcast_to(_clipped(x, dtype), shape) for x in (minval, maxval))
    beyond = jnp.broadcast_to(beyond, shape)
    words = np.dtype(f"uint{info.bits}")
    keys = bind(random_split_p, key, shape=(2,))
    upper, lower = raw_bits(keys[0], info.bits, shape), raw_bits(keys[1], info.bits, shape)
    one = words.type(1)
    span = lax.convert_element_type(high - low, words)
    span = jnp.where(high <= low, one, span)  # an empty range gives minval
    span = jnp.where(beyond & (high > low), span + one, span)
    factor = lax.rem(jnp.full(shape, 2 ** (info.bits // 2), words), span)
    factor = lax.rem(lax.mul(factor, factor), span)
    offset = lax.add(lax.mul(lax.rem(upper, span), factor), lax.rem(lower, span))
    return lax.add(low, lax.convert_element_type(lax.rem(offset, span), dtype))


def randint(
    key: Any,
    shape: Any,
    minval: Any,
    maxval: Any,
    dtype: Any = None,
    *,
    out_sharding: Any = None,
) -> Array:
    """Uniform integers in [minval, maxval).

    Args:
      key: a key.
      shape: shape of the result.
      minval, maxval: the range, broadcast to `shape`; minval where it is empty.
      dtype: an integer dtype, int32 by default.

    Example:
      >>> from jaxcore import random
      >>> print(random.randint(random.key(0), (3,), 0, 10))
      [9 0 2]
    """
    if out_sharding is not None:
        return jax.random.randint(key, shape, minval, maxval, dtype, out_sharding=out_sharding)
    typed, _ = as_key("randint", key)
    own = backend.user_dtype(int if dtype is None else dtype)
    sizes = shape_of(shape)
    if not jax.dtypes.issubdtype(own, np.integer):
        raise TypeError(f"randint only accepts integer dtypes, got {own}")
    info = jnp.iinfo(own)
    if info.bits >= 32:
        return _randint(typed, minval, maxval, shape=sizes, dtype=own)
    # Small integers are drawn as int32, which keeps the bias small.
    minval = jnp.asarray(minval).astype(np.int32).clip(int(info.min), int(info.max))
    maxval = jnp.asarray(maxval).astype(np.int32).clip(int(info.min), int(info.max) + 1)
    wide = np.dtype(np.int32)
    return _randint(typed, minval, maxval, shape=sizes, dtype=wide).astype(own)


# --- random orders ------------------------------------------------------------------------------


@partial(jit, static_argnames=("axis",))
def _shuffle(key: Any, x: Any, *, axis: int) -> Array:
    """Sort by random words, often enough that equal words in every round are next to impossible."""
    rounds = math.ceil(3 * np.log(max(1, x.size)) / np.log(np.iinfo(np.uint32).max))
    for _ in range(rounds):
        keys = bind(random_split_p, key, shape=(2,))
        key = keys[0]
        _, x = lax.sort_key_val(raw_bits(keys[1], 32, x.shape), x, axis)
    return x


def permutation(
    key: Any,
    x: Any,
    axis: int = 0,
    independent: bool = False,
    *,
    out_sharding: Any = None,
) -> Array:
    """A random order of the slices of an array, or of ``range(x)``.

    Args:
      key: a key.
      x: an integer, or an array of rank 1 or more.
      axis: the axis that is put in a new order.
      independent: give every vector along the axis an order of its own.
    """
    if out_sharding is not None:
        return jax.random.permutation(key, x, axis, independent, out_sharding=out_sharding)
    typed, _ = as_key("permutation", key)
    if not np.ndim(x):
        if not jax.dtypes.issubdtype(aval_of(x).dtype, np.integer):
            raise TypeError("x must be an integer or at least 1-dimensional")
        x = jnp.arange(index(x))
    x = _array("permutation", "x", x)
    axis = _axis(axis, x.ndim)
    if independent or x.ndim == 1:
        return _shuffle(typed, x, axis=axis)
    order = _shuffle(typed, jnp.arange(x.shape[axis]), axis=0)
    return jnp.take(x, order, axis, unique_indices=True)


def _axis(axis: int, rank: int) -> int:
    if not -rank <= axis < rank:
        raise ValueError(f"axis {axis} is out of bounds for array of dimension {rank}")
    return axis % rank


def choice(
    key: Any,
    a: Any,
    shape: Any = (),
    replace: bool = True,
    p: Any = None,
    axis: int = 0,
    mode: str | None = None,
) -> Array:
    """Random elements of an array along an axis, or of ``range(a)``.

    Args:
      key: a key.
      a: an integer or an array.
      shape: shape of what is drawn; it takes the place of `axis`.
      replace: whether an element may be drawn twice.
      p: probabilities of the elements, a vector; equal by default.
      axis: the axis along which elements are drawn.
      mode: see `gumbel`; counts with `p` and without replacement.

    Raises:
      ValueError: more elements are asked for than there are, or `p` has the wrong shape.
    """
    typed, _ = as_key("choice", key)
    if not isinstance(shape, Sequence):
        raise TypeError(f"shape argument of jax.random.choice must be a sequence, got {shape}")
    array = _array("choice", "a", a)
    scalar = array.ndim == 0
    axis = axis if scalar else _axis(axis, array.ndim)
    count = index(a) if scalar else array.shape[axis]
    drawn = math.prod(shape)
    if drawn == 0:
        return jnp.zeros(shape, dtype=array.dtype)
    if count <= 0:
        raise ValueError("a must be greater than 0 unless no samples are taken")
    if not replace and drawn > count:
        raise ValueError(
            f"Cannot take a larger sample (size {drawn}) than population (size {count}) when "
            "'replace=False'"
        )
    if p is None and not replace:
        kept = (slice(None),) * axis + (slice(drawn),)
        result = permutation(typed, count if scalar else array, axis)[kept]
    else:
        order = _positions(typed, tuple(shape), count, drawn, replace, p, mode)
        result = order if scalar else jnp.take(array, order, axis)
    around = ((), ()) if scalar else (array.shape[:axis], array.shape[axis + 1 :])
    return result.reshape((*around[0], *shape, *around[1]))


def _positions(
    key: Any, shape: Shape, count: int, drawn: int, replace: bool, p: Any, mode: str | None
) -> Array:
    if p is None:
        return randint(key, shape, 0, count)
    weights = _array("choice", "p", p)
    if not jax.dtypes.issubdtype(weights.dtype, np.inexact):
        weights = weights.astype(float)
    if weights.shape != (count,):
        raise ValueError(
            "p must be None or a 1D vector with the same size as a.shape[axis]. p has shape "
            f"{weights.shape} and a.shape[axis] is {count}."
        )
    if replace:
        total = jnp.cumsum(weights)
        u = total[-1] * (1 - uniform(key, shape, dtype=total.dtype))
        return jnp.searchsorted(total, u).astype(int)
    # The largest of log p + Gumbel noise are a sample without replacement.
    noisy = gumbel(key, (count,), dtype=weights.dtype, mode=mode) + jnp.log(weights)
    return lax.top_k(noisy, drawn)[1].astype(int)


def categorical(
    key: Any,
    logits: Any,
    axis: int = -1,
    shape: Any = None,
    replace: bool = True,
    mode: str | None = None,
    *,
    out_sharding: Any = None,
) -> Array:
    """Indices along `axis`, drawn with probabilities softmax(logits).

    Args:
      key: a key.
      logits: unnormalised log-probabilities.
      axis: the axis of the categories.
      shape: shape of the result; its last axes are the other axes of `logits` (the default).
      replace: whether the samples of leading axes of `shape` may repeat.
      mode: see `gumbel`.

    Example:
      >>> import jaxcore.numpy as jnp
      >>> from jaxcore import random
      >>> print(random.categorical(random.key(0), jnp.log(jnp.array([0.1, 0.9])), shape=(4,)))
      [1 1 1 1]
    """
    if out_sharding is not None or not replace or not plain_gumbel(mode):
        return jax.random.categorical(
            key, logits, axis, shape, replace, mode, out_sharding=out_sharding
        )
    typed, _ = as_key("categorical", key)
    array = _array("categorical", "logits", logits)
    sizes = array.shape
    place = _axis(axis, len(sizes))
    batch = sizes[:place] + sizes[place + 1 :]
    if shape is None:
        shape = batch
    else:
        shape = shape_of(shape)
        if np.broadcast_shapes(shape, batch) != shape:
            check_shape("categorical", shape, np.empty(batch, np.bool_))
    extra = len(shape) - len(batch)
    noise_shape = list(shape[extra:])
    noise_shape.insert(place, sizes[place])
    noise = gumbel(typed, (*shape[:extra], *noise_shape), array.dtype, mode)
    return jnp.argmax(noise + lax.expand_dims(array, tuple(range(extra))), axis=place + extra)
