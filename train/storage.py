"""The arrays of a checkpoint on the disk: whole ones by path, divided ones in pieces.

The first process writes `state.safetensors`. An array that is divided among processes is never put
together: each writes the pieces that it has to a file of its own, `state-1.safetensors` and so on,
and "pieces" in `checkpoint.json` says where each belongs. A restored array takes of them what its
own devices need, however many those are.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
import uuid
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import jaxcore
from jaxcore import numpy as jnp
from jaxcore import random
from jaxcore.nn.errors import WeightsError
from jaxcore.nn.weights.files import Source
from jaxcore.nn.weights.safetensors import open_safetensors, save_arrays

from .errors import CheckpointError, explain
from .paths import leaf_paths

Index = tuple[slice, ...]
_FILE = re.compile(r"state(-[1-9]\d*)?\.safetensors")
PATIENCE = 600.0  # seconds in which a process has to have written its file


class Snapshot(NamedTuple):
    """What one process writes of a state, and what all know of it.

    Attributes:
      arrays: by path; pieces by their path, "@" and where they begin.
      keys: {path: implementation} of the arrays that are random keys.
      pieces: {path: {"shape", "at": [[file, name, begin], ...]}} of divided arrays.
      writers: numbers of the processes that have something to write.
      token: what makes the folder's name unlike that of any earlier attempt.
    """

    arrays: dict[str, np.ndarray]
    keys: dict[str, str]
    pieces: dict[str, dict[str, Any]]
    writers: tuple[int, ...]
    token: str


def folder_of(path: Path, token: str) -> Path:
    """Where the files of a checkpoint are written before it is whole."""
    return path.parent / f".tmp-{path.name}-{token}"


def file_of(process: int) -> str:
    """The name of the file that a process writes."""
    return f"state-{process}.safetensors" if process else "state.safetensors"


def snapshot(state: Any) -> Snapshot:
    """Copy a state to the host, so that the next step may consume it while it is written.

    Of several processes each calls this, and copies what it will write.
    """
    leaves, keys = dict(leaf_paths(state)), {}
    for name, leaf in leaves.items():
        if is_key(leaf):
            keys[name] = str(random.key_impl(leaf))
            leaves[name] = random.key_data(leaf)
    mine, pieces, writers = jaxcore.process_index(), {}, {0}
    kept: dict[str, Any] = {}
    for name, leaf in leaves.items():
        if getattr(leaf, "is_fully_addressable", True):
            kept |= {name: leaf} if mine == 0 else {}
        elif leaf.is_fully_replicated:
            kept |= {name: leaf.addressable_data(0)} if mine == 0 else {}
        else:
            at = []
            for shard in leaf.global_shards:
                if shard.replica_id == 0:
                    begin = [part.start or 0 for part in shard.index]
                    piece = f"{name}@{','.join(map(str, begin))}"
                    process = shard.device.process_index
                    at.append([file_of(process), piece, begin])
                    writers.add(process)
                    kept |= {piece: shard.data} if process == mine else {}
            pieces[name] = {"shape": list(leaf.shape), "at": at}
    for leaf in kept.values():  # all transfers at once
        if hasattr(leaf, "copy_to_host_async"):
            leaf.copy_to_host_async()
    arrays = {name: np.array(leaf) for name, leaf in kept.items()}
    return Snapshot(arrays, keys, pieces, tuple(sorted(writers)), _token())


def _token() -> str:
    """A name that all processes know and no earlier run has used."""
    token = uuid.uuid4().int % 2**31
    if jaxcore.process_count() > 1:
        from jaxcore.experimental import multihost_utils

        token = int(multihost_utils.broadcast_one_to_all(np.int32(token)))
    return f"{token:08x}"


def write_part(folder: Path, saved: Snapshot) -> int:
    """Write this process's file, and return its checksum."""
    process = jaxcore.process_index()
    path = folder / file_of(process)
    try:
        save_arrays(path, saved.arrays)
        crc = checksum(path)
        if process:
            _note(folder, process, {"crc32": crc})
        return crc
    except BaseException as error:
        if process:
            with contextlib.suppress(OSError):  # so that the first does not wait for it
                _note(folder, process, {"error": f"{type(error).__name__}: {error}"})
        raise


def _note(folder: Path, process: int, content: Mapping[str, Any]) -> None:
    name = folder / f"part-{process}.json"
    name.with_suffix(".tmp").write_text(json.dumps(content), encoding="utf-8")
    name.with_suffix(".tmp").rename(name)


def parts_of_others(folder: Path, saved: Snapshot) -> dict[str, int]:
    """The checksums of the other processes' files, once all are on the disk.

    Raises:
      CheckpointError: one of them failed, or has not come in time.
    """
    found: dict[str, int] = {}
    end = time.monotonic() + PATIENCE
    for process in saved.writers[1:]:
        note = folder / f"part-{process}.json"
        while not note.exists() and time.monotonic() < end:
            time.sleep(0.02)
        written = json.loads(note.read_text(encoding="utf-8")) if note.exists() else {}
        if "crc32" not in written:
            raise CheckpointError(
                explain(
                    f"Process {process} has not written its part of {folder.parent}.",
                    got=written.get("error", f"nothing after {PATIENCE:g} seconds"),
                    expected="a file of each process in one directory",
                    fix="give all processes the same `dir`, on a disk that they share and that "
                    "has space.",
                )
            )
        found[file_of(process)] = written["crc32"]
        note.unlink()
    return found


