"""The intermediate representation: programs of typed equations, and the identity that lets equal
programs be one.

A `Program` is a list of equations in evaluation order over variables that are assigned once. A
variable's type is a JAX abstract value (shape, dtype, weak type, sharding). Programs are closed:
what a traced function captured is an input like any other. `intern` maps equal programs to one
object, so that whatever is memoised on a program (its linearisation, transpose, batched and lowered
forms) is worked out once however often the block occurs.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxcore.backend import ShapedArray
from jaxcore.source import Source

if TYPE_CHECKING:
    from jaxcore.primitive import Primitive

__all__ = [
    "Atom",
    "Equation",
    "Literal",
    "Program",
    "Var",
    "checked",
    "intern",
    "live_equations",
    "is_by_place",
    "param_key",
    "by_place",
]


class Var:
    """A value computed once: identity is the object, `aval` its type."""

    __slots__ = ("aval",)

    def __init__(self, aval: ShapedArray) -> None:
        self.aval = aval

    def __repr__(self) -> str:
        return f"Var({self.aval})"


class Literal:
    """A scalar constant written in place."""

    __slots__ = ("aval", "value")

    def __init__(self, value: np.ndarray | np.generic, aval: ShapedArray) -> None:
        self.value = value
        self.aval = aval

    @property
    def key(self) -> tuple[Any, ...]:
        """Distinguishes 0.0 from -0.0 and makes NaN equal itself."""
        return (self.aval, self.value.tobytes())

    def __repr__(self) -> str:
        return f"Literal({self.value!r}: {self.aval})"


Atom = Var | Literal


class Equation:
    """``outputs = primitive[params](inputs)``, recorded at `source`."""

    __slots__ = ("inputs", "outputs", "params", "primitive", "source")

    def __init__(
        self,
        primitive: Primitive,
        inputs: Sequence[Atom],
        outputs: Sequence[Var],
        params: dict[str, Any],
        source: Source,
    ) -> None:
        self.primitive = primitive
        self.inputs = inputs
        self.outputs = outputs
        self.params = params
        self.source = source

    @property
    def effects(self) -> frozenset[Any]:
        """What the operation does beside computing its results."""
        rule = self.primitive.effects
        if rule is None:
            return _NO_EFFECTS
        return frozenset(rule([x.aval for x in self.inputs], self.params))

    @property
    def programs(self) -> list[Program]:
        """The programs that the equation runs: the callee, a loop's body, the branches."""
        found: list[Program] = []
        for value in self.params.values():
            if type(value) is Program:
                found.append(value)
            elif type(value) is tuple:
                found += [x for x in value if type(x) is Program]
        return found

    def __repr__(self) -> str:
        return f"Equation({self.primitive.name}, {len(self.inputs)} in, {len(self.outputs)} out)"


_NO_EFFECTS: frozenset[Any] = frozenset()


class Program:
    """A function in the IR.

    Attributes:
      inputs: variables bound by the caller, in order.
      equations: in evaluation order.
      outputs: variables or literals.
      name: shown where the program is called.
      memo: what transformations have worked out about this program, by key.
    """

    __slots__ = (
        "__weakref__",
        "_effects",
        "_key",
        "equations",
        "inputs",
        "memo",
        "name",
        "outputs",
    )

    def __init__(
        self,
        inputs: Sequence[Var],
        equations: Sequence[Equation],
        outputs: Sequence[Atom],
        name: str,
    ) -> None:
        self.inputs = tuple(inputs)
        self.equations = tuple(equations)
        self.outputs = tuple(outputs)
        self.name = name
        self.memo: dict[Any, Any] = {}
        self._effects: frozenset[Any] | None = None
        self._key: tuple[Any, ...] | None = None

    @property
    def in_avals(self) -> list[ShapedArray]:
        return [v.aval for v in self.inputs]

    @property
    def out_avals(self) -> list[ShapedArray]:
        return [v.aval for v in self.outputs]

    @property
    def effects(self) -> frozenset[Any]:
        """The effects of the equations, those of called programs among them."""
        if self._effects is None:
            self._effects = _NO_EFFECTS.union(*[eq.effects for eq in self.equations])
        return self._effects

    @property
    def key(self) -> tuple[Any, ...]:
        """Canonical form: equal for programs that differ only in variable objects and source
        locations.
        """
        if self._key is None:
            self._key = _canonical(self)
        return self._key

    def pretty(self, *, sources: bool = False, paths: bool = False) -> str:
        """The text of the program, with the user's lines and module paths on request."""
        from jaxcore.printer import format_program

        return format_program(self, sources=sources, paths=paths)

    def __str__(self) -> str:
        from jaxcore.printer import format_program

        return format_program(self)

    def __repr__(self) -> str:
        sizes = f"{len(self.inputs)} in, {len(self.equations)} equations, {len(self.outputs)} out"
        return f"<Program {self.name}: {sizes}>"


