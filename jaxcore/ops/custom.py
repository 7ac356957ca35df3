"""`custom_jvp`: functions with the user's own derivative, recorded as equations."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

from jaxcore import backend
from jaxcore.axes import axis_key, bare_size
from jaxcore.ir import Program
from jaxcore.primitive import Primitive
from jaxcore.trace import aval_of, bind

__all__ = [
    "JvpRule",
    "Rule",
    "batch_with_rule",
    "custom_jvp_p",
    "is_zero",
    "lower_inline",
    "none_if_zero",
    "program_cost",
    "program_primitive",
    "refuse_consts",
]


class Rule:
    """A derivative rule as a parameter of an equation: equal to rules with the same key."""

    __slots__ = ("key",)

    def __init__(self, key: Hashable) -> None:
        self.key = key

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self.key == other.key  # type: ignore[attr-defined]

    def __repr__(self) -> str:
        return "rule"


class JvpRule(Rule):
    """What a function's results and their tangents are."""

    __slots__ = ()

    def __call__(
        self, primals: Sequence[Any], tangents: Sequence[Any]
    ) -> tuple[list[Any], list[Any]]:
        """Flat results and tangents; None is a zero tangent, both ways."""
        raise NotImplementedError(f"{type(self).__name__} defines no derivative.")


def is_zero(t: Any) -> bool:
    """True for tangents that stand for zero."""
    return type(t) in (backend.SymbolicZero, backend.Zero) or aval_of(t).dtype == backend.float0


def none_if_zero(tangents: Sequence[Any]) -> list[Any]:
    """Tangents with None for those that stand for zero."""
    return [None if is_zero(t) else t for t in tangents]


def refuse_consts(tangents: Sequence[Any], program: Program, kind: str) -> None:
    """Raise where a captured value is differentiated: the rule only knows the arguments."""
    if any(t is not None for t in tangents):
        raise backend.custom_exception(kind)(
            f"The {kind} function '{program.name}' is differentiated with respect to a value "
            f"that it closes over; its "
            "rule only knows its arguments.\nFix: pass the value as an argument."
        )


def _jvp(
    primals: Sequence[Any],
    tangents: Sequence[Any],
    *,
    program: Program,
    rule: JvpRule,
    n_consts: int,
) -> Any:
    refuse_consts(tangents[:n_consts], program, "custom_jvp")
    return rule(primals[n_consts:], tangents[n_consts:])


def lower_inline(
    b: Any, operands: Sequence[Any], avals_in: Any, avals_out: Any, *, program: Program, **_: Any
) -> Any:
    """Lower as a call of the function itself: its rule has done its work."""
    return b.call(program, operands)


def program_cost(avals_in: Any, avals_out: Any, *, program: Program, **_: Any) -> int:
    """FLOPs of the function itself."""
    from jaxcore.cost import program_flops

    return program_flops(program)


def program_primitive(name: str, **rules: Any) -> Primitive:
    """A primitive that computes what its parameter `program` does, and has `rules` of its own."""
    return Primitive(
        name,
        lambda *avals, program, **_: program.out_avals,
        lower=lower_inline,
        cost=program_cost,
        effects=lambda avals, params: params["program"].effects,
        multiple_results=True,
        **rules,
    )


def batch_with_rule(
    primitive: Primitive,
    batched_rule: Any,
    size: int,
    args: Sequence[Any],
    dims: Sequence[int | None],
    program: Program,
    rule: Rule,
    n_consts: int,
) -> Any:
    """Batch a function and, as ``batched_rule(rule, size, dims, out_dims)``, its rule with it."""
    from jaxcore.transforms.vmap import batch_program

    batched = batch_program(program, size, tuple(dims))
    outs = bind(
        primitive,
        *batched.consts,
        *args,
        program=batched.program,
        rule=batched_rule(rule, size, tuple(dims[n_consts:]), batched.dims),
        n_consts=n_consts + len(batched.consts),
    )
    return outs, list(batched.dims)


def _batch(size: int, args: Sequence[Any], dims: Sequence[int | None], **params: Any) -> Any:
    return batch_with_rule(custom_jvp_p, _BatchedJvp, size, args, dims, **params)


class _BatchedJvp(JvpRule):
    """A rule mapped over examples: results and their tangents are batched at the same places."""

    __slots__ = ("dims", "inner", "out_dims", "size")

    def __init__(
        self,
        inner: JvpRule,
        size: int,
        dims: tuple[int | None, ...],
        out_dims: tuple[int | None, ...],
    ) -> None:
        super().__init__((inner, axis_key(size), dims, out_dims))
        self.inner, self.size, self.dims, self.out_dims = inner, size, dims, out_dims

    def __call__(
        self, primals: Sequence[Any], tangents: Sequence[Any]
    ) -> tuple[list[Any], list[Any]]:
        from jaxcore.transforms.vmap import batched_call

        moving = [t is not None for t in tangents]
        there: list[bool] = []

        def one(*values: Any) -> list[Any]:
            given = iter(values[len(primals) :])
            directions = [next(given) if on else None for on in moving]
            outs, moved = self.inner(values[: len(primals)], directions)
            there[:] = [t is not None for t in moved]
            return [*outs, *(t for t in moved if t is not None)]

        values = [*primals, *(t for t in tangents if t is not None)]
        dims = [*self.dims, *(d for d, on in zip(self.dims, moving, strict=True) if on)]
        results, found = batched_call(one, self.size, values, dims)
        n = len(self.out_dims)
        wanted = [*self.out_dims, *(d for d, on in zip(self.out_dims, there, strict=True) if on)]
        placed = [
            place_batch(x, d, w, self.size) for x, d, w in zip(results, found, wanted, strict=True)
        ]
        moved = iter(placed[n:])
        return placed[:n], [next(moved) if on else None for on in there]


def place_batch(x: Any, dim: int | None, wanted: int | None, size: int) -> Any:
    """`x`, batched at `dim`, with its examples at `wanted`."""
    from jaxcore.transforms.vmap import move_dim

    if wanted is None:
        if dim is not None:
            raise ValueError(
                "vmap of a function with a derivative rule of its own: for a result that is the "
                f"same for all examples the rule gives one to each, of type {aval_of(x)}. Fix: "
                "let the rule use the arguments alone that the result depends on."
            )
        return x
    if dim is None:
        import jaxcore.numpy as jnp

        shape = aval_of(x).shape
        return jnp.broadcast_to(
            jnp.expand_dims(x, wanted), (*shape[:wanted], bare_size(size), *shape[wanted:])
        )
    return move_dim(x, dim, wanted)


custom_jvp_p = program_primitive("custom_jvp_call", jvp=_jvp, batch=_batch)
