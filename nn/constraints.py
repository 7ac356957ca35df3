"""What parameters are held to: functions of one parameter, and ways to apply them.

    rules = {"**/kernel": nn.constraints.max_norm(2.0)}
    tx = optax.chain(optax.adam(1e-3), nn.constraints.keep(rules))

`keep` changes the updates so that after them the parameters hold; `constrain` changes parameters at
once. From Keras: ``kernel_constraint=`` of a layer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jaxcore.numpy as jnp
from jaxcore import Array, tree

from .errors import InputError
from .filters import merge, partition

__all__ = ["constrain", "keep", "max_norm", "min_max_norm", "non_negative", "unit_norm"]

Constraint = Callable[[Any], Any]
Axis = int | Sequence[int] | None


def _norm(x: Array, axis: Axis) -> Array:
    axis = tuple(axis) if isinstance(axis, Sequence) else axis
    return jnp.sqrt(jnp.sum(jnp.square(x), axis, keepdims=True))


def _scaled(x: Array, wanted: Any, norm: Array) -> Array:
    return x * jnp.where(norm > 0, wanted / jnp.where(norm > 0, norm, 1), 1)


def max_norm(limit: float = 2.0, axis: Axis = 0) -> Constraint:
    """Vectors along `axis` are made no longer than `limit`.

    Axis 0 is that of a dense kernel's inputs; of a convolution's say (0, 1, 2).

    Srebro et al. 2005; with dropout: Srivastava et al. 2014,
    https://jmlr.org/papers/v15/srivastava14a.html

    >>> import jaxcore.numpy as jnp
    >>> print(max_norm(1.0)(jnp.array([[3.0, 0.5], [4.0, 0.0]])).round(1))
    [[0.6 0.5]
     [0.8 0. ]]
    """
    return min_max_norm(0.0, limit, axis=axis)


def min_max_norm(
    low: float = 0.0, high: float = 1.0, rate: float = 1.0, axis: Axis = 0
) -> Constraint:
    """Vectors along `axis` are made as long as from `low` to `high`; by `rate` of the way."""

    def change(x: Array) -> Array:
        norm = _norm(x, axis)
        wanted = rate * jnp.clip(norm, low, high) + (1 - rate) * norm
        return _scaled(x, wanted, norm)

    return change


def unit_norm(axis: Axis = 0) -> Constraint:
    """Vectors along `axis` are made as long as 1; those of zeros stay."""
    return min_max_norm(1.0, 1.0, axis=axis)


def non_negative() -> Constraint:
    """What is below 0 becomes 0."""
    return lambda x: jnp.maximum(x, 0)


def constrain(params: Any, rules: Mapping[str, Constraint]) -> Any:
    """Parameters with each rule applied to those that its glob names, as `nn.partition` takes it.

    Raises:
      InputError: a glob that names nothing.

    >>> import jaxcore.numpy as jnp
    >>> constrain({"a": {"kernel": jnp.array([-1.0, 2.0])}}, {"**/kernel": non_negative()})
    {'a': {'kernel': Array([0., 2.], dtype=float32)}}
    """
    for glob, rule in rules.items():
        chosen, rest = partition(params, glob)
        if not tree.leaves(chosen):
            raise InputError(
                f"constraints: no parameter matches {glob!r}. Expected globs of paths such as "
                "'**/kernel' or 'encoder/**'."
            )
        params = merge(tree.map(rule, chosen), rest)
    return params


def keep(rules: Mapping[str, Constraint]) -> Any:
    """An optax transformation, the last of a chain, after whose updates the parameters hold.

    >>> import jaxcore.numpy as jnp, optax
    >>> tx = optax.chain(optax.sgd(1.0), keep({"kernel": non_negative()}))
    >>> params = {"kernel": jnp.array([0.5, 2.0])}
    >>> updates, _ = tx.update({"kernel": jnp.ones(2)}, tx.init(params), params)
    >>> print(optax.apply_updates(params, updates)["kernel"])
    [0. 1.]
    """
    import optax

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        if params is None:
            raise InputError(
                "constraints.keep: update got no parameters. Fix: tx.update(grads, state, params)."
            )
        held = constrain(tree.map(jnp.add, params, updates), rules)
        return tree.map(jnp.subtract, held, params), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)
