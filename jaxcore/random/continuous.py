"""Samples of continuous distributions, bit for bit those of JAX.

Each sampler is a function that is traced once for each shape and dtype; what differs between
calls are the key and the bounds.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import numpy as np

import jaxcore.numpy as jnp
from jaxcore import backend, lax
from jaxcore.jit import jit
from jaxcore.ops.random import random_split_p
from jaxcore.random.arguments import Shape, at_rank, cast, check_shape, float_dtype
from jaxcore.random.keys import as_key, raw_bits, shape_of
from jaxcore.trace import aval_of, bind

__all__ = [
    "exponential",
    "gumbel",
    "laplace",
    "logistic",
    "normal",
    "plain_gumbel",
    "truncated_normal",
    "uniform",
    "uniform_bits",
]

Array = jax.Array
_UINT = {n: np.dtype(f"uint{n}") for n in (8, 16, 32, 64)}


# --- uniform ------------------------------------------------------------------------------------


def uniform_bits(key: Any, minval: Any, maxval: Any, shape: Shape, dtype: Any) -> Array:
    """Uniform floats: random mantissas under the exponent of 1, minus 1, scaled to the range."""
    info = jnp.finfo(dtype)
    if info.bits not in _UINT:
        raise TypeError(f"uniform only accepts 8-, 16-, 32-, or 64-bit dtypes, got {dtype}.")
    low = at_rank(cast(minval, dtype), len(shape))
    high = at_rank(cast(maxval, dtype), len(shape))
    words = _UINT[info.bits]
    drawn = 8 if info.nmant < 8 else info.bits
    bits = lax.convert_element_type(raw_bits(key, drawn, shape), words)
    mantissa = lax.shift_right_logical(bits, words.type(drawn - info.nmant))
    one = np.array(1.0, dtype)
    unit = lax.bitcast_convert_type(lax.bitwise_or(mantissa, one.view(words)[()]), dtype) - one
    return jnp.maximum(low, jnp.reshape(unit * (high - low) + low, shape))


@partial(jit, static_argnames=("shape", "dtype"))
def _uniform(key: Any, minval: Any, maxval: Any, *, shape: Shape, dtype: Any) -> Array:
    return uniform_bits(key, minval, maxval, shape, dtype)


def uniform(
    key: Any,
    shape: Any = (),
    dtype: Any = None,
    minval: Any = 0.0,
    maxval: Any = 1.0,
    *,
    out_sharding: Any = None,
) -> Array:
    """Uniform samples in [minval, maxval).

    Args:
      key: a key.
      shape: shape of the result.
      dtype: a float dtype, float32 by default.
      minval, maxval: the range, broadcast to `shape`.

    Raises:
      ValueError: the dtype is no float dtype.

    Example:
      >>> from jaxcore import random
      >>> print(random.uniform(random.key(0), (2,)))
      [0.947667  0.9785799]
    """
    if out_sharding is not None:
        return jax.random.uniform(key, shape, dtype, minval, maxval, out_sharding=out_sharding)
    typed, _ = as_key("uniform", key)
    own = float_dtype("uniform", dtype)
    return _uniform(typed, minval, maxval, shape=shape_of(shape), dtype=own)


# --- normal -------------------------------------------------------------------------------------


def _normal_real(key: Any, shape: Shape, dtype: Any) -> Array:
    """√2 · erf⁻¹(u) with u uniform in (-1, 1)."""
    low = np.nextafter(np.array(-1.0, dtype), np.array(0.0, dtype), dtype=dtype)
    u = uniform_bits(key, low, np.array(1.0, dtype)[()], shape, dtype)
    return lax.mul(np.array(np.sqrt(2), dtype)[()], lax.erf_inv(u))


@partial(jit, static_argnames=("shape", "dtype"))
def _normal(key: Any, *, shape: Shape, dtype: Any) -> Array:
    if not jax.dtypes.issubdtype(dtype, np.complexfloating):
        return _normal_real(key, shape, dtype)
    keys = bind(random_split_p, key, shape=(2,))
    part = np.zeros((), dtype).real.dtype
    real, imag = (
        lax.convert_element_type(_normal_real(keys[i], shape, part), dtype) for i in (0, 1)
    )
    return (real + 1j * imag) / np.array(np.sqrt(2), dtype)[()]


def normal(key: Any, shape: Any = (), dtype: Any = None, *, out_sharding: Any = None) -> Array:
    """Samples of the standard normal distribution, real or complex.

    Example:
      >>> from jaxcore import random
      >>> random.normal(random.key(0), (2, 3)).shape
      (2, 3)
    """
    if out_sharding is not None:
        return jax.random.normal(key, shape, dtype, out_sharding=out_sharding)
    typed, _ = as_key("normal", key)
    sizes = shape_of(shape)
    own = float_dtype("normal", dtype, np.inexact, "float or complex")
    return _normal(typed, shape=sizes, dtype=own)


@partial(jit, static_argnames=("shape", "dtype"))
def _truncated_normal(
    key: Any, lower: Any, upper: Any, *, shape: Shape | None, dtype: Any
) -> Array:
    if shape is None:
        shape = np.broadcast_shapes(aval_of(lower).shape, aval_of(upper).shape)
    else:
        check_shape("truncated_normal", shape, lower, upper)
    root = np.array(np.sqrt(2), dtype)[()]
    lower = lax.convert_element_type(lower, dtype)
    upper = lax.convert_element_type(upper, dtype)
    u = uniform_bits(key, lax.erf(lower / root), lax.erf(upper / root), shape, dtype)
    # Rounding must not lead out of the open interval.
    infinity = np.array(np.inf, dtype)[()]
    inside_low = lax.nextafter(lax.stop_gradient(lower), infinity)
    inside_high = lax.nextafter(lax.stop_gradient(upper), -infinity)
    rank = len(shape)
    return jnp.clip(root * lax.erf_inv(u), at_rank(inside_low, rank), at_rank(inside_high, rank))


def truncated_normal(
    key: Any,
    lower: Any,
    upper: Any,
    shape: Any = None,
    dtype: Any = None,
    *,
    out_sharding: Any = None,
) -> Array:
    """Samples of the standard normal distribution, given that they fall in (lower, upper).

    Args:
      key: a key.
      lower, upper: bounds, broadcast to `shape`.
      shape: shape of the result; that of the bounds by default.
      dtype: a float dtype, float32 by default.
    """
    if out_sharding is not None:
        return jax.random.truncated_normal(
            key, lower, upper, shape, dtype, out_sharding=out_sharding
        )
    sizes = None if shape is None else shape_of(shape)
    typed, _ = as_key("truncated_normal", key)
    own = float_dtype("truncated_normal", dtype)
    return _truncated_normal(typed, lower, upper, shape=sizes, dtype=own)


# --- from one uniform sample --------------------------------------------------------------------


@partial(jit, static_argnames=("shape", "dtype"))
def _exponential(key: Any, *, shape: Shape, dtype: Any) -> Array:
    return lax.neg(lax.log1p(lax.neg(uniform_bits(key, 0.0, 1.0, shape, dtype))))


def exponential(key: Any, shape: Any = (), dtype: Any = None, *, out_sharding: Any = None) -> Array:
    """Samples of the exponential distribution of rate 1: -log(1 - u)."""
    if out_sharding is not None:
        return jax.random.exponential(key, shape, dtype, out_sharding=out_sharding)
    typed, _ = as_key("exponential", key)
    own = float_dtype("exponential", dtype)
    return _exponential(typed, shape=shape_of(shape), dtype=own)


@partial(jit, static_argnames=("shape", "dtype"))
def _laplace(key: Any, *, shape: Shape, dtype: Any) -> Array:
    u = uniform_bits(key, -1.0 + jnp.finfo(dtype).epsneg, 1.0, shape, dtype)
    return lax.mul(lax.sign(u), lax.log1p(lax.neg(lax.abs(u))))


def laplace(key: Any, shape: Any = (), dtype: Any = None, *, out_sharding: Any = None) -> Array:
    """Samples of the Laplace distribution of scale 1: sign(u) · log(1 - |u|)."""
    if out_sharding is not None:
        return jax.random.laplace(key, shape, dtype, out_sharding=out_sharding)
    typed, _ = as_key("laplace", key)
    own = float_dtype("laplace", dtype)
    return _laplace(typed, shape=shape_of(shape), dtype=own)


@partial(jit, static_argnames=("shape", "dtype"))
def _logistic(key: Any, *, shape: Shape, dtype: Any) -> Array:
    u = uniform_bits(key, jnp.finfo(dtype).tiny, 1.0, shape, dtype)
    return lax.sub(lax.log(u), lax.log1p(lax.neg(u)))


def logistic(key: Any, shape: Any = (), dtype: Any = None, *, out_sharding: Any = None) -> Array:
    """Samples of the logistic distribution: log(u) - log(1 - u)."""
    if out_sharding is not None:
        return jax.random.logistic(key, shape, dtype, out_sharding=out_sharding)
    typed, _ = as_key("logistic", key)
    own = float_dtype("logistic", dtype)
    return _logistic(typed, shape=shape_of(shape), dtype=own)


@partial(jit, static_argnames=("shape", "dtype"))
def _gumbel(key: Any, *, shape: Shape, dtype: Any) -> Array:
    u = uniform_bits(key, jnp.finfo(dtype).tiny, 1.0, shape, dtype)
    return lax.neg(lax.log(lax.neg(lax.log(u))))


def plain_gumbel(mode: str | None) -> bool:
    """Whether `mode` means the sampler of one uniform sample, the only one that is native."""
    return mode == "low" or (mode is None and not backend.flag("jax_high_dynamic_range_gumbel"))


def gumbel(
    key: Any,
    shape: Any = (),
    dtype: Any = None,
    mode: str | None = None,
    *,
    out_sharding: Any = None,
) -> Array:
    """Samples of the standard Gumbel distribution: -log(-log(u)).

    Args:
      key: a key.
      shape: shape of the result.
      dtype: a float dtype, float32 by default.
      mode: ``"low"`` (the default), ``"high"`` or ``"highest"``: how finely the tail is sampled.
    """
    if out_sharding is not None or not plain_gumbel(mode):
        return jax.random.gumbel(key, shape, dtype, mode, out_sharding=out_sharding)
    typed, _ = as_key("gumbel", key)
    own = float_dtype("gumbel", dtype)
    return _gumbel(typed, shape=shape_of(shape), dtype=own)
