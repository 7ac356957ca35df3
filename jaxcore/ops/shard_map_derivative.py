"""Derivative and transpose of `shard_map`: both are again `shard_map`s over the same axes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxcore import backend
from jaxcore.axes import vary
from jaxcore.backend import PartitionSpec
from jaxcore.ir import Program, Var, intern
from jaxcore.ops.avals import shaped
from jaxcore.ops.call import run_program
from jaxcore.primitive import Linear
from jaxcore.trace import StageTrace, StageTracer, aval_of, bind, trace_program

__all__ = [
    "WHOLE",
    "Inside",
    "Specs",
    "inner_type",
    "linearize_shard_map",
    "outer_type",
    "transpose_shard_map",
]

Specs = tuple[Any, ...]
WHOLE = PartitionSpec()


def inner_type(aval: Any, spec: Any, mesh: Any, axes: frozenset[Any], check_vma: bool) -> Any:
    """The type of one device's part of a value."""
    return backend.shard_aval(mesh, axes, check_vma, spec, aval)


def outer_type(aval: Any, spec: Any, mesh: Any, check_vma: bool) -> Any:
    """The type of the value that the devices' parts make."""
    aval = backend.unshard_aval(mesh, check_vma, spec, aval)
    return (
        aval if aval.sharding.mesh.manual_axes else shaped(aval.shape, aval.dtype, aval.weak_type)
    )


class Inside:
    """The mesh, the axes and the check of an equation, which its transformed forms share."""

    def __init__(self, mesh: Any, axes: frozenset[Any], check_vma: bool) -> None:
        self.mesh, self.axes, self.check_vma = mesh, axes, check_vma

    def __enter__(self) -> None:
        self.context = backend.manual(self.mesh, self.axes, self.check_vma)
        self.context.__enter__()

    def __exit__(self, *exception: Any) -> None:
        self.context.__exit__(*exception)

    def trace(
        self,
        fun: Callable[..., Sequence[Any]],
        avals: Sequence[Any],
        in_specs: Sequence[Any],
        name: str,
    ) -> tuple[Program, list[Any], Specs]:
        """The program of `fun`, the values it captures (its first inputs), and all its specs."""
        program, consts = trace_program(fun, avals, name)
        return program, consts, (*(WHOLE,) * len(consts), *in_specs)

    def bind(
        self,
        program: Program,
        args: Sequence[Any],
        in_specs: Sequence[Any],
        out_specs: Sequence[Any],
    ) -> list[Any]:
        """`program` as another `shard_map` over the same axes."""
        from jaxcore.ops.shard_map import shard_map_p

        return bind(
            shard_map_p,
            *args,
            program=program,
            mesh=self.mesh,
            in_specs=tuple(in_specs),
            out_specs=tuple(out_specs),
            check_vma=self.check_vma,
            axes=self.axes,
        )

    def copies(self, spec: Any) -> list[Any]:
        """Axes over which a value with `spec` is a copy, where types do not say it."""
        return [] if self.check_vma else backend.unmentioned_axes(self.mesh, spec, self.axes)

    def each(self, aval: Any) -> Any:
        """The spec that keeps each device's value of type `aval`, along the first dimension."""
        if self.check_vma:
            names = backend.order_wrt_mesh(self.mesh, backend.varying(aval) & self.axes)
        else:
            names = backend.new_manual_axes(self.mesh, self.axes)
        return PartitionSpec(names) if names else WHOLE

    def inner(self, aval: Any, spec: Any) -> Any:
        return inner_type(aval, spec, self.mesh, self.axes, self.check_vma)


def _lift(x: Any) -> Any:
    """A scalar as an array of one element, which can be put together with those of others."""
    from jaxcore import lax

    return lax.reshape(x, (1,)) if aval_of(x).shape == () else x