def await_first(path: Path, token: str, token_at: Callable[[Path], str | None]) -> None:
    """Wait until the first process has put the checkpoint in its place.

    Raises:
      CheckpointError: it has not, or not in time.
    """
    end = time.monotonic() + PATIENCE
    temporary, seen = folder_of(path, token), False
    while token_at(path) != token:
        there = temporary.exists()
        if time.monotonic() > end or (seen and not there and token_at(path) != token):
            raise CheckpointError(
                explain(
                    f"The first process has not written {path}.",
                    got="a failure there, or a directory that this process does not see",
                    expected="one directory of all processes",
                    fix="see the first process's message; give all the same `dir`.",
                )
            )
        seen = seen or there
        time.sleep(0.02)


def checksum(path: Path) -> int:
    """The CRC-32 of a file, read piece by piece."""
    crc = 0
    with open(path, "rb") as file:
        while block := file.read(1 << 22):
            crc = zlib.crc32(block, crc)
    return crc


class Contents:
    """The arrays of a whole checkpoint, read one by one when they are asked for.

    Attributes:
      types: {path: shape and dtype}; of keys those of their words.
      keys: {path: implementation}.
    """

    def __init__(self, folder: Path, content: Mapping[str, Any]) -> None:
        self._folder = folder
        self._last: tuple[str, np.ndarray] | None = None
        with explained(folder):
            if strange := [name for name in content["files"] if not _FILE.fullmatch(name)]:
                raise WeightsError(f"{strange[0]!r} is no name of a file of arrays")
            self._files = {name: open_safetensors(folder / name) for name in content["files"]}
            self._pieces: Mapping[str, Any] = content["pieces"]
            self.keys: Mapping[str, str] = content["keys"]
            divided = {piece for one in self._pieces.values() for _, piece, _ in one["at"]}
            self.types = {
                name: jaxcore.ShapeDtypeStruct(entry.shape, entry.dtype)
                for name, entry in self._files[file_of(0)].entries.items()
                if name not in divided
            }
            for name, piece in self._pieces.items():
                file, first, _ = piece["at"][0]
                dtype = self._files[file].entries[first].dtype
                self.types[name] = jaxcore.ShapeDtypeStruct(tuple(piece["shape"]), dtype)

    def type_of(self, name: str) -> str:
        """Dtype and shape as text, of a key as of a key."""
        if name in self.keys:
            return described(self.key(name))
        return described(self.types[name])

    def key(self, name: str) -> Any:
        """A random key."""
        words = jnp.asarray(self.read(name))
        return random.wrap_key_data(words, impl=self.keys[name])

    def read(self, name: str, index: Index | None = None) -> np.ndarray:
        """An array, or the part of it at `index`: slices with a step of 1."""
        with explained(self._folder):
            if name not in self._pieces:
                if self._last is None or self._last[0] != name:  # parts are asked for in a row
                    self._last = name, self._files[file_of(0)].read(name)
                return self._last[1] if index is None else self._last[1][index]
            return self._assemble(name, index)

    def _assemble(self, name: str, index: Index | None) -> np.ndarray:
        target = self.types[name]
        bounds = [part.indices(size)[:2] for part, size in zip(index or (), target.shape)]
        bounds = bounds or [(0, size) for size in target.shape]
        result = np.empty([end - begin for begin, end in bounds], target.dtype)
        for file, piece, begin in self._pieces[name]["at"]:
            source: Source = self._files[file]
            shape = source.entries[piece].shape
            # The common part, as slices of the piece and of the result.
            low = [max(b, lo) for b, (lo, _) in zip(begin, bounds)]
            high = [min(b + n, hi) for b, n, (_, hi) in zip(begin, shape, bounds)]
            if all(a < b for a, b in zip(low, high)):
                theirs = tuple(slice(a - b, c - b) for a, c, b in zip(low, high, begin))
                ours = tuple(slice(a - lo, c - lo) for a, c, (lo, _) in zip(low, high, bounds))
                result[ours] = source.read(piece)[theirs]
        return result


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Says of which checkpoint the file of arrays is wrong."""
    try:
        yield
    except (WeightsError, LookupError, TypeError, ValueError) as error:
        raise CheckpointError(
            explain(
                f"{path} is not a whole checkpoint.",
                got=str(error),
                expected="arrays that safetensors can hold, and all of them",
                fix="use an older checkpoint, or train again with resume='overwrite'.",
            )
        ) from error


def is_key(leaf: Any) -> bool:
    """Whether a leaf is a typed random key."""
    return str(getattr(leaf, "dtype", "")).startswith("key<")


def described(leaf: Any) -> str:
    """Dtype and shape, as messages spell them: "float32[2,3]"."""
    return f"{leaf.dtype}[{','.join(map(str, leaf.shape))}]"
