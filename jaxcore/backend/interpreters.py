"""JAX's interpreters of jaxprs that have a table of rules each: checkify, jet and sparsify.

What they do with a program of ours is what they do with `jax.jit` of the same function.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import jax

from jaxcore.backend.traces import JaxPrimitive, eval_trace, jit_p, set_current_trace

_TABLES = {
    "jax._src.checkify": ("error_checks",),
    "jax.experimental.jet": ("jet_rules",),
    "jax.experimental.sparse.transform": ("sparse_rules_bcoo", "sparse_rules_bcsr"),
}


def teach(primitive: JaxPrimitive, as_jit: Callable[..., dict[str, Any]]) -> None:
    """Give the interpreters that are loaded a rule for `primitive`.

    ``as_jit(**params)`` are the parameters of the equation of `jax.jit` that means the same.
    """
    for name, tables in _TABLES.items():
        module = sys.modules.get(name)
        for table in tables if module is not None else ():
            rules = getattr(module, table)
            if primitive not in rules and jit_p in rules:
                rules[primitive] = partial(_by_jit, rules[jit_p], as_jit)


def _by_jit(
    rule: Callable[..., Any], as_jit: Callable[..., dict[str, Any]], *args: Any, **params: Any
) -> Any:
    return rule(*args, **as_jit(**params))


def jit_equation_params(fun: Callable[..., Any], avals: Any) -> dict[str, Any]:
    """The parameters of the equation that ``jax.jit(fun)`` becomes in a jaxpr."""
    specs = [jax.ShapeDtypeStruct(a.shape, a.dtype, weak_type=a.weak_type) for a in avals]
    with set_current_trace(eval_trace):
        return jax.make_jaxpr(jax.jit(fun))(*specs).eqns[0].params
