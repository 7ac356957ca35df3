"""Show the rows: a table for the terminal, Markdown for the documents, JSON for programs."""

import dataclasses
import importlib.metadata
import json
import math
import os
import platform
from pathlib import Path
from typing import Any

import jax
import rich.table

from benchmarks.harness import Row

COLUMNS = ("measured", "jaxcore", "jax", "jaxcore / jax", "promised", "jaxcore / others")
UNITS = {
    "s": (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)),
    "B": (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)),
}


def amount(quantity: float, kind: str = "s") -> str:
    """Three digits of seconds or bytes with the unit that suits them.

    >>> amount(0.0000123), amount(0.456), amount(7.891), amount(29.3e6, "B")
    ('12.3 µs', '456 ms', '7.89 s', '29.3 MB')
    """
    units = UNITS[kind]
    unit, scale = next(pair for pair in units if quantity >= pair[1] or pair is units[-1])
    value = quantity / scale
    return f"{value:.{max(0, 2 - int(math.log10(max(value, 1))))}f} {unit}"


def cells(row: Row) -> tuple[str, ...]:
    """Return the texts of one line, column by column."""
    promised = "" if row.target is None else f"≤ {row.target:.3g}"
    ours, peer = amount(row.ours, row.unit), amount(row.peer, row.unit)
    others = ", ".join(f"{name} {ratio:.2f}" for name, ratio in row.others.items())
    return row.name, ours, peer, f"{row.ratio:.2f}", promised, others


def terminal_table(rows: list[Row]) -> rich.table.Table:
    """Return a table in which a promise that was kept is green, a broken one red."""
    table = rich.table.Table(*COLUMNS)
    for line in rows:
        style = {None: "", True: "green", False: "red"}[line.met]
        *first, ratio, promised, others = cells(line)
        table.add_row(*first, f"[{style}]{ratio}[/]" if style else ratio, promised, others)
    return table


def markdown_table(rows: list[Row]) -> str:
    """Return the table as the README and ``docs/benchmarks.md`` show it."""
    lines = [COLUMNS, ("---", *["--:"] * (len(COLUMNS) - 1)), *map(cells, rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def environment() -> dict[str, Any]:
    """Say on what the rows were measured."""
    return {
        "python": platform.python_version(),
        "jax": jax.__version__,
        "jaxlib": importlib.metadata.version("jaxlib"),
        "platform": platform.platform(),
        "device": jax.devices()[0].device_kind,
        "cores": os.cpu_count(),
    }


def write_json(rows: list[Row], path: Path) -> None:
    """Write the rows, in seconds, and the environment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    result = {"environment": environment(), "rows": [dataclasses.asdict(row) for row in rows]}
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
