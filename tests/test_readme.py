"""Every Python block of the README runs, in order, as a reader would run them.

The blocks of one document share their names. In ``docs/`` a block runs if the line above it is
``<!-- runs -->``: there, sketches of internals stand beside runnable examples.
"""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FENCE = re.compile(r"(?P<marker><!-- runs -->\n)?^```python\n(?P<code>.*?)^```$", re.M | re.S)


def blocks(path: Path) -> list[tuple[int, str]]:
    """The runnable Python blocks of a document, each with the line where its code begins."""
    text = path.read_text(encoding="utf-8")
    return [
        (text.count("\n", 0, match.start("code")), match["code"])
        for match in FENCE.finditer(text)
        if path.name == "README.md" or match["marker"]
    ]


DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.rank_promotion  # a reader runs the blocks under JAX's defaults
@pytest.mark.parametrize(
    "path", [path for path in DOCUMENTS if blocks(path)], ids=lambda path: path.name
)
def test_blocks_run(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    for line, code in blocks(path):
        # The blank lines make a traceback name the line of the document.
        exec(compile("\n" * line + code, str(path), "exec"), names)


def test_the_readme_shows_python():
    assert len(blocks(ROOT / "README.md")) >= 3
