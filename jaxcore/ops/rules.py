"""Rules that whole families share: elementwise result types, batching, derivatives, lowering.

An elementwise operation takes operands of one dtype whose shapes are equal or (); a scalar operand
is broadcast inside the operation. These functions build the rules of a record from a few words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from jaxcore import backend
from jaxcore.backend import ShapedArray
from jaxcore.ops.avals import shaped
from jaxcore.ops.basic import scalar
from jaxcore.primitive import Linear, Primitive
from jaxcore.trace import aval_of, bind

__all__ = [
    "BOOL",
    "broadcast_in_dim",
    "elementwise",
    "expand_operands",
    "full",
    "kind_of",
    "move_dim",
    "nary_batch",
    "nary_type",
    "partials",
    "reshape",
    "unbroadcast",
]

BOOL = np.dtype(np.bool_)
_kinds: dict[Any, str] = {}
_names = {
    "b": "bool",
    "i": "signed integer",
    "u": "unsigned integer",
    "f": "floating",
    "c": "complexfloating",
    "k": "extended",
}


def kind_of(dtype: Any) -> str:
    """One letter: b(ool), i(nt), u(int), f(loat, bfloat16 too), c(omplex), k(ey)."""
    kind = _kinds.get(dtype)
    if kind is None:
        if backend.is_extended(dtype):
            kind = "k"
        elif dtype == backend.float0:
            kind = "0"
        else:
            kind = next(
                letter
                for letter, parent in (
                    ("b", np.bool_),
                    ("i", np.signedinteger),
                    ("u", np.unsignedinteger),
                    ("f", np.floating),
                    ("c", np.complexfloating),
                )
                if jax.dtypes.issubdtype(dtype, parent)
            )
        _kinds[dtype] = kind
    return kind


def accept(name: str, kinds: str, position: int | None, dtype: Any) -> None:
    """Raise unless `dtype` is one of `kinds`."""
    if kind_of(dtype) not in kinds:
        at = "" if position is None else f" at position {position}"
        raise TypeError(
            f"{name} does not accept dtype {dtype}{at}. Accepted dtypes{at} are subtypes of "
            f"{', '.join(_names[k] for k in kinds)}."
        )


def same_dtypes(name: str, avals: Sequence[ShapedArray]) -> None:
    """Raise unless all operands have one dtype."""
    if any(a.dtype != avals[0].dtype for a in avals):
        raise TypeError(
            f"lax.{name} requires arguments to have the same dtypes, got "
            f"{', '.join(str(a.dtype) for a in avals)}. (Tip: jnp.{name} is a similar function "
            "that does automatic type promotion on inputs)."
        )


def common_shape(name: str, avals: Sequence[ShapedArray]) -> tuple[int, ...]:
    """The shape that scalars, and axes of size 1 among operands of one rank, are broadcast to."""
    shape: tuple[int, ...] = ()
    for a in avals:
        other = a.shape
        if other == shape or other == ():
            continue
        if shape == ():
            shape = other
        elif len(other) == len(shape) and all(
            m == n or m == 1 or n == 1 for m, n in zip(shape, other, strict=True)
        ):
            shape = tuple(n if m == 1 else m for m, n in zip(shape, other, strict=True))
        else:
            shapes = ", ".join(str(tuple(x.shape)) for x in avals)
            raise TypeError(
                f"{name} got incompatible shapes for broadcasting: {shapes}. Fix: operands of "
                "equal rank are broadcast along axes of size 1, and so are scalars; "
                "jaxcore.numpy also adds leading axes."
            )
    return shape


def nary_type(name: str, kinds: str, result: Any = None) -> Callable[..., ShapedArray]:
    """Type rule of an elementwise operation over `kinds`; `result` is a dtype other than theirs."""

    def rule(*avals: ShapedArray, **_: Any) -> ShapedArray:
        first = avals[0]
        dtype = first.dtype
        if kind_of(dtype) not in kinds:
            accept(name, kinds, 0 if len(avals) > 1 else None, dtype)
        shape, weak = first.shape, first.weak_type
        best = first
        for a in avals:
            if a is first:
                continue
            if a.dtype != dtype:
                same_dtypes(name, avals)
            if a.shape != shape:
                if shape == ():
                    shape, best = a.shape, a
                elif a.shape != ():
                    shape = common_shape(name, avals)
            weak = weak and a.weak_type
        if result is None and best.weak_type == weak and best.shape == shape:
            return best
        return shaped(shape, dtype if result is None else result, weak)

    return rule


# --- moving values about ------------------------------------------------------------------------


def broadcast_in_dim(x: Any, shape: Sequence[int], dims: Sequence[int]) -> Any:
    """`x` with its axes at `dims` of `shape`, repeated along the others and where its size is 1."""
    from jaxcore.ops.shape import broadcast_in_dim_p

    return bind(broadcast_in_dim_p, x, shape=tuple(shape), broadcast_dimensions=tuple(dims))


def transpose(x: Any, permutation: Sequence[int]) -> Any:
    """`x` with its axes in the order `permutation`."""
    from jaxcore.ops.shape import transpose_p

    return bind(transpose_p, x, permutation=tuple(permutation))


def reshape(x: Any, shape: Sequence[int]) -> Any:
    """`x` with its elements in row-major order laid out as `shape`."""
    from jaxcore.ops.shape import reshape_p

    if tuple(aval_of(x).shape) == tuple(shape):
        return x
    return bind(reshape_p, x, new_sizes=tuple(shape))


def move_dim(x: Any, source: int, target: int) -> Any:
    """`x` with axis `source` at position `target`."""
    if source == target:
        return x
    order = [i for i in range(len(aval_of(x).shape)) if i != source]
    order.insert(target, source)
    return transpose(x, order)


def full(value: Any, aval: ShapedArray) -> Any:
    """An array of type `aval` filled with the scalar `value`."""
    return broadcast_in_dim(scalar(value, aval), aval.shape, ())


def expand(x: Any, shape: tuple[int, ...]) -> Any:
    """`x` broadcast to `shape` as an elementwise operation would."""
    own = aval_of(x).shape
    if own == shape:
        return x
    return broadcast_in_dim(x, shape, range(len(shape)) if own else ())


def unbroadcast(ct: Any, operand: Linear) -> Any:
    """The cotangent of an operand that was broadcast to the shape of `ct`: sums over its copies."""
    shape, own = aval_of(ct).shape, operand.aval.shape
    if own == shape:
        return ct
    from jaxcore.ops.reduce import reduce_sum_p

    if not own:
        return bind(reduce_sum_p, ct, axes=tuple(range(len(shape))))
    axes = tuple(i for i, (m, n) in enumerate(zip(own, shape, strict=True)) if m != n)
    return reshape(bind(reduce_sum_p, ct, axes=axes), own)


# --- batching -----------------------------------------------------------------------------------


def nary_batch(box: list[Primitive], whole_operands: Sequence[int] = ()) -> Callable[..., Any]:
    """Batching of an elementwise operation; `whole_operands` must have the shape of the result.

    Without such operands an unbatched one gets an axis of size 1 for the examples.
    """

    def rule(size: int, args: Sequence[Any], dims: Sequence[int | None], **params: Any) -> Any:
        if len(args) == 1:
            return bind(box[0], *args, **params), dims[0]
        shapes = [aval_of(x).shape for x in args]
        ranks = [len(s) - (d is not None) for s, d in zip(shapes, dims, strict=True)]
        rank = max(ranks)
        target = next(
            (d for d, r in zip(dims, ranks, strict=True) if d is not None and r == rank), 0
        )
        spread = [i for i in range(rank + 1) if i != target]
        whole: tuple[int, ...] = ()
        if whole_operands:
            whole = next(
                tuple(s) if d is None else (*s[:d], *s[d + 1 :])
                for s, d, r in zip(shapes, dims, ranks, strict=True)
                if r == rank
            )
            whole = (*whole[:target], size, *whole[target:])
        moved = []
        for i, (x, d, r, s) in enumerate(zip(args, dims, ranks, shapes, strict=True)):
            if d is not None and r == rank:
                x = move_dim(x, d, target)
            elif d is not None:
                x = (
                    broadcast_in_dim(x, whole, (target,))
                    if whole_operands
                    else reshape(x, [size if i == target else 1 for i in range(rank + 1)])
                )
            elif whole_operands and ((rank > 0 and r == rank) or i in whole_operands):
                x = broadcast_in_dim(x, whole, spread if r == rank else ())
            elif r == rank and rank > 0:
                x = reshape(x, (*s[:target], 1, *s[target:]))
            moved.append(x)
        return bind(box[0], *moved, **params), target

    return rule


# --- derivatives --------------------------------------------------------------------------------


def partials(
    box: list[Primitive], rules: Sequence[Callable[..., Any] | None]
) -> Callable[..., Any]:
    """The jvp whose i-th term is ``rules[i](tangent, out, *primals, **params)``; None: zero."""

    def jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
        from jaxcore.ops.arithmetic import add_p

        out = bind(box[0], *primals, **params)
        total = None
        for rule, t in zip(rules, tangents, strict=True):
            if t is None or rule is None:
                continue
            term = rule(t, out, *primals, **params)
            if term is not None:
                total = term if total is None else bind(add_p, total, term)
        if total is not None:
            total = expand(total, aval_of(out).shape)
        return out, total

    return jvp


# --- lowering -----------------------------------------------------------------------------------


def expand_operands(
    b: Any, operands: Sequence[Any], avals: Sequence[ShapedArray], shape: tuple[int, ...]
) -> list[Any]:
    """The operands broadcast to `shape`."""
    return [
        x if a.shape == shape else b.broadcast(x, range(len(a.shape)), shaped(shape, a.dtype))
        for x, a in zip(operands, avals, strict=True)
    ]


def nary_lower(operation: str) -> Callable[..., list[Any]]:
    """Lowering to one operation with the operands broadcast."""

    def lower(
        b: Any, operands: Sequence[Any], avals_in: Any, avals_out: Any, **_: Any
    ) -> list[Any]:
        out = avals_out[0]
        if len(operands) > 1:
            operands = expand_operands(b, operands, avals_in, out.shape)
        return b.one(operation, out, *operands)

    return lower


def elementwise(
    name: str,
    kinds: str,
    *derivatives: Callable[..., Any] | None,
    lower: str | Callable[..., Any] | None = None,
    result: Any = None,
    type: Callable[..., ShapedArray] | None = None,
    jax_primitive: Any = None,
    defaults: dict[str, Any] | Callable[[], dict[str, Any]] | None = None,
    cost: Callable[..., int] | None = None,
    whole_operands: Sequence[int] = (),
    transpose: Callable[..., Any] | None = None,
    jvp: Callable[..., Any] | None = None,
) -> Primitive:
    """A record of an elementwise primitive.

    Args:
      name: of the primitive; mirrors ``jax.lax.<name>_p`` unless `jax_primitive` is given.
      kinds: letters of `kind_of` that operands may have.
      derivatives: one rule an operand, as `partials` takes; none at all: no derivative.
      lower: a StableHLO operation, a lowering rule, or None for JAX's.
      result: dtype of the result where it is not the operands'.
      type: result type rule, instead of `kinds` and `result`.
      defaults: JAX's parameters that ours leave out.
      whole_operands: positions of operands that are not broadcast from scalars.
    """
    box: list[Primitive] = []
    if derivatives:
        jvp = partials(box, derivatives)
    primitive = Primitive(
        name,
        type if type is not None else nary_type(name, kinds, result),
        jvp=jvp,
        transpose=transpose,
        batch=nary_batch(box, whole_operands),
        lower=nary_lower(lower) if isinstance(lower, str) else lower,
        cost=cost,
        jax=jax_primitive if jax_primitive is not None else getattr(jax.lax, name + "_p"),
        from_jax=native_params,
        to_jax=with_defaults(defaults) if defaults else None,
    )
    box.append(primitive)
    return primitive


# Parameters of JAX's that our records leave out: they ask for an accuracy, a placement or an
# accumulation dtype, and None asks for nothing.
_unsaid = ("accuracy", "out_dtype", "out_sharding", "sharding")


def native_params(params: dict[str, Any]) -> dict[str, Any] | None:
    """JAX's parameters as ours; None where they ask for what our record cannot say."""
    if any(params.get(name) is not None for name in _unsaid):
        return None
    return {name: value for name, value in params.items() if name not in _unsaid}


def with_defaults(
    defaults: dict[str, Any] | Callable[[], dict[str, Any]],
) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Our parameters as JAX's: `defaults` are those that ours leave out."""

    def convert(params: dict[str, Any]) -> dict[str, Any]:
        return {**(defaults() if callable(defaults) else defaults), **params}

    return convert


def installed_params(fun: Callable[..., Any], *operands: Any) -> Callable[[], dict[str, Any]]:
    """The parameters that the installed JAX gives the last equation of ``fun(*operands)``.

    They differ between releases; they are asked for once, when JAX's primitive is first bound.
    """
    found: list[dict[str, Any]] = []

    def ask() -> dict[str, Any]:
        if not found:
            found.append(dict(jax.make_jaxpr(fun)(*operands).eqns[-1].params))
        return found[0]

    return ask
