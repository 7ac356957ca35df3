"""The batches of a run in order, each brought to one shape."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

import jaxcore
from jaxcore import tree

from .buckets import BatchBuckets
from .data import LeftOut, Source
from .errors import TrainError, explain
from .iterables import BatchIterable
from .objective import batch_rows


class Feed(NamedTuple):
    """A batch, where it stands, its tokens if they are counted, the iterator's state after it."""

    batch: Padded
    epoch: int
    number: int  # within the epoch
    last: bool  # of its epoch
    tokens: int = 0
    state: Any = None


def feed(
    source: Source,
    epoch: int,
    start: int,
    padder: Padder,
    tokens: Callable[[Any], int] | None = None,
) -> Iterator[Feed]:
    """Batches for ever, epoch after epoch, from the given position on.

    Where the length of an epoch is unknown, one batch is read ahead to know which is the last.
    """
    stateful = source if isinstance(source, BatchIterable) else None
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
            state = None if stateful is None else stateful.state()
            if length is None:
                ahead = next(batches, None)
                last = ahead is None
            else:
                last = index == length - 1
                ahead = None
            padded = padder(batch)
            count = 0 if tokens is None else tokens(padded.real)
            yield Feed(padded, epoch, index, last, count, state)
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
    """A batch of full length, which rows are real (None: always all), and how many."""

    batch: Any
    mask: np.ndarray | None
    rows: int

    @property
    def full(self) -> bool:
        """Whether no row is padding."""
        return self.mask is None or self.rows == len(self.mask)

    @property
    def real(self) -> Any:
        """The batch without its padding."""
        return self.batch if self.full else _first(self.batch, self.rows)


class Padder:
    """Brings every batch to the first one's shape, so that one program serves them all.

    A short batch is filled with copies of its own rows, which keep every value finite; the mask
    takes them out of the objective. Axes that `buckets` names are filled up with its value.

    Where no batch `may_be_short`, there is no mask, and a step need not multiply by it.
    """

    def __init__(
        self,
        rows: int | None = None,
        buckets: BatchBuckets | None = None,
        multiple: int = 1,
        may_be_short: bool = True,
    ) -> None:
        self._may_be_short = may_be_short
        self._multiple = multiple
        self.rows = None if rows is None else -(-rows // multiple) * multiple
        self._buckets = buckets
        self._form: Any = None
        self._usual: Any = None  # what a full batch is
        self._whole: np.ndarray | None = None  # the mask of full batches, always the same

    def __call__(self, batch: Any) -> Padded:
        if isinstance(batch, LeftOut):
            padded = self(batch.batch)
            return Padded(padded.batch, np.zeros_like(padded.mask), 0)
        leaves, structure = tree.flatten(batch)
        forms = [(leaf.shape, leaf.dtype) if type(leaf) is np.ndarray else None for leaf in leaves]
        exact = structure, forms
        if exact == self._usual:  # nearly every batch of a run
            return Padded(batch, self._whole, len(leaves[0]))
        if None in forms:
            batch = tree.unflatten(structure, [_as_array(leaf) for leaf in leaves])
            leaves = tree.leaves(batch)
        if self._buckets is not None:
            batch = self._buckets.fill(batch)
            leaves = tree.leaves(batch)
        rows = batch_rows(batch)
        if self.rows is None:
            self.rows = -(-rows // self._multiple) * self._multiple
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
        if rows < self.rows:
            fill = np.arange(self.rows) % rows
            batch = tree.map(lambda x: x[fill], batch)
            return Padded(batch, np.arange(self.rows) < rows, rows)
        if self._whole is None and self._may_be_short:
            self._whole = np.ones(rows, bool)
        if self._buckets is None and None not in forms:
            self._usual = exact
        return Padded(batch, self._whole, rows)

    def _form_of(self, batch: Any) -> Any:
        leaves = tree.leaves(batch)
        shapes = [x.shape for x in leaves] if self._buckets is None else self._buckets.forms(batch)
        return tree.structure(batch), [
            (shape[1:], x.dtype) for shape, x in zip(shapes, leaves, strict=True)
        ]


def _first(batch: Any, rows: int) -> Any:
    return tree.map(lambda x: x[:rows], batch)


def _as_array(leaf: Any) -> Any:
    """A leaf as an array of NumPy or JAX; those of PyTorch, and lists, become NumPy's."""
    return leaf if isinstance(leaf, np.ndarray | jaxcore.Array) else np.asarray(leaf)


def _describe_form(form: Any) -> str:
    structure, leaves = form
    spelled = [f"{dtype}[{','.join(map(str, ('rows', *shape)))}]" for shape, dtype in leaves]
    return str(tree.unflatten(structure, spelled))
