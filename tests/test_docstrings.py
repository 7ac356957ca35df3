"""The examples in the docstrings of the three layers run and print what they say."""

import doctest
import importlib

import pytest
from test_repository import LAYERS, module_name, python_files

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
MODULES = [
    module_name(path)
    for path in python_files(*LAYERS)
    if ">>> " in path.read_text(encoding="utf-8")
]


@pytest.mark.rank_promotion  # a reader runs the examples under JAX's defaults
@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name, capsys):
    result = doctest.testmod(importlib.import_module(name), optionflags=FLAGS)
    assert result.attempted, f"{name} shows examples, none of which doctest finds"
    assert not result.failed, capsys.readouterr().out
