"""Cells over sequences: `RNN`, `Bidirectional`, `StackedCells`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jaxcore.numpy as jnp
from jaxcore import Array, lax, random, tree

from .dtypes import as_array
from .errors import InputError, where
from .lift import Shared
from .module import Module
from .recurrent import Carry, RNNCellBase, nowrap
from .scope import Frame
from .state import MISSING, TRANSIENT


class RNN(Module):
    """Runs `cell` along the time axis: ``(*batch, time, *features) -> (*batch, time, *out)``.

    One compiled loop for any number of steps. Parameters stand under ``cell``, the same at every
    step; state of the cell (such as running averages) goes from step to step, random numbers are
    drawn anew, sown values are stacked along a new first axis.

    Args:
      cell: an `RNNCellBase`.
      time_major: time is the first axis.
      return_carry: return ``(carry, outputs)``.
      reverse: run from the last step to the first; the outputs are in that order, too,
      keep_order: unless this says to turn them round again.
      unroll: how many steps one turn of the loop does.

    Of a call:
      initial_carry: the carry to begin with, such as that of the sequence's first half; by default
        ``cell.initialize_carry(init_key, ...)``.
      seq_lengths: integers ``(*batch,)``. The carry returned is that after so many steps, and
        `reverse` begins there. Outputs behind the end are not meant to be used.
      mask: booleans ``(*batch, time)`` (time first if `time_major`). A step where it is False keeps
        the carry and gives zeros.

    From PyTorch: ``LSTM(..., batch_first=True)``; ``seq_lengths`` instead of packed sequences. From
    Keras: ``RNN``, ``LSTM``, ``GRU`` with ``return_sequences=True``; the last output is in the
    carry. Where the gates are elsewhere: `jaxcore.nn.recurrent`.

    Raises:
      InputError: too few axes, lengths or mask of another shape.

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn, random
    >>> layer, x = nn.RNN(nn.LSTMCell(4), return_carry=True), jnp.ones((2, 5, 3))
    >>> variables = layer.init(random.key(0), x)
    >>> (c, h), y = layer.apply(variables, x, seq_lengths=jnp.array([5, 2]))
    >>> y.shape, bool((h[1] == y[1, 1]).all())
    ((2, 5, 4), True)
    """

    cell: RNNCellBase
    time_major: bool = False
    return_carry: bool = False
    reverse: bool = False
    keep_order: bool = False
    unroll: int = 1

    def __call__(
        self,
        x: Array,
        *,
        initial_carry: Carry | None = None,
        init_key: Any = None,
        seq_lengths: Array | None = None,
        mask: Array | None = None,
        return_carry: bool | None = None,
        time_major: bool | None = None,
        reverse: bool | None = None,
        keep_order: bool | None = None,
    ) -> Any:
        pick = lambda given, default: default if given is None else given
        time_major = pick(time_major, self.time_major)
        reverse = pick(reverse, self.reverse)
        x = as_array(x)
        axis = 0 if time_major else x.ndim - 1 - self.cell.num_feature_axes
        x, lengths, mask = self._check(x, axis, seq_lengths, mask)
        if reverse:
            x = flip_sequences(x, lengths)
            mask = None if mask is None else flip_sequences(mask, lengths)
        carry = initial_carry
        if carry is None:
            key = random.key(0) if init_key is None else init_key
            carry = self.cell.initialize_carry(key, x.shape[1:])
        carry, y = self._run(carry, x, lengths, mask)
        if reverse and pick(keep_order, self.keep_order):
            y = tree.map(lambda v: flip_sequences(v, lengths), y)
        y = tree.map(lambda v: jnp.moveaxis(v, 0, axis), y)
        return (carry, y) if pick(return_carry, self.return_carry) else y

    def _check(self, x: Array, axis: int, lengths: Any, mask: Any) -> tuple[Array, Any, Any]:
        """Time first; lengths and mask as arrays."""
        place, n = where(self.path, "RNN"), self.cell.num_feature_axes
        if x.ndim < n + 1:
            raise InputError(
                f"{place}: the input has shape {x.shape}. Expected (batch, time, *features) with "
                f"{n} axes of features, as {type(self.cell).__name__} takes them; a single step "
                "is x[:, None]."
            )
        x = jnp.moveaxis(x, axis, 0)
        batch = x.shape[1 : x.ndim - n]
        if lengths is not None:
            lengths = as_array(lengths)
            if lengths.shape != batch or not jnp.issubdtype(lengths.dtype, jnp.integer):
                raise InputError(
                    f"{place}: seq_lengths are {lengths.dtype}{list(lengths.shape)}. Expected "
                    f"integers of the batch's shape {list(batch)}."
                )
        if mask is not None:
            mask = jnp.moveaxis(as_array(mask), axis, 0)
            if mask.shape != x.shape[: x.ndim - n] or mask.dtype != bool:
                raise InputError(
                    f"{place}: mask is {mask.dtype}{list(mask.shape)}, time first. Expected "
                    f"booleans of shape {list(x.shape[: x.ndim - n])}, one for each step."
                )
        return x, lengths, mask

    def _run(self, carry: Carry, x: Array, lengths: Any, mask: Any) -> tuple[Carry, Any]:
        frame = self._frame("__call__")
        steps = x.shape[0]
        first = jnp.zeros(x.shape[1:], x.dtype)
        if frame.run.plan is not None:
            carry, y = self.cell(carry, first)
            return carry, tree.map(lambda v: jnp.broadcast_to(v[None], (steps, *v.shape)), y)
        count = frame.count
        if not Shared(frame, self.cell, steps).complete:
            self._create(frame, carry, first)
        shared = Shared(frame, self.cell, steps)
        out = self._loop(shared, carry, x, lengths, mask)
        if shared.created:  # state that this apply makes is made before the loop, too
            frame.count = count
            self._create(frame, carry, first)
            shared = Shared(frame, self.cell, steps)
            out = self._loop(shared, carry, x, lengths, mask)
        carry, y, state, sown = out
        shared.write(state, sown)
        return carry, y

    def _create(self, frame: Frame, carry: Carry, first: Array) -> None:
        """Makes the cell's variables that do not exist, as `init` does."""
        run, count = frame.run, frame.count
        outer, run.initializing = run.initializing, True
        try:
            with run.layer() as made:
                self.cell(carry, first)
        finally:
            run.initializing, frame.count = outer, count
        for path, value in made.values.items():
            if path[0] not in TRANSIENT and run.mutable(path[0]) and run.get(path) is MISSING:
                run.put(path, value, "RNN")

    def _loop(self, shared: Shared, carry: Carry, x: Array, lengths: Any, mask: Any) -> Any:
        """The last carry, the outputs, the cell's state after all steps, and what they sowed."""
        steps = x.shape[0]

        def step(state: Any, inputs: Any) -> Any:
            carry, last, variables = state
            x, t, keep, keys = inputs
            (new, y), variables, sown = shared.call(variables, keys, lambda: self.cell(carry, x))
            new = tree.map(lambda n, c: as_array(n, jnp.result_type(c)), new, carry)
            if keep is not None:
                new = tree.map(lambda n, c: _select(keep, n, c), new, carry)
                y = tree.map(lambda v: _select(keep, v, jnp.zeros_like(v)), y)
            if lengths is not None:
                last = tree.map(lambda n, c: _select(t < lengths, n, c), new, last)
            return (new, last, variables), (y, sown)

        carry = tree.map(as_array, carry)
        last = None if lengths is None else carry
        inputs = (x, jnp.arange(steps), mask, shared.keys)
        state, (y, sown) = lax.scan(
            step, (carry, last, shared.state), inputs, length=steps, unroll=self.unroll
        )
        return (state[0] if lengths is None else state[1]), y, state[2], sown


