"""A mixture of experts: MLPs of which each token takes a few."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jaxcore.numpy as jnp
from jaxcore import Array, lax

from . import initializers
from .activations import silu, softmax
from .dtypes import promote
from .errors import InputError, where
from .linear import Dense, need_rank
from .module import Module

Init = Callable[..., Any]


class MixtureOfExperts(Module):
    """The `top_k` best of `num_experts` gated MLPs for each token, weighted: ``(..., features)``.

    With ``p = softmax(x @ router)``, the sum over the chosen experts e of ``p_e / Σ p ·
    (activation(x @ gate_e) · (x @ up_e)) @ down_e``. No token is dropped: tokens are sorted by
    expert, and each expert multiplies its own.

    Parameters: ``router / kernel (features, num_experts)``, ``gate``, ``up`` ``(num_experts,
    features, hidden)``, ``down (num_experts, hidden, features)``. In the collection ``losses``
    stands ``balance``, the loss of Switch Transformers, which is 1 where all experts get their
    share: ``num_experts · Σ_e (share of tokens for e) · (mean p_e)``. Add some of it to the loss.

    Args:
      num_experts, hidden: sizes.
      top_k: how many experts a token takes.
      normalize: weights of a token sum to 1; without, they are p itself.

    Raises:
      InputError: `top_k` is not between 1 and `num_experts`.

    From Transformers: the block of Mixtral, with w1 as ``gate``, w3 ``up`` and w2 ``down``,
    transposed.

    Shazeer et al. 2017, https://arxiv.org/abs/1701.06538; Fedus et al. 2021,
    https://arxiv.org/abs/2101.03961; Jiang et al. 2024, https://arxiv.org/abs/2401.04088

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn, random
    >>> layer, x = nn.MixtureOfExperts(4, hidden=8), jnp.ones((2, 3, 6))
    >>> variables = layer.init(random.key(0), x)
    >>> y, sown = layer.apply(variables, x, mutable=["losses"])
    >>> y.shape, sown["losses"]["balance"][0].shape
    ((2, 3, 6), ())
    """

    num_experts: int
    hidden: int
    top_k: int = 2
    normalize: bool = True
    activation: Callable[..., Any] = silu
    dtype: Any = None
    param_dtype: Any = jnp.float32
    kernel_init: Init = initializers.lecun_normal(batch_axis=0)

    def __call__(self, x: Array) -> Array:
        if not 1 <= self.top_k <= self.num_experts:
            raise InputError(
                f"{where(self.path, 'MixtureOfExperts')}: top_k={self.top_k} of num_experts="
                f"{self.num_experts}. Expected from 1 to the number of experts."
            )
        x = need_rank(self, x, 1, "(..., features)")
        features, tokens = x.shape[-1], math.prod(x.shape[:-1])
        rows = x.reshape(tokens, features)
        router = Dense(
            self.num_experts,
            use_bias=False,
            dtype=jnp.float32,
            param_dtype=self.param_dtype,
            name="router",
        )
        chances = softmax(router(rows))
        weights, chosen = lax.top_k(chances, self.top_k)
        if self.normalize:
            weights = weights / weights.sum(-1, keepdims=True)
        sizes = (chosen.reshape(-1, 1) == jnp.arange(self.num_experts)[None]).sum(0)
        share = sizes / max(tokens * self.top_k, 1)
        self.sow("losses", "balance", self.num_experts * (share * chances.mean(0)).sum())

        kernels = [
            self.param(name, self.kernel_init, (self.num_experts, *shape), self.param_dtype)
            for name, shape in (
                ("gate", (features, self.hidden)),
                ("up", (features, self.hidden)),
                ("down", (self.hidden, features)),
            )
        ]
        rows, gate, up, down = promote(self.compute_dtype, rows, *kernels)
        order = jnp.argsort(chosen.reshape(-1), stable=True)
        owner = order // self.top_k  # whose row stands where the rows are sorted by expert
        sizes = sizes.astype(jnp.int32)
        mine = rows[owner]
        inner = self.activation(lax.ragged_dot(mine, gate, sizes))
        y = lax.ragged_dot(inner * lax.ragged_dot(mine, up, sizes), down, sizes)
        y = y * weights.reshape(-1)[order][:, None].astype(y.dtype)
        return jnp.zeros_like(rows).at[owner].add(y).reshape(x.shape)
