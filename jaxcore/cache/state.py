"""Whether and where the cache is, and what it has done in this process.

The environment is read at the first compilation: ``JAXCORE_CACHE=0`` switches the cache off,
``JAXCORE_CACHE_DIR`` says where it is, ``JAXCORE_CACHE_BYTES`` how large it may become.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import threading
from pathlib import Path
from types import TracebackType

from jaxcore.cache.store import Store, Unusable

__all__ = ["Stats", "clear", "count", "directory", "enable", "give_up", "stats", "store"]

logger = logging.getLogger("jaxcore.cache")

DEFAULT_BYTES = 2 << 30


@dataclasses.dataclass(frozen=True, slots=True)
class Stats:
    """What the cache holds, and what it did in this process.

    Attributes:
      hits: executables that were read instead of compiled.
      misses: programs that were looked up and not found.
      stored: executables that were written.
      uncached: programs that cannot be stored, those with callbacks for example.
      errors: entries that were corrupt or could not be read or written.
      seconds_saved: what lowering and compiling had taken, less what reading took.
      entries: executables in the directory, those of other processes among them.
      bytes: how much they take on the disk.
    """

    hits: int = 0
    misses: int = 0
    stored: int = 0
    uncached: int = 0
    errors: int = 0
    seconds_saved: float = 0.0
    entries: int = 0
    bytes: int = 0


class _State:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.on: bool | None = None  # None: what the environment says
        self.opened = False
        self.store: Store | None = None
        self.writable = True
        self.counts = Stats()


_state = _State()


def store() -> Store | None:
    """The directory of executables, None where there is no cache."""
    if _state.on is False or (_state.on is None and os.environ.get("JAXCORE_CACHE") == "0"):
        return None
    if not _state.opened:
        with _state.lock:
            if not _state.opened:
                _state.store = _open()
                _state.opened = True
    return _state.store


def _open() -> Store | None:
    try:
        return Store(_path(), _capacity())
    except (Unusable, RuntimeError) as error:  # RuntimeError: there is no home directory
        logger.warning("jaxcore compiles without a cache on the disk: %s.", error)
        return None


def _path() -> Path:
    named = os.environ.get("JAXCORE_CACHE_DIR")
    if named:
        return Path(named).expanduser()
    caches = os.environ.get("XDG_CACHE_HOME")
    return (Path(caches) if caches else Path.home() / ".cache") / "jaxcore"


def _capacity() -> int:
    text = os.environ.get("JAXCORE_CACHE_BYTES", "")
    try:
        return max(0, int(text)) if text else DEFAULT_BYTES
    except ValueError:
        logger.warning("JAXCORE_CACHE_BYTES is %r, expected a number of bytes.", text)
        return DEFAULT_BYTES


def count(**changes: float) -> None:
    """Add to the counters."""
    with _state.lock:
        now = {name: getattr(_state.counts, name) + by for name, by in changes.items()}
        _state.counts = dataclasses.replace(_state.counts, **now)


def writable() -> bool:
    """False once writing has failed: a full disk is asked once."""
    return _state.writable


def give_up(error: Exception) -> None:
    """Write nothing more in this process, and say so once."""
    if _state.writable:
        _state.writable = False
        logger.warning("jaxcore stores no more executables: %s.", error)


def stats() -> Stats:
    """What the cache holds, and what it did in this process.

    Example:
      >>> import jaxcore
      >>> jaxcore.cache.stats().errors
      0
    """
    found = store()
    if found is None:
        return _state.counts
    entries, size = found.usage()
    return dataclasses.replace(_state.counts, entries=entries, bytes=size)


def clear() -> None:
    """Remove every executable from the directory.

    Example:
      >>> import jaxcore
      >>> jaxcore.cache.clear()
    """
    found = store()
    if found is not None:
        found.clear()


def directory() -> Path | None:
    """Where executables are stored; None where there is no cache.

    Example:
      >>> import jaxcore
      >>> with jaxcore.cache.enable(False):
      ...     print(jaxcore.cache.directory())
      None
    """
    found = store()
    return None if found is None else found.path


class enable:
    """Switch the cache on or off, at once and for good; in a ``with`` statement, for its body.

    Args:
      on: whether executables are read and written.

    Example:
      >>> import jaxcore
      >>> with jaxcore.cache.enable(False):
      ...     jaxcore.jit(lambda x: x + 1)(1)
      Array(2, dtype=int32, weak_type=True)
    """

    def __init__(self, on: bool = True) -> None:
        self._before = _state.on
        _state.on = bool(on)

    def __enter__(self) -> enable:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _state.on = self._before
