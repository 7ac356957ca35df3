"""`DataModule`: data sets kept together with what prepares them; and sets by name, or in part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import jaxcore

from .data import Source
from .errors import TrainError, explain
from .iterables import BatchIterable, as_source
from .units import Duration, check_duration


class DataModule:
    """Data for every purpose, made when it is asked for.

    `prepare_data` (downloads, conversions) is called once, in several processes by the first one
    while the others wait; `setup` in every process; `teardown` at the end, also after an error.
    Override what there is.

    >>> import numpy as np
    >>> from jaxcore import train
    >>> class Ramp(DataModule):
    ...     def setup(self, stage):
    ...         self.x = np.arange(8.0, dtype=np.float32)
    ...
    ...     def train_dataloader(self):
    ...         return train.ArrayData(self.x, batch_size=4)
    >>> with prepared(Ramp(), "fit") as (data, val):
    ...     data.steps_per_epoch, val
    (2, None)
    """

    def prepare_data(self) -> None:
        """Make the data exist on the disk."""

    def setup(self, stage: str) -> None:
        """Read what `stage` needs: "fit", "validate", "test" or "predict"."""

    def train_dataloader(self) -> Any:
        """Data as the trainer's methods take it."""
        raise _missing(self, "train_dataloader")

    def val_dataloader(self) -> Any:
        """Data, {name: data}, or None."""
        return None

    def test_dataloader(self) -> Any:
        raise _missing(self, "test_dataloader")

    def predict_dataloader(self) -> Any:
        raise _missing(self, "predict_dataloader")

    def teardown(self, stage: str) -> None:
        """Give back what `setup` took."""


def _missing(module: DataModule, method: str) -> TrainError:
    return TrainError(
        explain(
            f"{type(module).__name__} has no such data.",
            got=f"no method `{method}`",
            expected="train.ArrayData or an iterable of batches from it",
            fix=f"write `def {method}(self)` in the class.",
        )
    )


@contextmanager
def prepared(data: Any, stage: str) -> Iterator[tuple[Any, Any]]:
    """(data of a stage, its validation data): of a `DataModule`, or `data` itself and None."""
    if not isinstance(data, DataModule):
        yield data, None
        return
    if jaxcore.process_index() == 0:
        data.prepare_data()
    if jaxcore.process_count() > 1:
        from jaxcore.experimental import multihost_utils

        multihost_utils.sync_global_devices("jaxcore.train: prepare_data")
    try:
        data.setup(stage)
        if stage == "fit":
            yield data.train_dataloader(), data.val_dataloader()
        elif stage == "validate":
            yield data.val_dataloader(), None
        else:
            yield getattr(data, f"{stage}_dataloader")(), None
    finally:
        data.teardown(stage)


@dataclass(frozen=True)
class Evaluator:
    """Data to validate on at an interval of its own, as `fit(val={"all": Evaluator(data, ...)})`.

    Attributes:
      data: as `fit` takes it.
      every: between validations, in place of the trainer's `validate_every`; None validates only
        when the run is over.

    >>> from jaxcore import train
    >>> val = {"quick": [1], "whole": Evaluator([1, 2], every=train.Epochs(10))}
    """

    data: Any
    every: Duration | None = None

    def __post_init__(self) -> None:
        if self.every is not None:
            check_duration("every", self.every)
        if _by_name(self.data):
            raise TrainError(
                explain(
                    "`data` of an Evaluator is one data set.",
                    got=f"a dict of {sorted(self.data)}",
                    expected="an Evaluator for each name",
                    fix="write {'easy': Evaluator(a, every), 'hard': Evaluator(b, every)}.",
                )
            )


def intervals(data: Any, prefix: str, usual: Duration) -> dict[str, Duration | None]:
    """{prefix of the metrics: when}, of what `sets` takes apart."""
    several = data if _by_name(data) else {"": data}
    own = {
        name: one.every if isinstance(one, Evaluator) else usual for name, one in several.items()
    }
    return {f"{prefix}/{name}".rstrip("/"): every for name, every in own.items()}


def _by_name(data: Any) -> bool:
    return isinstance(data, Mapping) and not any(hasattr(x, "shape") for x in data.values())


def sets(data: Any, prefix: str) -> dict[str, Source]:
    """{prefix of the metrics: source}, of one data set, or of several by name.

    >>> sorted(sets({"easy": [1], "hard": [2]}, "val"))
    ['val/easy', 'val/hard']
    """
    if data is None:
        return {}
    if _by_name(data):
        return {f"{prefix}/{name}": _source(one, prefix) for name, one in data.items()}
    return {prefix: _source(data, prefix)}


def _source(data: Any, argument: str) -> Source:
    return as_source(data.data if isinstance(data, Evaluator) else data, argument=argument)


class _Part:
    """The first batches of each epoch of a source; `fixed`: those of epoch 0, in every epoch."""

    def __init__(self, source: Source, count: int, fixed: bool) -> None:
        self._source = source
        self._count = count
        self._fixed = fixed
        self.batch_size = getattr(source, "batch_size", None)
        self.rows = getattr(source, "rows", None)

    @property
    def steps_per_epoch(self) -> int | None:
        whole = self._source.steps_per_epoch
        return None if whole is None else min(whole, self._count)

    @property
    def fingerprint(self) -> Any:
        return getattr(self._source, "fingerprint", None)

    def batches(self, epoch: int, start: int = 0) -> Iterator[Any]:
        batches = self._source.batches(0 if self._fixed else epoch, start)
        for _, batch in zip(range(start, self._count), batches, strict=False):
            yield batch


def limited(source: Source, count: int | None = None, overfit: int | None = None) -> Source:
    """A source cut to `count` batches an epoch, or to the same `overfit` batches again and again.

    >>> from jaxcore import train
    >>> import numpy as np
    >>> data = train.ArrayData(np.arange(9), batch_size=2)
    >>> part = limited(data, overfit=2)
    >>> (
    ...     part.steps_per_epoch,
    ...     [x.tolist() for x in part.batches(0)] == [x.tolist() for x in part.batches(7)],
    ... )
    (2, True)
    """
    if isinstance(source, BatchIterable):
        if overfit is not None:
            return source.first(overfit)
        return source if count is None else source.part(count)
    if overfit is not None:
        return _Part(source, overfit, True)
    return source if count is None else _Part(source, count, False)