def linearize_shard_map(
    avals: Sequence[Any],
    active: tuple[bool, ...],
    *,
    program: Program,
    mesh: Any,
    in_specs: Specs,
    out_specs: Specs,
    check_vma: bool,
    axes: frozenset[Any],
) -> Any:
    """The split of a `shard_map`: residuals are put together along a dimension of their own where
    they are neither arguments nor results.
    """
    from jaxcore.transforms.linearize import Linearized, linearize_program

    inside = Inside(mesh, axes, check_vma)
    n_in, n_out = len(avals), len(program.outputs)
    with inside:
        split = linearize_program(program, active)
        extra = split.primal.out_avals[n_out:]
        own = [inside.each(a) for a in extra]

        def forward(*values: Any) -> list[Any]:
            results = run_program(split.primal, [*split.consts, *values])
            return [*results[:n_out], *map(_lift, results[n_out:])]

        first, captured, first_specs = inside.trace(
            forward, program.in_avals, in_specs, program.name
        )
    primal_outs = (*out_specs, *own)
    primal, consts = _program(
        program.name,
        avals,
        lambda *values: inside.bind(first, [*captured, *values], first_specs, primal_outs),
    )

    # Residuals and tangents to tangents.
    pool_specs = [*in_specs, *out_specs, *own]
    pool_avals = [*avals, *primal.out_avals]
    moved_specs = [pool_specs[i] for i in split.residuals]
    residual_avals = [pool_avals[i] for i in split.residuals]
    squeezed = [
        i >= n_in + n_out and a.shape == ()
        for i, a in zip(split.residuals, split.linear.in_avals, strict=False)
    ]
    tangent_avals = [a.to_tangent_aval() for a, on in zip(avals, active, strict=True) if on]
    moved_specs += [s for s, on in zip(in_specs, active, strict=True) if on]
    moved_outs = [s for s, on in zip(out_specs, split.active, strict=True) if on]
    n_residuals = len(residual_avals)

    with inside:
        linear_avals = [
            a.update(shape=(1,), sharding=a.sharding.update(spec=PartitionSpec(None))) if on else a
            for a, on in zip(split.linear.in_avals, [*squeezed, *(False,) * len(tangent_avals)])
        ]

        def moved(*values: Any) -> list[Any]:
            from jaxcore import lax

            residuals = [
                lax.reshape(x, ()) if on else x for x, on in zip(values, squeezed, strict=False)
            ]
            outs = run_program(split.linear, [*residuals, *values[n_residuals:]])
            if not check_vma:
                return outs
            wanted = [a for a, on in zip(program.out_avals, split.active, strict=True) if on]
            return [vary(x, backend.varying(a), mesh) for x, a in zip(outs, wanted, strict=True)]

        second, captured_linear, _ = inside.trace(moved, linear_avals, moved_specs, "linear")
    assert not captured_linear
    linear, _ = _program(
        "linear",
        [*residual_avals, *tangent_avals],
        lambda *values: inside.bind(second, values, moved_specs, moved_outs),
    )
    return Linearized(primal, tuple(consts), linear, split.residuals, split.active)


def _program(
    name: str, avals: Sequence[Any], fun: Callable[..., Sequence[Any]]
) -> tuple[Program, list[Any]]:
    """The program of `fun`, recorded as it stands."""
    stage = StageTrace(name)
    inputs = [Var(a) for a in avals]
    with backend.set_current_trace(stage):
        outs = [stage.lift(x) for x in fun(*[StageTracer(stage, v, None) for v in inputs])]
    program, consts = stage.finish(inputs, outs)
    return intern(program), consts


def transpose_shard_map(
    cts: Sequence[Any],
    args: Sequence[Any],
    *,
    program: Program,
    mesh: Any,
    in_specs: Specs,
    out_specs: Specs,
    check_vma: bool,
    axes: frozenset[Any],
) -> list[Any]:
    """Cotangents of the operands, summed over the devices for which an operand is a copy."""
    from jaxcore import lax
    from jaxcore.transforms.transpose import transpose_program

    inside = Inside(mesh, axes, check_vma)
    linear = tuple(type(a) is Linear for a in args)
    present = tuple(ct is not None for ct in cts)
    known = [a for a, on in zip(args, linear, strict=True) if not on]
    given = [ct for ct in cts if ct is not None]
    known_specs = [s for s, on in zip(in_specs, linear, strict=True) if not on]
    given_specs = [s for s, on in zip(out_specs, present, strict=True) if on]
    with inside:
        back = transpose_program(program, linear, present)
        filled = iter(back.present)
        reached = [on and next(filled) for on in linear]
        back_specs = [s for s, on in zip(in_specs, reached, strict=True) if on]

        def run(*values: Any) -> list[Any]:
            n = len(known)
            shares = [_share(ct, inside.copies(s)) for ct, s in zip(values[n:], given_specs)]
            results = run_program(back.program, [*back.consts, *values[:n], *shares])
            return [
                lax.psum(x, tuple(copies)) if (copies := inside.copies(s)) else x
                for x, s in zip(results, back_specs, strict=True)
            ]

        def _share(ct: Any, copies: list[Any]) -> Any:
            """The part of a cotangent that falls to one of its result's copies."""
            n = math.prod(mesh.shape[a] for a in copies)
            return ct if n == 1 else lax.div(ct, np.asarray(n, aval_of(ct).dtype)[()])

        args_specs = [*known_specs, *given_specs]
        pairs = zip([*known, *given], args_specs, strict=True)
        avals = [inside.inner(aval_of(x), s) for x, s in pairs]
        done, consts, specs = inside.trace(run, avals, args_specs, back.program.name)
    results = iter(inside.bind(done, [*consts, *known, *given], specs, back_specs))
    return [next(results) if on else None for on in reached]
