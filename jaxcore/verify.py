"""The verifier: what every program must satisfy, as code that checks it.

`verify` raises `VerificationError` for the first rule that a program breaks. With
``JAXCORE_VERIFY=1`` in the environment, or after ``always(True)``, every program is checked as it
is made.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import numpy as np

from jaxcore import backend, ir
from jaxcore.ir import Atom, Equation, Literal, Program, Var
from jaxcore.printer import format_equation, format_type

__all__ = ["VerificationError", "always", "verify"]

# Primitives whose operands are bound, in order, to the inputs of the program they hold.
_CALLS = (
    "call",
    "checkpoint",
    "custom_jvp_call",
    "custom_vjp_call",
    "custom_vmap_call",
    "hi_primitive",
)


class VerificationError(Exception):
    """A program breaks a rule of the IR: a bug of the transformation that made it.

    Fix: report it with the program that the message shows.
    """


def always(on: bool) -> bool:
    """Check every program when it is made, or stop doing so; returns what was set before."""
    previous = verify in ir.checks
    if on and not previous:
        ir.checks.append(verify)
    elif previous and not on:
        ir.checks.remove(verify)
    return previous


def verify(program: Program) -> None:
    """Check every invariant of `program` and of the programs that it calls.

    Raises:
      VerificationError: names the program, the equation by its number, the user's line, and what
        differs from what is expected.

    Example:
      >>> import jaxcore, jaxcore.numpy as jnp
      >>> verify(jaxcore.make_jaxpr(jnp.sin)(1.0))
    """
    checker = _Checker(program)
    checker.structure()
    checker.inputs()
    for eq in program.equations:
        checker.eq = eq
        checker.operands()
        checker.params()
        checker.callees()
        checker.results()
    checker.eq = None
    checker.outputs()
    checker.live()
    checker.key()
    program.memo["verified"] = True


class _Checker:
    """The rules, one a method; `eq` is the equation that is being checked."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.eq: Any = None  # an Equation, or None before the first and after the last
        self.defined: set[Var] = set()

    def structure(self) -> None:
        """A program is three tuples and a name: it cannot change."""
        if not isinstance(self.program.name, str):
            self.fail(f"the name must be a string, got {self.program.name!r}")
        for field in ("inputs", "equations", "outputs"):
            if type(getattr(self.program, field)) is not tuple:
                self.fail(f"{field} must be a tuple")
        for i, eq in enumerate(self.program.equations):
            if type(eq) is not Equation:
                self.fail(f"equation {i} is {eq!r}")

    def inputs(self) -> None:
        """Inputs are distinct variables."""
        for i, v in enumerate(self.program.inputs):
            self.variable(f"input {i}", v)
            if v in self.defined:
                self.fail(f"input {i} is an earlier input again: inputs must be distinct")
            self.defined.add(v)

    def operands(self) -> None:
        """Operands are literals, or variables of this program that stand before the equation."""
        for i, x in enumerate(self.eq.inputs):
            self.atom(f"operand {i}", x)

    def outputs(self) -> None:
        """Outputs are literals or variables of this program."""
        for i, x in enumerate(self.program.outputs):
            self.atom(f"output {i}", x)

    def params(self) -> None:
        """Parameters are hashable constants (or NumPy arrays): nothing that is being traced."""
        for name, value in self.eq.params.items():
            if not isinstance(name, str):
                self.fail(f"parameter names are strings, got {name!r}")
            for part in _parts(value):
                if isinstance(part, backend.Tracer):
                    self.fail(
                        f"parameter '{name}' holds a traced value of type "
                        f"{format_type(part.aval)}, which must be an operand"
                    )
            if not isinstance(value, np.ndarray) and not _hashable(value):
                self.fail(f"parameter '{name}' = {value!r} is not hashable")

    def callees(self) -> None:
        """Called programs are correct, and operands of a call have the types of the inputs."""
        for callee in _parts(tuple(self.eq.params.values())):
            if not isinstance(callee, Program):
                continue
            if "verified" not in callee.memo:
                verify(callee)
            if self.eq.primitive.name in _CALLS:
                self.binding(callee)

    def binding(self, callee: Program) -> None:
        given, wanted = len(self.eq.inputs), len(callee.inputs)
        if given != wanted:
            self.fail(f"{given} operands for the {wanted} inputs of '{callee.name}'")
        for i, (x, v) in enumerate(zip(self.eq.inputs, callee.inputs, strict=True)):
            if _type(x.aval) != _type(v.aval):
                self.fail(
                    f"operand {i} has type {format_type(x.aval)}, but input {i} of "
                    f"'{callee.name}' has type {format_type(v.aval)}"
                )

    def results(self) -> None:
        """Results are new variables, of the types that the primitive's type rule gives."""
        eq = self.eq
        for i, v in enumerate(eq.outputs):
            self.variable(f"result {i}", v)
            if v in self.defined:
                self.fail(f"result {i} is assigned a second time: variables are assigned once")
            self.defined.add(v)
        try:
            types = eq.primitive.type(*[x.aval for x in eq.inputs], **eq.params)
        except Exception as error:
            self.fail(f"the type rule refuses the operands: {error}", error)
        if not eq.primitive.multiple_results:
            types = [types]
        if len(types) != len(eq.outputs):
            self.fail(f"{len(eq.outputs)} results, but the type rule gives {len(types)}")
        for i, (v, aval) in enumerate(zip(eq.outputs, types, strict=True)):
            if _type(v.aval) != _type(aval):
                self.fail(
                    f"result {i} is recorded with type {format_type(v.aval)}, but the type rule "
                    f"gives {format_type(aval)}"
                )

    def live(self) -> None:
        """Every equation has an effect, or a result that something needs."""
        needed = {x for x in self.program.outputs if type(x) is Var}
        for eq in reversed(self.program.equations):
            if not any(v in needed for v in eq.outputs) and not eq.effects:
                self.eq = eq
                self.fail("no result is used and there is no effect: a dead equation")
            needed.update(x for x in eq.inputs if type(x) is Var)

    def key(self) -> None:
        """The canonical form does not change, nor depend on the variable objects."""
        p = self.program
        if Program(p.inputs, p.equations, p.outputs, p.name).key != p.key:
            self.fail("the program has changed since its canonical form was taken")
        if _renamed(p).key != p.key:
            self.fail("the canonical form of a copy with new variables differs")

    def variable(self, what: str, v: Any) -> None:
        if type(v) is not Var:
            self.fail(f"{what} must be a variable, got {v!r}")
        self.type(what, v.aval)

    def atom(self, what: str, x: Any) -> None:
        if type(x) is Literal:
            self.type(what, x.aval)
            self.literal(what, x)
        elif type(x) is not Var:
            self.fail(f"{what} must be a variable or a literal, got {x!r}")
        elif x not in self.defined:
            later = any(x in eq.outputs for eq in self.program.equations)
            where = "later in" if later else "nowhere in"
            self.fail(f"{what} ({format_type(x.aval)}) is defined {where} this program")

    def literal(self, what: str, x: Literal) -> None:
        if not isinstance(x.value, np.generic) or x.aval.shape != ():
            self.fail(f"{what} is a literal, so must be a NumPy scalar; got {x.value!r}")
        if x.value.dtype != x.aval.dtype:
            self.fail(f"{what} is a literal {format_type(x.aval)} that holds {x.value!r}")

    def type(self, what: str, aval: Any) -> None:
        if type(aval) is not backend.ShapedArray:
            self.fail(f"the type of {what} must be a ShapedArray, got {aval!r}")

    def fail(self, what: str, cause: Exception | None = None) -> NoReturn:
        message = f"program '{self.program.name}'"
        if self.eq is not None:
            number = next(i for i, eq in enumerate(self.program.equations) if eq is self.eq)
            message += f", equation {number} ({self.eq.primitive.name}) of {self.eq.source}: {what}"
            message += f"\n  {format_equation(self.program, self.eq)}"
        else:
            message += f": {what}"
        raise VerificationError(message) from cause


def _type(aval: Any) -> tuple[Any, ...]:
    return (aval.shape, aval.dtype, bool(aval.weak_type))


def _parts(value: Any) -> Iterator[Any]:
    """`value` and what its containers hold."""
    yield value
    if isinstance(value, dict):
        value = tuple(value.values())
    if isinstance(value, tuple | list | set | frozenset):
        for x in value:
            yield from _parts(x)


def _hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _renamed(program: Program) -> Program:
    """A copy with new variables."""
    made = [*program.inputs, *(v for eq in program.equations for v in eq.outputs)]
    fresh = {v: Var(v.aval) for v in made}

    def atoms(xs: Sequence[Atom]) -> list[Atom]:
        return [fresh[x] if type(x) is Var else x for x in xs]

    equations = [
        Equation(
            eq.primitive, atoms(eq.inputs), [fresh[v] for v in eq.outputs], eq.params, eq.source
        )
        for eq in program.equations
    ]
    return Program(
        [fresh[v] for v in program.inputs],
        equations,
        atoms(program.outputs),
        program.name,
    )


if os.environ.get("JAXCORE_VERIFY", "") not in ("", "0"):
    always(True)
