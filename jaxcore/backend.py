"""Every name of jax and jaxlib that is not public API, and nothing else.

Supported window: Python 3.11 to 3.13, jax 0.10.2 to 0.12. The rest of the code base imports from
here, so that a new release of jax is met in one file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax._src import (
    ad_util,
    api_util,
    config,
    core,
    dtypes,
    pjit,
    source_info_util,
    traceback_util,
    tree_util,
)
from jax._src.interpreters import ad, batching, mlir, pxla
from jax._src.lib import _jax
from jax._src.lib.mlir import ir
from jax._src.lib.mlir.dialects import func as func_dialect  # noqa: F401 (for jaxcore.lower)
from jax._src.random import core as _random
from jax._src.random import prng, threefry2x32

SUPPORTED_JAX = ((0, 10, 2), (0, 13))  # from, and up to but not including

if not SUPPORTED_JAX[0] <= jax.__version_info__ < SUPPORTED_JAX[1]:
    raise ImportError(
        f"jaxcore works with jax 0.10.2 to 0.12, but jax {jax.__version__} is installed. Fix: "
        "pip install 'jax>=0.10.2,<0.13'."
    )

traceback_util.register_exclusion(__file__)

# --- traces

Trace = core.Trace
Tracer = core.Tracer
ShapedArray = core.ShapedArray
JaxPrimitive = core.Primitive
Zero = ad.Zero
SymbolicZero = ad_util.SymbolicZero
UndefinedPrimal = ad.UndefinedPrimal
eval_trace = core.eval_trace
set_current_trace = core.set_current_trace
eval_jaxpr = core.eval_jaxpr
trace_ctx = core.trace_ctx
jit_p = pjit.jit_p
add_any_p = ad_util.add_jaxvals_p
zeros_like_aval = ad_util.zeros_like_aval
exclude_from_tracebacks = traceback_util.register_exclusion


def current_trace() -> Trace:
    """The trace that decides what a primitive does now: one of ours, one of JAX's, or the eager
    one.
    """
    return core.trace_ctx.trace


def at_top_level() -> bool:
    """True where operations run at once on concrete arrays."""
    return core.trace_ctx.trace is core.eval_trace


def trace_context() -> Any:
    """What JAX's own caches key on besides types: x64, precision, mesh, axis names."""
    return config.trace_context()


def flag(name: str) -> Any:
    """The value of JAX's setting `name`, such as ``jax_enable_x64``."""
    return getattr(jax.config, name)


def is_extended(dtype: Any) -> bool:
    """True for dtypes such as PRNG keys that NumPy does not know."""
    return dtypes.issubdtype(dtype, dtypes.extended)


canonicalize_dtype = dtypes.canonicalize_dtype
float0 = dtypes.float0


def source_file_is_jax(filename: str) -> bool:
    """True for files of JAX itself."""
    return filename.startswith(_JAX_ROOT)


_JAX_ROOT = jax.__file__.rsplit("__init__", 1)[0]

# --- opaque primitives: JAX's rules on our tracers


def abstract_eval(
    primitive: JaxPrimitive, avals: Sequence[Any], params: dict[str, Any]
) -> tuple[list[Any], Any]:
    """Result types and effects of a JAX primitive."""
    out, effects = primitive.abstract_eval(*avals, **params)
    return (list(out) if primitive.multiple_results else [out]), effects


def jvp_rule(primitive: JaxPrimitive) -> Callable[..., Any] | None:
    """JAX's jvp rule of a primitive."""
    return ad.primitive_jvps.get(primitive)


