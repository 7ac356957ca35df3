"""Reading and writing the safetensors format: named arrays, data only, no code to execute.

The file is an 8-byte little-endian length, that many bytes of JSON, then the arrays' raw bytes.
Format: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from typing import Any

import ml_dtypes
import numpy as np

from ..errors import WeightsError
from .files import Entry, Source, aligned

_DTYPES: dict[str, np.dtype] = {
    "BOOL": np.dtype(np.bool_),
    "U8": np.dtype(np.uint8),
    "I8": np.dtype(np.int8),
    "U16": np.dtype(np.uint16),
    "I16": np.dtype(np.int16),
    "U32": np.dtype(np.uint32),
    "I32": np.dtype(np.int32),
    "U64": np.dtype(np.uint64),
    "I64": np.dtype(np.int64),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "F32": np.dtype(np.float32),
    "F64": np.dtype(np.float64),
    "C64": np.dtype(np.complex64),
    "F8_E4M3": np.dtype(ml_dtypes.float8_e4m3fn),
    "F8_E5M2": np.dtype(ml_dtypes.float8_e5m2),
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


def save_arrays(
    path: str | os.PathLike[str],
    arrays: Mapping[str, Any],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write named arrays, one after another, and flush them to the disk.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_arrays(f"{folder}/a.safetensors", {"x": np.arange(3)})
    ...     load_arrays(f"{folder}/a.safetensors")["x"]
    array([0, 1, 2])

    Raises:
      WeightsError: a dtype that the format does not have.
    """
    header: dict[str, object] = {} if metadata is None else {"__metadata__": dict(metadata)}
    offset = 0
    for name, array in arrays.items():
        if array.dtype not in _NAMES:
            raise WeightsError(
                f"the array {name!r} cannot be stored: it has dtype {array.dtype}. Expected one of "
                f"{', '.join(map(str, _NAMES))}; convert it before saving."
            )
        size = math.prod(array.shape) * array.dtype.itemsize
        header[name] = {
            "dtype": _NAMES[array.dtype],
            "shape": list(array.shape),
            "data_offsets": [offset, offset + size],
        }
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # so that the arrays are aligned
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little"))
        file.write(text)
        for array in arrays.values():
            file.write(np.ascontiguousarray(array).tobytes())
        file.flush()
        os.fsync(file.fileno())


def load_arrays(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read all arrays of a file.

    Raises:
      WeightsError: the file is not a whole safetensors file.
    """
    source = open_safetensors(path)
    return {name: source.read(name) for name in source.entries}


def open_safetensors(path: str | os.PathLike[str]) -> Source:
    """The arrays of a file by name, each read from the disk when it is asked for.

    Raises:
      WeightsError: the file is not a whole safetensors file.
    """
    places: dict[str, int] = {}
    entries: dict[str, Entry] = {}
    try:
        with open(path, "rb") as file:
            end_of_file = os.fstat(file.fileno()).st_size
            start = 8 + int.from_bytes(file.read(8), "little")
            if not 8 <= start <= end_of_file:
                raise ValueError("the header is longer than the file")
            header = json.loads(file.read(start - 8))
        header.pop("__metadata__", None)
        for name, entry in header.items():
            begin, end = (start + offset for offset in entry["data_offsets"])
            found = Entry(tuple(entry["shape"]), _DTYPES[entry["dtype"]])
            if not start <= begin <= end <= end_of_file:
                raise ValueError(f"the bytes of {name!r} lie outside the file")
            if end - begin != found.nbytes:
                raise ValueError(f"{name!r} has {end - begin} bytes, and its shape {found.nbytes}")
            places[name], entries[name] = begin, found
    except FileNotFoundError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError, MemoryError) as error:
        raise WeightsError(
            f"{os.fspath(path)} is not a whole safetensors file: {type(error).__name__}: {error}. "
            "Expected header length, JSON header, arrays; the file is damaged or of another format."
        ) from error

    def read(name: str) -> np.ndarray:
        array = aligned(entries[name])
        room: Any = array.reshape(-1).view(np.uint8)
        with open(path, "rb") as file:
            file.seek(places[name])
            count = file.readinto(room)
        if count != array.nbytes:
            raise WeightsError(f"{os.fspath(path)} became shorter while it was read.")
        return array

    return Source(os.fspath(path), entries, read)
