"""Precision: the dtypes of parameters and of computation, and the loss scale of float16."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jaxcore.numpy as jnp
from jaxcore import tree

from .errors import TrainError, explain


@dataclass(frozen=True)
class Precision:
    """The dtypes of a policy; None leaves what there is.

    Attributes:
      params: dtype in which parameters are kept.
      compute: dtype of the layers' work. What a model returns is float32 again, so losses and
        metrics are float32 under every policy.
      scaled: whether the loss is scaled so that small gradients do not vanish.
    """

    params: Any = None
    compute: Any = None
    scaled: bool = False

    @classmethod
    def of(cls, name: str) -> Precision:
        """The policy of a name.

        >>> Precision.of("bf16-mixed").compute.__name__
        'bfloat16'
        """
        if name not in _POLICIES:
            raise TrainError(
                explain(
                    "Unknown `precision`.",
                    got=repr(name),
                    expected=f"one of {', '.join(map(repr, _POLICIES))}",
                    fix="write precision='bf16-mixed' for half-width computation.",
                )
            )
        return _POLICIES[name]

    def keep(self, params: Any) -> Any:
        """Parameters as the policy keeps them."""
        return _floats(params, self.params)

    def output(self, outputs: Any) -> Any:
        """What a model returned, widened to float32 where the policy narrowed it."""
        return outputs if self.compute is None else _floats(outputs, jnp.float32)


_POLICIES = {
    "32-true": Precision(),
    "bf16-mixed": Precision(compute=jnp.bfloat16),
    "16-mixed": Precision(compute=jnp.float16, scaled=True),
    "bf16-true": Precision(params=jnp.bfloat16, compute=jnp.bfloat16),
}

GROWTH_INTERVAL = 2000


class LossScale(NamedTuple):
    """The factor of the loss under "16-mixed", and finite steps since it last changed.

    It is halved when a gradient overflows, in a step that is then skipped, and doubled after 2000
    finite steps (Micikevicius et al. 2018, https://arxiv.org/abs/1710.03740).
    """

    scale: Any
    good: Any

    @classmethod
    def start(cls) -> LossScale:
        return cls(jnp.asarray(65536.0, jnp.float32), jnp.zeros((), jnp.int32))

    def after(self, finite: Any) -> LossScale:
        """The scale of the next step.

        >>> scale = LossScale.start().after(jnp.asarray(False))
        >>> float(scale.scale), int(scale.good)
        (32768.0, 0)
        """
        good = jnp.where(finite, self.good + 1, 0)
        grown = good >= GROWTH_INTERVAL
        factor = jnp.where(finite, jnp.where(grown, 2.0, 1.0), 0.5)
        scale = jnp.clip(self.scale * factor, 1.0, 2.0**24)
        return LossScale(scale.astype(jnp.float32), jnp.where(grown, 0, good).astype(jnp.int32))


def _floats(values: Any, dtype: Any) -> Any:
    if dtype is None:
        return values

    def cast(x: Any) -> Any:
        known = hasattr(x, "dtype") and jnp.issubdtype(x.dtype, jnp.floating)
        return x.astype(dtype) if known else x

    return tree.map(cast, values)
