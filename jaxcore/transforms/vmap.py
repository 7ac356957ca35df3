"""Batching: a function of one example becomes a function of many."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any

import jax
import numpy as np

from jaxcore import backend, errors
from jaxcore.axes import Axis, axis_key, axis_names, bare_size
from jaxcore.ir import Program, Var, intern
from jaxcore.ops.avals import shaped
from jaxcore.primitive import Primitive
from jaxcore.signature import function_name, leaf_path, need_function
from jaxcore.trace import (
    JaxcoreTrace,
    JaxcoreTracer,
    StageTrace,
    StageTracer,
    aval_of,
    bind_with,
    eval_program,
)

__all__ = [
    "BatchTrace",
    "BatchTracer",
    "Batched",
    "batch_program",
    "batched_call",
    "move_dim",
    "vmap",
]


class BatchTracer(JaxcoreTracer):
    """A value whose dimension `dim` runs over examples; its type is that of one example."""

    __slots__ = ("dim", "value")

    def __init__(self, trace: BatchTrace, value: Any, dim: int) -> None:
        self._trace = trace
        aval = aval_of(value)
        shape = aval.shape[:dim] + aval.shape[dim + 1 :]
        if trace.manual is None:
            self.aval = shaped(shape, aval.dtype, aval.weak_type)
        else:
            self.aval = backend.reshaped(aval, shape, aval.weak_type)
        self.value = value
        self.dim = dim

    def _origin_msg(self) -> str:
        return errors.origin(self)


class BatchTrace(JaxcoreTrace):
    """Applies batching rules under `parent`; `size` is an `Axis` where the axis has a name."""

    __slots__ = ("axis_name", "name", "parent", "size")

    def __init__(self, parent: Any, size: int, name: str = "vmap") -> None:
        super().__init__()
        self.parent = parent
        self.size = size
        self.axis_name = getattr(size, "name", None)
        self.name = name

    def named(self) -> Any:
        """Context in which collectives may speak of the mapped axis."""
        spmd_name = getattr(self.size, "spmd_name", None)
        return backend.named_axis(self.axis_name, bare_size(self.size), spmd_name)

    def split(self, x: Any) -> tuple[Any, int | None]:
        if type(x) is BatchTracer and x._trace is self:
            return x.value, x.dim
        return x, None

    def process(
        self, primitive: Primitive, args: Sequence[Any], params: dict[str, Any]
    ) -> list[Any]:
        pairs = [self.split(a) for a in args]
        values = [v for v, _ in pairs]
        dims = [d for _, d in pairs]
        with backend.set_current_trace(self.parent):
            if all(d is None for d in dims) and not self._named(primitive, values, params):
                return bind_with(self.parent, primitive, values, params)
            if primitive.batch is None:
                raise NotImplementedError(
                    f"vmap: the primitive '{primitive.name}' has no batching rule."
                )
            out, out_dims = primitive.batch(self.size, values, dims, **params)
        if not primitive.multiple_results:
            out, out_dims = [out], [out_dims]
        return [
            o if d is None else BatchTracer(self, o, d) for o, d in zip(out, out_dims, strict=True)
        ]

    def _named(self, primitive: Primitive, values: Sequence[Any], params: dict[str, Any]) -> bool:
        """True for an operation that speaks of the mapped axis by its name."""
        name = self.axis_name
        if name is None:
            return False
        return name in axis_names(primitive, [aval_of(x) for x in values], params)

    def stage_value(self, val: Any) -> Any:
        owner = type(val) is BatchTracer and val._trace is self
        return val if owner else self.parent.stage_value(val)


@dataclass(frozen=True, slots=True)
class Batched:
    """`program` takes consts and inputs, batched where they were, and returns outputs batched at
    `dims`.
    """

    program: Program
    consts: tuple[Any, ...]
    dims: tuple[int | None, ...]


def batch_program(program: Program, size: int, dims: tuple[int | None, ...]) -> Batched:
    """The batched form of a program, memoised on it."""
    key = ("batch", axis_key(size), dims, backend.trace_context())
    found = program.memo.get(key)
    if found is None:
        found = _batch_program(program, size, dims)
        if not any(isinstance(c, backend.Tracer) for c in found.consts):
            program.memo[key] = found
    return found


def _batch_program(program: Program, size: int, dims: tuple[int | None, ...]) -> Batched:
    stage = StageTrace(program.name)
    trace = BatchTrace(stage, size)
    inputs = []
    args: list[Any] = []
    for aval, dim in zip(program.in_avals, dims, strict=True):
        if dim is not None:
            shape = (*aval.shape[:dim], bare_size(size), *aval.shape[dim:])
            aval = backend.reshaped(aval, shape, aval.weak_type)
        inputs.append(Var(aval))
        value: Any = StageTracer(stage, inputs[-1], None)
        args.append(value if dim is None else BatchTracer(trace, value, dim))
    with trace.named(), backend.set_current_trace(trace):
        pairs = [trace.split(x) for x in eval_program(program, args)]
    outs = [stage.lift(v) for v, _ in pairs]
    trace.invalidate()
    done, consts = stage.finish(inputs, outs)
    return Batched(intern(done), tuple(consts), tuple(d for _, d in pairs))


def batched_call(
    fun: Callable[..., Sequence[Any]], size: int, values: Sequence[Any], dims: Sequence[int | None]
) -> tuple[list[Any], list[int | None]]:
    """Results of ``fun(*values)`` for each example, under the current trace, and where they are
    batched.
    """
    trace = BatchTrace(backend.current_trace(), size)
    args = [x if d is None else BatchTracer(trace, x, d) for x, d in zip(values, dims, strict=True)]
    with trace.named(), backend.set_current_trace(trace):
        pairs = [trace.split(x) for x in fun(*args)]
    trace.invalidate()
    return [x for x, _ in pairs], [d for _, d in pairs]


def move_dim(x: Any, source: int, target: int) -> Any:
    """Move dimension `source` of x to position `target`."""
    if source == target:
        return x
    import jaxcore.numpy as jnp

    return jnp.moveaxis(x, source, target)


class _WrongAxis(Exception):
    """An axis is neither an integer nor None."""


def _axes_leaves(name: str, tree: Any, axes: Any, kind: str) -> list[int | None]:
    """The axis of each leaf of `tree` from a prefix tree of axes."""
    leaves: list[int | None] = []

    def add(axis: Any, subtree: Any) -> None:
        if axis is not None and not hasattr(axis, "__index__"):
            raise _WrongAxis
        leaves.extend([axis] * len(jax.tree.leaves(subtree)))

    try:
        jax.tree.map(add, axes, tree, is_leaf=lambda a: a is None)
    except _WrongAxis:
        raise TypeError(
            f"vmap of {name}: {kind} must be an int, None, or a tree with those as leaves, got "
            f"{axes!r}. Fix: write {kind}=0 or {kind}=None."
        ) from None
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"vmap of {name}: {kind} must be an int, None, or a tree whose structure is a prefix "
            f"of the "
            f"{'arguments' if kind == 'in_axes' else 'outputs'}; got {axes!r} for "
            f"{jax.tree.structure(tree)}. ({error})\nFix: give an int or None for each argument, "
            "or a tree of them in the argument's structure."
        ) from None
    return leaves


@errors.explained
def vmap(
    fun: Callable[..., Any],
    in_axes: Any = 0,
    out_axes: Any = 0,
    axis_name: Any = None,
    axis_size: int | None = None,
    spmd_axis_name: Any = None,
    sum_match: bool = False,
) -> Callable[..., Any]:
    """Map `fun` over an axis of its arguments, as one batched computation.

    Args:
      fun: function of pytrees of arrays.
      in_axes: int, None (not mapped), or a tuple with one entry (a prefix pytree) for each
        positional argument. Keyword arguments are mapped over their leading axis.
      out_axes: int, None (result must not depend on the mapped axis) or a prefix pytree of the
        result.
      axis_name: name by which collectives such as `lax.psum` call the mapped axis.
      axis_size: size of the mapped axis; needed only when nothing is mapped.
      spmd_axis_name: axis or axes of the mesh that the mapped axis is laid out over, for
        `with_sharding_constraint` and `shard_map` inside.
      sum_match: sum a result over the mapped axis where `out_axes` is None and it depends on it.

    Returns:
      The batched function.

    Raises:
      ValueError: sizes of the mapped axes differ, an axis is out of range, or nothing is mapped.

    Example:
      >>> import jaxcore, jaxcore.numpy as jnp
      >>> jaxcore.vmap(jnp.dot, in_axes=(0, None))(jnp.ones((3, 2)), jnp.arange(2.0))
      Array([1., 1., 1.], dtype=float32)
    """
    need_function("vmap", fun)
    name = function_name(fun)
    spmd_name = spmd_axis_name if spmd_axis_name is None else _tuple(spmd_axis_name)
    if isinstance(in_axes, list):
        in_axes = tuple(in_axes)
    if not (in_axes is None or isinstance(in_axes, int | tuple)):
        raise TypeError(
            f"vmap of {name}: in_axes must be an int, None, or a tuple of entries corresponding "
            f"to the "
            f"positional arguments, but got {in_axes!r}. Fix: write in_axes=0, None or (0, None)."
        )

    @wraps(fun)
    @errors.explained
    def batched(*args: Any, **kwargs: Any) -> Any:
        if isinstance(in_axes, tuple) and len(in_axes) != len(args):
            raise ValueError(
                f"vmap of {name}: in_axes has {len(in_axes)} entries for {len(args)} positional "
                f"arguments; got in_axes={in_axes!r}. Fix: give one entry for each of them, or an "
                "int for all."
            )
        leaves, tree = jax.tree.flatten((args, kwargs))
        dims = _axes_leaves(name, args, in_axes, "in_axes") + [0] * len(jax.tree.leaves(kwargs))
        dims = [
            _canonical(fun, d, x, (args, kwargs), i)
            for i, (d, x) in enumerate(zip(dims, leaves, strict=True))
        ]
        size = _size(fun, leaves, dims, axis_size, (args, kwargs))
        if axis_name is not None or spmd_name is not None:
            size = Axis(size, axis_name, spmd_name)
        trace = BatchTrace(backend.current_trace(), size, name)
        tracers = [
            x if d is None else BatchTracer(trace, x, d) for x, d in zip(leaves, dims, strict=True)
        ]

        def path(i: int) -> str:
            return leaf_path((args, kwargs), i, fun)

        names = errors.argument_names(tracers, path, name, leaves)
        with trace.named(), backend.set_current_trace(trace), errors.Boundary(names):
            new_args, new_kwargs = jax.tree.unflatten(tree, tracers)
            outs, out_tree = jax.tree.flatten(fun(*new_args, **new_kwargs))
        out_dims = _axes_leaves(name, jax.tree.unflatten(out_tree, outs), out_axes, "out_axes")
        results = [
            _restore(name, trace, x, d, sum_match) for x, d in zip(outs, out_dims, strict=True)
        ]
        trace.invalidate()
        return jax.tree.unflatten(out_tree, results)

    return batched


def _tuple(x: Any) -> tuple[Any, ...]:
    return x if isinstance(x, tuple) else (x,)


def _canonical(fun: Any, dim: int | None, x: Any, tree: Any, i: int) -> int | None:
    if dim is None:
        return None
    ndim = len(aval_of(x).shape)
    if not -ndim <= dim < ndim:
        path = leaf_path(tree, i, fun)
        raise ValueError(
            f"vmap of {function_name(fun)} was asked to map over axis {dim} of the argument "
            f"{path}, but it has type {aval_of(x)}, rank {ndim}: the axis must be in [{-ndim}, "
            f"{ndim}). Fix: use in_axes=None for this argument."
        )
    return dim % ndim


def _size(
    fun: Any, leaves: Sequence[Any], dims: Sequence[int | None], axis_size: int | None, tree: Any
) -> int:
    sizes: dict[int, list[int]] = {}
    for i, (x, d) in enumerate(zip(leaves, dims, strict=True)):
        if d is not None:
            sizes.setdefault(aval_of(x).shape[d], []).append(i)
    if axis_size is not None:
        sizes.setdefault(axis_size, [])
    if not sizes:
        raise ValueError(
            f"vmap of {function_name(fun)} must have at least one non-None value in in_axes, or "
            "axis_size. Fix: map over an axis (in_axes=0), or give axis_size."
        )
    if len(sizes) > 1:
        lines = [
            f"  axis {dims[i]} of {leaf_path(tree, i, fun)} {aval_of(leaves[i])} has size {s}"
            for s, where in sizes.items()
            for i in where
        ]
        raise ValueError(
            f"vmap of {function_name(fun)} got inconsistent sizes for the mapped axes:\n"
            + "\n".join(lines)
            + "\n  Fix: map over axes of one size, or use in_axes=None for what all examples share."
        )
    return next(iter(sizes))


def _restore(name: str, trace: BatchTrace, x: Any, target: int | None, sum_match: bool) -> Any:
    """The parent's value of a result, its examples at axis `target`."""
    value, dim = trace.split(x)
    if target is None:
        if dim is not None and sum_match:
            return value.sum(dim)
        if dim is not None:
            raise ValueError(
                f"vmap of {name}: out_axes is None for a result that depends on the mapped axis, "
                f"of type "
                f"{aval_of(x)} for one example. Fix: give it an axis."
            )
        return value
    import jaxcore.numpy as jnp

    rank = len(aval_of(x).shape) + 1
    if not -rank <= target < rank:
        raise errors.AxisError(
            f"vmap of {name}: out_axes={target} is out of bounds for a result that is {aval_of(x)} "
            f"for one example. Fix: use an axis in [{-rank}, {rank})."
        )
    if dim is None:
        shape = aval_of(value).shape
        position = target % (len(shape) + 1)
        expanded = jnp.expand_dims(value, position)
        size = bare_size(trace.size)
        return jnp.broadcast_to(expanded, (*shape[:position], size, *shape[position:]))
    moved = move_dim(value, dim, target % len(aval_of(value).shape))
    return jnp.asarray(moved) if type(moved) is np.ndarray else moved  # an argument as it came
