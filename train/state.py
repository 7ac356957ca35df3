"""The state of a training run: one pytree, nothing hidden elsewhere."""

from __future__ import annotations

from typing import Any, NamedTuple

import jaxcore
from jaxcore import nn

from .averaging import Averaged
from .precision import LossScale


class State(NamedTuple):
    """What a training step maps to its successor.

    Attributes:
      step: int32 scalar, the number of steps done.
      variables: {"params": ..., "batch_stats": ..., ...}, as `model.init` returns.
      opt_state: {group: optax state}; the only group of a plain `tx` is "**".
      key: the run's typed PRNG key. It never changes: step n draws from fold_in(key, n), so a
        resumed run draws what the uninterrupted one would have.
      average: averages of the parameters, where the task asks for them.
      loss_scale: the factor of the loss, under precision "16-mixed".
    """

    step: jaxcore.Array
    variables: dict[str, Any]
    opt_state: dict[str, Any]
    key: jaxcore.Array
    average: Averaged | None = None
    loss_scale: LossScale | None = None

    @property
    def params(self) -> Any:
        """The trained and the frozen parameters together."""
        return self.variables["params"]

    @property
    def eval_variables(self) -> dict[str, Any]:
        """The variables to validate, test and predict with: the averages, once there are any, and
        each layer under its own name.
        """
        params = self.params if self.average is None else self.average.into(self.params)
        return {**self.variables, "params": nn.unstack_layers(params)}

    def with_key(self, key: jaxcore.Array | None) -> State:
        """`replace(key=key)` at a third of its cost, for every step."""
        return State(self.step, self.variables, self.opt_state, key, self.average, self.loss_scale)  # type: ignore[arg-type]

    def replace(self, **changes: Any) -> State:
        """A copy with the named fields changed."""
        return self._replace(**changes)
