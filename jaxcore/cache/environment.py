"""What an executable depends on beside its program: this library's code, the CPU, the compiler."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import time
from pathlib import Path

from jaxcore import backend
from jaxcore.cache.fingerprint import Unstable, stable_text

__all__ = ["environment_text"]

_started = time.time()


def environment_text() -> str:
    """Text that is equal where the same program compiles to the same executable.

    Raises:
      Unstable: the library's files changed since they were imported, or a setting of JAX has no
        form that holds in another process.
    """
    library = _library()
    if library is None:
        raise Unstable("the library, whose files are not those that were imported")
    settings = _text((backend.compile_environment(), backend.trace_context()))
    return f"{library} {_cpu()} {settings}"


@functools.lru_cache(64)
def _text(values: tuple[object, ...]) -> str:
    return stable_text(values)


@functools.cache
def _library() -> str | None:
    """A digest of the engine's source files, for its lowering rules decide what a program becomes;
    None where they cannot be read or are newer than this process.
    """
    root = str(Path(__file__).resolve().parent.parent)
    digest = hashlib.sha256()
    try:
        for folder, inner, files in os.walk(root, followlinks=True):
            if folder == root:  # what these two do is in the program
                inner[:] = [name for name in inner if name not in ("nn", "train")]
            inner.sort()
            for name in sorted(name for name in files if name.endswith(".py")):
                path = os.path.join(folder, name)
                found = os.stat(path)
                if max(found.st_mtime, found.st_ctime) > _started:
                    return None
                digest.update(f"{path[len(root) :]} {found.st_size}\n".encode())
                with open(path, "rb") as file:
                    digest.update(file.read())
    except OSError:
        return None
    return digest.hexdigest() if Path(__file__).suffix == ".py" else None


@functools.cache
def _cpu() -> str:
    """The processor's model, its instruction sets, and how many cores a program may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        first = Path("/proc/cpuinfo").read_text().split("\n\n")[0]
        facts = [line for line in first.splitlines() if line.startswith(_FACTS)]
    except OSError:
        facts = [platform.processor()]
    facts += [platform.machine(), str(cores)]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()


_FACTS = ("vendor_id", "cpu family", "model", "stepping", "flags", "CPU ", "Features")
