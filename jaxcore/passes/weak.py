"""Programs that differ in weak types only compute the same: one executable serves them.

A Python float is weakly typed, a NumPy scalar is not, so that a function of both is traced twice.
Where the weak type decided nothing, as where a float32 parameter met it anyway, both traces give
the same operations.
"""

from __future__ import annotations

from typing import Any

from jaxcore.ir import Atom, Program, Var, param_key

__all__ = ["strong", "strong_key"]


def strong(aval: Any) -> Any:
    """`aval` without its weak type."""
    return aval.update(weak_type=False) if getattr(aval, "weak_type", False) else aval


def strong_key(program: Program) -> tuple[Any, ...]:
    """`Program.key` with every weak type left out; memoised on the program."""
    found = program.memo.get("strong_key")
    if found is None:
        found = program.memo["strong_key"] = _strong_key(program)
    return found


def _strong_key(program: Program) -> tuple[Any, ...]:
    index: dict[Var, Any] = {v: i for i, v in enumerate(program.inputs)}

    def atom(x: Atom) -> Any:
        return index[x] if type(x) is Var else (strong(x.aval), x.value.tobytes())  # type: ignore[union-attr]

    equations = []
    for eq in program.equations:
        operands = tuple([atom(x) for x in eq.inputs])
        types = tuple([strong(v.aval) for v in eq.outputs])
        if eq.primitive.name == "convert_element_type" and strong(eq.inputs[0].aval) == types[0]:
            index[eq.outputs[0]] = operands[0]  # it changed the weak type
            continue
        equations.append((eq.primitive, operands, _params(eq.params), types))
        for v in eq.outputs:
            index[v] = len(index)
    outputs = tuple([atom(x) for x in program.outputs])
    inputs = tuple([strong(v.aval) for v in program.inputs])
    return (program.name, inputs, tuple(equations), outputs)


def _params(params: dict[str, Any]) -> Any:
    if not params:
        return ()
    kept = {k: _value(v) for k, v in params.items() if k != "weak_type"}
    return param_key(kept)


def _value(value: Any) -> Any:
    if isinstance(value, Program):
        return strong_key(value)
    if type(value) is tuple:
        return tuple([_value(x) for x in value])
    return value
