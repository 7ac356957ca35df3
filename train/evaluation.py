"""A compiled step over all batches of a data set: what `validate`, `test` and `predict` do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxcore import tree

from .callbacks import Callback, listeners
from .data import Source
from .errors import TrainError, explain
from .feed import Padder
from .iterables import example_batch
from .metrics import Measured, Metrics, merge_metrics
from .run import Evaluation

Put = Callable[[Any, Any], tuple[Any, Any]]


def measure(
    evaluation: Evaluation,
    step: Callable[..., Any],
    source: Source,
    padder: Padder,
    put: Put,
    callbacks: Sequence[Callback] = (),
) -> Measured:
    """The metrics of all batches of a source together.

    Raises:
      TrainError: there is no batch.
    """
    metrics: list[Metrics] = []
    heard = [*listeners(callbacks, f"on_{evaluation.stage}_batch_end")]
    _tell(callbacks, "start", evaluation)
    for number, batch in enumerate(source.batches(0)):
        padded = padder(batch)
        metrics.append(step(evaluation.state, *put(padded.batch, padded.mask), padded.full))
        for listener in heard:
            listener(evaluation, batch, metrics[-1], number)
        if len(metrics) == 256:  # a long data set must not hoard buffers
            metrics = [merge_metrics(metrics)]
    if not metrics:  # raises, saying that there is no batch
        example_batch(source, argument="data" if evaluation.run is None else evaluation.name)
    measured = Measured.of(merge_metrics(metrics) if metrics else {}, f"{evaluation.name}/")
    _tell(callbacks, "end", evaluation, measured)
    return measured


def predict(
    evaluation: Evaluation,
    step: Callable[..., Any],
    source: Source,
    padder: Padder,
    put: Put,
    callbacks: Sequence[Callback],
) -> Any:
    """The outputs of all batches without padding as one, or None unless they are collected."""
    outputs, done, number = [], 0, -1
    heard = [*listeners(callbacks, "on_predict_batch_end")]
    _tell(callbacks, "start", evaluation)
    for number, batch in enumerate(source.batches(0)):
        padded = padder(batch)
        found = step(evaluation.state, *put(padded.batch, padded.mask))
        found = tree.map(lambda x, n=padded.rows: _whole(x)[:n], found)
        for listener in heard:
            listener(evaluation, found, range(done, done + padded.rows), number)
        done += padded.rows
        if evaluation.collect:
            outputs.append(found)
    if number < 0:
        example_batch(source)  # raises, saying that there is no batch
    owner = f"{type(evaluation.task).__name__}.predict"
    everything = concatenate(outputs, owner) if evaluation.collect else None
    _tell(callbacks, "end", evaluation, everything)
    return everything


def _whole(x: Any) -> np.ndarray:
    """An output on the host, of several processes in each of them."""
    if not getattr(x, "is_fully_addressable", True):
        from jaxcore.experimental import multihost_utils

        x = multihost_utils.process_allgather(x, tiled=True)
    return np.asarray(x)


def _tell(callbacks: Sequence[Callback], event: str, evaluation: Evaluation, *details: Any) -> None:
    for listener in listeners(callbacks, f"on_{evaluation.stage}_{event}"):
        listener(evaluation, *details)


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