class _ById:
    """Hashes an unhashable parameter by identity and keeps it alive."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __hash__(self) -> int:
        return id(self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ById) and other.value is self.value


def param_key(params: dict[str, Any]) -> tuple[Any, ...]:
    """A hashable form of an equation's parameters in which 1, 1.0 and True differ."""
    out = []
    for name, value in params.items():
        kind = type(value)
        if kind is np.ndarray:
            value = (value.shape, str(value.dtype), value.tobytes())
        elif kind is float:
            value = (value, str(value))  # -0.0 and nan
        else:
            try:
                hash(value)
            except TypeError:
                value = _ById(value)
        out.append((name, kind, value))
    return tuple(out)


def _canonical(program: Program) -> tuple[Any, ...]:
    index: dict[Var, int] = {}
    for v in program.inputs:
        index[v] = len(index)

    def atom(x: Atom) -> Any:
        return index[x] if type(x) is Var else x.key  # type: ignore[union-attr]

    equations = []
    for eq in program.equations:
        params = param_key(eq.params) if eq.params else ()
        operands = tuple([atom(x) for x in eq.inputs])
        # Without a variable among the operands, the mesh that is current decides the type.
        known = any(type(x) is int for x in operands)
        types = () if known else tuple([v.aval for v in eq.outputs])
        equations.append((eq.primitive, operands, params, types))
        for v in eq.outputs:
            index[v] = len(index)
    outputs = tuple([atom(x) for x in program.outputs])
    return (program.name, tuple([v.aval for v in program.inputs]), tuple(equations), outputs)


_table: weakref.WeakValueDictionary[tuple[Any, ...], Program] = weakref.WeakValueDictionary()
_lock = threading.Lock()


checks: list[Callable[[Program], None]] = []  # run on each new program; `verify.always` adds itself


def checked(program: Program) -> Program:
    """`program`, after the checks that are switched on."""
    for check in checks:
        check(program)
    return program


class _Mode(threading.local):
    placed = False


_mode = _Mode()


@contextmanager
def by_place() -> Iterator[None]:
    """Inside, programs are one only if they also come from the same lines, so that every equation
    can say exactly where it is from. Costs the sharing of blocks; for debugging.
    """
    before = _mode.placed
    _mode.placed = True
    try:
        yield
    finally:
        _mode.placed = before


def is_by_place() -> bool:
    """True inside `by_place`."""
    return _mode.placed


def _places(program: Program) -> tuple[Any, ...]:
    sources = [eq.source for eq in program.equations]
    return tuple([(s.code, s.instruction, s.path, s.phase) for s in sources])


def intern(program: Program) -> Program:
    """The one program equal to `program` (hash-consing); the first keeps its source locations."""
    key = program.key if not _mode.placed else (program.key, _places(program))
    found = _table.get(key)
    if found is not None:
        return found
    checked(program)
    with _lock:
        found = _table.get(key)
        if found is None:
            _table[key] = found = program
    return found


def live_equations(equations: Sequence[Equation], outputs: Sequence[Atom]) -> list[Equation]:
    """The equations that `outputs` or an effect need, in order."""
    live: set[Any] = set(outputs)  # literals do no harm
    kept = []
    for eq in reversed(equations):
        if not live.isdisjoint(eq.outputs) or eq.effects:
            kept.append(eq)
            live.update(eq.inputs)
    kept.reverse()
    return kept
