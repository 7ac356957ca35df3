"""Which parts of a step are not finite, and what line of the model or the loss made them so."""

from __future__ import annotations

from typing import Any

import numpy as np

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import debug

from .gradients import make_gradient
from .metrics import Metrics
from .paths import leaf_paths, some
from .state import State
from .task import Task


def not_finite(task: Task, state: State, batch: Any) -> str:
    """What is not finite in the training step of a batch, as text; empty if all of it is finite.

    Leaves of the batch and the parameters are named by their paths, gradients by those of their
    parameters; then comes the operation that made the first NaN or infinity, with its line. The
    step is computed twice, once outside `jit`: this is for the one batch at which a run fails.

    Args:
      task, state: as `make_step` takes them. The state is not used up.
      batch: the batch, without padding.

    >>> import numpy as np, optax
    >>> from jaxcore import nn, random, train
    >>> class Root(train.Task):
    ...     def loss(self, model, batch, ctx):
    ...         return jnp.sqrt(model(batch)[:, 0] - 9.0)
    >>> task, batch = Root(model=nn.Dense(1), tx=optax.sgd, lr=0.1), np.ones((2, 3), np.float32)
    >>> state = train.init_state(task, random.key(0), batch)
    >>> print(train.not_finite(task, state, batch).splitlines()[0])
    gradient of bias, kernel (all 2 parameters)
    """

    def metrics(params: Any) -> Metrics:
        variables = {**state.variables, "params": params}
        return task.update(state.replace(variables=variables), batch)[1]

    value, grads = make_gradient(task)(state, batch)
    lines = [
        _named("the batch itself: ", batch, "leaves"),
        _named("parameters ", state.params, "parameters"),
        _named("gradient of ", grads, "parameters"),
    ]
    if not any(lines) and _finite(value):
        return ""
    for kind in ("nan", "inf"):
        report = debug.find_nan(metrics, kind)(state.params)
        if report is not None:
            lines.append(str(report))
            break
    return "\n".join(filter(None, lines))


def _named(before: str, tree: Any, what: str) -> str:
    """The paths of leaves that are not finite, after `before`; empty if all are."""
    paths = leaf_paths(tree)
    bad = [path or "(the array itself)" for path, leaf in paths if not _finite(leaf)]
    if not bad:
        return ""
    share = f"all {len(paths)}" if len(bad) == len(paths) else f"{len(bad)} of {len(paths)}"
    return f"{before}{some(bad, 6)} ({share} {what})"


def _finite(leaf: Any) -> bool:
    array = leaf if isinstance(leaf, jaxcore.Array) else np.asarray(leaf)
    return not jnp.issubdtype(array.dtype, jnp.inexact) or bool(jnp.isfinite(array).all())
