"""Ahead of time: trace, lower and compile as separate steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax

from jaxcore import backend, namespaces
from jaxcore.compile import Entry, lower_program
from jaxcore.ir import Program
from jaxcore.signature import Call, Settings, function_name, settings_of
from jaxcore.trace import aval_of, trace_program

__all__ = ["Compiled", "Lowered", "Traced", "eval_shape", "make_jaxpr"]


class Lowered:
    """A traced and lowered function: `compile`, `as_text`, and the `program` it came from."""

    def __init__(self, traced: Traced) -> None:
        self.program = traced.program
        self._traced = traced
        call_ = traced._call
        self._lowered, self._kept = lower_program(
            traced.program, traced.consts, call_.leaves, call_.donated, traced.name
        )

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
        self._entry = Entry(
            lowered._lowered.compile(), self._traced.consts, self._traced.out_tree, lowered._kept
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        call_ = Call(self._traced._fun, self._traced._settings, args, kwargs)
        expected = [aval_of(x) for x in self._traced._call.leaves]
        for i, (x, aval) in enumerate(zip(call_.leaves, expected, strict=True)):
            got = aval_of(x)
            if got.shape != aval.shape or got.dtype != aval.dtype:
                raise TypeError(
                    f"Argument {call_.path(i)} of the compiled {self._traced.name} has type "
                    f"{got}, but it "
                    f"was compiled for {aval}."
                )
        return jax.tree.unflatten(self._entry.out_tree, self._entry.run(call_.leaves))

    def as_text(self) -> str:
        return self._entry.compiled.as_text()

    def cost_analysis(self) -> Any:
        return self._entry.compiled.cost_analysis()

    def memory_analysis(self) -> Any:
        return self._entry.compiled.memory_analysis()


class Traced:
    """A function traced for one set of argument types: its `program`, and `lower()`."""

    def __init__(
        self,
        fun: Callable[..., Any],
        settings: Settings,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        self._fun, self._settings = fun, settings
        self.name = function_name(fun)
        self._call = Call(fun, settings, args, kwargs)
        out: list[Any] = []
        with backend.set_current_trace(backend.eval_trace):
            self.program, self.consts = trace_program(
                self._call.function(fun, out),
                [_shape_aval(x) for x in self._call.leaves],
                self.name,
                shared=False,
            )
        self.out_tree = out[-1]

    @property
    def jaxpr(self) -> Program:
        return self.program

    @property
    def out_info(self) -> Any:
        """The tree of the result's types."""
        return _shapes(self.program, self.out_tree)

    def lower(self) -> Lowered:
        return Lowered(self)


def make_jaxpr(
    fun: Callable[..., Any], static_argnums: int | Sequence[int] = (), return_shape: bool = False
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
    settings = settings_of(fun, static_argnums, None, None, None)

    def traced(*args: Any, **kwargs: Any) -> Any:
        result = Traced(fun, settings, args, kwargs)
        if not return_shape:
            return result.program
        return result.program, result.out_info

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
    settings = Settings((), (), (), ())
    call_ = Call(fun, settings, args, kwargs)
    program, _ = trace_program(
        call_.function(fun, out), [_shape_aval(x) for x in call_.leaves], function_name(fun)
    )
    return _shapes(program, out[-1])


def _shapes(program: Program, out_tree: Any) -> Any:
    shapes = [
        jax.ShapeDtypeStruct(a.shape, a.dtype, weak_type=a.weak_type) for a in program.out_avals
    ]
    return jax.tree.unflatten(out_tree, shapes)


def _shape_aval(x: Any) -> Any:
    if isinstance(x, jax.ShapeDtypeStruct):
        return backend.ShapedArray(x.shape, x.dtype, bool(x.weak_type))
    if (
        hasattr(x, "shape")
        and hasattr(x, "dtype")
        and not isinstance(x, jax.Array | backend.Tracer)
    ):
        return backend.ShapedArray(tuple(x.shape), backend.canonicalize_dtype(x.dtype))
    return aval_of(x)


def __getattr__(name: str) -> Any:
    return namespaces.lookup(__name__, name)


def __dir__() -> list[str]:
    return namespaces.listing(__name__)
