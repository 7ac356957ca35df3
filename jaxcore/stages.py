"""Ahead of time: trace, lower and compile as separate steps.

``jit(f).trace(*args)`` gives a `Traced`, its ``lower()`` a `Lowered`, whose ``compile()`` a
`Compiled`. Arguments may be arrays or anything with a shape and a dtype, such as
`ShapeDtypeStruct`. Static arguments become a part of the function: leave them out when calling
what was compiled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import jax
from jax.stages import ArgInfo

from jaxcore import backend, errors, namespaces
from jaxcore.compile import Entry, lower_program
from jaxcore.cost_analysis import CostAnalysis, analyse
from jaxcore.ir import Program
from jaxcore.ops.call import run_program
from jaxcore.shardings import placed
from jaxcore.signature import (
    Call,
    Settings,
    argument_path,
    function_name,
    need_function,
    settings_of,
)
from jaxcore.trace import aval_of, trace_program

__all__ = ["Compiled", "Lowered", "Traced", "eval_shape", "make_jaxpr"]


class _Stage:
    """What every stage knows: the program, the function's name, the trees of its types."""

    program: Program
    fun_name: str
    args_info: Any
    out_tree: Any

    @property
    def in_tree(self) -> Any:
        """The structure of (positional arguments, keyword arguments), static ones left out."""
        return jax.tree.structure(self.args_info)

    @property
    def in_avals(self) -> Any:
        """The tree of the arguments' types."""
        n = self.in_tree.num_leaves
        avals = self.program.in_avals
        return jax.tree.unflatten(self.in_tree, avals[len(avals) - n :])

    @property
    def out_avals(self) -> Any:
        """The tree of the result's types."""
        return jax.tree.unflatten(self.out_tree, self.program.out_avals)

    @property
    def out_info(self) -> Any:
        """The tree of the result's types, as `ShapeDtypeStruct`."""
        return _shapes(self.program, self.out_tree)

    @property
    def donate_argnums(self) -> tuple[int, ...]:
        """The donated leaves, by their position among all leaves."""
        leaves = jax.tree.leaves(self.args_info)
        return tuple(i for i, info in enumerate(leaves) if info.donated)

    def cost_analysis(self) -> CostAnalysis:
        """Floating-point operations, bytes and parameters, in total and by module.

        Counted on the program, not by the compiler: exact, loops times their length. Print it for
        a table; the keys are those of `jaxcore.cost_analysis.CostAnalysis`.
        """
        return analyse(self.program, self.args_info)


