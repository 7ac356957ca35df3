"""`custom_vmap`: functions with the user's own batching rule, recorded as equations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax

from jaxcore import backend
from jaxcore.axes import bare_size
from jaxcore.ir import Program
from jaxcore.ops.call import transpose_call
from jaxcore.ops.custom import Rule, program_primitive
from jaxcore.ops.custom_vjp import broadcast_batch
from jaxcore.primitive import mirror
from jaxcore.trace import aval_of, bind, trace_program

__all__ = ["VmapRule", "check_trees", "custom_vmap_p"]


class VmapRule(Rule):
    """How a function is applied to a batch, whose examples lie along axis 0."""

    __slots__ = ()

    def __call__(
        self, size: int, values: Sequence[Any], batched: Sequence[bool]
    ) -> tuple[list[Any], list[bool]]:
        """Flat results, and which of them are batched."""
        raise NotImplementedError(f"{type(self).__name__} defines no batching.")


def _jvp(
    primals: Sequence[Any],
    tangents: Sequence[Any],
    *,
    program: Program,
    rule: VmapRule,
    n_consts: int,
) -> Any:
    """The tangents are a function of their own, whose batching is the derivative of the rule."""
    from jaxcore.transforms.linearize import pushed_forward

    outs = bind(custom_vmap_p, *primals, program=program, rule=rule, n_consts=n_consts)
    active = tuple([t is not None for t in tangents])
    there: list[bool] = []

    def moved(*values: Any) -> list[Any]:
        given = iter(values[len(primals) :])
        directions = [next(given) if on else None for on in active]
        found = pushed_forward(program, values[: len(primals)], directions)[1]
        there[:] = [t is not None for t in found]
        return [t for t in found if t is not None]

    operands = [*primals, *(t for t in tangents if t is not None)]
    tangent, captured = trace_program(moved, [aval_of(x) for x in operands], program.name)
    results = iter(
        bind(
            custom_vmap_p,
            *captured,
            *operands,
            program=tangent,
            rule=_MovedRule(rule, len(captured) + n_consts, active[n_consts:], tuple(there)),
            n_consts=len(captured) + n_consts,
        )
    )
    return outs, [next(results) if on else None for on in there]


class _MovedRule(VmapRule):
    """The derivative of a batching rule: from primals and the active tangents to tangents."""

    __slots__ = ("active", "inner", "there")

    def __init__(
        self, inner: VmapRule, n_consts: int, active: tuple[bool, ...], there: tuple[bool, ...]
    ) -> None:
        super().__init__((inner, n_consts, active, there))
        self.inner, self.active, self.there = inner, active, there

    def __call__(
        self, size: int, values: Sequence[Any], batched: Sequence[bool]
    ) -> tuple[list[Any], list[bool]]:
        from jaxcore.transforms.derivative import jvp

        n = len(self.active)
        moving = [i for i, on in enumerate(self.active) if on]
        primals, tangents = list(values[:n]), list(values[n:])
        mask = list(batched[:n])
        for i, k in zip(moving, range(n, len(values)), strict=True):
            both = batched[i] or batched[k]  # primal and tangent are batched together
            if both and not batched[i]:
                primals[i] = broadcast_batch(primals[i], None, size)
            if both and not batched[k]:
                tangents[k - n] = broadcast_batch(tangents[k - n], None, size)
            mask[i] = both
        found: list[bool] = []

        def apply(*given: Any) -> list[Any]:
            full = list(primals)
            for i, x in zip(moving, given, strict=True):
                full[i] = x
            outs, found[:] = self.inner(size, full, mask)
            return [x for x, on in zip(outs, self.there, strict=True) if on]

        _, moved = jvp(apply, tuple(primals[i] for i in moving), tuple(tangents))
        return moved, [on for on, kept in zip(found, self.there, strict=True) if kept]


def _batch(
    size: int,
    args: Sequence[Any],
    dims: Sequence[int | None],
    *,
    program: Program,
    rule: VmapRule,
    n_consts: int,
) -> Any:
    if any(d is not None for d in dims[:n_consts]):
        raise ValueError(
            f"vmap: the custom_vmap function '{program.name}' closes over a value that is mapped; "
            "its rule only knows its arguments. Fix: pass the value as an argument."
        )
    values = [
        x if d is None else broadcast_batch(x, d, size)
        for x, d in zip(args[n_consts:], dims[n_consts:], strict=True)
    ]
    outs, batched = rule(bare_size(size), values, [d is not None for d in dims[n_consts:]])
    return outs, [0 if on else None for on in batched]


def _transpose(cts: list[Any], args: Sequence[Any], *, program: Program, **_: Any) -> list[Any]:
    return transpose_call(cts, args, program=program)


custom_vmap_p = program_primitive("custom_vmap_call", jvp=_jvp, transpose=_transpose, batch=_batch)


def check_trees(rule: str, want: Any, out: Any, batched: Any) -> tuple[list[Any], list[bool]]:
    """Flat results of a rule, and which are batched."""
    tree: Any
    mask_tree: Any
    outs, tree = jax.tree.flatten(out)
    mask, mask_tree = jax.tree.flatten(batched)
    if tree != mask_tree:
        raise ValueError(
            "structure of output value and output batching specification returned by custom vmap "
            f"rule ({rule}) do not match.\nOutput values: {tree}\nBatching spec: {mask_tree}"
        )
    if tree != want:
        raise ValueError(
            f"structure of output returned by custom vmap rule ({rule}) does not match that of "
            f"original custom-vmapped function.\nOriginal output: {want}\nRule output: {tree}"
        )
    return outs, [bool(on) for on in mask]


class _JaxRule(VmapRule):
    """A rule of JAX's own `custom_vmap`, over the trees of captured values and arguments."""

    __slots__ = ("in_tree", "out_tree", "rule")

    def __init__(self, rule: Any, in_tree: Any, out_tree: Any) -> None:
        super().__init__((getattr(rule, "rule", rule), in_tree, out_tree))
        self.rule, self.in_tree, self.out_tree = rule, in_tree, out_tree

    def __call__(
        self, size: int, values: Sequence[Any], batched: Sequence[bool]
    ) -> tuple[list[Any], list[bool]]:
        mask = list(jax.tree.unflatten(self.in_tree, batched))
        out, out_mask = self.rule(size, mask, *jax.tree.unflatten(self.in_tree, values))
        return check_trees(str(self.rule), self.out_tree, out, out_mask)


@mirror(backend.custom_vmap_p)
def _from_jax(args: Sequence[Any], params: dict[str, Any]) -> Any:
    from jaxcore.ops.call import program_from_jaxpr

    program, consts = program_from_jaxpr(backend.close_jaxpr(params["call"]), "custom_vmap")
    rule = _JaxRule(params["rule"], params["in_tree"], params["out_tree"])
    ours = {"program": program, "rule": rule, "n_consts": len(consts)}
    return custom_vmap_p, [*consts, *args], ours
