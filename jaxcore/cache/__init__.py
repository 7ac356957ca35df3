"""Executables on the disk: a second process neither lowers nor compiles what a first one did.

The cache is on without being asked for. It is a private directory, ``~/.cache/jaxcore`` or where
``XDG_CACHE_HOME`` or ``JAXCORE_CACHE_DIR`` says, of at most ``JAXCORE_CACHE_BYTES`` bytes (2 GiB);
``JAXCORE_CACHE=0`` switches it off. Nothing in it is trusted: an entry that is not whole is
removed, and whatever goes wrong with the cache, the program is compiled.

fingerprint   the identity of a program in every process
environment   what else an executable depends on
store         the directory
log           what was compiled, and why
state         settings and counters
lookup        from the disk if it is there, else by the compiler
"""

from jaxcore.cache.log import Change, Compilation, log
from jaxcore.cache.lookup import load_or_compile
from jaxcore.cache.state import Stats, clear, directory, enable, stats

__all__ = [
    "Change",
    "Compilation",
    "Stats",
    "clear",
    "directory",
    "enable",
    "load_or_compile",
    "log",
    "stats",
]
