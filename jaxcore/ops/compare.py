"""Comparison, choice, logic and bits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxcore import backend
from jaxcore.backend import ShapedArray
from jaxcore.ops.rules import (
    BOOL,
    accept,
    elementwise,
    expand,
    expand_operands,
    full,
    kind_of,
    same_dtypes,
)
from jaxcore.primitive import Linear
from jaxcore.trace import aval_of, bind

__all__ = [
    "and_p",
    "clamp_p",
    "clz_p",
    "eq",
    "eq_p",
    "ge",
    "ge_p",
    "gt",
    "gt_p",
    "is_finite_p",
    "le",
    "le_p",
    "lt",
    "lt_p",
    "mulhi_p",
    "ne",
    "ne_p",
    "not_p",
    "or_p",
    "population_count_p",
    "select",
    "select_n_p",
    "shift_left_p",
    "shift_right_arithmetic_p",
    "shift_right_logical_p",
    "xor_p",
]


def eq(x: Any, y: Any) -> Any:
    """x == y."""
    return bind(eq_p, x, y)


def ne(x: Any, y: Any) -> Any:
    """x != y."""
    return bind(ne_p, x, y)


def lt(x: Any, y: Any) -> Any:
    """x < y."""
    return bind(lt_p, x, y)


def le(x: Any, y: Any) -> Any:
    """x <= y."""
    return bind(le_p, x, y)


def gt(x: Any, y: Any) -> Any:
    """x > y."""
    return bind(gt_p, x, y)


def ge(x: Any, y: Any) -> Any:
    """x >= y."""
    return bind(ge_p, x, y)


def select(which: Any, on_true: Any, on_false: Any) -> Any:
    """`on_true` where the bool `which` holds, else `on_false`: arrays of one shape and dtype."""
    return bind(select_n_p, which, on_false, on_true)


# --- comparison ---------------------------------------------------------------------------------

_comparison_kind = {"b": "UNSIGNED", "u": "UNSIGNED", "i": "SIGNED", "f": "FLOAT", "c": "FLOAT"}


def compare_lower(
    b: Any, direction: str, x: Any, y: Any, aval: ShapedArray, kind: str | None = None
) -> Any:
    """Emit the comparison of two values of type `aval`."""
    return b.one(
        "stablehlo.compare",
        ShapedArray(aval.shape, BOOL),
        x,
        y,
        comparison_direction=b.parse(f"#stablehlo<comparison_direction {direction}>"),
        compare_type=b.parse(
            f"#stablehlo<comparison_type {kind or _comparison_kind[kind_of(aval.dtype)]}>"
        ),
    )[0]


def _compare(name: str, kinds: str, total: bool = False) -> Any:
    direction = name[:2].upper()
    box: list[Any] = []

    def lower(b: Any, operands: Sequence[Any], avals_in: Any, avals_out: Any) -> list[Any]:
        dtype = avals_in[0].dtype
        if kind_of(dtype) == "k":  # a key is compared by its words
            return backend.lower_with_jax(b.ctx, box[0].jax, avals_in, avals_out, operands, {})[0]
        x, y = expand_operands(b, operands, avals_in, avals_out[0].shape)
        kind = "TOTALORDER" if total and kind_of(dtype) in "fc" else None
        return [compare_lower(b, direction, x, y, ShapedArray(avals_out[0].shape, dtype), kind)]

    primitive = elementwise(name, kinds, result=BOOL, lower=lower)
    box.append(primitive)
    return primitive


eq_p = _compare("eq", "biufck")
ne_p = _compare("ne", "biufck")
lt_p = _compare("lt", "biuf")
le_p = _compare("le", "biuf")
gt_p = _compare("gt", "biuf")
ge_p = _compare("ge", "biuf")
eq_to_p = _compare("eq_to", "biufc", total=True)
lt_to_p = _compare("lt_to", "biuf", total=True)
le_to_p = _compare("le_to", "biuf", total=True)

is_finite_p = elementwise("is_finite", "f", result=BOOL, lower="stablehlo.is_finite")


# --- choice -------------------------------------------------------------------------------------


def _select_type(which: ShapedArray, *cases: ShapedArray) -> ShapedArray:
    if not cases:
        raise TypeError("select_n must have at least one case.")
    first = cases[0]
    weak = first.weak_type
    for case in cases[1:]:
        if case.dtype != first.dtype:
            same_dtypes("select", cases)
        if case.shape != first.shape:
            raise TypeError(
                "select cases must have the same shapes, got "
                f"[{', '.join(str(tuple(c.shape)) for c in cases)}]."
            )
        weak = weak and case.weak_type
    if which.shape != () and which.shape != first.shape:
        raise TypeError(
            "select `which` must be scalar or have the same shape as cases, got `which` shape "
            f"{tuple(which.shape)} but case shape {tuple(first.shape)}."
        )
    if which.dtype == BOOL:
        if len(cases) > 2:
            raise TypeError("select with boolean `which` cannot have > 2 cases.")
    elif kind_of(which.dtype) not in "iu":
        raise TypeError(f"select `which` must be boolean or integer type, got {which.dtype}.")
    if weak == first.weak_type:
        return first
    return ShapedArray(first.shape, first.dtype, weak_type=weak)


def _select_jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    which, *cases = primals
    out = bind(select_n_p, which, *cases)
    given = tangents[1:]
    if all(t is None for t in given):
        return out, None
    zero = full(0, aval_of(next(t for t in given if t is not None)))
    return out, bind(select_n_p, which, *(zero if t is None else t for t in given))


def _select_transpose(ct: Any, args: Sequence[Any]) -> list[Any]:
    which, *cases = args
    zero = full(0, aval_of(ct))
    back: list[Any] = [None]
    for i, case in enumerate(cases):
        if type(case) is not Linear:
            back.append(None)
        elif aval_of(which).dtype == BOOL:
            back.append(select(which, ct, zero) if i == 1 else select(which, zero, ct))
        else:
            back.append(select(eq(which, np.asarray(i, aval_of(which).dtype)[()]), ct, zero))
    return back


def _select_lower(b: Any, operands: Sequence[Any], avals_in: Any, avals_out: Any) -> list[Any]:
    out = avals_out[0]
    if kind_of(out.dtype) == "k":
        return backend.lower_with_jax(b.ctx, select_n_p.jax, avals_in, avals_out, operands, {})[0]
    which, *cases = operands
    if len(cases) == 1:
        return cases
    if avals_in[0].dtype == BOOL:
        return b.one("stablehlo.select", out, which, cases[1], cases[0])

    def choose(start: int, some: Sequence[Any]) -> Any:
        """Binary search among the cases."""
        if len(some) == 1:
            return some[0]
        middle = len(some) // 2
        bound = b.constant(start + middle, avals_in[0])
        below = compare_lower(b, "LT", which, bound, avals_in[0])
        return b.one(
            "stablehlo.select",
            out,
            below,
            choose(start, some[:middle]),
            choose(start + middle, some[middle:]),
        )[0]

    return [choose(0, cases)]


select_n_p = elementwise(
    "select_n",
    "",
    type=_select_type,
    jvp=_select_jvp,
    transpose=_select_transpose,
    lower=_select_lower,
    whole_operands=range(1, 1 << 16),
)


def _clamp_type(low: ShapedArray, x: ShapedArray, high: ShapedArray) -> ShapedArray:
    accept("clamp", "biuf", 1, x.dtype)
    same_dtypes("clamp", (low, x, high))
    for name, bound in (("min", low), ("max", high)):
        if bound.shape not in ((), x.shape):
            raise TypeError(
                f"clamp requires {name}.shape == operand.shape or {name}.shape == (), got "
                f"{name}.shape={tuple(bound.shape)}, operand.shape={tuple(x.shape)}."
            )
    weak = low.weak_type and x.weak_type and high.weak_type
    return ShapedArray(x.shape, x.dtype, weak_type=weak)


def _inside(condition: Callable[..., Any]) -> Callable[..., Any]:
    def rule(t: Any, out: Any, low: Any, x: Any, high: Any) -> Any:
        shape = aval_of(out).shape
        chosen = expand(condition(low, x, high), shape)
        t = expand(t, shape)
        return select(chosen, t, full(0, aval_of(t)))

    return rule


clamp_p = elementwise(
    "clamp",
    "biuf",
    _inside(lambda low, x, high: bind(and_p, gt(low, x), expand(lt(low, high), aval_of(x).shape))),
    _inside(lambda low, x, high: bind(and_p, gt(x, low), lt(x, high))),
    _inside(lambda low, x, high: lt(high, x)),
    type=_clamp_type,
    lower="stablehlo.clamp",
    whole_operands=(1,),
)


# --- logic and bits -----------------------------------------------------------------------------

and_p = elementwise("and", "biu", lower="stablehlo.and")
or_p = elementwise("or", "biu", lower="stablehlo.or")
xor_p = elementwise("xor", "biu", lower="stablehlo.xor")
not_p = elementwise("not", "biu", lower="stablehlo.not")
shift_left_p = elementwise("shift_left", "iu", lower="stablehlo.shift_left")
shift_right_logical_p = elementwise(
    "shift_right_logical", "iu", lower="stablehlo.shift_right_logical"
)
shift_right_arithmetic_p = elementwise(
    "shift_right_arithmetic", "iu", lower="stablehlo.shift_right_arithmetic"
)
population_count_p = elementwise("population_count", "iu", lower="stablehlo.popcnt")
clz_p = elementwise("clz", "iu", lower="stablehlo.count_leading_zeros")
mulhi_p = elementwise("mulhi", "iu")  # the high half of a product of twice the bits
