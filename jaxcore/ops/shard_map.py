"""`shard_map`: a program that every device of a mesh runs on its own part of the operands.

Operands are whole arrays; `in_specs` say how each is cut along the axes of the mesh, `out_specs`
how the results are put together. The rules transform the program under the mesh's axes, so that
what is inside needs no rules of its own. With `check_vma` types inside say over which axes a value
varies, and derivatives sum over devices where a value that is the same everywhere meets one that is
not; without, a result that is not cut along an axis is taken for a copy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.sharding import AxisType

from jaxcore import backend
from jaxcore.axes import Axis, program_axis_names
from jaxcore.ir import Program
from jaxcore.ops.shard_map_derivative import (
    WHOLE,
    Inside,
    Specs,
    inner_type,
    linearize_shard_map,
    outer_type,
    transpose_shard_map,
)
from jaxcore.primitive import Primitive
from jaxcore.trace import aval_of, bind, trace_program

__all__ = ["as_jax", "shard_map_p", "stage_shard_map"]


def stage_shard_map(
    fun: Callable[..., Any],
    args: Sequence[Any],
    *,
    mesh: Any,
    in_specs: Sequence[Any],
    check_vma: bool,
    newly_manual_axes: frozenset[Any],
    debug_info: Any,
) -> Any:
    """Record JAX's `shard_map`, whose flat body `fun` gives a tree of results and their specs.

    Returns:
      The tree of results.
    """
    axes, name = newly_manual_axes, debug_info.func_name
    if any(mesh.axis_types[mesh.axis_names.index(a)] is AxisType.Explicit for a in axes):
        raise NotImplementedError(
            f"shard_map of {name}: the mesh has the axis types {mesh.axis_types}, but types of "
            "jaxcore do not say how arrays lie on explicit axes. Fix: use jaxcore.shard_map, or a "
            "mesh made with axis_types=(AxisType.Auto, ...)."
        )
    found: list[Any] = []

    def body(*values: Any) -> list[Any]:
        tree, specs = fun(*values).unpack_aux()
        found[:] = [tree, tuple(specs)]
        return list(tree)

    avals = [
        inner_type(aval_of(x), s, mesh, axes, check_vma)
        for x, s in zip(args, in_specs, strict=True)
    ]
    with backend.manual(mesh, axes, check_vma):
        program, consts = trace_program(body, avals, name)
    tree, out_specs = found
    backend.check_out_specs(mesh, check_vma, out_specs, tree.update(program.out_avals))
    results = bind(
        shard_map_p,
        *consts,
        *args,
        program=program,
        mesh=mesh,
        in_specs=(*(WHOLE,) * len(consts), *in_specs),
        out_specs=out_specs,
        check_vma=check_vma,
        axes=axes,
    )
    return tree.update(results)


def _type(
    *avals: Any, program: Program, mesh: Any, out_specs: Specs, check_vma: bool, **_: Any
) -> list[Any]:
    pairs = zip(program.out_avals, out_specs, strict=True)
    return [outer_type(a, s, mesh, check_vma) for a, s in pairs]


def _batch(
    size: int,
    args: Sequence[Any],
    dims: Sequence[int | None],
    *,
    program: Program,
    mesh: Any,
    in_specs: Specs,
    out_specs: Specs,
    check_vma: bool,
    axes: frozenset[Any],
) -> Any:
    from jaxcore.transforms.vmap import batch_program

    inside = Inside(mesh, axes, check_vma)
    over = getattr(size, "spmd_name", None)
    if over is not None:
        used = {n for s in (*in_specs, *out_specs) for n in backend.spec_axes(s)}
        if used.intersection(over):
            raise ValueError(
                f"vmap lays its axis out over the mesh axes {over} (spmd_axis_name), which the "
                f"shard_map inside uses too: in_specs={in_specs}, out_specs={out_specs}."
            )
        inner = int(size) // math.prod(mesh.shape[n] for n in over)
        size = Axis(inner, getattr(size, "name", None), over)
    with inside:
        batched = batch_program(program, size, tuple(dims))
    new_in = [backend.batch_spec(s, d, over) for s, d in zip(in_specs, dims, strict=True)]
    new_out = [backend.batch_spec(s, d, over) for s, d in zip(out_specs, batched.dims, strict=True)]
    n = len(batched.consts)
    out = inside.bind(batched.program, [*batched.consts, *args], [*(WHOLE,) * n, *new_in], new_out)
    return out, batched.dims


def as_jax(
    run: Callable[[Program, Sequence[Any]], Sequence[Any]],
    *,
    program: Program,
    mesh: Any,
    in_specs: Specs,
    out_specs: Specs,
    check_vma: bool,
    axes: frozenset[Any],
) -> Callable[..., tuple[Any, ...]]:
    """JAX's `shard_map` of `program`, which ``run(program, args)`` runs."""
    return jax.shard_map(
        lambda *args: tuple(run(program, args)),
        mesh=mesh,
        in_specs=in_specs,
        out_specs=out_specs,
        axis_names=set(axes),
        check_vma=check_vma,
    )


def _lower(
    b: Any, operands: Sequence[Any], avals_in: Any, avals_out: Any, *, mesh: Any, **params: Any
) -> list[Any]:
    from jaxcore.lower import bind_program

    fun = as_jax(bind_program, mesh=mesh, **params)
    with backend.use_abstract_mesh(mesh.abstract_mesh):  # for which JAX looks
        return b.function_of_jax(fun, avals_in, operands)


def _cost(
    avals_in: Any, avals_out: Any, *, program: Program, mesh: Any, axes: Any, **_: Any
) -> int:
    """What all devices do together."""
    from jaxcore.cost import program_flops

    return math.prod(mesh.shape[a] for a in axes) * program_flops(program)


shard_map_p = Primitive(
    "shard_map",
    _type,
    linearize=linearize_shard_map,
    transpose=transpose_shard_map,
    batch=_batch,
    lower=_lower,
    cost=_cost,
    effects=lambda avals, params: params["program"].effects,
    axis_names=lambda avals, params: (
        program_axis_names(params["program"]) - set(params["mesh"].axis_names)
    ),
    multiple_results=True,
)
