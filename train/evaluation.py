"""A compiled step over all batches of a data set: what `validate`, `test` and `predict` do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from jaxcore import tree

from .callbacks import Callback
from .errors import TrainError, explain
from .feed import Padder
from .metrics import Metrics, merge_metrics

Put = Callable[[Any, Any], tuple[Any, Any]]


def measure(
    step: Callable[..., Any], state: Any, batches: Iterable[Any], padder: Padder, put: Put
) -> Metrics | None:
    """The metrics of all batches together; None if there is no batch."""
    metrics: list[Metrics] = []
    for batch in batches:
        padded = padder(batch)
        full = padded.rows == len(padded.mask)
        metrics.append(step(state, *put(padded.batch, padded.mask), full))
        if len(metrics) == 256:  # a long data set must not hoard buffers
            metrics = [merge_metrics(metrics)]
    return merge_metrics(metrics) if metrics else None


def collect(
    step: Callable[..., Any],
    state: Any,
    batches: Iterable[Any],
    padder: Padder,
    put: Put,
    callbacks: Sequence[Callback],
    keep: bool,
) -> list[Any]:
    """The outputs of all batches without padding, None each unless `keep`."""
    outputs, done = [], 0
    for number, batch in enumerate(batches):
        padded = padder(batch)
        found = step(state, *put(padded.batch, padded.mask))
        found = tree.map(lambda x, n=padded.rows: np.asarray(x)[:n], found)
        for callback in callbacks:
            callback.on_predict_batch(found, range(done, done + padded.rows), number)
        done += padded.rows
        outputs.append(found if keep else None)
    return outputs


def check_shuffle(data: Any) -> None:
    """Raise `TrainError` if the order of `data` changes."""
    if getattr(data, "shuffle", False):
        raise TrainError(
            explain(
                "Predictions of shuffled data could not be told apart.",
                got=f"{type(data).__name__}(..., shuffle=True)",
                expected="data in a fixed order",
                fix=f"write {type(data).__name__}(..., shuffle=False).",
            )
        )


def concatenate(outputs: Sequence[Any], owner: str) -> Any:
    """The outputs of all batches as one; `owner` made them."""
    trailing = {tuple(x.shape[1:] for x in tree.leaves(output)) for output in outputs}
    if len(trailing) > 1:
        raise TrainError(
            explain(
                f"The outputs of `{owner}` differ from batch to batch.",
                got=f"the shapes (rows, ...) {sorted(trailing)}",
                expected="outputs of one shape for each example",
                fix="reduce the axis that `buckets` fills up in `predict`, or predict the "
                "batches of each length by themselves.",
            )
        )
    return tree.map(lambda *parts: np.concatenate(parts), *outputs)
