"""The pieces of `init` and `apply`: root frame, random streams, mutability, updates, `Variable`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import jaxcore.numpy as jnp
from jaxcore import random
from jaxcore.errors import describe_type

from .construct import ambient_train
from .errors import ImmutableVariableError, InputError, MissingVariableError, where
from .scope import Frame, dtype_of
from .state import TRANSIENT, Path, Run, flatten, unflatten

if TYPE_CHECKING:
    from .module import Module

Streams = dict[str | None, Any]


class Variable:
    """A value that the module keeps between calls, such as a running mean.

    Read and write it through `value`; writing needs the collection in ``apply(mutable=...)``.
    """

    __slots__ = ("_frame", "_path")

    def __init__(self, frame: Frame, path: Path):
        self._frame = frame
        self._path = path

    @property
    def value(self) -> Any:
        return self._frame.run.get(self._path)

    @value.setter
    def value(self, new: Any) -> None:
        run, collection = self._frame.run, self._path[0]
        kind = type(self._frame.module).__name__
        if not (run.initializing or run.mutable(collection)):
            raise ImmutableVariableError(
                f"{where(self._frame.path, kind)} writes '{collection}/{self._path[-1]}', and this "
                f"apply may not change '{collection}'. Use y, updates = model.apply(..., "
                f"mutable=['{collection}']), or train=False if the values are to stay."
            )
        run.put(self._path, new, kind)


def rng_streams(rngs: Any) -> Streams:
    """Keys by stream; one key for every stream stands under None."""
    if rngs is None:
        return {}
    if isinstance(rngs, dict):
        return {name: _as_key(key, f"rngs['{name}']") for name, key in rngs.items()}
    return {None: _as_key(rngs, "rngs")}


def _as_key(key: Any, argument: str) -> Any:
    if isinstance(key, int) and not isinstance(key, bool):
        return random.key(key)
    dtype = getattr(key, "dtype", None)
    if dtype is not None and hasattr(key, "shape") and not jnp.issubdtype(dtype, jnp.inexact):
        return key
    raise InputError(
        f"{argument} is of type {describe_type(key)}. Expected a key, jaxcore.random.key(0), or a "
        "dict of keys by stream, {'params': key, 'dropout': key}; in init it comes first: "
        "init(key, x)."
    )


def mutability(mutable: bool | str | Iterable[str]) -> Callable[[str], bool]:
    """A test for whether a collection may be written."""
    if isinstance(mutable, bool):
        return lambda _: mutable
    names = frozenset([mutable] if isinstance(mutable, str) else mutable)
    if not all(isinstance(name, str) for name in names):
        raise InputError(
            f"mutable={mutable!r}: expected False, True, or names of collections such as "
            "['batch_stats']."
        )
    return names.__contains__


def with_intermediates(mutable: bool | str | Iterable[str]) -> bool | list[str]:
    """`mutable` and the intermediates."""
    if isinstance(mutable, bool):
        return True if mutable else ["intermediates"]
    return [*([mutable] if isinstance(mutable, str) else mutable), "intermediates"]


def root_frame(
    run: Run,
    module: Module,
    method: str | Callable[..., Any] | None,
    keys: Streams,
    train: bool,
    dtype: Any,
    args: tuple[Any, ...] = (),
    kwargs: dict[str, Any] | None = None,
) -> tuple[Frame, Callable[..., Any], dict[str, Any]]:
    """The outermost frame, the function to run in it, and that function's keyword arguments."""
    fn = _resolve(module, method)
    positions = {name: i for i, name in enumerate(inspect.signature(fn).parameters)}
    kwargs = dict(kwargs or {})
    if "train" in positions:
        train, kwargs = ambient_train(positions, module, args, kwargs, train)
    if isinstance(dtype, Mapping):
        for rule in dtype:
            if not isinstance(rule, (str, type)):
                raise InputError(
                    f"{type(module).__name__}: dtype has the rule {rule!r}. Expected globs of "
                    "modules' paths, such as 'head' or '**', or classes of modules."
                )
        run.dtypes = tuple(dtype.items())
        dtype = dtype_of(run, module, (), None)
    name = "__call__" if method is None else getattr(fn, "__name__", "method")
    return Frame(run, module, (), name, train, dtype, keys), fn, kwargs


def _resolve(module: Module, method: str | Callable[..., Any] | None) -> Callable[..., Any]:
    if method is None:
        method = "__call__"
    if isinstance(method, str):
        found = getattr(type(module), method, None)
        if not callable(found):
            raise InputError(
                f"{type(module).__name__} has no method '{method}'. Expected the name of one of "
                "its methods, or a function that takes the module first."
            )
        return getattr(found, "_entry_point", found)
    method = getattr(method, "__func__", method)  # model.encode as well as Model.encode
    return getattr(method, "_entry_point", method)


def updates(run: Run) -> dict[str, Any]:
    """The collections that the run could write, in full; transient ones as written now."""
    written = run.layers[0].values
    collections = {path[0] for path in written} | set(run.variables)
    leaves: dict[Path, Any] = {}
    for collection in sorted(filter(run.mutable, collections)):
        if collection not in TRANSIENT:
            for path, value in flatten(run.variables.get(collection, {})):
                leaves[(collection, *path)] = value
        for path, value in written.items():
            if path[0] == collection:
                leaves[path] = value
    return unflatten(leaves)


def missing(frame: Frame, path: Path) -> MissingVariableError:
    """The error for a variable that was not given."""
    collection, name = path[0], path[-1]
    kind = type(frame.module).__name__
    variables = frame.run.variables
    if collection not in variables:
        given = ", ".join(map(repr, variables)) or "none"
        hint = ""
        if collection == "params" and variables:
            hint = " If you passed the parameters alone, wrap them: {'params': params}."
        return MissingVariableError(
            f"{where(frame.path, kind)} needs '{collection}/{name}', and the variables have no "
            f"collection '{collection}' (collections given: {given}). Pass what model.init "
            f"returned, or let apply create it with mutable=['{collection}'].{hint}"
        )
    node, reached = variables[collection], 1
    while reached < len(path) and hasattr(node, "keys") and path[reached] in node:
        node, reached = node[path[reached]], reached + 1
    has = ", ".join(map(repr, node)) if hasattr(node, "keys") and node else "nothing"
    return MissingVariableError(
        f"{where(frame.path, kind)} needs '{'/'.join(path)}', which the variables do not have: "
        f"'{'/'.join(path[:reached])}' holds {has}. Pass the variables of this model's init; "
        "if the model changed since they were saved, initialise again or rename the entries."
    )
