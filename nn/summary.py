"""`Module.summary`: a table of the model's parts, found on abstract values."""

from __future__ import annotations

import html
import importlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import jaxcore
from jaxcore import random, tree

from .arrays import split_arrays
from .running import root_frame
from .scope import run_root
from .state import Path, Run

if TYPE_CHECKING:
    from .module import Module


@dataclass(frozen=True)
class Row:
    """One module of the table; `parameters` and `flops` include its submodules."""

    path: str
    kind: str
    output: str
    parameters: int
    flops: int | None
    calls: int


def rows(module: Module, *args: Any, train: bool = False, **kwargs: Any) -> list[Row]:
    """The table's rows, in the order in which the modules are first called."""
    variables = jaxcore.eval_shape(lambda: module.init(random.key(0), *args, train=train, **kwargs))
    arrays, join = split_arrays((args, kwargs))
    calls: dict[Path, tuple[Module, Any, int]] = {}
    order: dict[Path, set[str]] = {}  # in order of first call: where each is called from

    def note(path: Path, called: Module, out: Any) -> None:
        number = calls[path][2] if path in calls else 0
        calls.setdefault(path, (called, _type(out), 0))
        calls[path] = (*calls[path][:2], number + 1)

    def opened(path: Path, scopes: Path) -> None:
        order.setdefault(path, set()).add("/".join(scopes))

    def forward(variables: Any, arrays: list[Any], key: Any) -> Any:
        inner_args, inner_kwargs = join(arrays)
        run = Run(variables, lambda _: True)
        run.listener, run.opener = note, opened
        frame, fn, inner_kwargs = root_frame(
            run, module, None, {None: key}, train, None, inner_args, inner_kwargs
        )
        return run_root(frame, fn, inner_args, inner_kwargs)

    arrays = [jaxcore.ShapeDtypeStruct(v.shape, v.dtype) for v in arrays]
    flops = _flops(forward, variables, arrays, random.key(0))
    sizes = _sizes(variables.get("params", {}))
    return [
        Row(
            "/".join(path),
            type(calls[path][0]).__name__,
            calls[path][1],
            sizes.get(path, 0),
            None if flops is None else _flops_below(flops, order[path]),
            calls[path][2],
        )
        for path in order
    ]


def _flops(forward: Any, *args: Any) -> dict[str, int] | None:
    """FLOPs by module path of the traced forward pass; None where the engine does not count."""
    try:
        cost = importlib.import_module("jaxcore.cost")
    except ModuleNotFoundError:
        jaxcore.eval_shape(forward, *args)
        return None
    return cost.flops_by_path(jaxcore.make_jaxpr(forward)(*args))


def _flops_below(flops: dict[str, int], scopes: set[str]) -> int:
    return sum(
        count
        for where, count in flops.items()
        if any(not s or where == s or where.startswith(s + "/") for s in scopes)
    )


def _sizes(params: Any, path: Path = ()) -> dict[Path, int]:
    """Numbers of parameters below every path."""
    sizes: dict[Path, int] = {path: 0}
    for name, value in params.items():
        if hasattr(value, "items"):
            inner = _sizes(value, (*path, name))
            sizes |= inner
            sizes[path] += inner[(*path, name)]
        else:
            sizes[path] += sum(math.prod(leaf.shape) for leaf in tree.leaves(value))
    return sizes


def _type(out: Any) -> str:
    leaves = tree.leaves(out)
    texts = [
        f"{np.dtype(v.dtype).name if _plain(v) else v.dtype}[{','.join(map(str, v.shape))}]"
        for v in leaves
        if hasattr(v, "shape")
    ]
    return ", ".join(texts[:3]) + (", ..." if len(texts) > 3 else "") or "-"


def _plain(value: Any) -> bool:
    return isinstance(value.dtype, np.dtype)


class Table(str):
    """Text that an interactive session shows as it is printed, and a notebook as HTML."""

    cells: list[list[str]]  # the head, then a row of texts a module

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return self.html()

    def html(self) -> str:
        """The table as HTML, one ``<tr>`` a module; depth is indentation, numbers to the right."""
        head, *body = self.cells
        lines = ["<table>", _html_row(head, "th"), *(_html_row(row, "td") for row in body)]
        return "\n".join([*lines, "</table>"])


def _html_row(cells: list[str], tag: str) -> str:
    row = ""
    for i, cell in enumerate(cells):
        depth = (len(cell) - len(cell.lstrip())) // 2
        style = "text-align:right" if i > 2 else f"text-align:left;padding-left:{depth + 0.5}em"
        row += f'<{tag} style="{style}">{html.escape(cell.strip())}</{tag}>'
    return f"<tr>{row}</tr>"


def summarize(module: Module, *args: Any, train: bool = False, **kwargs: Any) -> Table:
    """The table as text."""
    table = rows(module, *args, train=train, **kwargs)
    counted = any(row.flops is not None for row in table)
    head = ["path", "module", "output", "parameters", *(["FLOPs"] if counted else [])]
    body = []
    for row in table:
        depth = row.path.count("/") + 1 if row.path else 0
        name = row.path.rsplit("/", 1)[-1] if row.path else "(model)"
        kind = row.kind + (f" x{row.calls}" if row.calls > 1 else "")
        cells = [
            "  " * depth + name,
            kind,
            row.output,
            f"{row.parameters:,}" if row.parameters else "",
        ]
        body.append([*cells, *([f"{row.flops:,}" if row.flops else ""] if counted else [])])
    widths = [max(len(line[i]) for line in [head, *body]) for i in range(len(head))]

    def line(cells: list[str]) -> str:
        parts = [
            cell.rjust(width) if i > 2 else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return "  ".join(parts).rstrip()

    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    table_text = Table("\n".join([line(head), rule, *map(line, body)]))
    table_text.cells = [head, *body]
    return table_text
