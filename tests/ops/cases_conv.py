"""Cases of convolutions and sliding windows."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from ops.cases_elementwise import lax_of
from ops.harness import Case

RNG = np.random.default_rng(0)


def normal(*shape: int, dtype: Any = np.float32) -> Any:
    return RNG.normal(size=shape).astype(dtype)


def conv(**settings: Any) -> Any:
    def fn(np_like: Any, x: Any, kernel: Any) -> Any:
        settings.setdefault("dimension_numbers", ("NHWC", "HWIO", "NHWC"))
        return lax_of(np_like).conv_general_dilated(x, kernel, **settings)

    return fn


def in_front(np_like: Any, x: Any, kernel: Any) -> Any:
    lax = lax_of(np_like)
    return (
        lax.conv(x, kernel, (1, 2), "SAME"),
        lax.conv_with_general_padding(x, kernel, (1, 1), [(1, 0), (0, 1)], (2, 1), (1, 1)),
        lax.conv_transpose(x, kernel, (2, 2), "SAME", dimension_numbers=("NCHW", "OIHW", "NCHW")),
    )


def one_axis(np_like: Any, x: Any, kernel: Any, half: Any) -> Any:
    lax = lax_of(np_like)
    return (
        lax.conv_general_dilated(x, kernel, (1,), "SAME"),
        lax.conv_general_dilated(x, kernel[:, :, ::2], (1,), "SAME_LOWER", rhs_dilation=(2,)),
        lax.conv_general_dilated(half, half, (1,), "VALID", preferred_element_type=np.float32),
    )


def windows(name: str, init: Any) -> Any:
    def fn(np_like: Any, x: Any) -> Any:
        lax = lax_of(np_like)
        run = lambda *args: lax.reduce_window(x, init, getattr(lax, name), *args)
        return (
            run((1, 2, 2, 1), (1, 2, 2, 1), "VALID"),
            run((1, 3, 2, 1), (1, 1, 2, 1), "SAME"),
            run((1, 2, 1, 1), (1, 1, 1, 1), ((0, 0), (1, 0), (0, 1), (0, 0)), (1, 2, 1, 1)),
        )

    return fn


def other_windows(np_like: Any, i: Any, half: Any) -> Any:
    lax = lax_of(np_like)
    low = np.iinfo(np.int32).min
    return (
        lax.reduce_window(i, low, lax.max, (2, 2), (1, 1), "SAME"),
        lax.reduce_window(i, 0, lax.add, (2, 1), (2, 1), "VALID", window_dilation=(2, 1)),
        lax.reduce_window(half, -np.inf, lax.max, (2, 2), (2, 2), "VALID"),
        lax.reduce_window(half, 0.0, lax.add, (2, 2), (1, 1), "VALID"),
    )


def distinct(*shape: int) -> Any:
    """No two elements equal, so that a maximum has a derivative."""
    return (
        RNG.permutation(np.linspace(-2, 2, int(np.prod(shape)))).reshape(shape).astype(np.float32)
    )


IMAGE = normal(4, 7, 6, 4)

CASES = [
    Case("conv", conv(window_strides=(1, 1), padding="SAME"), (IMAGE, normal(3, 2, 4, 6)),
         tol=1e-4),
    Case("conv with strides", conv(window_strides=(2, 1), padding="VALID", rhs_dilation=(1, 2)),
         (IMAGE, normal(3, 2, 4, 2)), tol=1e-4, second=True),
    Case("conv in groups",
         conv(window_strides=(2, 2), padding=((1, 0), (0, 2)), lhs_dilation=(2, 1),
              rhs_dilation=(2, 1), feature_group_count=2),
         (IMAGE, normal(3, 2, 2, 4)), tol=1e-4),
    Case("conv of each feature", conv(window_strides=(1, 1), padding="SAME", feature_group_count=4),
         (IMAGE, normal(3, 3, 1, 4)), tol=1e-4),
    Case("conv in groups of the batch",
         conv(window_strides=(1, 2), padding="SAME", batch_group_count=2),
         (IMAGE, normal(3, 2, 4, 4)), tol=1e-4),
    Case("conv, features in front", in_front, (normal(2, 3, 5, 4), normal(3, 3, 2, 2)), tol=1e-4),
    Case("conv over one axis", one_axis,
         (normal(2, 3, 6), normal(4, 3, 3), normal(2, 2, 2, dtype=jnp.bfloat16)), tol=1e-4),
    Case("conv of nothing", conv(window_strides=(1, 1), padding="SAME"),
         (normal(0, 4, 4, 2), normal(2, 2, 2, 3))),
    Case("window sum", windows("add", 0.0), (distinct(2, 4, 4, 2),)),
    Case("window max", windows("max", -np.inf), (distinct(2, 4, 4, 2),)),
    Case("window min", windows("min", np.inf), (distinct(2, 4, 4, 2),)),
    Case("windows of other types", other_windows,
         (np.arange(12, dtype=np.int32).reshape(3, 4) % 5, distinct(4, 4).astype(jnp.bfloat16))),
]  # fmt: skip