def _select(condition: Array, a: Array, b: Array) -> Array:
    """`a` where the condition, of their leading axes, holds."""
    shape = (*condition.shape, *(1,) * (jnp.ndim(a) - condition.ndim))
    return jnp.where(condition.reshape(shape), a, b)


def flip_sequences(x: Array, seq_lengths: Array | None = None) -> Array:
    """Turns sequences ``(time, *batch, ...)`` round: each of its own length, if they are given.

    What stands behind the end of a sequence stays behind it.

    >>> import jaxcore.numpy as jnp
    >>> flip_sequences(jnp.array([[1], [2], [0]]), jnp.array([2])).ravel().tolist()
    [2, 1, 0]
    """
    if seq_lengths is None:
        return jnp.flip(x, 0)
    steps = x.shape[0]
    index = jnp.arange(steps - 1, -1, -1).reshape(steps, *(1,) * seq_lengths.ndim)
    index = (index + seq_lengths[None]) % max(steps, 1)
    index = index.reshape(*index.shape, *(1,) * (x.ndim - index.ndim))
    return jnp.take_along_axis(x, index, 0)


def _concatenate(a: Array, b: Array) -> Array:
    return jnp.concatenate([a, b], -1)


class Bidirectional(Module):
    """One `RNN` forwards and one backwards over the same sequence, merged step by step.

    Parameters: ``forward_rnn``, ``backward_rnn``. Arguments of a call are those of `RNN`; carries
    are pairs.

    Args:
      merge_fn: ``merge_fn(forward, backward)``; concatenates features by default.

    Schuster and Paliwal 1997, https://doi.org/10.1109/78.650093

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn, random
    >>> both = nn.Bidirectional(nn.RNN(nn.GRUCell(4)), nn.RNN(nn.GRUCell(4)))
    >>> both.init_with_output(random.key(0), jnp.ones((2, 5, 3)))[0].shape
    (2, 5, 8)
    """

    forward_rnn: Module
    backward_rnn: Module
    merge_fn: Callable[[Array, Array], Array] = _concatenate
    time_major: bool = False
    return_carry: bool = False

    def __call__(
        self,
        x: Array,
        *,
        initial_carry: Carry | None = None,
        init_key: Any = None,
        seq_lengths: Array | None = None,
        mask: Array | None = None,
        return_carry: bool | None = None,
        time_major: bool | None = None,
    ) -> Any:
        keys = (None, None) if init_key is None else random.split(init_key)
        carries = (None, None) if initial_carry is None else initial_carry
        shared = {
            "seq_lengths": seq_lengths,
            "mask": mask,
            "return_carry": True,
            "time_major": self.time_major if time_major is None else time_major,
        }
        forward, y = self.forward_rnn(
            x, initial_carry=carries[0], init_key=keys[0], reverse=False, **shared
        )
        backward, z = self.backward_rnn(
            x, initial_carry=carries[1], init_key=keys[1], reverse=True, keep_order=True, **shared
        )
        merged = tree.map(self.merge_fn, y, z)
        wanted = self.return_carry if return_carry is None else return_carry
        return ((forward, backward), merged) if wanted else merged


