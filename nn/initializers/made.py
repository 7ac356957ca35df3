"""What the factories of initialisers return: values that compare, hash, pickle, copy and print."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Hashable, Sequence
from typing import Any, ParamSpec

from jaxcore import Array

from ..equality import static_key

P = ParamSpec("P")
Rule = Callable[[Any, Sequence[int], Any, Any], Array]  # key, shape, dtype, out_sharding


class Made:
    """An initialiser, and what it was made with: the factory and its arguments.

    It equals another that the same factory made with the same arguments, whatever their types say
    to Python (``1 == True``), and is pickled as the call of its factory.

    >>> import pickle
    >>> from jaxcore.nn import initializers
    >>> init = initializers.normal(0.02)
    >>> init, init == initializers.normal(0.02), pickle.loads(pickle.dumps(init)) == init
    (normal(stddev=0.02), True, True)
    """

    __slots__ = ("_fixed_key", "arguments", "factory", "init")

    def __init__(self, factory: Callable[..., Any], arguments: dict[str, Any], init: Rule) -> None:
        self.factory, self.arguments, self.init = factory, arguments, init
        self._fixed_key: Hashable | None = None
        tracers: list[Any] = []
        key = static_key(self, tracers)
        if not tracers:  # worked out once: every parameter asks for it
            self._fixed_key = key

    def __call__(
        self, key: Any, shape: Sequence[int], dtype: Any = None, out_sharding: Any = None
    ) -> Array:
        dtype = self.arguments.get("dtype") if dtype is None else dtype
        return self.init(key, shape, dtype, out_sharding)

    def _static_parts(self) -> tuple[Any, ...]:
        return self.factory.__module__, self.factory.__qualname__, self.arguments

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Made) and static_key(self) == static_key(other)

    def __hash__(self) -> int:
        return hash(static_key(self))

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self.factory, self.arguments)

    def __repr__(self) -> str:
        defaults = inspect.signature(self.factory).parameters
        given = {
            name: value
            for name, value in self.arguments.items()
            if static_key(value) != static_key(defaults[name].default)
        }
        texts = ", ".join(f"{name}={value!r}" for name, value in given.items())
        return f"{self.factory.__name__}({texts})"


def _again(factory: Callable[..., Made], arguments: dict[str, Any]) -> Made:
    return factory(**arguments)


def as_values(factory: Callable[P, Rule]) -> Callable[P, Made]:
    """A factory whose initialisers, closures by themselves, become values."""
    signature = inspect.signature(factory)

    @functools.wraps(factory)
    def make(*args: P.args, **kwargs: P.kwargs) -> Made:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return Made(make, bound.arguments, factory(*args, **kwargs))

    return make
