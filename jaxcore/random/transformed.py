"""Samples that a formula makes of uniform, normal or exponential ones, bit for bit JAX's."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import numpy as np

import jaxcore.numpy as jnp
from jaxcore import lax
from jaxcore.jit import jit
from jaxcore.ops.random import random_split_p
from jaxcore.random.arguments import (
    Shape,
    at_rank,
    check_cast,
    float_dtype,
    full_shape,
    spread,
)
from jaxcore.random.continuous import exponential, normal, uniform_bits
from jaxcore.random.discrete import rademacher
from jaxcore.random.keys import as_key, shape_of
from jaxcore.trace import aval_of, bind

__all__ = [
    "cauchy",
    "double_sided_maxwell",
    "lognormal",
    "maxwell",
    "pareto",
    "rayleigh",
    "triangular",
    "wald",
    "weibull_min",
]

Array = jax.Array
_ONE = np.float32(1)


def _start(name: str, key: Any, shape: Any, dtype: Any, *parameters: Any) -> tuple[Any, Any, Any]:
    """The typed key, the shape and the dtype of a sampler whose parameters take that dtype."""
    typed, _ = as_key(name, key)
    own = float_dtype(name, dtype)
    sizes = full_shape(name, shape, *parameters)
    check_cast(name, own, *parameters)
    return typed, sizes, own


# --- of a uniform sample ------------------------------------------------------------------------


@partial(jit, static_argnames=("shape", "dtype"))
def _cauchy(key: Any, *, shape: Shape, dtype: Any) -> Array:
    u = uniform_bits(key, jnp.finfo(dtype).eps, 1.0, shape, dtype)
    half, pi = dtype.type(0.5), dtype.type(np.pi)
    return lax.tan(lax.mul(pi, lax.sub(u, half)))


def cauchy(key: Any, shape: Any = (), dtype: Any = None, *, out_sharding: Any = None) -> Array:
    """Samples of the standard Cauchy distribution: tan(π · (u - 1/2))."""
    if out_sharding is not None:
        return jax.random.cauchy(key, shape, dtype, out_sharding=out_sharding)
    typed, _ = as_key("cauchy", key)
    own = float_dtype("cauchy", dtype)
    return _cauchy(typed, shape=shape_of(shape), dtype=np.dtype(own))


@partial(jit, static_argnames=("shape", "dtype"))
def _rayleigh(key: Any, scale: Any, *, shape: Shape, dtype: Any) -> Array:
    u = uniform_bits(key, 0.0, 1.0, shape, dtype)
    length = lax.sqrt(lax.mul(lax.log(u), np.asarray(-2, dtype)[()]))
    return lax.mul(spread(scale, dtype, shape), length)


def rayleigh(
    key: Any, scale: Any, shape: Any = None, dtype: Any = None, *, out_sharding: Any = None
) -> Array:
    """Samples of the Rayleigh distribution: scale · √(-2 · log(u)).

    Args:
      key: a key.
      scale: scale, broadcast to `shape`.
      shape: shape of the result; that of `scale` by default.
      dtype: a float dtype, float32 by default.
    """
    if out_sharding is not None:
        return jax.random.rayleigh(key, scale, shape, dtype, out_sharding=out_sharding)
    typed, sizes, own = _start("rayleigh", key, shape, dtype, scale)
    return _rayleigh(typed, scale, shape=sizes, dtype=own)


@partial(jit, static_argnames=("shape", "dtype"))
def _triangular(key: Any, left: Any, mode: Any, right: Any, *, shape: Shape, dtype: Any) -> Array:
    left, mode, right = (spread(x, dtype, shape) for x in (left, mode, right))
    share = (mode - left) / (right - left)
    u = uniform_bits(key, 0.0, 1.0, shape, dtype)
    low = left + lax.sqrt(u * (right - left) * (mode - left))
    high = right - lax.sqrt((1 - u) * (right - left) * (right - mode))
    return lax.select(u < share, low, high)


def triangular(
    key: Any,
    left: Any,
    mode: Any,
    right: Any,
    shape: Any = None,
    dtype: Any = None,
    *,
    out_sharding: Any = None,
) -> Array:
    """Samples of the triangular distribution on [left, right] with its peak at `mode`.

    Args:
      key: a key.
      left, mode, right: parameters, broadcast to `shape`.
      shape: shape of the result; that of the parameters by default.
      dtype: a float dtype, float32 by default.
    """
    if out_sharding is not None:
        return jax.random.triangular(
            key, left, mode, right, shape, dtype, out_sharding=out_sharding
        )
    typed, sizes, own = _start("triangular", key, shape, dtype, left, mode, right)
    return _triangular(typed, left, mode, right, shape=sizes, dtype=own)


@partial(jit, static_argnames=("shape", "dtype"))
def _weibull_min(key: Any, scale: Any, concentration: Any, *, shape: Shape, dtype: Any) -> Array:
    u = uniform_bits(key, 0, 1, shape, dtype)
    power = at_rank(1.0 / concentration, len(shape))
    return jnp.power(-jnp.log1p(-u), power) * at_rank(scale, len(shape))


def weibull_min(
    key: Any, scale: Any, concentration: Any, shape: Any = (), dtype: Any = None
) -> Array:
    """Samples of the Weibull distribution: scale · (-log(1 - u))^(1 / concentration).

    Args:
      key: a key.
      scale, concentration: parameters, which broadcast with `shape`.
      shape: shape of the uniform samples.
      dtype: their float dtype, float32 by default.
    """
    typed, _ = as_key("weibull_min", key)
    own = float_dtype("weibull_min", dtype)
    return _weibull_min(typed, scale, concentration, shape=shape_of(shape), dtype=own)


@partial(jit, static_argnames=("shape", "dtype"))
def _pareto(key: Any, b: Any, *, shape: Shape, dtype: Any) -> Array:
    b = at_rank(lax.convert_element_type(b, dtype), len(shape))
    return lax.exp(exponential(key, shape, dtype) / b)


def pareto(
    key: Any, b: Any, shape: Any = None, dtype: Any = None, *, out_sharding: Any = None
) -> Array:
    """Samples of the Pareto distribution on [1, inf) with the exponent `b`.

    Args:
      key: a key.
      b: exponent, broadcast to `shape`.
      shape: shape of the result; that of `b` by default.
      dtype: a float dtype, float32 by default.
    """
    if out_sharding is not None:
        return jax.random.pareto(key, b, shape, dtype, out_sharding=out_sharding)
    typed, sizes, own = _start("pareto", key, shape, dtype, b)
    return _pareto(typed, b, shape=sizes, dtype=own)


# --- of normal samples --------------------------------------------------------------------------


@partial(jit, static_argnames=("shape", "dtype"))
def _lognormal(key: Any, sigma: Any, *, shape: Shape, dtype: Any) -> Array:
    sigma = at_rank(lax.convert_element_type(sigma, dtype), len(shape))
    return lax.exp(normal(key, shape, dtype) * sigma)


def lognormal(
    key: Any,
    sigma: Any = _ONE,
    shape: Any = None,
    dtype: Any = None,
    *,
    out_sharding: Any = None,
) -> Array:
    """Samples whose logarithms are normal with mean 0 and deviation `sigma`.

    Args:
      key: a key.
      sigma: deviation of the logarithm, broadcast to `shape`.
      shape: shape of the result; that of `sigma` by default.
      dtype: a float or complex dtype, float32 by default.
    """
    if out_sharding is not None:
        return jax.random.lognormal(key, sigma, shape, dtype, out_sharding=out_sharding)
    typed, _ = as_key("lognormal", key)
    own = float_dtype("lognormal", dtype, np.inexact, "float or complex")
    sizes = full_shape("lognormal", shape, sigma)
    check_cast("lognormal", own, sigma)
    return _lognormal(typed, sigma, shape=sizes, dtype=own)


@partial(jit, static_argnames=("shape", "dtype"))
def _wald(key: Any, mean: Any, *, shape: Shape, dtype: Any) -> Array:
    """Michael, Schucany and Haas, "Generating random variates using transformations with multiple
    roots", 1976.
    """
    keys = bind(random_split_p, key, shape=(2,))
    mean = spread(mean, dtype, shape)
    square = lax.integer_pow(normal(keys[0], shape, dtype), 2)
    u = uniform_bits(keys[1], 0.0, 1.0, shape, dtype)
    mean_square = lax.integer_pow(mean, 2)
    root = lax.sqrt(4 * mean * square + mean_square * lax.integer_pow(square, 2))
    x = mean + mean_square * square / 2 - mean / 2 * root
    return lax.select(lax.le(u, mean / (mean + x)), x, mean_square / x)


def wald(
    key: Any, mean: Any, shape: Any = None, dtype: Any = None, *, out_sharding: Any = None
) -> Array:
    """Samples of the Wald (inverse Gaussian) distribution of scale 1.

    Args:
      key: a key.
      mean: mean, broadcast to `shape`.
      shape: shape of the result; that of `mean` by default.
      dtype: a float dtype, float32 by default.
    """
    if out_sharding is not None:
        return jax.random.wald(key, mean, shape, dtype, out_sharding=out_sharding)
    typed, sizes, own = _start("wald", key, shape, dtype, mean)
    return _wald(typed, mean, shape=sizes, dtype=own)


@partial(jit, static_argnames=("shape", "dtype"))
def _maxwell(key: Any, *, shape: Shape, dtype: Any) -> Array:
    parts = normal(key, (*shape, 3), dtype)
    return jnp.sqrt(jnp.sum(parts * parts, axis=-1))


def maxwell(key: Any, shape: Any = (), dtype: Any = None, *, out_sharding: Any = None) -> Array:
    """Samples of the Maxwell distribution: the lengths of normal vectors in three dimensions."""
    if out_sharding is not None:
        return jax.random.maxwell(key, shape, dtype, out_sharding=out_sharding)
    typed, _ = as_key("maxwell", key)
    own = float_dtype("maxwell", dtype)
    return _maxwell(typed, shape=shape_of(shape), dtype=own)


@partial(jit, static_argnames=("shape", "dtype"))
def _double_sided_maxwell(key: Any, loc: Any, scale: Any, *, shape: Shape, dtype: Any) -> Array:
    parameters = np.broadcast_shapes(aval_of(loc).shape, aval_of(scale).shape)
    full = (shape or parameters) + parameters
    keys = bind(random_split_p, key, shape=(2,))
    size, sign = maxwell(keys[0], full, dtype), rademacher(keys[1], full, dtype)
    return sign * size * at_rank(scale, len(full)) + at_rank(loc, len(full))


def double_sided_maxwell(
    key: Any, loc: Any, scale: Any, shape: Any = (), dtype: Any = None
) -> Array:
    """Maxwell samples with random signs, times `scale`, plus `loc`.

    Args:
      key: a key.
      loc, scale: location and scale.
      shape: leading shape of the result, which ends with that of the parameters; if it is (), that
        of the parameters again, as in JAX.
      dtype: a float dtype, float32 by default.
    """
    typed, _ = as_key("double_sided_maxwell", key)
    own = float_dtype("double_sided_maxwell", dtype)
    return _double_sided_maxwell(typed, loc, scale, shape=shape_of(shape), dtype=own)
