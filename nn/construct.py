"""How a `Module` class is made and how an instance gets its name.

Every subclass becomes a frozen dataclass; its methods become entry points, which open a frame when
another module calls them; an instance constructed inside a running module is named there.
"""

from __future__ import annotations

import abc
import dataclasses
import functools
import inspect
import types
from collections.abc import Callable
from typing import Any, dataclass_transform

import jax.tree_util

from . import scope
from .errors import InputError, NameInUseError, UnboundModuleError, where
from .scope import Frame


class FrozenDict(dict[Any, Any]):
    """A dict in a module's field: readable as any dict, closed to writes."""

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise TypeError(
            "a dict held by a module cannot change: modules are static. Build a new module with "
            "dataclasses.replace(module, field=...)."
        )

    __setitem__ = __delitem__ = clear = pop = popitem = setdefault = update = _refuse
    __ior__ = _refuse  # type: ignore[assignment]

    def __reduce__(self) -> Any:
        return FrozenDict, (dict(self),)


jax.tree_util.register_pytree_node(
    FrozenDict,
    lambda d: (tuple(d.values()), tuple(d)),
    lambda names, values: FrozenDict(zip(names, values, strict=True)),
)


def _frozen(value: Any) -> Any:
    if type(value) is list or type(value) is tuple:
        return tuple(_frozen(v) for v in value)
    if type(value) is dict:
        return FrozenDict({k: _frozen(v) for k, v in value.items()})
    return value


def _owned(value: Any) -> Any:
    """A copy with new instances of every module inside: a default belongs to no one yet."""
    if hasattr(type(value), "_static_key"):
        copy = object.__new__(type(value))
        for name, part in value.__getstate__().items():
            object.__setattr__(copy, name, _owned(part))
        return copy
    if type(value) is tuple:
        return tuple(map(_owned, value))
    if type(value) is FrozenDict:
        return FrozenDict({k: _owned(v) for k, v in value.items()})
    return value


class ModuleMeta(abc.ABCMeta):
    """Finishes an instance: freezes its fields, copies defaults, names it where it is made."""

    _defaults: tuple[tuple[str, Any], ...]  # of the dataclass's fields, by name

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        outermost = not scope.is_constructing()
        with scope.constructing():
            module = super().__call__(*args, **kwargs)
        for name, default in cls._defaults:
            value = getattr(module, name)
            frozen = _frozen(value)
            if value is default and value is not None:
                frozen = _owned(frozen)
            if frozen is not value:
                object.__setattr__(module, name, frozen)
        frame = scope.current()
        if frame is not None and outermost:
            _adopt(frame, module)
        return module


def _adopt(frame: Frame, module: Any) -> None:
    """Names a module just constructed inside `frame`'s module."""
    name = module.name
    if name is None:
        kind = type(module).__name__
        if frame.method != "__call__":
            raise UnboundModuleError(
                f"{where(frame.path, type(frame.module).__name__)} was entered by its method "
                f"'{frame.method}', which constructs a {kind} without a name. Automatic names "
                "count from the start of __call__, so another method would meet another layer's "
                f"parameters. Make the {kind} a dataclass field, or give it name=."
            )
        number = frame.counters.get(kind, 0)
        frame.counters[kind] = number + 1
        name = f"{kind}_{number}"
    take_name(frame, name, f"a {type(module).__name__}")
    scope.bind(frame.run, module, (*frame.path, name))


def take_name(frame: Frame, name: str, what: str) -> None:
    """Marks `name` as taken in this call of the frame's module; raises if it is already."""
    if not isinstance(name, str) or not name or "/" in name:
        raise InputError(
            f"{where(frame.path, type(frame.module).__name__)}: {name!r} cannot be the name of "
            f"{what}. Expected a non-empty string without '/'."
        )
    if name in frame.names:
        raise NameInUseError(
            f"{where(frame.path, type(frame.module).__name__)}: the name '{name}' is wanted by "
            f"{what}, and {frame.names[name]} has it already. Give one of them another name; to "
            "share parameters, construct one instance and call it twice."
        )
    frame.names[name] = what


