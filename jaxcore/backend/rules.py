"""JAX's own rules of its primitives, for our tracers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax._src import core, custom_batching, custom_derivatives, dispatch, hijax
from jax._src.ad_checkpoint import name_p, remat_p  # noqa: F401 (for jaxcore.ops.checkpoint)
from jax._src.ad_util import SymbolicZero
from jax._src.interpreters import ad, batching, partial_eval
from jax._src.lax.control_flow import conditionals, solves
from jax._src.lax.lax import composite_p, ragged_dot_general_p  # noqa: F401

from jaxcore.backend.traces import JaxPrimitive, UndefinedPrimal, Zero

# JAX looks through the contents of a tracer for one that may have a derivative; this one has.
perturbed = ad.JVPTracer(None, 1.0, 1.0)


def abstract_eval(
    primitive: JaxPrimitive, avals: Sequence[Any], params: dict[str, Any]
) -> tuple[list[Any], Any]:
    """Result types and effects of a JAX primitive."""
    out, effects = primitive.abstract_eval(*avals, **params)
    return (list(out) if primitive.multiple_results else [out]), effects


hi_p = hijax.call_hi_primitive_p  # an operation made of others, with rules of its own


def expand_hi(composite: Any, args: Sequence[Any]) -> Sequence[Any]:
    """The results of a composite operation, by the operations that it is made of."""
    return hi_p.to_lojax(*args, _prim=composite)


def hi_has_jvp(composite: Any) -> bool:
    """True where a composite operation knows forward mode."""
    bases = [getattr(hijax, name, None) for name in ("HiPrim", "VJPHiPrimitive")]
    return all(base is None or type(composite).jvp is not base.jvp for base in bases)


def linearize_hi(
    composite: Any, active: Sequence[bool], primals: Sequence[Any], tangents: Sequence[Any]
) -> tuple[Sequence[Any], Sequence[Any]]:
    """Results and their tangents, which can be transposed, by the operation's reverse mode."""
    rule = ad.primitive_linearizations[hi_p]
    outs, _, *residuals, linear = rule(True, list(active), *primals, _prim=composite)
    return outs, linear(*residuals, *tangents)


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


_PLAIN = frozenset(
    {bool, int, float, str, type(None), *(type(np.dtype(t)) for t in "?bhilBHILefd")}
)


def is_plain(params: dict[str, Any]) -> bool:
    """True where parameters are numbers, names, dtypes and tuples of numbers: no function, sharding
    or mesh is among them.
    """
    for x in params.values():
        kind = type(x)
        if kind not in _PLAIN and not (kind is tuple and (not x or type(x[0]) is int)):
            return False
    return True


def needs_devices(primitive: JaxPrimitive | None, params: dict[str, Any]) -> bool:
    """True where the lowering of an operation has to know the devices it will run on."""
    if primitive in dispatch.prim_requires_devices_during_lowering:
        return True
    if is_plain(params):
        return False
    values = [y for x in params.values() for y in (x if isinstance(x, tuple | list) else (x,))]
    jaxprs = [getattr(x, "jaxpr", x) for x in values if is_jaxpr(x)]
    return any(dispatch.jaxpr_has_prim_requiring_devices(j) for j in jaxprs)


def require_devices(primitive: JaxPrimitive) -> None:
    """Tell JAX that the lowering of `primitive` has to know the devices."""
    dispatch.prim_requires_devices_during_lowering.add(primitive)


def close_jaxpr(jaxpr: Any) -> Any:
    """`jaxpr` as one that has no constants to be given."""
    return jaxpr if hasattr(jaxpr, "consts") else core.ClosedJaxpr(jaxpr, ())


scan_p, cond_p, while_p = jax.lax.scan_p, jax.lax.cond_p, jax.lax.while_p
platform_index_p = conditionals.platform_index_p
linear_solve_p = solves.linear_solve_p
custom_vmap_p = custom_batching.custom_vmap_p
linear_call_p = custom_derivatives.linear_call_p
eval_jaxpr_p = getattr(partial_eval, "eval_jaxpr_p", core.closed_call_p)  # since 0.12


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
    args, dims = tuple(args), tuple(dims)  # some rules make them parameters
    if primitive in batching.fancy_primitive_batchers:
        name = getattr(size, "name", None)
        spmd_name = getattr(size, "spmd_name", None)
        name = core.no_axis_name if name is None else name
        plain = int(size) if isinstance(size, int) else size  # else it is symbolic
        axis = batching.AxisData(name, plain, spmd_name, None)
        out, out_dims = batching.fancy_primitive_batchers[primitive](axis, args, dims, **params)
    elif isinstance(batching.primitive_batchers, dict) and primitive in batching.primitive_batchers:
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

    return function_jaxpr(run, avals)


def function_jaxpr(fun: Callable[..., Any], avals: Sequence[Any]) -> Any:
    """The closed jaxpr of `fun` at arguments of these types."""

    def spec(a: Any) -> Any:
        if not a.sharding.mesh.manual_axes:
            return jax.ShapeDtypeStruct(a.shape, a.dtype, weak_type=a.weak_type)
        return jax.ShapeDtypeStruct(
            a.shape,
            a.dtype,
            weak_type=a.weak_type,
            sharding=a.sharding,
            manual_axis_type=a.manual_axis_type,
        )

    with core.set_current_trace(core.eval_trace):
        return jax.make_jaxpr(fun)(*map(spec, avals))


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
