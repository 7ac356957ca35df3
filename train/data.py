"""Data: arrays cut into shuffled batches whose order is a function of (seed, epoch, position).

There is no loader state to save: a resumed run asks for epoch 3 from batch 17 on and gets, at no
cost, what the uninterrupted run would have seen.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from jaxcore import tree

from .buckets import BatchBuckets
from .errors import TrainError, explain
from .objective import batch_rows


@runtime_checkable
class Source(Protocol):
    """Anything that can produce the batches of an epoch from a given one on."""

    @property
    def steps_per_epoch(self) -> int | None:
        """Batches in an epoch, or None when not known."""
        ...

    def batches(self, epoch: int, start: int = 0) -> Iterator[Any]:
        """The batches of `epoch`, leaving out the first `start`."""
        ...


class ArrayData:
    """Arrays in memory, cut into batches.

    Args:
      arrays: an array, or a tuple, dict or other tree of them, with a common first axis.
      batch_size: rows of a batch.
      shuffle: whether each epoch has its own order, a function of (seed, epoch) alone.
      seed: of the shuffling.
      remainder: "pad" yields the short last batch (which the trainer pads with copies of its
        rows, masked out of the objective; only batch statistics see them); "drop" leaves it out
        of this epoch.
      transform: optional `(batch, rng) -> batch`, for random augmentation on the host. `rng` is a
        `numpy.random.Generator` of (seed, epoch, batch), so augmentation resumes exactly too.

    Raises:
      TrainError: no rows, first axes that differ, a batch size that is not positive.

    >>> data = ArrayData((np.arange(10.0), np.arange(10)), batch_size=4, shuffle=False)
    >>> data.steps_per_epoch, [len(x) for x, y in data]
    (3, [4, 4, 2])
    """

    def __init__(
        self,
        arrays: Any,
        *,
        batch_size: int,
        shuffle: bool = True,
        seed: int = 0,
        remainder: str = "pad",
        transform: Callable[[Any, np.random.Generator], Any] | None = None,
    ) -> None:
        self.arrays = tree.map(np.asarray, arrays)
        self.rows = batch_rows(self.arrays, what="data")
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise TrainError(
                explain(
                    "`batch_size` is not a count.",
                    got=repr(batch_size),
                    expected="an int of at least 1",
                    fix="write batch_size=32.",
                )
            )
        if remainder not in ("pad", "drop"):
            raise TrainError(
                explain(
                    "Unknown `remainder`.",
                    got=repr(remainder),
                    expected="'pad' or 'drop'",
                    fix="leave it out to train on every row.",
                )
            )
        if self.rows == 0 or (remainder == "drop" and self.rows < batch_size):
            raise TrainError(
                explain(
                    "The data has not one batch.",
                    got=f"{self.rows} rows, batch_size={batch_size}, remainder={remainder!r}",
                    expected="at least one row, and one whole batch with remainder='drop'",
                    fix="give more rows, a smaller batch_size, or remainder='pad'.",
                )
            )
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.remainder = remainder
        self.transform = transform

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch, for schedules: `epochs * data.steps_per_epoch` steps."""
        whole, rest = divmod(self.rows, self.batch_size)
        return whole + (rest > 0 and self.remainder == "pad")

    def __len__(self) -> int:
        return self.steps_per_epoch

    def __iter__(self) -> Iterator[Any]:
        return self.batches(0)

    def order(self, epoch: int) -> np.ndarray:
        """The row numbers of an epoch in the order they are visited."""
        if not self.shuffle:
            return np.arange(self.rows)
        return np.random.default_rng([self.seed, epoch]).permutation(self.rows)

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What a position inside an epoch depends on; a checkpoint holds it to compare."""
        return {
            "rows": self.rows,
            "batch_size": self.batch_size,
            "shuffle": self.shuffle,
            "seed": self.seed,
            "remainder": self.remainder,
        }

    def batches(self, epoch: int, start: int = 0) -> Iterator[Any]:
        """The batches of an epoch, from the `start`-th on."""
        order = self.order(epoch)
        for index in range(start, self.steps_per_epoch):
            rows = order[index * self.batch_size : (index + 1) * self.batch_size]
            batch = tree.map(lambda array, rows=rows: array[rows], self.arrays)
            if self.transform is not None:
                rng = np.random.default_rng([self.seed, epoch, index])
                batch = self.transform(batch, rng)
            yield batch


class _Iterable:
    """Any iterable of batches; an epoch is one pass. Resuming inside an epoch replays its start."""

    def __init__(self, iterable: Iterable[Any]) -> None:
        self._iterable = iterable
        self._one_shot = iterable if isinstance(iterable, Iterator) else None
        try:
            self._length: int | None = len(iterable)  # type: ignore[arg-type]
        except TypeError:
            self._length = None

    @property
    def steps_per_epoch(self) -> int | None:
        return self._length

    def batches(self, epoch: int, start: int = 0) -> Iterator[Any]:
        rest = iter(self._iterable) if self._one_shot is None else self._one_shot
        yield from itertools.islice(rest, start, None)

    def example(self) -> Any:
        """The first batch, which a one-shot iterator will still yield afterwards."""
        first = next(iter(self._iterable), None)
        if self._one_shot is not None and first is not None:
            self._one_shot = itertools.chain([first], self._one_shot)
            self._iterable = self._one_shot
        return first


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
    if arrays or not isinstance(data, Iterable):
        raise TrainError(
            explain(
                f"`{argument}` is not batches.",
                got="arrays" if arrays else type(data).__name__,
                expected="train.ArrayData or an iterable of batches",
                fix=f"write {argument}=train.ArrayData(arrays, batch_size=32).",
            )
        )
    return _Iterable(data)


def example_batch(source: Source, *, argument: str = "data") -> Any:
    """A batch of `source`, for its shapes; nothing is lost from what it will yield.

    Raises:
      TrainError: there is none.
    """
    if isinstance(source, _Iterable):
        batch = source.example()
    else:
        batch = next(source.batches(0), None)
    if batch is None:
        raise TrainError(
            explain(
                f"`{argument}` yields no batch.",
                got="an empty iterable, or an iterator that is used up",
                expected="at least one batch",
                fix="pass a list, an ArrayData, or an object whose __iter__ starts afresh.",
            )
        )
    return batch


class Feed(NamedTuple):
    """A batch and where it stands."""

    batch: Padded
    epoch: int
    number: int  # within the epoch
    last: bool  # of its epoch


def feed(source: Source, epoch: int, start: int, padder: Padder) -> Iterator[Feed]:
    """Batches for ever, epoch after epoch, from the given position on.

    Where the length of an epoch is unknown, one batch is read ahead to know which is the last.
    """
    while True:
        batches = source.batches(epoch, start)
        length = source.steps_per_epoch
        batch = next(batches, None)
        if batch is None:
            raise TrainError(
                explain(
                    f"`data` yields no batch in epoch {epoch} from batch {start} on.",
                    got="an iterator that is used up" if epoch or start else "an empty iterable",
                    expected="a new pass over the data in every epoch",
                    fix="pass a list, an ArrayData or an object whose __iter__ starts afresh; a "
                    "generator can serve one epoch only.",
                )
            )
        index = start
        while batch is not None:
            if length is None:
                ahead = next(batches, None)
                last = ahead is None
            else:
                last = index == length - 1
                ahead = None
            yield Feed(padder(batch), epoch, index, last)
            batch = ahead if length is None or last else next(batches, None)
            if batch is None and not last:
                raise TrainError(
                    explain(
                        "An epoch is shorter than its data says.",
                        got=f"{index + 1} batches",
                        expected=f"{length}, as len(data) says",
                        fix="correct __len__ (or steps_per_epoch) of the data.",
                    )
                )
            index += 1
        epoch, start = epoch + 1, 0


class Padded(NamedTuple):
    """A batch of full length, which rows are real, and how many."""

    batch: Any
    mask: np.ndarray
    rows: int


class Padder:
    """Brings every batch to the first one's shape, so that one program serves them all.

    A short batch is filled with copies of its own rows, which keep every value finite; the mask
    takes them out of the objective. Axes that `buckets` names are filled up with its value.
    """

    def __init__(self, rows: int | None = None, buckets: BatchBuckets | None = None) -> None:
        self.rows = rows
        self._buckets = buckets
        self._form: Any = None
        self._full: tuple[Any, np.ndarray] | None = None  # what a full batch is, and its mask

    def __call__(self, batch: Any) -> Padded:
        leaves, structure = tree.flatten(batch)
        leaves = [_as_array(leaf) for leaf in leaves]
        if self._buckets is not None:
            leaves = tree.leaves(self._buckets.fill(tree.unflatten(structure, leaves)))
        exact = structure, [(leaf.shape, leaf.dtype) for leaf in leaves]
        if self._full is not None and exact == self._full[0]:  # nearly every batch of a run
            return Padded(tree.unflatten(structure, leaves), self._full[1], len(self._full[1]))
        batch = tree.unflatten(structure, leaves)
        rows = batch_rows(batch)
        if self.rows is None:
            self.rows = rows
        form = self._form_of(batch)
        if self._form is None:
            self._form = form
        if form != self._form or not 0 < rows <= self.rows:
            raise TrainError(
                explain(
                    "A batch differs from the first one.",
                    got=f"{rows} rows of {_describe_form(form)}",
                    expected=f"at most {self.rows} rows of {_describe_form(self._form)}",
                    fix="give every batch the same structure, dtypes and trailing shapes; only the "
                    "number of rows may be smaller, and what Trainer(buckets=...) names may vary.",
                )
            )
        mask = np.arange(self.rows) < rows
        if rows == self.rows:
            self._full = exact, mask
        else:
            fill = np.arange(self.rows) % rows
            batch = tree.map(lambda x: x[fill], batch)
        return Padded(batch, mask, rows)

    def _form_of(self, batch: Any) -> Any:
        leaves = tree.leaves(batch)
        shapes = [x.shape for x in leaves] if self._buckets is None else self._buckets.forms(batch)
        return tree.structure(batch), [
            (shape[1:], x.dtype) for shape, x in zip(shapes, leaves, strict=True)
        ]


def _as_array(leaf: Any) -> Any:
    return leaf if hasattr(leaf, "shape") and hasattr(leaf, "dtype") else np.asarray(leaf)


def _describe_form(form: Any) -> str:
    structure, leaves = form
    spelled = [f"{dtype}[{','.join(map(str, ('rows', *shape)))}]" for shape, dtype in leaves]
    return str(tree.unflatten(structure, spelled))
