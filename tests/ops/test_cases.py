"""Every operation against JAX: the tables of `cases_*.py` times the properties of `harness`."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest
from ops.harness import Case, check_case

HERE = Path(__file__).parent
sys.modules.setdefault("harness", sys.modules["ops.harness"])  # a table may import it by this name

CASES: list[Case] = [
    case
    for path in sorted(HERE.glob("cases_*.py"))
    for case in importlib.import_module(f"ops.{path.stem}").CASES
]


def test_names_are_unique():
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_case(case):
    check_case(case)
