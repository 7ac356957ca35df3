"""Functions with derivative rules by JAX's own `custom_jvp` and `custom_vjp`, on our traces.

JAX hands over functions in wrappers, which note the trees of what they return in places that can be
written once; `reset_stores` lets them run again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxcore import backend
from jaxcore.ops.basic import zeros
from jaxcore.ops.custom import JvpRule, custom_jvp_p, none_if_zero
from jaxcore.ops.custom_vjp import Backward, VjpRule, custom_vjp_p
from jaxcore.trace import aval_of, bind, trace_program

__all__ = ["stage_custom_jvp", "stage_custom_vjp"]


def _key(function: Any) -> Any:
    """The function and the static settings of its wrappers; their output stores and thunks do not
    count.
    """
    if not hasattr(function, "transforms"):
        return id(function)
    settings = []
    for wrapper, static in function.transforms:
        kept = [x for x in static if not callable(x) and "Store" not in type(x).__name__]
        try:
            hash(tuple(kept))
        except TypeError:
            return id(function)
        settings.append((wrapper, tuple((type(x), x) for x in kept)))
    return (function.f, tuple(settings))


def _name(fun: Any) -> str:
    return getattr(fun, "__name__", "custom")


def stage_custom_jvp(fun: Any, jvp: Any, args: Sequence[Any], symbolic_zeros: bool) -> list[Any]:
    """Record a call of JAX's custom_jvp under the current trace."""
    if backend.at_top_level():
        return fun.call_wrapped(*args)
    program, consts = trace_program(fun.call_wrapped, [aval_of(a) for a in args], _name(fun))
    rule = _JaxJvp(jvp, symbolic_zeros)
    return bind(custom_jvp_p, *consts, *args, program=program, rule=rule, n_consts=len(consts))


class _JaxJvp(JvpRule):
    __slots__ = ("function", "symbolic_zeros")

    def __init__(self, function: Any, symbolic_zeros: bool) -> None:
        super().__init__((_key(function), symbolic_zeros))
        self.function, self.symbolic_zeros = function, symbolic_zeros

    def __repr__(self) -> str:
        return _name(self.function)

    def __call__(
        self, primals: Sequence[Any], tangents: Sequence[Any]
    ) -> tuple[list[Any], list[Any]]:
        avals = [aval_of(p) for p in primals]
        zero = backend.SymbolicZero if self.symbolic_zeros else zeros
        given = [
            zero(a.to_tangent_aval()) if t is None else t
            for t, a in zip(tangents, avals, strict=True)
        ]
        backend.reset_stores(self.function)
        results = list(self.function.call_wrapped(*primals, *given))
        backend.reset_stores(self.function)  # JAX wants the trees of function or rule, not of both
        half = len(results) // 2
        return results[:half], none_if_zero(results[half:])


def stage_custom_vjp(
    fun: Any, fwd: Any, bwd: Any, args: Sequence[Any], out_trees: Any, symbolic_zeros: bool
) -> list[Any]:
    """Record a call of JAX's custom_vjp under the current trace."""
    if backend.at_top_level():
        return fun.call_wrapped(*args)
    program, consts = trace_program(fun.call_wrapped, [aval_of(a) for a in args], _name(fun))
    rule = _JaxVjp(fwd, bwd, out_trees, symbolic_zeros)
    return bind(custom_vjp_p, *consts, *args, program=program, rule=rule, n_consts=len(consts))


class _JaxVjp(VjpRule):
    __slots__ = ("bwd", "fwd", "out_trees", "symbolic_zeros")

    def __init__(self, fwd: Any, bwd: Any, out_trees: Any, symbolic_zeros: bool) -> None:
        super().__init__((_key(fwd), _key(bwd), symbolic_zeros))
        self.fwd, self.bwd, self.out_trees = fwd, bwd, out_trees
        self.symbolic_zeros = symbolic_zeros

    def __repr__(self) -> str:
        return _name(self.bwd)

    def forward(
        self, primals: Sequence[Any], active: Sequence[bool]
    ) -> tuple[list[Any], list[Any], Backward]:
        flat = [x for pair in zip(primals, active, strict=True) for x in pair]
        backend.reset_stores(self.fwd)
        results = list(self.fwd.call_wrapped(*flat))
        _, tree, forwarded = self.out_trees()
        trees = backend.take_stores(self.fwd)
        made = iter(results)
        residuals = [next(made) if f is None else primals[f] for f in forwarded]
        outs = list(made)
        avals = tuple(aval_of(x).to_tangent_aval() for x in outs)
        return residuals, outs, _JaxBackward(self, trees, tuple(active), avals, tree)


class _JaxBackward(Backward):
    __slots__ = ("active", "avals", "rule", "trees")

    def __init__(
        self, rule: _JaxVjp, trees: list[Any], active: tuple[bool, ...], avals: Any, tree: Any
    ) -> None:
        super().__init__((rule, active, avals, tree))
        self.rule, self.trees, self.active, self.avals = rule, trees, active, avals

    def __call__(self, residuals: Sequence[Any], cts: Sequence[Any]) -> list[Any]:
        rule = self.rule
        zero = backend.SymbolicZero if rule.symbolic_zeros else zeros
        given = [zero(a) if ct is None else ct for ct, a in zip(cts, self.avals, strict=True)]
        backend.reset_stores(rule.bwd)
        backend.put_stores(rule.fwd, self.trees)
        back = backend.run_backward(rule.bwd, residuals, given)
        backend.reset_stores(rule.fwd)
        return [ct for ct, on in zip(back, self.active, strict=True) if on]
