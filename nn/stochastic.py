"""Layers that draw random numbers in training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jaxcore.numpy as jnp
from jaxcore import Array, random

from .dtypes import as_array
from .errors import InputError, where
from .module import Module


class Dropout(Module):
    """Sets a share `rate` of the values to zero in training and scales up the rest.

    Each value is kept with probability ``1 - rate`` and then divided by it, so the expectation
    stays. Along `broadcast_dims` one draw serves the whole axis (``(1, 2)`` drops whole channels
    of an NHWC image). Needs the random stream ``dropout``.

    Srivastava et al. 2014, https://jmlr.org/papers/v15/srivastava14a.html
    """

    rate: float
    broadcast_dims: Sequence[int] = ()
    deterministic: bool | None = None
    rng_collection: str = "dropout"

    def __call__(
        self, x: Array, deterministic: bool | None = None, rng: Any | None = None
    ) -> Array:
        if not 0.0 <= self.rate <= 1.0:
            raise InputError(
                f"{where(self.path, 'Dropout')}: rate={self.rate}. Expected a probability of "
                "dropping a value, from 0 to 1."
            )
        if deterministic is None:
            deterministic = self.deterministic
        if deterministic is None:
            deterministic = not self.training
        if deterministic or self.rate == 0.0:
            return x
        x = as_array(x)
        if self.rate == 1.0:  # 0 / 0 otherwise
            return jnp.zeros_like(x)
        keep = 1.0 - self.rate
        shape = list(x.shape)
        for axis in self.broadcast_dims:
            shape[axis] = 1
        key = self.make_rng(self.rng_collection) if rng is None else rng
        mask = jnp.broadcast_to(random.bernoulli(key, keep, tuple(shape)), x.shape)
        return jnp.where(mask, x / keep, jnp.zeros_like(x))
