"""Which values a function keeps for its derivative.

The derivative of a block needs values from its forward pass. Keeping each of them costs memory
traffic; many are one cheap operation away from another that is kept anyway. Keeping the cheapest
set from which the rest can be computed again is a minimum cut through the graph of cheap operations
(Jain et al., Checkmate, 2020, state the general problem; with recomputation of cheap operations
only it is a maximum flow).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from jaxcore.ir import Equation, Program, Var

__all__ = ["bytes_of", "cut", "recomputation", "rewired"]

# One pass over memory that a fusion makes for free: no transcendental function, no reduction, no
# contraction, no gather.
_NAMES = """
abs add add_any and broadcast_in_dim ceil clamp concatenate convert_element_type copy div eq floor
ge gt integer_pow iota is_finite le lt max min mul ne neg not or reshape round select_n sign slice
square squeeze stop_gradient sub xor
"""
_CHEAP = frozenset(_NAMES.split())


def is_cheap(eq: Equation) -> bool:
    """True for operations that are as cheap to repeat as to read again."""
    return eq.primitive.name in _CHEAP and not eq.effects


def cut(program: Program, needed: Iterable[Var], free: set[Var]) -> set[Var]:
    """The cheapest set of values of `program` from which cheap operations make all of `needed`.

    Args:
      program: the function.
      needed: variables of it.
      free: variables that are at hand in any case, as the function's inputs and results are.
    """
    made_by = {v: eq for eq in program.equations for v in eq.outputs if is_cheap(eq)}
    network = _Network()
    pending = list(dict.fromkeys(needed))
    seen = set(pending)
    for v in pending:
        network.connect((v, 1), _SINK, _INFINITE)
    while pending:
        v = pending.pop()
        network.connect((v, 0), (v, 1), 1 if v in free else bytes_of(v.aval) + 1)
        eq = made_by.get(v)
        sources = [x for x in eq.inputs if type(x) is Var] if eq is not None else []
        if eq is None:
            network.connect(_SOURCE, (v, 0), _INFINITE)
        for x in sources:
            network.connect((x, 1), (v, 0), _INFINITE)
            if x not in seen:
                seen.add(x)
                pending.append(x)
    reached = network.saturate()
    return {v for v in seen if (v, 0) in reached and (v, 1) not in reached}


def recomputation(program: Program, kept: set[Var], needed: Iterable[Var]) -> list[Equation]:
    """The equations of `program`, in order, that make `needed` from `kept`."""
    missing = {v for v in needed if v not in kept}
    equations = []
    for eq in reversed(program.equations):
        if any(v in missing for v in eq.outputs):
            equations.append(eq)
            missing.update(x for x in eq.inputs if type(x) is Var and x not in kept)
    equations.reverse()
    return equations


def rewired(
    equations: Iterable[Equation], env: dict[Var, Any], fresh: bool = False
) -> list[Equation]:
    """`equations` with their inputs replaced by `env`; with `fresh`, results by new variables."""
    made = []
    for eq in equations:
        inputs = [env.get(x, x) if type(x) is Var else x for x in eq.inputs]
        outputs: Sequence[Var] = eq.outputs
        if fresh:
            outputs = [Var(v.aval) for v in outputs]
            env.update(zip(eq.outputs, outputs, strict=True))
        made.append(Equation(eq.primitive, inputs, outputs, eq.params, eq.source))
    return made


_SOURCE, _SINK = "source", "sink"
_INFINITE = 1 << 60
_SYMBOLIC = 1024


class _Network:
    """A flow network with integer capacities."""

    def __init__(self) -> None:
        self.capacity: dict[Any, dict[Any, int]] = {_SOURCE: {}, _SINK: {}}

    def connect(self, a: Any, b: Any, capacity: int) -> None:
        self.capacity.setdefault(a, {})[b] = capacity
        self.capacity.setdefault(b, {}).setdefault(a, 0)

    def saturate(self) -> set[Any]:
        """Push the maximum flow from source to sink; what the source still reaches then.

        Dinic 1970: each search pushes along all shortest paths, so a long program of layers, whose
        values are near to what they are made from, takes a few searches.
        """
        while True:
            distance = self._distances()
            if _SINK not in distance:
                return set(distance)
            self._push(distance)

    def _distances(self) -> dict[Any, int]:
        """How far from the source along what has capacity left."""
        distance = {_SOURCE: 0}
        queue = deque([_SOURCE])
        while queue:
            a = queue.popleft()
            for b, left in self.capacity[a].items():
                if left and b not in distance:
                    distance[b] = distance[a] + 1
                    queue.append(b)
        return distance

    def _push(self, distance: dict[Any, int]) -> None:
        """Push along the shortest paths until none has capacity left; depth first, where a node
        forgets the neighbours that lead nowhere.
        """
        ahead = {
            a: [b for b in self.capacity[a] if distance.get(b) == n + 1]
            for a, n in distance.items()
        }
        path = [_SOURCE]
        while path:
            a = path[-1]
            if a == _SINK:
                edges = list(pairwise(path))
                amount = min(self.capacity[a][b] for a, b in edges)
                for a, b in edges:
                    self.capacity[a][b] -= amount
                    self.capacity[b][a] += amount
                full = next(i for i, (a, b) in enumerate(edges) if not self.capacity[a][b])
                del path[full + 1 :]
            elif not ahead[a]:
                path.pop()
                if path:
                    ahead[path[-1]].pop()
            elif self.capacity[a][ahead[a][-1]]:
                path.append(ahead[a][-1])
            else:
                ahead[a].pop()


def bytes_of(aval: Any) -> int:
    """Bytes of a value of type `aval`; a symbolic size counts as many."""
    size = getattr(aval.dtype, "itemsize", 8)
    for n in aval.shape:
        size *= n if isinstance(n, int) else _SYMBOLIC
    return size
