"""The states that most metrics are: `Mean`, `Sum`, `Moments`."""

from __future__ import annotations

import functools
import operator
from typing import Any, NamedTuple

import numpy as np

import jaxcore.numpy as jnp
from jaxcore import Array, lax, tree

from ..dtypes import at_least_float32
from ..losses.shared import leading


def added(a: Any, b: Any) -> Any:
    """Two states of sums as one."""
    return tree.map(operator.add, a, b)


def summed(state: Any, axis_name: Any) -> Any:
    """The sum of a state of sums over a mapped axis."""
    return tree.map(lambda v: lax.psum(v, axis_name), state)


def ratio(part: Any, whole: Any, otherwise: float = 0.0) -> Any:
    """``part / whole``, and `otherwise` where the whole is 0; of NumPy's numbers in their dtype."""
    if isinstance(part, np.ndarray | np.generic) and isinstance(whole, np.ndarray | np.generic):
        return np.where(whole == 0, otherwise, part / np.where(whole == 0, 1, whole))
    return jnp.where(whole == 0, otherwise, part / jnp.where(whole == 0, 1, whole))


def merge(*states: Any) -> Any:
    """States, or trees of them, put together leaf by leaf.

    >>> import jaxcore.numpy as jnp
    >>> a, b = ({"loss": Mean.of(jnp.array([x]))} for x in (1.0, 2.0))
    >>> float(merge(a, b)["loss"])
    1.5
    """
    is_state = lambda v: hasattr(v, "merge")
    two = lambda a, b: tree.map(lambda x, y: x.merge(y), a, b, is_leaf=is_state)
    return functools.reduce(two, states)


class Mean(NamedTuple):
    """A weighted mean, kept as ``Σ weight · value`` and ``Σ weight``.

    >>> import jaxcore.numpy as jnp
    >>> a, b = Mean.of(jnp.array([1.0, 3.0])), Mean.of(jnp.array([8.0]))
    >>> float(a.merge(b))
    4.0
    """

    total: Any
    weight: Any

    @classmethod
    def of(cls, values: Any, weights: Any = None) -> Mean:
        """The mean of `values`; `weights` has their shape or leading axes (0 for padding)."""
        values = at_least_float32(values)
        weights = weights_like(values, weights)
        return cls(jnp.sum(counted(values, weights)), jnp.sum(weights))

    def merge(self, other: Mean) -> Mean:
        """Both states together."""
        return added(self, other)

    def across(self, axis_name: Any) -> Mean:
        """The states of all places along a mapped axis together."""
        return summed(self, axis_name)

    @property
    def result(self) -> Array:
        """The mean; NaN of nothing."""
        return ratio(self.total, self.weight, jnp.nan)

    def __float__(self) -> float:
        return float(self.result)


class Sum(NamedTuple):
    """A weighted sum, or a count.

    >>> import jaxcore.numpy as jnp
    >>> float(Sum.of(jnp.array([1.0, 3.0])))
    4.0
    """

    total: Any

    @classmethod
    def of(cls, values: Any, weights: Any = None) -> Sum:
        """The sum of ``weights · values``."""
        values = at_least_float32(values)
        return cls(jnp.sum(counted(values, weights_like(values, weights))))

    def merge(self, other: Sum) -> Sum:
        """Both states together."""
        return added(self, other)

    def across(self, axis_name: Any) -> Sum:
        """The states of all places along a mapped axis together."""
        return summed(self, axis_name)

    @property
    def result(self) -> Array:
        """The sum."""
        return self.total

    def __float__(self) -> float:
        return float(self.result)


def weights_like(values: Array, weights: Any) -> Array:
    """Weights of the values' shape, from their shape or their leading axes; 1 by default."""
    if weights is None:
        return jnp.ones_like(values)
    return leading("metric", values, at_least_float32(weights))


def counted(values: Array, weights: Array) -> Array:
    """``weights · values``, and 0 where the weight is 0, even of NaN: padding may hold anything."""
    return jnp.where(weights == 0, 0, values * weights)


class Moments(NamedTuple):
    """Mean and variance of a stream: count, mean and summed squared distance to it.

    Merging follows Chan et al. 1979, which does not cancel as ``E[x²] - E[x]²`` does.

    >>> import jaxcore.numpy as jnp
    >>> mean, variance = Moments.of(jnp.array([1.0, 3.0])).result
    >>> float(mean), float(variance)
    (2.0, 1.0)
    """

    count: Any
    mean: Any
    spread: Any

    @classmethod
    def of(cls, values: Any, weights: Any = None) -> Moments:
        """Of all entries of `values`."""
        values = at_least_float32(values)
        weights = weights_like(values, weights)
        count = jnp.sum(weights)
        mean = ratio(jnp.sum(counted(values, weights)), count)
        return cls(count, mean, jnp.sum(counted(jnp.square(values - mean), weights)))

    def merge(self, other: Moments) -> Moments:
        """Both states together."""
        count = self.count + other.count
        share = ratio(other.count, count)
        step = other.mean - self.mean
        spread = self.spread + other.spread + step * step * self.count * share
        return Moments(count, self.mean + step * share, spread)

    def across(self, axis_name: Any) -> Moments:
        """The states of all places along a mapped axis together."""
        count, total = summed((self.count, self.count * self.mean), axis_name)
        mean = ratio(total, count)
        step = self.mean - mean
        return Moments(count, mean, summed(self.spread + self.count * step * step, axis_name))

    @property
    def result(self) -> tuple[Array, Array]:
        """``(mean, biased variance)``."""
        return self.mean, self.spread / jnp.maximum(self.count, 1)

    @property
    def summary(self) -> dict[str, Array]:
        """The numbers worth a curve: mean and (biased) variance."""
        return dict(zip(("mean", "variance"), self.result))
