"""Any iterable of batches as a source of data."""

from __future__ import annotations

import copy
import itertools
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from .data import LeftOut, Source
from .errors import TrainError, explain
from .loader_state import from_json, to_json
from .objective import batch_rows
from .paths import leaf_paths


class BatchIterable:
    """Any iterable of batches; an epoch is one pass.

    A resumed run finds its place in a sequence at once; in an iterator that has a state to give and
    take back (`get_state` and `set_state`, as grain's, or `state_dict` and `load_state_dict`) by
    that; in any other iterable by reading the epoch's first batches again.

    Args:
      iterable: the batches.
      limit: batches of an epoch, or None: all. Of an iterator that there is one pass of, the next
        epoch begins where the one before was cut off.
    """

    def __init__(self, iterable: Iterable[Any], limit: int | None = None) -> None:
        self._iterable = self._loader = iterable
        self._limit = limit
        self._given = 0  # batches of all epochs so far
        self._one_shot = iterable if isinstance(iterable, Iterator) else None
        self._current: Any = None
        self._restored: Any = None
        try:
            self._length: int | None = len(iterable)  # type: ignore[arg-type]
        except TypeError:
            self._length = None

    @property
    def steps_per_epoch(self) -> int | None:
        if self._length is None or self._limit is None:
            return self._length
        return min(self._length, self._limit)

    def part(self, limit: int) -> BatchIterable:
        """The first batches of each epoch."""
        return BatchIterable(self._iterable, min(limit, self._limit or limit))

    def first(self, count: int) -> BatchIterable:
        """The first batches, the same in every epoch."""
        return BatchIterable([*itertools.islice(self.batches(0), count)])

    @property
    def goes_on(self) -> bool:
        """Whether an epoch begins inside the iterator's one pass, so that it has a place there."""
        return self.one_shot and self._limit is not None

    @property
    def one_shot(self) -> bool:
        """Whether there is one pass only."""
        return self._one_shot is not None

    def batches(self, epoch: int, start: int = 0) -> Iterator[Any]:
        if self._limit is None:
            return self._pass(epoch, start)
        return self._counted(epoch, start, self._limit)

    def _counted(self, epoch: int, start: int, limit: int) -> Iterator[Any]:
        """What is left of an epoch of `limit` batches."""
        begun = epoch * limit if self.one_shot else 0
        behind = max(0, begun + start - self._given) if self.one_shot else start
        self._given = begun + start
        for batch in itertools.islice(self._pass(epoch, behind), limit - start):
            self._given += 1
            yield batch

    def _pass(self, epoch: int, start: int) -> Iterator[Any]:
        if start and isinstance(self._iterable, list | tuple):
            return iter(self._iterable[start:])
        state, self._restored = self._restored, None
        if hasattr(self._iterable, "set_epoch"):  # the order of a stream of Hugging Face's
            self._iterable.set_epoch(epoch)
        self._loader = self._iterable
        if state is not None and _has_state(self._iterable):  # a loader is told before its pass
            # Some begin every later pass there, too: those are made by the original.
            self._loader = self._iterable if self.one_shot else copy.copy(self._iterable)
            _set_state(self._loader, state)
        self._current = iter(self._loader) if self._one_shot is None else self._one_shot
        if state is not None:
            if not _has_state(self._loader):
                _set_state(self._current, state)
            return iter(self._current)
        if start:
            warnings.warn(
                f"reading {start} batches again, to find the place of the resumed run: the data "
                "has no state to save. If its order is random, as a shuffling DataLoader's, these "
                "are others than before. train.ArrayData and train.ExampleData need not do this.",
                stacklevel=2,
            )
        return itertools.islice(self._current, start, None)

    def state(self) -> Any:
        """The iterator's state after the batch it gave last, as JSON can hold it, or None."""
        stateful = self._stateful()
        for method in ("get_state", "state_dict"):
            if hasattr(stateful, method):
                return to_json(getattr(stateful, method)())
        return None

    def restore(self, state: Any) -> None:
        """Let the next pass go on from `state`."""
        self._restored = from_json(state)

    def _stateful(self) -> Any:
        """What has the state: the iterator, or the loader that made it."""
        return next(filter(_has_state, (self._current, self._loader)), None)

    def example(self) -> Any:
        """The first batch, which a one-shot iterator will still yield afterwards."""
        if hasattr(self._one_shot, "get_state"):
            state = self._one_shot.get_state()  # type: ignore[union-attr]
            first = next(iter(self._iterable), None)
            self._one_shot.set_state(state)  # type: ignore[union-attr]
            return first
        first = next(iter(self._iterable), None)
        if self._one_shot is not None and first is not None:
            self._one_shot = itertools.chain([first], self._one_shot)
            self._iterable = self._one_shot
        return first


