"""What surrounds a module's call: the frame, its random keys, and how a submodule is called.

A `Frame` is one call of one module: path, mode, dtype, names taken and keys. Frames stand in a
thread-local stack; `Module` asks it who is being called. The values live in `state.Run`.

While the engine stages a program, each call of a submodule is traced by `jaxcore.block` into a
function of its own. Nothing traced inside may leave except as an output, so a call gets a fresh
layer for its writes, returns them beside its result, and they are written again outside.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import FunctionType
from typing import TYPE_CHECKING, Any

import jaxcore
from jaxcore import errors, random

from .errors import MissingRngError, UnboundModuleError, where
from .filters import matches
from .state import MISSING, Path, Run

if TYPE_CHECKING:
    from .module import Module


def fold_name(key: Any, name: str) -> Any:
    """Folds a name into a key, the same on every machine and in every process."""
    return random.fold_in(key, zlib.crc32(name.encode()))


@dataclass(slots=True, eq=False)
class Frame:
    """One call of one module."""

    run: Run
    module: Module
    path: Path
    method: str
    train: bool
    dtype: Any
    keys: dict[str | None, Any] | None  # None: derive from the caller's, at each use
    caller: Frame | None = None
    scopes: Path = ()  # where it is called from, as the program's equations say it
    index: int = 0  # which of the caller's calls this is; folded into its keys
    count: int = 0
    counters: dict[str, int] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    def stream_keys(self) -> dict[str | None, Any]:
        """This call's key of each stream; one key for every stream stands under None."""
        if self.keys is not None:
            return self.keys
        outer = self.caller.stream_keys() if self.caller is not None else {}
        return {name: random.fold_in(key, self.index) for name, key in outer.items()}

    def make_key(self, stream: str) -> Any:
        """The next key of a stream."""
        keys = self.stream_keys()
        number, self.count = self.count, self.count + 1
        if self.run.plan is not None:
            self.run.plan.uses += 1
        if None in keys:  # one key for everything
            return random.fold_in(fold_name(keys[None], stream), number)
        if stream not in keys and self.run.initializing and "params" in keys:
            stream = "params"
        if stream not in keys:
            given = ", ".join(map(repr, keys)) or "none"
            raise MissingRngError(
                f"{where(self.path, type(self.module).__name__)} needs a key of the random stream "
                f"'{stream}'. Streams given: {given}. Pass rngs=key (one key for every stream) or "
                f"rngs={{'{stream}': key}}."
            )
        return random.fold_in(keys[stream], number)

    def name_of(self, value: Any) -> errors.Name | None:
        """The path of the variable that has this very value."""
        for path, leaf in self.run.values():
            if leaf is value:
                return errors.Name("/".join(path[1:]))
        return None


class _Stack(threading.local):
    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.constructing = 0  # depth of module constructors that are running
        self.interceptors: list[Callable[..., Any]] = []


_stack = _Stack()


def current() -> Frame | None:
    """The frame of the module that is being called, or None outside `init` and `apply`."""
    return _stack.frames[-1] if _stack.frames else None


def frame_of(module: Module) -> Frame | None:
    """The innermost frame that calls `module` itself."""
    for frame in reversed(_stack.frames):
        if frame.module is module:
            return frame
    return None


@contextlib.contextmanager
def constructing() -> Iterator[None]:
    """While a module's constructor runs, modules made by its defaults belong to it."""
    _stack.constructing += 1
    try:
        yield
    finally:
        _stack.constructing -= 1


def is_constructing() -> bool:
    """Whether some module's constructor is running."""
    return _stack.constructing > 0


@contextlib.contextmanager
def entered(frame: Frame) -> Iterator[None]:
    """While the frame's module runs, it is the current one, and errors say so."""
    _stack.frames.append(frame)
    try:
        with errors.Boundary(frame.name_of, lambda: where(frame.path, type(frame.module).__name__)):
            yield
    finally:
        _stack.frames.remove(frame)


