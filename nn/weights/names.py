"""Maps between a file's names and layouts and a model's, as tables that read both ways.

    names = NameMap(
        embed("embeddings.word_embeddings", "word_embeddings"),
        dense("encoder.layer.{i}.intermediate.dense", "layer_{i}/intermediate"),
        norm("encoder.layer.{i}.output.LayerNorm", "layer_{i}/output_norm"),
        prefixes=("", "bert."),
        ignored=("embeddings.position_ids",),
    )

``{i}`` stands for a number, the same on both sides. What has to be transposed is said by the row
(`dense`, `conv`, ...), never guessed from shapes: a square matrix would not tell.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layout:
    """How an array lies in the file beside how it lies here.

    Kinds: "same"; "flat" (rows of features, here perhaps as heads and depth); "linear" (theirs
    (out, in), ours (*in, *out)); "matrix" (both (in, out)); "conv" (theirs (out, in, *window), ours
    (*window, in, out)). `inputs` counts our input axes.
    """

    kind: str = "same"
    inputs: int = 1

    def theirs(self, shapes: list[Shape]) -> Shape | None:
        """The file's shape for arrays of ours, joined along the features; None if none can be."""
        if self.kind == "same":
            return shapes[0]
        if self.kind == "conv":
            *window, inputs, features = shapes[0]
            return (features, inputs, *window)
        if self.kind == "flat":
            return (sum(map(math.prod, shapes)),)
        rows = {math.prod(shape[: self.inputs]) for shape in shapes}
        columns = sum(math.prod(shape[self.inputs :]) for shape in shapes)
        if len(rows) != 1:
            return None
        return (columns, *rows) if self.kind == "linear" else (*rows, columns)

    def to_ours(self, array: np.ndarray, shapes: list[Shape]) -> list[np.ndarray]:
        """The file's array as ours, of `shapes`; views where that is possible."""
        if self.kind == "same":
            return [array]
        if self.kind == "conv":
            return [np.moveaxis(array, (0, 1), (-1, -2))]
        if self.kind == "linear":
            array = array.T
        inputs = 0 if self.kind == "flat" else self.inputs
        widths = [math.prod(shape[inputs:]) for shape in shapes]
        parts = np.split(array, np.cumsum(widths)[:-1], axis=-1)
        return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]

    def to_theirs(self, arrays: list[np.ndarray]) -> np.ndarray:
        """Ours, joined and laid out as in the file."""
        if self.kind == "same":
            return arrays[0]
        if self.kind == "conv":
            return np.moveaxis(arrays[0], (-1, -2), (0, 1))
        if self.kind == "flat":
            return np.concatenate([a.reshape(-1) for a in arrays])
        flat = [a.reshape(math.prod(a.shape[: self.inputs]), -1) for a in arrays]
        joined = flat[0] if len(flat) == 1 else np.concatenate(flat, axis=-1)
        return joined.T if self.kind == "linear" else joined


@dataclass(frozen=True)
class Rule:
    """One row: a name in the file, our path or paths (joined in the file), and the layout."""

    name: str
    paths: tuple[str, ...]
    layout: Layout = Layout()
    constants: tuple[tuple[str, Any], ...] = ()  # further names that the file has beside it


@dataclass(frozen=True)
class Match:
    """A rule with its numbers filled in."""

    name: str
    paths: tuple[str, ...]
    layout: Layout
    constants: tuple[tuple[str, Any], ...]


class NameMap:
    """The rows of a model's weights; see the top of the file.

    Args:
      *rules: rows, or groups of rows as `dense` and its like give them.
      prefixes: what names may begin with; `save` writes the first.
      ignored: names that the model has no use for, ``*`` standing for anything.

    >>> names = NameMap(dense("fc{i}", "Dense_{i}"))
    >>> names.find("fc3.weight").paths
    ('params/Dense_3/kernel',)
    >>> names.save_as("params/Dense_3/bias").name
    'fc3.bias'
    """

    def __init__(
        self,
        *rules: Rule | tuple[Rule, ...],
        prefixes: tuple[str, ...] = ("",),
        ignored: tuple[str, ...] = (),
    ):
        self.rules = tuple(
            r for group in rules for r in ((group,) if isinstance(group, Rule) else group)
        )
        self.prefixes = prefixes
        self._by_name = [(_pattern(rule.name), rule) for rule in self.rules]
        self._by_path = [(_pattern(rule.paths[0]), rule) for rule in self.rules]
        constants = tuple(
            _holes.sub("*", name) for rule in self.rules for name, _ in rule.constants
        )
        self._ignored = [
            re.compile(re.escape(glob).replace(r"\*", ".*")) for glob in (*ignored, *constants)
        ]

    def find(self, name: str) -> Match | None:
        """The row of a name in a file."""
        return next(filter(None, (_match(self._by_name, bare) for bare in self._bare(name))), None)

    def ignores(self, name: str) -> bool:
        """Whether the model has no use for a name."""
        return any(p.fullmatch(bare) for p in self._ignored for bare in self._bare(name))

    def save_as(self, path: str) -> Match | None:
        """The row whose first path is `path`."""
        found = _match(self._by_path, path)
        if found is None or not self.prefixes[0]:
            return found
        named = tuple((self.prefixes[0] + name, value) for name, value in found.constants)
        return Match(self.prefixes[0] + found.name, found.paths, found.layout, named)

    def _bare(self, name: str) -> list[str]:
        ordered = sorted(self.prefixes, key=len, reverse=True)
        return [name.removeprefix(p) for p in ordered if name.startswith(p)]


