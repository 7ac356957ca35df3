"""`python -m jaxcore.errors` and docs/errors.md list every class of errors with cause and fix."""

import subprocess
import sys
from pathlib import Path

import jax
import pytest

from jaxcore import errors
from jaxcore.errors import catalogue

ROOT = Path(__file__).resolve().parents[2]
ENTRIES = list(catalogue.entries())


def test_names_are_unique():
    names = [entry.name for entry in ENTRIES]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("entry", ENTRIES, ids=[entry.name for entry in ENTRIES])
def test_every_class_has_cause_and_fix(entry):
    assert entry.cause.endswith(".") and entry.fix.endswith((".", ")."))
    assert len(entry.cause) > 20 and len(entry.fix) > 15


def test_the_classes_of_jax_are_all_there():
    theirs = {name for name in dir(jax.errors) if name[0].isupper()}
    assert theirs <= {entry.name for entry in ENTRIES}


def test_ours_and_jaxs_are_exported():
    for entry in ENTRIES:
        if entry.module.startswith("jaxcore.errors"):
            assert issubclass(getattr(errors, entry.name), Exception)


def test_an_error_without_a_fix_gets_that_of_its_class():
    from jaxcore.errors.fixes import fix_for

    assert fix_for(errors.ReusedKeyError("so")).startswith("split the key")
    assert fix_for(Exception("so")) == ""


def test_an_error_of_ours_is_not_explained_by_words_of_its_message():
    from jaxcore.errors.fixes import fix_for
    from jaxcore.nn import InputError

    assert fix_for(ValueError("a label")).startswith("each letter")
    assert fix_for(InputError("labels have shape (2,). Expected (3,).")) == ""


def test_the_page_agrees():
    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    assert page == catalogue.markdown(), "run: python -m jaxcore.errors --markdown > docs/errors.md"


def test_the_command_prints_it():
    command = [sys.executable, "-m", "jaxcore.errors"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed.strip() == catalogue.plain().strip()
    assert "Cause: " in printed and "TracerBoolConversionError" in printed
