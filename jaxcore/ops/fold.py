"""Reductions by a function of the caller's, over axes and over sliding windows.

The function is a program of scalars, (x₁ ... xₙ, y₁ ... yₙ) to n results; operands are n arrays
and the n scalars at which it begins. It has to be associative and the scalars neutral to it,
because nobody says in which order elements are combined.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import jax
import numpy as np

from jaxcore import backend
from jaxcore.backend import ShapedArray
from jaxcore.cost import program_flops
from jaxcore.ir import Literal, Program, Var, intern
from jaxcore.ops.avals import shaped
from jaxcore.ops.basic import zeros
from jaxcore.ops.call import program_from_jaxpr, run_program
from jaxcore.ops.pieces import pad_p, slice_p
from jaxcore.ops.rules import broadcast_in_dim, reshape, transpose
from jaxcore.ops.shape import batched_at
from jaxcore.ops.window import WINDOW, batched_window, window_attributes, window_shape
from jaxcore.primitive import Primitive, mirror
from jaxcore.trace import StageTrace, aval_of, bind, trace_program

__all__ = ["combiner", "reduce_p", "reduce_window_p"]


def combiner(
    function: Callable[..., Sequence[Any]], avals: Sequence[ShapedArray], name: str
) -> Program:
    """The program of ``function(*xs, *ys)`` on scalars of the types `avals`.

    Raises:
      TypeError: the results are no scalars of those types.
      NotImplementedError: the function captures an array that is not a known scalar.
    """
    points = [shaped((), a.dtype) for a in avals]
    program, captured = trace_program(function, points * 2, name)
    if captured:
        program = _with_literals(program, captured)
    found = [(a.shape, a.dtype) for a in program.out_avals]
    if found != [((), p.dtype) for p in points]:
        raise TypeError(
            f"{name}: the computation must return scalars of the types it is given, "
            f"{', '.join(str(p) for p in points)}, got "
            f"{', '.join(str(a) for a in program.out_avals) or 'nothing'}."
        )
    return program


def _with_literals(program: Program, captured: Sequence[Any]) -> Program:
    """`program` with the scalars that it captured written into it."""
    literals = []
    for x in captured:
        aval = aval_of(x)
        if isinstance(x, jax.core.Tracer) or aval.shape:
            raise NotImplementedError(
                f"Reduction computations cannot close over arrays or tracers, but {program.name} "
                f"captures {aval}. Fix: capture Python or NumPy scalars only."
            )
        literals.append(Literal(np.asarray(x, aval.dtype)[()], aval))
    stage = StageTrace(program.name)
    inputs = [Var(v.aval) for v in program.inputs[len(literals) :]]
    return intern(stage.finish(inputs, stage.inline(program, [*literals, *inputs]))[0])


def _halves(values: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    n = len(values) // 2
    return list(values[:n]), list(values[n:])


def _check(name: str, avals: Sequence[ShapedArray]) -> tuple[list[ShapedArray], list[ShapedArray]]:
    arrays, starts = _halves(avals)
    if any(s.shape for s in starts):
        raise ValueError(
            f"{name} found non-scalar initial value: {[tuple(s.shape) for s in starts]}"
        )
    if [a.dtype for a in arrays] != [s.dtype for s in starts]:
        raise TypeError(
            f"{name} operand dtypes should match corresponding initial value dtypes, got operands="
            f"{arrays} and initial_values={starts}"
        )
    if any(a.shape != arrays[0].shape for a in arrays):
        raise TypeError(
            f"{name} operands must have one shape, got {[tuple(a.shape) for a in arrays]}."
        )
    return arrays, starts


def _fixed_starts(name: str, values: Sequence[Any], what: str) -> None:
    if any(v is not None for v in values):
        raise NotImplementedError(
            f"{name} of a general computation with {what} initial values is not implemented. Fix: "
            "begin at the neutral element, and combine the result with the initial value."
        )


def _flops(avals_in: Any, avals_out: Any, *, program: Program, **_: Any) -> int:
    return program_flops(program) * math.prod(avals_in[0].shape)


def _region(b: Any, op: Any, program: Program) -> list[Any]:
    b.region(op, program.in_avals, lambda *values: b.program(program, values))
    return list(op.results)


# --- over axes ----------------------------------------------------------------------------------


def _reduce_type(*avals: ShapedArray, program: Program, axes: tuple[int, ...]) -> list[ShapedArray]:
    arrays, starts = _check("reduce", avals)
    rank = len(arrays[0].shape)
    if len(set(axes)) != len(axes) or not all(0 <= a < rank for a in axes):
        raise ValueError(f"reduce axes {axes} must be different axes of {arrays[0]}.")
    kept = tuple(n for i, n in enumerate(arrays[0].shape) if i not in axes)
    return [
        shaped(kept, a.dtype, a.weak_type and s.weak_type)
        for a, s in zip(arrays, starts, strict=True)
    ]


def _reduce_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], *, program: Program, axes: tuple[int, ...]
) -> Any:
    """The derivative of a tree of combinations, each of two halves of what is left."""
    from jaxcore.transforms.derivative import jvp

    (xs, starts), (dxs, moved) = _halves(primals), _halves(tangents)
    _fixed_starts("the derivative", moved, "varying")
    outs = bind(reduce_p, *primals, program=program, axes=axes)
    dxs = [
        zeros(aval_of(x).to_tangent_aval()) if t is None else t
        for x, t in zip(xs, dxs, strict=True)
    ]
    _, slopes = jvp(lambda *xs: _tree(program, xs, starts, axes), tuple(xs), tuple(dxs))
    return outs, list(slopes)


def _tree(
    program: Program, xs: Sequence[Any], starts: Sequence[Any], axes: Sequence[int]
) -> list[Any]:
    shape = aval_of(xs[0]).shape
    kept = [i for i in range(len(shape)) if i not in axes]
    rest = tuple([shape[i] for i in kept])
    count, width = math.prod([shape[a] for a in axes]), math.prod(rest)
    flat = [reshape(transpose(x, [*axes, *kept]), (count, width)) for x in xs]
    if count == 0:
        return [broadcast_in_dim(s, rest, ()) for s in starts]
    while count > 1:
        half, odd = (count + 1) // 2, count % 2
        low = [_rows(x, 0, half, width) for x in flat]
        high = [_rows(x, half, count, width) for x in flat]
        if odd:
            high = [
                bind(pad_p, x, s, padding_config=((0, 1, 0), (0, 0, 0)))
                for x, s in zip(high, starts, strict=True)
            ]
        flat = _elementwise(program, [*low, *high])
        count = half
    return [reshape(x, rest) for x in flat]


def _rows(x: Any, start: int, stop: int, width: int) -> Any:
    return bind(slice_p, x, start_indices=(start, 0), limit_indices=(stop, width), strides=None)


def _elementwise(program: Program, values: Sequence[Any]) -> list[Any]:
    """`program` of every element of `values`, arrays of one shape."""
    from jaxcore.transforms.vmap import batch_program

    shape = aval_of(values[0]).shape
    size = math.prod(shape)
    batched = batch_program(program, size, (0,) * len(values))
    outs = run_program(batched.program, [*batched.consts, *[reshape(v, (size,)) for v in values]])
    return [
        reshape(x if d is not None else broadcast_in_dim(x, (size,), ()), shape)
        for x, d in zip(outs, batched.dims, strict=True)
    ]


def _reduce_batch(
    size: int,
    args: Sequence[Any],
    dims: Sequence[int | None],
    *,
    program: Program,
    axes: tuple[int, ...],
) -> Any:
    (xs, starts), (places, fixed) = _halves(args), _halves(dims)
    _fixed_starts("vmap", fixed, "batched")
    moved = [batched_at(x, d, 0, size) for x, d in zip(xs, places, strict=True)]
    outs = bind(reduce_p, *moved, *starts, program=program, axes=tuple([a + 1 for a in axes]))
    return outs, [0] * len(outs)


def _reduce_lower(
    b: Any,
    operands: Sequence[Any],
    avals_in: Any,
    avals_out: Any,
    *,
    program: Program,
    axes: tuple[int, ...],
) -> list[Any]:
    op = b.op("stablehlo.reduce", avals_out, operands, regions=1, dimensions=b.ints(axes))
    return _region(b, op, program)


reduce_p = Primitive(
    "reduce",
    _reduce_type,
    jvp=_reduce_jvp,
    batch=_reduce_batch,
    lower=_reduce_lower,
    cost=_flops,
    multiple_results=True,
)


@mirror(jax.lax.reduce_p)
def _from_reduce(args: Sequence[Any], params: dict[str, Any]) -> Any:
    program, consts = program_from_jaxpr(params["jaxpr"], "reduce")
    if consts:
        return None
    return reduce_p, args, {"program": program, "axes": tuple(params["dimensions"])}


# --- over windows -------------------------------------------------------------------------------


def _window_type(*avals: ShapedArray, program: Program, **window: Any) -> list[ShapedArray]:
    arrays, _ = _check("reduce_window", avals)
    shape = window_shape(arrays[0], window)
    return [shaped(shape, a.dtype) for a in arrays]


def _window_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], *, program: Program, **window: Any
) -> Any:
    """Pairs of value and tangent are combined by the derivative of the combination."""
    from jaxcore.transforms.derivative import jvp

    (xs, starts), (dxs, moved) = _halves(primals), _halves(tangents)
    _fixed_starts("the derivative", moved, "varying")
    outs = bind(reduce_window_p, *primals, program=program, **window)
    kinds = [aval_of(x).to_tangent_aval() for x in xs]
    floats = [i for i, kind in enumerate(kinds) if kind.dtype != backend.float0]
    slopes = [zeros(kinds[i]) if dxs[i] is None else dxs[i] for i in floats]
    n, m = len(xs), len(floats)

    def both(*values: Any) -> list[Any]:
        x, dx, y, dy = (values[a:b] for a, b in pairwise((0, n, n + m, 2 * n + m, 2 * (n + m))))
        out, slope = jvp(lambda *v: run_program(program, v), (*x, *y), (*full(dx), *full(dy)))
        return [*out, *[slope[i] for i in floats]]

    def full(moving: Sequence[Any]) -> list[Any]:
        found = dict(zip(floats, moving, strict=True))
        return [found.get(i, np.zeros((), backend.float0)) for i in range(n)]

    pairs = combiner(both, [aval_of(v) for v in (*xs, *slopes)], program.name)
    rests = [zeros(aval_of(starts[i]).to_tangent_aval()) for i in floats]
    results = bind(reduce_window_p, *xs, *slopes, *starts, *rests, program=pairs, **window)
    made = dict(zip(floats, results[n:], strict=True))
    return outs, [made.get(i) for i in range(n)]


def _window_batch(
    size: int,
    args: Sequence[Any],
    dims: Sequence[int | None],
    *,
    program: Program,
    **window: Any,
) -> Any:
    (xs, starts), (places, fixed) = _halves(args), _halves(dims)
    _fixed_starts("vmap", fixed, "batched")
    moved = [batched_at(x, d, 0, size) for x, d in zip(xs, places, strict=True)]
    outs = bind(reduce_window_p, *moved, *starts, program=program, **batched_window(window, 0))
    return outs, [0] * len(outs)


def _window_lower(
    b: Any,
    operands: Sequence[Any],
    avals_in: Any,
    avals_out: Any,
    *,
    program: Program,
    **window: Any,
) -> list[Any]:
    attributes = window_attributes(b, **window)
    op = b.op("stablehlo.reduce_window", avals_out, operands, regions=1, **attributes)
    return _region(b, op, program)


def _window_flops(
    avals_in: Any, avals_out: Any, *, program: Program, window_dimensions: Any, **_: Any
) -> int:
    per_window = program_flops(program) * math.prod(window_dimensions)
    return per_window * math.prod(avals_out[0].shape)


reduce_window_p = Primitive(
    "reduce_window",
    _window_type,
    jvp=_window_jvp,
    batch=_window_batch,
    lower=_window_lower,
    cost=_window_flops,
    multiple_results=True,
)


@mirror(jax.lax.reduce_window_p)
def _from_window(args: Sequence[Any], params: dict[str, Any]) -> Any:
    if params["consts"]:
        return None
    program, _ = program_from_jaxpr(backend.close_jaxpr(params["jaxpr"]), "reduce_window")
    return reduce_window_p, args, {"program": program, **{k: params[k] for k in WINDOW}}
