"""How far numbers are from what they should be."""

from __future__ import annotations

from typing import Any, NamedTuple

import jaxcore.numpy as jnp
from jaxcore import Array

from ..losses import absolute_error, absolute_percentage_error, squared_error
from ..losses.shared import pair
from .states import Mean, Moments, Sum, added, counted, ratio, summed, weights_like


def mean_absolute_error(predictions: Any, targets: Any, weights: Any = None) -> Mean:
    """The mean of ``|predictions - targets|``.

    >>> import jaxcore.numpy as jnp
    >>> float(mean_absolute_error(jnp.array([1.0, 4.0]), jnp.array([2.0, 2.0])))
    1.5
    """
    return Mean.of(absolute_error(predictions, targets), weights)


def mean_absolute_percentage_error(predictions: Any, targets: Any, weights: Any = None) -> Mean:
    """The mean of ``100 · |predictions - targets| / |targets|``.

    >>> import jaxcore.numpy as jnp
    >>> float(mean_absolute_percentage_error(jnp.array([3.0]), jnp.array([4.0])))
    25.0
    """
    return Mean.of(absolute_percentage_error(predictions, targets), weights)


def mean_squared_error(predictions: Any, targets: Any, weights: Any = None) -> Mean:
    """The mean of ``(predictions - targets)²``.

    >>> import jaxcore.numpy as jnp
    >>> float(mean_squared_error(jnp.array([1.0, 4.0]), jnp.array([2.0, 2.0])))
    2.5
    """
    return Mean.of(squared_error(predictions, targets), weights)


class RootMean(NamedTuple):
    """The root of a mean, such as of squared errors.

    >>> import jaxcore.numpy as jnp
    >>> float(RootMean(Mean.of(jnp.array([9.0]))))
    3.0
    """

    mean: Mean

    def merge(self, other: RootMean) -> RootMean:
        """Both states together."""
        return added(self, other)

    def across(self, axis_name: Any) -> RootMean:
        """The states of all places along a mapped axis together."""
        return summed(self, axis_name)

    @property
    def result(self) -> Array:
        """The root; NaN of nothing."""
        return jnp.sqrt(self.mean.result)

    def __float__(self) -> float:
        return float(self.result)


def root_mean_squared_error(predictions: Any, targets: Any, weights: Any = None) -> RootMean:
    """The root of the mean of ``(predictions - targets)²``.

    >>> import jaxcore.numpy as jnp
    >>> float(root_mean_squared_error(jnp.array([1.0, 4.0]), jnp.array([4.0, 1.0])))
    3.0
    """
    return RootMean(mean_squared_error(predictions, targets, weights))


class R2(NamedTuple):
    """``1 - Σ (predictions - targets)² / Σ (targets - their mean)²``: the share that is explained.

    >>> import jaxcore.numpy as jnp
    >>> float(R2.of(jnp.array([1.0, 3.0, 2.0]), jnp.array([1.0, 3.0, 5.0])))
    -0.125
    """

    targets: Moments
    residual: Sum

    @classmethod
    def of(cls, predictions: Any, targets: Any, weights: Any = None) -> R2:
        """From numbers of one shape."""
        residual = Sum.of(squared_error(predictions, targets), weights)
        return cls(Moments.of(targets, weights), residual)

    def merge(self, other: R2) -> R2:
        """Both states together."""
        return R2(self.targets.merge(other.targets), self.residual.merge(other.residual))

    def across(self, axis_name: Any) -> R2:
        """The states of all places along a mapped axis together."""
        return R2(self.targets.across(axis_name), self.residual.across(axis_name))

    @property
    def result(self) -> Array:
        """The share; NaN if the targets are all the same."""
        return 1 - ratio(self.residual.total, self.targets.spread, jnp.nan)

    def __float__(self) -> float:
        return float(self.result)


class Correlation(NamedTuple):
    """Pearson's correlation of two streams: their moments and summed products of distances.

    >>> import jaxcore.numpy as jnp
    >>> float(Correlation.of(jnp.array([1.0, 2.0]), jnp.array([3.0, 5.0])))
    1.0
    """

    first: Moments
    second: Moments
    product: Any

    @classmethod
    def of(cls, predictions: Any, targets: Any, weights: Any = None) -> Correlation:
        """From numbers of one shape."""
        x, y = pair("Correlation", predictions, targets)
        weights = weights_like(x, weights)
        first, second = Moments.of(x, weights), Moments.of(y, weights)
        product = (x - first.mean) * (y - second.mean)
        return cls(first, second, jnp.sum(counted(product, weights)))

    def merge(self, other: Correlation) -> Correlation:
        """Both states together."""
        share = ratio(self.first.count * other.first.count, self.first.count + other.first.count)
        steps = (other.first.mean - self.first.mean) * (other.second.mean - self.second.mean)
        return Correlation(
            self.first.merge(other.first),
            self.second.merge(other.second),
            self.product + other.product + steps * share,
        )

    def across(self, axis_name: Any) -> Correlation:
        """The states of all places along a mapped axis together."""
        first, second = self.first.across(axis_name), self.second.across(axis_name)
        steps = (self.first.mean - first.mean) * (self.second.mean - second.mean)
        product = summed(self.product + self.first.count * steps, axis_name)
        return Correlation(first, second, product)

    @property
    def result(self) -> Array:
        """The correlation, -1 to 1; NaN if one of the two does not vary."""
        return ratio(self.product, jnp.sqrt(self.first.spread * self.second.spread), jnp.nan)

    def __float__(self) -> float:
        return float(self.result)


class Concordance(NamedTuple):
    """Lin's concordance: a correlation that also asks for equal means and deviations.

    ``2 cov(x, y) / (var x + var y + (mean x - mean y)²)``. Keras's ``ConcordanceCorrelation``.

    Lin 1989, https://doi.org/10.2307/2532051

    >>> import jaxcore.numpy as jnp
    >>> x = jnp.array([1.0, 2.0, 3.0])
    >>> float(Concordance.of(x, x)), round(float(Concordance.of(x, x + 1)), 3)
    (1.0, 0.571)
    """

    correlation: Correlation

    @classmethod
    def of(cls, predictions: Any, targets: Any, weights: Any = None) -> Concordance:
        """From numbers of one shape."""
        return cls(Correlation.of(predictions, targets, weights))

    def merge(self, other: Concordance) -> Concordance:
        """Both states together."""
        return Concordance(self.correlation.merge(other.correlation))

    def across(self, axis_name: Any) -> Concordance:
        """The states of all places along a mapped axis together."""
        return Concordance(self.correlation.across(axis_name))

    @property
    def result(self) -> Array:
        """The concordance, -1 to 1; NaN if nothing varies."""
        first, second, product = self.correlation
        apart = first.count * (first.mean - second.mean) ** 2
        return ratio(2 * product, first.spread + second.spread + apart, jnp.nan)

    def __float__(self) -> float:
        return float(self.result)
