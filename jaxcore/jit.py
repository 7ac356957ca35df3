"""`jit`: JAX's C++ dispatcher with our cache miss.

The first call with new argument types flattens, traces, lowers and compiles here, and hands JAX's dispatcher the data
of its fast path; every later call runs in C++ alone. While operations are being recorded, a jitted function is one
`call` equation; under one of JAX's own traces it is one equation of `program_p`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial, update_wrapper
from typing import Any

import jax

from jaxcore import backend, errors
from jaxcore.ir import Program, Var
from jaxcore.lower import bind_program, program_p
from jaxcore.ops.call import call
from jaxcore.source import fresh_path
from jaxcore.trace import JaxcoreTrace, aval_of, trace_program

__all__ = ["Lowered", "Traced", "eval_shape", "jit", "jit_program", "make_jaxpr"]


@dataclass(slots=True)
class _Entry:
    """A compiled program with what is needed to call it from Python."""

    compiled: Any
    consts: list[Any]
    out_tree: Any
    kept: list[bool]
    constant_outputs: Any = None

    def run(self, leaves: Sequence[Any]) -> list[Any]:
        values = [x for x, keep in zip([*self.consts, *leaves], self.kept, strict=True) if keep]
        return self.compiled(*values)


def _names(static_argnames: str | Iterable[str] | None) -> tuple[str, ...]:
    if static_argnames is None:
        return ()
    return (static_argnames,) if isinstance(static_argnames, str) else tuple(static_argnames)


def _numbers(argnums: int | Iterable[int] | None) -> tuple[int, ...]:
    if argnums is None:
        return ()
    return (argnums,) if isinstance(argnums, int) else tuple(argnums)


@dataclass(frozen=True, slots=True)
class _Settings:
    static_argnums: tuple[int, ...]
    static_argnames: tuple[str, ...]
    donate_argnums: tuple[int, ...]
    donate_argnames: tuple[str, ...]


def _settings(fun: Callable[..., Any], static_argnums: Any, static_argnames: Any, donate_argnums: Any,
              donate_argnames: Any) -> _Settings:
    numbers, names = _numbers(static_argnums), _names(static_argnames)
    donated, donated_names = _numbers(donate_argnums), _names(donate_argnames)
    try:
        parameters = list(inspect.signature(fun).parameters.values())
    except (ValueError, TypeError):
        return _Settings(numbers, names, donated, donated_names)
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    positional = [p.name for p in parameters if p.kind in kinds]
    variadic = any(p.kind == inspect.Parameter.VAR_POSITIONAL for p in parameters)
    numbers = tuple(n + len(positional) if n < 0 else n for n in numbers)
    donated = tuple(n + len(positional) if n < 0 else n for n in donated)
    for n in (*numbers, *donated):
        if not variadic and n >= len(positional):
            raise ValueError(
                f"jit of {_name(fun)}: argument number {n} is out of range, the function has {len(positional)} "
                f"positional arguments ({', '.join(positional) or 'none'}).")
    known = {p.name for p in parameters}
    open_ended = any(p.kind == inspect.Parameter.VAR_KEYWORD for p in parameters)
    for name in (*names, *donated_names):
        if name not in known and not open_ended:
            raise ValueError(f"jit of {_name(fun)}: there is no argument named {name!r}; its arguments are "
                             f"{', '.join(sorted(known)) or 'none'}.")
    # An argument may be passed either way, so numbers imply names and names imply numbers.
    names = tuple(dict.fromkeys([*names, *(positional[n] for n in numbers if n < len(positional))]))
    numbers = tuple(dict.fromkeys([*numbers, *(positional.index(n) for n in names if n in positional)]))
    donated = tuple(dict.fromkeys([*donated, *(positional.index(n) for n in donated_names if n in positional)]))
    donated_names = tuple(dict.fromkeys(
        [*donated_names, *(positional[n] for n in donated if n < len(positional))]))
    overlap = sorted(set(numbers) & set(donated))
    if overlap:
        raise ValueError(f"jit of {_name(fun)}: arguments {overlap} are both static and donated.")
    return _Settings(numbers, names, donated, donated_names)


def _name(fun: Any) -> str:
    if isinstance(fun, partial):
        return _name(fun.func)
    return getattr(fun, "__name__", type(fun).__name__)


class _Call:
    """One call taken apart: dynamic leaves, static arguments, and which leaves are donated."""

    __slots__ = ("args", "donated", "key", "kwargs", "leaves", "static", "tree")

    def __init__(self, fun: Any, settings: _Settings, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        static: list[tuple[Any, Any]] = []
        dynamic_args = list(args)
        for n in settings.static_argnums:
            if n < len(args):
                static.append((n, args[n]))
                dynamic_args[n] = None
        dynamic_kwargs = dict(kwargs)
        for name in settings.static_argnames:
            if name in kwargs:
                static.append((name, kwargs[name]))
                dynamic_kwargs[name] = None
        for where, value in static:
            try:
                hash(value)
            except TypeError:
                raise ValueError(
                    f"jit of {_name(fun)}: the static argument {where!r} is {value!r} of type "
                    f"{type(value).__name__}, which is not hashable. Static arguments are part of the cache key. "
                    "Fix: pass a hashable value (a tuple instead of a list, a frozen dataclass), or do not mark it "
                    "static.") from None
        self.args = dynamic_args
        self.kwargs = dynamic_kwargs
        self.static = static
        self.leaves, self.tree = jax.tree.flatten((tuple(dynamic_args), dynamic_kwargs))
        for i, x in enumerate(self.leaves):
            if not _is_valid(x):
                raise errors.not_an_array(x, f"Argument {self.path(i)} of {_name(fun)}")
        self.donated: list[bool] = []
        if settings.donate_argnums or settings.donate_argnames:
            for n, tree in enumerate(dynamic_args):
                self.donated += [n in settings.donate_argnums] * len(jax.tree.leaves(tree))
            for name in sorted(dynamic_kwargs):
                self.donated += [name in settings.donate_argnames] * len(jax.tree.leaves(dynamic_kwargs[name]))

    def path(self, i: int) -> str:
        from jaxcore.transforms.vmap import leaf_path

        return leaf_path((tuple(self.args), self.kwargs), i)

    def function(self, fun: Any, out: list[Any]) -> Callable[..., list[Any]]:
        """`fun` of the flat dynamic leaves; the result's tree is left in `out`."""

        def flat(*values: Any) -> list[Any]:
            args, kwargs = jax.tree.unflatten(self.tree, values)
            args = list(args)
            for where, value in self.static:
                if isinstance(where, int):
                    args[where] = value
                else:
                    kwargs[where] = value
            with fresh_path():
                result = fun(*args, **kwargs)
            leaves, tree = jax.tree.flatten(result)
            for i, x in enumerate(leaves):
                if not _is_valid(x):
                    path = jax.tree_util.keystr(jax.tree_util.tree_flatten_with_path(result)[0][i][0])
                    raise errors.not_an_array(x, f"The value that {_name(fun)} returns{' at ' + path if path else ''}")
            out.append(tree)
            return leaves

        return flat


