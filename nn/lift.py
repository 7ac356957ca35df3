"""How a block's variables go through a loop or a map.

`Stacked`: a set of them for each turn, along a new first axis (`Repeat`, `Vmap`). `Shared`: the
same parameters in every turn, and state that goes from one to the next (`RNN`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import jaxcore.numpy as jnp
from jaxcore import random

from . import scope
from .errors import ParameterShapeError, where
from .module import Module
from .scope import Frame
from .state import TRANSIENT, Path


@contextlib.contextmanager
def planned(frame: Frame, n: int) -> Iterator[None]:
    """While the structure is found: variables planned inside get `n` in front."""
    plan = frame.run.plan
    outer, plan.lifts = plan.lifts, (*plan.lifts, n)
    try:
        yield
    finally:
        plan.lifts = outer


class Stacked:
    """The block's variables and `n` sets of keys, on their way into a loop or a map.

    `values` goes in; `call` runs the block on one slice of it, under the transformation, and
    returns what it wrote beside its output; `write` stores that, stacked, outside.
    """

    def __init__(self, frame: Frame, block: Module, n: int):
        self._frame = frame
        self._count = frame.count
        self._under = scope.child_path(block)
        self._given, self._prepared = frame.run.leaves(self._under)
        self._written: list[Path] = []
        for path, value in (*self._given.items(), *self._prepared.items()):
            if jnp.shape(value)[:1] != (n,):
                raise ParameterShapeError(
                    f"{where(frame.path, type(frame.module).__name__)}: '{'/'.join(path)}' has "
                    f"shape {jnp.shape(value)}. Expected {n} layers stacked along the first axis."
                )
        keys = {name: random.split(key, n) for name, key in frame.stream_keys().items()}
        self.values = (list(self._given.values()), list(self._prepared.values()), keys)

    def call(self, values: Any, block: Callable[[], Any]) -> tuple[Any, list[Any]]:
        """``(block(), written values)`` where the block sees one slice of `values`."""
        frame = self._frame
        given, prepared, keys = values
        outer, frame.keys, frame.count = frame.keys, keys, self._count
        try:
            with frame.run.layer(
                under=self._under,
                given=dict(zip(self._given, given, strict=True)),
                prepared=dict(zip(self._prepared, prepared, strict=True)),
            ) as layer:
                out = block()
        finally:
            frame.keys = outer
        self._written = list(layer.values)
        return out, list(layer.values.values())

    def write(self, values: list[Any]) -> None:
        """Stores the written values, which came out of the transformation stacked."""
        for path, value in zip(self._written, values, strict=True):
            self._frame.run.put(path, value, type(self._frame.module).__name__)


class Shared:
    """A block's variables in a loop over `n` steps that all use the same ones.

    `state` is what the steps may write, and is carried; `keys` are one set a step, to scan over;
    `call` runs the block once inside, and `write` stores what came out.
    """

    def __init__(self, frame: Frame, block: Module, n: int):
        self._frame = frame
        self._count = frame.count
        self._under = scope.child_path(block)
        given, self._prepared = frame.run.leaves(self._under)
        carried = lambda path: path[0] != "params" and frame.run.mutable(path[0])
        self.state = [value for path, value in given.items() if carried(path)]
        self._carried = [path for path in given if carried(path)]
        self._given = {path: value for path, value in given.items() if not carried(path)}
        self._sown: list[Path] = []
        self.keys = {name: random.split(key, n) for name, key in frame.stream_keys().items()}
        known = any(path[0] == "params" for path in (*given, *self._prepared))
        #: Whether the block's parameters exist, or it may not make any.
        self.complete = known or not frame.run.mutable("params")

    def call(
        self, state: list[Any], keys: Any, block: Callable[[], Any]
    ) -> tuple[Any, list[Any], list[Any]]:
        """``(block(), the state after it, what it sowed)``."""
        frame = self._frame
        known = dict(zip(self._carried, state, strict=True))
        outer, frame.keys, frame.count = frame.keys, keys, self._count
        try:
            with frame.run.layer(
                under=self._under, given=self._given | known, prepared=self._prepared
            ) as layer:
                out = block()
        finally:
            frame.keys = outer
        written = layer.values
        self._sown = [path for path in written if path not in known]
        state = [written.get(path, value) for path, value in known.items()]
        return out, state, [written[path] for path in self._sown]

    @property
    def created(self) -> bool:
        """Whether the last call made state that did not exist, which cannot begin in a loop."""
        return any(path[0] not in TRANSIENT for path in self._sown)

    def write(self, state: list[Any], sown: list[Any]) -> None:
        """Stores the state after the last step, and what all steps sowed, stacked."""
        kind = type(self._frame.module).__name__
        for path, value in zip((*self._carried, *self._sown), (*state, *sown), strict=True):
            self._frame.run.put(path, value, kind)
