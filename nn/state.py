"""The state of one `init` or `apply`: variables given, values written since, who stands where.

Writes go to the top of a stack of `Layer`s. The body of a block or loop gets a layer of its own,
so that what it wrote can leave it as an output.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from jax.extend.core import get_opaque_trace_state

from .errors import ImmutableVariableError, where

if TYPE_CHECKING:
    from .module import Module

Path = tuple[str, ...]  # of a variable: (collection, module names..., name)
MISSING: Any = object()
TRANSIENT = ("intermediates", "losses")  # collected during one call, never part of the state


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
        # Compute dtypes by glob or class, where `apply` was given a dict of them.
        self.dtypes: tuple[tuple[Any, Any], ...] = ()
        # Told of every module that is entered, and of what it returned.
        self.opener: Callable[[Path, Path], None] | None = None
        self.listener: Callable[[Path, Module, Any], None] | None = None
        # Whether the result of a module's method is kept among the intermediates.
        self.capture: Callable[[Module, str], bool] | None = None

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

    def values(self) -> Iterator[tuple[Path, Any]]:
        """Every value that the run has, newest first, with its path."""
        for layer in reversed(self.layers):
            for known in (layer.values, layer.given, layer.prepared):
                yield from known.items()
        yield from flatten(self.variables)

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
                "transformation (vmap, scan, cond, JAX's own checkpoint) that was started inside "
                "the module, so the value cannot leave it. Return the value from the transformed "
                "function and write it outside, or use nn.Repeat for a loop over layers, nn.Vmap "
                "for copies side by side, jaxcore.checkpoint or nn.Remat for a checkpoint."
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
