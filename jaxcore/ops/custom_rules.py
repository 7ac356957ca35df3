"""The rules that users give to `custom_jvp` and `custom_vjp`, called on the trees of the function
and checked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.custom_derivatives import CustomVJPPrimal, SymbolicZero

from jaxcore import backend, errors
from jaxcore.bodies import same_type
from jaxcore.ops.basic import zeros
from jaxcore.ops.convert import convert
from jaxcore.ops.custom import JvpRule, none_if_zero
from jaxcore.ops.custom_call import CustomCall
from jaxcore.ops.custom_vjp import Backward, VjpRule
from jaxcore.signature import function_name
from jaxcore.trace import aval_of

__all__ = ["UserJvp", "UserVjp"]


class UserJvp(JvpRule):
    """A user's rule, called on the trees of its function."""

    __slots__ = ("call", "function", "symbolic_zeros")

    def __init__(self, function: Callable[..., Any], call: CustomCall, symbolic_zeros: bool):
        super().__init__((function, call.key, symbolic_zeros))
        self.function, self.call, self.symbolic_zeros = function, call, symbolic_zeros

    def __repr__(self) -> str:
        return function_name(self.function)

    def __call__(
        self, primals: Sequence[Any], tangents: Sequence[Any]
    ) -> tuple[list[Any], list[Any]]:
        call = self.call
        zero = SymbolicZero if self.symbolic_zeros else zeros
        given = [
            zero(aval_of(p).to_tangent_aval()) if t is None else t
            for p, t in zip(primals, tangents, strict=True)
        ]
        with errors.Boundary():
            result = self.function(
                *call.fixed,
                jax.tree.unflatten(call.tree, primals),
                jax.tree.unflatten(call.tree, given),
            )
        return self._checked(result)

    def _checked(self, result: Any) -> tuple[list[Any], list[Any]]:
        rule = f"Custom JVP rule {function_name(self.function)} for function {self.call.name} must"
        if not isinstance(result, tuple | list) or len(result) != 2:
            raise TypeError(
                f"{rule} produce a pair (list or tuple of length two) representing primal and "
                f"tangent outputs, but got {result}."
            )
        moved_tree: Any
        outs, out_tree = jax.tree.flatten(result[0])
        moved, moved_tree = jax.tree.flatten(result[1])
        if moved_tree != out_tree:
            raise TypeError(
                f"{rule} produce primal and tangent outputs with equal container (pytree) "
                f"structures, but got {out_tree} and {moved_tree} respectively."
            )
        _check_result(rule, outs, out_tree, self.call)
        for x, t in zip(outs, moved, strict=True):
            want, got = aval_of(x).to_tangent_aval(), aval_of(t)
            if not same_type(want, got):
                raise TypeError(
                    f"{rule} produce primal and tangent outputs with corresponding shapes and "
                    f"dtypes. Expected {want} (tangent type of {aval_of(x)}) but got {got}."
                )
        return outs, none_if_zero(moved)


def _check_result(rule: str, outs: Sequence[Any], tree: Any, call: CustomCall) -> None:
    """Raise where a rule's result is not what the function itself returns."""
    want = call.program.out_avals
    if tree != call.out_tree:
        raise TypeError(
            f"{rule} return a first element with the container/pytree structure of the "
            f"function's own output, {call.out_tree}; got {tree}."
        )
    different = [
        (aval_of(x), a) for x, a in zip(outs, want, strict=True) if not same_type(aval_of(x), a)
    ]
    if different:
        got, own = different[0]
        raise TypeError(
            f"{rule} return a first element with the shapes/dtypes of the function's own output; "
            f"got {got} where that has {own}."
        )


