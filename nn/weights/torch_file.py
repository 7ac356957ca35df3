"""Reading PyTorch's ``.pt`` files without PyTorch, and without running what a pickle asks for.

A file of ``torch.save`` is a zip archive with a pickle, ``data.pkl``, and the bytes of every
storage. A pickle is a program. The reader here lets it build containers, numbers, strings and
tensors; any other name that it asks for is refused before anything is called.
"""

from __future__ import annotations

import collections
import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from ..errors import WeightsError
from ..state import flatten
from .files import Entry, Source

_STORAGES: dict[str, Any] = {
    "BFloat16Storage": ml_dtypes.bfloat16,
    "BoolStorage": np.bool_,
    "ByteStorage": np.uint8,
    "CharStorage": np.int8,
    "ComplexDoubleStorage": np.complex128,
    "ComplexFloatStorage": np.complex64,
    "DoubleStorage": np.float64,
    "FloatStorage": np.float32,
    "HalfStorage": np.float16,
    "IntStorage": np.int32,
    "LongStorage": np.int64,
    "ShortStorage": np.int16,
}


class _Storage(NamedTuple):
    key: str
    dtype: np.dtype
    size: int


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def dtype(self) -> np.dtype:
        return self.storage.dtype


def _tensor(storage: Any, offset: int, shape: Any, strides: Any, *_: Any) -> _Tensor:
    return _Tensor(storage, int(offset), tuple(shape), tuple(strides))


def _parameter(tensor: _Tensor, *_: Any) -> _Tensor:
    return tensor


_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    **{("torch", name): np.dtype(dtype) for name, dtype in _STORAGES.items()},
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(
                f"it asks for '{module}.{name}', which is neither a tensor nor a container"
            )
        return _ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, _, count = pid
        if kind != "storage" or not isinstance(dtype, np.dtype):
            raise pickle.UnpicklingError(f"it refers to something unknown: {pid!r}")
        return _Storage(str(key), dtype, int(count))


def open_torch(path: str | os.PathLike[str]) -> Source:
    """The tensors of a file of ``torch.save``, by name; each is read when it is asked for.

    Containers may be nested: names are joined with ``.``. What is no tensor, such as the number of
    an epoch, is left out.

    Raises:
      WeightsError: the file is of another format, damaged, or holds other objects than tensors.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            (pickled,) = [n for n in archive.namelist() if n.endswith("data.pkl")]
            root = pickled.removesuffix("data.pkl")
            order = (
                archive.read(root + "byteorder")
                if root + "byteorder" in archive.NameToInfo
                else b""
            )
            if order == b"big":
                raise ValueError("its numbers are in big-endian order")
            content = _Unpickler(io.BytesIO(archive.read(pickled))).load()
            sizes = {
                n.removeprefix(root + "data/"): archive.getinfo(n).file_size
                for n in archive.namelist()
            }
        tensors = {".".join(map(str, p)): t for p, t in flatten(content) if isinstance(t, _Tensor)}
        for name, tensor in tensors.items():
            _check(name, tensor, sizes)
    except FileNotFoundError:
        raise
    except Exception as error:  # a hostile pickle can raise anything
        raise WeightsError(
            f"{os.fspath(path)} cannot be read as tensors: {type(error).__name__}: {error}. "
            "Expected a zip archive that torch.save wrote of a state_dict. Save it with "
            "torch.save(model.state_dict(), path), or better as safetensors."
        ) from error

    def read(name: str) -> np.ndarray:
        tensor = tensors[name]
        with zipfile.ZipFile(path) as archive:
            data = archive.read(f"{root}data/{tensor.storage.key}")
        flat = np.frombuffer(data, tensor.dtype)[tensor.offset :]
        strides = [step * tensor.dtype.itemsize for step in tensor.strides]
        view = np.lib.stride_tricks.as_strided(flat, tensor.shape, strides, writeable=False)
        return np.array(view, order="C")

    entries = {name: Entry(t.shape, t.dtype) for name, t in tensors.items()}
    return Source(str(Path(path)), entries, read)


def _check(name: str, tensor: _Tensor, sizes: dict[str, int]) -> None:
    """Raises unless the tensor lies within its storage, whatever its strides are."""
    size, strides = sizes[tensor.storage.key] // tensor.dtype.itemsize, tensor.strides
    if (
        len(strides) != len(tensor.shape)
        or min((*tensor.shape, *strides, tensor.offset), default=0) < 0
    ):
        raise ValueError(f"{name!r} has impossible strides")
    last = tensor.offset + sum((n - 1) * step for n, step in zip(tensor.shape, strides))
    if 0 not in tensor.shape and last >= size:
        raise ValueError(f"{name!r} lies outside its storage")
