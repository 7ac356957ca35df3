"""The way to an executable: from the disk if it is there, else by the compiler."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax

from jaxcore import backend
from jaxcore.cache import state
from jaxcore.cache.environment import environment_text
from jaxcore.cache.fingerprint import Unstable, fingerprint, stable_text
from jaxcore.cache.store import Corrupt, Store
from jaxcore.ir import Program

__all__ = ["load_or_compile"]


def load_or_compile(
    program: Program,
    args: Sequence[Any],
    donated: Sequence[bool],
    name: str,
    lower: Callable[[], jax.stages.Lowered],
    options: tuple[Any, ...] = (),
) -> tuple[jax.stages.Compiled, bool]:
    """The executable that ``lower().compile()`` gives, read from the disk where it is known; and
    whether it was.

    Args:
      program: what is compiled; every input is used.
      args: values or types of the inputs; where they are placed counts.
      donated: for each input, whether its buffer may be reused; none where it is empty.
      name: the function's name.
      lower: lowers the program; called only where the executable is not found.
      options: whatever else decides what `lower` does; plain values, or values of JAX.
    """
    store = state.store()
    if store is None:
        return lower().compile(), False
    request = _Request(store, program, donated)
    try:
        context = _context(program, args, donated, name, options)
    except Unstable as error:
        return _uncached(lower(), error), False
    try:
        key = _digest(context, fingerprint(program))
    except Unstable as error:
        key = None  # the lowered module may still say all
        state.logger.debug("A program is looked up by its module: it has %s.", error)
    found = None if key is None else request.load(key)
    if found is not None:
        return found, True
    began = time.perf_counter()
    lowered = lower()
    try:
        module = backend.module_bytes(lowered)
    except backend.NotStorable as error:
        return _uncached(lowered, error), False
    if key is None:
        key = _digest(context, module)
        found = request.load(key)
        if found is not None:
            return found, True
    state.count(misses=1)
    compiled = lowered.compile()
    request.save(key, compiled, time.perf_counter() - began)
    return compiled, False


def _context(
    program: Program,
    args: Sequence[Any],
    donated: Sequence[bool],
    name: str,
    options: tuple[Any, ...],
) -> str:
    """All that decides what the executable is, beside the program."""
    if program.effects:
        raise Unstable("it calls back into this process")
    if backend.several_processes():
        raise Unstable("it runs on several processes")
    call = repr((name, tuple(donated)))
    return "\n".join([environment_text(), _placements(args), call, stable_text(options)])


def _uncached(lowered: jax.stages.Lowered, reason: Exception) -> jax.stages.Compiled:
    state.count(uncached=1)
    state.logger.debug("An executable is not stored: %s.", reason)
    return lowered.compile()


def _digest(context: str, program: str | bytes) -> str:
    digest = hashlib.sha256(context.encode())
    digest.update(b"\n")
    digest.update(program.encode() if isinstance(program, str) else program)
    return digest.hexdigest()


def _placements(args: Sequence[Any]) -> str:
    """Where the arguments are and how they lie in memory, for those that are bound to a place."""
    texts: dict[Any, str] = {}
    parts = []
    for x in args:
        sharding = getattr(x, "sharding", None)
        if sharding is None or not getattr(x, "_committed", True):
            parts.append("")
            continue
        layout = getattr(getattr(x, "format", None), "layout", None)
        where = (sharding, layout)
        text = texts.get(where)
        if text is None:
            text = texts[where] = stable_text(where)
        parts.append(text)
    return "\n".join(parts)


class _Request:
    """One program on its way: what is read and written for it."""

    def __init__(self, store: Store, program: Program, donated: Sequence[bool]) -> None:
        self.store = store
        self.in_avals, self.out_avals = program.in_avals, program.out_avals
        self.donated = donated

    def load(self, key: str) -> jax.stages.Compiled | None:
        """The stored executable; what cannot be read is removed and None."""
        began = time.perf_counter()
        try:
            found = self.store.read(key)
            if found is None:
                return None
            header, payload = found
            compiled = backend.unpack(header, payload, self.in_avals, self.out_avals, self.donated)
        except Exception as error:
            state.count(errors=1)
            state.logger.warning("A stored executable is compiled anew: %s.", error)
            if not isinstance(error, Corrupt | OSError):
                self.store.remove(key)
            return None
        saved = header["seconds"] - (time.perf_counter() - began)
        state.count(hits=1, seconds_saved=max(0.0, saved))
        return compiled

    def save(self, key: str, compiled: jax.stages.Compiled, seconds: float) -> None:
        """Store an executable that took so long to make."""
        if not state.writable():
            return
        try:
            header, payload = backend.pack(compiled, self.in_avals, self.out_avals)
        except Exception as error:  # a runtime may refuse in ways of its own
            state.count(uncached=1)
            state.logger.debug("An executable is not stored: %s.", error)
            return
        try:
            written = self.store.write(key, {"seconds": seconds, **header}, payload)
        except OSError as error:
            state.count(errors=1)
            state.give_up(error)
            return
        state.count(stored=int(written))
