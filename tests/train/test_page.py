"""docs/train.md speaks of what is there, and of all that is there."""

from __future__ import annotations

import re
from pathlib import Path

from jaxcore import train

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/train.md").read_text(encoding="utf-8")
EXPORTS = re.findall(
    r"^from \S+ import \w+ as (\w+)$", Path(train.__file__).read_text(encoding="utf-8"), re.M
)


def test_every_public_name_is_on_the_page():
    assert len(EXPORTS) > 50
    assert not set(EXPORTS) - set(re.findall(r"\w+", PAGE))


def test_every_name_on_the_page_exists():
    used = set(re.findall(r"\btrain\.(\w+)", PAGE))
    assert not {name for name in used if not hasattr(train, name)} - {"launch"}
