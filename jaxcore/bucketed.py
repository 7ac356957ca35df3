"""`jit(f, bucket=...)`: a jitted function whose arguments are filled up to a few sizes."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import MethodType
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from jaxcore import backend, errors
from jaxcore.bucket import Buckets, Plan, cut, fill
from jaxcore.signature import Settings, argument_path

if TYPE_CHECKING:
    from jaxcore.jit import Jitted
    from jaxcore.stages import Lowered, Traced

__all__ = ["Bucketed"]

Growth = dict[int, dict[int, tuple[str, int]]]  # number of a result: axis: dimension, offset


@dataclass(frozen=True, slots=True)
class _Call:
    """A call taken apart: its leaves, which of them are filled up, and sizes of dimensions."""

    leaves: list[Any]
    tree: Any
    plan: Plan
    sizes: dict[str, int]
    rounded: dict[str, int]
    told: dict[str, Any]


class Bucketed:  # noqa: D101 (its docstring is that of the function)
    # Wraps a `Jitted`: fills up what it is called with, and cuts back what it returns.
    __slots__ = (
        "__weakref__",
        "__wrapped__",
        "_buckets",
        "_growths",
        "_jitted",
        "_plans",
        "_settings",
        "_told",
    )

    def __init__(self, jitted: Jitted, settings: Settings, rules: Any) -> None:
        self.__wrapped__ = jitted.__wrapped__
        self._jitted = jitted
        self._settings = settings
        self._buckets = Buckets(f"jit of {jitted.__name__}", rules)
        self._told = self._check_parameters()
        self._plans: dict[Any, Plan] = {}
        self._growths: dict[Any, Growth] = {}

    def _check_parameters(self) -> list[str]:
        """The dimensions whose size the function takes as an argument."""
        owner = self._buckets.owner
        try:
            parameters = inspect.signature(self.__wrapped__).parameters
        except (ValueError, TypeError):
            return []
        variadic = any(p.kind == p.VAR_KEYWORD for p in parameters.values())
        for path in self._buckets.rules:
            name = _argument(path)
            if name not in parameters and not variadic:
                raise ValueError(
                    f"{owner}: bucket names {path!r}, and there is no argument {name!r}; its "
                    f"arguments are {', '.join(parameters) or 'none'}. Fix: use one of their names."
                )
            if name in self._settings.static_argnames:
                raise ValueError(
                    f"{owner}: the argument {name!r} is static and in bucket. Fix: bucket arrays."
                )
        told = [name for name in self._buckets.dimensions if name in parameters]
        for name in told:
            if parameters[name].kind == inspect.Parameter.POSITIONAL_ONLY:
                raise ValueError(
                    f"{owner}: the size of {name!r} is given by its name, and the parameter takes "
                    f"none. Fix: write it behind a star, def {self.__name__}(..., *, {name})."
                )
        return told

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not backend.at_top_level():  # what encloses this is compiled for the sizes as they are
            call = self._taken_apart(args, kwargs)
            return self._jitted(*args, **kwargs, **call.told)
        call = self._filled(args, kwargs)
        args, kwargs = jax.tree.unflatten(call.tree, call.leaves)
        result = self._jitted(*args, **kwargs, **call.told)
        outputs, tree = jax.tree.flatten(result)
        if not any(map(np.ndim, outputs)):
            return result
        growth = self._growth(call, [np.shape(x) for x in outputs])
        for i, axes in growth.items():
            shape = list(np.shape(outputs[i]))
            for axis, (name, offset) in axes.items():
                shape[axis] = max(0, call.sizes[name] + offset)
            if tuple(shape) != np.shape(outputs[i]):
                outputs[i] = cut(outputs[i], tuple(shape))
        return jax.tree.unflatten(tree, outputs)

    @errors.explained
    def _taken_apart(self, args: Any, kwargs: Any) -> _Call:
        for name in self._told:
            if name in kwargs:
                raise TypeError(
                    f"{self._buckets.owner}: {name!r} was passed, and bucket gives it: it is the "
                    "true size of that dimension. Fix: leave it out of the call."
                )
        leaves, tree = jax.tree.flatten((args, kwargs))
        plan = self._plans.get(tree)
        if plan is None:
            plan = self._plans[tree] = self._plan(args, kwargs)
        sizes = self._buckets.sizes(plan, leaves)
        told = {name: np.int32(sizes[name]) for name in self._told if name in sizes}
        return _Call(leaves, tree, plan, sizes, sizes, told)

    @errors.explained
    def _filled(self, args: Any, kwargs: Any) -> _Call:
        call = self._taken_apart(args, kwargs)
        rounded = self._buckets.rounded(call.sizes)
        leaves = self._buckets.filled(call.plan, call.leaves, rounded, fill)
        return replace(call, leaves=leaves, rounded=rounded)

    def _plan(self, args: Any, kwargs: Any) -> Plan:
        flat = jax.tree_util.tree_flatten_with_path((args, kwargs))[0]
        plan = self._buckets.plan([argument_path(path, self.__wrapped__) for path, _ in flat])
        for key in self._buckets.unused(plan):
            if key != _argument(key):  # an argument may be left out, a part of one is misspelt
                raise ValueError(
                    f"{self._buckets.owner}: bucket names {key!r}, and the call has "
                    f"{', '.join(plan.paths) or 'no arrays'}. Fix: use one of these."
                )
        return plan

    @errors.explained
    def _growth(self, call: _Call, shapes: Sequence[tuple[int, ...]]) -> Growth:
        """Which axes of the results, of `shapes` for the filled-up arguments, grow with which
        dimension.

        Found by tracing the function for one more size of each dimension, and remembered.
        """
        args, kwargs = jax.tree.unflatten(call.tree, call.leaves)
        static = [x for n, x in enumerate(args) if n in self._settings.static_argnums]
        static += [x for name, x in kwargs.items() if name in self._settings.static_argnames]
        key = (call.tree, tuple([np.shape(x) for x in call.leaves]), tuple(static))
        found = self._growths.get(key)
        if found is None:
            found = self._growths[key] = self._measured(call, shapes)
        return found

    def _measured(self, call: _Call, shapes: Sequence[tuple[int, ...]]) -> Growth:
        growth: Growth = {}
        for name, size in call.rounded.items():
            other = self._buckets.dimensions[name].other(size)
            sizes = {**call.rounded, name: other}
            leaves = self._buckets.filled(call.plan, call.leaves, sizes, _type)
            args, kwargs = jax.tree.unflatten(call.tree, leaves)
            results = self._jitted.eval_shape(*args, **kwargs, **call.told)
            for i, (path, result) in enumerate(jax.tree_util.tree_leaves_with_path(results)):
                for axis, (n, m) in enumerate(zip(shapes[i], result.shape, strict=True)):
                    if n == m:
                        continue
                    if m - n != other - size or n > size or axis in growth.get(i, {}):
                        where = f"axis {axis} of the result{jax.tree_util.keystr(path)}"
                        raise ValueError(
                            f"{self._buckets.owner}: {where} is {n} where {name!r} is {size}, and "
                            f"{m} where it is {other}, so it cannot be cut back to the true size. "
                            f"Fix: return an axis that is {name!r} itself, with the filling at its "
                            "end, or reduce it in the function."
                        )
                    growth.setdefault(i, {})[axis] = (name, n - size)
        return growth

    def trace(self, *args: Any, **kwargs: Any) -> Traced:
        """Trace for these arguments, filled up, without compiling."""
        call = self._filled(args, kwargs)
        args, kwargs = jax.tree.unflatten(call.tree, call.leaves)
        return self._jitted.trace(*args, **kwargs, **call.told)

    def lower(self, *args: Any, **kwargs: Any) -> Lowered:
        """Trace and lower for these arguments, filled up, without compiling."""
        return self.trace(*args, **kwargs).lower()

    def eval_shape(self, *args: Any, **kwargs: Any) -> Any:
        """The types of the result."""
        told = self._taken_apart(args, kwargs).told
        return self._jitted.eval_shape(*args, **kwargs, **told)

    def clear_cache(self) -> None:
        """Forget what was traced and compiled."""
        self._jitted.clear_cache()
        self._growths.clear()

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else MethodType(self, instance)

    def __repr__(self) -> str:
        return repr(self._jitted)

    @property
    def __name__(self) -> str:
        return self._jitted.__name__

    @property
    def __doc__(self) -> str | None:  # type: ignore[override]
        return self._jitted.__doc__


def _argument(path: str) -> str:
    return path.partition("[")[0].partition(".")[0]


def _type(x: Any, shape: tuple[int, ...], pad: Any) -> Any:
    return jax.ShapeDtypeStruct(shape, x.dtype)
