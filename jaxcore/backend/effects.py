"""Effects: which of them keep their order, and JAX's callback for debugging."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from jax._src import core, debugging, effects

debug_callback_p = debugging.debug_callback_p


def debug_effect(ordered: bool) -> Any:
    """The effect that calls for debugging declare."""
    return debugging.ordered_debug_effect if ordered else debugging.debug_effect


def is_value(x: Any) -> bool:
    """True for what a primitive takes as an operand: arrays, tracers and numbers."""
    try:
        core.shaped_abstractify(x)
    except (AssertionError, TypeError):
        return False
    return True


def ordered_effects(found: Iterable[Any]) -> list[Any]:
    """Those of the effects `found` that must happen in program order, always in the same order."""
    return sorted(effects.ordered_effects.filter_in(found), key=str)
