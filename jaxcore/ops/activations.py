"""Activations whose derivative is best read off their result: relu, softmax and its logarithm.

What the backward pass needs of them is the result alone, which the next layer keeps anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jaxcore.backend import ShapedArray
from jaxcore.cost import program_flops
from jaxcore.ir import Program
from jaxcore.numpy.promote import pair
from jaxcore.ops.arithmetic import constant, div, mul, sub
from jaxcore.ops.compare import gt, select
from jaxcore.ops.elementwise import exp_p, log_p
from jaxcore.ops.reduce import reduce_max_p, reduce_sum, spread
from jaxcore.ops.rules import accept, full, nary_batch, nary_type, partials
from jaxcore.primitive import Primitive
from jaxcore.trace import aval_of, bind, trace_program

__all__ = ["log_softmax_p", "relu", "relu_p", "softmax_p"]


# --- relu ---------------------------------------------------------------------------------------


def _relu_lower(b: Any, operands: Sequence[Any], avals_in: Any, avals_out: Any) -> list[Any]:
    return b.one("stablehlo.maximum", avals_out[0], *operands, b.constant(0, avals_out[0]))


def _relu_partial(t: Any, y: Any, x: Any) -> Any:
    """0 at 0 and at NaN (Bertoin et al., "Numerical influence of ReLU'(0)", NeurIPS 2021)."""
    return select(gt(y, constant(y, 0)), t, full(0, aval_of(t)))


_relu: list[Primitive] = []
relu_p = Primitive(
    "relu",
    nary_type("relu", "iuf"),
    jvp=partials(_relu, [_relu_partial]),
    batch=nary_batch(_relu),
    lower=_relu_lower,
)
_relu.append(relu_p)


def relu(x: Any) -> Any:
    """max(x, 0)."""
    return bind(relu_p, pair("relu", x, 0, False)[0])


# --- softmax ------------------------------------------------------------------------------------


def _along_axes(name: str, value: Callable[..., Any], slope: Callable[..., Any]) -> Primitive:
    """A record of a function over `axes` whose derivative is ``slope(tangent, out, axes)``."""
    programs: dict[Any, Program] = {}

    def type(x: ShapedArray, *, axes: tuple[int, ...]) -> ShapedArray:
        accept(name, "fc", None, x.dtype)
        if len(set(axes)) != len(axes) or not all(0 <= a < len(x.shape) for a in axes):
            raise ValueError(f"{name}: {axes} are not different axes of {x}.")
        return x

    def jvp(primals: Sequence[Any], tangents: Sequence[Any], *, axes: tuple[int, ...]) -> Any:
        out = bind(record, *primals, axes=axes)
        return out, slope(tangents[0], out, axes)

    def batch(size: int, args: Sequence[Any], dims: Sequence[int], *, axes: tuple[int, ...]) -> Any:
        d = dims[0]
        return bind(record, *args, axes=tuple([a + (a >= d) for a in axes])), d

    def program(x: ShapedArray, axes: tuple[int, ...]) -> Program:
        found = programs.get((x, axes))
        if found is None:
            found = programs[x, axes] = trace_program(lambda v: [value(v, axes)], [x], name)[0]
        return found

    def lower(
        b: Any, operands: Sequence[Any], avals_in: Any, avals_out: Any, *, axes: tuple[int, ...]
    ) -> list[Any]:
        return b.program(program(avals_in[0], axes), operands)

    def cost(avals_in: Any, avals_out: Any, *, axes: tuple[int, ...]) -> int:
        return program_flops(program(avals_in[0], axes))

    record = Primitive(name, type, jvp=jvp, batch=batch, lower=lower, cost=cost)
    return record


def _over(x: Any, like: Any, axes: Sequence[int]) -> Any:
    return spread(x, aval_of(like).shape, axes)


def _shifted(x: Any, axes: tuple[int, ...]) -> Any:
    """`x` less its largest element, which changes nothing but keeps exp from overflowing."""
    return sub(x, _over(bind(reduce_max_p, x, axes=axes), x, axes))


def _softmax(x: Any, axes: tuple[int, ...]) -> Any:
    powers = bind(exp_p, _shifted(x, axes))
    return div(powers, _over(reduce_sum(powers, axes), x, axes))


def _log_softmax(x: Any, axes: tuple[int, ...]) -> Any:
    shifted = _shifted(x, axes)
    total = reduce_sum(bind(exp_p, shifted), axes)
    return sub(shifted, _over(bind(log_p, total), x, axes))


def _softmax_slope(t: Any, y: Any, axes: tuple[int, ...]) -> Any:
    """y · (t - Σ y · t)."""
    return mul(y, sub(t, _over(reduce_sum(mul(y, t), axes), y, axes)))


def _log_softmax_slope(t: Any, y: Any, axes: tuple[int, ...]) -> Any:
    """t - Σ exp(y) · t."""
    return sub(t, _over(reduce_sum(mul(bind(exp_p, y), t), axes), y, axes))


softmax_p = _along_axes("softmax", _softmax, _softmax_slope)
log_softmax_p = _along_axes("log_softmax", _log_softmax, _log_softmax_slope)