def _entry_point(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Makes a method enter its module's frame when another module calls it."""
    positions = {name: i for i, name in enumerate(inspect.signature(fn).parameters)}
    is_call = fn.__name__ == "__call__"

    @functools.wraps(fn)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        frame = scope.current()
        if frame is None and is_call:
            from .graph import Symbol, is_symbolic

            if is_symbolic((args, kwargs)):
                return Symbol(self, args, kwargs)
            raise UnboundModuleError(
                f"{type(self).__name__} is called outside init and apply, where it has no "
                "parameters. Use variables = module.init(key, x), then module.apply(variables, x)."
            )
        if frame is None or (not is_call and id(self) not in frame.run.bound):
            return fn(self, *args, **kwargs)
        dtype = kwargs.pop("dtype", None) if "dtype" not in positions else None
        train, kwargs = ambient_train(positions, self, args, kwargs, frame.train)
        if frame.module is not self:
            scope.child_path(self)
            return scope.call_child(self, fn, args, kwargs, train, dtype)
        outer = frame.train, frame.dtype
        frame.train = train
        frame.dtype = frame.dtype if dtype is None else dtype
        try:
            return scope.run_method(self, fn, args, kwargs)
        finally:
            frame.train, frame.dtype = outer

    method._entry_point = fn  # type: ignore[attr-defined]
    return method


def ambient_train(
    positions: dict[str, int], module: Any, args: Any, kwargs: dict[str, Any], outer: bool
) -> tuple[bool, dict[str, Any]]:
    """The mode of a call and its keyword arguments.

    A method with a parameter `train` of its own gets the mode there; from another, the keyword is
    taken away.
    """
    position = positions.get("train")
    if position is None:
        given = kwargs.pop("train", None)
        return (outer if given is None else check_train(given, module)), kwargs
    if len(args) >= position > 0:  # position counts `self`
        return check_train(args[position - 1], module), kwargs
    given = kwargs.get("train")
    train = outer if given is None else check_train(given, module)
    return train, {**kwargs, "train": train}


def check_train(train: Any, module: Any) -> bool:
    """The mode, if it is a Python bool."""
    if isinstance(train, bool):
        return train
    raise InputError(
        f"{type(module).__name__}: train={train!r} is not a Python bool. The mode is decided while "
        "tracing: pass True or False, and make it static under jit "
        "(jit(f, static_argnames='train'))."
    )


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
class ModuleClass(metaclass=ModuleMeta):
    """Base of `Module`: tells type checkers of the dataclass, and refuses assignment."""

    def __setattr__(self, name: str, value: Any) -> None:
        raise dataclasses.FrozenInstanceError(
            f"cannot set {type(self).__name__}.{name}: modules do not change. Make "
            "submodules in the method that calls them, or declare them and options as fields of "
            f"the class, without __init__; for another configuration use "
            f"dataclasses.replace(module, {name}=...); for a value that changes while the model "
            f"runs use self.variable('state', '{name}', init)."
        )

    def __delattr__(self, name: str) -> None:
        raise dataclasses.FrozenInstanceError(f"cannot delete {type(self).__name__}.{name}")


def as_module_class(cls: Any) -> None:
    """Turns a class body into a module: dataclass, pytree, entry points."""
    dataclasses.dataclass(frozen=True, eq=False, repr=False)(cls)
    if "setup" in vars(cls):
        cls.__getattr__ = _missing
    cls._defaults = tuple((field.name, field.default) for field in dataclasses.fields(cls))
    del cls.__setattr__, cls.__delattr__  # the dataclass's own say less than `ModuleClass`'s
    if "_static_key" not in vars(cls):  # the base class's own methods serve whoever runs
        fields = {name for name, _ in cls._defaults}
        for name, value in list(vars(cls).items()):
            named = name == "__call__" or (not name.startswith("__") and name not in fields)
            if named and type(value) is types.FunctionType and not hasattr(value, "_entry_point"):
                setattr(cls, name, _entry_point(value))
    jax.tree_util.register_pytree_node(cls, lambda m: ((), m), lambda module, _: module)


def _missing(self: Any, name: str) -> Any:
    """An attribute that a `setup` in the manner of Flax would have made."""
    raise AttributeError(
        f"{type(self).__name__}.{name} does not exist: nothing calls a module's setup(). Make "
        "submodules in the method that calls them, or declare them as fields of the class."
    )
