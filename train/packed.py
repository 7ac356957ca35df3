"""Metrics as few arrays: what a step hands over costs the host by the array, not by the byte."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

import jaxcore.numpy as jnp
from jaxcore import lax, tree, tree_util

from .metrics import Last, Mean, Metric, Metrics, Sum, merge_metrics


@dataclass(frozen=True)
class Packed:
    """Metrics on the device: their scalars side by side, in one array for nearly all of them.

    Attributes:
      arrays: scalars of four bytes, as bits, under "uint32"; others under the name of their dtype;
        under "" a list of what is larger.
      form: the structure of the metrics, and of each leaf where it is and its dtype.
    """

    arrays: dict[str, Any]
    form: tuple[Any, tuple[tuple[str, np.dtype], ...]]


tree_util.register_pytree_node(
    Packed, lambda packed: ((packed.arrays,), packed.form), lambda form, kept: Packed(kept[0], form)
)


def pack(metrics: Metrics) -> Packed:
    """Pack metrics, inside a compiled step.

    >>> from jaxcore.train import Mean, Sum
    >>> packed = pack({"loss": Mean(jnp.float32(6), jnp.float32(4)), "skipped": Sum(jnp.int32(0))})
    >>> {name: array.shape for name, array in packed.arrays.items()}
    {'uint32': (3,)}
    >>> merge_packed([packed, packed])["loss"]
    Mean(total=12.0, weight=8.0)
    """
    leaves, structure = tree.flatten(metrics)
    leaves = [jnp.asarray(leaf) for leaf in leaves]
    places = tuple((_place(leaf), leaf.dtype) for leaf in leaves)
    arrays: dict[str, Any] = {}
    for (name, _), leaf in zip(places, leaves, strict=True):
        leaf = lax.bitcast_convert_type(leaf, jnp.uint32) if name == "uint32" else leaf
        arrays.setdefault(name, []).append(leaf)
    stacked = {name: held if name == "" else jnp.stack(held) for name, held in arrays.items()}
    return Packed(stacked, (structure, places))


def _place(leaf: Any) -> str:
    return "" if leaf.ndim else "uint32" if leaf.dtype.itemsize == 4 else str(leaf.dtype)


def merge_packed(steps: Iterable[Packed | Metrics]) -> dict[str, Metric]:
    """`merge_metrics` of what is packed, and what is not; waits for the device."""
    merged: dict[str, Metric] = {}
    for form, group in groupby(steps, lambda step: getattr(step, "form", None)):
        alike: list[Any] = list(group)
        if form is None:
            merged = merge_metrics([merged, *alike])
        else:
            merged = _merge_alike(merged, form, alike)
    return merged


def _merge_alike(merged: Metrics, form: Any, steps: list[Packed]) -> dict[str, Metric]:
    """Merge steps whose metrics have one form: the numbers of all of them at once."""
    structure, places = form
    columns = {
        name: iter(
            np.concatenate([np.asarray(step.arrays[name]) for step in steps])
            .reshape(len(steps), -1)
            .T
        )
        for name in {name for name, _ in places} - {""}
    }
    columns[""] = map(np.stack, zip(*(step.arrays.get("", ()) for step in steps), strict=True))
    leaves = [_as(next(columns[name]), dtype) for name, dtype in places]
    stacked = tree.unflatten(structure, leaves)
    result = dict(merged)
    for name, metric in stacked.items():
        before = merged.get(name)
        if isinstance(metric, Mean | Sum | Last) and type(before) in (type(metric), type(None)):
            result[name] = _in_order(before, metric)
        else:
            each = [tree.map(lambda leaf, i=i: leaf[i], metric) for i in range(len(steps))]
            begun = [] if before is None else [before]
            result |= merge_metrics({name: one} for one in begun + each)
    return result


def _in_order(before: Any, metric: Any) -> Any:
    """One number after the other, so that it does not matter where a run was interrupted."""
    if isinstance(metric, Last):
        return Last(float(metric.value[-1]))
    totals = []
    for number, column in enumerate(metric):
        column = column.astype(np.float64)
        if before is not None:
            column = np.concatenate(([before[number]], column))
        totals.append(float(np.add.accumulate(column)[-1]))
    return type(metric)(*totals)


def _as(column: np.ndarray, dtype: np.dtype) -> np.ndarray:
    return column if column.dtype == dtype else np.ascontiguousarray(column).view(dtype)
