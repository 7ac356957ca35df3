"""`custom_vjp`: functions with the user's own backward pass, recorded as equations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxcore import backend
from jaxcore.ir import Program
from jaxcore.ops.basic import zeros
from jaxcore.ops.custom import Rule, is_zero, lower_inline, program_cost, refuse_consts, rule_name
from jaxcore.primitive import Primitive
from jaxcore.trace import aval_of, bind, trace_program

__all__ = ["custom_linear_p", "custom_vjp_p", "stage_custom_vjp"]


def stage_custom_vjp(
    fun: Any, fwd: Any, bwd: Any, args: Sequence[Any], out_trees: Any, symbolic_zeros: bool
) -> list[Any]:
    """Record a custom_vjp call under the current trace."""
    if backend.at_top_level():
        return fun.call_wrapped(*args)
    program, consts = trace_program(fun.call_wrapped, [aval_of(a) for a in args], rule_name(fun))
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
    refuse_consts(tangents[:n_consts], program, "custom_vjp")
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
        symbolic_zeros=symbolic_zeros,
    )
    return outs, [None if is_zero(t) else t for t in out_tangents]


def _transpose_linear(
    cts: list[Any],
    args: Sequence[Any],
    *,
    rule: VjpRule,
    n_res: int,
    active: tuple[bool, ...],
    out_avals: Any,
    symbolic_zeros: bool,
) -> list[Any]:
    # A batched rule maps over its cotangents, so it gets them as arrays.
    zero = backend.SymbolicZero if symbolic_zeros and type(rule) is VjpRule else zeros
    given = [zero(a) if ct is None else ct for ct, a in zip(cts, out_avals, strict=True)]
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
    symbolic_zeros: bool,
) -> Any:
    moved = [broadcast_batch(x, d, size) for x, d in zip(args, dims, strict=True)]
    n = len(active)
    new_rule = BatchedVjpRule(rule, size, (0,) * n, (0,) * len(out_avals))
    avals = tuple(a.update(shape=(size, *a.shape)) for a in out_avals)
    outs = bind(
        custom_linear_p,
        *moved,
        rule=new_rule,
        n_res=n_res,
        active=active,
        out_avals=avals,
        symbolic_zeros=symbolic_zeros,
    )
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
    lower=lower_inline,
    cost=program_cost,
    effects=lambda avals, params: params["program"].effects,
    multiple_results=True,
)
