"""One primitive, one record: its rules stand side by side.

A rule that a record does not give is an error that names the primitive and the transformation; a
primitive of JAX that has no record of ours is wrapped by `opaque`, whose rules are JAX's own,
running on our tracers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jaxcore import backend
from jaxcore.backend import ShapedArray

__all__ = ["Linear", "Primitive", "from_jax", "mirror"]


class Linear:
    """Stands for a linear operand in a transpose rule: it has a type and no value."""

    __slots__ = ("aval",)

    def __init__(self, aval: ShapedArray) -> None:
        self.aval = aval


class Primitive:
    """An operation of the IR.

    Args:
      name: as printed.
      type: ``type(*avals, **params)`` gives the result's type, a list of them with
        `multiple_results`.
      jvp: ``jvp(primals, tangents, **params) -> (out, tangent_out)``; a tangent that is None is
        zero, and the outputs are lists with `multiple_results`. None: the operation has no
        derivative (its tangent is zero).
      transpose: ``transpose(ct, args, **params) -> [cotangent or None, ...]``, one for each
        argument; arguments that the operation is linear in are `Linear`; `ct` is a list (of values
        or None) with `multiple_results`.
      batch: ``batch(size, args, dims, **params) -> (out, dim)``, where a dim is None for an
        unbatched argument, lists with `multiple_results`. Where the axis has a name, `size` is an
        `Axis`, and an operation that speaks of it by name is batched in any case.
      lower: ``lower(b, operands, avals_in, avals_out, **params) -> [ir values]`` on a
        `jaxcore.builder.Builder`; None lowers by the rule of the JAX primitive it mirrors.
      cost: ``cost(avals_in, avals_out, **params)`` is the number of floating-point operations;
        None: the number of elements of the outputs.
      jax: the JAX primitive it mirrors: same operands, same meaning.
      from_jax: turns JAX's parameters into ours, or None where ours cannot say it (the equation
        then stays opaque).
      to_jax: turns our parameters into JAX's.
      linearize: ``linearize(avals, active, **params) -> Linearized`` where the derivative is not to
        be read off `jvp`.
      axis_names: ``axis_names(avals, params)`` is the set of named axes that the operation speaks
        of. With it, `type` also says over which axes of a mesh a result varies; without, it varies
        over those of the operands.
      effects: ``effects(avals, params)`` is the set of effects; None: pure.
      multiple_results: whether results are lists.
    """

    __slots__ = (
        "axis_names",
        "batch",
        "cost",
        "effects",
        "eager_memo",
        "from_jax",
        "jax",
        "jvp",
        "linearize",
        "lower",
        "multiple_results",
        "name",
        "to_jax",
        "transpose",
        "type",
    )

    def __init__(
        self,
        name: str,
        type: Callable[..., Any],
        *,
        jvp: Callable[..., Any] | None = None,
        transpose: Callable[..., Any] | None = None,
        batch: Callable[..., Any] | None = None,
        lower: Callable[..., Any] | None = None,
        cost: Callable[..., int] | None = None,
        jax: backend.JaxPrimitive | None = None,
        from_jax: Callable[[dict[str, Any]], dict[str, Any] | None] | None = None,
        to_jax: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
        effects: Callable[..., Any] | None = None,
        linearize: Callable[..., Any] | None = None,
        axis_names: Callable[..., frozenset[Any]] | None = None,
        multiple_results: bool = False,
    ) -> None:
        self.name = name
        self.type = type
        self.jvp = jvp
        self.transpose = transpose
        self.batch = batch
        self.lower = lower
        self.cost = cost
        self.jax = jax
        self.from_jax = from_jax
        self.to_jax = to_jax
        self.effects = effects
        self.linearize = linearize
        self.axis_names = axis_names
        self.multiple_results = multiple_results
        self.eager_memo: dict[Any, Any] = {}
        if jax is not None:
            _mirrors.setdefault(jax, self)

    def __repr__(self) -> str:
        return self.name

    def jax_params(self, params: dict[str, Any]) -> dict[str, Any]:
        return params if self.to_jax is None else self.to_jax(params)


_mirrors: dict[backend.JaxPrimitive, Primitive] = {}
_opaque: dict[backend.JaxPrimitive, Primitive] = {}

Conversion = Callable[
    [Sequence[Any], dict[str, Any]], tuple[Primitive, Sequence[Any], dict[str, Any]] | None
]
_conversions: dict[backend.JaxPrimitive, Conversion] = {}


def mirror(jax_primitive: backend.JaxPrimitive) -> Callable[[Conversion], Conversion]:
    """Register how an equation of `jax_primitive` (args, params) becomes (primitive, args, params)
    of ours.
    """

    def register(conversion: Conversion) -> Conversion:
        _conversions[jax_primitive] = conversion
        return conversion

    return register


def from_jax(
    primitive: backend.JaxPrimitive, args: Sequence[Any], params: dict[str, Any]
) -> tuple[Primitive, Sequence[Any], dict[str, Any]]:
    """Our form of a JAX equation: native where there is a record, else opaque."""
    conversion = _conversions.get(primitive)
    if conversion is not None:
        converted = conversion(args, params)
        if converted is not None:
            return converted
    else:
        ours = _mirrors.get(primitive)
        if ours is not None:
            native = dict(params) if ours.from_jax is None else ours.from_jax(params)
            if native is not None:
                return ours, args, native
    return opaque(primitive), args, params


def opaque(primitive: backend.JaxPrimitive) -> Primitive:
    """A record for a JAX primitive whose rules are JAX's own."""
    record = _opaque.get(primitive)
    if record is None:
        from jaxcore.ops.foreign import make_opaque

        record = _opaque[primitive] = make_opaque(primitive)
    return record
