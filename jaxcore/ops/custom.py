"""Functions with the user's own derivative: JAX's `custom_jvp` and `custom_vjp` recorded as
equations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxcore import backend
from jaxcore.ir import Program
from jaxcore.ops.basic import instantiate, zeros
from jaxcore.ops.call import run_program
from jaxcore.primitive import Primitive
from jaxcore.trace import aval_of, bind, trace_program

__all__ = ["custom_jvp_p", "custom_vjp_p", "stage_custom_jvp", "stage_custom_vjp"]


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
    program, consts = trace_program(fun.call_wrapped, [aval_of(a) for a in args], _name(fun))
    if not consts and len(program.equations) == 0:
        return run_program(program, args)
    return bind(
        custom_jvp_p,
        *consts,
        *args,
        program=program,
        rule=Rule(jvp),
        n_consts=len(consts),
        symbolic_zeros=symbolic_zeros,
    )


def _name(fun: Any) -> str:
    return getattr(fun, "__name__", "custom")


def _refuse_consts(tangents: Sequence[Any], program: Program, kind: str) -> None:
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
    _refuse_consts(tangents[:n_consts], program, "custom_jvp")
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
    return outs, [None if _is_zero(t) else t for t in results[half:]]


def _is_zero(t: Any) -> bool:
    return type(t) in (backend.SymbolicZero, backend.Zero) or aval_of(t).dtype == backend.float0


def _inline_lower(
    b: Any, operands: Sequence[Any], avals_in: Any, avals_out: Any, *, program: Program, **_: Any
) -> Any:
    return b.call(program, operands)


def _cost(avals_in: Any, avals_out: Any, *, program: Program, **_: Any) -> int:
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
                instantiate(None, aval_of(p)) if _is_zero(t) else t
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
    lower=_inline_lower,
    cost=_cost,
    effects=lambda avals, params: params["program"].effects,
    multiple_results=True,
)


def stage_custom_vjp(
    fun: Any, fwd: Any, bwd: Any, args: Sequence[Any], out_trees: Any, symbolic_zeros: bool
) -> list[Any]:
    """Record a custom_vjp call under the current trace."""
    if backend.at_top_level():
        return fun.call_wrapped(*args)
    program, consts = trace_program(fun.call_wrapped, [aval_of(a) for a in args], _name(fun))
    return bind(
        custom_vjp_p,
        *consts,
        *args,
        program=program,
        rule=VjpRule(fwd, bwd, out_trees),
        n_consts=len(consts),
        symbolic_zeros=symbolic_zeros,
    )


class VjpRule(Rule):
    """The forward and backward functions of a custom_vjp call."""

    __slots__ = ("out_trees", "trees")

    def __init__(self, fwd: Any, bwd: Any, out_trees: Any) -> None:
        super().__init__(fwd, bwd)
        self.out_trees = out_trees
        self.trees: list[Any] = []

    def forward(
        self, primals: Sequence[Any], active: Sequence[bool]
    ) -> tuple[list[Any], list[Any]]:
        """Residuals and outputs."""
        flat = [x for pair in zip(primals, active, strict=True) for x in pair]
        forward = self.functions[0]
        backend.reset_stores(forward)
        results = list(forward.call_wrapped(*flat))
        _, res_tree, forwarded = self.out_trees()
        self.trees = backend.take_stores(forward)
        n_res = res_tree.num_leaves - sum(f is not None for f in forwarded)
        made = iter(results[:n_res])
        return [next(made) if f is None else primals[f] for f in forwarded], results[n_res:]

    def backward(self, res: Sequence[Any], cts: Sequence[Any], active: Sequence[bool]) -> list[Any]:
        """Cotangents (None: zero) of the active inputs."""
        backend.reset_stores(self.functions[1])
        backend.put_stores(self.functions[0], self.trees)
        back = backend.run_backward(self.functions[1], res, cts)
        backend.reset_stores(self.functions[0])
        return [ct for ct, on in zip(back, active, strict=True) if on]


class BatchedVjpRule(VjpRule):
    """A custom_vjp rule mapped over examples; cotangents of inputs without a batch are summed over
    it.
    """

    __slots__ = ("dims", "inner", "out_dims", "size")

    def __init__(
        self,
        inner: VjpRule,
        size: int,
        dims: tuple[int | None, ...],
        out_dims: tuple[int | None, ...],
    ) -> None:
        self.functions = inner.functions
        self.key = (inner.key, "batched", size, dims, out_dims)
        self.out_trees = inner.out_trees
        self.inner, self.size, self.dims, self.out_dims = inner, size, dims, out_dims

    def forward(
        self, primals: Sequence[Any], active: Sequence[bool]
    ) -> tuple[list[Any], list[Any]]:
        from jaxcore.transforms.vmap import vmap

        axes = [0 if d is None else d for d in self.out_dims]
        res, outs = vmap(
            lambda *p: self.inner.forward(p, active),
            in_axes=tuple(self.dims),
            out_axes=(0, axes),
            axis_size=self.size,
        )(*primals)
        return res, [o[0] if d is None else o for o, d in zip(outs, self.out_dims, strict=True)]

    def backward(self, res: Sequence[Any], cts: Sequence[Any], active: Sequence[bool]) -> list[Any]:
        from jaxcore.transforms.vmap import vmap

        kept: list[bool] = []

        def one(res: Sequence[Any], cts: Sequence[Any]) -> list[Any]:
            back = self.inner.backward(res, cts, active)
            kept[:] = [ct is not None for ct in back]
            return [ct for ct in back if ct is not None]

        # An output without a batch is the same for every example: its cotangent belongs to one of
        # them.
        fixed = [
            ct if d is not None else _first_only(ct, self.size)
            for ct, d in zip(cts, self.out_dims, strict=True)
        ]
        axes = [0 if d is None else d for d in self.out_dims]
        found = iter(vmap(one, in_axes=(0, axes), axis_size=self.size)(list(res), fixed))
        dims = [d for d, on in zip(self.dims, active, strict=True) if on]
        out = []
        for there, d in zip(kept, dims, strict=True):
            ct = next(found) if there else None
            if ct is not None:
                ct = ct.sum(0) if d is None else _move(ct, d)
            out.append(ct)
        return out


def _first_only(ct: Any, size: int) -> Any:
    import jaxcore.numpy as jnp

    return jnp.concatenate([ct[None], jnp.zeros((size - 1, *ct.shape), ct.dtype)])


def _move(ct: Any, dim: int) -> Any:
    import jaxcore.numpy as jnp

    return jnp.moveaxis(ct, 0, dim)


def _custom_vjp(
    primals: Sequence[Any],
    tangents: Sequence[Any],
    *,
    program: Program,
    rule: VjpRule,
    n_consts: int,
    symbolic_zeros: bool,
) -> Any:
    _refuse_consts(tangents[:n_consts], program, "custom_vjp")
    primals, tangents = primals[n_consts:], tangents[n_consts:]
    active = tuple(t is not None for t in tangents)
    res, outs = rule.forward(primals, active)
    out_tangents = bind(
        custom_linear_p,
        *res,
        *(t for t in tangents if t is not None),
        rule=rule,
        n_res=len(res),
        active=active,
        out_avals=tuple(aval_of(o).to_tangent_aval() for o in outs),
    )
    return outs, [None if _is_zero(t) else t for t in out_tangents]


def _transpose_linear(
    cts: list[Any],
    args: Sequence[Any],
    *,
    rule: VjpRule,
    n_res: int,
    active: tuple[bool, ...],
    out_avals: Any,
) -> list[Any]:
    given = [zeros(a) if ct is None else ct for ct, a in zip(cts, out_avals, strict=True)]
    return [None] * n_res + rule.backward(args[:n_res], given, active)


def _no_forward(*_: Any, **__: Any) -> Any:
    raise TypeError(
        "can't apply forward-mode differentiation (jvp) to a custom_vjp function: it has a rule "
        "for reverse "
        "mode only. Fix: use custom_jvp, or reverse mode."
    )


def _batch_linear(
    size: int,
    args: Sequence[Any],
    dims: Sequence[int | None],
    *,
    rule: VjpRule,
    n_res: int,
    active: tuple[bool, ...],
    out_avals: Any,
) -> Any:
    moved = [broadcast_batch(x, d, size) for x, d in zip(args, dims, strict=True)]
    n = len(active)
    new_rule = BatchedVjpRule(rule, size, (0,) * n, (0,) * len(out_avals))
    avals = tuple(a.update(shape=(size, *a.shape)) for a in out_avals)
    outs = bind(custom_linear_p, *moved, rule=new_rule, n_res=n_res, active=active, out_avals=avals)
    return outs, [0] * len(outs)


def broadcast_batch(x: Any, dim: int | None, size: int) -> Any:
    """`x` with its examples at axis 0."""
    import jaxcore.numpy as jnp

    if dim is None:
        return jnp.broadcast_to(x, (size, *aval_of(x).shape))
    return jnp.moveaxis(x, dim, 0)


custom_linear_p = Primitive(
    "custom_vjp_linear",
    lambda *avals, out_avals, **_: list(out_avals),
    jvp=_no_forward,
    transpose=_transpose_linear,
    batch=_batch_linear,
    lower=_no_forward,
    multiple_results=True,
)


def _batch_custom_vjp(
    size: int,
    args: Sequence[Any],
    dims: Sequence[int | None],
    *,
    program: Program,
    rule: VjpRule,
    n_consts: int,
    symbolic_zeros: bool,
) -> Any:
    from jaxcore.transforms.vmap import batch_program

    batched = batch_program(program, size, tuple(dims))
    new_rule = BatchedVjpRule(rule, size, tuple(dims[n_consts:]), batched.dims)
    outs = bind(
        custom_vjp_p,
        *batched.consts,
        *args,
        program=batched.program,
        rule=new_rule,
        n_consts=n_consts + len(batched.consts),
        symbolic_zeros=symbolic_zeros,
    )
    return outs, list(batched.dims)


custom_vjp_p = Primitive(
    "custom_vjp_call",
    lambda *avals, program, **_: program.out_avals,
    jvp=_custom_vjp,
    batch=_batch_custom_vjp,
    lower=_inline_lower,
    cost=_cost,
    effects=lambda avals, params: params["program"].effects,
    multiple_results=True,
)
