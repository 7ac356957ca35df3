"""What the language models share: positions of tokens, and the check of their number."""

from __future__ import annotations

from typing import Any

import jaxcore.numpy as jnp
from jaxcore import Array

from ..errors import InputError, where
from ..module import Module


def check_length(model: Module, tokens: Any, most: int) -> None:
    """Raises unless `tokens` is (batch, length) and not too long."""
    if jnp.ndim(tokens) != 2 or tokens.shape[-1] > most:
        raise InputError(
            f"{where(model.path, type(model).__name__)}: the tokens have shape "
            f"{jnp.shape(tokens)}. Expected (batch, length) with a length of at most {most}; cut "
            "the text, or raise max_length."
        )


def token_positions(model: Any, tokens: Any, positions: Any) -> Array:
    """The tokens' positions (batch, length); counted from 0 where none are given."""
    if positions is None:
        if model.decode and not model.initializing:
            raise InputError(
                f"{where(model.path, type(model).__name__)}: with decode=True the positions of the "
                "tokens are needed. Pass positions=, or call nn.generate, which does."
            )
        positions = jnp.arange(tokens.shape[-1], dtype=jnp.int32)[None]
    return jnp.broadcast_to(positions, tokens.shape)
