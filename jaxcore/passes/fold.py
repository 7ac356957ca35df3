"""Constant folding: scalars that are known are computed here, and what changes nothing goes.

Only what NumPy and XLA compute to the same bits is folded: arithmetic of 32 and 64 bits, integers
and bools; no transcendental function.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxcore.ir import Atom, Equation, Literal, Program, Var, live_equations
from jaxcore.ops.arithmetic import add_p, div_p, max_p, min_p, mul_p, neg_p, sub_p
from jaxcore.ops.call import call_p
from jaxcore.ops.compare import (
    and_p,
    eq_p,
    ge_p,
    gt_p,
    le_p,
    lt_p,
    ne_p,
    not_p,
    or_p,
    select_n_p,
)
from jaxcore.ops.convert import convert_element_type_p
from jaxcore.ops.pieces import pad_p, slice_p
from jaxcore.ops.shape import broadcast_in_dim_p, reshape_p, squeeze_p, transpose_p
from jaxcore.passes.residuals import rewired

__all__ = ["folded"]

_COMPUTED: dict[Any, Callable[..., Any]] = {
    add_p: np.add,
    sub_p: np.subtract,
    mul_p: np.multiply,
    div_p: np.divide,  # of floats; integers divide otherwise in NumPy
    neg_p: np.negative,
    max_p: np.maximum,
    min_p: np.minimum,
    eq_p: np.equal,
    ne_p: np.not_equal,
    lt_p: np.less,
    le_p: np.less_equal,
    gt_p: np.greater,
    ge_p: np.greater_equal,
    and_p: np.bitwise_and,
    or_p: np.bitwise_or,
    not_p: np.invert,
}
# The operand that changes nothing, by operation; x + 0.0 is not x where x is -0.0.
_NEUTRAL = {mul_p: 1, div_p: 1, sub_p: 0.0, add_p: -0.0}


def folded(program: Program) -> Program:
    """`program` without the operations whose results are known, or are one of their operands.

    So are the results of a call that are constants of the callee, or operands that it hands back.
    """
    env: dict[Any, Atom] = {}
    laid = _Layouts()
    filled = laid.filled
    kept: list[Equation] = []
    for eq in program.equations:
        if env and not env.keys().isdisjoint(eq.inputs):
            eq = rewired([eq], env)[0]
        rule = _RULES.get(eq.primitive)
        if rule is _elementwise:  # nearly every equation: nothing is known of its operands
            x, y = eq.inputs[0], eq.inputs[-1]
            if not (type(x) is Literal or type(y) is Literal or x in filled or y in filled):
                kept.append(eq)
                continue
        if rule is not None:
            known = rule(eq, eq.inputs, laid)
            if known is not None and known.aval == eq.outputs[0].aval:
                env[eq.outputs[0]] = known
                continue
        elif eq.primitive is call_p:
            _handed_back(eq, env)
        kept.append(eq)
    if not env:
        return program
    outputs = [env.get(x, x) for x in program.outputs]
    return Program(program.inputs, live_equations(kept, outputs), outputs, program.name)


def _handed_back(eq: Equation, env: dict[Atom, Atom]) -> None:
    callee: Program = eq.params["program"]
    given: dict[Any, Atom] = dict(zip(callee.inputs, eq.inputs, strict=True))
    for v, x in zip(eq.outputs, callee.outputs, strict=True):
        known = given.get(x) if type(x) is Var else x
        if known is not None and known.aval == v.aval:
            env[v] = known


class _Layouts:
    """What arrays are that only lay out another value anew."""

    def __init__(self) -> None:
        self.filled: dict[Atom, Literal] = {}  # with one scalar
        self.origin: dict[Atom, Atom] = {}  # reshaped, perhaps several times

    def scalar(self, x: Atom) -> Literal | None:
        """The scalar that `x` is, or is filled with."""
        return x if type(x) is Literal else self.filled.get(x)


# --- rules: what an equation gives, a literal or a value that is there; None if it is computed ----


def _laid_out(eq: Equation, inputs: Sequence[Atom], laid: _Layouts) -> Atom:
    """Of an operation that gives its operand where the shapes agree."""
    x, out = inputs[0], eq.outputs[0]
    scalar = laid.scalar(x)
    if scalar is not None:
        laid.filled[out] = scalar
    dims = eq.params.get("broadcast_dimensions", ())
    if x.aval.size == out.aval.size and tuple(dims) == tuple(sorted(dims)):
        origin = laid.origin[out] = laid.origin.get(x, x)
        return origin if origin.aval.shape == out.aval.shape else x
    return x


def _transposed(eq: Equation, inputs: Sequence[Atom], laid: _Layouts) -> Atom | None:
    permutation = eq.params["permutation"]
    return inputs[0] if permutation == tuple(range(len(permutation))) else None


def _padded(eq: Equation, inputs: Sequence[Atom], laid: _Layouts) -> Atom | None:
    return None if any(map(any, eq.params["padding_config"])) else inputs[0]


def _selected(eq: Equation, inputs: Sequence[Atom], laid: _Layouts) -> Atom | None:
    which = inputs[0]
    return inputs[1 + int(which.value)] if type(which) is Literal else None


def _elementwise(eq: Equation, inputs: Sequence[Atom], laid: _Layouts) -> Atom | None:
    first, last = laid.scalar(inputs[0]), laid.scalar(inputs[-1])
    primitive, out = eq.primitive, eq.outputs[0].aval
    if first is inputs[0] and last is inputs[-1]:
        return _computed(primitive, inputs, out)  # type: ignore[arg-type]
    neutral = _NEUTRAL.get(primitive)
    if neutral is None:
        return None
    if last is not None and _is_neutral(last.value, neutral):
        return inputs[0]
    commutes = primitive is mul_p or primitive is add_p
    return (
        inputs[1] if commutes and first is not None and _is_neutral(first.value, neutral) else None
    )


def _is_neutral(value: Any, neutral: float) -> bool:
    """Also in its sign; and no complex number, where inf * 0 is not 0."""
    if value != neutral or value.dtype.kind == "c":
        return False
    return np.asarray(neutral).astype(value.dtype).tobytes() == value.tobytes()


def _computed(primitive: Any, inputs: Sequence[Literal], aval: Any) -> Literal | None:
    """A literal of type `aval`; None where NumPy may give other bits than XLA."""
    dtypes = [x.value.dtype for x in inputs]
    if not all(_is_exact(dtype) for dtype in dtypes) or aval.shape != ():
        return None
    if primitive is convert_element_type_p:
        if dtypes[0].kind == "f" and np.dtype(aval.dtype).kind != "f":
            return None
        compute: Callable[..., Any] = lambda x: x.astype(aval.dtype)
    elif primitive is div_p and dtypes[0].kind != "f":
        return None
    else:
        compute = _COMPUTED[primitive]
    with np.errstate(all="ignore"):
        value = np.asarray(compute(*[np.asarray(x.value) for x in inputs]))
    if value.dtype != aval.dtype:
        return None
    if _is_exact(value.dtype) and value.dtype.kind == "f":
        tiny = np.finfo(value.dtype).tiny
        if not np.isfinite(value) or 0 < abs(value) < tiny:  # what becomes of these is XLA's
            return None
    return Literal(value[()], aval)


def _is_exact(dtype: Any) -> bool:
    kind = np.dtype(dtype).kind
    return kind in "biu" or (kind == "f" and dtype.itemsize >= 4)


_RULES: dict[Any, Callable[[Equation, Sequence[Atom], _Layouts], Atom | None]] = {
    **dict.fromkeys((broadcast_in_dim_p, reshape_p, squeeze_p, slice_p), _laid_out),
    **dict.fromkeys((*_COMPUTED, convert_element_type_p), _elementwise),
    transpose_p: _transposed,
    pad_p: _padded,
    select_n_p: _selected,
}
