"""How parameters and gradients are distributed, as TensorBoard draws it over the steps."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import nn

from ..arguments import check_counts
from ..gradients import make_gradient
from ..history import Row
from ..paths import leaf_paths
from ..plan import Plan
from ..run import Run
from ..units import EVERY_EPOCH, Duration, check_duration
from .base import target
from .tensorboard import TensorBoardLogger, bytes_field, double_field, integer_field, summary


class TensorBoardHistograms(TensorBoardLogger):
    """Write a histogram of each parameter, and of its gradient, beside what TensorBoardLogger does.

    They are counted on the device; nothing is as long as a parameter on its way to the host. The
    tags are "parameters/..." and "gradients/...", by the paths of the parameters.

    Args:
      every: between two of them, in any unit.
      gradients: also of the gradient of the loss, taken anew of the batch of that step: a second
        program to compile. Data that can be read only once has none.
      bins: of each histogram, equally wide.
      path: the folder to point TensorBoard to; by default "tensorboard" in the run's directory.

    >>> from jaxcore import train
    >>> callbacks = [train.TensorBoardLogger(), TensorBoardHistograms(train.Epochs(1))]
    """

    def __init__(
        self,
        every: Duration = EVERY_EPOCH,
        *,
        gradients: bool = False,
        bins: int = 64,
        path: str | os.PathLike[str] | None = None,
    ) -> None:
        super().__init__(path)
        check_duration("every", every)
        check_counts(1, bins=bins)
        self.every = every
        self.gradients = gradients
        self.bins = bins
        self._gradient: tuple[Plan, Any] | None = None

    def open(self, run: Run, rows: Sequence[Row]) -> None:
        folder = target(run, self.path, "tensorboard", "TensorBoardHistograms")
        folder.mkdir(parents=True, exist_ok=True)
        self.begin(folder, "histograms", "ab")
        # The session begins here: of an interrupted one, TensorBoard forgets what comes after.
        self.write_event(integer_field(2, run.step + 1) + bytes_field(7, integer_field(1, 1)))

    def on_log(self, run: Run, row: Row) -> None:
        """Rows are the business of `TensorBoardLogger`."""

    def on_step_end(self, run: Run) -> None:
        if self.every is None or not run.is_due(self.every):
            return
        found = {"parameters": run.state.params, **self._gradients(run)}
        counted = _count(self.bins)(found)  # in every process: each may have a part of the state
        if self._writer is not None:
            self._writer.put(self, {"step": run.step, **counted})

    def _gradients(self, run: Run) -> dict[str, Any]:
        batch = run.batch_again() if self.gradients else None
        if batch is None:
            return {}
        assert run.plan is not None
        if self._gradient is None or self._gradient[0] is not run.plan:
            self._gradient = run.plan, make_gradient(run.plan.task)
        return {"gradients": self._gradient[1](run.state, batch)[1]}

    def write(self, row: Row) -> None:
        counted: dict[str, Any] = {**row}
        step = integer_field(2, int(counted.pop("step")))
        values = {name: bytes_field(5, _encoded(found)) for name, found in counted.items()}
        self.write_event(step + summary(values))


class Counted(NamedTuple):
    """A histogram: sum and sum of squares, counts (bins,), and their limits (bins + 1,)."""

    total: Any
    squares: Any
    counts: Any
    edges: Any


def _count(bins: int) -> Any:
    """A compiled function of {kind: parameters}, to {"kind/path": Counted}."""
    if bins not in _COMPILED:

        def count(trees: dict[str, Any]) -> dict[str, Counted]:
            return {
                f"{kind}/{path}": _histogram(leaf, bins)
                for kind, params in trees.items()
                for path, leaf in leaf_paths(nn.unstack_layers(params))
            }

        _COMPILED[bins] = jaxcore.jit(count)
    return _COMPILED[bins]


_COMPILED: dict[int, Any] = {}


def _histogram(leaf: Any, bins: int) -> Counted:
    x = leaf.astype(jnp.float32).reshape(-1)
    counts, edges = jnp.histogram(x, bins)
    return Counted(x.sum(), jnp.square(x).sum(), counts, edges)


def _encoded(histogram: Counted) -> bytes:
    """TensorFlow's HistogramProto."""
    total, squares, counts, edges = (np.asarray(x, np.float64) for x in histogram)
    numbers = [edges[0], edges[-1], counts.sum(), total, squares]
    packed = [struct.pack(f"<{len(row)}d", *row) for row in (edges[1:], counts)]
    return b"".join(
        [double_field(n, float(x)) for n, x in enumerate(numbers, 1)]
        + [bytes_field(n, row) for n, row in enumerate(packed, 6)]
    )
