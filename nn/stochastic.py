"""Layers that draw random numbers in training: dropout in its forms, drop path, noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jaxcore.numpy as jnp
from jaxcore import Array, random

from .dtypes import as_array
from .errors import InputError, where
from .module import Module


class _Stochastic(Module):
    """What these layers share: when they are idle, and where their key comes from."""

    def _rate(self) -> float:
        rate = self.rate  # type: ignore[attr-defined]
        if not 0.0 <= rate <= 1.0:
            raise InputError(
                f"{where(self.path, type(self).__name__)}: rate={rate}. Expected a probability of "
                "dropping a value, from 0 to 1."
            )
        return rate

    def _idle(self, deterministic: bool | None) -> bool:
        """What the call says, else the layer, else the mode."""
        if deterministic is None:
            deterministic = getattr(self, "deterministic", None)
        return not self.training if deterministic is None else bool(deterministic)

    def _key(self, rng: Any) -> Any:
        return self.make_rng(self.rng_collection) if rng is None else rng  # type: ignore[attr-defined]


def _keep(key: Any, keep: float, x: Array, broadcast_dims: Sequence[int]) -> Array:
    """Booleans of the shape of `x`, True with probability `keep`."""
    shape = list(x.shape)
    for axis in broadcast_dims:
        shape[axis] = 1
    return jnp.broadcast_to(random.bernoulli(key, keep, tuple(shape)), x.shape)


class Dropout(_Stochastic):
    """Sets a share `rate` of the values to zero in training and scales up the rest.

    Each value is kept with probability ``1 - rate`` and then divided by it, so the expectation
    stays. Needs the random stream ``dropout``.

    Args:
      broadcast_dims: along these axes one draw serves all: ``(1, 2)`` drops whole channels of an
        NHWC image (PyTorch's ``Dropout2d``, Keras's ``SpatialDropout2D``), ``(1,)`` those of a
        sequence.
      deterministic: overrides the mode; by default ``not training``.

    Srivastava et al. 2014, https://jmlr.org/papers/v15/srivastava14a.html; whole channels: Tompson
    et al. 2015, https://arxiv.org/abs/1411.4280

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn, random
    >>> x = nn.Dropout(0.5).apply({}, jnp.ones(100), train=True, rngs=random.key(0))
    >>> sorted(set(x.tolist()))
    [0.0, 2.0]
    """

    rate: float
    broadcast_dims: Sequence[int] = ()
    deterministic: bool | None = None
    rng_collection: str = "dropout"

    def __call__(
        self, x: Array, deterministic: bool | None = None, rng: Any | None = None
    ) -> Array:
        rate = self._rate()
        if self._idle(deterministic) or rate == 0.0:
            return x
        x = as_array(x)
        if rate == 1.0:  # 0 / 0 otherwise
            return jnp.zeros_like(x)
        mask = _keep(self._key(rng), 1.0 - rate, x, self.broadcast_dims)
        return jnp.where(mask, x / (1.0 - rate), jnp.zeros_like(x))


class AlphaDropout(_Stochastic):
    """Dropout for networks of `selu`: mean 0 and variance 1 stay what they are.

    Dropped values become -1.7581, the limit of `selu`, and the result goes through ``a · x + b``
    with a and b from the rate. With `broadcast_dims`, PyTorch's ``FeatureAlphaDropout``.

    Klambauer et al. 2017, https://arxiv.org/abs/1706.02515

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn, random
    >>> x = random.normal(random.key(1), (10000,))
    >>> y = nn.AlphaDropout(0.3).apply({}, x, train=True, rngs=random.key(0))
    >>> abs(float(y.mean())) < 0.05, abs(float(y.std()) - 1) < 0.05
    (True, True)
    """

    rate: float
    broadcast_dims: Sequence[int] = ()
    deterministic: bool | None = None
    rng_collection: str = "dropout"

    def __call__(
        self, x: Array, deterministic: bool | None = None, rng: Any | None = None
    ) -> Array:
        rate = self._rate()
        if self._idle(deterministic) or rate == 0.0:
            return x
        x = as_array(x)
        if rate == 1.0:
            return jnp.zeros_like(x)
        low = -1.0507009873554805 * 1.6732632423543772
        keep = 1.0 - rate
        scale = 1 / math.sqrt(keep * (1 + rate * low**2))
        mask = _keep(self._key(rng), keep, x, self.broadcast_dims)
        return scale * jnp.where(mask, x, low) - scale * low * rate


class GaussianDropout(_Stochastic):
    """Multiplies with normal numbers of mean 1 and variance ``rate / (1 - rate)`` in training.

    Srivastava et al. 2014, https://jmlr.org/papers/v15/srivastava14a.html

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn, random
    >>> y = nn.GaussianDropout(0.2).apply({}, jnp.ones(10000), train=True, rngs=random.key(0))
    >>> abs(float(y.std()) - 0.5) < 0.02
    True
    """

    rate: float
    deterministic: bool | None = None
    rng_collection: str = "dropout"

    def __call__(
        self, x: Array, deterministic: bool | None = None, rng: Any | None = None
    ) -> Array:
        rate = self._rate()
        if self._idle(deterministic) or rate == 0.0:
            return x
        if rate == 1.0:
            raise InputError(
                f"{where(self.path, 'GaussianDropout')}: rate=1.0 has an infinite variance. "
                "Expected a rate below 1."
            )
        x = as_array(x)
        noise = random.normal(self._key(rng), x.shape, x.dtype)
        return x * (1 + math.sqrt(rate / (1 - rate)) * noise)


class GaussianNoise(_Stochastic):
    """Adds normal numbers of deviation `stddev` in training.

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn, random
    >>> y = nn.GaussianNoise(0.1).apply({}, jnp.ones(10000), train=True, rngs=random.key(0))
    >>> abs(float(y.std()) - 0.1) < 0.01
    True
    """

    stddev: float
    deterministic: bool | None = None
    rng_collection: str = "dropout"

    def __call__(
        self, x: Array, deterministic: bool | None = None, rng: Any | None = None
    ) -> Array:
        if self._idle(deterministic) or self.stddev == 0.0:
            return x
        x = as_array(x)
        return x + self.stddev * random.normal(self._key(rng), x.shape, x.dtype)


class DropPath(_Stochastic):
    """Drops the whole branch of an example with probability `rate`: stochastic depth.

    Stands at the end of a residual branch, ``x + DropPath(0.1)(f(x))``. Kept branches are divided
    by ``1 - rate``, unless `scale` is False. One draw for each entry of the first axis. Needs the
    random stream ``dropout``. timm: ``DropPath``; torchvision: ``StochasticDepth(mode="row")``.

    Huang et al. 2016, https://arxiv.org/abs/1603.09382

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn, random
    >>> y = nn.DropPath(0.5).apply({}, jnp.ones((8, 3)), train=True, rngs=random.key(0))
    >>> bool((y == y[:, :1]).all())
    True
    """

    rate: float
    scale: bool = True
    deterministic: bool | None = None
    rng_collection: str = "dropout"

    def __call__(
        self, x: Array, deterministic: bool | None = None, rng: Any | None = None
    ) -> Array:
        rate = self._rate()
        if self._idle(deterministic) or rate == 0.0:
            return x
        x = as_array(x)
        if rate == 1.0:
            return jnp.zeros_like(x)
        mask = _keep(self._key(rng), 1.0 - rate, x, range(1, x.ndim))
        return jnp.where(mask, x / (1.0 - rate) if self.scale else x, jnp.zeros_like(x))
