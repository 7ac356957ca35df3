"""Running sums, products, extrema and log-sum-exps along an axis.

They are lowered by JAX's rules, which know what each platform does well. The derivative of those
that are not linear is that of the same scan written as a tree of its combining operation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax

from jaxcore.backend import ShapedArray
from jaxcore.ops.arithmetic import max_p, min_p, mul
from jaxcore.ops.rules import accept
from jaxcore.primitive import Primitive
from jaxcore.trace import bind

__all__ = ["cumlogsumexp_p", "cummax_p", "cummin_p", "cumprod_p", "cumsum_p"]


def _cumulative(
    name: str,
    kinds: str,
    combine: Callable[[Any, Any], Any] | None = None,
    transpose: Callable[..., Any] | None = None,
) -> Primitive:
    """A record; without `combine` the operation is linear."""
    box: list[Primitive] = []

    def type_rule(x: ShapedArray, *, axis: int, reverse: bool) -> ShapedArray:
        accept(name, kinds, None, x.dtype)
        if not 0 <= axis < len(x.shape):
            raise ValueError(
                f"{name}: axis {axis} is out of bounds for {x}, which has {len(x.shape)} axes."
            )
        return x

    def jvp(primals: Sequence[Any], tangents: Sequence[Any], *, axis: int, reverse: bool) -> Any:
        out = bind(box[0], *primals, axis=axis, reverse=reverse)
        if combine is None:
            return out, bind(box[0], *tangents, axis=axis, reverse=reverse)
        from jaxcore.associative import associative_scan
        from jaxcore.transforms.derivative import jvp as differentiate

        def scan(x: Any) -> Any:
            return associative_scan(combine, x, reverse=reverse, axis=axis)

        return out, differentiate(scan, tuple(primals), tuple(tangents))[1]

    def batch(
        size: int, args: Sequence[Any], dims: Sequence[int], *, axis: int, reverse: bool
    ) -> Any:
        (x,), (d,) = args, dims
        return bind(box[0], x, axis=axis + (d <= axis), reverse=reverse), d

    primitive = Primitive(
        name,
        type_rule,
        jvp=jvp,
        transpose=transpose,
        batch=batch,
        jax=getattr(jax.lax, name + "_p"),
    )
    box.append(primitive)
    return primitive


def _logaddexp(x: Any, y: Any) -> Any:
    from jaxcore.numpy.special import logaddexp

    return logaddexp(x, y)


cumsum_p = _cumulative(
    "cumsum",
    "iufc",
    transpose=lambda ct, args, *, axis, reverse: [
        bind(cumsum_p, ct, axis=axis, reverse=not reverse)
    ],
)
cumprod_p = _cumulative("cumprod", "iufc", mul)
cummax_p = _cumulative("cummax", "iuf", lambda x, y: bind(max_p, x, y))
cummin_p = _cumulative("cummin", "iuf", lambda x, y: bind(min_p, x, y))
cumlogsumexp_p = _cumulative("cumlogsumexp", "f", _logaddexp)
