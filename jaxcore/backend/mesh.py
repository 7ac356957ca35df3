"""Meshes and named axes: what is in scope, and what a type says of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import jax
from jax._src import config, core
from jax._src import mesh as _mesh
from jax._src import shard_map as _shard_map
from jax._src.lax import parallel

from jaxcore.backend.traces import ShapedArray

PartitionSpec = jax.sharding.PartitionSpec

psum_p = parallel.psum_p
psum_invariant_p = parallel.psum_invariant_p
pmax_p = parallel.pmax_p
pmin_p = parallel.pmin_p
ppermute_p = parallel.ppermute_p
pbroadcast_p = parallel.pbroadcast_p
all_gather_p = parallel.all_gather_p
all_gather_invariant_p = parallel.all_gather_invariant_p
reduce_scatter_p = parallel.reduce_scatter_p
all_to_all_p = parallel.all_to_all_p
axis_index_p = parallel.axis_index_p
pvary_p = core.pvary_p
shard_map_p = _shard_map.shard_map_p

add_spmd_axis_names = core.add_spmd_axis_names
order_wrt_mesh = core.order_wrt_mesh


def named_axis(name: Any, size: int, spmd_name: tuple[Any, ...] | None = None) -> Any:
    """Context in which collectives may speak of an axis of `size` positions."""
    if name is None and spmd_name is None:
        return nullcontext()
    return _named_axis(name, size, spmd_name)


@contextmanager
def _named_axis(name: Any, size: int, spmd_name: tuple[Any, ...] | None) -> Iterator[None]:
    pairs = [] if name is None else [(name, size)]
    with core.extend_axis_env_nd(pairs), core.add_spmd_axis_names(spmd_name):
        yield


def axis_is_bound(name: Any) -> bool:
    """True where collectives may speak of the axis `name`."""
    return core.get_axis_env().axis_exists(name)


def manual_mesh() -> Any:
    """The mesh over whose axes values are known to vary or not, None where that is not tracked."""
    if not config._check_vma.value:
        return None
    mesh = _mesh.get_abstract_mesh()
    return mesh if mesh.manual_axes else None


def varying(aval: Any) -> frozenset[Any]:
    """The mesh axes over which a value of type `aval` may differ."""
    return aval.manual_axis_type.varying


def retyped(aval: ShapedArray, mesh: Any, axes: frozenset[Any]) -> ShapedArray:
    """`aval` of a value that varies over `axes` of `mesh`."""
    sharding = jax.sharding.NamedSharding(mesh, PartitionSpec(*(None,) * len(aval.shape)))
    return aval.update(
        sharding=sharding, manual_axis_type=aval.manual_axis_type.update(varying=axes)
    )


def reshaped(aval: ShapedArray, shape: tuple[int, ...]) -> ShapedArray:
    """`aval` with another shape; over which mesh axes it varies is kept."""
    spec = PartitionSpec(*(None,) * len(shape))
    return aval.update(shape=shape, sharding=aval.sharding.update(spec=spec))


def effect_axes(effects: Iterable[Any]) -> frozenset[Any]:
    """The axis names that effects of JAX's speak of."""
    return frozenset(e.name for e in effects if isinstance(e, core.NamedAxisEffect))


def proper_effects(effects: Iterable[Any]) -> frozenset[Any]:
    """`effects` without those that only speak of an axis."""
    return frozenset(e for e in effects if not isinstance(e, core.NamedAxisEffect))


def pvary(x: Any, axes: Iterable[Any]) -> Any:
    """`x` as a value that may vary over `axes` too, under one of JAX's traces."""
    return core.pvary(x, tuple(axes))


@contextmanager
def manual(mesh: Any, axes: frozenset[Any], check_vma: bool) -> Iterator[None]:
    """The inside of a `shard_map` over `axes` of `mesh`."""
    inner = _shard_map._as_manual_mesh(mesh, axes)
    with (
        _shard_map._extend_axis_env(mesh, axes),
        _mesh.use_abstract_mesh(inner),
        config._check_vma(check_vma),
    ):
        yield


def shard_aval(mesh: Any, axes: frozenset[Any], check_vma: bool, spec: Any, aval: Any) -> Any:
    """The type inside a `shard_map` of an argument of type `aval`."""
    return core.shard_aval(mesh, axes, check_vma, spec, aval)


def unshard_aval(mesh: Any, check_vma: bool, spec: Any, aval: Any) -> Any:
    """The type outside a `shard_map` of a result of type `aval` inside."""
    return core.unshard_aval(mesh, check_vma, spec, aval)


def new_manual_axes(mesh: Any, axes: frozenset[Any]) -> tuple[Any, ...]:
    """The axes that a `shard_map` over `axes` makes manual here, in the order of the mesh."""
    return _shard_map._all_newly_manual_mesh_names(mesh, axes)


def unmentioned_axes(mesh: Any, spec: Any, axes: frozenset[Any]) -> list[Any]:
    """The manual axes over which a value with `spec` is a copy."""
    return _shard_map._unmentioned2(mesh, spec, axes)


def check_out_specs(mesh: Any, check_vma: bool, specs: Sequence[Any], tree: Any) -> None:
    """JAX's checks of the results of a `shard_map` against its `out_specs`."""
    _shard_map._check_names(specs, tree)
    if check_vma:
        _shard_map._check_mats(mesh, specs, tree)
