"""Normalisation layers. Statistics are taken in float32 whatever the input's dtype."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import jaxcore.numpy as jnp
from jaxcore import Array, lax

from . import initializers
from .dtypes import as_array, at_least_float32, compute_dtype
from .initialize import check_shape
from .linear import need_rank
from .module import Module

Axes = int | Sequence[int]
Init = Callable[..., Any]


def _axes(axes: Axes, ndim: int) -> tuple[int, ...]:
    return tuple(sorted(a % ndim for a in ((axes,) if isinstance(axes, int) else axes)))


def moments(
    x: Array,
    axes: Sequence[int],
    *,
    mask: Array | None = None,
    axis_name: str | None = None,
    axis_index_groups: Any = None,
    fast: bool = True,
) -> tuple[Array, Array]:
    """Mean and biased variance of `x` over `axes` (and over the mapped axis `axis_name`), float32.

    `fast` takes ``E[x²] - E[x]²``, one pass over the data; otherwise ``E[(x - E[x])²]``, two
    passes and no cancellation. `mask` (broadcastable, True where a value counts) excludes padding.
    """
    x = at_least_float32(x)

    def mean(value: Array) -> Array:
        value = jnp.mean(value, axes) if mask is None else jnp.mean(value, axes, where=mask)
        return (
            value
            if axis_name is None
            else lax.pmean(value, axis_name, axis_index_groups=axis_index_groups)
        )

    centre = mean(x)
    if fast:
        return centre, jnp.maximum(0.0, mean(lax.square(x)) - lax.square(centre))
    return centre, mean(lax.square(x - jnp.expand_dims(centre, tuple(axes))))


def _moments(module: Any, x: Array, axes: Sequence[int], mask: Array | None) -> tuple[Array, Array]:
    """`moments` as the fields of `module` ask for them; there is no mapped axis yet in `init`."""
    return moments(
        x,
        axes,
        mask=mask,
        axis_name=None if module.initializing else module.axis_name,
        axis_index_groups=module.axis_index_groups,
        fast=module.use_fast_variance,
    )


def _affine(
    module: Any,
    x: Array,
    mean: Array | None,
    variance: Array,
    axes: Sequence[int],
    features: Sequence[int],
) -> Array:
    """``(x - mean) / sqrt(variance + epsilon) * scale + bias``; parameters along `features`."""
    shape = [x.shape[a] for a in features]
    wide = [x.shape[a] if a in features else 1 for a in range(x.ndim)]
    y = at_least_float32(x)
    if mean is not None:
        y = y - jnp.expand_dims(mean, tuple(axes))
    factor = lax.rsqrt(jnp.expand_dims(variance, tuple(axes)) + module.epsilon)
    operands = [x]
    if module.use_scale:
        scale = module.param("scale", module.scale_init, tuple(shape), module.param_dtype)
        factor = factor * scale.reshape(wide)
        operands.append(scale)
    y = y * factor
    if getattr(module, "use_bias", False):
        bias = module.param("bias", module.bias_init, tuple(shape), module.param_dtype)
        y = y + bias.reshape(wide)
        operands.append(bias)
    return as_array(y, compute_dtype(module.compute_dtype, *operands))


class BatchNorm(Module):
    """Normalises every feature over the batch, and over running averages outside training.

    In training the batch's own mean and variance serve, and the running ones move towards them:
    ``running = momentum * running + (1 - momentum) * batch`` (so `momentum` is the share kept, and
    the variance the biased one). They live in the collection ``batch_stats``, which `apply` must
    name in ``mutable``.

    Parameters: ``scale``, ``bias``; variables: ``mean``, ``var``; all ``(features,)``.

    Args:
      use_running_average: overrides the mode; by default ``not training``.
      axis: the feature axis or axes; all others are averaged over.
      axis_name: also average over this mapped axis (of `vmap`, or of devices).
      unbiased: keep n / (n - 1) times the batch's variance.

    From PyTorch: ``BatchNorm2d(c)`` is ``BatchNorm(momentum=0.9, unbiased=True)`` (its momentum 0.1
    is the share of the new). From Keras: ``BatchNorm(epsilon=1e-3)``.

    Ioffe and Szegedy 2015, https://arxiv.org/abs/1502.03167

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn, random
    >>> layer, x = nn.BatchNorm(momentum=0.5), jnp.array([[1.0], [3.0]])
    >>> variables = layer.init(random.key(0), x)
    >>> y, updates = layer.apply(variables, x, train=True, mutable=["batch_stats"])
    >>> updates["batch_stats"]["mean"].tolist()
    [1.0]
    """

    use_running_average: bool | None = None
    axis: Axes = -1
    momentum: float = 0.99
    epsilon: float = 1e-5
    dtype: Any = None
    param_dtype: Any = jnp.float32
    use_bias: bool = True
    use_scale: bool = True
    bias_init: Init = initializers.zeros
    scale_init: Init = initializers.ones
    axis_name: str | None = None
    axis_index_groups: Any = None
    use_fast_variance: bool = True
    unbiased: bool = False

    uses_rng: ClassVar[bool] = False

    def __call__(
        self, x: Array, use_running_average: bool | None = None, *, mask: Array | None = None
    ) -> Array:
        if use_running_average is None:
            use_running_average = self.use_running_average
        if use_running_average is None:
            use_running_average = not self.training
        x = need_rank(self, x, 2, "(batch, ..., features)")
        features = _axes(self.axis, x.ndim)
        axes = tuple(a for a in range(x.ndim) if a not in features)
        shape = tuple(x.shape[a] for a in features)
        mean = self.variable("batch_stats", "mean", jnp.zeros, shape, jnp.float32)
        var = self.variable("batch_stats", "var", jnp.ones, shape, jnp.float32)
        for name, statistic in (("mean", mean), ("var", var)):
            path = ("batch_stats", *self.path, name)
            check_shape(path, statistic.value, (shape,), type(self).__name__)
        if use_running_average:
            return _affine(self, x, mean.value, var.value, axes, features)
        batch_mean, batch_var = _moments(self, x, axes, mask)
        if not self.initializing:
            keep, kept = self.momentum, batch_var
            if self.unbiased:
                kept = kept * self._correction(x, axes, mask)
            mean.value = keep * mean.value + (1 - keep) * batch_mean
            var.value = keep * var.value + (1 - keep) * kept
        return _affine(self, x, batch_mean, batch_var, axes, features)

    def _correction(self, x: Array, axes: Sequence[int], mask: Array | None) -> Array:
        """n / (n - 1) for the n values that a feature has in the batch; 1 of a single one."""
        counted = jnp.ones(x.shape, jnp.float32) if mask is None else mask
        n = jnp.sum(jnp.broadcast_to(counted, x.shape).astype(jnp.float32), axes)
        if self.axis_name is not None:
            n = lax.psum(n, self.axis_name, axis_index_groups=self.axis_index_groups)
        return n / jnp.maximum(n - 1, 1)


class LayerNorm(Module):
    """Normalises each example over its features: ``(..., features)`` to mean 0 and variance 1.

    ``(x - mean) / √(variance + epsilon) · scale + bias``.

    Parameters: ``scale``, ``bias``, of the `feature_axes`' shape.

    From PyTorch: ``epsilon=1e-5``; ``LayerNorm((h, w))`` is ``reduction_axes=(-2, -1),
    feature_axes=(-2, -1)``. From Keras: ``epsilon=1e-3``.

    Ba et al. 2016, https://arxiv.org/abs/1607.06450

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn, random
    >>> y, _ = nn.LayerNorm().init_with_output(random.key(0), jnp.array([[1.0, 3.0]]))
    >>> print(y.round(3))
    [[-1.  1.]]
    """

    epsilon: float = 1e-6
    dtype: Any = None
    param_dtype: Any = jnp.float32
    use_bias: bool = True
    use_scale: bool = True
    bias_init: Init = initializers.zeros
    scale_init: Init = initializers.ones
    reduction_axes: Axes = -1
    feature_axes: Axes = -1
    axis_name: str | None = None
    axis_index_groups: Any = None
    use_fast_variance: bool = True

    uses_rng: ClassVar[bool] = False

    def __call__(self, x: Array, *, mask: Array | None = None) -> Array:
        x = need_rank(self, x, 1, "(..., features)")
        axes, features = _axes(self.reduction_axes, x.ndim), _axes(self.feature_axes, x.ndim)
        mean, var = _moments(self, x, axes, mask)
        return _affine(self, x, mean, var, axes, features)


class RMSNorm(Module):
    """Divides each example by the root mean square of its features; `LayerNorm` without centring.

    ``x / √(mean(x²) + epsilon) · scale``.

    Parameters: ``scale``, of the `feature_axes`' shape.

    From PyTorch: its default epsilon is that of the dtype, 1.2e-7 for float32. Gemma's scale is
    ours minus 1.

    Zhang and Sennrich 2019, https://arxiv.org/abs/1910.07467

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn, random
    >>> y, _ = nn.RMSNorm().init_with_output(random.key(0), jnp.array([[2.0, 2.0]]))
    >>> print(y.round(3))
    [[1. 1.]]
    """

    epsilon: float = 1e-6
    dtype: Any = None
    param_dtype: Any = jnp.float32
    use_scale: bool = True
    scale_init: Init = initializers.ones
    reduction_axes: Axes = -1
    feature_axes: Axes = -1
    axis_name: str | None = None
    axis_index_groups: Any = None

    uses_rng: ClassVar[bool] = False

    def __call__(self, x: Array, *, mask: Array | None = None) -> Array:
        x = need_rank(self, x, 1, "(..., features)")
        axes, features = _axes(self.reduction_axes, x.ndim), _axes(self.feature_axes, x.ndim)
        square = lax.square(at_least_float32(x))
        square = jnp.mean(square, axes) if mask is None else jnp.mean(square, axes, where=mask)
        if self.axis_name is not None and not self.initializing:
            square = lax.pmean(square, self.axis_name, axis_index_groups=self.axis_index_groups)
        return _affine(self, x, None, square, axes, features)