def _is_valid(x: Any) -> bool:
    if isinstance(x, jax.Array | bool | int | float | complex | backend.Tracer):
        return True
    dtype = getattr(x, "dtype", None)
    return dtype is not None and hasattr(x, "shape") and getattr(dtype, "kind", "V") not in "OUSMm"


def _placement(x: Any) -> Any:
    return x.sharding if getattr(x, "_committed", False) else None


def compile_program(program: Program, consts: Sequence[Any], leaves: Sequence[Any], donated: Sequence[bool],
                    name: str) -> tuple[Any, list[bool]]:
    """Compile; returns the executable and which of consts + leaves it takes."""
    lowered, kept = lower_program(program, consts, leaves, donated, name)
    return lowered.compile(), kept


def lower_program(program: Program, consts: Sequence[Any], leaves: Sequence[Any], donated: Sequence[bool],
                  name: str) -> tuple[Any, list[bool]]:
    """JAX's lowered form of a program whose unused inputs are left out."""
    used: set[Any] = {x for eq in program.equations for x in eq.inputs if type(x) is Var}
    used.update(x for x in program.outputs if type(x) is Var)
    kept = [v in used for v in program.inputs]
    pruned = Program([v for v in program.inputs if v in used], program.equations, program.outputs, program.name,
                     program.effects)
    flags = [False] * len(consts) + (list(donated) or [False] * len(leaves))
    donate = [i for i, on in enumerate(f for f, keep in zip(flags, kept, strict=True) if keep) if on]

    def run(*values: Any) -> list[Any]:
        return program_p.bind(*values, program=pruned)

    run.__name__ = run.__qualname__ = name
    values = [x for x, keep in zip([*consts, *leaves], kept, strict=True) if keep]
    with backend.set_current_trace(backend.eval_trace):
        return jax.jit(run, donate_argnums=tuple(donate)).lower(*values), kept


