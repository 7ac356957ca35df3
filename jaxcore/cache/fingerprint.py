"""The identity of a program that holds in every process: what `Program.key` is within one.

Equal fingerprints mean equal executables, so whatever a value's form in another process is not
known for, such as a function of Python, raises `Unstable` instead of being left out.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from jaxcore import backend
from jaxcore.ir import Literal, Program
from jaxcore.ops.checkpoint import Policy
from jaxcore.ops.custom import lower_inline
from jaxcore.primitive import Primitive

__all__ = ["Unstable", "fingerprint", "stable_text"]


class Unstable(Exception):
    """A value whose form in another process is not known."""


def fingerprint(program: Program) -> str:
    """A digest of the program's structure, types, parameters and names; locations do not count.

    Raises:
      Unstable: some value in it has no form that holds in another process.
    """
    found = program.memo.get("fingerprint")
    if found is None:
        try:
            found = hashlib.sha256(_program_text(program).encode()).hexdigest()
        except Unstable as error:
            found = error
        program.memo["fingerprint"] = found
    if isinstance(found, Unstable):
        raise Unstable(*found.args)
    return found


def _program_text(program: Program) -> str:
    """One line for the types of the inputs, one for each equation, one for the outputs."""
    number: dict[Any, str] = {v: str(i) for i, v in enumerate(program.inputs)}
    types: dict[Any, str] = {}

    def type_text(aval: Any) -> str:
        found = types.get(aval)
        if found is None:
            found = types[aval] = stable_text(aval)
        return found

    def atom(x: Any) -> str:
        if type(x) is Literal:
            return f"{x.value.tobytes().hex()}:{type_text(x.aval)}"
        return number[x]

    lines = [repr(program.name), " ".join([type_text(v.aval) for v in program.inputs])]
    for eq in program.equations:
        operands = " ".join([atom(x) for x in eq.inputs])
        results = " ".join([type_text(v.aval) for v in eq.outputs])
        lines.append(f"{results} {_primitive_text(eq.primitive)} {operands} {_params_text(eq)}")
        for v in eq.outputs:
            number[v] = str(len(number))
    lines.append(" ".join([atom(x) for x in program.outputs]))
    return "\n".join(lines)


def _params_text(eq: Any) -> str:
    if not eq.params:
        return ""
    if eq.primitive.lower is lower_inline:  # rules of derivatives are not lowered
        return stable_text(eq.params["program"])
    return " ".join([f"{name}={stable_text(value)}" for name, value in eq.params.items()])


@functools.cache
def _primitive_text(primitive: Primitive) -> str:
    """A primitive by its name and by what lowers it, which has to be ours or JAX's."""
    rule = primitive.lower
    if rule is None:
        return f"{primitive.name}/{stable_text(primitive.jax)}"
    while isinstance(rule, functools.partial):
        rule = rule.func
    module = getattr(rule, "__module__", None) or ""
    if not module.startswith("jaxcore."):
        raise Unstable(f"{primitive.name} is lowered by {module}")
    return f"{primitive.name}/{module}.{rule.__qualname__}"


def stable_text(x: Any) -> str:
    """Text that is equal for equal values only, 1, 1.0 and True being different, in any process.

    Raises:
      Unstable: no such text is known for `x`.
    """
    rule = _RULES.get(type(x))
    if rule is not None:
        return rule(x)
    form = backend.plain_form(x)
    if form is not None:
        return f"<{_items(form)}>"
    if isinstance(x, np.dtype):
        return _dtype(x)
    if isinstance(x, enum.Enum):
        return f"{_class(type(x))}.{x.name}"
    if isinstance(x, np.generic):
        return _array(np.asarray(x))
    if isinstance(x, type):
        return _class(x)
    if isinstance(x, tuple) and hasattr(x, "_fields"):
        return f"{_class(type(x))}({_items(x)})"
    if dataclasses.is_dataclass(x):
        values = [getattr(x, field.name) for field in dataclasses.fields(x)]
        return f"{_class(type(x))}({_items(values)})"
    if isinstance(x, Mapping):
        return _mapping(x)
    raise Unstable(f"a value of type {type(x).__module__}.{type(x).__qualname__}")


def _class(kind: type) -> str:
    """A class by name; one that the user wrote may be another elsewhere."""
    if kind.__module__.partition(".")[0] not in _KNOWN:
        raise Unstable(f"the class {kind.__module__}.{kind.__qualname__}")
    return f"{kind.__module__}.{kind.__qualname__}"


_KNOWN = frozenset({"builtins", "jax", "jaxlib", "jaxcore", "ml_dtypes", "numpy"})


def _items(values: Any) -> str:
    return ",".join([stable_text(x) for x in values])


def _array(x: np.ndarray) -> str:
    if x.dtype.hasobject:
        raise Unstable("an array of objects")
    digest = hashlib.sha256(np.ascontiguousarray(x).tobytes()).hexdigest()
    return f"array({x.shape},{_dtype(x.dtype)},{digest})"


def _dtype(x: np.dtype) -> str:
    return f"dtype({x.str},{x.name})"


def _mapping(x: Mapping[Any, Any]) -> str:
    pairs = [f"{stable_text(k)}:{stable_text(v)}" for k, v in x.items()]
    return "{" + ",".join(pairs) + "}"


_RULES: dict[type, Callable[[Any], str]] = {
    type(None): repr,
    type(...): repr,
    bool: repr,
    int: repr,
    float: repr,
    complex: repr,
    str: repr,
    bytes: repr,
    tuple: lambda x: f"({_items(x)})",
    list: lambda x: f"[{_items(x)}]",
    dict: _mapping,
    frozenset: lambda x: f"set({','.join(sorted([stable_text(y) for y in x]))})",
    slice: lambda x: f"slice({_items((x.start, x.stop, x.step))})",
    np.ndarray: _array,
    Program: fingerprint,
    Policy: lambda x: "policy",  # says how to differentiate, which is done
}
