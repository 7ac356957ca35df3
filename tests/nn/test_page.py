"""The tables of docs/nn.md speak of what is there, and of all layers that are there."""

from __future__ import annotations

import inspect
import operator
import re
from pathlib import Path

import jaxcore
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


def test_the_tree_is_what_summary_prints():
    model = nn.models.GPT2(num_layers=2)
    table = model.summary(jaxcore.ShapeDtypeStruct((1, 64), "int32")).splitlines()
    block = table.index(next(line for line in table if line.startswith("  block_1")))
    after = next(i for i in range(block + 1, len(table)) if not table[i].startswith("    "))
    shown = [*table[:block], "  block_1      ...", *table[after:]]
    text = PAGE.split("```text\n")[1].split("```")[0]
    assert [line.split() for line in text.splitlines()] == [line.split() for line in shown]


def test_every_name_in_the_text_exists():
    of_linen = {"compact", "remat", "scan", "vmap"}
    for name in set(re.findall(r"`nn\.([\w.]*\w)", PAGE)) - of_linen:
        assert operator.attrgetter(name)(nn), name


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
