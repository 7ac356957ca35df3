"""Shape buckets: arguments of any size run as a few executables.

An axis whose size changes from call to call is filled up to the next size of a short list, so that
200 lengths of a sequence are 10 compilations. The function is told the true size, and results that
have the axis are cut back to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from jaxcore import backend

__all__ = ["Bucket", "Buckets", "Plan"]


@dataclass(frozen=True, slots=True)
class Bucket:
    """How an argument of `jit`, or an item of the trainer's batches, is filled up.

    Attributes:
      axes: the name of the dimension that each axis is, by the axis's number: ``{1: "length"}``.
        Axes of one name have one size.
      sizes: the sizes that an axis is rounded up to; None rounds up to powers of two.
      pad: the value it is filled with.

    Example:
      >>> import numpy as np, jaxcore
      >>> @jaxcore.jit(bucket={"labels": jaxcore.Bucket({0: "n"}, sizes=(8, 64), pad=-1)})
      ... def count(labels):
      ...     return (labels >= 0).sum(), labels.shape[0] * 1.0
      >>> [(int(count(np.zeros(n))[0]), int(count(np.zeros(n))[1])) for n in (3, 8, 9)]
      [(3, 8), (8, 8), (9, 64)]
    """

    axes: Mapping[int, str]
    sizes: Sequence[int] | None = None
    pad: Any = 0

    def round_up(self, n: int) -> int | None:
        """The size that an axis of `n` is filled up to; None where it is larger than all."""
        if self.sizes is None:
            return 1 << max(0, n - 1).bit_length()
        return min((size for size in self.sizes if size >= n), default=None)

    def other(self, size: int) -> int:
        """Another size than `size`, one of its own, that the axis may be filled up to."""
        others = [n for n in self.sizes or () if n != size]
        return min(others, key=lambda n: (n < size, abs(n - size)), default=2 * size)


@dataclass(frozen=True, slots=True)
class Plan:
    """Which leaves of a tree are filled up.

    Attributes:
      paths: of all leaves, as messages name them.
      leaves: the number of each leaf that is filled up, with its rule.
    """

    paths: tuple[str, ...]
    leaves: tuple[tuple[int, Bucket], ...]


class Buckets:
    """The rules of one function or trainer: a `Bucket` for each path of an argument.

    Args:
      owner: whose they are, for messages.
      rules: by path, such as ``batch['tokens']``; the path of a tree is a rule for its leaves, and
        the longest that fits a leaf counts. Instead of a `Bucket`, its `axes`.

    Raises:
      TypeError: `rules` is no mapping, or of something else.
      ValueError: an axis or a size is not a number, or one dimension has two lists of sizes.
    """

    def __init__(self, owner: str, rules: Any) -> None:
        self.owner = owner
        if not isinstance(rules, Mapping):
            raise TypeError(
                f"{owner}: bucket={rules!r} is not a dict. Fix: name the argument, its axis and "
                "the dimension that it is, bucket={'tokens': {1: 'length'}}."
            )
        self.rules = {path: self._rule(path, rule) for path, rule in rules.items()}
        self.dimensions: dict[str, Bucket] = {}
        for path, rule in self.rules.items():
            for name in rule.axes.values():
                first = self.dimensions.setdefault(name, rule)
                if first.sizes != rule.sizes:
                    raise ValueError(
                        f"{owner}: the dimension {name!r} has the sizes {first.sizes} and, in "
                        f"bucket[{path!r}], {rule.sizes}. Fix: give it the same in all."
                    )

    def _rule(self, path: Any, rule: Any) -> Bucket:
        where = f"{self.owner}: bucket[{path!r}]"
        rule = Bucket(rule) if isinstance(rule, Mapping) else rule
        if not isinstance(path, str) or not isinstance(rule, Bucket):
            raise TypeError(
                f"{where} is {rule!r}. Fix: the axes of an argument by their numbers, "
                "bucket={'tokens': {1: 'length'}}, or a Bucket."
            )
        for axis, name in rule.axes.items():
            if type(axis) is not int or not isinstance(name, str) or not name.isidentifier():
                raise ValueError(
                    f"{where} calls axis {axis!r} {name!r}, expected a number and the name of a "
                    "dimension. Fix: {1: 'length'}."
                )
        if rule.sizes is None:
            return rule
        sizes = tuple(rule.sizes)
        if not sizes or any(type(n) is not int or n < 1 for n in sizes):
            raise ValueError(
                f"{where} has sizes={rule.sizes!r}, expected numbers of at least 1. Fix: "
                "sizes=(64, 256, 1024)."
            )
        return Bucket(rule.axes, tuple(sorted(set(sizes))), rule.pad)

    def plan(self, paths: Sequence[str]) -> Plan:
        """Which of the leaves at `paths` are filled up."""
        found = []
        for i, path in enumerate(paths):
            fitting = [key for key in self.rules if _leads_to(key, path)]
            if fitting:
                found.append((i, self.rules[max(fitting, key=len)]))
        return Plan(tuple(paths), tuple(found))

    def unused(self, plan: Plan) -> list[str]:
        """The rules for which there is no leaf."""
        return [key for key in self.rules if not any(_leads_to(key, path) for path in plan.paths)]

    def sizes(self, plan: Plan, leaves: Sequence[Any]) -> dict[str, int]:
        """The true size of each dimension.

        Raises:
          ValueError: an array does not have the axis, or two differ in a dimension.
        """
        found: dict[str, tuple[int, str]] = {}
        for i, rule in plan.leaves:
            shape, path = np.shape(leaves[i]), plan.paths[i]
            for axis, name in rule.axes.items():
                if not -len(shape) <= axis < len(shape):
                    raise ValueError(
                        f"{self.owner}: {path} has the shape {shape}, and no axis {axis} to be "
                        f"{name!r}. Fix: correct its entry in bucket."
                    )
                n, first = found.setdefault(name, (shape[axis], path))
                if shape[axis] != n:
                    raise ValueError(
                        f"{self.owner}: {first} has {n} in dimension {name!r}, {path} has "
                        f"{shape[axis]} (axis {axis} of {shape}). Fix: give both the same, or the "
                        "dimensions different names."
                    )
        return {name: n for name, (n, _) in found.items()}

    def rounded(self, sizes: Mapping[str, int]) -> dict[str, int]:
        """What each dimension is filled up to.

        Raises:
          ValueError: a size is larger than all that are listed.
        """
        found = {}
        for name, n in sizes.items():
            size = self.dimensions[name].round_up(n)
            if size is None:
                listed = self.dimensions[name].sizes
                raise ValueError(
                    f"{self.owner}: dimension {name!r} is {n}, and the sizes of its bucket end at "
                    f"{max(listed or ())}. Fix: add a size to {listed}, or cut the arrays."
                )
            found[name] = size
        return found

    def filled(
        self,
        plan: Plan,
        leaves: Sequence[Any],
        sizes: Mapping[str, int],
        fill: Callable[..., Any],
    ) -> list[Any]:
        """`leaves` where each that has a rule is ``fill(x, shape, pad)``."""
        out = list(leaves)
        for i, rule in plan.leaves:
            shape = list(np.shape(out[i]))
            for axis, name in rule.axes.items():
                shape[axis] = sizes[name]
            if tuple(shape) != np.shape(out[i]):
                try:
                    out[i] = fill(out[i], tuple(shape), rule.pad)
                except (TypeError, OverflowError, ValueError) as error:
                    raise ValueError(
                        f"{self.owner}: {plan.paths[i]} cannot be filled up with {rule.pad!r}: "
                        f"{error}. Fix: a value of its dtype as `pad` of its Bucket."
                    ) from None
        return out


def _leads_to(key: str, path: str) -> bool:
    return path == key or (path.startswith(key) and path[len(key)] in "[./")


def fill_host(x: Any, shape: tuple[int, ...], pad: Any) -> np.ndarray:
    """The NumPy array `x` at the start of one of `shape`, the rest of it `pad`."""
    x = np.asarray(x)
    value = np.asarray(pad).astype(x.dtype)
    if value.ndim or not np.array_equal(value, np.asarray(pad), equal_nan=value.dtype.kind == "f"):
        raise TypeError(f"{pad!r} is not a value of {x.dtype}")
    out = np.full(shape, value, x.dtype)
    out[tuple(map(slice, x.shape))] = x
    return out


def fill(x: Any, shape: tuple[int, ...], pad: Any) -> Any:
    """`fill_host` of any array, where it was put; of a type, the type.

    An array on a device comes to the host: there, filling up needs no executable for each size.
    """
    if isinstance(x, np.ndarray):
        return fill_host(x, shape, pad)
    if not isinstance(x, jax.Array):
        return jax.ShapeDtypeStruct(shape, x.dtype)
    if backend.is_extended(x.dtype):
        raise TypeError("random keys are not numbers")
    out = jax.device_put(fill_host(x, shape, pad), backend.committed_sharding(x))
    return backend.with_weak_type(out, x.weak_type)


def cut(x: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """The start of `x` that has `shape`; through the host, as `fill`."""
    start = tuple(map(slice, shape))
    if backend.is_extended(x.dtype) or len(x.devices()) > 1:
        return x[start]
    out = jax.device_put(np.asarray(x)[start], backend.committed_sharding(x))
    return backend.with_weak_type(out, x.weak_type)
