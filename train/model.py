"""`Model`: a module bound to its variables, as a loss sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import nn, random

from .errors import TrainError, explain
from .precision import Precision


class Context:
    """What a loss may want to know besides the batch.

    Attributes:
      train: True in a training step, False in validation, test and prediction.
      step: int32 scalar, the number of steps done before this one.
      key: a PRNG key of this step (and micro-batch) for the loss's own randomness.
      rows: how many rows the batch has, padding included.
      masked: whether nothing is padding, or `mask` was looked at.
    """

    def __init__(
        self, train: bool, step: Any, key: Any, rows: int, mask: Any | None = None
    ) -> None:
        self.train = train
        self.step = step
        self.key = key
        self.rows = rows
        self.masked = mask is None
        self._mask = mask

    @property
    def mask(self) -> Any:
        """(rows,) bool, False on rows that only fill up a short batch."""
        self.masked = True
        return jnp.ones(self.rows, bool) if self._mask is None else self._mask


class Model:
    """Calls a module with its variables, mode and keys filled in, and keeps what it writes.

    `model(x)` is `module.apply(variables, x, train=..., rngs=...)`: dropout gets a fresh key at
    every call, and collections such as `batch_stats` that a call changes are seen by the next call
    and end up in the next `State`. Of a task with several modules, `model["name"]` is one of them.
    """

    def __init__(
        self,
        module: Any,
        variables: Mapping[str, Any],
        *,
        train: bool = False,
        key: jaxcore.Array | None = None,
        precision: Precision | None = None,
    ) -> None:
        self.module = module
        self.train = train
        self.precision = precision or Precision()
        self._variables = {**variables, "params": nn.unstack_layers(variables["params"])}
        self._key = key
        self._calls = 0

    @property
    def variables(self) -> dict[str, Any]:
        """The variables, with the writes of the calls made so far."""
        return self._variables

    @property
    def params(self) -> Any:
        """The parameters, for a penalty on the weights and the like."""
        return self._variables["params"]

    def __call__(self, *args: Any, train: bool | None = None, **kwargs: Any) -> Any:
        """Apply the module; `train=` overrides the mode of the step for this call."""
        if isinstance(self.module, Mapping):
            raise TrainError(
                explain(
                    "The task has several modules, so `model(...)` does not say which one.",
                    got="a call of the whole dict",
                    expected=f"one of {sorted(self.module)}",
                    fix=f"write model[{sorted(self.module)[0]!r}](...).",
                )
            )
        return self._apply(None, args, train, kwargs)

    def __getitem__(self, name: str) -> _Part:
        if not isinstance(self.module, Mapping) or name not in self.module:
            known = sorted(self.module) if isinstance(self.module, Mapping) else "a single module"
            raise TrainError(
                explain(
                    f"The task has no module {name!r}.",
                    got=f"model[{name!r}]",
                    expected=known,
                    fix="name the modules in the task: model={'name': module, ...}.",
                )
            )
        return _Part(self, name)

    def _apply(self, part: str | None, args: Any, train: bool | None, kwargs: Any) -> Any:
        train = self.train if train is None else train
        module, variables = self.module, self._variables
        if part is not None:
            module = module[part]
            variables = {c: v[part] for c, v in variables.items() if part in v}
        rngs = None
        if train and self._key is not None:
            rngs = random.fold_in(self._key, self._calls)
        self._calls += 1
        if self.precision.compute is not None:
            kwargs.setdefault("dtype", self.precision.compute)
        mutable = [name for name in variables if name != "params"] if train else []
        if not mutable:
            y = module.apply(variables, *args, train=train, rngs=rngs, **kwargs)
            return self.precision.output(y)
        y, updates = module.apply(
            variables, *args, train=train, mutable=mutable, rngs=rngs, **kwargs
        )
        for collection, value in updates.items():
            if collection not in variables:
                continue  # transient: sown values are not part of the state
            update = value if part is None else {part: value}
            self._variables[collection] = _overlay(self._variables[collection], update)
        return self.precision.output(y)


def _overlay(old: Any, new: Any) -> Any:
    """`old` with the leaves that `new` has: a call need not touch every leaf of a collection."""
    if not isinstance(new, Mapping):
        return new
    return {**old, **{key: _overlay(old.get(key, {}), value) for key, value in new.items()}}


@dataclass(frozen=True)
class _Part:
    owner: Model
    name: str

    @property
    def params(self) -> Any:
        return self.owner.params[self.name]

    def __call__(self, *args: Any, train: bool | None = None, **kwargs: Any) -> Any:
        return self.owner._apply(self.name, args, train, kwargs)
