"""JAX's C++ dispatcher and what it takes to skip Python."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jax._src import api_util, tree_util
from jax._src.interpreters import pxla
from jax._src.lib import _jax

from jaxcore.backend.traces import is_extended

Array = _jax.ArrayImpl  # what the runtime returns, and no tracer
NonFinite = api_util.InternalFloatingPointError

_CACHE_SIZE = 4096


def dispatcher(
    fun: Callable[..., Any],
    cache_miss: Callable[..., Any],
    static_argnums: Sequence[int],
    static_argnames: Sequence[str],
) -> Callable[..., Any]:
    """JAX's C++ dispatcher around our `cache_miss(*args, **kwargs) -> (outputs, fast-path data or
    None, False)`.
    """
    cache = _jax.PjitFunctionCache(capacity=_CACHE_SIZE)
    return _jax.pjit(
        getattr(fun, "__name__", "<unnamed>"),
        fun,
        cache_miss,
        list(static_argnums),
        list(static_argnames),
        pxla.JitGlobalCppCacheKeys(),
        tree_util.dispatch_registry,
        pxla.cc_shard_arg,
        cache,
    )


def committed_sharding(x: Any) -> Any:
    """The sharding of an array that was put somewhere, else None."""
    return x.sharding if getattr(x, "_committed", False) else None


def with_weak_type(x: Any, weak_type: bool) -> Any:
    """The array `x`, its type made weak or not."""
    if not isinstance(x, Array) or x.weak_type == weak_type:
        return x
    aval = x.aval.update(weak_type=weak_type)
    return Array(aval, x.sharding, x._arrays, x._committed, _skip_checks=True)


def fast_path(
    compiled: Any,
    consts: Sequence[Any],
    out_tree: Any,
    outputs: Sequence[Any],
    kept: Sequence[bool],
) -> Any:
    """What the C++ dispatcher needs to run `compiled` again without Python, or None where it
    cannot.

    `kept[i]` tells whether argument i (hidden constants first) is an argument of the executable.
    """
    executable = compiled._executable
    unsafe = getattr(executable, "unsafe_call", None)
    if not isinstance(executable, pxla.MeshExecutable) or not isinstance(
        unsafe, pxla.ExecuteReplicated
    ):
        return None
    if unsafe.ordered_effects or unsafe.has_unordered_effects:
        return None
    outputs, out_tree = pxla.reflatten_outputs_for_dispatch(out_tree, outputs)
    if not all(isinstance(x, Array) for x in outputs):
        return None

    def physical(aval: Any, sharding: Any) -> Any:
        if is_extended(aval.dtype):
            from jax._src import sharding_impls

            return sharding_impls.physical_sharding(aval, sharding)
        return sharding

    bound = iter(range(len(kept)))
    mask = [keep and next(bound) in executable._kept_var_idx for keep in kept]
    return pxla.MeshExecutableFastpathData(
        executable.xla_executable,
        out_tree,
        [physical(a, s) for a, s in zip(executable.in_avals, executable._in_shardings)],
        [physical(a, s) for a, s in zip(executable.out_avals, executable._out_shardings)],
        [x.aval for x in outputs],
        [x._committed for x in outputs],
        mask,
        executable._dispatch_in_layouts,
        list(consts),
    )
