"""Where weights come from: named arrays that are read one by one."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import WeightsError
from ..state import flatten


@dataclass(frozen=True)
class Entry:
    """What is known of an array before it is read."""

    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True)
class Source:
    """Named arrays: `entries` says what there is, `read` fetches one of them."""

    path: str
    entries: dict[str, Entry]
    read: Callable[[str], np.ndarray]


def aligned(entry: Entry) -> np.ndarray:
    """An empty array at an address from which a CPU device uses it in place, without a copy."""
    room = np.empty(entry.nbytes + 63, np.uint8)
    start = -room.ctypes.data % 64
    return room[start : start + entry.nbytes].view(entry.dtype).reshape(entry.shape)


def open_weights(path: str | os.PathLike[str] | Mapping[str, Any]) -> Source:
    """The arrays of a safetensors file, a folder or index of such files, or a ``.pt`` file.

    A mapping of arrays, nested or flat, serves too; nested names are joined with ``/``.

    Raises:
      WeightsError: it is none of these, or damaged.
    """
    from .safetensors import open_safetensors
    from .torch_file import open_torch

    if isinstance(path, Mapping):
        return _of_mapping(path)
    file = Path(path)
    if file.is_dir():
        return _of_folder(file)
    if file.name.endswith(".index.json"):
        return _of_index(file)
    with open(file, "rb") as opened:
        start = opened.read(8)
    if start.startswith(b"PK") or file.suffix in (".pt", ".pth", ".bin", ".ckpt"):
        return open_torch(file)
    return open_safetensors(file)


def _of_mapping(tree: Mapping[str, Any]) -> Source:
    arrays = {"/".join(path): leaf for path, leaf in flatten(tree)}
    wrong = [
        name for name, v in arrays.items() if not (hasattr(v, "shape") and hasattr(v, "dtype"))
    ]
    if wrong:
        raise WeightsError(f"load: {wrong[0]!r} is a {type(arrays[wrong[0]]).__name__}, no array.")
    entries = {name: Entry(tuple(v.shape), _numpy_dtype(v)) for name, v in arrays.items()}
    return Source("the mapping", entries, lambda name: np.asarray(arrays[name]))


def _numpy_dtype(array: Any) -> np.dtype:
    try:
        return np.dtype(array.dtype)
    except TypeError:  # a tensor of PyTorch
        return np.asarray(array).dtype


def _of_folder(folder: Path) -> Source:
    index = sorted(folder.glob("*.index.json"))
    files = sorted(folder.glob("*.safetensors"))
    if index:
        return _of_index(index[0])
    if len(files) != 1:
        raise WeightsError(
            f"{folder} holds {len(files)} safetensors files and no *.index.json that says which "
            "array is in which. Expected one of these; pass the path of one file."
        )
    return open_weights(files[0])


def _of_index(path: Path) -> Source:
    """The parts of a large model, as an index like ``model.safetensors.index.json`` lists them."""
    try:
        names = json.loads(path.read_text(encoding="utf-8"))["weight_map"]
        files = sorted(set(names.values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(
            f"{path} is no index of weights: {type(error).__name__}: {error}. Expected JSON with "
            "'weight_map': a file for every name."
        ) from error
    outside = [file for file in files if Path(file).name != file]
    if outside:
        raise WeightsError(f"{path} points out of its folder: {outside[0]!r}.")
    sources = {file: open_weights(path.parent / file) for file in files}
    lost = [name for name, file in names.items() if name not in sources[file].entries]
    if lost:
        raise WeightsError(f"{path} promises {lost[0]!r} in {names[lost[0]]}, which lacks it.")
    entries = {name: sources[file].entries[name] for name, file in names.items()}
    return Source(str(path), entries, lambda name: sources[names[name]].read(name))
