"""Batches made by several threads at once, handed over in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def in_order(make: Callable[[int], Item], numbers: Iterable[int], workers: int) -> Iterator[Item]:
    """`make(number)` for each number, by so many threads at once; by none, here, if `workers` is 0.

    What comes out is the same for any number of threads. An error of `make` is raised where its
    item would have come. Each thread may be two items ahead of what is asked for.

    >>> list(in_order(lambda n: n * n, range(5), workers=2))
    [0, 1, 4, 9, 16]
    """
    return map(make, numbers) if workers == 0 else _by_threads(make, numbers, workers)


def _by_threads(
    make: Callable[[int], Item], numbers: Iterable[int], workers: int
) -> Iterator[Item]:
    waiting: deque[Future[Item]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="jaxcore-data") as pool:
        try:
            for number in numbers:
                waiting.append(pool.submit(make, number))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
