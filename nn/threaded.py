"""State written inside a `jit` or `grad` that a module starts leaves it as further outputs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import jax

from jaxcore import side

from . import scope
from .state import Layer, Run

__all__: list[str] = []


class _Keeper:
    """Collects what is written to a run inside one transformed function."""

    def __init__(self, run: Run):
        self.run = run
        self.context: AbstractContextManager[Layer] | None = None
        self.layer: Layer | None = None
        self.paths: list[Any] = []
        self.structure: Any = None

    def __enter__(self) -> _Keeper:
        self.context = self.run.layer()
        self.layer = self.context.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        assert self.context is not None
        self.context.__exit__(*exception)

    def leave(self) -> list[Any]:
        assert self.layer is not None
        self.paths = list(self.layer.values)
        leaves, self.structure = jax.tree.flatten(list(self.layer.values.values()))
        return leaves

    def arrive(self, values: Sequence[Any]) -> None:
        for path, value in zip(self.paths, jax.tree.unflatten(self.structure, values), strict=True):
            self.run.put(path, value)


def _open() -> _Keeper | None:
    frame = scope.current()
    return None if frame is None else _Keeper(frame.run)


side.register(_open)
