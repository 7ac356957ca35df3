"""`custom_vjp`: functions with the user's own backward pass, recorded as equations.

The derivative of such a function runs its forward rule, and one linear equation stands for the
backward rule, which its transpose runs; it has no other meaning.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxcore.axes import axis_key, bare_size
from jaxcore.ir import Program
from jaxcore.ops.custom import (
    Rule,
    batch_with_rule,
    place_batch,
    program_primitive,
    refuse_consts,
)
from jaxcore.primitive import Primitive
from jaxcore.trace import aval_of, bind

__all__ = ["Backward", "VjpRule", "broadcast_batch", "custom_linear_p", "custom_vjp_p"]


class VjpRule(Rule):
    """The forward pass of a function, which also says how to go back."""

    __slots__ = ()

    def forward(
        self, primals: Sequence[Any], active: Sequence[bool]
    ) -> tuple[list[Any], list[Any], Backward]:
        """Flat residuals and results, and the backward pass."""
        raise NotImplementedError(f"{type(self).__name__} defines no forward pass.")


class Backward(Rule):
    """The backward pass at known residuals."""

    __slots__ = ()

    def __call__(self, residuals: Sequence[Any], cts: Sequence[Any]) -> list[Any]:
        """Cotangents of the active arguments from those of the results; None is zero both ways."""
        raise NotImplementedError(f"{type(self).__name__} defines no backward pass.")


def _jvp(
    primals: Sequence[Any],
    tangents: Sequence[Any],
    *,
    program: Program,
    rule: VjpRule,
    n_consts: int,
) -> Any:
    refuse_consts(tangents[:n_consts], program, "custom_vjp")
    primals, tangents = primals[n_consts:], tangents[n_consts:]
    residuals, outs, backward = rule.forward(primals, [t is not None for t in tangents])
    moved = bind(
        custom_linear_p,
        *residuals,
        *(t for t in tangents if t is not None),
        backward=backward,
        n_residuals=len(residuals),
        out_avals=tuple(aval_of(x).to_tangent_aval() for x in outs),
    )
    return outs, moved


def _batch(size: int, args: Sequence[Any], dims: Sequence[int | None], **params: Any) -> Any:
    return batch_with_rule(custom_vjp_p, _BatchedVjp, size, args, dims, **params)


class _BatchedVjp(VjpRule):
    """A forward pass mapped over examples."""

    __slots__ = ("dims", "inner", "out_dims", "size")

    def __init__(
        self,
        inner: VjpRule,
        size: int,
        dims: tuple[int | None, ...],
        out_dims: tuple[int | None, ...],
    ) -> None:
        super().__init__((inner, axis_key(size), dims, out_dims))
        self.inner, self.size, self.dims, self.out_dims = inner, size, dims, out_dims

    def forward(
        self, primals: Sequence[Any], active: Sequence[bool]
    ) -> tuple[list[Any], list[Any], Backward]:
        from jaxcore.transforms.vmap import batched_call

        made: list[Any] = []

        def one(*values: Any) -> list[Any]:
            residuals, outs, backward = self.inner.forward(values, active)
            made[:] = [len(residuals), backward]
            return [*residuals, *outs]

        results, found = batched_call(one, self.size, primals, self.dims)
        n, backward = made
        outs = [
            place_batch(x, d, w, self.size)
            for x, d, w in zip(results[n:], found[n:], self.out_dims, strict=True)
        ]
        dims = tuple(d for d, on in zip(self.dims, active, strict=True) if on)
        back = BatchedBackward(backward, self.size, tuple(found[:n]), self.out_dims, dims)
        return results[:n], outs, back


class BatchedBackward(Backward):
    """A backward pass mapped over examples; an argument that they share gets their sum.

    A result that is the same for all examples has one cotangent, which belongs to one of them.
    """

    __slots__ = ("in_dims", "inner", "out_dims", "residual_dims", "size")

    def __init__(
        self,
        inner: Backward,
        size: int,
        residual_dims: tuple[int | None, ...],
        out_dims: tuple[int | None, ...],
        in_dims: tuple[int | None, ...],
    ) -> None:
        super().__init__((inner, axis_key(size), residual_dims, out_dims, in_dims))
        self.inner, self.size = inner, size
        self.residual_dims, self.out_dims, self.in_dims = residual_dims, out_dims, in_dims

    def __call__(self, residuals: Sequence[Any], cts: Sequence[Any]) -> list[Any]:
        from jaxcore.transforms.vmap import batched_call

        there: list[bool] = []

        def one(*values: Any) -> list[Any]:
            given = iter(values[len(residuals) :])
            full = [None if ct is None else next(given) for ct in cts]
            back = self.inner(values[: len(residuals)], full)
            there[:] = [ct is not None for ct in back]
            return [ct for ct in back if ct is not None]

        values, dims = list(residuals), list(self.residual_dims)
        for ct, d in zip(cts, self.out_dims, strict=True):
            if ct is not None:
                values.append(_first_only(ct, self.size) if d is None else ct)
                dims.append(0 if d is None else d)
        results, found = batched_call(one, self.size, values, dims)
        back = iter(zip(results, found, strict=True))
        return [
            self._placed(*next(back), d) if on else None
            for d, on in zip(self.in_dims, there, strict=True)
        ]

    def _placed(self, ct: Any, dim: int | None, wanted: int | None) -> Any:
        if wanted is not None:
            return place_batch(ct, dim, wanted, self.size)
        return ct * bare_size(self.size) if dim is None else ct.sum(dim)


def _first_only(ct: Any, size: int) -> Any:
    import jaxcore.numpy as jnp

    rest = jnp.zeros((bare_size(size) - 1, *aval_of(ct).shape), aval_of(ct).dtype)
    return jnp.concatenate([jnp.expand_dims(ct, 0), rest])


def broadcast_batch(x: Any, dim: int | None, size: int) -> Any:
    """`x` with its examples at axis 0."""
    import jaxcore.numpy as jnp

    if dim is None:
        return jnp.broadcast_to(x, (size, *aval_of(x).shape))
    return jnp.moveaxis(x, dim, 0)


# --- the backward pass as a linear operation ----------------------------------------------------


def _transpose_linear(
    cts: list[Any], args: Sequence[Any], *, backward: Backward, n_residuals: int, out_avals: Any
) -> list[Any]:
    residuals = [bool(x) if isinstance(x, np.bool_) else x for x in args[:n_residuals]]
    return [None] * n_residuals + backward(residuals, cts)


def _no_forward(*_: Any, **__: Any) -> Any:
    raise TypeError(
        "can't apply forward-mode differentiation (jvp) to a custom_vjp function: it has a rule "
        "for reverse mode only. Fix: use custom_jvp, or reverse mode."
    )


def _batch_linear(
    size: int,
    args: Sequence[Any],
    dims: Sequence[int | None],
    *,
    backward: Backward,
    n_residuals: int,
    out_avals: Any,
) -> Any:
    moved = [
        x if i < n_residuals else broadcast_batch(x, d, size)
        for i, (x, d) in enumerate(zip(args, dims, strict=True))
    ]
    outs_at, ins_at = (0,) * len(out_avals), (0,) * (len(args) - n_residuals)
    outs = bind(
        custom_linear_p,
        *moved,
        backward=BatchedBackward(backward, size, tuple(dims[:n_residuals]), outs_at, ins_at),
        n_residuals=n_residuals,
        out_avals=tuple(a.update(shape=(bare_size(size), *a.shape)) for a in out_avals),
    )
    return outs, [0] * len(outs)


custom_linear_p = Primitive(
    "custom_vjp_linear",
    lambda *avals, out_avals, **_: list(out_avals),
    jvp=_no_forward,
    transpose=_transpose_linear,
    batch=_batch_linear,
    lower=_no_forward,
    multiple_results=True,
)

custom_vjp_p = program_primitive("custom_vjp_call", jvp=_jvp, batch=_batch)
