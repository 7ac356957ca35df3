"""Python's cyclic garbage collector, kept quiet while a program is made."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["collector_paused"]


@contextmanager
def collector_paused() -> Iterator[None]:
    """Let no collection start inside.

    Tracing and lowering allocate many small objects and leave no cycles worth finding, while a
    full collection in the middle walks every object of the process: it can double the time.
    """
    running = gc.isenabled()
    if running:
        gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()
