"""What happens to a gradient between the loss and the optimiser."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import lax, random, tree

from .errors import TrainError, explain
from .metrics import Mean, Metric, merge_stacked
from .objective import batch_rows


def accumulate_gradients(
    gradient: Any, active: Any, collections: Any, batch: Any, mask: Any, key: Any, pieces: int
) -> tuple[Mean, dict[str, Metric], Any, Any]:
    """Sum gradients over micro-batches in a loop, so that memory holds one of them at a time.

    Sums, not means, are added: micro-batches with few real rows count for as much as they have.

    Raises:
      TrainError: the rows do not divide into `pieces`.
    """
    rows = batch_rows(batch)
    if rows % pieces:
        raise TrainError(
            explain(
                "The batch does not divide into micro-batches.",
                got=f"{rows} rows, accumulate={pieces}",
                expected="rows divisible by accumulate",
                fix=f"use a batch size of {pieces * max(1, rows // pieces)}.",
            )
        )
    split = tree.map(lambda x: x.reshape((pieces, rows // pieces) + x.shape[1:]), (batch, mask))

    def one(carry: Any, xs: Any) -> Any:
        collections, grads = carry
        (piece, piece_mask), index = xs
        (_, (mean, metrics, collections)), new = gradient(
            active, collections, piece, piece_mask, random.fold_in(key, index)
        )
        return (collections, tree.map(jnp.add, grads, new)), (mean, metrics)

    start = (collections, tree.map(jnp.zeros_like, active))
    (collections, grads), stacked = lax.scan(one, start, (split, jnp.arange(pieces)))
    mean, metrics = merge_stacked({"loss": stacked[0]})["loss"], merge_stacked(stacked[1])
    return mean, metrics, collections, grads


def make_gradient(task: Any) -> Callable[[Any, Any], tuple[Any, Any]]:
    """Compile `loss, gradient = f(state, batch)`: of a training step's mean loss, nothing updated.

    The gradient is that of the parameters, before clipping; of several losses, of their sum.
    """

    def loss(params: Any, state: Any, batch: Any) -> Any:
        variables = {**state.variables, "params": params}
        found = task.update(state.replace(variables=variables), batch)[1]
        means = [found[name] for name in found if name.rsplit("/", 1)[-1] == "loss"]
        return sum((m.total / m.weight for m in means), jnp.zeros(()))

    compiled = jaxcore.jit(jaxcore.value_and_grad(loss))
    return lambda state, batch: compiled(state.params, state, batch)


def clip(grads: Any, norm: Any, *, to_norm: float | None, to_value: float | None) -> Any:
    """Limit a gradient whose global norm is `norm`: all of it by the norm, or each value.

    >>> clip({"w": jnp.array([3.0, 4.0])}, 5.0, to_norm=1.0, to_value=None)["w"].tolist()
    [0.6000000238418579, 0.800000011920929]
    >>> clip({"w": jnp.array([3.0, -4.0])}, 5.0, to_norm=None, to_value=3.5)["w"].tolist()
    [3.0, -3.5]
    """
    if to_norm is not None:
        factor = jnp.minimum(1.0, to_norm / jnp.maximum(norm, 1e-30))
        grads = tree.map(lambda g: g * factor.astype(g.dtype), grads)
    if to_value is not None:
        grads = tree.map(lambda g: jnp.clip(g, -to_value, to_value), grads)
    return grads


def global_norm(grads: Any) -> Any:
    """The Euclidean norm over all leaves, as a scalar that is float32 at least.

    >>> float(global_norm({"a": jnp.array([3.0]), "b": jnp.array([4.0])}))
    5.0
    """
    leaves = tree.leaves(grads)
    dtype = functools.reduce(jnp.promote_types, [leaf.dtype for leaf in leaves], jnp.float32)
    small = [leaf.astype(dtype).ravel() for leaf in leaves if leaf.size <= _SMALL]
    large = [leaf.astype(dtype) for leaf in leaves if leaf.size > _SMALL]
    summed = [jnp.concatenate(small), *large] if small else large
    return jnp.sqrt(sum((jnp.sum(jnp.square(x)) for x in summed), jnp.zeros((), dtype)))


_SMALL = 4096  # entries of an array whose sum costs less than starting to compute it alone