def run_root(frame: Frame, fn: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Runs the outermost module's method."""
    bind(frame.run, frame.module, frame.path)
    reserve_fields(frame)
    if frame.run.opener is not None:
        frame.run.opener(frame.path, ())
    with entered(frame):
        out = run_method(frame.module, fn, args, kwargs)
        capture(frame, fn.__name__, out)
    if frame.run.listener is not None:
        frame.run.listener(frame.path, frame.module, out)
    return out


@contextlib.contextmanager
def intercepting(interceptor: Callable[..., Any]) -> Iterator[None]:
    """While this is open, `interceptor` stands around every method that is run."""
    _stack.interceptors.append(interceptor)
    try:
        yield
    finally:
        _stack.interceptors.pop()


def run_method(module: Module, fn: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """The method itself, and around it the interceptors, the latest outermost."""
    if not _stack.interceptors:
        return fn(module, *args, **kwargs)
    call: Callable[..., Any] = functools.partial(fn, module)
    for interceptor in _stack.interceptors:
        call = functools.partial(interceptor, call, module, fn.__name__)
    return call(*args, **kwargs)


def capture(frame: Frame, method: str, out: Any) -> None:
    """Keeps a method's result among the intermediates, if the run is asked for it."""
    run = frame.run
    if run.capture is not None and run.capture(frame.module, method):
        path = ("intermediates", *frame.path, method)
        old = run.get(path)
        run.put(path, (out,) if old is MISSING else (*old, out))


def call_child(
    module: Module, fn: Callable[..., Any], args: Any, kwargs: Any, train: bool | None, dtype: Any
) -> Any:
    """Runs a method of a submodule in a frame of its own; while staging, as a shared block."""
    caller = _stack.frames[-1]
    run = caller.run
    path = run.bound[id(module)][1]
    relative = _relative(caller, module, path)
    frame = Frame(
        run,
        module,
        path,
        fn.__name__,
        caller.train if train is None else train,
        dtype_of(run, module, path, caller.dtype) if dtype is None else dtype,
        None,
        caller,
        (*caller.scopes, *relative),
        caller.count,
    )
    caller.count += 1
    if type(module).uses_rng:
        # Folded here, outside the block and with an index, so that equal blocks stay one program.
        frame.keys = frame.stream_keys()
    reserve_fields(frame)
    if run.opener is not None:
        run.opener(path, frame.scopes)
    with jaxcore.name_scope("/".join(relative)):
        if jaxcore.is_staging() and run.plan is None and not type(module).inline:
            out = _call_block(frame, fn, args, kwargs)
        else:
            with entered(frame):
                out = run_method(module, fn, args, kwargs)
                capture(frame, fn.__name__, out)
    if run.listener is not None:
        run.listener(path, module, out)
    return out


def dtype_of(run: Run, module: Module, path: Path, outer: Any) -> Any:
    """The ambient dtype of a module: what the last rule for it says, else its caller's."""
    for rule, dtype in reversed(run.dtypes):
        if matches("/".join(path), rule) if isinstance(rule, str) else isinstance(module, rule):
            return dtype
    return outer


def _relative(caller: Frame, module: Module, path: Path) -> Path:
    """Where a submodule stands for its caller, the same for callers that are equal.

    One that belongs to a module further out is called what the caller's field calls it.
    """
    if path[: len(caller.path)] == caller.path:
        return path[len(caller.path) :] or (type(module).__name__,)
    held = (name for name, child in submodules(caller.module) if child is module)
    name = next(held, None)
    return path if name is None else (name,)


def _call_block(frame: Frame, fn: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    written: list[Path] = []

    def body(args: Any, kwargs: Any, keys: Any) -> Any:
        frame.keys = keys
        with frame.run.layer() as layer, entered(frame):
            out = run_method(frame.module, fn, args, kwargs)
            capture(frame, fn.__name__, out)
        written[:] = layer.values
        return out, list(layer.values.values())

    out, values = jaxcore.block(body, args, kwargs, frame.keys, name=type(frame.module).__name__)
    for path, value in zip(written, values, strict=True):
        frame.run.put(path, value)
    return out


#: Types of most fields, in which no module can be.
_PLAIN = {bool, int, float, str, type(None), type, FunctionType}


def submodules(module: Module) -> tuple[tuple[str, Module], ...]:
    """Modules held by a module's fields, as (name, module): ``encoder``, ``layers_0``."""
    held = module.__dict__.get("_held")
    if held is None:
        held = tuple(
            named
            for f, value in module._fields()
            if type(value) not in _PLAIN
            for named in _named_modules(f, value)
        )
        object.__setattr__(module, "_held", held)
    return held


def _named_modules(name: str, value: Any) -> Iterator[tuple[str, Module]]:
    if hasattr(type(value), "_static_key"):
        yield name, value
    elif isinstance(value, (tuple, list)):
        for i, item in enumerate(value):
            yield from _named_modules(f"{name}_{i}", item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _named_modules(f"{name}_{key}", item)


def bind(run: Run, module: Module, path: Path) -> None:
    """Gives a module, and all that its fields hold and nobody owns yet, a place in the run."""
    run.bound[id(module)] = (module, path)
    for name, child in submodules(module):
        if id(child) not in run.bound:
            bind(run, child, (*path, name))


def reserve_fields(frame: Frame) -> None:
    """Takes the names of submodules held in fields, which no parameter may use."""
    for name, child in submodules(frame.module):
        if frame.run.bound[id(child)][1] == (*frame.path, name):
            frame.names[name] = f"the field's {type(child).__name__}"


def child_path(module: Module) -> Path:
    """Where a module stands in the current run; raises for one that nobody owns."""
    frame = _stack.frames[-1]
    found = frame.run.bound.get(id(module))
    if found is None:
        raise UnboundModuleError(
            f"{where(frame.path, type(frame.module).__name__)} calls a {type(module).__name__} "
            "that it does not own: it was constructed outside the model. Construct it inside the "
            "method that calls it, or make it a dataclass field of the calling module."
        )
    return found[1]
