"""Data: arrays cut into shuffled batches whose order is a function of (seed, epoch, position).

There is no loader state to save: a resumed run asks for epoch 3 from batch 17 on and gets, at no
cost, what the uninterrupted run would have seen.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from jaxcore import tree

from .arguments import check_choice, check_counts, is_whole
from .errors import TrainError, explain
from .objective import batch_rows
from .workers import in_order


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


class LeftOut(NamedTuple):
    """A batch that a source has at its place, but that is not to be trained on."""

    batch: Any


class _Cut(ABC):
    """Numbered examples cut into batches; subclasses say how to `take` some of them."""

    rows: int
    batch_size: int
    shuffle: bool
    seed: int
    remainder: str
    transform: Callable[[Any, np.random.Generator], Any] | None
    workers: int

    @abstractmethod
    def take(self, rows: np.ndarray) -> Any:
        """The batch of the examples with these numbers."""

    def _cut(
        self,
        rows: int,
        batch_size: int,
        shuffle: bool,
        seed: int,
        remainder: str,
        transform: Callable[[Any, np.random.Generator], Any] | None,
        workers: int,
    ) -> None:
        self.rows = rows
        check_counts(0, workers=workers, seed=seed)
        if not is_whole(batch_size) or batch_size < 1:
            raise TrainError(
                explain(
                    "`batch_size` is not a count.",
                    got=repr(batch_size),
                    expected="an int of at least 1",
                    fix="write batch_size=32.",
                )
            )
        check_choice(("pad", "drop"), "leave it out to train on every row.", remainder=remainder)
        if self.rows == 0 or (remainder == "drop" and self.rows < batch_size):
            raise TrainError(
                explain(
                    "The data has not one batch.",
                    got=f"{self.rows} rows, batch_size={batch_size}, remainder={remainder!r}",
                    expected="at least one row, and one whole batch with remainder='drop'",
                    fix="give more rows, a smaller batch_size, or remainder='pad'.",
                )
            )
        self.batch_size = int(batch_size)
        self.shuffle = shuffle
        self.seed = int(seed)
        self.remainder = remainder
        self.transform = transform
        self.workers = workers

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch, for schedules: `epochs * data.steps_per_epoch` steps."""
        whole, rest = divmod(self.rows, self.batch_size)
        return whole + (rest > 0 and self.remainder == "pad")

    @property
    def may_be_short(self) -> bool:
        """Whether the last batch of an epoch has fewer rows than the others."""
        return self.remainder == "pad" and self.rows % self.batch_size > 0

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

        def make(index: int) -> Any:
            batch = self.take(order[index * self.batch_size : (index + 1) * self.batch_size])
            if self.transform is None:
                return batch
            return self.transform(batch, np.random.default_rng([self.seed, epoch, index]))

        return in_order(make, range(start, self.steps_per_epoch), self.workers)


_TAKEN_BYTES = 1 << 18  # of rows looked up at once: less work for each batch, within the cache


class ArrayData(_Cut):
    """Arrays in memory, cut into batches.

    Args:
      arrays: an array, or a tuple, dict or other tree of them, with a common first axis.
      batch_size: rows of a batch.
      shuffle: whether each epoch has its own order, a function of (seed, epoch) alone.
      seed: of the shuffling.
      remainder: "pad" yields the short last batch (which the trainer pads with copies of its
        rows, masked out of the objective; only batch statistics see them, unless the model gives
        them the mask: `nn.BatchNorm()(x, mask=ctx.mask[:, None])`); "drop" leaves it out of this
        epoch.
      transform: optional `(batch, rng) -> batch`, for random augmentation on the host. `rng` is a
        `numpy.random.Generator` of (seed, epoch, batch), so augmentation resumes exactly too.
      workers: threads that look up and transform batches at once, with 0 the one that asks. The
        batches are the same for any number, also in a run that is resumed with another.

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
        workers: int = 0,
    ) -> None:
        self.arrays = tree.map(np.asarray, arrays)
        rows = batch_rows(self.arrays, what="data")
        self._cut(rows, batch_size, shuffle, seed, remainder, transform, workers)

    def take(self, rows: np.ndarray) -> Any:
        """The batch of the rows with these numbers."""
        return tree.map(lambda array: array.take(rows, 0), self.arrays)

    def batches(self, epoch: int, start: int = 0) -> Iterator[Any]:
        """The batches of an epoch, from the `start`-th on; small ones are parts of larger takes."""
        size = self.batch_size
        arrays, structure = tree.flatten(self.arrays)
        each = size * sum(array.nbytes for array in arrays) // self.rows
        count = _TAKEN_BYTES // max(each, 1)
        if self.transform is not None or self.workers or count < 2:
            yield from super().batches(epoch, start)
            return
        order = self.order(epoch)[: self.steps_per_epoch * size]
        for first in range(start * size, len(order), count * size):
            taken = [array.take(order[first : first + count * size], 0) for array in arrays]
            for row in range(0, len(taken[0]), size):
                yield tree.unflatten(structure, [part[row : row + size] for part in taken])


class ExampleData(_Cut):
    """Examples that are looked up one by one, cut into batches: as `ArrayData`, from any source.

    `examples[i]` is an array or a tree of arrays and numbers, which are stacked. That is what a
    dataset of PyTorch or Hugging Face (`with_format("numpy")`), a `grain.MapDataset`, and a list of
    examples are. The place in the data is found again at once, as nothing has to be read.

    >>> data = ExampleData([{"x": 1.0}, {"x": 2.0}, {"x": 3.0}], batch_size=2, shuffle=False)
    >>> [batch["x"].tolist() for batch in data]
    [[1.0, 2.0], [3.0]]
    """

    def __init__(
        self,
        examples: Any,
        *,
        batch_size: int,
        shuffle: bool = True,
        seed: int = 0,
        remainder: str = "pad",
        transform: Callable[[Any, np.random.Generator], Any] | None = None,
        workers: int = 0,
    ) -> None:
        if not (hasattr(examples, "__getitem__") and hasattr(examples, "__len__")):
            raise TrainError(
                explain(
                    "`examples` cannot be looked up by number.",
                    got=type(examples).__name__,
                    expected="an object with len(examples) and examples[i]",
                    fix="pass an iterable of batches to `fit` as it is.",
                )
            )
        self.examples = examples
        self._cut(len(examples), batch_size, shuffle, seed, remainder, transform, workers)

    def take(self, rows: np.ndarray) -> Any:
        """The batch of the examples with these numbers."""
        numbers = rows.tolist()
        many = getattr(self.examples, "__getitems__", None)
        found = many(numbers) if many else [self.examples[i] for i in numbers]
        return tree.map(lambda *leaves: np.stack([np.asarray(x) for x in leaves]), *found)