class Lowered:
    """A traced and lowered function: `compile`, `as_text`, and the `program` it came from."""

    def __init__(self, traced: Traced) -> None:
        self.program = traced.program
        self._traced = traced
        call_ = traced._call
        self._lowered, self._kept = lower_program(
            traced.program, traced.consts, call_.leaves, call_.donated, traced.name)

    def as_text(self, dialect: str | None = None) -> str:
        """The StableHLO module (captured arrays are arguments, not text)."""
        return self._lowered.as_text(dialect) if dialect else self._lowered.as_text()

    def compile(self) -> Compiled:
        """Compile for the current devices."""
        return Compiled(self)


class Compiled:
    """An executable for one set of argument types."""

    def __init__(self, lowered: Lowered) -> None:
        self._traced = lowered._traced
        self._entry = _Entry(lowered._lowered.compile(), self._traced.consts, self._traced.out_tree, lowered._kept)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        call_ = _Call(self._traced._fun, self._traced._settings, args, kwargs)
        expected = [aval_of(x) for x in self._traced._call.leaves]
        for i, (x, aval) in enumerate(zip(call_.leaves, expected, strict=True)):
            got = aval_of(x)
            if got.shape != aval.shape or got.dtype != aval.dtype:
                raise TypeError(f"Argument {call_.path(i)} of the compiled {self._traced.name} has type {got}, but it "
                                f"was compiled for {aval}.")
        return jax.tree.unflatten(self._entry.out_tree, self._entry.run(call_.leaves))

    def as_text(self) -> str:
        return self._entry.compiled.as_text()

    def cost_analysis(self) -> Any:
        return self._entry.compiled.cost_analysis()

    def memory_analysis(self) -> Any:
        return self._entry.compiled.memory_analysis()


class Traced:
    """A function traced for one set of argument types: its `program`, and `lower()`."""

    def __init__(self, fun: Callable[..., Any], settings: _Settings, args: tuple[Any, ...], kwargs: dict[str, Any]
                 ) -> None:
        self._fun, self._settings = fun, settings
        self.name = _name(fun)
        self._call = _Call(fun, settings, args, kwargs)
        out: list[Any] = []
        with backend.set_current_trace(backend.eval_trace):
            self.program, self.consts = trace_program(
                self._call.function(fun, out), [aval_of(x) for x in self._call.leaves], self.name)
        self.out_tree = out[-1]

    @property
    def jaxpr(self) -> Program:
        return self.program

    def lower(self) -> Lowered:
        return Lowered(self)


