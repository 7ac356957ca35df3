"""Batches made ready ahead, in a thread, while the device is busy."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator
from typing import Any, TypeVar

Item = TypeVar("Item")


def prefetch(items: Iterator[Item], depth: int) -> Iterator[Item]:
    """`items`, up to `depth` of them read ahead by a thread.

    An error of `items` is raised where its item would have come. Closing the generator ends the
    thread. With `depth` 0 there is no thread.

    >>> list(prefetch(iter(range(3)), 2))
    [0, 1, 2]
    """
    return items if depth == 0 else _ahead(items, depth)


def _ahead(items: Iterator[Item], depth: int) -> Iterator[Item]:
    ready: queue.Queue[tuple[str, Any]] = queue.Queue(depth)
    closed = threading.Event()
    thread = threading.Thread(
        target=_fill, args=(items, ready, closed), name="jaxcore-prefetch", daemon=True
    )
    thread.start()
    try:
        while True:
            kind, value = ready.get()
            if kind == "end":
                return
            if kind == "error":
                raise value
            yield value
    finally:
        closed.set()
        while thread.is_alive():  # it may be waiting for a place in the queue
            with contextlib.suppress(queue.Empty):
                ready.get(timeout=0.01)


def _fill(items: Iterator[Any], ready: queue.Queue[Any], closed: threading.Event) -> None:
    last: tuple[str, Any] = ("end", None)
    try:
        for item in items:
            ready.put(("item", item))
            if closed.is_set():
                return
    except BaseException as error:
        last = ("error", error)
    if not closed.is_set():
        ready.put(last)
