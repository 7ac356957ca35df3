"""What surrounds a module's call: the run, its state, the frame, the random keys.

A `Run` is one `init` or `apply`. It holds the variables that were given and, in a stack of
`Layer`s, what was written since. A `Frame` is one call of one module: path, mode, dtype, names
taken and keys. Frames stand in a thread-local stack; `Module` asks it who is being called.

While the engine stages a program, each call of a submodule is traced by `jaxcore.block` into a
function of its own. Nothing traced inside may leave except as an output, so a call gets a fresh
layer for its writes, returns them beside its result, and they are written again outside.
"""

from __future__ import annotations

import contextlib
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import jaxcore
from jax.extend.core import get_opaque_trace_state
from jaxcore import random

from .errors import ImmutableVariableError, MissingRngError, UnboundModuleError, where

if TYPE_CHECKING:
    from .module import Module

Path = tuple[str, ...]  # of a variable: (collection, module names..., name)
MISSING: Any = object()
TRANSIENT = ("intermediates", "losses")  # collected during one call, never part of the state


def fold_name(key: Any, name: str) -> Any:
    """Folds a name into a key, the same on every machine and in every process."""
    return random.fold_in(key, zlib.crc32(name.encode()))


def trace_state() -> Any:
    """Identifies the innermost transformation that is tracing now; comparable with ``==``."""
    return get_opaque_trace_state(convention="flax")


class Layer:
    """Values written since some point of a run; `under` hides the run's older values there."""

    def __init__(
        self,
        given: Mapping[Path, Any] | None = None,
        under: Path | None = None,
        prepared: Mapping[Path, Any] | None = None,
    ):
        self.values: dict[Path, Any] = {}
        self.given = given or {}
        self.prepared = prepared or {}
        self.under = under
        self.trace = trace_state()

    def covers(self, path: Path) -> bool:
        return self.under is not None and path[1 : 1 + len(self.under)] == self.under


class Run:
    """One `init` or `apply`: the variables given, those written, which module stands where."""

    def __init__(
        self,
        variables: Mapping[str, Any],
        mutable: Callable[[str], bool],
        *,
        initializing: bool = False,
        plan: Any = None,
        prepared: Mapping[Path, Any] | None = None,
    ):
        self.variables = variables
        self.mutable = mutable
        self.initializing = initializing
        self.plan = plan  # an `initialize.Plan` while the structure is being found
        self.bound: dict[int, tuple[Module, Path]] = {}
        # Initial values that are known already; each begins to exist when its module creates it.
        self.layers = [Layer(prepared=prepared)]
        self.created: set[Path] = set()
        # Told of every module that is entered, and of what it returned.
        self.opener: Callable[[Path], None] | None = None
        self.listener: Callable[[Path, Module, Any], None] | None = None

    def get(self, path: Path) -> Any:
        """The newest value at `path`, or `MISSING`."""
        if self.plan is not None:
            self.plan.uses += 1
        for layer in reversed(self.layers):
            if path in layer.values:
                return layer.values[path]
            if path in layer.given:
                return layer.given[path]
            if path in self.created and path in layer.prepared:
                return layer.prepared[path]
            if layer.covers(path):
                return MISSING
        if self.plan is not None:
            planned = self.plan.placeholder(path)
            if planned is not MISSING:
                return planned
        node: Any = self.variables
        for name in path:
            if not isinstance(node, Mapping) or name not in node:
                return MISSING
            node = node[name]
        return node

    def prepared(self, path: Path) -> Any:
        """The known initial value of a variable that is created now, or `MISSING`."""
        for layer in reversed(self.layers):
            if path in layer.prepared:
                self.created.add(path)
                return layer.prepared[path]
            if layer.covers(path):
                break
        return MISSING

    def put(self, path: Path, value: Any, kind: str | None = None) -> None:
        """Writes to the current layer; refuses where the value could not get out again."""
        layer = self.layers[-1]
        if layer.trace != trace_state():
            raise ImmutableVariableError(
                f"{where(path[1:-1], kind)}: '{path[0]}/{path[-1]}' is written inside a "
                "transformation (vmap, scan, cond, grad, jit, checkpoint) that was started inside "
                "the module, so the value cannot leave it. Return the value from the transformed "
                "function and write it outside, or use nn.Repeat for a loop over layers."
            )
        if layer.under is not None and not layer.covers(path):
            raise ImmutableVariableError(
                f"{where(path[1:-1], kind)}: '{path[0]}/{path[-1]}' is written inside the loop of "
                f"{where(layer.under)}, to which it does not belong. Construct the module that "
                "owns the variable inside the repeated block."
            )
        layer.values[path] = value

    @contextlib.contextmanager
    def layer(self, **options: Any) -> Iterator[Layer]:
        """A fresh layer for the body of a block or loop; what it wrote is in `.values`."""
        layer = Layer(**options)
        self.layers.append(layer)
        try:
            yield layer
        finally:
            self.layers.remove(layer)

    def leaves(self, prefix: Path) -> tuple[dict[Path, Any], dict[Path, Any]]:
        """All that exists, and all that is prepared, below the module path `prefix`."""
        found: dict[Path, Any] = {}
        prepared: dict[Path, Any] = {}
        for collection in self.variables:
            node: Any = self.variables
            for name in (collection, *prefix):
                node = node.get(name, {}) if isinstance(node, Mapping) else {}
            found |= {(collection, *prefix, *path): value for path, value in flatten(node)}
        end = 1 + len(prefix)
        for layer in self.layers:
            found |= {p: v for p, v in layer.given.items() if p[1:end] == prefix}
            found |= {p: v for p, v in layer.values.items() if p[1:end] == prefix}
            prepared |= {p: v for p, v in layer.prepared.items() if p[1:end] == prefix}
        found |= {p: v for p, v in prepared.items() if p in self.created and p not in found}
        return {p: v for p, v in found.items() if p[0] not in TRANSIENT}, prepared


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
    index: int = 0  # which of the caller's calls this is; folded into its keys
    count: int = 0
    counters: dict[str, int] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    def stream_keys(self) -> dict[str | None, Any]:
        if self.keys is not None:
            return self.keys
        outer = self.caller.stream_keys() if self.caller is not None else {}
        return {name: random.fold_in(key, self.index) for name, key in outer.items()}

    def make_key(self, stream: str) -> Any:
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


