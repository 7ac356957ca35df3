"""From `Task.tx`, `Task.lr` and `Task.freeze` to what updates the parameters.

The parameters are split by path *before* the gradient is taken: a frozen leaf has no gradient, no
optimiser state and no part in a global norm. The learning rate lives in the optimiser's state, so
it is logged as used and can be changed without compiling again.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import optax

import jaxcore.numpy as jnp
from jaxcore import nn, tree

from .errors import TrainError, explain
from .paths import leaf_paths, some

Schedule = Callable[[Any], Any]
Factory = Callable[..., Any]
Rate = float | Schedule


class InjectedState(NamedTuple):
    """State of `inject`.

    Attributes:
      count: updates done.
      learning_rate: the rate the last update used; of a number, also the one the next will use.
      factor: what a schedule's rates are multiplied by.
      inner: the optimiser's own state.
    """

    count: Any
    learning_rate: Any
    factor: Any
    inner: Any


def inject(factory: Factory, lr: float | Schedule) -> optax.GradientTransformationExtraArgs:
    """An optimiser whose learning rate is a value in its state.

    Args:
      factory: `learning_rate -> optax transformation`, such as `optax.adam`; called with the
        rate as its first argument.
      lr: a number, or a schedule `count -> rate`, evaluated at the optimiser's own count: a
        skipped step does not advance it.

    >>> import optax
    >>> tx = inject(optax.sgd, 0.5)
    >>> float(tx.init({"w": 1.0}).learning_rate)
    0.5
    """

    def rate(state: InjectedState) -> Any:
        if not callable(lr):
            return state.learning_rate
        return jnp.asarray(lr(state.count), jnp.float32) * state.factor

    def init(params: Any) -> InjectedState:
        count = jnp.zeros((), jnp.int32)
        first = jnp.asarray(lr(count) if callable(lr) else lr, jnp.float32)
        inner = _transformation(factory(first), "the factory").init(params)
        return InjectedState(count, first, jnp.ones((), jnp.float32), inner)

    def update(updates: Any, state: InjectedState, params: Any = None, **extra: Any) -> Any:
        now = rate(state)
        tx = optax.with_extra_args_support(factory(now))
        updates, inner = tx.update(updates, state.inner, params, **extra)
        return updates, InjectedState(state.count + 1, now, state.factor, inner)

    return optax.GradientTransformationExtraArgs(init, update)


@dataclass(frozen=True)
class Optimizer:
    """One optax transformation per group of parameters; a group's name is its glob.

    Of several globs that match a leaf the first wins. Clipping by global norm inside a group's
    chain sees that group alone.
    """

    groups: Mapping[str, Any]
    freeze: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, tx: Any, lr: Rate | Mapping[str, Rate] | None, freeze: tuple[str, ...]
    ) -> Optimizer:
        check_freeze(freeze)
        rates: Mapping[str, Rate] = lr if isinstance(lr, Mapping) else {}
        every: Any = None if isinstance(lr, Mapping) else lr
        groups = tx if isinstance(tx, Mapping) else dict.fromkeys(rates or ("**",), tx)
        if rates and set(rates) != set(groups):
            raise TrainError(
                explain(
                    "`lr` and `tx` name different groups of parameters.",
                    got=f"lr {list(rates)}, tx {list(groups)}",
                    expected="the same globs in both, or globs in one of them only",
                    fix="write lr={'encoder/**': 1e-5, '**': 1e-3} beside tx=optax.adamw.",
                )
            )
        if lr is not None and all(map(_is_transformation, groups.values())):
            raise TrainError(
                explain(
                    "`lr` is given, but `tx` has its learning rate already.",
                    got="a finished optax transformation, and lr",
                    expected="a factory that takes the learning rate, or no lr",
                    fix="write tx=optax.adamw, lr=1e-3, or tx=lambda lr: optax.chain("
                    "optax.clip_by_global_norm(1.0), optax.adamw(lr)).",
                )
            )
        built = {glob: _build(one, rates.get(glob, every), glob) for glob, one in groups.items()}
        return cls(built, tuple(freeze))

    def split(self, params: Any, only: tuple[str, ...] | None = None) -> tuple[dict[str, Any], Any]:
        """Split parameters into ({group: its trainable subtree}, everything else).

        Args:
          params: nested dict of parameters.
          only: names of the groups wanted; None means all.

        Raises:
          TrainError: a glob matches nothing, or a trainable leaf belongs to no group.
        """
        for name in only or ():
            if name not in self.groups:
                raise TrainError(
                    explain(
                        "`descend` was asked for an unknown group of parameters.",
                        got=repr(name),
                        expected=f"one of {list(self.groups)}, the globs of `tx`",
                        fix="use the same globs in `tx` and in `descend(..., groups=...)`.",
                    )
                )
        held: dict[str, Any] = {}
        rest = params
        for glob in self.freeze:
            frozen, rest = self._take(rest, glob, params, "freeze")
            held = nn.merge(held, frozen)
        active: dict[str, Any] = {}
        thawed = rest
        for glob in self.groups:
            if glob == "**":
                mine, rest = rest, {}
            elif self.freeze and not _matched(thawed, glob) and _matched(params, glob):
                continue  # all of the group is frozen
            else:
                mine, rest = self._take(rest, glob, params, "tx")
            if only is None or glob in only:
                active[glob] = mine
            else:
                held = nn.merge(held, mine)
        if tree.leaves(rest):
            raise TrainError(
                explain(
                    "Some parameters belong to no group of `tx` and are not frozen.",
                    got=some(_names(rest)),
                    expected=f"every parameter matched by one of {list(self.groups)}",
                    fix="add {'**': optax.adam(1e-3)} as the last group, or freeze them.",
                )
            )
        return active, held

    @staticmethod
    def _take(rest: Any, glob: str, params: Any, argument: str) -> tuple[Any, Any]:
        taken, rest = nn.partition(rest, glob)
        if not tree.leaves(taken):
            raise TrainError(
                explain(
                    f"A glob of `{argument}` matches no parameter (left by the ones before it).",
                    got=repr(glob),
                    expected=f"a match among {some(_names(params))}",
                    fix="match the whole path: 'encoder/**' for a subtree, '**/bias' for a name.",
                )
            )
        return taken, rest

    @staticmethod
    def join(active: Mapping[str, Any], held: Any) -> Any:
        """The inverse of `split`."""
        return functools.reduce(nn.merge, active.values(), held)

    def init(self, params: Any) -> dict[str, Any]:
        """{group: optax state}; nothing for frozen leaves."""
        active, _ = self.split(params)
        return {glob: self.groups[glob].init(sub) for glob, sub in active.items()}

    def update(
        self,
        grads: Mapping[str, Any],
        opt_state: Mapping[str, Any],
        active: Mapping[str, Any],
        value: Any,
    ) -> tuple[tuple[dict[str, Any], dict[str, Any]], dict[str, Any]]:
        """One update of the groups in `active`.

        Returns the new parameters with the whole new `opt_state`, and what was added to them.

        `value` is the loss, for transformations that ask for it (`optax.contrib.reduce_on_plateau`,
        `optax.polyak_sgd`).
        """
        new_params, new_state, steps = {}, dict(opt_state), {}
        for glob, params in active.items():
            tx = optax.with_extra_args_support(self.groups[glob])
            updates, new_state[glob] = tx.update(grads[glob], opt_state[glob], params, value=value)
            new_params[glob] = optax.apply_updates(params, updates)
            steps[glob] = updates
        return (new_params, new_state), steps


def check_freeze(freeze: Any) -> None:
    """Raise `TrainError` if one glob stands where several may."""
    if isinstance(freeze, str):
        raise TrainError(
            explain(
                "`freeze` is a single string.",
                got=repr(freeze),
                expected="a tuple of globs",
                fix=f"write freeze=({freeze!r},).",
            )
        )


def _matched(params: Any, glob: str) -> bool:
    return bool(tree.leaves(nn.partition(params, glob)[0]))


def scale_rates(opt_state: Mapping[str, Any], by: float, least: float = 0.0) -> dict[str, Any]:
    """`opt_state` with all injected rates multiplied, but not below `least`.

    >>> import optax
    >>> state = {"**": inject(optax.sgd, 0.5).init({"w": 1.0})}
    >>> float(scale_rates(state, 0.5)["**"].learning_rate)
    0.25
    """
    changed = {}
    for group, state in opt_state.items():
        if not isinstance(state, InjectedState):
            raise _not_injected(group, state)
        now = float(state.learning_rate)
        by_now = max(now * by, min(now, least)) / now if now else by
        changed[group] = state._replace(
            learning_rate=state.learning_rate * by_now, factor=state.factor * by_now
        )
    return changed


def set_rate(opt_state: Mapping[str, Any], group: str, lr: Rate, ratio: float) -> dict[str, Any]:
    """`opt_state` in which one group uses `ratio` times the rate that the task states as `lr`."""
    state = opt_state[group]
    if not isinstance(state, InjectedState):
        raise _not_injected(group, state)
    factor = jnp.asarray(ratio, jnp.float32)
    rate = state.learning_rate if callable(lr) else jnp.asarray(lr * ratio, jnp.float32)
    return {**opt_state, group: state._replace(learning_rate=rate, factor=factor)}


def _not_injected(group: str, state: Any) -> TrainError:
    return TrainError(
        explain(
            f"The learning rate of group {group!r} is not a value that can be changed.",
            got=type(state).__name__,
            expected="the state of a factory with a rate",
            fix="write tx=optax.adamw, lr=1e-3 in the task.",
        )
    )


def learning_rates(opt_state: Mapping[str, Any]) -> dict[str, Any]:
    """The learning rate each group's last update used, where its state holds one."""
    found = {glob: _find_rate(state) for glob, state in opt_state.items()}
    found = {glob: rate for glob, rate in found.items() if rate is not None}
    if len(found) == 1:
        return {"learning_rate": next(iter(found.values()))}
    return {f"learning_rate/{glob}": rate for glob, rate in found.items()}


