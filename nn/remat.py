"""`Remat`: computes a block again in the backward pass instead of keeping what it computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jaxcore

from .arrays import split_arrays
from .module import Module
from .state import Path


class Remat(Module):
    """``block``, without its intermediate values in memory between forward and backward pass.

    Parameters stand under ``block``; state and sown values pass through. Together with `Repeat`,
    ``nn.Repeat(nn.Remat(Block()), n)``, memory grows by one input a layer.

    Args:
      block: any module.
      policy: which values may be kept, as `jaxcore.checkpoint` takes it.

    Chen et al. 2016, https://arxiv.org/abs/1604.06174

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn, random
    >>> nn.Remat(nn.Dense(4)).init(random.key(0), jnp.ones((2, 3)))["params"]["block"]["bias"].shape
    (4,)
    """

    block: Module
    policy: Callable[..., Any] | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        frame = self._frame("__call__")
        run = frame.run
        if run.plan is not None:
            return self.block(*args, **kwargs)
        written: list[Path] = []
        outer, count = frame.keys, frame.count

        arrays, join = split_arrays((args, kwargs, frame.stream_keys()))

        def body(arrays: list[Any]) -> Any:
            args, kwargs, frame.keys = join(arrays)
            frame.count = count
            with run.layer() as layer:
                out = self.block(*args, **kwargs)
            written[:] = layer.values
            return out, list(layer.values.values())

        try:
            out, values = jaxcore.checkpoint(body, policy=self.policy)(arrays)
        finally:
            frame.keys = outer
        for path, value in zip(written, values, strict=True):
            run.put(path, value, "Remat")
        return out