class UserVjp(VjpRule):
    """A user's pair of rules, called on the trees of its function."""

    __slots__ = ("bwd", "call", "fwd", "symbolic_zeros")

    def __init__(
        self,
        fwd: Callable[..., Any],
        bwd: Callable[..., Any],
        call: CustomCall,
        symbolic_zeros: bool,
    ) -> None:
        super().__init__((fwd, bwd, call.key, symbolic_zeros))
        self.fwd, self.bwd, self.call, self.symbolic_zeros = fwd, bwd, call, symbolic_zeros

    def __repr__(self) -> str:
        return function_name(self.bwd)

    def forward(
        self, primals: Sequence[Any], active: Sequence[bool]
    ) -> tuple[list[Any], list[Any], Backward]:
        call = self.call
        given = list(primals)
        if self.symbolic_zeros:
            given = [CustomVJPPrimal(x, on) for x, on in zip(primals, active, strict=True)]
        with errors.Boundary():
            result = self.fwd(*call.arguments(jax.tree.unflatten(call.tree, given)))
        rule = f"Custom VJP fwd rule {function_name(self.fwd)} for function {call.name} must"
        if not isinstance(result, tuple | list) or len(result) != 2:
            raise TypeError(
                f"{rule} produce a pair (list or tuple of length two) of the primal output and "
                f"residuals, but got {result}."
            )
        outs, out_tree = jax.tree.flatten(result[0])
        residuals, tree = jax.tree.flatten(result[1])
        _check_result(rule, outs, out_tree, call)
        avals = tuple([aval_of(x) for x in primals])
        return residuals, outs, _Bwd(self, tree, tuple(active), avals)


class _Bwd(Backward):
    """A user's backward rule, for residuals of one structure."""

    __slots__ = ("active", "avals", "residual_tree", "rule")

    def __init__(self, rule: UserVjp, residual_tree: Any, active: tuple[bool, ...], avals: Any):
        super().__init__((rule, residual_tree, active, avals))
        self.rule, self.residual_tree, self.active, self.avals = rule, residual_tree, active, avals

    def __repr__(self) -> str:
        return repr(self.rule)

    def __call__(self, residuals: Sequence[Any], cts: Sequence[Any]) -> list[Any]:
        call = self.rule.call
        zero = SymbolicZero if self.rule.symbolic_zeros else zeros
        given = [
            zero(a.to_tangent_aval()) if ct is None else ct
            for ct, a in zip(cts, call.program.out_avals, strict=True)
        ]
        with errors.Boundary():
            result = self.rule.bwd(
                *call.fixed,
                jax.tree.unflatten(self.residual_tree, residuals),
                jax.tree.unflatten(call.out_tree, given),
            )
        return [ct for ct, on in zip(self._leaves(result), self.active, strict=True) if on]

    def _leaves(self, result: Any) -> list[Any]:
        """The cotangent of each leaf of the arguments, None for zero."""
        call = self.rule.call
        tree: Any = call.tree
        where = jax.tree.unflatten(tree, list(range(tree.num_leaves)))
        found: list[Any] = []

        def add(ct: Any, places: Any) -> None:
            found.extend([ct] * len(jax.tree.leaves(places)))

        given = tuple(result) if isinstance(result, list) else result
        try:
            if not isinstance(given, tuple):
                raise ValueError("no tuple")
            jax.tree.map(add, given, where, is_leaf=lambda x: x is None)
        except ValueError:
            raise TypeError(
                f"Custom VJP bwd rule {self.rule!r} for function {call.name} must produce an "
                "output with the same container (pytree) structure as the args tuple of the "
                "primal function, and in particular must produce a tuple of length equal to the "
                f"number of arguments, but got bwd output structure {jax.tree.structure(result)} "
                f"for primal input structure {call.tree}."
            ) from None
        return [
            self._checked(ct, aval, i)
            for i, (ct, aval) in enumerate(zip(found, self.avals, strict=True))
        ]

    def _checked(self, ct: Any, aval: Any, i: int) -> Any:
        want = aval.to_tangent_aval()
        if ct is None or want.dtype == backend.float0:
            return None
        got: Any = ct.aval if isinstance(ct, SymbolicZero) else aval_of(ct)
        if got.shape != want.shape:
            raise ValueError(
                f"Custom VJP bwd rule {self.rule!r} for function {self.rule.call.name} must "
                f"produce a cotangent of the shape of each argument, but leaf {i} of the "
                f"arguments has {want} and its cotangent {got}."
            )
        if isinstance(ct, SymbolicZero):
            return None
        return ct if got.dtype == want.dtype else convert(ct, want.dtype, False)
