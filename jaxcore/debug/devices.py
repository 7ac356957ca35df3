"""What one device did inside a `shard_map`: the operation that made a value, found by running the
program once more with a look at each result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import PartitionSpec

from jaxcore import backend
from jaxcore.axes import vary
from jaxcore.debug.running import CALLS, Operation
from jaxcore.ir import Equation, Program, Var
from jaxcore.trace import bind_with, literal_value

__all__ = ["first_inside"]

Step = tuple[Equation, list[Any], list[Any]]  # an equation, its operands and its results


def first_inside(
    op: Operation, test: Callable[[Any], Any], located: Callable[[Any], Any]
) -> tuple[Operation, Any] | None:
    """The first operation in a `shard_map` of which `test` holds somewhere in a result, and that
    result, both as on the first device that shows it; None if there is none.
    """
    import jaxcore.numpy as jnp

    equations: list[Equation] = []

    def flags(steps: Sequence[Step]) -> list[Any]:
        equations[:] = [eq for eq, _, _ in steps]
        return [
            jnp.any(jnp.stack([jnp.any(test(x)) for x in outs if _is_float(x)] or [False]))
            for _, _, outs in steps
        ]

    shown = [np.asarray(flag) for flag in _run(op, flags)]
    number = next((i for i, flag in enumerate(shown) if flag.any()), None)
    if number is None:
        return None
    device = int(np.argmax(shown[number]))
    eq = equations[number]
    values = _run(op, lambda steps: [*steps[number][1], *steps[number][2]])
    operands, results = values[: len(eq.inputs)], values[len(eq.inputs) :]
    result = next(x[device] for x in results if _is_float(x) and bool(jnp.any(test(x[device]))))
    source = located(eq.source)
    path = "/".join(p for p in (op.module, source.path) if p)
    given = [x[device] for x in operands]
    return Operation(eq.primitive, eq.params, given, source, path, op.iteration), result


def _is_float(x: Any) -> bool:
    return jax.dtypes.issubdtype(x.dtype, np.inexact)


def _run(op: Operation, choose: Callable[[Sequence[Step]], list[Any]]) -> list[Any]:
    """What `choose` takes of the steps of the program, stacked over the devices."""
    from jaxcore.sharded import shard_map

    params = op.params
    mesh, axes = params["mesh"], params["axes"]
    names = tuple(name for name in mesh.axis_names if name in axes)

    def body(*values: Any) -> list[Any]:
        import jaxcore.numpy as jnp

        steps: list[Step] = []
        _steps(params["program"], values, steps)
        chosen = [jnp.expand_dims(x, 0) for x in choose(steps)]
        return [vary(x, frozenset(names), mesh) if params["check_vma"] else x for x in chosen]

    whole = shard_map(
        body,
        mesh=mesh,
        in_specs=tuple(params["in_specs"]),
        out_specs=PartitionSpec(names),
        check_vma=params["check_vma"],
        axis_names=axes,
    )
    with backend.set_current_trace(backend.eval_trace):
        return whole(*op.operands)


def _steps(program: Program, values: Sequence[Any], steps: list[Step]) -> list[Any]:
    """Results of a program, whose equations and values are added to `steps`; calls are entered."""
    env: dict[Var, Any] = dict(zip(program.inputs, values, strict=True))

    def value(x: Any) -> Any:
        return env[x] if type(x) is Var else literal_value(x)

    for eq in program.equations:
        inputs = [value(x) for x in eq.inputs]
        if eq.primitive.name in CALLS:
            outs = _steps(eq.params["program"], inputs, steps)
        else:
            outs = bind_with(backend.current_trace(), eq.primitive, inputs, eq.params)
            steps.append((eq, inputs, outs))
        env.update(zip(eq.outputs, outs, strict=True))
    return [value(x) for x in program.outputs]
