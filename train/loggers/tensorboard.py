"""Event files that TensorBoard reads, written without TensorFlow.

A file is a sequence of records: length, masked CRC-32C of the length, an `Event` in protobuf's
encoding, masked CRC-32C of that. Of `Event` only what scalars need is written.
Format: https://github.com/tensorflow/tensorboard/blob/master/tensorboard/compat/proto/event.proto
"""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, cast

from ..history import Row
from ..run import Run
from .base import Logger, target


class TensorBoardLogger(Logger):
    """Write every column of the history as a scalar over the step.

    A resumed run writes its rows anew and removes the files of the interrupted one.

    Args:
      path: the folder to point TensorBoard to; by default "tensorboard" in the run's directory.

    >>> logger = TensorBoardLogger("runs/first/tensorboard")
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self.path = None if path is None else Path(path)
        self._file: IO[bytes] | None = None

    def open(self, run: Run, rows: Sequence[Row]) -> None:
        folder = target(run, self.path, "tensorboard", "TensorBoardLogger")
        folder.mkdir(parents=True, exist_ok=True)
        old = list(folder.glob("events.out.tfevents.*.jaxcore"))
        name = self.begin(folder, "jaxcore", "wb")
        for row in rows:
            self.write(row)
        for path in old:
            if path.name != name:
                path.unlink(missing_ok=True)

    def write(self, row: Row) -> None:
        values = {name: float_field(2, value) for name, value in row.items() if name != "step"}
        self.write_event(integer_field(2, int(row["step"])) + summary(values))

    def begin(self, folder: Path, ending: str, mode: str) -> str:
        """Open an event file in `folder`, with what each begins with; returns its name."""
        name = f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{os.getpid()}"
        self._file = cast(IO[bytes], (folder / f"{name}.{ending}").open(mode))
        self.write_event(bytes_field(3, b"brain.Event:2"))
        return f"{name}.{ending}"

    def write_event(self, fields: bytes) -> None:
        """Write an event of this moment."""
        assert self._file is not None
        self._file.write(record(double_field(1, time.time()) + fields))
        self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def summary(values: Mapping[str, bytes]) -> bytes:
    """The field of an event that has {tag: value}; of a value the field that says its kind."""
    tagged = (bytes_field(1, name.encode()) + value for name, value in values.items())
    return bytes_field(5, b"".join(bytes_field(1, one) for one in tagged))


def record(data: bytes) -> bytes:
    """One record of an event file."""
    length = struct.pack("<Q", len(data))
    return length + _masked_crc(length) + data + _masked_crc(data)


def crc32c(data: bytes) -> int:
    """The Castagnoli CRC of `data`.

    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def _table() -> Iterator[int]:
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        yield value


_TABLE = list(_table())


def _masked_crc(data: bytes) -> bytes:
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _varint(value: int) -> bytes:
    value &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


def integer_field(field: int, value: int) -> bytes:
    """A field of protobuf's encoding that is an integer or an enumeration."""
    return _varint(field << 3) + _varint(value)


def double_field(field: int, value: float) -> bytes:
    """A field that is a float64."""
    return _varint(field << 3 | 1) + struct.pack("<d", value)


def float_field(field: int, value: float) -> bytes:
    """A field that is a float32; what is beyond it is infinite."""
    try:
        return _varint(field << 3 | 5) + struct.pack("<f", value)
    except OverflowError:
        return _varint(field << 3 | 5) + struct.pack("<f", float("inf") * (1 if value > 0 else -1))


def bytes_field(field: int, value: bytes) -> bytes:
    """A field that is text, bytes, packed numbers or a message."""
    return _varint(field << 3 | 2) + _varint(len(value)) + value
