"""A call of one primitive as JAX's `jit` would have traced it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
from jax._src import core, pjit

from jaxcore.backend.traces import JaxPrimitive

_CLOSED = hasattr(core, "ClosedJaxpr") and core.ClosedJaxpr is not core.Jaxpr  # jax < 0.12


def traced_call(
    primitive: JaxPrimitive,
    params: dict[str, Any],
    args: Sequence[Any],
    out_avals: Sequence[Any],
    effects: Any,
    donated: Sequence[bool],
    name: str,
    placed: dict[str, Any],
) -> jax.stages.Traced:
    """What ``jax.jit(lambda *args: primitive.bind(*args, **params)).trace(*args)`` gives, with the
    parameters `placed` of JAX's equation for where and how it is compiled.

    A program of ours is one such call with an argument for each leaf of the user's state, and JAX
    would make tracers for hundreds of them only to find that out.
    """

    def call(*args: Any) -> tuple[Any, ...]:
        return ()

    call.__name__ = call.__qualname__ = name
    template = jax.jit(call).trace()
    metas = [pjit.convert_to_metaty(x) for x in args]
    inputs = [core.Var(m.aval) for m in metas]
    outputs = [core.Var(a) for a in out_avals]
    equation = core.new_jaxpr_eqn(inputs, outputs, primitive, params, set(effects))
    info = template.jaxpr.debug_info._replace(
        arg_names=("",) * len(inputs), result_paths=("",) * len(outputs)
    )
    jaxpr = core.Jaxpr([], inputs, outputs, [equation], frozenset(effects), info)
    unspecified = pjit.UNSPECIFIED
    settings = {
        **template._params,
        "jaxpr": core.ClosedJaxpr(jaxpr, []) if _CLOSED else jaxpr,
        "in_shardings": (unspecified,) * len(inputs),
        "out_shardings": (unspecified,) * len(outputs),
        "in_layouts": (None,) * len(inputs),
        "out_layouts": (None,) * len(outputs),
        "donated_invars": tuple(donated),
        **placed,
    }
    _, in_tree = jax.tree.flatten((tuple(args), {}))
    _, out_tree = jax.tree.flatten([0] * len(outputs))
    rest = [template._fun_sourceinfo] if hasattr(template, "_fun_sourceinfo") else []  # 0.12
    return jax.stages.Traced(metas, settings, in_tree, out_tree, [], *rest)