class StackedCells(RNNCellBase):
    """Several cells as one: each gets the output of the one before. Carries are a tuple.

    Parameters: ``cells_0``, ``cells_1``, ... From PyTorch: ``num_layers``; from Keras:
    ``StackedRNNCells``.

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn, random
    >>> deep = nn.RNN(nn.StackedCells([nn.GRUCell(4), nn.GRUCell(6)]))
    >>> deep.init_with_output(random.key(0), jnp.ones((2, 5, 3)))[0].shape
    (2, 5, 6)
    """

    cells: Sequence[RNNCellBase]

    @property
    def num_feature_axes(self) -> int:
        return self.cells[0].num_feature_axes

    def __call__(self, carry: Carry, x: Array) -> tuple[Carry, Array]:
        if len(carry) != len(self.cells):
            raise InputError(
                f"{where(self.path, 'StackedCells')}: {len(carry)} carries for "
                f"{len(self.cells)} cells. Expected one each, from initialize_carry."
            )
        new = []
        for cell, state in zip(self.cells, carry, strict=True):
            state, x = cell(state, x)
            new.append(state)
        return tuple(new), x

    @nowrap
    def initialize_carry(self, rng: Any, input_shape: Sequence[int]) -> tuple[Carry, ...]:
        """The carries of all cells; each takes the features of the one before for its input's."""
        carries, shape = [], tuple(input_shape)
        for key, cell in zip(random.split(rng, len(self.cells)), self.cells, strict=True):
            carries.append(cell.initialize_carry(key, shape))
            shape = tree.leaves(carries[-1])[-1].shape
        return tuple(carries)