def _find_rate(state: Any) -> Any:
    if isinstance(state, InjectedState):
        return state.learning_rate
    hyperparams = getattr(state, "hyperparams", None)  # optax.inject_hyperparams
    if isinstance(hyperparams, Mapping) and "learning_rate" in hyperparams:
        return hyperparams["learning_rate"]
    if isinstance(state, tuple):
        return next((rate for rate in map(_find_rate, state) if rate is not None), None)
    return None


def _names(params: Any) -> list[str]:
    return [path for path, _ in leaf_paths(params)]


def _is_transformation(tx: Any) -> bool:
    return hasattr(tx, "init") and hasattr(tx, "update")


def _is_factory(tx: Any) -> bool:
    return callable(tx) and not _is_transformation(tx)


def _transformation(tx: Any, what: str) -> Any:
    if not _is_transformation(tx):
        raise TrainError(
            explain(
                f"{what} did not give an optax transformation.",
                got=f"{type(tx).__name__}: {tx!r:.80}",
                expected="an object with `init` and `update`, such as optax.adam(1e-3)",
                fix="pass optax.adam(1e-3), or the factory optax.adam together with lr=1e-3.",
            )
        )
    return tx


def _build(tx: Any, lr: float | Schedule | None, glob: str) -> Any:
    if not _is_factory(tx):
        return _transformation(tx, f"`tx` (group {glob!r})")
    if lr is None:
        raise TrainError(
            explain(
                f"`tx` (group {glob!r}) is a factory that needs a learning rate.",
                got=f"{getattr(tx, '__name__', tx)!r} and lr=None",
                expected="lr: a float or a schedule",
                fix="add lr=1e-3, or pass a finished transformation such as optax.adam(1e-3).",
            )
        )
    return inject(tx, lr)
