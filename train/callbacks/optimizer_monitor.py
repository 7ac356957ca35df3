"""Norms of gradients, updates and parameters, layer by layer."""

from __future__ import annotations

from typing import Any

from ..arguments import check_counts
from ..errors import TrainError, explain
from ..gradients import global_norm
from ..units import Steps
from ..watching import Inside, at_steps
from .base import Callback


class OptimizerMonitor(Callback):
    """Log the norms of each layer's gradient, update and parameters, taken inside the step.

    The columns are "encoder/gradient_norm", "encoder/update_norm" and "encoder/parameter_norm"; the
    gradient's is before clipping.

    Args:
      depth: how many parts of a parameter's path name its layer.
      every: `Steps(n)`: look at every n-th step alone; the others do not pay for it. Where no such
        step falls between two rows, the columns are NaN.

    >>> from jaxcore import train
    >>> watch = OptimizerMonitor(depth=2, every=train.Steps(50))
    """

    def __init__(self, depth: int = 1, *, every: Steps | None = None) -> None:
        check_counts(1, depth=depth)
        if every is not None and not isinstance(every, Steps):
            raise TrainError(
                explain(
                    "`every` is counted inside the step.",
                    got=repr(every),
                    expected="Steps(n), or None for every step",
                    fix="write every=train.Steps(50).",
                )
            )
        self.depth = depth
        self.steps = every

    def inside_step(self, inside: Inside) -> dict[str, Any]:
        if self.steps is None:
            return self._norms(inside)
        return dict(at_steps(self.steps, inside, lambda: self._norms(inside)))

    def _norms(self, inside: Inside) -> dict[str, Any]:
        prefix = f"{inside.name}/" if inside.name else ""
        trees = {
            "gradient_norm": inside.gradient,
            "update_norm": inside.updates,
            "parameter_norm": inside.params,
        }
        return {
            f"{prefix}{layer}/{what}": global_norm(part)
            for what, params in trees.items()
            for layer, part in _layers(params, self.depth).items()
        }


def _layers(params: Any, depth: int) -> dict[str, Any]:
    """{path of at most `depth` parts: what is below it}.

    >>> sorted(_layers({"a": {"b": {"kernel": 1, "bias": 2}}, "c": 3}, 2))
    ['a/b', 'c']
    """
    if depth == 0 or not isinstance(params, dict):
        return {"": params}
    return {
        f"{name}/{rest}".rstrip("/"): part
        for name, below in params.items()
        for rest, part in _layers(below, depth - 1).items()
    }
