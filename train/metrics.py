"""Metrics as small mergeable values, so that nothing leaves the device between log points.

A training step returns a dict of these. Merging is associative and exact under padding, because a
mean travels as its sum and its count, never as a quotient.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np


class Mean(NamedTuple):
    """A weighted mean kept as Σ weight·value and Σ weight (both scalars).

    >>> Mean(6.0, 4.0).merge(Mean(2.0, 4.0)).result
    1.0
    """

    total: Any
    weight: Any

    @property
    def result(self) -> float:
        weight = float(self.weight)
        return float(self.total) / weight if weight else math.nan

    def merge(self, later: Mean) -> Mean:
        return Mean(self.total + later.total, self.weight + later.weight)

    def __float__(self) -> float:
        return self.result


class Sum(NamedTuple):
    """A count or a sum, such as the number of skipped steps."""

    total: Any

    @property
    def result(self) -> float:
        return float(self.total)

    def merge(self, later: Sum) -> Sum:
        return Sum(self.total + later.total)

    def __float__(self) -> float:
        return self.result


class Last(NamedTuple):
    """The newest value counts, as for a learning rate."""

    value: Any

    @property
    def result(self) -> float:
        return float(self.value)

    def merge(self, later: Last) -> Last:
        return later

    def __float__(self) -> float:
        return self.result


Metric = Mean | Sum | Last
Metrics = Mapping[str, Metric]

_KINDS: dict[str, type] = {"mean": Mean, "sum": Sum, "last": Last}


def merge_metrics(steps: Iterable[Metrics]) -> dict[str, Metric]:
    """Merge the metrics of several steps, oldest first, on the host in float64.

    >>> merge_metrics([{"loss": Mean(2.0, 1.0)}, {"loss": Mean(4.0, 1.0)}])["loss"].result
    3.0
    """
    merged: dict[str, Metric] = {}
    for metrics in steps:
        for name, metric in metrics.items():
            value = type(metric)(*(float(np.asarray(field)) for field in metric))
            merged[name] = merged[name].merge(value) if name in merged else value  # type: ignore[arg-type]
    return merged


def to_json(metrics: Metrics) -> dict[str, list[Any]]:
    """Metrics as plain lists, exact to the bit, for a checkpoint's JSON."""
    names = {kind: name for name, kind in _KINDS.items()}
    return {k: [names[type(m)], *(float(field) for field in m)] for k, m in metrics.items()}


def from_json(stored: Mapping[str, list[Any]]) -> dict[str, Metric]:
    """The inverse of `to_json`."""
    return {name: _KINDS[kind](*fields) for name, (kind, *fields) in stored.items()}
