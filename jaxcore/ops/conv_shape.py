"""What the forms of a convolution are made of: its sizes by their roles, and parts of its input."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jax import lax

from jaxcore.ops.pieces import pad_p
from jaxcore.ops.shape import reshape_p
from jaxcore.trace import aval_of, bind

__all__ = ["Conv", "axes_back", "unfold"]


@dataclass(frozen=True, slots=True)
class Conv:
    """A convolution from the shapes `x` and `y` to `out`, and its sizes by their roles."""

    x: tuple[int, ...]
    y: tuple[int, ...]
    out: tuple[int, ...]
    params: dict[str, Any]

    @property
    def dims(self) -> lax.ConvDimensionNumbers:
        return self.params["dimension_numbers"]

    @property
    def batch(self) -> int:
        return self.x[self.dims.lhs_spec[0]]

    @property
    def features(self) -> int:
        return self.x[self.dims.lhs_spec[1]]

    @property
    def out_features(self) -> int:
        return self.y[self.dims.rhs_spec[0]]

    @property
    def window(self) -> tuple[int, ...]:
        """Sizes of the kernel in space."""
        return tuple([self.y[i] for i in self.dims.rhs_spec[2:]])

    @property
    def made(self) -> tuple[int, ...]:
        """Sizes of the result in space."""
        return tuple([self.out[i] for i in self.dims.out_spec[2:]])

    def again(self, x: Any, y: Any, **changed: Any) -> Any:
        """The same convolution of other operands, with some parameters changed."""
        params = {**self.params, **changed}
        strides, padding = params.pop("window_strides"), params.pop("padding")
        return lax.conv_general_dilated(x, y, strides, padding, **params)

    def padded(self, x: Any, space: Sequence[int]) -> Any:
        """`x` with padding and dilation along its axes `space`."""
        config = [(0, 0, 0)] * x.ndim
        for axis, ends, dilation in zip(
            space, self.params["padding"], self.params["lhs_dilation"], strict=True
        ):
            config[axis] = (*ends, dilation - 1)
        return bind(pad_p, x, np.float32(0), padding_config=tuple(config))

    def windows(self, x: Any, sizes: Sequence[int], steps: str, starts: str) -> Iterator[Any]:
        """For each place among `sizes`, the part of the padded `x` that it meets.

        Places are `starts` apart, what they meet lies `steps` apart: one of them the strides, the
        other the dilation of the kernel.
        """
        space = self.dims.lhs_spec[2:]
        counts = self.made if steps == "window_strides" else self.window
        x = self.padded(x, space)
        for place in itertools.product(*map(range, sizes)):
            low, high, step = [0] * x.ndim, list(x.shape), [1] * x.ndim
            for i, axis in enumerate(space):
                low[axis] = place[i] * self.params[starts][i]
                step[axis] = self.params[steps][i]
                high[axis] = low[axis] + (counts[i] - 1) * step[axis] + 1
            yield lax.slice(x, low, high, step)

    def patches(self, x: Any, sizes: Sequence[int], steps: str, starts: str) -> Any:
        """`windows` of an `x` with its features last, side by side as features; rows of them."""
        rank = len(sizes)
        counts = self.made if steps == "window_strides" else self.window
        x = self.padded(x, range(1, rank + 1))
        for i in reversed(range(rank)):  # one axis after the other: the last varies fastest
            step, start = self.params[steps][i], self.params[starts][i]
            reach = (counts[i] - 1) * step + 1
            parts = [
                lax.slice_in_dim(x, k * start, k * start + reach, step, i + 1)
                for k in range(sizes[i])
            ]
            x = lax.concatenate(parts, x.ndim - 1) if len(parts) > 1 else parts[0]
        return x.reshape(-1, x.shape[-1])

    def product(self, a: Any, b: Any, axes: tuple[int, int]) -> Any:
        return lax.dot_general(
            a, b, (((axes[0],), (axes[1],)), ((), ())), precision=self.params["precision"]
        )


def axes_back(spec: Sequence[int], at: Sequence[int] | None = None) -> tuple[int, ...]:
    """The permutation to the layout `spec` of a value whose batch, features and space are axes
    `at`: by default the first, the last and those between.
    """
    at = at or (0, len(spec) - 1, *range(1, len(spec) - 1))
    return tuple([at[spec.index(i)] for i in range(len(spec))])


def unfold(x: Any, axis: int, size: int) -> Any:
    """Axis `axis` as two, the first of `size`."""
    shape = list(aval_of(x).shape)
    shape[axis : axis + 1] = [size, shape[axis] // size]
    return bind(reshape_p, x, new_sizes=tuple(shape))
