"""Reading and writing the safetensors format: named arrays, data only, no code to execute.

The file is an 8-byte little-endian length, that many bytes of JSON, then the arrays' raw bytes.
Format: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import ml_dtypes
import numpy as np

from .errors import CheckpointError, explain

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


def save_arrays(path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray]) -> None:
    """Write named arrays and flush them to the disk.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_arrays(f"{folder}/a.safetensors", {"x": np.arange(3)})
    ...     load_arrays(f"{folder}/a.safetensors")["x"]
    array([0, 1, 2])

    Raises:
      CheckpointError: a dtype that the format does not have.
    """
    header: dict[str, object] = {}
    offset = 0
    for name, array in arrays.items():
        if array.dtype not in _NAMES:
            raise CheckpointError(
                explain(
                    f"The array {name!r} cannot be stored.",
                    got=f"dtype {array.dtype}",
                    expected=f"one of {', '.join(map(str, _NAMES))}",
                    fix="convert it before saving.",
                )
            )
        header[name] = {
            "dtype": _NAMES[array.dtype],
            "shape": list(array.shape),
            "data_offsets": [offset, offset + array.nbytes],
        }
        offset += array.nbytes
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
      CheckpointError: the file is not a whole safetensors file.
    """
    data = Path(path).read_bytes()
    try:
        length = int.from_bytes(data[:8], "little")
        if len(data) < 8 + length:
            raise ValueError("the header is longer than the file")
        header = json.loads(data[8 : 8 + length])
        arrays = {}
        for name, entry in header.items():
            if name == "__metadata__":
                continue
            begin, end = (8 + length + offset for offset in entry["data_offsets"])
            if not 8 + length <= begin <= end <= len(data):
                raise ValueError(f"the bytes of {name!r} lie outside the file")
            flat = np.frombuffer(data[begin:end], _DTYPES[entry["dtype"]])
            arrays[name] = flat.reshape(entry["shape"]).copy()
        return arrays
    except (ValueError, KeyError, TypeError, AttributeError, UnicodeDecodeError) as error:
        raise CheckpointError(
            explain(
                f"{path} is not a whole safetensors file.",
                got=f"{type(error).__name__}: {error}",
                expected="header length, JSON header, arrays",
                fix="use another checkpoint; this one is damaged or of another format.",
            )
        ) from error
