"""`scan`: a loop of known length over stacked operands, its body a program of the IR.

Operands are constants, the initial carry and the stacked inputs; results are the last carry and the
stacked outputs. The derivative of a scan is a scan: the forward loop also stacks the residuals that
change from step to step (those that do not are passed on as they are), and the transpose runs
through them in the opposite direction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxcore import backend
from jaxcore.backend import ShapedArray
from jaxcore.ir import Program
from jaxcore.ops.scan_derivative import linearize_scan, transpose_scan
from jaxcore.primitive import Primitive, mirror
from jaxcore.trace import bind, trace_program

__all__ = ["scan_p", "stacked", "unstacked"]


def stacked(aval: ShapedArray, length: int) -> ShapedArray:
    """The type of `length` values of type `aval`, one behind the other."""
    return backend.reshaped(aval, (length, *aval.shape), aval.weak_type)


def unstacked(aval: ShapedArray) -> ShapedArray:
    """The type of one of the values that an array stacks."""
    return backend.reshaped(aval, aval.shape[1:], aval.weak_type)


def _type(
    *avals: Any, program: Program, n_consts: int, n_carry: int, length: int, **_: Any
) -> list[Any]:
    outs = program.out_avals
    return [*outs[:n_carry], *(stacked(a, length) for a in outs[n_carry:])]


def _batch(size: int, args: Sequence[Any], dims: Sequence[int | None], **params: Any) -> Any:
    from jaxcore.ops.custom_vjp import broadcast_batch
    from jaxcore.transforms.vmap import batch_program, move_dim

    program, n_consts, n_carry = params["program"], params["n_consts"], params["n_carry"]
    xs_dims = [
        None if d is None else 0 for d in dims[n_consts + n_carry :]
    ]  # stacked inputs are moved so that the batch comes right after the loop
    carry_on = [d is not None for d in dims[n_consts : n_consts + n_carry]]
    while True:
        in_dims = (*dims[:n_consts], *(0 if on else None for on in carry_on), *xs_dims)
        batched = batch_program(program, size, in_dims)
        grown = [a or d is not None for a, d in zip(carry_on, batched.dims[:n_carry], strict=True)]
        if grown == carry_on:
            break
        carry_on = grown

    def body(*values: Any) -> list[Any]:
        from jaxcore.ops.call import run_program

        results = run_program(batched.program, values)
        carry = [
            broadcast_batch(x, d, size) if on else x
            for x, d, on in zip(results[:n_carry], batched.dims, carry_on, strict=False)
        ]
        ys = [
            x if d is None else move_dim(x, d, 0)
            for x, d in zip(results[n_carry:], batched.dims[n_carry:], strict=True)
        ]
        return [*carry, *ys]

    wrapped, captured = trace_program(body, batched.program.in_avals, program.name)
    carry = [
        broadcast_batch(x, d, size) if on else x
        for x, d, on in zip(
            args[n_consts : n_consts + n_carry], dims[n_consts:], carry_on, strict=False
        )
    ]
    xs = [
        x if d is None else move_dim(x, d, 1)
        for x, d in zip(args[n_consts + n_carry :], dims[n_consts + n_carry :], strict=True)
    ]
    results = bind(
        scan_p,
        *captured,
        *batched.consts,
        *args[:n_consts],
        *carry,
        *xs,
        **{
            **params,
            "program": wrapped,
            "n_consts": len(captured) + len(batched.consts) + n_consts,
        },
    )
    out_dims = [0 if on else None for on in carry_on] + [
        None if d is None else 1 for d in batched.dims[n_carry:]
    ]
    return results, out_dims


def _lower(
    b: Any,
    operands: Sequence[Any],
    avals_in: Any,
    avals_out: Any,
    *,
    program: Program,
    n_consts: int,
    n_carry: int,
    length: int,
    reverse: bool,
    unroll: int,
) -> list[Any]:
    """A while loop over a counter; stacked values are read and written by dynamic slices."""
    index_aval = ShapedArray((), "int32")
    consts, carry = list(operands[:n_consts]), list(operands[n_consts : n_consts + n_carry])
    xs, x_avals = list(operands[n_consts + n_carry :]), avals_in[n_consts + n_carry :]
    ys_avals = avals_out[n_carry:]
    ys = [b.zeros(a) for a in ys_avals]

    def start(index: Any, aval: Any) -> list[Any]:
        zero = b.constant(0, index_aval)
        return [index] + [zero] * (b.rank(aval) - 1)

    def step(values: Sequence[Any], index: Any) -> list[Any]:
        """One run of the body; values are carry and outputs so far."""
        at = index
        if reverse:
            last = b.constant(length - 1, index_aval)
            at = b.one("stablehlo.subtract", index_aval, last, index)[0]
        sliced = []
        for x, aval in zip(xs, x_avals, strict=True):
            one = ShapedArray((1, *aval.shape[1:]), aval.dtype)
            piece = b.one(
                "stablehlo.dynamic_slice",
                one,
                x,
                *start(at, aval),
                slice_sizes=b.ints(b.shape(one)),
            )[0]
            sliced.append(b.one("stablehlo.reshape", unstacked(aval), piece)[0])
        results = b.call(program, [*consts, *values[:n_carry], *sliced])
        written = []
        for y, aval, r in zip(values[n_carry:], ys_avals, results[n_carry:], strict=True):
            one = ShapedArray((1, *aval.shape[1:]), aval.dtype)
            row = b.one("stablehlo.reshape", one, r)[0]
            written += b.one("stablehlo.dynamic_update_slice", aval, y, row, *start(at, aval))
        return [*results[:n_carry], *written]

    state = [*carry, *ys]
    rounds, rest = divmod(length, unroll)
    done = 0
    if rounds > 1:

        def condition(index: Any, *_: Any) -> list[Any]:
            end = b.constant(rounds * unroll, index_aval)
            less = b.parse("#stablehlo<comparison_direction LT>")
            flag = ShapedArray((), "bool")
            return b.one("stablehlo.compare", flag, index, end, comparison_direction=less)

        def body(index: Any, *values: Any) -> list[Any]:
            current = list(values)
            for k in range(unroll):
                at = index
                if k:
                    shift = b.constant(k, index_aval)
                    at = b.one("stablehlo.add", index_aval, index, shift)[0]
                current = step(current, at)
            by = b.constant(unroll, index_aval)
            return [*b.one("stablehlo.add", index_aval, index, by), *current]

        start_state = [b.constant(0, index_aval), *state]
        loop_avals = [index_aval, *avals_out]
        state = b.while_loop(loop_avals, start_state, condition, body, program.effects)[1:]
        done = rounds * unroll
        left = rest
    else:
        left = length
    for k in range(left):
        state = step(state, b.constant(done + k, index_aval))
    return state


def _cost(avals_in: Any, avals_out: Any, *, program: Program, length: int, **_: Any) -> int:
    from jaxcore.cost import program_flops

    return length * program_flops(program)


scan_p = Primitive(
    "scan",
    _type,
    linearize=linearize_scan,
    transpose=transpose_scan,
    batch=_batch,
    lower=_lower,
    cost=_cost,
    effects=lambda avals, params: params["program"].effects,
    multiple_results=True,
)


@mirror(backend.scan_p)
def _from_jax(args: Sequence[Any], params: dict[str, Any]) -> Any:
    from jaxcore.ops.call import program_from_jaxpr

    n_consts, n_carry = backend.scan_counts(params)
    program, consts = program_from_jaxpr(params["jaxpr"], "body")
    unroll = params["unroll"]
    return (
        scan_p,
        [*consts, *args],
        {
            "program": program,
            "n_consts": len(consts) + n_consts,
            "n_carry": n_carry,
            "length": params["length"],
            "reverse": params["reverse"],
            "unroll": max(1, int(unroll if unroll is not True else params["length"])),
        },
    )
