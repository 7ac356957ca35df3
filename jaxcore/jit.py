"""`jit`: JAX's C++ dispatcher with our cache miss.

The first call with new argument types flattens, traces, lowers and compiles here, and hands JAX's
dispatcher the data of its fast path; every later call runs in C++ alone. While operations are being
recorded, a jitted function is one `call` equation; under one of JAX's own traces it is one equation
of `program_p`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import update_wrapper
from typing import Any

import jax

from jaxcore import backend, errors
from jaxcore.compile import Entry, compile_program
from jaxcore.ir import Program
from jaxcore.lower import bind_program
from jaxcore.ops.call import call
from jaxcore.signature import Call, function_name, settings_of
from jaxcore.stages import Traced, eval_shape
from jaxcore.trace import JaxcoreTrace, aval_of, trace_program

__all__ = ["jit", "jit_program"]


def _placement(x: Any) -> Any:
    return x.sharding if getattr(x, "_committed", False) else None


def jit(
    fun: Callable[..., Any],
    *,
    static_argnums: int | Sequence[int] | None = None,
    static_argnames: str | Iterable[str] | None = None,
    donate_argnums: int | Sequence[int] | None = None,
    donate_argnames: str | Iterable[str] | None = None,
) -> Callable[..., Any]:
    """Compile `fun`: traced once for each set of argument types, then dispatched by JAX's C++
    runtime.

    Args:
      fun: pure function of pytrees of arrays. Arrays it closes over become hidden arguments of the
        executable.
      static_argnums, static_argnames: arguments that are part of the cache key instead of being
        traced; hashable.
      donate_argnums, donate_argnames: arguments whose buffers the results may reuse; they must not
        be used again.

    Returns:
      A function with the attributes ``trace``, ``lower`` and ``eval_shape`` (called with example
      arguments).

    Raises:
      ValueError: a static argument is not hashable, or is donated too, or a number or name does not
        exist.
      TypeError: an argument or result is not an array.

    Example:
      >>> import jaxcore, jaxcore.numpy as jnp
      >>> @jaxcore.jit
      ... def f(x):
      ...     return jnp.sin(x) * 2
      >>> f(0.0)
      Array(0., dtype=float32, weak_type=True)
    """
    if not callable(fun):
        raise TypeError(f"jit expects a function, got {fun!r} of type {type(fun).__name__}.")
    settings = settings_of(fun, static_argnums, static_argnames, donate_argnums, donate_argnames)
    entries: dict[Any, Entry] = {}
    traced: dict[Any, tuple[Program, list[Any], Any]] = {}
    name = function_name(fun)

    def cache_miss(*args: Any, **kwargs: Any) -> tuple[Any, Any, bool]:
        call_ = Call(fun, settings, args, kwargs)
        if not backend.at_top_level():
            return _nested(fun, call_, name, traced), None, False
        for i, x in enumerate(call_.leaves):
            if isinstance(x, backend.Tracer):
                raise errors.leaked(x)
            if getattr(x, "is_deleted", None) is not None and x.is_deleted():
                raise errors.deleted(x, f"Argument {call_.path(i)} of {name}")
        avals = [aval_of(x) for x in call_.leaves]
        key = (call_.key(avals), tuple(_placement(x) for x in call_.leaves))
        entry = entries.get(key)
        if entry is None:
            out: list[Any] = []
            program, consts = trace_program(call_.function(fun, out), avals, name)
            compiled, kept = compile_program(program, consts, call_.leaves, call_.donated, name)
            entry = entries[key] = Entry(compiled, consts, out[-1], kept)
        outputs = entry.run(call_.leaves)
        result = jax.tree.unflatten(entry.out_tree, outputs)
        fast = backend.fast_path(
            entry.compiled, entry.consts, entry.out_tree, outputs, len(call_.leaves), entry.kept
        )
        return result, fast, False

    dispatch = backend.dispatcher(
        fun, cache_miss, settings.static_argnums, settings.static_argnames
    )
    update_wrapper(dispatch, fun)
    dispatch.trace = lambda *args, **kwargs: Traced(fun, settings, args, kwargs)
    dispatch.lower = lambda *args, **kwargs: Traced(fun, settings, args, kwargs).lower()
    dispatch.eval_shape = lambda *args, **kwargs: eval_shape(fun, *args, **kwargs)

    def clear_cache() -> None:
        entries.clear()
        traced.clear()

    dispatch.clear_cache = clear_cache
    return dispatch


def _nested(
    fun: Callable[..., Any],
    call_: Call,
    name: str,
    traced: dict[Any, tuple[Program, list[Any], Any]],
) -> Any:
    """A jitted function met while another trace is current: one call of its program.

    A function that captured no tracer is not run again for the same argument types (as in JAX);
    one that did is, because the captured value is another one each time.
    """
    avals = [aval_of(x) for x in call_.leaves]
    key = call_.key(avals)
    found = traced.get(key)
    if found is None:
        out: list[Any] = []
        found = (*trace_program(call_.function(fun, out), avals, name), out[-1])
        if not any(isinstance(c, backend.Tracer) for c in found[1]):
            traced[key] = found
    program, consts, out_tree = found
    trace = backend.current_trace()
    operands = [*consts, *call_.leaves]
    if isinstance(trace, JaxcoreTrace):
        results = call(program, operands)
    else:
        results = bind_program(program, operands)
    return jax.tree.unflatten(out_tree, results)


def jit_program(program: Program) -> Callable[..., list[Any]]:
    """A dispatcher of a program over its flat inputs."""
    entries: dict[Any, Entry] = {}
    tree = jax.tree.structure([0] * len(program.outputs))

    def cache_miss(*args: Any) -> tuple[Any, Any, bool]:
        key = (tuple(aval_of(x) for x in args), tuple(_placement(x) for x in args))
        entry = entries.get(key)
        if entry is None:
            compiled, kept = compile_program(program, (), args, (), program.name)
            entry = entries[key] = Entry(compiled, [], tree, kept)
        outputs = entry.run(args)
        fast = backend.fast_path(entry.compiled, (), tree, outputs, len(args), entry.kept)
        return list(outputs), fast, False

    def function(*args: Any) -> list[Any]:
        return cache_miss(*args)[0]

    function.__name__ = program.name
    return backend.dispatcher(function, cache_miss, (), ())
