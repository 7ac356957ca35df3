"""Where a run's time goes, always measured: it costs two readings of a clock per phase."""

from __future__ import annotations

from time import perf_counter


class Phases:
    """Seconds spent in each phase of a run.

    The loop's phases are "data" (waiting for batches), "compile" (the first call of each step, in
    which it is traced and compiled), "dispatch" (the other calls), "device" (waiting for it at a
    log point), "validate", "callbacks", "checkpoint".

    >>> phases = Phases()
    >>> with phases("data"):
    ...     pass
    >>> list(phases.seconds), phases.current
    (['data'], 'data')

    Attributes:
      seconds: by phase.
      current: the phase that was entered last.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.current = ""
        self._phases: dict[str, _Phase] = {}

    def __call__(self, name: str) -> _Phase:
        """Count the time of a `with` block, which may not hold another one of this name."""
        if name not in self._phases:
            self._phases[name] = _Phase(self, name)
        return self._phases[name]

    def __repr__(self) -> str:
        total = sum(self.seconds.values()) or 1.0
        ordered = sorted(self.seconds.items(), key=lambda item: -item[1])
        return "  ".join(f"{name} {s:.2f} s ({100 * s / total:.0f}%)" for name, s in ordered)


class _Phase:  # a generator with `contextmanager` would cost several times as much
    __slots__ = ("_all", "_name", "_seconds", "_start")

    def __init__(self, phases: Phases, name: str) -> None:
        self._all = phases
        self._seconds = phases.seconds
        self._name = name

    def __enter__(self) -> None:
        self._all.current = self._name
        self._start = perf_counter()

    def __exit__(self, *error: object) -> None:
        spent = perf_counter() - self._start
        self._seconds[self._name] = self._seconds.get(self._name, 0.0) + spent