def transpose(
    primitive: JaxPrimitive,
    cts: Any,
    args: Sequence[Any],
    linear: Sequence[bool],
    params: dict[str, Any],
) -> list[Any]:
    """Cotangents (None: zero) of the arguments by JAX's rule; linear arguments are given by their
    types.
    """
    fancy = ad.fancy_transposes.get(primitive)
    if fancy is not None:
        sums = [
            ad.ValAccum(a.aval.to_tangent_aval()) if on else a
            for a, on in zip(args, linear, strict=True)
        ]
        fancy(cts, *sums, **params)
        out = [s.freeze() if on else None for s, on in zip(sums, linear, strict=True)]
    elif primitive in ad.primitive_transposes:
        marked = [UndefinedPrimal(a.aval) if on else a for a, on in zip(args, linear, strict=True)]
        out = list(ad.primitive_transposes[primitive](cts, *marked, **params))
    else:
        raise NotImplementedError(f"The primitive '{primitive}' has no transpose rule.")
    return [None if x is None or type(x) is Zero else x for x in out]


def holds_program(params: dict[str, Any]) -> bool:
    """True where a parameter is a jaxpr: the primitive calls a function (scan, cond, ...)."""
    values = [y for x in params.values() for y in (x if isinstance(x, tuple | list) else (x,))]
    return any(is_jaxpr(x) for x in values)


def is_jaxpr(x: Any) -> bool:
    """True for a function in JAX's own representation, open or closed."""
    return type(x).__name__ in ("Jaxpr", "ClosedJaxpr")  # one class since 0.12


def close_jaxpr(jaxpr: Any) -> Any:
    """`jaxpr` as one that has no constants to be given."""
    return jaxpr if hasattr(jaxpr, "consts") else core.ClosedJaxpr(jaxpr, ())


scan_p, cond_p, while_p = jax.lax.scan_p, jax.lax.cond_p, jax.lax.while_p


def scan_counts(params: dict[str, Any]) -> tuple[int, int]:
    """How many constants and carried values JAX's scan equation has."""
    if "num_consts" in params:
        return params["num_consts"], params["num_carry"]
    consts, carry, _ = params["ft_in"].unpack()
    return len(consts), len(carry)


def run_backward(bwd: Any, res: Sequence[Any], cts: Sequence[Any]) -> list[Any]:
    """Call the backward function of a custom_vjp rule; None for a zero cotangent."""
    out = bwd.call_wrapped(*res, *cts)
    if (
        isinstance(out, tuple) and len(out) == 2 and isinstance(out[0], list | tuple)
    ):  # (cotangents, logs) since 0.12
        out = out[0]
    return [None if x is None or type(x) in (Zero, SymbolicZero) else x for x in out]


def custom_exception(kind: str) -> type[Exception]:
    """JAX's class for a custom derivative asked about a captured value."""
    base = ad.CustomVJPException if kind == "custom_vjp" else jax.errors.UnexpectedTracerError
    return type(
        base.__name__,
        (base,),
        {"__init__": lambda self, message: Exception.__init__(self, message)},
    )


def conversion_error(tracer: Any) -> Exception:
    """The error for NumPy's conversion of a tracer."""
    return jax.errors.TracerArrayConversionError(tracer)


def batch(
    primitive: JaxPrimitive,
    size: int,
    args: Sequence[Any],
    dims: Sequence[int | None],
    params: dict[str, Any],
) -> tuple[list[Any], list[int | None]]:
    """Apply JAX's batching rule of `primitive`; results and their batch dimensions."""
    if primitive in batching.fancy_primitive_batchers:
        axis = batching.AxisData(core.no_axis_name, size, None, None)
        out, out_dims = batching.fancy_primitive_batchers[primitive](axis, args, dims, **params)
    elif primitive in batching.primitive_batchers:
        out, out_dims = batching.primitive_batchers[primitive](args, dims, **params)
    else:
        raise NotImplementedError(f"vmap: the primitive '{primitive}' has no batching rule.")
    if not primitive.multiple_results:
        out, out_dims = [out], [out_dims]
    return list(out), list(out_dims)


