"""Metrics as small mergeable values, so that nothing leaves the device between log points.

A training step returns a dict of these: `Mean`, `Sum` and `Last`, or any state of `nn.metrics`,
or a pytree of your own that has `merge`. Merging is associative and exact under padding, because a
mean travels as its sum and its count, never as a quotient.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

import jaxcore.numpy as jnp
from jaxcore import lax, tree

from .errors import TrainError, explain


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


class Stored(NamedTuple):
    """Leaves of a state that a checkpoint holds, until a state of its kind comes and takes them."""

    leaves: list[np.ndarray]

    @property
    def summary(self) -> dict[str, float]:
        return {}

    def merge(self, later: Any) -> Any:
        own, structure = tree.flatten(later)
        if [np.shape(x) for x in own] != [x.shape for x in self.leaves]:
            return later  # the task returns something else under this name by now
        return tree.unflatten(structure, self.leaves).merge(later)


Metric = Any  # Mean | Sum | Last, or whatever `is_state`
Metrics = Mapping[str, Metric]


class Measured(dict[str, float]):
    """What was measured: numbers by name, and in `states` the metrics that they are of.

    >>> found = Measured.of({"loss": Mean(6.0, 4.0)}, "val/")
    >>> found, found.states["val/loss"].weight
    ({'val/loss': 1.5}, 4.0)
    """

    def __init__(self) -> None:
        super().__init__()
        self.states: dict[str, Metric] = {}

    @classmethod
    def of(cls, metrics: Metrics, prefix: str = "") -> Measured:
        """The numbers of merged metrics, with a prefix before each name."""
        found = cls()
        found.states = {f"{prefix}{name}": metric for name, metric in metrics.items()}
        for name, metric in found.states.items():
            found.update(columns(name, metric))
        return found

    def add(self, other: Measured) -> None:
        """Take over what another has."""
        self.update(other)
        self.states = {**self.states, **other.states}


def is_state(value: Any) -> bool:
    """Whether a value can be a metric: a tree with `merge`, and with numbers to log."""
    numbers = any(hasattr(value, name) for name in ("summary", "result", "__float__"))
    return callable(getattr(value, "merge", None)) and numbers and not isinstance(value, type)


def columns(name: str, metric: Metric) -> dict[str, float]:
    """The numbers of a metric, for a row of the log.

    One, `float(metric)`, under its name; of what has a `summary`, a `Confusion` say, several:
    "name/accuracy" and so on.

    >>> columns("loss", Mean(6.0, 4.0))
    {'loss': 1.5}
    """
    if hasattr(metric, "__float__"):
        return {name: float(metric)}
    if hasattr(metric, "summary"):
        return {f"{name}/{part}": float(value) for part, value in metric.summary.items()}
    return {name: float(np.asarray(metric.result))}


def check_columns(name: str, metric: Metric, owner: str) -> None:
    """Raise `TrainError` now, while a step is traced, if `columns` would have nothing to say."""
    if hasattr(metric, "__float__") or hasattr(metric, "summary"):
        return
    shape = getattr(metric.result, "shape", None)
    if shape != ():
        kind = type(metric).__name__
        raise TrainError(
            explain(
                f"`{owner}` returned a {name} that is not a number.",
                got=f"{kind}, whose result has shape {shape}",
                expected="a state with one number (`result`), or with several by name (`summary`)",
                fix=f"give {kind} a property `summary` that returns a dict of scalars.",
            )
        )


def merge_metrics(steps: Iterable[Metrics]) -> dict[str, Metric]:
    """Merge the metrics of several steps, oldest first, on the host in float64.

    >>> merge_metrics([{"loss": Mean(2.0, 1.0)}, {"loss": Mean(4.0, 1.0)}])["loss"].result
    3.0
    """
    merged: dict[str, Metric] = {}
    with np.errstate(all="ignore"):  # of a run that diverges
        for metrics in steps:
            for name, metric in metrics.items():
                value = _on_host(metric)
                merged[name] = merged[name].merge(value) if name in merged else value
    return merged


def merge_stacked(metrics: Metrics) -> dict[str, Metric]:
    """Merge metrics that a loop stacked along a new first axis."""
    return {name: _fold(metric) for name, metric in metrics.items()}


def to_json(metrics: Metrics) -> dict[str, list[Any]]:
    """Metrics as plain lists, exact to the bit, for a checkpoint's JSON."""
    return {name: _as_list(metric) for name, metric in metrics.items()}


def from_json(stored: Mapping[str, list[Any]]) -> dict[str, Metric]:
    """The inverse of `to_json`, but that states other than `Mean` and its kin are `Stored`."""
    return {name: _from_list(*entry) for name, entry in stored.items()}


_KINDS: dict[str, type] = {"mean": Mean, "sum": Sum, "last": Last}


def _as_list(metric: Metric) -> list[Any]:
    for kind, cls in _KINDS.items():
        if isinstance(metric, cls):
            return [kind, *(float(field) for field in tree.leaves(metric))]
    leaves = [np.asarray(leaf) for leaf in tree.leaves(metric)]
    return ["state", *([str(leaf.dtype), leaf.tolist()] for leaf in leaves)]


def _from_list(kind: str, *fields: Any) -> Metric:
    if kind == "state":
        return Stored([np.asarray(values, dtype) for dtype, values in fields])
    return _KINDS[kind](*fields)


def _on_host(metric: Metric) -> Metric:
    if isinstance(metric, Mean | Sum | Last):
        return type(metric)(*(float(np.asarray(field)) for field in metric))
    return metric if isinstance(metric, Stored) else tree.map(_wide, metric)


def _wide(leaf: Any) -> np.ndarray:
    leaf = np.asarray(leaf)
    return leaf.astype(np.float64) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf


def _fold(metric: Metric) -> Metric:
    if isinstance(metric, Last):
        return Last(metric.value[-1])
    if isinstance(metric, Mean | Sum):
        return type(metric)(*(jnp.sum(field, axis=0) for field in metric))
    first = tree.map(lambda leaf: leaf[0], metric)
    rest = tree.map(lambda leaf: leaf[1:], metric)
    return lax.scan(lambda merged, one: (merged.merge(one), None), first, rest)[0]
