"""Programs as text: a function reads like a jaxpr, and a function that is called is printed once.

let
  layer = { lambda ; a:f32[2,2] b:f32[2]. let
      c:f32[2] = dot_general[...] b a
      d:f32[2] = tanh c
    in (d,) }
in { lambda ; a:f32[2,2] b:f32[2]. let
    c:f32[2] = call[layer] a b
    d:f32[2] = call[layer] a c
  in (d,) }
"""

from __future__ import annotations

import enum
import os
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from jaxcore import backend
from jaxcore.ir import Atom, Equation, Literal, Program, Var

__all__ = ["format_equation", "format_program", "format_type"]

_WIDTH = 100
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_PLAIN = (np.dtype(np.int32), np.dtype(np.float32), np.dtype(np.complex64))


def format_program(program: Program, *, sources: bool = False, paths: bool = False) -> str:
    """`program` as text; every function that it calls is defined once, before its first caller.

    Args:
      program: what to print.
      sources: end each equation with the file and line that recorded it.
      paths: end each equation with its module path (relative to the function it stands in).

    Example:
      >>> import jaxcore, jaxcore.numpy as jnp
      >>> from jaxcore.printer import format_program
      >>> def f(x):
      ...     with jaxcore.name_scope("wave"):
      ...         return jnp.sin(x)
      >>> print(format_program(jaxcore.make_jaxpr(f)(jnp.ones(3)), paths=True))
      { lambda ; a:f32[3]. let
          b:f32[3] = sin a  # wave
        in (b,) }
    """
    names = _Names()
    callees = list(names.define(program))
    main = _Function(names, sources, paths).text(program)
    if not callees:
        return main
    lines = ["let"]
    for name, callee in callees:
        if isinstance(callee, Program):
            text = _Function(names, sources, paths).text(callee)
        else:
            text = str(callee)
        lines.append(f"  {name} = {text}".replace("\n", "\n  "))
    return "\n".join([*lines, f"in {main}"])


def format_equation(program: Program, eq: Equation) -> str:
    """One equation of `program`, as it stands in the text of the whole."""
    names = _Names()
    list(names.define(program))
    function = _Function(names, sources=False, paths=False)
    for v in (*program.inputs, *(v for other in program.equations for v in other.outputs)):
        function.name(v)
    return "\n".join(function.equation(eq, set(eq.outputs))).strip()


def format_type(aval: Any) -> str:
    """A type in short form: ``f32[3,4]``, with ``~`` before a weak type.

    Example:
      >>> import jax
      >>> format_type(jax.typeof(1.0))
      '~f32[]'
    """
    return ("~" if aval.weak_type else "") + aval.str_short(short_dtypes=True)


class _Names:
    """Names of the functions that a program calls: the functions' own, made unique by a number."""

    def __init__(self) -> None:
        self.of: dict[int, str] = {}
        self.taken: set[str] = set()

    def define(self, program: Program) -> Iterator[tuple[str, Any]]:
        """Name every function below `program`; callees come before their callers."""
        for eq in program.equations:
            for label, value in eq.params.items():
                for callee in _functions(value):
                    if id(callee) in self.of:
                        continue
                    self.of[id(callee)] = ""
                    if isinstance(callee, Program):
                        yield from self.define(callee)
                        wanted = _word(callee.name)
                    else:
                        wanted = f"{_word(eq.primitive.name)}_{label}"
                    self.of[id(callee)] = self.unique(wanted)
                    yield self.of[id(callee)], callee

    def unique(self, wanted: str) -> str:
        name, i = wanted, 0
        while name in self.taken:
            i += 1
            name = f"{wanted}_{i}"
        self.taken.add(name)
        return name


def _word(name: str) -> str:
    return re.sub(r"\W+", "_", name).strip("_") or "block"


def _functions(value: Any) -> Iterator[Any]:
    """Programs and jaxprs in a parameter."""
    if isinstance(value, Program) or backend.is_jaxpr(value):
        yield value
    elif isinstance(value, tuple | list):
        for x in value:
            yield from _functions(x)


