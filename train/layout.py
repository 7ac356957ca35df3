"""`Layout`: where a run's state and batches lie on the devices of a mesh."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

import jaxcore
from jaxcore import nn, random, tree
from jaxcore.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

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
        # With explicit axes an embedding's lookup, say, would have to name its result's.
        automatic = (AxisType.Auto,) * len(mesh.axis_names)
        self.mesh = mesh = Mesh(mesh.devices, mesh.axis_names, axis_types=automatic)
        self.shard = shard
        self.data_axis = data_axis
        self.parts = mesh.shape[data_axis]
        self.whole = NamedSharding(mesh, PartitionSpec())

    def of_params(self, params: Any) -> Any:
        """The shardings of the parameters."""
        if self.shard == "fsdp":
            return tree.map(self._longest, params)
        rules: Any = self.shard or {}
        return tree.map(_shortest, nn.shardings(params, self.mesh, rules))

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
        return tree.map(_put, state, self.of_state(state))

    def put_batch(self, batch: Any, mask: Any, stacked: bool = False) -> tuple[Any, Any]:
        """A batch and its mask on the mesh; `stacked`, of several steps, on a new first axis.

        Every process has the whole batch, and places its part.
        """
        spec = PartitionSpec(None, self.data_axis) if stacked else PartitionSpec(self.data_axis)
        sharding = NamedSharding(self.mesh, spec)

        return tree.map(lambda x: _put(x, sharding), (batch, mask))

    def _longest(self, leaf: Any) -> NamedSharding:
        shape = tuple(leaf.shape)
        axes = [axis for axis, size in enumerate(shape) if size and size % self.parts == 0]
        if not axes:
            return self.whole
        longest = max(axes, key=lambda axis: shape[axis])
        return NamedSharding(self.mesh, PartitionSpec(*[None] * longest, self.data_axis))


def _shortest(sharding: NamedSharding) -> NamedSharding:
    """The same as the compiler spells it, lest a step be compiled again for the other spelling."""
    spec = list(sharding.spec)
    while spec and spec[-1] is None:
        spec.pop()
    return NamedSharding(sharding.mesh, PartitionSpec(*spec))


def _put(x: Any, sharding: NamedSharding) -> Any:
    """`x`, which every process has, on devices of all processes."""
    if jaxcore.process_count() == 1:
        return jaxcore.device_put(x, sharding)
    if not getattr(x, "is_fully_addressable", True):  # it is there already
        same = x.sharding.is_equivalent_to(sharding, x.ndim)
        return x if same else jaxcore.jit(lambda a: a, out_shardings=sharding)(x)
    if str(x.dtype).startswith("key<"):
        data, impl = _put(random.key_data(x), sharding), random.key_impl(x)
        return jaxcore.jit(
            lambda words: random.wrap_key_data(words, impl=impl), out_shardings=sharding
        )(data)
    values = np.asarray(x)
    return jaxcore.make_array_from_callback(values.shape, sharding, lambda index: values[index])


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
