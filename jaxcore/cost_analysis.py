"""`cost_analysis` of the stages: exact counts on the program, before anything is compiled."""

from __future__ import annotations

import math
from typing import Any

import jax

from jaxcore.cost import Work, unbounded_loops, work_by_path
from jaxcore.ir import Program

__all__ = ["CostAnalysis", "analyse"]


class CostAnalysis(dict[str, Any]):
    """Counts by name; printed, a table of modules.

    Keys:
      flops: floating-point operations, a multiply-add being two, loops times their length.
      bytes accessed: bytes that the equations read and write when nothing is fused.
      parameters: elements of the arguments under a key or attribute named ``params``.
      modules: for each module path the three numbers above, without its submodules.
      unbounded loops: lines of `while` loops, whose length nobody knows; each is counted once.
    """

    def __str__(self) -> str:
        head = ("module", "FLOPs", "bytes", "parameters")
        body = [
            (path or "(outside)", *(f"{m[k]:,}" for k in _COUNTS))
            for path, m in self["modules"].items()
        ]
        total = ("total", *(f"{self[k]:,}" for k in _COUNTS))
        lines = [head, *body, total]
        widths = [max(len(line[i]) for line in lines) for i in range(4)]

        def text(line: tuple[str, ...]) -> str:
            cells = zip(line, widths, strict=True)
            return "  ".join(c.rjust(w) if i else c.ljust(w) for i, (c, w) in enumerate(cells))

        rule = "-" * (sum(widths) + 6)
        notes = [f"counted once, its length is not known: {x}" for x in self["unbounded loops"]]
        return "\n".join([text(head), rule, *map(text, body), rule, text(total), *notes])


_COUNTS = ("flops", "bytes accessed", "parameters")


def analyse(program: Program, arguments: Any) -> CostAnalysis:
    """Count the work of `program`, whose arguments are the tree `arguments` of things with a shape.

    Example:
      >>> import jaxcore, jaxcore.numpy as jnp
      >>> x = {"params": {"out": {"kernel": jnp.ones((4, 2))}}}
      >>> f = jaxcore.jit(lambda v, x: x @ v["params"]["out"]["kernel"])
      >>> cost = f.trace(x, jnp.ones((3, 4))).cost_analysis()
      >>> cost["flops"], cost["bytes accessed"], cost["parameters"]
      (48, 104, 8)
    """
    work = work_by_path(program)
    parameters = _parameters(arguments)
    modules = {}
    for path in dict.fromkeys([*work, *parameters]):
        flops, traffic = work.get(path, Work(0, 0))
        size = parameters.get(path, 0)
        modules[path] = dict(zip(_COUNTS, (flops, traffic, size), strict=True))
    totals = {k: sum(m[k] for m in modules.values()) for k in _COUNTS}
    loops = [str(eq.source) for eq in unbounded_loops(program)]
    return CostAnalysis(totals | {"modules": modules, "unbounded loops": loops})


def _parameters(arguments: Any) -> dict[str, int]:
    """Elements of the leaves ``.../params/<module>/<name>`` by module.

    An optimiser keeps copies of the whole tree further down; those nearest to the root count.
    """
    found: list[tuple[int, str, int]] = []
    for path, leaf in jax.tree_util.tree_flatten_with_path(arguments)[0]:
        names = [str(getattr(k, "key", getattr(k, "name", getattr(k, "idx", k)))) for k in path]
        if "params" in names:
            depth = names.index("params")
            module = "/".join(names[depth + 1 : -1])
            found.append((depth, module, math.prod(leaf.shape)))
    nearest = min((depth for depth, *_ in found), default=0)
    sizes: dict[str, int] = {}
    for depth, module, size in found:
        if depth == nearest:
            sizes[module] = sizes.get(module, 0) + size
    return sizes
