"""A function split into its values and its derivative, and the least that the first keeps for the
second.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jaxcore.ir import Program, Var, intern
from jaxcore.passes.residuals import cut, recomputation, rewired
from jaxcore.trace import live_equations

__all__ = ["Linearized", "lean"]


@dataclass(frozen=True, slots=True)
class Linearized:
    """A function split at a set of active inputs.

    Attributes:
      primal: consts and inputs to outputs and further residuals.
      consts: values that `primal` takes first.
      linear: residuals and active tangents to the tangents of the active outputs.
      residuals: index of each residual in [inputs of the function, outputs of `primal`].
      active: which outputs have a tangent.
    """

    primal: Program
    consts: tuple[Any, ...]
    linear: Program
    residuals: tuple[int, ...]
    active: tuple[bool, ...]


def lean(split: Linearized) -> Linearized:
    """`split` with the fewest bytes of residuals: `linear` computes again what is cheap to."""
    primal, linear = split.primal, split.linear
    inputs, outs = primal.inputs[len(split.consts) :], primal.outputs[: len(split.active)]
    pool = [*inputs, *primal.outputs]
    residuals = [pool[i] for i in split.residuals]
    needed = [x for x in residuals if type(x) is Var]
    at_hand: dict[Any, int] = {}
    for i, x in enumerate([*inputs, *outs]):
        at_hand.setdefault(x, i)
    kept = cut(primal, needed, {x for x in at_hand if type(x) is Var})
    repeated = recomputation(primal, kept, needed)
    read = {x for eq in repeated for x in eq.inputs if type(x) is Var}.union(needed)
    ordered = [v for v in [*inputs, *(v for e in primal.equations for v in e.outputs)] if v in read]
    ordered += [v for v in primal.inputs[: len(split.consts)] if v in read]
    ordered = [v for v in ordered if v in kept]
    env: dict[Var, Any] = {v: Var(v.aval) for v in ordered}
    again = rewired(repeated, env, fresh=True)
    for v, x in zip(linear.inputs, residuals, strict=False):
        env[v] = env[x] if type(x) is Var else x
    tangents = linear.inputs[len(residuals) :]
    new_linear = Program(
        [*(env[v] for v in ordered), *tangents],
        [*again, *rewired(linear.equations, env)],
        [env.get(x, x) if type(x) is Var else x for x in linear.outputs],
        linear.name,
    )
    extra = [v for v in ordered if v not in at_hand]
    at_hand.update((v, len(inputs) + len(outs) + i) for i, v in enumerate(extra))
    results = [*outs, *extra]
    new_primal = Program(
        primal.inputs, live_equations(primal.equations, results), results, primal.name
    )
    return Linearized(
        intern(new_primal),
        split.consts,
        intern(new_linear),
        tuple(at_hand[v] for v in ordered),
        split.active,
    )