class _Function:
    """Prints one function; variables are named in the order of their definition."""

    def __init__(self, names: _Names, sources: bool, paths: bool) -> None:
        self.functions = names
        self.sources = sources
        self.paths = paths
        self.variables: dict[Var, str] = {}

    def text(self, program: Program) -> str:
        used = {x for eq in program.equations for x in eq.inputs if type(x) is Var}
        used.update(x for x in program.outputs if type(x) is Var)
        inputs = [f"{self.name(v)}:{format_type(v.aval)}" for v in program.inputs]
        lines = _wrap("{ lambda ;", [*inputs[:-1], (inputs or [""])[-1] + ".", "let"], 4)
        for eq in program.equations:
            lines.extend(self.equation(eq, used))
        outputs = [self.atom(x) for x in program.outputs]
        results = f"({outputs[0]},)" if len(outputs) == 1 else f"({', '.join(outputs)})"
        lines.extend(_wrap("  in", [*results.split(" "), "}"], 5))
        return "\n".join(lines)

    def equation(self, eq: Equation, used: set[Var]) -> list[str]:
        outputs = [
            f"{self.name(v) if v in used else '_'}:{format_type(v.aval)}" for v in eq.outputs
        ]
        words = [*outputs, "=", eq.primitive.name + self.params(eq)]
        lines = _wrap("   ", [*words, *(self.atom(x) for x in eq.inputs)], 6)
        comment = []
        if self.paths and eq.source.path:
            comment.append(eq.source.path)
        if self.sources and eq.source.code is not None:
            comment.append(f"{os.path.basename(eq.source.filename)}:{eq.source.line}")
        if comment:
            lines[-1] += "  # " + " ".join(comment)
        return lines

    def name(self, v: Var) -> str:
        found = self.variables.get(v)
        if found is None:
            found = self.variables[v] = _letters(len(self.variables))
        return found

    def atom(self, x: Atom) -> str:
        if type(x) is Literal:
            return _literal(x)
        # What no program should hold is shown all the same: the verifier's messages quote it.
        return self.variables.get(x) or f"?{format_type(x.aval)}" if type(x) is Var else f"?{x!r}"

    def params(self, eq: Equation) -> str:
        shown = []
        for name, value in eq.params.items():
            if value is None:
                continue
            called = name == "program" and isinstance(value, Program)
            shown.append(("" if called else f"{name}=") + self.value(value))
        return f"[{' '.join(shown)}]" if shown else ""

    def value(self, value: Any) -> str:
        if isinstance(value, Program) or backend.is_jaxpr(value):
            return self.functions.of.get(id(value), "?")
        if isinstance(value, enum.Enum):
            return value.name
        if isinstance(value, np.dtype) or (
            isinstance(value, type) and issubclass(value, np.generic)
        ):
            return np.dtype(value).name
        if isinstance(value, np.ndarray):
            return (
                f"{value.dtype.name}{list(value.shape)}" if value.size > 8 else str(value.tolist())
            )
        if type(value) in (tuple, list):
            inner = ",".join(self.value(v) for v in value)
            inner += "," if type(value) is tuple and len(value) == 1 else ""
            return f"({inner})" if type(value) is tuple else f"[{inner}]"
        if callable(value) and hasattr(value, "__name__"):
            return str(value.__name__)
        return " ".join(_ADDRESS.sub("", repr(value)).split())


def _literal(x: Literal) -> str:
    """The value alone where it has the type of a Python scalar, else with its type."""
    aval = x.aval
    if aval.dtype == np.bool_ or (aval.weak_type and aval.dtype in _PLAIN):
        return str(x.value)
    return f"{x.value!s}:{format_type(aval)}"


def _letters(i: int) -> str:
    """a, b, …, z, ba, bb, …: the i-th name."""
    name = ""
    while True:
        name = chr(ord("a") + i % 26) + name
        i //= 26
        if i == 0:
            return name


def _wrap(start: str, words: Sequence[str], indent: int) -> list[str]:
    """`start` and the words on lines of bounded width, further lines indented."""
    lines = [start]
    for word in words:
        if len(lines[-1]) + 1 + len(word) > _WIDTH and lines[-1].strip():
            lines.append(" " * (indent - 1))
        lines[-1] += " " + word
    return lines