def jit(
    fun: Callable[..., Any],
    *,
    static_argnums: int | Sequence[int] | None = None,
    static_argnames: str | Iterable[str] | None = None,
    donate_argnums: int | Sequence[int] | None = None,
    donate_argnames: str | Iterable[str] | None = None,
) -> Callable[..., Any]:
    """Compile `fun`: traced once for each set of argument types, then dispatched by JAX's C++ runtime.

    Args:
      fun: pure function of pytrees of arrays. Arrays it closes over become hidden arguments of the executable.
      static_argnums, static_argnames: arguments that are part of the cache key instead of being traced; hashable.
      donate_argnums, donate_argnames: arguments whose buffers the results may reuse; they must not be used again.

    Returns:
      A function with the attributes ``trace``, ``lower`` and ``eval_shape`` (called with example arguments).

    Raises:
      ValueError: a static argument is not hashable, or is donated too, or a number or name does not exist.
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
    settings = _settings(fun, static_argnums, static_argnames, donate_argnums, donate_argnames)
    entries: dict[Any, _Entry] = {}
    name = _name(fun)

    def cache_miss(*args: Any, **kwargs: Any) -> tuple[Any, Any, bool]:
        call_ = _Call(fun, settings, args, kwargs)
        if not backend.at_top_level():
            return _nested(fun, call_, name), None, False
        for i, x in enumerate(call_.leaves):
            if isinstance(x, backend.Tracer):
                raise errors.leaked(x)
            if getattr(x, "is_deleted", None) is not None and x.is_deleted():
                raise errors.deleted(x, f"Argument {call_.path(i)} of {name}")
        avals = [aval_of(x) for x in call_.leaves]
        key = (call_.tree, tuple(avals), tuple((w, type(v), v) for w, v in call_.static),
               tuple(_placement(x) for x in call_.leaves), backend.trace_context())
        entry = entries.get(key)
        if entry is None:
            out: list[Any] = []
            program, consts = trace_program(call_.function(fun, out), avals, name)
            compiled, kept = compile_program(program, consts, call_.leaves, call_.donated, name)
            entry = entries[key] = _Entry(compiled, consts, out[-1], kept)
        outputs = entry.run(call_.leaves)
        result = jax.tree.unflatten(entry.out_tree, outputs)
        fast = backend.fast_path(entry.compiled, entry.consts, entry.out_tree, outputs, len(call_.leaves), entry.kept)
        return result, fast, False

    dispatch = backend.dispatcher(fun, cache_miss, settings.static_argnums, settings.static_argnames)
    update_wrapper(dispatch, fun)
    dispatch.trace = lambda *args, **kwargs: Traced(fun, settings, args, kwargs)
    dispatch.lower = lambda *args, **kwargs: Traced(fun, settings, args, kwargs).lower()
    dispatch.eval_shape = lambda *args, **kwargs: eval_shape(fun, *args, **kwargs)
    dispatch.clear_cache = entries.clear
    return dispatch


def _nested(fun: Callable[..., Any], call_: _Call, name: str) -> Any:
    """A jitted function met while another trace is current: one call of its program."""
    out: list[Any] = []
    program, consts = trace_program(call_.function(fun, out), [aval_of(x) for x in call_.leaves], name)
    trace = backend.current_trace()
    operands = [*consts, *call_.leaves]
    if isinstance(trace, JaxcoreTrace):
        results = call(program, operands)
    else:
        results = bind_program(program, operands)
    return jax.tree.unflatten(out[-1], results)


def jit_program(program: Program) -> Callable[..., list[Any]]:
    """A dispatcher of a program over its flat inputs."""
    entries: dict[Any, _Entry] = {}
    tree = jax.tree.structure([0] * len(program.outputs))

    def cache_miss(*args: Any) -> tuple[Any, Any, bool]:
        key = (tuple(aval_of(x) for x in args), tuple(_placement(x) for x in args))
        entry = entries.get(key)
        if entry is None:
            compiled, kept = compile_program(program, (), args, (), program.name)
            entry = entries[key] = _Entry(compiled, [], tree, kept)
        outputs = entry.run(args)
        fast = backend.fast_path(entry.compiled, (), tree, outputs, len(args), entry.kept)
        return list(outputs), fast, False

    def function(*args: Any) -> list[Any]:
        return cache_miss(*args)[0]

    function.__name__ = program.name
    return backend.dispatcher(function, cache_miss, (), ())


def make_jaxpr(fun: Callable[..., Any], static_argnums: int | Sequence[int] = (), return_shape: bool = False
               ) -> Callable[..., Any]:
    """A function of example arguments that returns the program of `fun`; print it to read it.

    Args:
      fun: function of pytrees of arrays.
      static_argnums: positions of arguments that are not traced.
      return_shape: also return the tree of the result's types.

    Example:
      >>> import jaxcore, jaxcore.numpy as jnp
      >>> print(jaxcore.make_jaxpr(lambda x: jnp.sin(x) * 2.0)(1.0))
      { lambda ; a:~f32[]. let
          b:~f32[] = sin a
          c:~f32[] = mul b 2.0
        in (c,) }
    """
    settings = _settings(fun, static_argnums, None, None, None)

    def traced(*args: Any, **kwargs: Any) -> Any:
        result = Traced(fun, settings, args, kwargs)
        if not return_shape:
            return result.program
        shapes = [jax.ShapeDtypeStruct(a.shape, a.dtype, weak_type=a.weak_type) for a in result.program.out_avals]
        return result.program, jax.tree.unflatten(result.out_tree, shapes)

    return traced


def eval_shape(fun: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """The shapes and dtypes of ``fun(*args, **kwargs)`` without computing it.

    Arguments may be arrays or anything with `shape` and `dtype`, such as `ShapeDtypeStruct`.

    Example:
      >>> import jaxcore, jaxcore.numpy as jnp
      >>> jaxcore.eval_shape(jnp.dot, jnp.ones((3, 2)), jnp.ones(2))
      ShapeDtypeStruct(shape=(3,), dtype=float32)
    """
    out: list[Any] = []
    settings = _Settings((), (), (), ())
    call_ = _Call(fun, settings, args, kwargs)
    program, _ = trace_program(call_.function(fun, out), [_shape_aval(x) for x in call_.leaves], _name(fun))
    shapes = [jax.ShapeDtypeStruct(a.shape, a.dtype, weak_type=a.weak_type) for a in program.out_avals]
    return jax.tree.unflatten(out[-1], shapes)


def _shape_aval(x: Any) -> Any:
    if isinstance(x, jax.ShapeDtypeStruct):
        return backend.ShapedArray(x.shape, x.dtype, bool(x.weak_type))
    if hasattr(x, "shape") and hasattr(x, "dtype") and not isinstance(x, jax.Array | backend.Tracer):
        return backend.ShapedArray(tuple(x.shape), backend.canonicalize_dtype(x.dtype))
    return aval_of(x)
