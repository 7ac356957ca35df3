"""The tables of docs/nn.md speak of what is there, and of all layers that are there."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from jaxcore import nn

PAGE = (Path(__file__).resolve().parents[2] / "docs/nn.md").read_text(encoding="utf-8")
PLACES = (nn, nn.losses, nn.constraints, nn.metrics, nn.metrics.Confusion, nn.metrics.Ranking)
#: Modules that are no layers by themselves, or stand on other pages.
APART = {"Module", "RNNCellBase"}


def first_columns() -> set[str]:
    tables = PAGE[PAGE.index("## Names in other libraries") : PAGE.index("## Coming from PyTorch")]
    cells = re.findall(r"^\| (.*?) \|", tables, re.MULTILINE)
    names = [name for cell in cells for name in re.findall(r"`([\w.]+)", cell)]
    return {name.split(".")[0] for name in names}


def test_every_name_exists():
    missing = {n for n in first_columns() if not any(hasattr(place, n) for place in PLACES)}
    assert not missing


def test_every_layer_loss_and_metric_has_a_row():
    named = first_columns()
    layers = {n for n, v in vars(nn).items() if inspect.isclass(v) and issubclass(v, nn.Module)}
    assert not layers - named - APART
    assert not set(nn.losses.__all__) - named
    models = (Path(__file__).resolve().parents[2] / "docs/models.md").read_text(encoding="utf-8")
    words = set(re.findall(r"\w+", PAGE + models))
    errors = {n for n in nn.__all__ if n.endswith("Error")}  # docs/errors.md
    assert not set(nn.__all__) - words - errors - {"RNNCellBase", "Symbol", "Variable"}
    assert not set(nn.boxes.__all__) - words and not set(nn.constraints.__all__) - words
    assert not set(nn.metrics.__all__) - named - {"merge", "RootMean", "Perplexity"}