def _has_state(thing: Any) -> bool:
    return hasattr(thing, "get_state") or hasattr(thing, "state_dict")


def _set_state(stateful: Any, state: Any) -> None:
    """Give an iterator back its state, and make sure that it took it.

    The state of grain's loaders belongs to their number of workers. Given to others, it raises
    whatever error comes of it, or goes on somewhere else.
    """
    try:
        if not hasattr(stateful, "set_state"):
            stateful.load_state_dict(state)
            return
        stateful.set_state(state)
        taken = stateful.get_state() == state
        problem = "" if taken else "the iterator then has another state"
    except Exception as error:
        problem = f"{type(error).__name__}: {error}"
    if problem:
        raise TrainError(
            explain(
                "The data's iterator does not take back the state that a checkpoint has of it.",
                got=problem,
                expected=f"the {type(stateful).__name__} of the interrupted run",
                fix="make the loader as it was, with the same number of workers; or give "
                "train.ExampleData the examples, whose place depends on nothing else.",
            )
        )


def as_source(data: Any, *, argument: str = "data") -> Source:
    """`data` as a `Source`: itself if it is one, else any iterable of batches.

    Raises:
      TrainError: `data` is an array or a tuple or dict of arrays, which is one batch, not many.
    """
    if isinstance(data, Source):
        return data
    arrays = isinstance(data, dict) or hasattr(data, "shape")
    if isinstance(data, tuple):
        arrays = any(hasattr(item, "shape") for item in data)
    if isinstance(data, list):  # as [x, y]: batches have as many axes, and dtypes, as each other
        arrays = len({(item.ndim, str(item.dtype)) for item in data if hasattr(item, "ndim")}) > 1
    if arrays or not isinstance(data, Iterable):
        raise TrainError(
            explain(
                f"`{argument}` is not batches.",
                got="arrays" if arrays else type(data).__name__,
                expected="train.ArrayData or an iterable of batches",
                fix=f"write {argument}=train.ArrayData(arrays, batch_size=32).",
            )
        )
    return BatchIterable(data)


def example_batch(source: Source, *, argument: str = "data") -> Any:
    """A batch of `source`, for its shapes; nothing is lost from what it will yield.

    Raises:
      TrainError: there is none, or it does not consist of numbers.
    """
    if isinstance(source, BatchIterable):
        batch = source.example()
    else:
        batch = next(source.batches(0), None)
        batch = batch.batch if isinstance(batch, LeftOut) else batch
    if batch is None:
        raise TrainError(
            explain(
                f"`{argument}` yields no batch.",
                got="an empty iterable, or an iterator that is used up",
                expected="at least one batch",
                fix="pass a list, an ArrayData, or an object whose __iter__ starts afresh.",
            )
        )
    batch_rows(batch, what=f"first batch of `{argument}`")
    for path, leaf in leaf_paths(batch):
        if isinstance(leaf, np.ndarray | str) and np.asarray(leaf).dtype.kind in "OSU":
            raise TrainError(
                explain(
                    f"A batch of `{argument}` has something else than numbers.",
                    got=f"{path or 'an array'}: {np.asarray(leaf).dtype}",
                    expected="numbers and booleans",
                    fix="turn text into numbers first, in `transform` of train.ArrayData, say.",
                )
            )
    return batch
