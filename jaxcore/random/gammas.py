"""The gamma distribution and what is made of it: beta, Dirichlet, chi-square, F and Student's t.

With ``method="approximate"`` the samplers are JAX's (since 0.12), running on our traces.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax

import jaxcore.numpy as jnp
from jaxcore import lax
from jaxcore.jit import jit
from jaxcore.ops.random import random_split_p
from jaxcore.ops.random_gamma import random_gamma_p
from jaxcore.random.arguments import (
    Shape,
    at_rank,
    check_cast,
    check_shape,
    float_dtype,
    full_shape,
    left_to_jax,
    spread,
)
from jaxcore.random.continuous import normal
from jaxcore.random.keys import as_key, shape_of
from jaxcore.scipy.exponentials import softmax
from jaxcore.trace import aval_of, bind

__all__ = ["beta", "chisquare", "dirichlet", "f", "gamma", "loggamma", "t"]

Array = jax.Array


# --- gamma --------------------------------------------------------------------------------------


@partial(jit, static_argnames=("shape", "dtype", "log_space"))
def _gamma(key: Any, a: Any, *, shape: Shape | None, dtype: Any, log_space: bool) -> Array:
    sizes = full_shape("gamma", shape, a)
    return bind(random_gamma_p, key, spread(a, dtype, sizes), log_space=log_space)


def gamma(
    key: Any,
    a: Any,
    shape: Any = None,
    dtype: Any = None,
    *,
    method: str = "exact",
    out_sharding: Any = None,
) -> Array:
    """Samples of the gamma distribution of scale 1, differentiable by `a`.

    Args:
      key: a key.
      a: shape parameter, positive, broadcast to `shape`.
      shape: shape of the result; that of `a` by default.
      dtype: a float dtype, float32 by default.
      method: "exact", or "approximate" (since jax 0.12): without a loop and slightly biased.

    Example:
      >>> from jaxcore import random
      >>> random.gamma(random.key(0), 2.0, (3,)).shape
      (3,)
    """
    return _any_gamma("gamma", key, a, shape, dtype, method, out_sharding)


def loggamma(
    key: Any,
    a: Any,
    shape: Any = None,
    dtype: Any = None,
    *,
    method: str = "exact",
    out_sharding: Any = None,
) -> Array:
    """Logarithms of gamma samples, exact where the samples would be 0; see `gamma`."""
    return _any_gamma("loggamma", key, a, shape, dtype, method, out_sharding)


def _any_gamma(
    name: str, key: Any, a: Any, shape: Any, dtype: Any, method: str, out_sharding: Any
) -> Array:
    options = left_to_jax(name, method, out_sharding)
    if options is not None:
        return getattr(jax.random, name)(key, a, shape, dtype, **options)
    typed, _ = as_key(name, key)
    own = float_dtype("gamma", dtype)
    sizes = None if shape is None else shape_of(shape)
    return _gamma(typed, a, shape=sizes, dtype=own, log_space=name == "loggamma")


# --- made of gamma samples ----------------------------------------------------------------------


@partial(jit, static_argnames=("shape", "dtype"))
def _beta(key: Any, a: Any, b: Any, *, shape: Shape, dtype: Any) -> Array:
    """x / (x + y) of gamma samples, from their logarithms."""
    keys = bind(random_split_p, key, shape=(2,))
    log_x, log_y = (
        bind(random_gamma_p, keys[i], spread(v, dtype, shape), log_space=True)
        for i, v in enumerate((a, b))
    )
    top = lax.max(log_x, log_y)
    x, y = jnp.exp(log_x - top), jnp.exp(log_y - top)
    return x / (x + y)


def beta(
    key: Any,
    a: Any,
    b: Any,
    shape: Any = None,
    dtype: Any = None,
    *,
    method: str = "exact",
    out_sharding: Any = None,
) -> Array:
    """Samples of the beta distribution of the positive parameters `a` and `b`.

    Args:
      key: a key.
      a, b: parameters, broadcast to `shape`.
      shape: shape of the result; that of the parameters by default.
      dtype: a float dtype, float32 by default.
      method: see `gamma`.
    """
    options = left_to_jax("beta", method, out_sharding)
    if options is not None:
        return jax.random.beta(key, a, b, shape, dtype, **options)
    typed, _ = as_key("beta", key)
    own = float_dtype("beta", dtype)
    check_cast("beta", own, a, b)
    return _beta(typed, a, b, shape=full_shape("beta", shape, a, b), dtype=own)


@partial(jit, static_argnames=("shape", "dtype"))
def _dirichlet(key: Any, alpha: Any, *, shape: Shape | None, dtype: Any) -> Array:
    sizes = aval_of(alpha).shape
    if not sizes:
        raise ValueError("dirichlet requires alpha.ndim >= 1, got alpha.ndim == 0")
    if shape is None:
        shape = sizes[:-1]
    check_shape("dirichlet", (*shape, sizes[-1]), alpha)
    logs = bind(random_gamma_p, key, spread(alpha, dtype, (*shape, sizes[-1])), log_space=True)
    return softmax(logs, -1)


def dirichlet(
    key: Any, alpha: Any, shape: Any = None, dtype: Any = None, *, out_sharding: Any = None
) -> Array:
    """Samples of the Dirichlet distribution: probabilities that add up to 1 along the last axis.

    Args:
      key: a key.
      alpha: positive concentrations (..., n).
      shape: shape of the result without its last axis; by default that of `alpha`.
      dtype: a float dtype, float32 by default.
    """
    if out_sharding is not None:
        return jax.random.dirichlet(key, alpha, shape, dtype, out_sharding=out_sharding)
    typed, _ = as_key("dirichlet", key)
    own = float_dtype("dirichlet", dtype)
    sizes = None if shape is None else shape_of(shape)
    return _dirichlet(typed, alpha, shape=sizes, dtype=own)


def _half(df: Any, dtype: Any) -> Any:
    df = lax.convert_element_type(df, dtype)
    return lax.div(df, dtype.type(2))


def _chi(key: Any, df: Any, shape: Shape, dtype: Any) -> Any:
    half = jnp.broadcast_to(_half(df, dtype), shape)
    return lax.mul(jnp.exp(bind(random_gamma_p, key, half, log_space=True)), dtype.type(2))


@partial(jit, static_argnames=("shape", "dtype"))
def _chisquare(key: Any, df: Any, *, shape: Shape, dtype: Any) -> Array:
    return _chi(key, df, shape, dtype)


def chisquare(
    key: Any,
    df: Any,
    shape: Any = None,
    dtype: Any = None,
    *,
    method: str = "exact",
    out_sharding: Any = None,
) -> Array:
    """Samples of the chi-square distribution with `df` degrees of freedom.

    Args:
      key: a key.
      df: degrees of freedom, broadcast to `shape`.
      shape: shape of the result; that of `df` by default.
      dtype: a float dtype, float32 by default.
      method: see `gamma`.
    """
    options = left_to_jax("chisquare", method, out_sharding)
    if options is not None:
        return jax.random.chisquare(key, df, shape, dtype, **options)
    typed, _ = as_key("chisquare", key)
    own = float_dtype("chisquare", dtype)
    sizes = full_shape("chisquare", shape, df)
    check_cast("chisquare", own, df)
    return _chisquare(typed, df, shape=sizes, dtype=own)


@partial(jit, static_argnames=("shape", "dtype"))
def _f(key: Any, dfnum: Any, dfden: Any, *, shape: Shape, dtype: Any) -> Array:
    keys = bind(random_split_p, key, shape=(2,))
    above, below = (
        _chi(k, df, shape, dtype) / at_rank(lax.convert_element_type(df, dtype), len(shape))
        for k, df in ((keys[1], dfnum), (keys[0], dfden))
    )
    return lax.div(above, below)


def f(
    key: Any,
    dfnum: Any,
    dfden: Any,
    shape: Any = None,
    dtype: Any = None,
    *,
    out_sharding: Any = None,
) -> Array:
    """Samples of Fisher's F distribution.

    Args:
      key: a key.
      dfnum, dfden: degrees of freedom of numerator and denominator, broadcast to `shape`.
      shape: shape of the result; that of the parameters by default.
      dtype: a float dtype, float32 by default.
    """
    if out_sharding is not None:
        return jax.random.f(key, dfnum, dfden, shape, dtype, out_sharding=out_sharding)
    typed, _ = as_key("f", key)
    own = float_dtype("f", dtype)
    sizes = full_shape("f", shape, dfnum, dfden)
    check_cast("f", own, dfnum, dfden)
    return _f(typed, dfnum, dfden, shape=sizes, dtype=own)


@partial(jit, static_argnames=("shape", "dtype"))
def _t(key: Any, df: Any, *, shape: Shape, dtype: Any) -> Array:
    keys = bind(random_split_p, key, shape=(2,))
    half = _half(df, dtype)
    squares = bind(random_gamma_p, keys[1], jnp.broadcast_to(half, shape), log_space=False)
    return normal(keys[0], shape, dtype) * jnp.sqrt(at_rank(half, len(shape)) / squares)


def t(
    key: Any, df: Any, shape: Any = None, dtype: Any = None, *, out_sharding: Any = None
) -> Array:
    """Samples of Student's t distribution with `df` degrees of freedom.

    Args:
      key: a key.
      df: degrees of freedom, broadcast to `shape`.
      shape: shape of the result; that of `df` by default.
      dtype: a float dtype, float32 by default.
    """
    if out_sharding is not None:
        return jax.random.t(key, df, shape, dtype, out_sharding=out_sharding)
    typed, _ = as_key("t", key)
    own = float_dtype("t", dtype)
    sizes = full_shape("t", shape, df)
    check_cast("t", own, df)
    return _t(typed, df, shape=sizes, dtype=own)