class _Stack(threading.local):
    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.constructing = 0  # depth of module constructors that are running


_stack = _Stack()


def current() -> Frame | None:
    """The frame of the module that is being called, or None outside `init` and `apply`."""
    return _stack.frames[-1] if _stack.frames else None


def frame_of(module: Module) -> Frame | None:
    """The innermost frame that calls `module` itself."""
    return next((f for f in reversed(_stack.frames) if f.module is module), None)


@contextlib.contextmanager
def constructing() -> Iterator[None]:
    """While a module's constructor runs, modules made by its defaults belong to it."""
    _stack.constructing += 1
    try:
        yield
    finally:
        _stack.constructing -= 1


def is_constructing() -> bool:
    return _stack.constructing > 0


@contextlib.contextmanager
def entered(frame: Frame) -> Iterator[None]:
    _stack.frames.append(frame)
    try:
        yield
    finally:
        _stack.frames.remove(frame)


def run_root(frame: Frame, fn: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Runs the outermost module's method."""
    bind(frame.run, frame.module, frame.path)
    reserve_fields(frame)
    if frame.run.opener is not None:
        frame.run.opener(frame.path)
    with entered(frame):
        out = fn(frame.module, *args, **kwargs)
    if frame.run.listener is not None:
        frame.run.listener(frame.path, frame.module, out)
    return out


def call_child(
    module: Module, fn: Callable[..., Any], args: Any, kwargs: Any, train: bool | None, dtype: Any
) -> Any:
    """Runs a method of a submodule in a frame of its own; while staging, as a shared block."""
    caller = _stack.frames[-1]
    run = caller.run
    path = run.bound[id(module)][1]
    frame = Frame(
        run,
        module,
        path,
        fn.__name__,
        caller.train if train is None else train,
        caller.dtype if dtype is None else dtype,
        None,
        caller,
        caller.count,
    )
    caller.count += 1
    if type(module).uses_rng:
        # Folded here, outside the block and with an index, so that equal blocks stay one program.
        frame.keys = frame.stream_keys()
    reserve_fields(frame)
    if run.opener is not None:
        run.opener(path)
    common = len(caller.path) if path[: len(caller.path)] == caller.path else 0
    with jaxcore.name_scope("/".join(path[common:]) or type(module).__name__):
        if jaxcore.is_staging() and run.plan is None and not type(module).inline:
            out = _call_block(frame, fn, args, kwargs)
        else:
            with entered(frame):
                out = fn(module, *args, **kwargs)
    if run.listener is not None:
        run.listener(path, module, out)
    return out


def _call_block(frame: Frame, fn: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    written: list[Path] = []

    def body(args: Any, kwargs: Any, keys: Any) -> Any:
        frame.keys = keys
        with frame.run.layer() as layer, entered(frame):
            out = fn(frame.module, *args, **kwargs)
        written[:] = layer.values
        return out, list(layer.values.values())

    out, values = jaxcore.block(body, args, kwargs, frame.keys, name=type(frame.module).__name__)
    for path, value in zip(written, values, strict=True):
        frame.run.put(path, value)
    return out


def submodules(module: Module) -> Iterator[tuple[str, Module]]:
    """Modules held by a module's fields, as (name, module): ``encoder``, ``layers_0``."""
    for field_name, value in module._fields():
        yield from _named_modules(field_name, value)


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


def flatten(tree: Any) -> Iterable[tuple[Path, Any]]:
    """The leaves of nested dicts, with their paths; an empty dict gives nothing."""
    if isinstance(tree, Mapping):
        for name, value in tree.items():
            for path, leaf in flatten(value):
                yield (name, *path), leaf
    else:
        yield (), tree


def unflatten(leaves: Mapping[Path, Any]) -> dict[str, Any]:
    """Nested dicts from paths."""
    tree: dict[str, Any] = {}
    for path, value in leaves.items():
        node = tree
        for name in path[:-1]:
            node = node.setdefault(name, {})
        node[path[-1]] = value
    return tree
