"""Meshes and named axes: what is in scope, and what a type says of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import lru_cache, partial
from typing import Any

import jax
from jax._src import config, core, dispatch, pjit, tree_util
from jax._src import mesh as _mesh
from jax._src import shard_map as _shard_map
from jax._src.interpreters import pxla
from jax._src.lax import parallel

from jaxcore.backend.rules import is_jaxpr
from jaxcore.backend.traces import JaxPrimitive, ShapedArray

PartitionSpec = jax.sharding.PartitionSpec
NamedSharding = jax.sharding.NamedSharding

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
sharding_constraint_p = pjit.sharding_constraint_p
UNSPECIFIED = pjit.UNSPECIFIED
context_mesh = partial(pjit.get_ctx_mesh, False)
shard_map_p = _shard_map.shard_map_p

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


def unchecked() -> Any:
    """Context in which JAX does not follow over which axes values vary."""
    return config._check_vma(False)


def varying(aval: Any) -> frozenset[Any]:
    """The mesh axes over which a value of type `aval` may differ."""
    return aval.manual_axis_type.varying


def retyped(aval: ShapedArray, mesh: Any, axes: frozenset[Any]) -> ShapedArray:
    """`aval` of a value that varies over `axes` of `mesh`."""
    sharding = NamedSharding(mesh, PartitionSpec(*(None,) * len(aval.shape)))
    return aval.update(
        sharding=sharding, manual_axis_type=aval.manual_axis_type.update(varying=axes)
    )


def plain(aval: Any) -> Any:
    """`aval` without what JAX's types say of explicit axes, which ours leave to the compiler."""
    mesh = aval.sharding.mesh
    if mesh.empty or mesh.manual_axes:
        return aval
    return aval.update(sharding=None)


def automatic(mesh: Any) -> Any:
    """`mesh` with axes that the compiler takes care of in place of explicit ones."""
    types = jax.sharding.AxisType
    kinds = [types.Auto if t is types.Explicit else t for t in mesh.axis_types]
    return mesh.update(axis_types=tuple(kinds))


def has_explicit_axes(mesh: Any) -> bool:
    """True where JAX's types say how arrays lie on `mesh`."""
    return jax.sharding.AxisType.Explicit in mesh.axis_types


use_abstract_mesh = _mesh.use_abstract_mesh


@lru_cache(16384)
def reshaped(aval: ShapedArray, shape: tuple[int, ...], weak_type: bool) -> ShapedArray:
    """`aval` with another shape; over which axes of a mesh it varies is kept."""
    if not aval.sharding.mesh.manual_axes:
        return ShapedArray(shape, aval.dtype, weak_type)
    spec = PartitionSpec(*(None,) * len(shape))
    sharding = aval.sharding.update(spec=spec)
    return aval.update(shape=shape, weak_type=weak_type, sharding=sharding)


def effect_axes(effects: Iterable[Any]) -> frozenset[Any]:
    """The axis names that effects of JAX's speak of."""
    return frozenset(e.name for e in effects if isinstance(e, core.NamedAxisEffect))


def proper_effects(effects: Iterable[Any]) -> frozenset[Any]:
    """`effects` without those that only speak of an axis."""
    return frozenset(e for e in effects if not isinstance(e, core.NamedAxisEffect))


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


def named_shardings(primitive: JaxPrimitive, params: dict[str, Any]) -> list[Any]:
    """The shardings over concrete devices that an operation of JAX's names."""
    if primitive is sharding_constraint_p:
        found = [params["sharding"]]
    else:
        values = [y for x in params.values() for y in (x if isinstance(x, tuple) else (x,))]
        jaxprs = [getattr(x, "jaxpr", x) for x in values if is_jaxpr(x)]
        found = [s for j in jaxprs for s, _ in dispatch.get_intermediate_shardings(j)]
        found += [x for x in values if isinstance(x, jax.sharding.Sharding)]
    return [s for s in found if isinstance(s, jax.sharding.Sharding) and s._is_concrete]


def placement(shardings: Sequence[Any]) -> Any:
    """A jaxpr in which JAX finds the devices of `shardings`."""

    def place(x: Any) -> list[Any]:
        return [
            sharding_constraint_p.bind(
                x,
                sharding=s.update(spec=PartitionSpec()) if isinstance(s, NamedSharding) else s,
                layout=None,
                context_mesh=_mesh.empty_abstract_mesh,
                unconstrained_dims=frozenset(),
            )
            for s in shardings
        ]

    with core.set_current_trace(core.eval_trace):
        return jax.make_jaxpr(place)(jax.ShapeDtypeStruct((), "float32"))


def batch_spec(spec: Any, dim: int | None, axes: tuple[Any, ...] | None) -> Any:
    """`spec` with a further dimension `dim`, laid out over `axes`."""
    return spec if dim is None else pxla.batch_spec(spec, dim, axes)


def spec_axes(spec: Any) -> frozenset[Any]:
    """The mesh axes that `spec` names."""
    parts = [p for p in spec if p is not None and p is not PartitionSpec.UNCONSTRAINED]
    return frozenset(n for p in parts for n in (p if isinstance(p, tuple) else (p,)))


def device_sharding(device: Any, backend: str | None) -> Any:
    """The sharding that moves arguments to a device, or to the first one of a backend."""
    return pjit._create_sharding_with_device_backend(device, backend)


def moves_arguments(sharding: Any) -> bool:
    """True for a sharding that `device_sharding` made."""
    return getattr(sharding, "_device_backend", False)


def prefix_errors(prefix: Any, tree: Any, what: str) -> list[str]:
    """What keeps `prefix` from being a prefix of `tree`, with the paths."""
    return [str(error(what)) for error in tree_util.prefix_errors(prefix, tree)]


def is_automatic(sharding: Any) -> bool:
    """True for a sharding that a constraint may name: its mesh has no explicit axes."""
    mesh = getattr(sharding, "mesh", None)
    return not moves_arguments(sharding) and (mesh is None or mesh.are_all_axes_auto)