class Traced(_Stage):
    """A function traced for one set of argument types.

    Attributes:
      program: the function in the IR; its first inputs are the arrays that it captured.
      consts: these arrays.
    """

    def __init__(
        self,
        fun: Callable[..., Any],
        settings: Settings,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        self.fun_name = function_name(fun)
        self._call = call_ = Call(fun, settings, args, kwargs)
        out: list[Any] = []
        avals = [shape_aval(x) for x in call_.leaves]
        with backend.set_current_trace(backend.eval_trace):
            self.program, self.consts = trace_program(
                call_.function(fun, out), avals, self.fun_name, shared=False
            )
        self.out_tree = out[-1]
        donated = call_.donated or [False] * len(avals)
        infos = [ArgInfo(a, on) for a, on in zip(avals, donated, strict=True)]
        self.args_info = _without_static(call_, jax.tree.unflatten(call_.tree, infos))

    @property
    def jaxpr(self) -> Program:
        return self.program

    @property
    def effects(self) -> frozenset[Any]:
        return self.program.effects

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run what was traced; also inside a transformation."""
        leaves = _matching_leaves(self, "traced", args, kwargs)
        return jax.tree.unflatten(self.out_tree, run_program(self.program, [*self.consts, *leaves]))

    def lower(self, *, lowering_platforms: Sequence[str] | None = None) -> Lowered:
        """Lower to StableHLO, for the current backend or for the platforms named.

        Raises:
          UnexpectedTracerError: the function captured a value of an enclosing transformation.
        """
        for x in self.consts:
            if isinstance(x, backend.Tracer):
                raise errors.leaked(x)
        return Lowered(self, lowering_platforms)


class Lowered(_Stage):
    """A function as a StableHLO module; arrays that it captured are arguments, not text."""

    def __init__(self, traced: Traced, platforms: Sequence[str] | None = None) -> None:
        self.program, self.fun_name = traced.program, traced.fun_name
        self.args_info, self.out_tree = traced.args_info, traced.out_tree
        self._consts = traced.consts
        call_ = traced._call
        avals = self.program.in_avals[len(self._consts) :]
        self._lowered, self._kept = lower_program(
            traced.program,
            traced.consts,
            call_.leaves,
            call_.donated,
            traced.fun_name,
            platforms,
            placed(call_, self.fun_name, avals, self.out_tree, self.program.out_avals),
        )

    def as_text(self, dialect: str | None = None, *, debug_info: bool = False) -> str:
        """The module as text: "stablehlo" or "hlo", with the user's lines on request."""
        return self._lowered.as_text(dialect, debug_info=debug_info)

    def compiler_ir(self, dialect: str | None = None) -> Any:
        """The module as an object."""
        return self._lowered.compiler_ir(dialect)

    def compile(
        self,
        compiler_options: dict[str, Any] | None = None,
        *,
        device_assignment: tuple[Any, ...] | None = None,
    ) -> Compiled:
        """Compile, for the current devices unless others are given.

        Args:
          compiler_options: flags of XLA by name, such as ``{"xla_cpu_enable_fast_math": True}``.
          device_assignment: the devices to compile for.
        """
        options: dict[str, Any] = {"compiler_options": compiler_options}
        if device_assignment is not None:
            options["device_assignment"] = device_assignment
        return Compiled(self, self._lowered.compile(**options))


class Compiled(_Stage):
    """An executable for one set of argument types, dispatched like a jitted function."""

    def __init__(self, lowered: Lowered, executable: Any) -> None:
        self.program, self.fun_name = lowered.program, lowered.fun_name
        self.args_info, self.out_tree = lowered.args_info, lowered.out_tree
        self._entry = Entry(
            lowered.program, executable, lowered._consts, self.out_tree, lowered._kept
        )
        self._dispatch = backend.dispatcher(self.__call__, self._cache_miss, (), ())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the executable.

        Raises:
          TypeError: the structure or a type of the arguments is not what it was compiled for, or
            an argument is being traced.
        """
        return self._dispatch(*args, **kwargs)

    def _cache_miss(self, *args: Any, **kwargs: Any) -> tuple[Any, Any, bool]:
        entry = self._entry
        leaves = _matching_leaves(self, "compiled", args, kwargs)
        for x in leaves:
            if isinstance(x, backend.Tracer):
                raise TypeError(
                    f"The compiled {self.fun_name} runs on arrays, but got a traced value of type "
                    f"{x.aval}: transformations cannot look into an executable.\n"
                    "Fix: use the jitted function inside jit, grad and vmap."
                )
        outputs = entry.run(leaves)
        fast = backend.fast_path(entry.compiled, entry.consts, entry.out_tree, outputs, entry.kept)
        return jax.tree.unflatten(entry.out_tree, outputs), fast, False

    def as_text(self) -> str:
        """The optimised module of the compiler."""
        return self._entry.compiled.as_text()

    def memory_analysis(self) -> Any:
        """What the compiler plans: bytes of arguments, outputs, temporaries and code."""
        return self._entry.compiled.memory_analysis()

    def runtime_executable(self) -> Any:
        """The runtime's own object."""
        return self._entry.compiled.runtime_executable()

    @property
    def input_shardings(self) -> Any:
        """The tree of the arguments' shardings; None for an argument that is not used."""
        return self._of_inputs(jax.tree.leaves(self._entry.compiled.input_shardings))

    @property
    def output_shardings(self) -> Any:
        """The tree of the result's shardings."""
        found = jax.tree.leaves(self._entry.compiled.output_shardings)
        return jax.tree.unflatten(self.out_tree, found)

    @property
    def input_formats(self) -> Any:
        """The tree of the arguments' layouts and shardings; None for one that is not used."""
        return self._of_inputs(jax.tree.leaves(self._entry.compiled.input_formats))

    @property
    def output_formats(self) -> Any:
        """The tree of the result's layouts and shardings."""
        found = jax.tree.leaves(self._entry.compiled.output_formats)
        return jax.tree.unflatten(self.out_tree, found)

    def _of_inputs(self, found: Sequence[Any]) -> Any:
        """What the executable says of the inputs that it kept, as a tree of the arguments."""
        given = iter(found)
        values = [next(given) if keep else None for keep in self._entry.kept]
        return jax.tree.unflatten(self.in_tree, values[len(self._entry.consts) :])


def _without_static(call_: Call, tree: Any) -> Any:
    """The (args, kwargs) `tree` without the places of static arguments."""
    args, kwargs = tree
    static = {where for where, _ in call_.static}
    return (
        tuple(x for i, x in enumerate(args) if i not in static),
        {name: x for name, x in kwargs.items() if name not in static},
    )


def _matching_leaves(stage: _Stage, what: str, args: Any, kwargs: Any) -> list[Any]:
    """The leaves of a call, whose structure and types must be those of `stage`."""
    leaves, tree = jax.tree.flatten((args, kwargs))
    name = f"the {what} {stage.fun_name}"
    if tree != stage.in_tree:
        raise TypeError(
            f"The arguments of {name} do not have the structure that it was made for:\n"
            + "\n".join(_differences(stage.in_tree, tree))
            + "\nFix: pass the same structure; static arguments are left out, for they are a part "
            "of the function."
        )
    wrong = [
        f"  {argument_path(path)}: expected {aval}, got {aval_of(x)}"
        for (path, aval), x in zip(_with_paths(stage.in_avals), leaves, strict=True)
        if (aval.shape, aval.dtype) != (aval_of(x).shape, aval_of(x).dtype)
    ]
    if wrong:
        raise TypeError(
            f"The arguments of {name} do not have the types that it was made for:\n"
            + "\n".join(wrong)
            + "\nFix: convert them, or use the jitted function, which compiles for each type."
        )
    return leaves


def _differences(expected: Any, got: Any) -> list[str]:
    """Lines that name the leaves that are missing or too many, else the nodes that differ."""
    wanted, found = [
        {argument_path(p) for p, _ in _with_paths(jax.tree.unflatten(t, [0] * t.num_leaves))}
        for t in (expected, got)
    ]
    lines = [f"  {path}: missing" for path in sorted(wanted - found)]
    lines += [f"  {path}: not expected" for path in sorted(found - wanted)]
    if len(lines) > 8:
        lines = [*lines[:8], f"  and {len(lines) - 8} more"]
    return lines or [
        f"  {argument_path(path)}: expected {one}, got {other}"
        for path, one, other in backend.tree_differences(expected, got)
    ]


def _with_paths(tree: Any) -> list[tuple[Any, Any]]:
    return jax.tree_util.tree_flatten_with_path(tree)[0]


@errors.explained
def make_jaxpr(
    fun: Callable[..., Any],
    static_argnums: int | Sequence[int] = (),
    axis_env: Sequence[tuple[Any, int]] | None = None,
    return_shape: bool = False,
) -> Callable[..., Any]:
    """A function of example arguments that returns the program of `fun`; print it to read it.

    Args:
      fun: function of pytrees of arrays.
      static_argnums: positions of arguments that are not traced.
      axis_env: named axes that collectives in `fun` may speak of, with their sizes.
      return_shape: also return the tree of the result's types.

    Example:
      >>> import jaxcore, jaxcore.numpy as jnp
      >>> print(jaxcore.make_jaxpr(lambda x: jnp.sin(x) * 2.0)(1.0))
      { lambda ; a:~f32[]. let
          b:~f32[] = sin a
          c:~f32[] = mul b 2.0
        in (c,) }
    """
    need_function("make_jaxpr", fun)
    settings = settings_of(fun, static_argnums, None, None, None)

    @errors.explained
    def traced(*args: Any, **kwargs: Any) -> Any:
        with ExitStack() as axes:
            for name, size in axis_env or ():
                axes.enter_context(backend.named_axis(name, size))
            result = Traced(fun, settings, args, kwargs)
        if not return_shape:
            return result.program
        return result.program, result.out_info

    return traced


@errors.explained
def eval_shape(fun: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """The shapes and dtypes of ``fun(*args, **kwargs)`` without computing it.

    Arguments may be arrays or anything with `shape` and `dtype`, such as `ShapeDtypeStruct`.

    Example:
      >>> import jaxcore, jaxcore.numpy as jnp
      >>> jaxcore.eval_shape(jnp.dot, jnp.ones((3, 2)), jnp.ones(2))
      ShapeDtypeStruct(shape=(3,), dtype=float32)
    """
    need_function("eval_shape", fun)
    out: list[Any] = []
    settings = Settings((), (), (), ())
    call_ = Call(fun, settings, args, kwargs)
    program, _ = trace_program(
        call_.function(fun, out), [shape_aval(x) for x in call_.leaves], function_name(fun)
    )
    return _shapes(program, out[-1])


def _shapes(program: Program, out_tree: Any) -> Any:
    shapes = [
        jax.ShapeDtypeStruct(a.shape, a.dtype, weak_type=a.weak_type) for a in program.out_avals
    ]
    return jax.tree.unflatten(out_tree, shapes)


def shape_aval(x: Any) -> Any:
    """The type of an array, or of what describes one by shape and dtype."""
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
