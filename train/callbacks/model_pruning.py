"""Pruning: weights that become zero and stay so."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import optax

import jaxcore.numpy as jnp
from jaxcore import nn, tree

from ..arguments import check_choice, check_counts, check_numbers
from ..errors import TrainError, explain
from ..optimizer import inject
from ..paths import leaf_paths
from ..plan import Plan
from ..run import Run
from .base import Callback


class MaskedState(NamedTuple):
    """Masks of the parameters, True on what is left, and the optimiser's own state."""

    masks: Any
    inner: Any


def masked(tx: Any) -> optax.GradientTransformationExtraArgs:
    """`tx` for parameters of which some are pruned: their updates are zero.

    >>> import optax
    >>> masked(optax.sgd(0.1)).init({"w": jnp.ones(2)}).masks["w"].tolist()
    [True, True]
    """
    tx = optax.with_extra_args_support(tx)

    def init(params: Any) -> MaskedState:
        return MaskedState(tree.map(lambda p: jnp.ones(p.shape, bool), params), tx.init(params))

    def update(updates: Any, state: MaskedState, params: Any = None, **extra: Any) -> Any:
        updates, inner = tx.update(updates, state.inner, params, **extra)
        updates = tree.map(lambda u, m: jnp.where(m, u, jnp.zeros_like(u)), updates, state.masks)
        return updates, MaskedState(state.masks, inner)

    return optax.GradientTransformationExtraArgs(init, update)


class ModelPruning(Callback):
    """At the end of each epoch, set the smallest of the weights that are left to zero for good.

    The masks are part of the optimiser's state, so checkpoints have them. The task has one `tx` for
    all parameters.

    Args:
      pruning_fn: "l1_unstructured", the smallest magnitudes, or "random_unstructured".
      parameters_to_prune: globs of the weights.
      use_global_unstructured: choose among all weights together, not in each array.
      amount: a part of what is left, or a number of weights; or `epoch -> either`.
      seed: of the random choice.

    >>> pruning = ModelPruning(amount=0.2)
    """

    def __init__(
        self,
        pruning_fn: str = "l1_unstructured",
        *,
        parameters_to_prune: tuple[str, ...] = ("**/kernel",),
        use_global_unstructured: bool = True,
        amount: float | int | Callable[[int], float | int] = 0.5,
        seed: int = 0,
    ) -> None:
        check_choice(
            ("l1_unstructured", "random_unstructured"),
            "leave it out to prune the smallest weights.",
            pruning_fn=pruning_fn,
        )
        if isinstance(amount, float):
            check_numbers(0, 1, amount=amount)
        elif not callable(amount):
            check_counts(0, amount=amount)
        self.pruning_fn = pruning_fn
        self.globs = parameters_to_prune
        self.use_global_unstructured = use_global_unstructured
        self.amount = amount
        self.seed = seed
        self._wrapped: dict[int, tuple[Any, Any]] = {}

    def configure(self, plan: Plan, epoch: int) -> Plan:
        tx, lr = plan.task.tx, plan.task.lr
        if isinstance(tx, Mapping) or isinstance(lr, Mapping):
            raise TrainError(
                explain(
                    "ModelPruning needs one optimiser for all parameters.",
                    got="groups by glob",
                    expected="one transformation or factory",
                    fix="write tx=optax.adamw, lr=1e-3.",
                )
            )
        if id(tx) not in self._wrapped:  # one object for all epochs, or each would compile
            self._wrapped[id(tx)] = tx, masked(tx if lr is None else inject(tx, lr))
        return plan.change(tx=self._wrapped[id(tx)][1], lr=None)

    def on_epoch_end(self, run: Run) -> None:
        (group, state), *others = run.state.opt_state.items()
        assert not others and isinstance(state, MaskedState)
        masks = {path: np.array(mask) for path, mask in leaf_paths(state.masks)}
        chosen, _ = nn.partition(state.masks, self.globs)
        values = dict(leaf_paths(run.state.params))
        names = [path for path, _ in leaf_paths(chosen)]
        epoch = run.epoch - 1
        amount = self.amount(epoch) if callable(self.amount) else self.amount
        for part in [names] if self.use_global_unstructured else [[name] for name in names]:
            self._prune(part, masks, values, amount, epoch)
        new = tree.unflatten(tree.structure(state.masks), [jnp.asarray(m) for m in masks.values()])
        trained, held = nn.partition(run.state.params, list(masks))
        pruned = tree.map(lambda p, m: jnp.where(m, p, jnp.zeros_like(p)), trained, new)
        run.state = run.state.replace(
            variables={**run.state.variables, "params": nn.merge(pruned, held)},
            opt_state={group: state._replace(masks=new)},
        )

    def _prune(
        self, names: list[str], masks: Any, values: Any, amount: float | int, epoch: int
    ) -> None:
        left = np.concatenate([masks[name].ravel() for name in names])
        if self.pruning_fn == "l1_unstructured":
            weights = [np.asarray(values[name], np.float32).ravel() for name in names]
            scores = np.abs(np.concatenate(weights))
        else:
            place = zlib.crc32(" ".join(names).encode())
            scores = np.random.default_rng([self.seed, epoch, place]).random(left.shape)
        count = round(amount * left.sum()) if isinstance(amount, float) else amount
        scores = np.where(left, scores, np.inf)
        left[np.argsort(scores, kind="stable")[: min(count, int(left.sum()))]] = False
        begin = 0
        for name in names:
            end = begin + masks[name].size
            masks[name] = left[begin:end].reshape(masks[name].shape)
            begin = end
