"""Batches and compiled steps brought together: which batches go into the next call of the step."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

import jaxcore.numpy as jnp
from jaxcore import tree

from .errors import ScalarLossError
from .feed import Feed, Padded
from .layout import Layout
from .packed import Packed, pack
from .plan import Plan
from .state import State
from .step import compile_step


class Masking:
    """Calls a step with the mask of real rows; without it where the loss is a scalar.

    A scalar loss cannot leave rows out. It is allowed while every batch is full; the first short
    one raises `ScalarLossError`.
    """

    def __init__(self, step: Callable[..., Any]) -> None:
        self._step = step
        self._scalar = False
        self._mask: Any = None  # the newest one, and the same on the device
        self._placed: Any = None

    def __call__(self, state: State, batch: Any, mask: Any, full: bool) -> Any:
        if isinstance(mask, np.ndarray):
            if mask is not self._mask:  # that of full batches is always the same
                self._mask, self._placed = mask, jnp.asarray(mask)
            mask = self._placed
        if not (self._scalar and full):
            try:
                return self._step(state, batch, mask)
            except ScalarLossError:
                if not full:
                    raise
                self._scalar = True
        return self._step(state, batch)


class Dispatcher:
    """Takes batches from a feed and hands them to the step of the current plan.

    Args:
      feed: the batches of the run, in order.
      steps_per_call: how many steps one call makes, where that many are wanted.
      layout: of several devices.
      deterministic: as `make_step` takes it.
    """

    def __init__(
        self,
        feed: Iterator[Feed],
        steps_per_call: int,
        layout: Layout | None = None,
        deterministic: bool = False,
    ) -> None:
        self._feed = feed
        self.steps_per_call = steps_per_call
        self._layout = layout
        self._deterministic = deterministic
        self._queue: deque[Feed] = deque()
        self._stacked: _Stacked | None = None  # what is in the queue, for one call
        self._failure: Exception | None = None  # of the batch after those in the queue
        self._plans: list[tuple[Plan, dict[int, Masking]]] = []
        self._plan: Plan | None = None
        self._whole: dict[tuple[int, ...], np.ndarray] = {}  # masks of full batches, by shape
        self._made: dict[int, Masking] = {}  # by the steps of a call, under the current plan

    def use(self, plan: Plan) -> None:
        """Step by this plan from now on; the programs of earlier plans are kept."""
        self._plan = plan
        made = next((made for known, made in self._plans if known.same(plan)), None)
        if made is None:
            made = {}
            self._plans.append((plan, made))
        self._made = made

    def close(self) -> None:
        """End the feed, and the thread that may be behind it."""
        close = getattr(self._feed, "close", None)
        if close is not None:
            close()

    def prepare(self, wanted: int | None) -> None:
        """Cut several batches for the next call while the device works; `take` tells of errors."""
        count, queue = self.steps_per_call, self._queue
        small = count == 1 or (wanted is not None and wanted < count)
        if small or len(queue) == count or self._failure is not None:
            return
        try:
            while len(queue) < count and not (queue and queue[-1].last):
                queue.append(next(self._feed))
        except Exception as error:
            self._failure = error
        self._stacked = _stack([item.batch for item in queue]) if len(queue) == count else None

    def take(self, wanted: int | None) -> list[Feed]:
        """The batches of the next call: one, or `steps_per_call` if `wanted` allows as many.

        An epoch's last batch is the last of its call.
        """
        self.prepare(wanted)
        if self._stacked is not None and (wanted is None or wanted >= self.steps_per_call):
            items = list(self._queue)
            self._queue.clear()
            return items
        self._stacked = None
        if self._queue:
            return [self._queue.popleft()]
        if self._failure is not None:
            raise self._failure
        return [next(self._feed)]

    def has(self, count: int) -> bool:
        """Whether a call of so many steps has been made under the current plan, and so compiled."""
        return count in self._made

    def __call__(self, state: State, items: list[Feed]) -> tuple[State, Packed]:
        """Make the steps of `items` in one call."""
        if len(items) == 1:
            batch, mask, _ = items[0].batch
            full = items[0].batch.full
        else:
            assert self._stacked is not None
            batch, mask, full = self._stacked
            self._stacked = None
            if full and mask is not None:  # always the same array, put on the device once
                mask = self._whole.setdefault(mask.shape, mask)
        if self._layout is not None:
            batch, mask = self._layout.put_batch(batch, mask, len(items) > 1)
        return self._step(len(items), state)(state, batch, mask, full)

    def _step(self, count: int, state: State) -> Masking:
        """The step of the current plan that makes `count` steps at once."""
        if count not in self._made:
            self._made[count] = self._make(count, state)
        return self._made[count]

    def _make(self, steps_per_call: int, state: State) -> Masking:
        assert self._plan is not None
        task, accumulate = self._plan
        placed = None
        if self._layout is not None:  # the new state lies where the old one did
            placed = self._layout.of_state(state), self._layout.whole
        return Masking(
            compile_step(task, accumulate, steps_per_call, True, placed, pack, self._deterministic)
        )


_Stacked = tuple[Any, np.ndarray | None, bool]


def _stack(pieces: Sequence[Padded]) -> _Stacked | None:
    """Batches and masks on a new first axis, and whether all are full.

    None if their shapes differ: buckets may be of several sizes.
    """
    structure = tree.structure(pieces[0].batch)
    columns = [*zip(*(tree.leaves(piece.batch) for piece in pieces), strict=True)]
    if any(len({leaf.shape for leaf in column}) > 1 for column in columns):
        return None
    batch = tree.unflatten(structure, [np.stack(column) for column in columns])
    full = all(piece.full for piece in pieces)
    if full and pieces[0].mask is None:
        return batch, None, True
    masks = [np.ones(p.rows, bool) if p.mask is None else p.mask for p in pieces]
    return batch, np.stack(masks), full
