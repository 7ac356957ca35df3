"""Named axes: which ones an operation speaks of, and over which of them a value varies.

A type inside the body of a `shard_map` says over which of the mesh's axes the value may differ from
device to device. It decides where a derivative has to sum over devices: a value that is the same
everywhere becomes a varying one through `pvary`, whose transpose is a sum. Most primitives know
nothing of it. Before one is applied its operands are made to vary over the same axes, and its
results vary over these; collectives, and whatever holds a program, state the axes of their results.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from jaxcore import backend
from jaxcore.backend import ShapedArray
from jaxcore.ir import Program
from jaxcore.primitive import Primitive

__all__ = [
    "Axis",
    "align",
    "bare_size",
    "axis_key",
    "axis_names",
    "cast_hint",
    "program_axis_names",
    "result_types",
    "vary",
]


class Axis(int):
    """The size of a mapped axis, which knows the name that collectives call it by.

    `spmd_name` are the mesh axes that the mapped axis is laid out over.
    """

    name: Any
    spmd_name: tuple[Any, ...] | None

    def __new__(cls, size: int, name: Any, spmd_name: tuple[Any, ...] | None = None) -> Axis:
        axis = super().__new__(cls, size)
        axis.name, axis.spmd_name = name, spmd_name
        return axis


def bare_size(size: Any) -> Any:
    """`size` without a name; in an export it may be symbolic."""
    return int(size) if isinstance(size, int) else size


def axis_key(size: int) -> tuple[Any, ...]:
    """What a batched form depends on: an `Axis` is equal to other integers."""
    return (bare_size(size), getattr(size, "name", None), getattr(size, "spmd_name", None))


def axis_names(
    primitive: Primitive, avals: Sequence[Any], params: dict[str, Any]
) -> frozenset[Any]:
    """The named axes that an operation speaks of, in the programs it holds too."""
    if primitive.axis_names is not None:
        return primitive.axis_names(avals, params)
    return frozenset().union(*(program_axis_names(p) for p in programs(params)))


def program_axis_names(program: Program) -> frozenset[Any]:
    """The named axes that the equations of `program` speak of, memoised on it."""
    found = program.memo.get("axis_names")
    if found is None:
        sets = [
            axis_names(eq.primitive, [x.aval for x in eq.inputs], eq.params)
            for eq in program.equations
        ]
        found = program.memo["axis_names"] = frozenset().union(*sets)
    return found


def programs(params: dict[str, Any]) -> Iterator[Program]:
    """The programs that the parameters of an operation hold."""
    for value in params.values():
        for x in value if isinstance(value, tuple) else (value,):
            if isinstance(x, Program):
                yield x


def vary(x: Any, axes: frozenset[Any], mesh: Any) -> Any:
    """`x` as a value that varies over `axes` of `mesh` at least."""
    from jaxcore.ops.collective import pvary_p
    from jaxcore.trace import aval_of, bind

    missing = axes - backend.varying(aval_of(x))
    return bind(pvary_p, x, axes=backend.order_wrt_mesh(mesh, missing)) if missing else x


def cast_hint(one: Sequence[Any], other: Sequence[Any]) -> str | None:
    """What to do about types that differ only in the axes over which values vary; else None."""
    missing: set[Any] = set()
    for a, b in zip(one, other, strict=True):
        if (a.shape, a.dtype) != (b.shape, b.dtype):
            return None
        missing |= backend.varying(a) ^ backend.varying(b)
    if not missing:
        return None
    axes = tuple(sorted(missing, key=str))
    return f"apply jaxcore.lax.pcast(..., {axes}, to='varying') to the one that does not vary"


def align(
    primitive: Primitive,
    args: Sequence[Any],
    params: dict[str, Any],
    mesh: Any,
    scalars: bool = False,
) -> Sequence[Any]:
    """Operands of `primitive` that vary over the same axes of `mesh`; Python's and NumPy's scalars
    only if asked for, or where JAX lowers the operation.
    """
    from jaxcore.trace import aval_of, matched

    if primitive.name == "call":
        return matched(params["program"], args)
    if primitive.axis_names is not None or any(programs(params)):
        return args
    axes = [backend.varying(aval_of(x)) for x in args]
    if len(set(axes)) < 2:
        return args
    union = frozenset[Any]().union(*axes)
    scalars = scalars or primitive.lower is None
    return [vary(x, union, mesh) if scalars or not _is_scalar(x) else x for x in args]


def _is_scalar(x: Any) -> bool:
    return isinstance(x, bool | int | float | complex | np.generic)


def result_types(
    primitive: Primitive, types: Any, avals: Sequence[Any], params: dict[str, Any], mesh: Any
) -> Any:
    """The result types of `primitive` with the axes over which its (aligned) operands vary."""
    if primitive.axis_names is not None or any(programs(params)):
        return types
    axes = frozenset[Any]().union(*map(backend.varying, avals))
    if not primitive.multiple_results:
        return _typed(types, axes, mesh)
    return [_typed(t, axes, mesh) for t in types]


def _typed(aval: Any, axes: frozenset[Any], mesh: Any) -> Any:
    if type(aval) is not ShapedArray:
        return aval
    known = not aval.sharding.mesh.empty and axes == backend.varying(aval)
    return aval if known else backend.retyped(aval, mesh, axes)
