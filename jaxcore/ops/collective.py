"""Collectives: operations across the positions of a named axis.

The axis is one that `vmap` maps under a name, or an axis of the mesh inside `shard_map`. Under
`vmap` a collective over the mapped axis is an ordinary computation along the batch dimension; what
is left concerns the devices of a mesh, and is typed and lowered by JAX's rules. The functions are
JAX's (`jaxcore.lax.psum` and its like), which reduce pytrees, tuples of names and constants to
these primitives.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from jaxcore import backend
from jaxcore.ir import param_key
from jaxcore.primitive import Primitive
from jaxcore.trace import aval_of, bind

__all__ = [
    "Params",
    "all_gather_invariant_p",
    "all_gather_p",
    "collective",
    "folded",
    "pmax_p",
    "pmin_p",
    "positions_before",
    "psum_invariant_p",
    "psum_p",
    "pvary_p",
    "reduce_scatter_p",
    "split",
    "spread",
]

Params = dict[str, Any]


def _names(axes: Any) -> tuple[Any, ...]:
    return tuple(axes) if isinstance(axes, tuple | list) else (axes,)


def collective(
    jax_primitive: backend.JaxPrimitive,
    key: str,
    over_axis: Callable[..., tuple[Any, int | None]],
    *,
    shift: Callable[[int, Params], tuple[Params, int]] = lambda dim, params: (params, dim),
    transpose: Callable[[Any, Any, Params], Any] | None = None,
    several: bool = False,
    flops: bool = False,
) -> Primitive:
    """The record of a collective.

    Args:
      jax_primitive: the primitive of JAX that it mirrors.
      key: the parameter that holds the names of the axes.
      over_axis: ``over_axis(x, dim, size, left, params) -> (out, dim)`` computes along the batch
        dimension (None: all positions have the same value) what the collective does over that
        axis; `left` are the other names.
      shift: ``shift(dim, params) -> (params, out dim)`` for a batch dimension of another axis.
      transpose: ``transpose(ct, aval, params)`` is the cotangent of the operand, of type `aval`;
        None: there is no derivative.
      several: `over_axis` also takes one axis of several.
      flops: whether each element costs an operation.
    """
    types: dict[Any, Any] = {}

    def type_rule(*avals: Any, **params: Any) -> Any:
        memo = (avals, param_key(params), backend.trace_context())
        found = types.get(memo)
        if found is None:
            if len(types) > 4096:
                types.clear()
            found = backend.abstract_eval(jax_primitive, avals, params)[0][0]
            mesh = jax.sharding.get_abstract_mesh()
            if mesh.manual_axes and not set(mesh.axis_names).intersection(_names(params[key])):
                given = backend.varying(avals[0]) if avals else frozenset[Any]()
                found = backend.retyped(found, mesh, given)  # a mapped axis is not the mesh's
            types[memo] = found
        return found

    def jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
        if transpose is None:
            raise NotImplementedError(
                f"Differentiation rule for '{jax_primitive}' not implemented: it has no "
                "derivative. Fix: apply jaxcore.lax.stop_gradient to its argument, or reduce the "
                "result of all_gather."
            )
        out = [None if x is None else bind(record, x, **params) for x in (primals[0], tangents[0])]
        return out[0], out[1]

    def transpose_rule(ct: Any, args: Sequence[Any], **params: Any) -> list[Any]:
        assert transpose is not None
        return [transpose(ct, args[0].aval, params)]

    def batch(
        size: int, args: Sequence[Any], dims: Sequence[int | None], **params: Any
    ) -> tuple[Any, int | None]:
        name, names = getattr(size, "name", None), _names(params[key])
        x, dim = (args[0], dims[0]) if args else (None, None)
        if name is not None and name in names:
            left = tuple(a for a in names if a != name)
            whole = several or not left
            if key == "axis_name" and not (whole and params.get("axis_index_groups") is None):
                raise NotImplementedError(
                    f"vmap over the axis {name!r}: {jax_primitive} over several axes at once, or "
                    f"over groups of positions, is not supported; got {params}. Fix: apply it to "
                    "one axis after the other."
                )
            return over_axis(x, dim, int(size), left, params)
        if dim is not None:
            params, dim = shift(dim, params)
        return bind(record, *args, **params), dim

    record = Primitive(
        str(jax_primitive),
        type_rule,
        jvp=jvp,
        transpose=transpose_rule,
        batch=batch,
        cost=lambda avals_in, avals_out, **params: math.prod(avals_in[0].shape) if flops else 0,
        axis_names=lambda avals, params: frozenset(
            a for a in _names(params[key]) if not isinstance(a, int)
        ),
        jax=jax_primitive,
    )
    return record


def spread(x: Any, dim: int | None, size: int) -> Any:
    """`x` with the batch dimension first."""
    import jaxcore.numpy as jnp

    if dim is None:
        return jnp.broadcast_to(x, (size, *aval_of(x).shape))
    return jnp.moveaxis(x, dim, 0)


def folded(x: Any, axis: int) -> Any:
    """Dimensions `axis` and `axis` + 1 as one."""
    import jaxcore.numpy as jnp

    shape = aval_of(x).shape
    return jnp.reshape(x, (*shape[:axis], shape[axis] * shape[axis + 1], *shape[axis + 2 :]))


def split(x: Any, axis: int, size: int) -> Any:
    """Dimension `axis` as `size` chunks."""
    import jaxcore.numpy as jnp

    shape = aval_of(x).shape
    return jnp.reshape(x, (*shape[:axis], size, shape[axis] // size, *shape[axis + 1 :]))


# --- reductions ---


def _reduction(
    reduce: str, record: Callable[[], Primitive], same: Callable[[Any, int], Any]
) -> Callable[..., tuple[Any, int | None]]:
    """Reduce the batch dimension; `same` is the result for equal values at all positions."""

    def over_axis(
        x: Any, dim: int | None, size: int, left: tuple[Any, ...], params: Params
    ) -> tuple[Any, int | None]:
        from jaxcore import lax

        over = getattr(lax, reduce)
        if params.get("axis_index_groups") is not None:
            import jaxcore.numpy as jnp

            x = spread(x, dim, size)
            groups = [np.asarray(group) for group in params["axis_index_groups"]]
            parts = [over(x[group], (0,)) for group in groups]
            which = [next(k for k, group in enumerate(groups) if i in group) for i in range(size)]
            return jnp.stack([parts[k] for k in which]), 0
        y = same(x, size) if dim is None else over(x, (dim,))
        return (bind(record(), y, **{**params, "axes": left}) if left else y), None

    return over_axis


def _positional(dim: int, params: Params) -> tuple[Params, int]:
    """Axes that are given by number count the dimensions of one example."""
    axes = params["axes"]
    moved = tuple(a + (a >= dim) if isinstance(a, int) else a for a in axes)
    gone = sum(isinstance(a, int) and a < dim for a in moved)
    return {**params, "axes": moved}, dim - gone


def _times(x: Any, size: int) -> Any:
    from jaxcore import lax

    return lax.mul(x, np.asarray(size, aval_of(x).dtype)[()])


def _psum_transpose(ct: Any, aval: Any, params: Params) -> Any:
    """The result is a copy at every position, so the cotangents of the copies are summed again."""
    from jaxcore import lax

    numbers = [a for a in params["axes"] if isinstance(a, int)]
    if numbers:
        kept = tuple(i for i in range(len(aval.shape)) if i not in numbers)
        ct = lax.broadcast_in_dim(ct, aval.shape, kept)
    names = tuple(a for a in params["axes"] if not isinstance(a, int))
    return bind(psum_p, ct, **{**params, "axes": names}) if names else ct


psum_p = collective(
    backend.psum_p,
    "axes",
    _reduction("reduce_sum", lambda: psum_p, _times),
    shift=_positional,
    transpose=_psum_transpose,
    flops=True,
)
psum_invariant_p = collective(
    backend.psum_invariant_p,
    "axes",
    _reduction("reduce_sum", lambda: psum_invariant_p, _times),
    transpose=lambda ct, aval, params: bind(pvary_p, ct, axes=params["axes"]),
    flops=True,
)
pvary_p = collective(
    backend.pvary_p,
    "axes",
    lambda x, dim, size, left, params: (bind(pvary_p, x, axes=left) if left else x, dim),
    transpose=lambda ct, aval, params: bind(psum_invariant_p, ct, axes=params["axes"]),
)
pmax_p = collective(
    backend.pmax_p,
    "axes",
    _reduction("reduce_max", lambda: pmax_p, lambda x, size: x),
    shift=_positional,
    flops=True,
)
pmin_p = collective(
    backend.pmin_p,
    "axes",
    _reduction("reduce_min", lambda: pmin_p, lambda x, size: x),
    shift=_positional,
    flops=True,
)


# --- gathering and scattering ---


def _gather_over(
    x: Any, dim: int | None, size: int, left: tuple[Any, ...], params: Params
) -> tuple[Any, int | None]:
    import jaxcore.numpy as jnp

    axis, y = params["all_gather_dimension"], spread(x, dim, size)
    if left:
        others = {"axis_name": left, "axis_size": params["axis_size"] // size}
        others |= {"all_gather_dimension": 0, "tiled": False}
        rows = split(
            bind(all_gather_p, y, **{**params, **others}), 0, positions_before(left, params)
        )
        y = folded(folded(jnp.moveaxis(rows, 2, 1), 0), 0)
    y = jnp.moveaxis(y, 0, axis)
    return (folded(y, axis) if params["tiled"] else y), None


def positions_before(left: tuple[Any, ...], params: Params) -> int:
    """How many positions the axes before the mapped one have."""
    names = params["axis_name"]
    at = next(i for i, name in enumerate(names) if name not in left)
    return math.prod(jax.lax.axis_size(name) for name in names[:at])


def _gather_shift(dim: int, params: Params) -> tuple[Params, int]:
    axis = params["all_gather_dimension"]
    if dim <= axis:
        return {**params, "all_gather_dimension": axis + 1}, dim
    return params, dim if params["tiled"] else dim + 1


def _gather_transpose(ct: Any, aval: Any, params: Params) -> Any:
    params = dict(params)
    axis = params.pop("all_gather_dimension")
    return bind(reduce_scatter_p, ct, scatter_dimension=axis, **params)


def _gather_invariant_transpose(ct: Any, aval: Any, params: Params) -> Any:
    """Each position takes its own part of a cotangent that is the same at all."""
    from jaxcore import lax

    axis = params["all_gather_dimension"]
    length = aval_of(ct).shape[axis] // params["axis_size"]
    start = jax.lax.axis_index(params["axis_name"]) * length
    part = lax.dynamic_slice_in_dim(ct, start, length, axis)
    return part if params["tiled"] else lax.squeeze(part, [axis])


def _scatter_over(
    x: Any, dim: int | None, size: int, left: tuple[Any, ...], params: Params
) -> tuple[Any, int | None]:
    import jaxcore.numpy as jnp
    from jaxcore import lax

    axis = params["scatter_dimension"]
    y = _times(x, size) if dim is None else lax.reduce_sum(x, (dim,))
    if not left:
        return (split(y, axis, size) if params["tiled"] else y), axis
    y = split(split(y, axis, positions_before(left, params)), axis + 1, size)
    y = folded(jnp.moveaxis(y, axis + 1, 0), axis + 1)
    others = {"axis_name": left, "axis_size": params["axis_size"] // size}
    return bind(reduce_scatter_p, y, **{**params, **others, "scatter_dimension": axis + 1}), 0


def _scatter_shift(dim: int, params: Params) -> tuple[Params, int]:
    axis = params["scatter_dimension"]
    if dim <= axis:
        return {**params, "scatter_dimension": axis + 1}, dim
    return params, dim if params["tiled"] else dim - 1


def _scatter_transpose(ct: Any, aval: Any, params: Params) -> Any:
    params = dict(params)
    axis = params.pop("scatter_dimension")
    return bind(all_gather_p, ct, all_gather_dimension=axis, **params)


all_gather_p = collective(
    backend.all_gather_p,
    "axis_name",
    _gather_over,
    shift=_gather_shift,
    transpose=_gather_transpose,
    several=True,
)
all_gather_invariant_p = collective(
    backend.all_gather_invariant_p,
    "axis_name",
    _gather_over,
    shift=_gather_shift,
    transpose=_gather_invariant_transpose,
)
reduce_scatter_p = collective(
    backend.reduce_scatter_p,
    "axis_name",
    _scatter_over,
    shift=_scatter_shift,
    transpose=_scatter_transpose,
    several=True,
    flops=True,
)
