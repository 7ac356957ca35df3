"""Where a run's time goes, always measured: it costs two readings of a clock per phase."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Phases:
    """Seconds spent in each phase of a run.

    The loop's phases are "data" (waiting for batches), "dispatch" (tracing, compiling, and handing
    steps to the device), "device" (waiting for it at a log point), "validate", "callbacks",
    "checkpoint".

    >>> phases = Phases()
    >>> with phases("data"):
    ...     pass
    >>> list(phases.seconds)
    ['data']
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Count the time of a `with` block."""
        start = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - start
            self.seconds[name] = self.seconds.get(name, 0.0) + spent

    def __str__(self) -> str:
        total = sum(self.seconds.values()) or 1.0
        ordered = sorted(self.seconds.items(), key=lambda item: -item[1])
        return "  ".join(f"{name} {s:.2f} s ({100 * s / total:.0f}%)" for name, s in ordered)
