"""`shard_map`: one function on every device of a mesh, each with its own part of the arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import nullcontext
from functools import partial, wraps
from typing import Any

import jax

from jaxcore import backend
from jaxcore.bodies import ours
from jaxcore.ops.call import is_array, run_program
from jaxcore.signature import function_name
from jaxcore.trace import aval_of, trace_program

__all__ = ["shard_map"]

_INFER = inspect.signature(jax.shard_map).parameters["in_specs"].default


def shard_map(
    f: Callable[..., Any] | None = None,
    /,
    *,
    out_specs: Any,
    in_specs: Any = _INFER,
    mesh: jax.sharding.Mesh | jax.sharding.AbstractMesh | None = None,
    axis_names: AbstractSet[Any] = frozenset(),
    check_vma: bool = True,
) -> Callable[..., Any]:
    """Run `f` on every device of a mesh, on that device's part of the arguments.

    Inside, collectives such as `lax.psum` speak of the mesh's axes by their names. Derivatives and
    batches of the mapped function are again mapped functions, and `grad` works inside `f` as well:
    with `check_vma`, the gradient of a value that is the same on all devices is summed over them.

    Args:
      f: function of pytrees of arrays; without it, a decorator is returned.
      out_specs: prefix tree of `PartitionSpec` for the results: along which of the mesh's axes the
        parts are put together. An axis that is not named holds copies, of which one is taken.
      in_specs: prefix tree of `PartitionSpec` for the arguments, None for one that is passed as it
        is.
      mesh: the devices; None takes the mesh that `jaxcore.set_mesh` has set. Explicit axes are
        taken for automatic ones: types of jaxcore do not say how arrays lie on them.
      axis_names: the axes that `f` runs over; all of the mesh's if empty. The others stay with the
        compiler.
      check_vma: follow which values are equal on all devices, and check `out_specs` against it.

    Raises:
      ValueError: `in_specs` are left out, a dimension is not divisible by the devices that it is
        cut over, specs do not fit the arguments, or a result that may differ is said to be a copy.
      TypeError: something is no mesh or no `PartitionSpec`.

    Example:
      >>> import jaxcore, jaxcore.numpy as jnp
      >>> from jaxcore.sharding import AxisType, PartitionSpec as P
      >>> mesh = jaxcore.make_mesh((1,), ("data",), axis_types=(AxisType.Auto,))
      >>> @jaxcore.shard_map(mesh=mesh, in_specs=P("data"), out_specs=P())
      ... def total(x):
      ...     return jaxcore.lax.psum(x.sum(), "data")
      >>> total(jnp.arange(4.0))
      Array(6., dtype=float32)
    """
    settings: dict[str, Any] = {
        "out_specs": out_specs,
        "in_specs": in_specs,
        "mesh": mesh,
        "axis_names": axis_names,
        "check_vma": check_vma,
    }
    if f is None:
        return partial(shard_map, **settings)
    jax.shard_map(f, **settings)  # checks the settings
    function: Any = f

    @wraps(function)
    def call(*args: Any) -> Any:
        if not ours() or backend.flag("jax_disable_jit"):
            return jax.shard_map(function, **settings)(*args)
        known = backend.context_mesh() if mesh is None else mesh
        here = {**settings, "mesh": mesh}
        context: Any = nullcontext()
        if backend.has_explicit_axes(known):
            if in_specs is _INFER:
                raise ValueError(
                    f"shard_map of {function_name(function)}: in_specs must be given, for types of "
                    "jaxcore do not say how arrays lie on explicit axes."
                )
            here["mesh"] = backend.automatic(known)
            context = backend.use_abstract_mesh(here["mesh"].abstract_mesh)
        with context:
            mapped = jax.shard_map(function, **here)
            if backend.at_top_level():
                return _run(mapped, args, function_name(function))
            return mapped(*args)

    return call


def _run(fun: Callable[..., Any], args: Sequence[Any], name: str) -> Any:
    """``fun(*args)`` as one executable: its Python runs each time."""
    leaves, tree = jax.tree.flatten(args)
    traced = [
        i for i, x in enumerate(leaves) if is_array(x) or isinstance(x, int | float | complex)
    ]
    out: list[Any] = []

    def flat(*values: Any) -> list[Any]:
        full = list(leaves)
        for i, x in zip(traced, values, strict=True):
            full[i] = x
        results, out_tree = jax.tree.flatten(fun(*jax.tree.unflatten(tree, full)))
        out[:] = [out_tree]
        return results

    operands = [leaves[i] for i in traced]
    program, consts = trace_program(flat, [aval_of(x) for x in operands], name)
    return jax.tree.unflatten(out[0], run_program(program, [*consts, *operands]))
