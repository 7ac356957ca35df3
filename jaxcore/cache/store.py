"""A directory of entries: written whole or not at all, checked when read, the least recently used
removed first.

Nothing is locked. An entry appears by a rename, so a reader finds all of it or nothing; a writer
that is killed leaves a temporary file, which later writers remove; who removes what another has
removed already is content.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

__all__ = ["Corrupt", "Store", "Unusable"]

_MAGIC = b"jaxcore executable 1\n"
_DIGEST = hashlib.sha256().digest_size
_SUFFIX = ".xla"
_TEMPORARY = ".writing-"
_ABANDONED = 600  # seconds after which nobody is writing a temporary file any more


class Unusable(Exception):
    """Why a directory cannot hold the cache."""


class Corrupt(Exception):
    """An entry is not what was written."""


class Store:
    """Entries under `path`, together at most `capacity` bytes.

    Raises:
      Unusable: the directory cannot be made, or others may write to it: an executable is code.
    """

    def __init__(self, path: Path, capacity: int) -> None:
        self.path = path
        self.capacity = capacity
        self._room = 0  # bytes that may be written before the directory is looked at again
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = path.stat()
        except OSError as error:
            raise Unusable(f"{path} cannot be made: {error.strerror}") from None
        if not stat.S_ISDIR(found.st_mode):
            raise Unusable(f"{path} is not a directory")
        if hasattr(os, "geteuid") and found.st_uid != os.geteuid():
            raise Unusable(f"{path} belongs to another user")
        if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise Unusable(f"others may write to {path} (chmod 700 would forbid it)")

    def read(self, key: str) -> tuple[dict[str, Any], bytes] | None:
        """The header and the bytes of an entry, None where there is none.

        Raises:
          Corrupt: what is there was not written whole; it is removed.
        """
        file = self._file(key)
        try:
            data = file.read_bytes()
        except FileNotFoundError:
            return None
        try:
            header, payload = _parse(data)
            if header["key"] != key:
                raise Corrupt("it belongs to another program")
        except Corrupt:
            self.remove(key)
            raise
        with suppress(OSError):  # removed meanwhile, or nothing may be written here
            os.utime(file)  # what was used last is removed last
        return header, payload

    def write(self, key: str, header: dict[str, Any], payload: bytes) -> bool:
        """Add an entry and remove others to make room; False where it is larger than the capacity.

        Raises:
          OSError: the directory cannot be written to.
        """
        text = json.dumps({"key": key, **header}).encode()
        body = b"%s%s%s" % (len(text).to_bytes(8, "big"), text, payload)
        data = b"%s%s%s" % (_MAGIC, hashlib.sha256(body).digest(), body)
        if len(data) > self.capacity:
            return False
        if len(data) > self._room:
            self._make_room(len(data))
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)  # it may have been removed
        handle, temporary = tempfile.mkstemp(prefix=_TEMPORARY, dir=self.path)  # for us alone
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.replace(temporary, self._file(key))
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        self._room -= len(data)
        return True

    def remove(self, key: str) -> None:
        """Remove an entry if it is there."""
        with suppress(OSError):  # nothing may be written here
            self._file(key).unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove every entry."""
        for file, _ in self._files():
            file.unlink(missing_ok=True)
        self._room = 0

    def usage(self) -> tuple[int, int]:
        """How many entries there are, and how many bytes they take."""
        sizes = [found.st_size for file, found in self._files() if file.suffix == _SUFFIX]
        return len(sizes), sum(sizes)

    def _file(self, key: str) -> Path:
        return self.path / f"{key}{_SUFFIX}"

    def _files(self) -> list[tuple[Path, os.stat_result]]:
        """Our files, those being written among them."""
        found = []
        try:
            for item in os.scandir(self.path):
                if item.name.endswith(_SUFFIX) or item.name.startswith(_TEMPORARY):
                    with suppress(FileNotFoundError):  # removed meanwhile
                        found.append((Path(item.path), item.stat()))
        except FileNotFoundError:
            pass
        return found

    def _make_room(self, needed: int) -> None:
        """Remove what was used least recently until `needed` bytes fit."""
        files = sorted(self._files(), key=lambda entry: entry[1].st_mtime)
        total = sum(found.st_size for _, found in files)
        abandoned = time.time() - _ABANDONED
        for file, found in files:
            temporary = file.suffix != _SUFFIX
            if temporary and found.st_mtime > abandoned:
                continue
            if temporary or total + needed > self.capacity:
                file.unlink(missing_ok=True)
                total -= found.st_size
        # Other processes write too: look again long before all of the room may be taken.
        self._room = max(needed, (self.capacity - total) // 8)


def _parse(data: bytes) -> tuple[dict[str, Any], bytes]:
    """The header and the payload of a file that was written whole."""
    start = len(_MAGIC) + _DIGEST
    if not data.startswith(_MAGIC):
        raise Corrupt("it is not an executable of this version")
    if len(data) < start + 8 or hashlib.sha256(data[start:]).digest() != data[len(_MAGIC) : start]:
        raise Corrupt("its checksum does not match")
    length = int.from_bytes(data[start : start + 8], "big")
    header = json.loads(data[start + 8 : start + 8 + length])
    return header, data[start + 8 + length :]