def linearize_jaxpr(jaxpr: Any, active: Sequence[bool]) -> tuple[Any, int, list[bool], Any]:
    """Split a jaxpr into (forward, number of residuals, active outputs, linear(residuals,
    tangents)) by JAX's rules.
    """
    forward, results, active_out, forwarded, linear = ad.linearize_jaxpr(
        jaxpr, list(active), allow_fwds=False, is_vjp=False
    )
    n_out = len(jaxpr.out_avals)
    return forward, len(forward.out_avals) - n_out, list(active_out), linear


def single_equation_jaxpr(
    primitive: JaxPrimitive, avals: Sequence[Any], params: dict[str, Any]
) -> Any:
    """A closed jaxpr whose body is one equation of `primitive`."""

    def run(*args: Any) -> list[Any]:
        out = primitive.bind(*args, **params)
        return list(out) if primitive.multiple_results else [out]

    specs = [jax.ShapeDtypeStruct(a.shape, a.dtype, weak_type=a.weak_type) for a in avals]
    with core.set_current_trace(core.eval_trace):
        return jax.make_jaxpr(run)(*specs)


def take_stores(fun: Any) -> list[Any]:
    """Empty the write-once auxiliary outputs of a wrapped function; what they held."""
    taken = []
    for store in fun.stores:
        taken.append(store.val if store else None)
        if store:
            store.reset()
    return taken


def put_stores(fun: Any, values: Sequence[Any]) -> None:
    """Fill the auxiliary outputs again with what `take_stores` returned."""
    for store, value in zip(fun.stores, values, strict=True):
        if store is not None:
            store.reset()
            store.store(value)


def reset_stores(fun: Any) -> None:
    """Let a wrapped function run again."""
    for store in fun.stores:
        if store is not None:
            store.reset()


# --- random keys

KeyType = prng.KeyTy
random_bits_p = prng.random_bits_p
random_fold_in_p = prng.random_fold_in_p
random_seed_p = prng.random_seed_p
random_split_p = prng.random_split_p
random_unwrap_p = prng.random_unwrap_p
random_wrap_p = prng.random_wrap_p
threefry2x32_p = threefry2x32.threefry2x32_p
key_implementation = _random.resolve_prng_impl
key_words = _random._return_prng_keys
canonicalize_shape = core.canonicalize_shape
user_dtype = dtypes.check_and_canonicalize_user_dtype


def typed_key(name: str, key: Any, allow_batched: bool = False) -> tuple[Any, bool]:
    """`key` as a typed key, and whether it was raw words; JAX's checks and settings for the raw."""
    return _random._check_prng_key(name, key, allow_batched=allow_batched)


# --- dispatch

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
    if not all(isinstance(x, _jax.ArrayImpl) for x in outputs):
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


# --- lowering


physical_aval = core.physical_aval


def ir_type(aval: Any) -> Any:
    """The MLIR type of a value of type `aval` (keys become their bits)."""
    aval = core.physical_aval(aval)
    return ir.RankedTensorType.get(aval.shape, mlir.dtype_to_ir_type(aval.dtype))


def lower_with_jax(
    ctx: Any,
    primitive: JaxPrimitive | None,
    avals_in: Sequence[Any],
    avals_out: Sequence[Any],
    operands: Sequence[Any],
    params: dict[str, Any],
) -> tuple[list[Any], Any]:
    """Lower one equation in place by the rule JAX registered for `primitive`; its results, and the
    ordered tokens of ctx after it.
    """
    if primitive is None:
        raise NotImplementedError("An equation has no lowering of its own and no primitive of JAX.")
    closed = single_equation_jaxpr(primitive, avals_in, params)
    body = getattr(closed, "jaxpr", closed)
    with source_info_util.reset_name_stack():
        out, tokens = mlir.jaxpr_subcomp(
            ctx.module_context,
            body,
            ctx.name_stack,
            ctx.tokens_in,
            mlir.ir_consts(closed.consts, [v.aval for v in body.constvars]),
            *operands,
            dim_var_values=ctx.dim_var_values,
            const_lowering=ctx.const_lowering,
            outer_traceback=None,
        )
    return list(out), tokens
