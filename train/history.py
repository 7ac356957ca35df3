"""`History`: the rows a run logged, as data, as CSV, as a picture."""

from __future__ import annotations

import csv
import itertools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from .errors import TrainError, explain

Row = dict[str, float]


def of_steps(row: Row) -> bool:
    """Whether a row tells of steps, and not of the validation before the first alone."""
    return "steps_per_second" in row


class History:
    """Rows {"step": ..., "epoch": ..., "loss": ..., "val/loss": ...}, oldest first.

    >>> history = History([{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0, "val/loss": 1.5}])
    >>> history["loss"], history["val/loss"], history.last("loss")
    ([2.0, 1.0], [1.5], 1.0)
    """

    def __init__(self, rows: list[Row] | None = None) -> None:
        self.rows: list[Row] = list(rows or [])

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __repr__(self) -> str:
        if not self.rows:
            return "History of no rows"
        last = "  ".join(f"{name} {value:.6g}" for name, value in self.rows[-1].items())
        return f"History of {len(self)} rows, the last: {last}"

    def __getitem__(self, name: str) -> list[float]:
        """The values of one column, over the rows that have it."""
        return self.series(name)[1]

    @property
    def names(self) -> list[str]:
        """All column names, in the order they first appeared."""
        return list(dict.fromkeys(name for row in self.rows for name in row))

    def series(self, name: str) -> tuple[list[float], list[float]]:
        """The steps and the values of one column, over the rows that have it."""
        rows = [row for row in self.rows if name in row]
        if not rows:
            raise TrainError(
                explain(
                    f"The history has no column {name!r}.",
                    got=repr(name),
                    expected=f"one of {self.names}",
                    fix="columns of validation start with 'val/', and need val=... in fit.",
                )
            )
        return [row["step"] for row in rows], [row[name] for row in rows]

    def last(self, name: str) -> float:
        """The newest value of one column."""
        return self[name][-1]

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write all rows; a cell that a row does not have stays empty."""
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.names)
            writer.writeheader()
            writer.writerows(self.rows)

    def plot(
        self, path: str | os.PathLike[str] | None = None, metrics: list[str] | None = None
    ) -> Any:
        """Draw one panel per metric, training and validation together.

        Args:
          path: where to save the picture; its suffix is the format.
          metrics: names without "val/"; by default every metric that falls or rises by training:
            "loss", then the task's own.

        Returns:
          The matplotlib `Figure`.

        Raises:
          TrainError: matplotlib is not installed, or a metric is unknown.
        """
        try:
            from matplotlib.figure import Figure
        except ImportError as error:
            raise TrainError(
                explain(
                    "`History.plot` needs matplotlib.",
                    got="no module named matplotlib",
                    expected="matplotlib installed",
                    fix="pip install matplotlib, or use history.to_csv(path).",
                )
            ) from error

        panels = _panels(name for name in self.names if not _is_bookkeeping(name))
        if metrics is None:
            metrics = list(panels)
        figure = Figure(figsize=(5.2 * max(1, len(metrics)), 3.6), layout="constrained")
        for index, metric in enumerate(metrics):
            axes = figure.add_subplot(1, len(metrics), index + 1)
            columns = panels.get(metric, {}) or {metric: "training"}
            colours = itertools.cycle(_COLOURS)
            for name, label in columns.items():
                steps, values = self.series(name)  # of an unknown one it says what there is
                axes.plot(
                    steps,
                    values,
                    color="#30638e" if label == "training" else next(colours),
                    label=label,
                    linewidth=1.8,
                    marker="o" if len(steps) < 30 else None,
                    markersize=3,
                )
            values = [value for name in columns for value in self[name]]
            if metric.endswith("loss") and all(value > 0 for value in values):
                axes.set_yscale("log")
                axes.yaxis.set_major_formatter("{x:g}")
                if max(values) < 10 * min(values):  # then the minor ticks alone have labels
                    axes.yaxis.set_minor_formatter("{x:g}")
            axes.set_title(metric.replace("_", " "), loc="left", fontweight="bold")
            axes.set_xlabel("step")
            axes.grid(alpha=0.25, which="both")
            axes.spines[["top", "right"]].set_visible(False)
            axes.legend(frameon=False)
        if path is not None:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(path, dpi=150)
        return figure


_COLOURS = "#d1495b", "#edae49", "#00798c", "#8d6a9f"  # of validations


def _panels(names: Iterable[str]) -> dict[str, dict[str, str]]:
    """{metric: {column: label}}: training, and the validation on each data set, together.

    >>> _panels(["loss", "val/easy/loss", "val/hard/loss"])
    {'loss': {'loss': 'training', 'val/easy/loss': 'easy', 'val/hard/loss': 'hard'}}
    """
    names = list(names)
    trained = [name for name in names if not name.startswith("val/")]
    panels = {name: {name: "training"} for name in trained}
    for name in names:
        if not name.startswith("val/"):
            continue
        bare = name.removeprefix("val/")
        first, _, rest = bare.partition("/")
        if rest in panels and bare not in panels:
            panels[rest][name] = first
        else:
            panels.setdefault(bare, {})[name] = "validation"
    return panels


def _is_bookkeeping(name: str) -> bool:
    plain = (
        "step",
        "epoch",
        "seconds",
        "skipped",
        "gradient_norm",
        "update_norm",
        "parameter_norm",
        "loss_scale",
    )
    last = name.rsplit("/", 1)[-1]
    speeds = last.endswith("_per_second") or name.startswith(("device/", "host/"))
    return last in plain or speeds or name.startswith("learning_rate")
