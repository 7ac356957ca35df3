"""`custom_jvp`: functions with the user's own derivative, recorded as equations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxcore import backend
from jaxcore.ir import Program
from jaxcore.ops.basic import instantiate
from jaxcore.primitive import Primitive
from jaxcore.trace import aval_of, bind, trace_program

__all__ = [
    "Rule",
    "custom_jvp_p",
    "is_zero",
    "lower_inline",
    "program_cost",
    "refuse_consts",
    "rule_name",
    "stage_custom_jvp",
]


class Rule:
    """Wrapped functions of a derivative rule, equal where they wrap the same function with the same
    settings.
    """

    __slots__ = ("functions", "key")

    def __init__(self, *functions: Any) -> None:
        self.functions = functions
        self.key = tuple(_function_key(f) for f in functions)

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rule) and self.key == other.key

    def __repr__(self) -> str:
        return getattr(self.functions[-1], "__name__", "rule")

    def call(self, i: int, *args: Any) -> Any:
        function = self.functions[i]
        backend.reset_stores(function)
        results = function.call_wrapped(*args)
        backend.reset_stores(
            function
        )  # JAX wants the auxiliary outputs of one of function and rule only
        return results


def _function_key(function: Any) -> Any:
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
        settings.append((wrapper, tuple(kept)))
    return (function.f, tuple(settings))


def stage_custom_jvp(fun: Any, jvp: Any, args: Sequence[Any], symbolic_zeros: bool) -> list[Any]:
    """Record a custom_jvp call under the current trace."""
    if backend.at_top_level():
        return fun.call_wrapped(*args)
    program, consts = trace_program(fun.call_wrapped, [aval_of(a) for a in args], rule_name(fun))
    return bind(
        custom_jvp_p,
        *consts,
        *args,
        program=program,
        rule=Rule(jvp),
        n_consts=len(consts),
        symbolic_zeros=symbolic_zeros,
    )


def rule_name(fun: Any) -> str:
    """The name of a wrapped function."""
    return getattr(fun, "__name__", "custom")


def refuse_consts(tangents: Sequence[Any], program: Program, kind: str) -> None:
    """Raise where a captured value is differentiated: the rule only knows the arguments."""
    if any(t is not None for t in tangents):
        raise backend.custom_exception(kind)(
            f"The {kind} function '{program.name}' is differentiated with respect to a value "
            f"that it closes over; its "
            "rule only knows its arguments.\nFix: pass the value as an argument."
        )


def _custom_jvp(
    primals: Sequence[Any],
    tangents: Sequence[Any],
    *,
    program: Program,
    rule: Rule,
    n_consts: int,
    symbolic_zeros: bool,
) -> Any:
    refuse_consts(tangents[:n_consts], program, "custom_jvp")
    primals, tangents = primals[n_consts:], tangents[n_consts:]
    if symbolic_zeros:
        given = [
            backend.SymbolicZero(aval_of(p).to_tangent_aval()) if t is None else t
            for p, t in zip(primals, tangents, strict=True)
        ]
    else:
        given = [instantiate(t, aval_of(p)) for p, t in zip(primals, tangents, strict=True)]
    results = list(rule.call(0, *primals, *given))
    half = len(results) // 2
    outs = results[:half]
    return outs, [None if is_zero(t) else t for t in results[half:]]


def is_zero(t: Any) -> bool:
    """True for tangents that stand for zero."""
    return type(t) in (backend.SymbolicZero, backend.Zero) or aval_of(t).dtype == backend.float0


def lower_inline(
    b: Any, operands: Sequence[Any], avals_in: Any, avals_out: Any, *, program: Program, **_: Any
) -> Any:
    """Lower as a call of the function itself: its rule has done its work."""
    return b.call(program, operands)


def program_cost(avals_in: Any, avals_out: Any, *, program: Program, **_: Any) -> int:
    """FLOPs of the function itself."""
    from jaxcore.cost import program_flops

    return program_flops(program)


def _batch_custom_jvp(
    size: int,
    args: Sequence[Any],
    dims: Sequence[int | None],
    *,
    program: Program,
    rule: Rule,
    n_consts: int,
    symbolic_zeros: bool,
) -> Any:
    from jaxcore.transforms.vmap import batch_program

    # Every output is batched at 0, and the rule is batched at the same places.
    batched = batch_program(program, size, tuple(dims))
    out_dims = list(batched.dims)
    new_rule = BatchedRule(rule, size, tuple(dims[n_consts:]), tuple(out_dims))
    outs = bind(
        custom_jvp_p,
        *batched.consts,
        *args,
        program=batched.program,
        rule=new_rule,
        n_consts=n_consts + len(batched.consts),
        symbolic_zeros=False,
    )
    return outs, out_dims


class BatchedRule(Rule):
    """A jvp rule mapped over examples."""

    __slots__ = ("dims", "inner", "out_dims", "size")

    def __init__(
        self, inner: Rule, size: int, dims: tuple[int | None, ...], out_dims: tuple[int | None, ...]
    ) -> None:
        self.functions = inner.functions
        self.key = (inner.key, type(inner), size, dims, out_dims)
        self.inner, self.size, self.dims, self.out_dims = inner, size, dims, out_dims

    def call(self, i: int, *args: Any) -> Any:
        from jaxcore.transforms.vmap import vmap

        dims = (*self.dims, *self.dims)

        def one(*values: Any) -> list[Any]:
            results = list(self.inner.call(i, *values))
            half = len(results) // 2
            return results[:half] + [
                instantiate(None, aval_of(p)) if is_zero(t) else t
                for p, t in zip(results[:half], results[half:], strict=True)
            ]

        outs_dims = [0 if d is None else d for d in self.out_dims]
        out = vmap(one, in_axes=dims, out_axes=outs_dims * 2, axis_size=self.size)(*args)
        half = len(out) // 2
        fixed = [o[0] if d is None else o for o, d in zip(out[:half], self.out_dims, strict=True)]
        tangents = [
            o[0] if d is None else o for o, d in zip(out[half:], self.out_dims, strict=True)
        ]
        return fixed + tangents


custom_jvp_p = Primitive(
    "custom_jvp_call",
    lambda *avals, program, **_: program.out_avals,
    jvp=_custom_jvp,
    batch=_batch_custom_jvp,
    lower=lower_inline,
    cost=program_cost,
    effects=lambda avals, params: params["program"].effects,
    multiple_results=True,
)
