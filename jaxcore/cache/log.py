"""Every compilation of a jitted function in this process, and why it was not the first."""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass

__all__ = ["Change", "Compilation", "keep", "log"]

logger = logging.getLogger("jaxcore.recompile")


@dataclass(frozen=True, slots=True)
class Change:
    """What differs from the call that was compiled before.

    Attributes:
      path: of the argument, as ``batch['x']``.
      old, new: its types, as ``float32[32,8]``; of a static argument, its values.
    """

    path: str
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.path} {self.old} -> {self.new}"


@dataclass(frozen=True, slots=True)
class Compilation:
    """A jitted function met arguments of types that it had not seen.

    Attributes:
      function: its name.
      changes: what differs from the call before that is most like this one; none at the first.
      call_site: the user's line that made the call.
      seconds: how long tracing, lowering and compiling took.
      how: ``"compiled"``, ``"disk"`` (the executable was read from the cache), or ``"shared"``
        (types differed in weakness only, and an executable of this function fitted).
    """

    function: str
    changes: tuple[Change, ...]
    call_site: str
    seconds: float
    how: str

    def __str__(self) -> str:
        again = " again" if self.changes else ""
        by = {"disk": ", from the disk", "shared": ", as an executable it has"}.get(self.how, "")
        shown = [str(change) for change in self.changes[:_SHOWN]]
        if len(self.changes) > _SHOWN:
            shown.append(f"{len(self.changes) - _SHOWN} more")
        why = f": {'; '.join(shown)}" if shown else ""
        took = f"{self.seconds:.2f} s{by}"
        return f"jaxcore compiled {self.function}{again} ({took}){why}, called at {self.call_site}"


_SHOWN = 3
_records: deque[Compilation] = deque(maxlen=4096)


def keep(compilation: Compilation) -> None:
    """Keep a compilation; one that another could have saved is told on the logger."""
    _records.append(compilation)
    if compilation.changes:
        told = logging.DEBUG if compilation.how == "shared" else logging.WARNING
        logger.log(told, "%s", compilation)


def log() -> list[Compilation]:
    """The compilations of jitted functions in this process, the newest last; 4096 at most.

    Each that is not a function's first is also one line of the logger ``jaxcore.recompile``: which
    argument changed, how, and the line of the call. Functions of the library itself are left out.

    Example:
      >>> import logging, jaxcore, jaxcore.numpy as jnp
      >>> logging.getLogger("jaxcore.recompile").setLevel("ERROR")  # not on the screen
      >>> f = jaxcore.jit(lambda batch: batch["x"].sum())
      >>> for n in (4, 4, 6):
      ...     _ = f({"x": jnp.ones(n)})
      >>> first, second = jaxcore.cache.log()[-2:]
      >>> first.changes, str(second.changes[0])
      ((), "batch['x'] float32[4] -> float32[6]")
    """
    return list(_records)
