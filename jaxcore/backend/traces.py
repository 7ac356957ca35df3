"""Traces, types and settings of JAX."""

from __future__ import annotations

import operator
from typing import Any

import jax
from jax._src import ad_util, config, core, dtypes, pjit, traceback_util, tree_util
from jax._src.interpreters import ad

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
is_concrete = core.is_concrete
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


def promoted_type(*values: Any) -> tuple[Any, bool]:
    """The dtype that `values` promote to, and whether the result is weakly typed.

    `jax.dtypes.result_type` says the same, but for values that are all weak: there it names the
    default dtype of their kind.
    """
    dtype, weak = dtypes.lattice_result_type(*values)
    return dtypes.canonicalize_dtype(dtype, allow_extended_dtype=True), weak


float0 = dtypes.float0
itemsize_bits = dtypes.itemsize_bits


def tree_differences(expected: Any, got: Any) -> list[tuple[Any, str, str]]:
    """Where two pytree structures differ: path, what is expected there, what was found."""
    return [
        (path, one, other)
        for path, one, other, _ in tree_util.equality_errors_pytreedef(expected, got)
    ]


def is_symbolic(shape: Any) -> bool:
    """True where a size of `shape` is a variable, as in an export with symbolic shapes."""
    return any(type(n) is not int and core.is_symbolic_dim(n) for n in shape)


def as_size(n: Any) -> Any:
    """`n` as a size: an integer, or a symbolic size as it is."""
    return n if type(n) is int or core.is_symbolic_dim(n) else operator.index(n)


def size_value(size: Any) -> Any:
    """A size, which may be symbolic, as a value of the program."""
    return core.dimension_as_value(size)


def source_file_is_jax(filename: str) -> bool:
    """True for files of JAX itself."""
    return filename.startswith(_JAX_ROOT)


_JAX_ROOT = jax.__file__.rsplit("__init__", 1)[0]
