"""Checkpoints: directories that are either whole or not there.

A checkpoint is written under a temporary name beside its place, flushed to the disk, and renamed:
a process killed at any moment leaves the older ones whole and the new one whole or absent. It
holds `state.safetensors` (the arrays, by path; of several processes see `storage`) and
`checkpoint.json` (everything else). Both are data only: loading one runs no code.
"""

from __future__ import annotations

import errno
import json
import os
import platform
import re
import shutil
import uuid
import warnings
import zlib
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

import jaxcore
from jaxcore import numpy as jnp
from jaxcore import tree
from jaxcore.nn.stacking import unstack_layers
from jaxcore.nn.state import unflatten

from .errors import CheckpointError, explain
from .paths import leaf_paths
from .storage import (
    Contents,
    Snapshot,
    await_first,
    checksum,
    described,
    explained,
    file_of,
    folder_of,
    parts_of_others,
    snapshot,
    write_part,
)

_INFO, _VERSION = "checkpoint.json", 1
Tree = TypeVar("Tree")


def save_checkpoint(path: str | os.PathLike[str], state: Any, info: Mapping[str, Any]) -> Path:
    """Write a checkpoint atomically; of several processes all call this.

    Args:
      path: the directory to make; if it exists it is replaced.
      state: a tree of arrays; typed PRNG keys are stored as their data and implementation.
      info: anything JSON can hold.

    >>> import tempfile
    >>> import numpy as np
    >>> from jaxcore import random
    >>> state = {"variables": {"params": {"scale": np.float32(2.0)}}, "key": random.key(0)}
    >>> with tempfile.TemporaryDirectory() as run_dir:
    ...     path = save_checkpoint(checkpoint_path(run_dir, 7), state, {"note": "the first"})
    ...     print(list_checkpoints(run_dir)[0][0], read_info(path), load_variables(run_dir))
    ...     float(load_checkpoint(path, like=state)["variables"]["params"]["scale"])
    7 {'note': 'the first'} {'params': {'scale': array(2., dtype=float32)}}
    2.0
    """
    path = Path(path)
    saved = state if isinstance(state, Snapshot) else snapshot(state)
    temporary = folder_of(path, saved.token)
    process = jaxcore.process_index()
    try:
        if process in saved.writers:
            temporary.mkdir(parents=True, exist_ok=True)
            with explained(path):
                crc = write_part(temporary, saved)
        if process:
            await_first(path, saved.token, _token_at)
            return path
        content = {
            "format": "jaxcore.train",
            "version": _VERSION,
            "keys": saved.keys,
            "files": {file_of(0): crc, **parts_of_others(temporary, saved)},
            "pieces": saved.pieces,
            "token": saved.token,
            "versions": _versions(),
            "info": dict(info),
        }
        text = json.dumps(content)
        with open(temporary / _INFO, "w", encoding="utf-8") as file:
            json.dump({"crc32": zlib.crc32(text.encode()), "content": content}, file)
            file.flush()
            os.fsync(file.fileno())
        _sync(temporary)
        if path.exists():
            delete_checkpoint(path)
        os.rename(temporary, path)
        _sync(path.parent)
    except BaseException as error:
        if process == 0:
            shutil.rmtree(temporary, ignore_errors=True)
        if isinstance(error, OSError):
            raise _cannot_write(path, error) from error
        raise
    return path


def check_writable(run_dir: str | os.PathLike[str]) -> None:
    """Raise `CheckpointError` now, not at the first save, if nothing can be written there."""
    probe = Path(run_dir) / "checkpoints" / f".tmp-probe-{uuid.uuid4().hex}"
    try:
        probe.mkdir(parents=True)
        (probe / "probe").write_bytes(b"0")
    except OSError as error:
        raise _cannot_write(Path(run_dir), error) from error
    finally:
        shutil.rmtree(probe, ignore_errors=True)


def _cannot_write(path: Path, error: OSError) -> CheckpointError:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return CheckpointError(
        explain(
            f"{path} cannot be written.",
            got=f"{type(error).__name__}: {error}",
            expected="space on the disk" if full else "a directory that may be written to",
            fix=("free some space, or keep fewer checkpoints." if full else "choose another `dir`.")
            + " Earlier checkpoints are whole, and `trainer.interrupted.state` is the state of a "
            "run that this ended.",
        )
    )


