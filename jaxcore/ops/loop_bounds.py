"""Loops of at most n steps: a while_loop that counts, and scans through which reverse mode goes.

`bounded` writes the loop as a scan over stretches of it, each of which is a checkpointed scan over
shorter stretches, down to single steps. The backward pass so keeps one value a stretch and runs a
stretch again when it gets there; stretches and steps behind the end are passed over.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxcore import backend
from jaxcore.ir import Program
from jaxcore.ops.call import run_program
from jaxcore.trace import trace_program

__all__ = ["bounded", "counted"]

_AT_ONCE = 16  # so many steps need no checkpoint
_STRETCH = 64  # about the most stretches, and the most steps in the shortest


def counted(cond: Program, body: Program, n_cond: int, n_body: int, max_steps: int) -> Any:
    """Parameters of the while_loop whose carry begins with the number of steps done."""
    key = ("counted", cond, n_cond, n_body, max_steps)
    found = body.memo.get(key)
    if found is None:
        number = backend.ShapedArray((), "int32")

        def test(*values: Any) -> list[Any]:
            import jaxcore.numpy as jnp

            consts, count, carry = values[:n_cond], values[n_cond], values[n_cond + 1 :]
            return [jnp.logical_and(count < max_steps, *run_program(cond, [*consts, *carry]))]

        def step(*values: Any) -> list[Any]:
            consts, count, carry = values[:n_body], values[n_body], values[n_body + 1 :]
            return [count + 1, *run_program(body, [*consts, *carry])]

        test_avals = [*cond.in_avals[:n_cond], number, *cond.in_avals[n_cond:]]
        step_avals = [*body.in_avals[:n_body], number, *body.in_avals[n_body:]]
        programs = {
            "cond": trace_program(test, test_avals, cond.name)[0],
            "body": trace_program(step, step_avals, body.name)[0],
        }
        found = body.memo[key] = {**programs, "n_cond": n_cond, "n_body": n_body}
    return found


def bounded(cond: Program, body: Program, n_cond: int, n_body: int, max_steps: int) -> Program:
    """The loop of at most `max_steps` steps as nested scans, with the operands of a while_loop."""
    key = ("bounded", cond, n_cond, n_body, max_steps, backend.trace_context())
    found = body.memo.get(key)
    if found is None:
        start = n_cond + n_body

        def loop(*values: Any) -> list[Any]:
            loops = _Loops(cond, body, values[:n_cond], values[n_cond:start])
            carry = list(values[start:])
            levels = 1
            while (_AT_ONCE if levels == 1 else _STRETCH**levels) < max_steps:
                levels += 1
            return loops.run((loops.going(carry), carry), max_steps, levels)[1]

        avals = [*cond.in_avals[:n_cond], *body.in_avals]
        found = body.memo[key] = trace_program(loop, avals, body.name)[0]
    return found


class _Loops:
    """The state is whether the loop goes on, and its carry."""

    def __init__(
        self, cond: Program, body: Program, cond_consts: Sequence[Any], body_consts: Sequence[Any]
    ) -> None:
        self.cond, self.body = cond, body
        self.cond_consts, self.body_consts = cond_consts, body_consts

    def going(self, carry: Sequence[Any]) -> Any:
        return run_program(self.cond, [*self.cond_consts, *carry])[0]

    def step(self, state: Any) -> Any:
        carry = run_program(self.body, [*self.body_consts, *state[1]])
        return self.going(carry), carry

    def run(self, state: Any, steps: int, levels: int) -> Any:
        """So many steps, those behind the end of the loop without effect."""
        if levels == 1:
            return self.repeat(self.step, state, steps)
        from jaxcore.ad_checkpoint import checkpoint

        size = max(1, round(steps ** ((levels - 1) / levels)))
        count, rest = divmod(steps, size)

        def stretch(size: int) -> Any:
            return checkpoint(lambda state: self.run(state, size, levels - 1), prevent_cse=False)

        state = self.repeat(stretch(size), state, count)
        return self.while_going(stretch(rest), state) if rest else state

    def repeat(self, step: Any, state: Any, count: int) -> Any:
        from jaxcore.control import scan

        return scan(lambda s, _: (self.while_going(step, s), None), state, None, count)[0]

    def while_going(self, step: Any, state: Any) -> Any:
        from jaxcore.branch import cond

        return cond(state[0], step, lambda s: s, state)