class PathNames(NameMap):
    """Our own names, which are Flax linen's: the paths, joined with ``/`` or ``.``."""

    def __init__(self) -> None:
        super().__init__()

    def find(self, name: str) -> Match:
        path = name.replace(".", "/")
        return Match(name, (path,), Layout(), ())

    def save_as(self, path: str) -> Match:
        return Match(path, (path,), Layout(), ())


_holes = re.compile(r"\{(\w+)\}")


def _pattern(text: str) -> re.Pattern[str]:
    parts = _holes.split(text)
    seen: set[str] = set()
    out = ""
    for i, part in enumerate(parts):
        if i % 2 == 0:
            out += re.escape(part)
        else:
            out += f"(?P={part})" if part in seen else f"(?P<{part}>[0-9]+)"
            seen.add(part)
    return re.compile(out)


def _match(table: list[tuple[re.Pattern[str], Rule]], text: str) -> Match | None:
    for pattern, rule in table:
        found = pattern.fullmatch(text)
        if found:
            return _filled(rule, found.groupdict())
    return None


def _filled(rule: Rule, numbers: Mapping[str, str]) -> Match:
    return Match(
        rule.name.format(**numbers),
        tuple(path.format(**numbers) for path in rule.paths),
        rule.layout,
        tuple((name.format(**numbers), value) for name, value in rule.constants),
    )


# --- rows -----------------------------------------------------------------------------------------


def plain(name: str, path: str, layout: str = "same", collection: str = "params") -> Rule:
    """One array that is named `name` in the file."""
    return Rule(name, (f"{collection}/{path}",), Layout(layout))


def dense(
    name: str, *paths: str, inputs: int = 1, bias: bool = True, layout: str = "linear"
) -> tuple[Rule, ...]:
    """A linear layer; several paths are layers that the file keeps as one, side by side.

    `inputs` counts the input axes of our kernel: 2 for the ``(heads, depth, out)`` of attention's
    last layer. ``layout="matrix"`` is for files that hold (in, out).
    """
    rows = [
        Rule(f"{name}.weight", tuple(f"params/{p}/kernel" for p in paths), Layout(layout, inputs))
    ]
    if bias:
        rows.append(Rule(f"{name}.bias", tuple(f"params/{p}/bias" for p in paths), Layout("flat")))
    return tuple(rows)


def conv(name: str, path: str, bias: bool = True) -> tuple[Rule, ...]:
    """A convolution of any rank."""
    rows = (Rule(f"{name}.weight", (f"params/{path}/kernel",), Layout("conv")),)
    return (*rows, plain(f"{name}.bias", f"{path}/bias")) if bias else rows


def norm(name: str, path: str, bias: bool = True) -> tuple[Rule, ...]:
    """A layer, group or RMS norm."""
    rows = (plain(f"{name}.weight", f"{path}/scale"),)
    return (*rows, plain(f"{name}.bias", f"{path}/bias")) if bias else rows


def batch_norm(name: str, path: str) -> tuple[Rule, ...]:
    """A batch norm with its running averages."""
    counter = ((f"{name}.num_batches_tracked", np.zeros((), np.int64)),)
    mean = Rule(f"{name}.running_mean", (f"batch_stats/{path}/mean",), constants=counter)
    return (
        *norm(name, path),
        mean,
        plain(f"{name}.running_var", f"{path}/var", "same", "batch_stats"),
    )


def embed(name: str, path: str) -> tuple[Rule, ...]:
    """A lookup table."""
    return (plain(f"{name}.weight", f"{path}/embedding"),)