def read_info(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The `info` of a checkpoint, after checking that the checkpoint is whole.

    Raises:
      CheckpointError: it is missing or damaged.
    """
    return _content(Path(path))["info"]


def peek_info(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The `info` of a checkpoint, without reading its arrays.

    Raises:
      CheckpointError: `checkpoint.json` is missing or damaged.
    """
    return _content(Path(path), arrays=False)["info"]


def load_checkpoint(path: str | os.PathLike[str], like: Tree, place: Any = None) -> Tree:
    """The state of a checkpoint, as a tree like `like`.

    Args:
      path: the checkpoint's directory.
      like: a tree of arrays or `ShapeDtypeStruct`s.
      place: a tree of shardings like `like`, to put each array there as it is read: no process
        reads more of a divided array than lies on its devices.

    Raises:
      CheckpointError: it is missing, damaged, or its leaves differ from those of `like`; the
        message lists them with both shapes.
    """
    path = Path(path)
    found, wanted = open_checkpoint(path), leaf_paths(like)
    differences = []
    for name, leaf in wanted:
        if name not in found.types:
            differences.append(f"{name}: not stored, the model has {described(leaf)}")
        elif found.type_of(name) != described(leaf):
            differences.append(
                f"{name}: stored {found.type_of(name)}, the model has {described(leaf)}"
            )
    names = {name for name, _ in wanted}
    differences += [
        f"{name}: stored {found.type_of(name)}, the model has none"
        for name in found.types
        if name not in names
    ]
    if differences:
        raise CheckpointError(
            explain(
                f"The checkpoint {path} belongs to another model or optimiser.",
                got=listed(differences),
                expected="the same leaves, shapes and dtypes",
                fix="use another `dir`, pass resume='overwrite' to start afresh, rebuild the "
                "model and optimiser that wrote it, or take over what fits by "
                "train.load_partly(path, state, strict=False).",
            )
        )
    places = [None] * len(wanted) if place is None else tree.leaves(place)
    leaves = [load_leaf(found, name, where) for (name, _), where in zip(wanted, places)]
    return tree.unflatten(tree.structure(like), leaves)


def load_leaf(found: Contents, name: str, place: Any = None) -> Any:
    """One array of a checkpoint, on the devices of the sharding `place`."""
    if name in found.keys:
        return found.key(name)
    if place is None:
        return jnp.asarray(found.read(name))
    shape = found.types[name].shape
    return jaxcore.make_array_from_callback(shape, place, lambda index: found.read(name, index))


def listed(lines: list[str], limit: int = 20) -> str:
    """Lines of an error's "got", not more than `limit`."""
    more = [f"and {len(lines) - limit} more"] if len(lines) > limit else []
    return "\n            ".join(lines[:limit] + more)


def open_checkpoint(path: Path) -> Contents:
    """What is in a checkpoint, after checking that it is whole.

    Raises:
      CheckpointError: it is missing or damaged.
    """
    return Contents(path, _content(path))


def load_variables(path: str | os.PathLike[str], *, averaged: bool = True) -> dict[str, Any]:
    """The model's variables in a checkpoint, as nested dicts of NumPy arrays.

    For prediction without the task that trained them: `model.apply(load_variables(path), x)`.

    Args:
      path: a checkpoint, or the directory of a run, of which the newest one is taken.
      averaged: take the averages of the parameters where the run kept them, as `test` and
        `predict` do; False takes the parameters as the last step left them.
    """
    path = Path(path) if is_checkpoint(path) else latest_checkpoint(path)
    found = open_checkpoint(path)
    ready = averaged and "average/count" in found.types and found.read("average/count") > 0
    leaves = {}
    for name, kind in found.types.items():
        head, _, path_inside = name.partition("/")
        if head == "variables" and path_inside:
            average = f"average/{path_inside}"  # frozen parameters have none
            array = found.read(average if ready and average in found.types else name)
            leaves[tuple(path_inside.split("/"))] = array.astype(kind.dtype, copy=False)
    return {name: unstack_layers(collection) for name, collection in unflatten(leaves).items()}


def is_checkpoint(path: str | os.PathLike[str]) -> bool:
    """Whether a directory is a checkpoint itself, whole or damaged, and not that of a run."""
    return (Path(path) / _INFO).exists()


def checkpoint_path(run_dir: str | os.PathLike[str], step: int) -> Path:
    """Where the checkpoint of a step stands in a run's directory."""
    return Path(run_dir) / "checkpoints" / f"step_{step:09d}"


def list_checkpoints(run_dir: str | os.PathLike[str]) -> list[tuple[int, Path]]:
    """The (step, path) of a run's checkpoints, oldest first, whole or damaged."""
    folder = Path(run_dir) / "checkpoints"
    if not folder.is_dir():
        return []
    matches = ((re.fullmatch(r"step_(\d{9,})", path.name), path) for path in folder.iterdir())
    return sorted((int(match.group(1)), path) for match, path in matches if match)


def latest_checkpoint(run_dir: str | os.PathLike[str]) -> Path:
    """The newest whole checkpoint of a run.

    Damaged ones are passed over with a warning that names the one taken instead.

    Raises:
      CheckpointError: there is none.
    """
    damaged = []
    for _, path in reversed(list_checkpoints(run_dir)):
        try:
            _content(path)
        except CheckpointError as error:
            damaged.append(str(error))
            continue
        if damaged:
            warnings.warn(
                "\n".join([f"falling back to {path}, because a newer one is damaged:", *damaged]),
                stacklevel=2,
            )
        return path
    raise CheckpointError(
        explain(
            f"{os.fspath(run_dir)} has no checkpoint.",
            got=f"no whole step_* folder in {Path(run_dir) / 'checkpoints'}"
            + (f", but {len(damaged)} damaged" if damaged else ""),
            expected="the directory of a run that saved one",
            fix="give the Trainer this `dir` and a ModelCheckpoint callback, and train.",
        )
    )


def best_checkpoint(run_dir: str | os.PathLike[str], monitor: str, mode: str = "min") -> Path:
    """The checkpoint whose logged metric `monitor` was best (of equals, the oldest).

    Raises:
      CheckpointError: no whole checkpoint was saved together with that metric.
    """
    scored = []
    for step, path in list_checkpoints(run_dir):
        try:
            row = read_info(path).get("row") or {}
        except CheckpointError:
            continue
        if monitor in row:
            scored.append((row[monitor] if mode == "min" else -row[monitor], step, path))
    scored = [entry for entry in scored if entry[0] == entry[0]] or scored  # NaN is never best
    if not scored:
        raise CheckpointError(
            explain(
                f"No checkpoint in {os.fspath(run_dir)} was saved with the metric {monitor!r}.",
                got=f"{len(list_checkpoints(run_dir))} checkpoints",
                expected="one saved right after a validation",
                fix="save as often as you validate, e.g. both every Epochs(1).",
            )
        )
    return min(scored)[2]


def delete_checkpoint(path: str | os.PathLike[str]) -> None:
    """Remove a checkpoint so that no half of it is ever seen under its name."""
    path = Path(path)
    trash = path.parent / f".tmp-deleted-{uuid.uuid4().hex}"
    os.rename(path, trash)
    shutil.rmtree(trash, ignore_errors=True)


def remove_leftovers(run_dir: str | os.PathLike[str]) -> None:
    """Remove what a killed process left half-written."""
    for path in (Path(run_dir) / "checkpoints").glob(".tmp-*"):
        shutil.rmtree(path, ignore_errors=True)


def _token_at(path: Path) -> str | None:
    try:
        return _content(path, arrays=False)["token"]
    except CheckpointError:
        return None


def _content(path: Path, arrays: bool = True) -> dict[str, Any]:
    try:
        stored = json.loads((path / _INFO).read_text(encoding="utf-8"))
        content = stored["content"]
        if zlib.crc32(json.dumps(content).encode()) != stored["crc32"]:
            raise ValueError(f"the checksum of {_INFO} does not fit")
        if content["format"] != "jaxcore.train" or content["version"] > _VERSION:
            raise ValueError(f"format {content['format']} version {content['version']}")
        for name, crc in content["files"].items() if arrays else ():
            if checksum(path / name) != crc:
                raise ValueError(f"the checksum of {name} does not fit")
        return content
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            explain(
                f"{path} is not a whole checkpoint.",
                got=f"{type(error).__name__}: {error}",
                expected=f"{_INFO} and {file_of(0)} with matching checksums",
                fix="use an older checkpoint, or train again with resume='overwrite'.",
            )
        ) from error


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in ("jaxcore", "jax", "jaxlib", "numpy", "optax"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _sync(folder: Path) -> None:
    """Flush a directory's entries; systems that cannot open a directory do without."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)
