"""Executables on their way to the disk and back, where nothing is lowered again.

An executable is its bytes and a header of plain values that JSON can hold: devices, shardings and
layouts. Types are not stored, whoever asks for an executable has them.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax._src import compiler, core, xla_bridge
from jax._src.interpreters import pxla
from jax._src.lax import linalg
from jax._src.lib import _jax, xla_client
from jax._src.sharding_impls import GSPMDSharding
from jax.experimental.layout import Layout
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec, SingleDeviceSharding
from jax.stages import ArgInfo, Compiled

Header = dict[str, Any]


class NotStorable(Exception):
    """Why an executable stays in this process."""


def compile_environment() -> tuple[Any, ...]:
    """What an executable depends on beside its program: the compiler, its options, the devices."""
    device = pxla.get_default_device()
    client = device.client
    options = compiler.get_compile_options(1, 1, backend=client).SerializeAsString()
    return (
        jax.__version__,
        xla_client._version,
        jax.lib.__version__,
        client.platform,
        client.platform_version,
        client.runtime_type,
        _topology(client),
        device.id,
        tuple(d.device_kind for d in client.devices()),
        options,
        os.environ.get("XLA_FLAGS", ""),
        os.environ.get("LIBTPU_INIT_ARGS", ""),
    )


def _topology(client: Any) -> int | None:
    try:
        return xla_client.get_topology_for_devices(client.devices()).fingerprint()
    except (_jax.JaxRuntimeError, AttributeError):  # a platform that does not describe itself
        return None


def several_processes() -> bool:
    """True where one program runs on the devices of several processes."""
    return xla_bridge.process_count() > 1


def module_bytes(lowered: jax.stages.Lowered) -> bytes:
    """The lowered module without locations.

    Raises:
      NotStorable: it holds something of this process, or calls what another may not have.
    """
    lowering: Any = lowered._lowering
    parts = lowering.compile_args
    for name in ("host_callbacks", "keepalive", "unordered_effects", "ordered_effects", "mut"):
        if parts.get(name):
            raise NotStorable(f"it has {name}")
    if lowering.const_args:
        raise NotStorable("it has constants as arguments")
    text = lowering.stablehlo().operation.get_asm(enable_debug_info=False, binary=True)
    for target in {name for pair in _TARGET.findall(text) for name in pair if name}:
        if not _KNOWN_TARGET.match(target):
            raise NotStorable(f"it calls {target.decode()}")
    return text


_TARGET = re.compile(rb'custom_call @"?([\w.$]+)|call_target_name = "([^"]*)"')
_KNOWN_TARGET = re.compile(rb"lapack_|cu|hip|Sharding$|SPMD|annotate_device_placement$|__gpu")


def pack(compiled: Compiled, in_avals: Sequence[Any], out_avals: Sequence[Any]) -> Any:
    """The header and the bytes of an executable for arguments and results of these types.

    Raises:
      NotStorable: something in it has no form outside this process.
    """
    executable: Any = compiled._executable
    parts = getattr(executable, "_unloaded_executable", None)
    if parts is None:
        raise NotStorable("the runtime keeps it")
    client = parts.backend
    try:
        payload = client.serialize_executable(parts.xla_executable)
    except (_jax.JaxRuntimeError, NotImplementedError) as error:
        raise NotStorable(str(error)) from None
    header = {
        "name": parts.name,
        "platform": client.platform,
        "devices": [d.id for d in parts.device_list],
        "committed": parts.committed,
        "kept": sorted(parts.kept_var_idx),
        "lapack": b"lapack_" in payload,
        "in_shardings": _pack_all(_pack_sharding, parts.input_shardings),
        "out_shardings": _pack_all(_pack_sharding, parts.output_shardings),
        "in_types": _placed(in_avals, parts.input_avals, parts.input_shardings),
        "out_types": _placed(out_avals, parts.output_avals, parts.output_shardings),
        "in_layouts": _pack_all(_pack_layout, parts.xla_in_layouts),
        "dispatch_layouts": _pack_all(_pack_layout, parts.dispatch_in_layouts),
        "out_layouts": _pack_all(_pack_layout, parts.xla_out_layouts),
    }
    return header, payload


def unpack(
    header: Header,
    payload: bytes,
    in_avals: Sequence[Any],
    out_avals: Sequence[Any],
    donated: Sequence[bool],
) -> Compiled:
    """The executable that `pack` was given."""
    if header["lapack"]:
        linalg.initialize_lapack()
    devices = {d.id: d for d in jax.devices(header["platform"])}
    device_list = xla_client.DeviceList(tuple(devices[i] for i in header["devices"]))
    client = device_list[0].client
    in_shardings = _unpack_all(lambda x: _unpack_sharding(x, devices), header["in_shardings"])
    out_shardings = _unpack_all(lambda x: _unpack_sharding(x, devices), header["out_shardings"])
    executable = pxla.UnloadedMeshExecutable(
        xla_executable=client.deserialize_executable(payload, executable_devices=device_list),
        device_list=device_list,
        backend=client,
        input_avals=_place(in_avals, header["in_types"], in_shardings),
        input_shardings=in_shardings,
        output_avals=_place(out_avals, header["out_types"], out_shardings),
        output_shardings=out_shardings,
        committed=header["committed"],
        name=header["name"],
        unordered_effects=[],
        ordered_effects=[],
        keepalive=[],
        host_callbacks=[],
        kept_var_idx=set(header["kept"]),
        mut=None,
        xla_in_layouts=_unpack_all(_unpack_layout, header["in_layouts"]),
        dispatch_in_layouts=_unpack_all(_unpack_layout, header["dispatch_layouts"]),
        xla_out_layouts=_unpack_all(_unpack_layout, header["out_layouts"]),
        all_args_info=None,
        pgle_profiler=None,
    ).load()
    flags = list(donated) or [False] * len(in_avals)
    infos = tuple(ArgInfo(a, on) for a, on in zip(in_avals, flags, strict=True))
    out_tree = jax.tree.structure([0] * len(out_avals))
    return Compiled(executable, [], (infos, {}), out_tree, no_kwargs=True)


def _pack_all(pack_one: Callable[[Any], Any], values: Sequence[Any]) -> dict[str, list[Any]]:
    """Each distinct value once, and which of them stands where."""
    number: dict[Any, int] = {}
    order = [number.setdefault(x, len(number)) for x in values]
    return {"distinct": [pack_one(x) for x in number], "order": order}


def _unpack_all(unpack_one: Callable[[Any], Any], packed: dict[str, list[Any]]) -> list[Any]:
    distinct = [unpack_one(x) for x in packed["distinct"]]
    return [distinct[i] for i in packed["order"]]


def _placed(avals: Sequence[Any], found: Sequence[Any], shardings: Sequence[Any]) -> list[int]:
    """Which of the types `found` are those of the program with the sharding added."""
    placed = [i for i, (a, b) in enumerate(zip(avals, found, strict=True)) if a != b]
    if _place(avals, placed, shardings) != list(found):
        raise NotStorable("its types are not those of the program")
    return placed


def _place(avals: Sequence[Any], placed: Sequence[int], shardings: Sequence[Any]) -> list[Any]:
    result = list(avals)
    for i in placed:
        result[i] = core.update_aval_with_sharding(result[i], shardings[i])
    return result


def _pack_layout(x: Any) -> Any:
    if x is None:
        return None
    return [x.major_to_minor, x.tiling, x.sub_byte_element_size_in_bits]


def _unpack_layout(x: Any) -> Layout | None:
    if x is None:
        return None
    order, tiling, bits = x
    return Layout(tuple(order), None if tiling is None else tuple(map(tuple, tiling)), bits)


def _pack_sharding(x: Any) -> dict[str, Any]:
    if type(x) is SingleDeviceSharding:
        (device,) = x.device_set
        return {"kind": "single", "device": device.id, "memory": x.memory_kind}
    if type(x) is GSPMDSharding:
        proto = x._hlo_sharding.to_proto().SerializeToString()
        return {
            "kind": "gspmd",
            "devices": [d.id for d in x._device_assignment],
            "proto": base64.b64encode(proto).decode(),
            "memory": x.memory_kind,
        }
    if type(x) is NamedSharding and type(x.mesh) is Mesh and x._logical_device_ids is None:
        spec, mesh = x.spec, x.mesh
        names = [name for group in (*spec, *mesh.axis_names) for name in _as_tuple(group)]
        if all(isinstance(n, str | None) for n in names) and spec == PartitionSpec(*spec):
            return {
                "kind": "named",
                "devices": [d.id for d in mesh.devices.flat],
                "shape": mesh.devices.shape,
                "names": mesh.axis_names,
                "types": [t.name for t in mesh.axis_types],
                "spec": list(spec),
                "memory": x.memory_kind,
            }
    raise NotStorable(f"it is sharded by {x}")


def _as_tuple(x: Any) -> tuple[Any, ...]:
    return x if isinstance(x, tuple) else (x,)


def _unpack_sharding(x: dict[str, Any], devices: dict[int, Any]) -> Any:
    memory = x["memory"]
    if x["kind"] == "single":
        return SingleDeviceSharding(devices[x["device"]], memory_kind=memory)
    chosen = [devices[i] for i in x["devices"]]
    if x["kind"] == "gspmd":
        proto = xla_client.OpSharding()
        proto.ParseFromString(base64.b64decode(x["proto"]))
        return GSPMDSharding(chosen, proto, memory_kind=memory)
    grid = np.empty(len(chosen), object)
    grid[:] = chosen
    types = tuple(AxisType[name] for name in x["types"])
    mesh = Mesh(grid.reshape(x["shape"]), tuple(x["names"]), axis_types=types)
    spec = [tuple(name) if isinstance(name, list) else name for name in x["spec"]]
    return NamedSharding(mesh, PartitionSpec(*spec), memory_kind=memory)
