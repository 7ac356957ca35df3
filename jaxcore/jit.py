"""`jit`: JAX's C++ dispatcher with our cache miss.

The first call with new argument types flattens, traces, lowers and compiles here, and hands JAX's
dispatcher the data of its fast path; every later call runs in C++ alone. While operations are being
recorded, a jitted function is one `call` equation; under one of JAX's own traces it is one equation
of `program_p`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import MethodType
from typing import Any, overload
from weakref import WeakSet

import jax

from jaxcore import backend, errors, side
from jaxcore.bucket import Bucket
from jaxcore.bucketed import Bucketed
from jaxcore.compile import Entry, compile_program
from jaxcore.ir import Program, by_place, is_by_place
from jaxcore.lower import bind_program
from jaxcore.ops.call import call, run_program
from jaxcore.recompile import alike, record
from jaxcore.shardings import constrained, incompatible_devices, options_of, placed
from jaxcore.signature import Call, Settings, function_name, need_function, settings_of
from jaxcore.source import is_internal, is_library
from jaxcore.stages import Lowered, Traced
from jaxcore.trace import JaxcoreTrace, aval_of, trace_program

__all__ = ["Jitted", "clear_caches", "is_deleted", "jit", "jit_program"]


def is_deleted(x: Any) -> bool:
    """True for an array whose memory is gone."""
    return isinstance(x, jax.Array) and not isinstance(x, backend.Tracer) and x.is_deleted()


@overload
def jit(fun: Callable[..., Any], /, **settings: Any) -> Jitted: ...
@overload
def jit(**settings: Any) -> Callable[[Callable[..., Any]], Jitted]: ...
@errors.explained  # type: ignore[misc]  # the overloads only tell with and without a function
def jit(
    fun: Callable[..., Any] | None = None,
    /,
    *,
    in_shardings: Any = backend.UNSPECIFIED,
    out_shardings: Any = backend.UNSPECIFIED,
    static_argnums: int | Sequence[int] | None = None,
    static_argnames: str | Iterable[str] | None = None,
    donate_argnums: int | Sequence[int] | None = None,
    donate_argnames: str | Iterable[str] | None = None,
    keep_unused: bool = False,
    device: jax.Device | None = None,
    backend: str | None = None,
    inline: bool = False,
    compiler_options: dict[str, Any] | None = None,
    blocks: str | None = None,
    passes: Mapping[str, bool] | None = None,
    bucket: Mapping[str, Mapping[int, str] | Bucket] | None = None,
) -> Any:
    """Compile `fun`: traced once for each set of argument types, then dispatched by JAX's C++
    runtime.

    Args:
      fun: pure function of pytrees of arrays. Arrays it closes over become hidden arguments of the
        executable. Without it, a decorator is returned.
      in_shardings: how the positional arguments lie on the devices: a prefix tree of `Sharding`, or
        of `PartitionSpec` under a mesh that `set_mesh` has set. None takes an argument as it lies.
      out_shardings: the same for the results; None leaves it to the compiler.
      static_argnums, static_argnames: arguments that are part of the cache key instead of being
        traced; hashable.
      donate_argnums, donate_argnames: arguments whose buffers the results may reuse; they must not
        be used again.
      keep_unused: also transfer arguments that the program does not use.
      device, backend: deprecated; where the arguments are moved to.
      inline: inside another function, record the operations instead of a call.
      compiler_options: flags of XLA by name.
      blocks: the form of repeated calls: ``"inline"``, ``"outlined"`` (a computation of their own),
        ``"rolled"`` (chains become loops); None decides by cost.
      passes: passes over the program to leave out, ``{"cse": False}``: ``"fold"`` computes known
        scalars, ``"stack"`` reads arrays that are put together from where they were, ``"dead"``
        takes unused results and operands out of calls and loops, ``"cse"`` computes equal things
        once.
      bucket: arguments whose sizes are rounded up, to powers of two or to those of a `Bucket`, so
        that many sizes share an executable: names of dimensions by axis, by the argument's name or
        path (``"batch['tokens']"``). What is added stands at the end and is 0, or `Bucket.pad`. A
        parameter of `fun` that has a dimension's name is given its true size as an int32 scalar,
        and results with an axis of that dimension are cut back to it.

    Each compilation after the first is one line of the logger ``jaxcore.recompile``, with the
    argument that changed, and an entry of `jaxcore.cache.log()`. Types that differ only in being
    weak, such as a learning rate given as float, NumPy scalar and array, share one executable
    wherever they give the same operations.

    Returns:
      A function with the methods ``trace``, ``lower`` and ``eval_shape`` (called with example
      arguments). Inside another function, shardings are constraints on arguments and results.

    Raises:
      ValueError: a static argument is not hashable, or is donated too, or a number or name does not
        exist; a tree of shardings is no prefix, a dimension is not divisible by the devices it is
        cut over, or an argument was put elsewhere.
      TypeError: an argument or result is not an array.

    Example:
      >>> import jaxcore, jaxcore.numpy as jnp
      >>> @jaxcore.jit
      ... def f(x):
      ...     return jnp.sin(x) * 2
      >>> f(0.0)
      Array(0., dtype=float32, weak_type=True)
      >>> @jaxcore.jit(bucket={"x": {0: "length"}})  # lengths 5 to 8 are one compilation
      ... def centred(x, *, length):
      ...     return x - jnp.sum(x) / length
      >>> centred(jnp.arange(5.0))
      Array([-2., -1.,  0.,  1.,  2.], dtype=float32)
    """
    if fun is None:
        return partial(
            jit,
            in_shardings=in_shardings,
            out_shardings=out_shardings,
            static_argnums=static_argnums,
            static_argnames=static_argnames,
            donate_argnums=donate_argnums,
            donate_argnames=donate_argnames,
            keep_unused=keep_unused,
            device=device,
            backend=backend,
            inline=inline,
            compiler_options=compiler_options,
            blocks=blocks,
            passes=passes,
            bucket=bucket,
        )
    need_function("jit", fun)
    settings = settings_of(fun, static_argnums, static_argnames, donate_argnums, donate_argnames)
    options = options_of(
        function_name(fun),
        in_shardings,
        out_shardings,
        keep_unused,
        device,
        backend,
        inline,
        compiler_options,
        blocks,
        passes,
    )
    settings = replace(settings, options=options)
    jitted = Jitted(fun, settings)
    return jitted if bucket is None else Bucketed(jitted, settings, bucket)


class Jitted:  # noqa: D101 (its docstring is that of the function)
    # A jitted function. It has slots and no __dict__ on purpose: functools.wraps copies the
    # __dict__ of what it wraps, and jax.jit(f) must not take f's `lower` for its own.
    __slots__ = (
        "__weakref__",
        "__wrapped__",
        "_entries",
        "_programs",
        "_quiet",
        "_settings",
        "dispatch",
    )

    def __new__(cls, fun: Callable[..., Any], settings: Settings) -> Jitted:
        """One that donates remembers from whom it took."""
        if settings.donate_argnums or settings.donate_argnames:
            from jaxcore.donating import Donating

            cls = Donating
        return object.__new__(cls)

    def __init__(self, fun: Callable[..., Any], settings: Settings) -> None:
        self.__wrapped__ = fun
        self._settings = settings
        self._quiet = _called_by_library()
        self._entries: dict[Any, Entry] = {}
        self._programs: dict[Any, tuple[Program, list[Any], Any]] = {}
        self.dispatch = backend.dispatcher(
            fun, self._cache_miss, settings.static_argnums, settings.static_argnames
        )
        _made.add(self)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return self.dispatch(*args, **kwargs)
        except (backend.NonFinite, RuntimeError, ValueError) as error:
            self.refuse(error, args, kwargs)
            raise

    @errors.explained
    def refuse(self, error: Exception, args: Any, kwargs: Any) -> None:
        """Raise in our words what `dispatch` has just refused, where there is more to say."""
        message = str(error)
        if isinstance(error, backend.NonFinite):
            from jaxcore.debug import non_finite_call

            with jax.debug_nans(False), jax.debug_infs(False), by_place():
                traced = self.trace(*args, **kwargs)
            values = [*traced.consts, *traced._call.leaves]
            raise non_finite_call(error, self.__name__, traced.program, values) from None
        if "Non-hashable static arguments" in message:
            Call(self.__wrapped__, self._settings, args, kwargs)
        if "deleted" in message:
            self._check_leaves(Call(self.__wrapped__, self._settings, args, kwargs))
            for x in (x for entry in list(self._entries.values()) for x in entry.consts):
                if is_deleted(x):
                    raise errors.deleted(x, f"A value that {self.__name__} captured") from None

    def _check_leaves(self, call_: Call) -> None:
        for i, x in enumerate(call_.leaves):
            if isinstance(x, backend.Tracer):
                raise errors.leaked(x)
            if is_deleted(x):
                where = f"Argument {call_.path(i)} of {self.__name__}"
                raise errors.deleted(x, where) from None

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else MethodType(self, instance)

    def __repr__(self) -> str:
        return f"<jitted {function_name(self.__wrapped__)}>"

    @property
    def __name__(self) -> str:
        return function_name(self.__wrapped__)

    @property
    def __doc__(self) -> str | None:  # type: ignore[override]
        return self.__wrapped__.__doc__

    def trace(self, *args: Any, **kwargs: Any) -> Traced:
        """Trace for these arguments without compiling."""
        return Traced(self.__wrapped__, self._settings, args, kwargs)

    def lower(self, *args: Any, **kwargs: Any) -> Lowered:
        """Trace and lower for these arguments without compiling."""
        return self.trace(*args, **kwargs).lower()

    def eval_shape(self, *args: Any, **kwargs: Any) -> Any:
        """The types of the result."""
        return self.trace(*args, **kwargs).out_info

    def clear_cache(self) -> None:
        """Forget what was traced and compiled."""
        self._entries.clear()
        self._programs.clear()
        self.dispatch = backend.dispatcher(
            self.__wrapped__,
            self._cache_miss,
            self._settings.static_argnums,
            self._settings.static_argnames,
        )

    @errors.explained
    def _cache_miss(self, *args: Any, **kwargs: Any) -> tuple[Any, Any, bool]:
        """What the C++ dispatcher calls for types it has not seen, and for tracers."""
        call_ = Call(self.__wrapped__, self._settings, args, kwargs)
        if not backend.at_top_level() or side.active():
            return self._nested(call_), None, False
        self._check_leaves(call_)
        avals = [aval_of(x) for x in call_.leaves]
        key = (call_.key(avals), tuple(backend.committed_sharding(x) for x in call_.leaves))
        entry = self._entries.get(key)
        if entry is None:
            began, known = time.perf_counter(), list(self._entries)
            entry, how = self._new_entry(call_, avals, key)
            self._entries[key] = entry
            if not self._quiet:
                record(self.__wrapped__, key, known, time.perf_counter() - began, how)
        outputs = entry.run(call_.leaves)
        result = jax.tree.unflatten(entry.out_tree, outputs)
        fast = backend.fast_path(entry.compiled, entry.consts, entry.out_tree, outputs, entry.kept)
        return result, fast, False

    def _new_entry(self, call_: Call, avals: list[Any], key: Any) -> tuple[Entry, str]:
        """An executable for a call of types `avals`, and how it was come by."""
        out: list[Any] = []
        function, name = call_.function(self.__wrapped__, out), self.__name__
        program, consts = trace_program(function, avals, name, shared=False)
        for other, entry in list(self._entries.items()):
            if alike(key, other) and entry.fits(program, consts, out[-1]):
                return Entry(program, entry.compiled, consts, out[-1], entry.kept), "shared"
        where = placed(call_, name, avals, out[-1], program.out_avals)
        try:
            compiled, kept, was_read = compile_program(
                program, consts, call_.leaves, call_.donated, name, where
            )
        except ValueError as error:
            if "incompatible devices" not in str(error):
                raise
            raise incompatible_devices(error, call_, name) from None
        entry = Entry(program, compiled, consts, out[-1], kept)
        return entry, "disk" if was_read else "compiled"

    def _nested(self, call_: Call) -> Any:
        """A call met while another trace is current: one call of a program.

        A function that captured no tracer is not run again for the same argument types (as in
        JAX); one that did is, because the captured value is another one each time.
        """
        avals = [aval_of(x) for x in call_.leaves]
        key = call_.key(avals)
        stateful = side.active()  # its Python may read and write state that the key does not show
        found = None if stateful or is_by_place() else self._programs.get(key)
        state = side.SideState()
        if found is None:
            out: list[Any] = []
            function = call_.function(self.__wrapped__, out)
            function = constrained(call_, self.__name__, function, out)
            traced = trace_program(state.wrap(function), avals, self.__name__)
            found = (*traced, out[-1])
            if (
                not stateful
                and not is_by_place()
                and not any(isinstance(c, backend.Tracer) for c in found[1])
            ):
                self._programs[key] = found
        program, consts, out_tree = found
        trace = backend.current_trace()
        operands = [*consts, *call_.leaves]
        if isinstance(trace, JaxcoreTrace) or trace is backend.eval_trace:
            inline = call_.options is not None and call_.options.inline
            results = (run_program if inline else call)(program, operands)
        else:
            results = bind_program(program, operands)
        return jax.tree.unflatten(out_tree, state.deliver(results) if stateful else results)


def _called_by_library() -> bool:
    """True where a function of the library itself, and no user's, is being jitted: in the engine
    and the modules, and while a file of the trainer is imported; its steps are the user's.
    """
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__") in _ENTRANCES:
        frame = frame.f_back
    code = frame.f_code
    if code.co_name == "<module>":
        return is_internal(code.co_filename)
    return is_library(code.co_filename)


_ENTRANCES = (__name__, errors.boundary.__name__, "jaxcore.donating")
_made: WeakSet[Jitted] = WeakSet()


def clear_caches() -> None:
    """Forget everything that any function was traced to and compiled to, JAX's caches included.

    Example:
      >>> import jaxcore
      >>> f = jaxcore.jit(lambda x: print("traced") or x)
      >>> _ = f(1.0), f(1.0)
      traced
      >>> jaxcore.clear_caches()
      >>> _ = f(1.0)
      traced
    """
    jax.clear_caches()
    for jitted in list(_made):
        jitted.clear_cache()


def jit_program(program: Program) -> Callable[..., list[Any]]:
    """A dispatcher of a program over its flat inputs."""
    entries: dict[Any, Entry] = {}
    tree = jax.tree.structure([0] * len(program.outputs))

    def cache_miss(*args: Any) -> tuple[Any, Any, bool]:
        for x in args:
            if isinstance(x, backend.Tracer):
                raise errors.leaked(x)
        key = (tuple(aval_of(x) for x in args), tuple(backend.committed_sharding(x) for x in args))
        entry = entries.get(key)
        if entry is None:
            compiled, kept, _ = compile_program(program, (), args, (), program.name)
            entry = entries[key] = Entry(program, compiled, [], tree, kept)
        outputs = entry.run(args)
        fast = backend.fast_path(entry.compiled, (), tree, outputs, entry.kept)
        return list(outputs), fast, False

    def function(*args: Any) -> list[Any]:
        return cache_miss(*args)[0]

    function.__name__ = program.name
    return backend.dispatcher(function, cache_miss, (), ())
