"""`Layout`: where a run's state and batches lie on the devices of a mesh."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

import jaxcore
from jaxcore import nn, tree
from jaxcore.sharding import Mesh, NamedSharding, PartitionSpec

from .errors import TrainError, explain
from .paths import leaf_paths
from .state import State

Rules = Mapping[str, PartitionSpec]


class Layout:
    """State and batches on a mesh.

    Batches are divided by rows along `data_axis`. Parameters lie whole on every device, or as
    `shard` says; what optimiser and average keep of a parameter lies where the parameter does.

    Args:
      mesh: the devices, of all processes.
      shard: {glob: PartitionSpec} over the paths of the parameters, as for `nn.shardings`; or
        "fsdp", which divides every parameter along its longest axis that `data_axis` divides.
      data_axis: the axis of the mesh for the rows of a batch.
    """

    def __init__(
        self, mesh: Mesh, shard: Rules | str | None = None, data_axis: str = "data"
    ) -> None:
        if data_axis not in mesh.shape:
            raise TrainError(
                explain(
                    "The mesh has no axis for the rows of a batch.",
                    got=f"the axes {dict(mesh.shape)}",
                    expected=f"one named {data_axis!r}",
                    fix="write jaxcore.make_mesh((8,), ('data',)).",
                )
            )
        if isinstance(shard, str) and shard != "fsdp":
            raise TrainError(
                explain(
                    "Unknown `shard`.",
                    got=repr(shard),
                    expected="'fsdp', or {glob: PartitionSpec}",
                    fix="leave it out to keep the parameters whole on every device.",
                )
            )
        self.mesh = mesh
        self.shard = shard
        self.data_axis = data_axis
        self.parts = mesh.shape[data_axis]
        self.whole = NamedSharding(mesh, PartitionSpec())

    def of_params(self, params: Any) -> Any:
        """The shardings of the parameters."""
        if self.shard == "fsdp":
            return tree.map(self._longest, params)
        rules: Any = self.shard or {}
        return nn.shardings(params, self.mesh, rules)

    def of_state(self, state: State) -> State:
        """The shardings of a state, or of its types."""
        params = leaf_paths(state.params)
        placed = dict(leaf_paths(self.of_params(state.params)))
        shapes = {path: tuple(leaf.shape) for path, leaf in params}
        names = sorted(shapes, key=len, reverse=True)

        def where(path: str, leaf: Any) -> NamedSharding:
            for name in names:
                if path.endswith(f"/{name}") and tuple(leaf.shape) == shapes[name]:
                    return placed[name]
            return self.whole

        leaves = [where(f"/{path}", leaf) for path, leaf in leaf_paths(state)]
        return tree.unflatten(tree.structure(state), leaves)

    def put_state(self, state: State) -> State:
        """A state on the mesh."""
        return tree.map(jaxcore.device_put, state, self.of_state(state))

    def put_batch(self, batch: Any, mask: Any, stacked: bool = False) -> tuple[Any, Any]:
        """A batch and its mask on the mesh; `stacked`, of several steps, on a new first axis.

        Every process has the whole batch, and places its part.
        """
        spec = PartitionSpec(None, self.data_axis) if stacked else PartitionSpec(self.data_axis)
        sharding = NamedSharding(self.mesh, spec)

        def put(x: Any) -> Any:
            if jaxcore.process_count() == 1:
                return jaxcore.device_put(x, sharding)
            x = np.asarray(x)
            return jaxcore.make_array_from_callback(x.shape, sharding, lambda index: x[index])

        return tree.map(put, (batch, mask))

    def _longest(self, leaf: Any) -> NamedSharding:
        shape = tuple(leaf.shape)
        axes = [axis for axis, size in enumerate(shape) if size and size % self.parts == 0]
        if not axes:
            return self.whole
        longest = max(axes, key=lambda axis: shape[axis])
        spec = [self.data_axis if axis == longest else None for axis in range(len(shape))]
        return NamedSharding(self.mesh, PartitionSpec(*spec))


def check_mesh(layout: Layout | None) -> None:
    """Raise `TrainError` if there are several processes and no mesh that joins their devices."""
    if layout is None and jaxcore.process_count() > 1:
        raise TrainError(
            explain(
                "Several processes train one model on one mesh.",
                got=f"{jaxcore.process_count()} processes and Trainer(mesh=None)",
                expected="a mesh over the devices of all processes",
                fix="write mesh=jaxcore.make_mesh((jaxcore.device_count(),), ('data',)).",
            )
        )


def check_agreement(**values: Any) -> None:
    """Raise `TrainError` unless all processes have the same values; with one process, nothing."""
    if jaxcore.process_count() == 1:
        return
    from jaxcore.experimental import multihost_utils

    for name, value in values.items():
        try:
            multihost_utils.assert_equal(np.asarray(value), name)
        except AssertionError as error:
            raise TrainError(
                explain(
                    f"The processes of this run disagree about {name}.",
                    got=f"{value} in process {jaxcore.process_index()}",
                    expected="the same in all of them",
                    fix="start all with the same script, arguments, data and directory.",
                )
            ) from error
