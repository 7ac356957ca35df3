"""Samples that are vectors and matrices: normal vectors, balls, orthogonal matrices."""

from __future__ import annotations

from functools import partial
from operator import index
from typing import Any

import jax
import numpy as np

import jaxcore.numpy as jnp
from jaxcore import backend, lax
from jaxcore.jit import jit
from jaxcore.numpy.promote import float_dtype as inexact_dtype
from jaxcore.numpy.promote import promoted
from jaxcore.ops.random import random_split_p
from jaxcore.random.arguments import Shape, float_dtype
from jaxcore.random.continuous import exponential, normal
from jaxcore.random.discrete import rademacher
from jaxcore.random.gammas import gamma
from jaxcore.random.keys import as_key, shape_of
from jaxcore.trace import aval_of, bind

__all__ = ["ball", "generalized_normal", "multivariate_normal", "orthogonal"]

Array = jax.Array


# --- normal vectors -----------------------------------------------------------------------------


def _factor(cov: Any, method: str) -> Any:
    """A matrix whose product with its transpose is `cov`."""
    if method == "svd":
        u, s, _ = jnp.linalg.svd(cov)
        return u * jnp.sqrt(s[..., None, :])
    if method == "eigh":
        w, v = jnp.linalg.eigh(cov)
        return v * jnp.sqrt(w[..., None, :])
    return jnp.linalg.cholesky(cov)


@partial(jit, static_argnames=("shape", "dtype", "method"))
def _multivariate_normal(
    key: Any, mean: Any, cov: Any, *, shape: Shape | None, dtype: Any, method: str
) -> Array:
    means, covs = aval_of(mean).shape, aval_of(cov).shape
    if not means:
        raise ValueError("multivariate_normal requires mean.ndim >= 1, got mean.ndim == 0")
    if len(covs) < 2:
        raise ValueError(f"multivariate_normal requires cov.ndim >= 2, got cov.ndim == {len(covs)}")
    n = means[-1]
    if covs[-2:] != (n, n):
        raise ValueError(
            f"multivariate_normal requires cov.shape == (..., n, n) for n={n}, but got "
            f"cov.shape == {covs}."
        )
    batch = np.broadcast_shapes(means[:-1], covs[:-2])
    if shape is None:
        shape = batch
    elif np.broadcast_shapes(shape, batch) != shape:
        raise ValueError(
            f"multivariate_normal: shape argument {shape} does not hold the batch {batch} of mean "
            "and cov."
        )
    z = normal(key, (*shape, n), dtype)
    with jax.numpy_rank_promotion("allow"):
        return mean + jnp.einsum("...ij,...j->...i", _factor(cov, method), z)


def multivariate_normal(
    key: Any,
    mean: Any,
    cov: Any,
    shape: Any = None,
    dtype: Any = None,
    method: str = "cholesky",
    *,
    out_sharding: Any = None,
) -> Array:
    """Normal vectors of a mean and a covariance.

    Args:
      key: a key.
      mean: array (..., n).
      cov: positive definite matrices (..., n, n).
      shape: shape of the result without its last axis; by default that of the parameters.
      dtype: a float dtype, that of the parameters by default.
      method: how a root of `cov` is found: "cholesky", or for singular matrices "eigh" or "svd".

    Raises:
      ValueError: an unknown method, or shapes that do not fit.
    """
    if out_sharding is not None:
        return jax.random.multivariate_normal(
            key, mean, cov, shape, dtype, method, out_sharding=out_sharding
        )
    typed, _ = as_key("multivariate_normal", key)
    if method not in ("svd", "eigh", "cholesky"):
        raise ValueError(f"method must be one of {{'svd', 'eigh', 'cholesky'}}, got {method!r}")
    mean, cov = jnp.asarray(mean), jnp.asarray(cov)
    kind = inexact_dtype(promoted(mean, cov)[0])
    mean, cov = lax.convert_element_type(mean, kind), lax.convert_element_type(cov, kind)
    own = kind if dtype is None else backend.user_dtype(dtype)
    own = float_dtype("multivariate_normal", own)
    sizes = None if shape is None else shape_of(shape)
    return _multivariate_normal(typed, mean, cov, shape=sizes, dtype=own, method=method)


