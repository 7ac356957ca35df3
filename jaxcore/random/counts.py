"""Samples that count: Poisson, binomial, multinomial, geometric, bit for bit those of JAX.

Where the mean is small events are counted one by one; else Hörmann's transformed rejection with
squeeze is used ("The generation of binomial random variates", 1993, and "The transformed rejection
method for generating Poisson random variables", 1993). Elements that have been accepted wait for
the others.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np

import jaxcore.numpy as jnp
from jaxcore import backend, lax
from jaxcore.jit import jit
from jaxcore.numpy.promote import float_dtype as inexact_dtype
from jaxcore.numpy.promote import inexact, promoted
from jaxcore.ops.random import random_split_p
from jaxcore.random.arguments import (
    Shape,
    at_rank,
    check_shape,
    float_dtype,
    full_shape,
    left_to_jax,
)
from jaxcore.random.continuous import uniform_bits
from jaxcore.random.keys import as_key, shape_of
from jaxcore.trace import aval_of, bind

__all__ = ["binomial", "geometric", "multinomial", "poisson"]

Array = jax.Array


def _keys(key: Any, count: int) -> list[Any]:
    keys = bind(random_split_p, key, shape=(count,))
    return [keys[i] for i in range(count)]


def _rejection(
    key: Any,
    propose: Callable[[Any, Any], tuple[Any, Any]],
    shape: Shape,
    dtype: Any,
    most: Any,
) -> Array:
    """Proposals ``propose(u, v) -> (k, accepted)`` of uniform samples until each is accepted."""

    def unfinished(carry: Any) -> Any:
        turn, _, accepted, _ = carry
        return jnp.any(~accepted) & (turn < most)

    def step(carry: Any) -> Any:
        turn, out, accepted, key = carry
        key, key_u, key_v = _keys(key, 3)
        u = uniform_bits(key_u, 0.0, 1.0, shape, dtype) - 0.5
        v = uniform_bits(key_v, 0.0, 1.0, shape, dtype)
        k, accept = propose(u, v)
        return turn + 1, lax.select(accept, k, out), accepted | accept, key

    start = (0, lax.full(shape, -1, dtype), lax.full(shape, False, np.bool_), key)
    return lax.while_loop(unfinished, step, start)[1]


# --- poisson ------------------------------------------------------------------------------------


def _poisson_one_by_one(key: Any, lam: Any, shape: Shape, dtype: Any, most: Any) -> Array:
    """How many uniform factors it takes until their product is below exp(-lam) (Knuth)."""

    def unfinished(carry: Any) -> Any:
        turn, _, _, log_product = carry
        return jnp.any(log_product > -lam) & (turn < most)

    def step(carry: Any) -> Any:
        turn, count, key, log_product = carry
        key, subkey = _keys(key, 2)
        count = lax.select(log_product > -lam, count + 1, count)
        u = uniform_bits(subkey, 0.0, 1.0, shape, np.dtype(np.float32))
        return turn + 1, count, key, log_product + jnp.log(u)

    start = (0, lax.full(shape, 0, dtype), key, lax.full(shape, 0, np.float32))
    return lax.while_loop(unfinished, step, start)[1] - 1


def _poisson_rejection(key: Any, lam: Any, shape: Shape, dtype: Any, most: Any) -> Array:
    log_lam = lax.log(lam)
    b = 0.931 + 2.53 * lax.sqrt(lam)
    a = -0.059 + 0.02483 * b
    inverse_alpha = 1.1239 + 1.1328 / (b - 3.4)
    squeeze = 0.9277 - 3.6224 / (b - 2)

    def propose(u: Any, v: Any) -> tuple[Any, Any]:
        near = 0.5 - lax.abs(u)
        k = lax.floor((2 * a / near + b) * u + lam + 0.43)
        s = lax.log(v * inverse_alpha / (a / (near * near) + b))
        t = -lam + k * log_lam - lax.lgamma(k + 1)
        sure = (near >= 0.07) & (v <= squeeze)
        refused = (k < 0) | ((near < 0.013) & (v > near))
        return k, sure | (~refused & (s <= t))

    return _rejection(key, propose, shape, aval_of(lam).dtype, most).astype(dtype)


@partial(jit, static_argnames=("shape", "dtype"))
def _poisson(key: Any, lam: Any, *, shape: Shape, dtype: Any) -> Array:
    few = jnp.isnan(lam) | (lam < 10)
    small = lax.select(few, lam, lax.full_like(lam, 0.0))
    large = lax.select(few, lax.full_like(lam, 1e5), lam)
    most = dtype.type(jnp.iinfo(dtype).max)
    result = lax.select(
        few,
        _poisson_one_by_one(key, small, shape, dtype, most),
        _poisson_rejection(key, large, shape, dtype, most),
    )
    return lax.select(lam == 0, jnp.zeros_like(result), result)


def poisson(
    key: Any,
    lam: Any,
    shape: Any = None,
    dtype: Any = None,
    *,
    method: str = "exact",
    out_sharding: Any = None,
) -> Array:
    """Samples of the Poisson distribution: how many events happen where `lam` are expected.

    Args:
      key: a key of the generator threefry2x32.
      lam: the mean, broadcast to `shape`.
      shape: shape of the result; that of `lam` by default.
      dtype: an integer dtype, int32 by default.
      method: "exact", or "approximate" (since jax 0.12): JAX's, without a loop.

    Raises:
      NotImplementedError: the key is of another generator.

    Example:
      >>> from jaxcore import random
      >>> random.poisson(random.key(0), 3.0, (4,)).dtype.name
      'int32'
    """
    options = left_to_jax("poisson", method, out_sharding)
    if options is not None:
        return jax.random.poisson(key, lam, shape, dtype, **options)
    typed, _ = as_key("poisson", key)
    own = np.dtype(backend.user_dtype(int if dtype is None else dtype))
    sizes = aval_of(lam).shape if shape is None else shape_of(shape)
    lam = jnp.broadcast_to(lam, sizes)
    generator = str(jax.random.key_impl(typed))
    if generator != "threefry2x32":
        raise NotImplementedError(
            f"`poisson` is only implemented for the threefry2x32 RNG, not {generator}. Fix: make "
            "the key with random.key(seed, impl='threefry2x32')."
        )
    lam = lax.convert_element_type(lam, np.float32)
    return _poisson(typed, lam, shape=sizes, dtype=own)


# --- binomial -----------------------------------------------------------------------------------

# log(k!) less Stirling's formula, for k from 0 to 9.
_STIRLING = (
    0.0810614667953272, 0.0413406959554092, 0.0276779256849983, 0.02079067210376509,
    0.0166446911898211, 0.0138761288230707, 0.0118967099458917, 0.0104112652619720,
    0.00925546218271273, 0.00833056343336287,
)  # fmt: skip


def _stirling_tail(k: Any) -> Any:
    table = jnp.array(_STIRLING, dtype=aval_of(k).dtype)
    few = k <= 9
    k = jnp.clip(k, 0.0, 9.0)
    square = (k + 1) * (k + 1)
    series = (1.0 / 12 - (1.0 / 360 - 1.0 / 1260 / square) / square) / (k + 1)
    return lax.select(few, table[lax.floor(k).astype(np.int32)], series)


def _binomial_one_by_one(
    key: Any, count: Any, prob: Any, shape: Shape, dtype: Any, most: Any
) -> Array:
    """How many geometric waiting times fit into `count` trials."""
    log_miss = jnp.log1p(-prob)
    own = aval_of(prob).dtype

    def unfinished(carry: Any) -> Any:
        turn, _, waited, _ = carry
        return jnp.any(waited <= count) & (turn < most)

    def step(carry: Any) -> Any:
        turn, found, waited, key = carry
        subkey, key = _keys(key, 2)
        found = lax.select(waited <= count, found + 1, found)
        u = uniform_bits(subkey, 0.0, 1.0, shape, own)
        return turn + 1, found, waited + lax.ceil(jnp.log(u) / log_miss), key

    zeros = lax.full(shape, 0, own)
    return (lax.while_loop(unfinished, step, (0, zeros, zeros, key))[1] - 1).astype(dtype)


def _binomial_rejection(
    key: Any, count: Any, prob: Any, shape: Shape, dtype: Any, most: Any
) -> Array:
    stddev = jnp.sqrt(count * prob * (1 - prob))
    b = 1.15 + 2.53 * stddev
    a = -0.0873 + 0.0248 * b + 0.01 * prob
    c = count * prob + 0.5
    squeeze = 0.92 - 4.2 / b
    odds = prob / (1 - prob)
    alpha = (2.83 + 5.1 / b) * stddev
    m = lax.floor((count + 1) * prob)

    def propose(u: Any, v: Any) -> tuple[Any, Any]:
        near = 0.5 - jnp.abs(u)
        sure = (near >= 0.07) & (v <= squeeze)
        k = lax.floor((2 * a / near + b) * u + c)
        refused = (k < 0) | (k > count)
        v = jnp.log(v * alpha / (a / (near * near) + b))
        bound = (
            (m + 0.5) * jnp.log((m + 1) / (odds * (count - m + 1)))
            + (count + 1) * jnp.log((count - m + 1) / (count - k + 1))
            + (k + 0.5) * jnp.log(odds * (count - k + 1) / (k + 1))
            + _stirling_tail(m)
            + _stirling_tail(count - m)
            - _stirling_tail(k)
            - _stirling_tail(count - k)
        )
        return k, sure | (~refused & (v <= bound))

    return _rejection(key, propose, shape, aval_of(prob).dtype, most).astype(dtype)


@partial(jit, static_argnames=("shape", "dtype"))
def _binomial(key: Any, count: Any, prob: Any, *, shape: Shape | None, dtype: Any) -> Array:
    sizes = full_shape("binomial", shape, count, prob)
    prob = inexact("binomial", prob)
    own = aval_of(prob).dtype
    prob = jnp.broadcast_to(prob, sizes)
    count = jnp.broadcast_to(lax.convert_element_type(count, own), sizes)
    full = lambda value: lax.full_like(prob, value)
    rare = prob < 0.5  # else failures are counted, which are
    q = lax.select(rare, prob, 1.0 - prob)
    no_count, endless = jnp.isnan(count) | (count < 0.0), jnp.isinf(count)
    no_prob, negative = jnp.isnan(q), q < 0.0
    q = lax.select(no_prob | negative, full(0.01), q)
    few = no_count | (count * q <= 10.0)
    count = lax.floor(count)
    most = np.dtype(dtype).type(jnp.finfo(dtype).max)
    samples = lax.select(
        few,
        _binomial_one_by_one(key, lax.select(few, count, full(0.0)), q, sizes, dtype, most),
        _binomial_rejection(
            key,
            lax.select(few, full(1e4), count),
            lax.select(few, full(0.5), q),
            sizes,
            dtype,
            most,
        ),
    )
    invalid = negative | no_prob | no_count
    samples = lax.select(invalid, jnp.full_like(samples, np.nan, dtype), samples)
    samples = lax.select(endless & ~invalid, jnp.full_like(samples, np.inf, dtype), samples)
    as_they_are = rare | no_count | no_prob | endless
    return lax.select(as_they_are, samples, count.astype(dtype) - samples)


def binomial(key: Any, n: Any, p: Any, shape: Any = None, dtype: Any = None) -> Array:
    """Samples of the binomial distribution: how many of `n` trials succeed with probability `p`.

    Args:
      key: a key.
      n: number of trials, broadcast to `shape`.
      p: probability, broadcast to `shape`.
      shape: shape of the result; that of the parameters by default.
      dtype: a float dtype, float32 by default. NaN where the parameters make no sense.

    Raises:
      ValueError: the dtype is no float dtype.
    """
    typed, _ = as_key("binomial", key)
    own = float_dtype("binomial", dtype)
    sizes = None if shape is None else shape_of(shape)
    return _binomial(typed, jnp.asarray(n), jnp.asarray(p), shape=sizes, dtype=own)


# --- multinomial and geometric --------------------------------------------------------------------

# Since jax 0.11 `shape` is that of the result without the categories.
_SHAPE_HAS_CATEGORIES = jax.__version_info__ < (0, 11)


def multinomial(
    key: Any,
    n: Any,
    p: Any,
    *,
    shape: Any = None,
    dtype: Any = None,
    unroll: int | bool = 1,
) -> Array:
    """Samples of the multinomial distribution: how many of `n` trials fall into each category.

    Args:
      key: a key.
      n: number of trials (...).
      p: probabilities (..., categories), which add up to 1.
      shape: shape of the result without the categories (with them before jax 0.11); that of the
        parameters by default.
      dtype: dtype of the result, the default float by default.
      unroll: see `lax.scan`, which goes over the categories.
    """
    typed, _ = as_key("multinomial", key)
    n, p = jnp.asarray(n), jnp.asarray(p)
    kind = inexact_dtype(promoted(n, p)[0])
    n, p = lax.convert_element_type(n, kind), lax.convert_element_type(p, kind)
    categories = p.shape[-1]
    if shape is None:
        sizes = p.shape[:-1]
    elif _SHAPE_HAS_CATEGORIES:
        sizes = shape_of(shape)[:-1]
    else:
        sizes = shape_of(shape)
        check_shape("multinomial", (*sizes, categories), n[..., None], p)
    n = jnp.broadcast_to(n, sizes)
    p = jnp.moveaxis(jnp.broadcast_to(p, (*sizes, categories)), -1, 0)
    rest = lax.cumsum(p, 0, reverse=True)
    ratios = p / jnp.where(rest == 0, 1, rest)

    def step(left: Any, ratio_and_key: Any) -> Any:
        ratio, subkey = ratio_and_key
        count = binomial(subkey, left, jnp.clip(ratio, 0, 1), dtype=left.dtype)
        return left - count, count

    keys = bind(random_split_p, typed, shape=(categories,))
    _, counts = lax.scan(step, n, (ratios, keys), unroll=unroll)
    return jnp.moveaxis(counts, 0, -1).astype(dtype)


@partial(jit, static_argnames=("shape", "dtype"))
def _geometric(key: Any, p: Any, *, shape: Shape, dtype: Any) -> Array:
    p = inexact("geometric", p)
    u = uniform_bits(key, 0.0, 1.0, shape, aval_of(p).dtype)
    u = jnp.where(u == 0, 1, u)
    log_miss = at_rank(lax.log1p(-p), len(shape))
    return (lax.floor(jnp.divide(lax.log(u), log_miss)) + 1).astype(dtype)


def geometric(
    key: Any, p: Any, shape: Any = None, dtype: Any = None, *, out_sharding: Any = None
) -> Array:
    """Samples of the geometric distribution: the first of a series of trials that succeeds.

    Args:
      key: a key.
      p: probability of success, broadcast to `shape`.
      shape: shape of the result; that of `p` by default.
      dtype: an integer dtype, int32 by default.

    Raises:
      ValueError: the dtype is no integer dtype.
    """
    if out_sharding is not None:
        return jax.random.geometric(key, p, shape, dtype, out_sharding=out_sharding)
    typed, _ = as_key("geometric", key)
    own = backend.user_dtype(int if dtype is None else dtype)
    if not jax.dtypes.issubdtype(own, np.integer):
        raise ValueError(f"dtype argument to `geometric` must be an int dtype, got {own}")
    return _geometric(typed, p, shape=full_shape("geometric", shape, p), dtype=own)
