"""Rows as text: a table of comma-separated values, or a JSON object a line."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from ..history import History, Row
from ..run import Run
from .base import Logger, target


class CSVLogger(Logger):
    """Write the history to a CSV file, a row at a time.

    The file is rewritten when a new column appears and when a run resumes, so it never has rows
    that the restored run will log again.

    Args:
      path: the file; by default "metrics.csv" in the run's directory.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self.path = None if path is None else Path(path)
        self._history = History()
        self._columns: list[str] = []
        self._target: Path | None = None
        self._file: IO[str] | None = None

    def open(self, run: Run, rows: Sequence[Row]) -> None:
        self._target = target(run, self.path, "metrics.csv", "CSVLogger")
        self._target.parent.mkdir(parents=True, exist_ok=True)
        self._history = History(list(rows))
        self._rewrite()

    def write(self, row: Row) -> None:
        assert self._target is not None
        self._history.rows.append(row)
        if not set(row) <= set(self._columns):
            self._rewrite()
            return
        if self._file is None:
            self._file = self._target.open("a", newline="", encoding="utf-8")
        csv.DictWriter(self._file, self._columns).writerow(row)
        self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _rewrite(self) -> None:
        assert self._target is not None
        self.close()
        self._columns = self._history.names
        temporary = self._target.with_name(f".{self._target.name}.tmp")
        self._history.to_csv(temporary)
        os.replace(temporary, self._target)


class JSONLLogger(Logger):
    """Write each row as one line of JSON; NaN and infinities are the strings "NaN" and so on.

    Args:
      path: the file; by default "metrics.jsonl" in the run's directory.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self.path = None if path is None else Path(path)
        self._file: IO[str] | None = None

    def open(self, run: Run, rows: Sequence[Row]) -> None:
        place = target(run, self.path, "metrics.jsonl", "JSONLLogger")
        place.parent.mkdir(parents=True, exist_ok=True)
        self._file = place.open("w", encoding="utf-8")
        for row in rows:
            self.write(row)

    def write(self, row: Row) -> None:
        assert self._file is not None
        finite = {k: v if math.isfinite(v) else _spelled(v) for k, v in row.items()}
        self._file.write(json.dumps(finite) + "\n")
        self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _spelled(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
