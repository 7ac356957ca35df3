"""The passes that make a program smaller before it is lowered, each by its name.

They keep what is computed, and the order of effects; what they make is never differentiated. A
callee or a loop's body is simplified once, memoised on it, however often it occurs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from jaxcore.ir import Equation, Program, intern, is_by_place
from jaxcore.ops.call import call_p
from jaxcore.ops.checkpoint import checkpoint_p
from jaxcore.ops.cond import cond_p
from jaxcore.ops.custom import custom_jvp_p
from jaxcore.ops.custom_vjp import custom_vjp_p
from jaxcore.ops.loop import while_p
from jaxcore.ops.scan import scan_p
from jaxcore.passes.common import merged
from jaxcore.passes.dead import pruned
from jaxcore.passes.fold import folded
from jaxcore.passes.pieces import assembled

__all__ = ["PASSES", "passes_off", "simplified"]

PASSES: dict[str, Callable[[Program], Program]] = {
    "stack": assembled,  # arrays that are taken apart and put together again
    "fold": folded,  # scalars computed here, and operations that change nothing
    "dead": pruned,  # results and operands of calls and loops that nothing uses
    "cse": merged,  # the same operation on the same operands
}

# XLA folds and shares too. In a text as long as an optimizer's over every parameter, looking for
# either took 8 % of the time to the lowered module, and found next to nothing to leave out of it.
_LONG = 1000
_SHORT_ONLY = ("fold", "cse")

# For each primitive that is entered, which of its parameters are programs to simplify: those of
# custom derivatives also hold rules, which nobody asks for any more.
_BODIES: dict[Any, tuple[str, ...]] = {
    call_p: ("program",),
    checkpoint_p: ("program",),
    custom_jvp_p: ("program",),
    custom_vjp_p: ("program",),
    scan_p: ("program",),
    while_p: ("cond", "body"),
    cond_p: ("branches",),
}


def passes_off(name: str, passes: Mapping[str, bool] | None) -> tuple[str, ...]:
    """The names of the passes that ``jit(..., passes={"cse": False})`` switches off.

    Raises:
      ValueError: there is no such pass.
      TypeError: `passes` is no dict of bools.
    """
    if passes is None:
        return ()
    if not isinstance(passes, Mapping) or not all(type(on) is bool for on in passes.values()):
        raise TypeError(
            f"jit of {name}: passes={passes!r} is not a dict of bools. Fix: "
            "passes={'cse': False}."
        )
    for key in passes:
        if key not in PASSES:
            raise ValueError(
                f"jit of {name}: there is no pass {key!r}. Fix: one of {', '.join(PASSES)}."
            )
    return tuple(sorted(key for key, on in passes.items() if not on))


def simplified(program: Program, off: tuple[str, ...] = ()) -> Program:
    """`program` after every pass that is not `off`; itself where nothing changes.

    A program of more than a thousand equations of its own is not searched for constants and twins,
    but the blocks that it calls are.

    Example:
      >>> import jaxcore, jaxcore.numpy as jnp
      >>> program = jaxcore.make_jaxpr(lambda x: jnp.sin(x) + jnp.sin(x))(1.0)
      >>> [len(p.equations) for p in (program, simplified(program), simplified(program, ("cse",)))]
      [3, 2, 3]
    """
    if is_by_place():  # somebody wants to see every equation where it was written
        return program
    key = ("simplified", off)
    found = program.memo.get(key)
    if found is None:
        found = _with_simple_bodies(program, off)
        for name, run in PASSES.items():
            long = name in _SHORT_ONLY and len(found.equations) > _LONG
            if name not in off and not long:
                found = run(found)
        program.memo[key] = found.memo[key] = found
    return found


def _with_simple_bodies(program: Program, off: tuple[str, ...]) -> Program:
    equations: list[Equation] | None = None
    for i, eq in enumerate(program.equations):
        names = _BODIES.get(eq.primitive)
        if names is None:
            continue
        params = dict(eq.params)
        for name in names:
            params[name] = _simple_body(params[name], off)
        if any(params[name] is not eq.params[name] for name in names):
            equations = equations or list(program.equations)
            equations[i] = Equation(eq.primitive, eq.inputs, eq.outputs, params, eq.source)
    if equations is None:
        return program
    return Program(program.inputs, equations, program.outputs, program.name)


def _simple_body(body: Any, off: tuple[str, ...]) -> Any:
    if type(body) is tuple:
        bodies = tuple([_simple_body(x, off) for x in body])
        return body if all(a is b for a, b in zip(bodies, body, strict=True)) else bodies
    found = simplified(body, off)
    if found is not body:
        found = intern(found)
        found.memo["simplified", off] = found
    return found