# --- orthogonal matrices ------------------------------------------------------------------------


@partial(jit, static_argnames=("n", "m", "shape", "dtype"))
def _orthogonal(key: Any, *, n: int, m: int, shape: Shape, dtype: Any) -> Array:
    """The orthogonal factor of a normal matrix, with the signs that make it uniform."""
    z = normal(key, (*shape, max(n, m), min(n, m)), dtype)
    q, r = jnp.linalg.qr(z)
    signs = jnp.sign(jnp.linalg.diagonal(r))
    x = q * jnp.expand_dims(signs, -2)
    return x.mT if n < m else x


def orthogonal(
    key: Any,
    n: int,
    shape: Any = (),
    dtype: Any = None,
    m: int | None = None,
    *,
    out_sharding: Any = None,
) -> Array:
    """Uniformly distributed orthogonal matrices of n rows and `m` (by default n) columns.

    Mezzadri, "How to generate random matrices from the classical compact groups", 2006.

    Args:
      key: a key.
      n: rows.
      shape: leading shape of the result.
      dtype: a float or complex dtype, float32 by default.
      m: columns; if there are fewer rows, those are orthogonal instead.
    """
    if out_sharding is not None:
        return jax.random.orthogonal(key, n, shape, dtype, m, out_sharding=out_sharding)
    sizes = shape_of(shape)
    typed, _ = as_key("orthogonal", key)
    own = backend.user_dtype(float if dtype is None else dtype)
    rows = index(n)
    columns = rows if m is None else index(m)
    return _orthogonal(typed, n=rows, m=columns, shape=sizes, dtype=own)


# --- balls --------------------------------------------------------------------------------------


@partial(jit, static_argnames=("shape", "dtype"))
def _generalized_normal(key: Any, p: Any, *, shape: Shape, dtype: Any) -> Array:
    keys = bind(random_split_p, key, shape=(2,))
    size = gamma(keys[0], 1 / p, shape, dtype)
    sign = rademacher(keys[1], shape, dtype)
    return sign * size ** (1 / p)


def generalized_normal(
    key: Any, p: Any, shape: Any = (), dtype: Any = None, *, out_sharding: Any = None
) -> Array:
    """Samples with the density exp(-|x|^p), up to a factor: p = 2 is normal, 1 Laplace.

    Args:
      key: a key.
      p: the exponent.
      shape: shape of the result.
      dtype: a float dtype, float32 by default.
    """
    if out_sharding is not None:
        return jax.random.generalized_normal(key, p, shape, dtype, out_sharding=out_sharding)
    sizes = shape_of(shape)
    typed, _ = as_key("generalized_normal", key)
    own = backend.user_dtype(float if dtype is None else dtype)
    return _generalized_normal(typed, p, shape=sizes, dtype=own)


@partial(jit, static_argnames=("d", "shape", "dtype"))
def _ball(key: Any, p: Any, *, d: int, shape: Shape, dtype: Any) -> Array:
    """Barthe et al., "A probabilistic approach to the geometry of the l_p^n-ball", 2005."""
    keys = bind(random_split_p, key, shape=(2,))
    g = generalized_normal(keys[0], p, (*shape, d), dtype)
    e = exponential(keys[1], shape, dtype)
    return g / (((jnp.abs(g) ** p).sum(-1) + e) ** (1 / p))[..., None]


def ball(
    key: Any,
    d: int,
    p: Any = 2,
    shape: Any = (),
    dtype: Any = None,
    *,
    out_sharding: Any = None,
) -> Array:
    """Points that are uniform in the unit ball of the p-norm in `d` dimensions.

    Args:
      key: a key.
      d: dimensions.
      p: exponent of the norm.
      shape: shape of the result without its last axis.
      dtype: a float dtype, float32 by default.
    """
    if out_sharding is not None:
        return jax.random.ball(key, d, p, shape, dtype, out_sharding=out_sharding)
    sizes = shape_of(shape)
    typed, _ = as_key("ball", key)
    own = backend.user_dtype(float if dtype is None else dtype)
    return _ball(typed, p, d=index(d), shape=sizes, dtype=own)
