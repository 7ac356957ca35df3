"""Directional derivatives held against finite differences, which know nothing of any rule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

__all__ = ["check_differences"]

_STEP = 1e-2


def check_differences(
    name: str, fn: Callable[..., Any], primals: Sequence[Any], moved: Sequence[Any], along: Any
) -> None:
    """Assert that `moved` is the derivative of `fn` at `primals` in the direction `along`.

    Only float32 is fine enough for it, and only where the function is smooth at the scale of the
    step: where the differences to either side agree.
    """
    if any(x.dtype != np.float32 for x in [*primals, *moved]):
        return
    here, ahead, behind = (
        [np.asarray(y, np.float64) for y in fn(*shifted)]
        for shifted in (
            [jax.numpy.asarray(x + np.float32(h) * v) for x, v in zip(primals, along, strict=True)]
            for h in (0.0, _STEP, -_STEP)
        )
    )
    with np.errstate(invalid="ignore", over="ignore"):
        for got, y, up, down in zip(moved, here, ahead, behind, strict=True):
            right, left = (up - y) / _STEP, (y - down) / _STEP
            slope = (right + left) / 2
            smooth = np.abs(right - left) <= 0.05 * (1 + np.abs(slope))
            scale = 1 + np.abs(slope) + np.abs(y)
            wrong = smooth & ~(np.abs(np.asarray(got, np.float64) - slope) <= 1e-2 * scale)
            assert not wrong.any(), (
                f"{name}: jvp {np.asarray(got)[wrong]}, finite differences {slope[wrong]}"
            )
