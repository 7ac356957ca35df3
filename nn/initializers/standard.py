"""The initialisers of JAX: its names, arguments, defaults and bits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.nn.initializers import Initializer

import jaxcore.numpy as jnp
from jaxcore import Array, lax, random

from ..errors import InputError
from .made import Rule, as_values

Axes = int | Sequence[int]

# Before jax 0.11 normal samples were scaled after they were made, which rounds differently.
_SCALED_FIRST = jax.__version_info__ >= (0, 11)


def _float(dtype: Any) -> Any:
    return jnp.dtype(jnp.result_type(float) if dtype is None else dtype)


def _is_real(dtype: Any) -> bool:
    return jnp.issubdtype(dtype, jnp.floating)


# --- constants ----------------------------------------------------------------------------------


def zeros(key: Any, shape: Sequence[int], dtype: Any = None, out_sharding: Any = None) -> Array:
    """Zeros; it is an initialiser, not a factory of one.

    Example:
      >>> from jaxcore import nn, random
      >>> print(nn.initializers.zeros(random.key(0), (2,)))
      [0. 0.]
    """
    return jnp.zeros(shape, _float(dtype), **_sharded(out_sharding))


def ones(key: Any, shape: Sequence[int], dtype: Any = None, out_sharding: Any = None) -> Array:
    """Ones; it is an initialiser, not a factory of one."""
    return jnp.ones(shape, _float(dtype), **_sharded(out_sharding))


def _sharded(sharding: Any) -> dict[str, Any]:
    return {} if sharding is None else {"out_sharding": sharding}


def zeros_init() -> Initializer:
    """An initialiser of zeros, for symmetry with the others, which are all factories."""
    return zeros


def ones_init() -> Initializer:
    """An initialiser of ones."""
    return ones


@as_values
def constant(value: Any, dtype: Any = None) -> Rule:
    """An initialiser that fills with `value`, which broadcasts to the shape."""

    def init(key: Any, shape: Sequence[int], dtype: Any, out_sharding: Any) -> Array:
        return jnp.full(shape, value, _float(dtype), device=out_sharding)

    return init


# --- one distribution ---------------------------------------------------------------------------


@as_values
def uniform(scale: Any = 1e-2, dtype: Any = None) -> Rule:
    """An initialiser of uniform samples in [0, `scale`)."""

    def init(key: Any, shape: Sequence[int], dtype: Any, out_sharding: Any) -> Array:
        kind = _float(dtype)
        drawn = random.uniform(key, shape, kind, out_sharding=out_sharding)
        return drawn * jnp.array(scale, kind)

    return init


def _scaled_normal(key: Any, shape: Any, dtype: Any, scale: Any, out_sharding: Any) -> Array:
    if not _SCALED_FIRST or not _is_real(dtype):
        return random.normal(key, shape, dtype, out_sharding=out_sharding) * scale
    low = np.nextafter(np.array(-1, dtype), np.array(0, dtype), dtype=dtype)
    u = random.uniform(key, shape, dtype, low, np.array(1, dtype), out_sharding=out_sharding)
    return (jnp.array(np.sqrt(2), dtype) * scale) * lax.erf_inv(u)


@as_values
def normal(stddev: Any = 1e-2, dtype: Any = None) -> Rule:
    """An initialiser of normal samples with mean 0 and deviation `stddev`."""

    def init(key: Any, shape: Sequence[int], dtype: Any, out_sharding: Any) -> Array:
        kind = _float(dtype)
        return _scaled_normal(key, shape, kind, jnp.array(stddev, kind), out_sharding)

    return init


@as_values
def truncated_normal(
    stddev: Any = 1e-2, dtype: Any = None, lower: Any = -2.0, upper: Any = 2.0
) -> Rule:
    """An initialiser of normal samples that fall in (`lower`, `upper`), times `stddev`.

    The factor is not corrected: the result's deviation is smaller than `stddev`.
    """

    def init(key: Any, shape: Sequence[int], dtype: Any, out_sharding: Any) -> Array:
        kind = _float(dtype)
        drawn = random.truncated_normal(key, lower, upper, shape, kind, out_sharding=out_sharding)
        return drawn * jnp.array(stddev, kind)

    return init


# --- variance by the fan ------------------------------------------------------------------------


def _fans(
    shape: Sequence[int], in_axis: Axes, out_axis: Axes, batch_axis: Axes
) -> tuple[float, float]:
    """How many inputs feed an output, and how many outputs an input feeds."""
    if in_axis == -2 and len(shape) <= 1:
        raise InputError(
            f"Can't compute input and output sizes of a {len(shape)}-dimensional weights tensor "
            "with default in_axis. Must be at least 2D or specify in_axis explicitly."
        )
    size = lambda axes: (
        shape[axes] if isinstance(axes, int) else math.prod([shape[i] for i in axes])
    )
    inputs, outputs, batches = size(in_axis), size(out_axis), size(batch_axis)
    apart = inputs * outputs * batches
    field = math.prod(shape) / apart if apart else 0
    return inputs * field, outputs * field


def _polar(key: Any, radius: Any, shape: Any, real: Any, dtype: Any) -> Array:
    """Complex numbers of a radius made of uniform samples, in uniform directions."""
    key_radius, key_angle = random.split(key)
    r = radius(random.uniform(key_radius, shape, real))
    angle = 2 * np.pi * random.uniform(key_angle, shape, real).astype(dtype)
    return r * jnp.exp(1j * angle)


def _disc(key: Any, shape: Any, dtype: Any, limit: float | None) -> Array:
    """Complex samples: uniform in the unit disc, or normal and cut off at the radius `limit`."""
    real = np.zeros((), dtype).real.dtype
    if limit is None:
        return _polar(key, lambda u: jnp.sqrt(2 * u).astype(dtype), shape, real, dtype)
    share = 1 - jnp.exp(jnp.array(-(limit**2), dtype))
    radius = lambda u: jnp.sqrt(-jnp.log(1 - share * u.astype(dtype)))
    return _polar(key, radius, shape, real, dtype)


@as_values
def variance_scaling(
    scale: Any,
    mode: str,
    distribution: str,
    in_axis: Axes = -2,
    out_axis: Axes = -1,
    batch_axis: Axes = (),
    dtype: Any = None,
) -> Rule:
    """An initialiser whose samples have the variance `scale` / fan.

    Args:
      scale: factor of the variance.
      mode: the fan: "fan_in" (inputs of an output), "fan_out" (outputs of an input), "fan_avg"
        (their mean) or "fan_geo_avg" (their geometric mean).
      distribution: "truncated_normal" (cut off at two deviations), "normal" or "uniform".
      in_axis, out_axis: the axes of inputs and outputs; all others count as a receptive field,
      batch_axis: except these, along which there are separate weights.
      dtype: default of the initialiser's argument.

    Raises:
      ValueError: an unknown mode or distribution, or a shape of rank 0 or 1 with the default axes;
        all when the initialiser is called.

    Example:
      >>> from jaxcore import nn, random
      >>> init = nn.initializers.variance_scaling(1.0, "fan_in", "normal")
      >>> init(random.key(0), (3, 5)).shape
      (3, 5)
    """

    def init(key: Any, shape: Sequence[int], dtype: Any, out_sharding: Any) -> Array:
        shape, kind = tuple(shape), _float(dtype)
        fan_in, fan_out = _fans(shape, in_axis, out_axis, batch_axis)
        fans = {
            "fan_in": fan_in,
            "fan_out": fan_out,
            "fan_avg": (fan_in + fan_out) / 2,
            "fan_geo_avg": (fan_in * fan_out) ** 0.5,
        }
        if mode not in fans:
            raise InputError(
                f"invalid mode for variance scaling initializer: {mode!r}. Expected one of "
                f"{list(fans)}."
            )
        fan = fans[mode]
        variance = jnp.array(scale / fan if fan else 0, kind)
        real = _is_real(kind)
        if distribution == "truncated_normal":
            # What is left of the deviation when the tails are cut off.
            rest = 0.87962566103423978 if real else 0.95311164380491208
            stddev = jnp.sqrt(variance) / jnp.array(rest, kind)
            if not real:
                return _disc(key, shape, kind, 2) * stddev
            drawn = random.truncated_normal(key, -2, 2, shape, kind, out_sharding=out_sharding)
            return drawn * stddev
        if distribution == "normal":
            return _scaled_normal(key, shape, kind, jnp.sqrt(variance), out_sharding)
        if distribution == "uniform":
            if not real:
                return _disc(key, shape, kind, None) * jnp.sqrt(variance)
            drawn = random.uniform(key, shape, kind, -1, out_sharding=out_sharding)
            return drawn * jnp.sqrt(3 * variance)
        raise InputError(
            f"invalid distribution for variance scaling initializer: {distribution!r}. Expected "
            "'truncated_normal', 'normal' or 'uniform'."
        )

    return init


def glorot_uniform(
    in_axis: Axes = -2, out_axis: Axes = -1, batch_axis: Axes = (), dtype: Any = None
) -> Initializer:
    """Uniform, of variance 1 / mean of both fans (Glorot and Bengio, AISTATS 2010)."""
    return variance_scaling(1.0, "fan_avg", "uniform", in_axis, out_axis, batch_axis, dtype)


def glorot_normal(
    in_axis: Axes = -2, out_axis: Axes = -1, batch_axis: Axes = (), dtype: Any = None
) -> Initializer:
    """Truncated normal, of variance 1 / mean of both fans (Glorot and Bengio, AISTATS 2010)."""
    return variance_scaling(
        1.0, "fan_avg", "truncated_normal", in_axis, out_axis, batch_axis, dtype
    )


def lecun_uniform(
    in_axis: Axes = -2, out_axis: Axes = -1, batch_axis: Axes = (), dtype: Any = None
) -> Initializer:
    """Uniform, of variance 1 / fan_in (LeCun et al., "Efficient BackProp", 1998)."""
    return variance_scaling(1.0, "fan_in", "uniform", in_axis, out_axis, batch_axis, dtype)


def lecun_normal(
    in_axis: Axes = -2, out_axis: Axes = -1, batch_axis: Axes = (), dtype: Any = None
) -> Initializer:
    """Truncated normal, of variance 1 / fan_in (LeCun et al., "Efficient BackProp", 1998)."""
    return variance_scaling(1.0, "fan_in", "truncated_normal", in_axis, out_axis, batch_axis, dtype)


def he_uniform(
    in_axis: Axes = -2, out_axis: Axes = -1, batch_axis: Axes = (), dtype: Any = None
) -> Initializer:
    """Uniform, of variance 2 / fan_in (He et al. 2015, https://arxiv.org/abs/1502.01852)."""
    return variance_scaling(2.0, "fan_in", "uniform", in_axis, out_axis, batch_axis, dtype)


def he_normal(
    in_axis: Axes = -2, out_axis: Axes = -1, batch_axis: Axes = (), dtype: Any = None
) -> Initializer:
    """Truncated normal, of variance 2 / fan_in (He et al. 2015,
    https://arxiv.org/abs/1502.01852).
    """
    return variance_scaling(2.0, "fan_in", "truncated_normal", in_axis, out_axis, batch_axis, dtype)


xavier_uniform, xavier_normal = glorot_uniform, glorot_normal
kaiming_uniform, kaiming_normal = he_uniform, he_normal


# --- orthogonal ---------------------------------------------------------------------------------


@as_values
def orthogonal(scale: Any = 1.0, column_axis: int = -1, dtype: Any = None) -> Rule:
    """An initialiser of matrices with orthogonal columns (or rows, if there are fewer).

    Saxe et al. 2014, https://arxiv.org/abs/1312.6120

    Args:
      scale: factor of the result.
      column_axis: the axis of the columns; all others together are the rows.
      dtype: default of the initialiser's argument.

    Raises:
      ValueError: a shape of rank 0 or 1, when the initialiser is called.
    """

    def init(key: Any, shape: Sequence[int], dtype: Any, out_sharding: Any) -> Array:
        kind = _float(dtype)
        _refuse_sharding("orthogonal", out_sharding)
        if len(shape) < 2:
            raise InputError(
                f"orthogonal initializer requires at least a 2D shape, got {tuple(shape)}."
            )
        if 0 in shape:
            return jnp.zeros(shape, kind)
        columns = shape[column_axis]
        q = random.orthogonal(key, math.prod(shape) // columns, (), kind, columns)
        rest = [n for i, n in enumerate(shape) if i != column_axis % len(shape)]
        q = jnp.moveaxis(jnp.reshape(q, (*rest, columns)), -1, column_axis)
        return jnp.array(scale, kind) * q

    return init


@as_values
def delta_orthogonal(scale: Any = 1.0, column_axis: int = -1, dtype: Any = None) -> Rule:
    """An initialiser of convolution kernels: an orthogonal matrix in the middle, else zeros.

    Xiao et al. 2018, https://arxiv.org/abs/1806.05393

    Raises:
      ValueError: the shape is not of rank 3 to 5, or has more inputs than outputs; when the
        initialiser is called.
    """

    def init(key: Any, shape: Sequence[int], dtype: Any, out_sharding: Any) -> Array:
        kind = _float(dtype)
        _refuse_sharding("delta_orthogonal", out_sharding)
        if not 3 <= len(shape) <= 5:
            raise InputError(
                f"Delta orthogonal initializer requires a 3D, 4D or 5D shape, got {tuple(shape)}."
            )
        if shape[-1] < shape[-2]:
            raise InputError(
                f"`fan_in` must be less or equal than `fan_out`, got the shape {tuple(shape)}."
            )
        matrix = orthogonal(scale, column_axis, kind)(key, shape[-2:])
        middle = tuple([(n - 1) // 2 for n in shape[:-2]])
        return jnp.zeros(shape, kind).at[middle].set(matrix)

    return init


def _refuse_sharding(name: str, out_sharding: Any) -> None:
    if out_sharding is not None:
        raise NotImplementedError(
            f"{name} does not take out_sharding. Fix: shard the result with device_put, or with "
            "lax.with_sharding_constraint."
        )


__all__ = [
    "Initializer",
    "constant",
    "delta_orthogonal",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "kaiming_normal",
    "kaiming_uniform",
    "lecun_normal",
    "lecun_uniform",
    "normal",
    "ones",
    "ones_init",
    "orthogonal",
    "truncated_normal",
    "uniform",
    "variance_scaling",
    "xavier_normal",
    "xavier_uniform",
    "zeros",
    "zeros_init",
]
