"""Promise: a full run in at most 30 lines; the page's own example, which `test_readme.py` runs."""

import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "train.md"
PARTS = (
    "lr=", "val=", "ModelCheckpoint", "dir=", "EarlyStopping", "clip_norm", "freeze", "bf16",
    'last("learning_rate")', "ProgressBar", "CSVLogger",
)  # fmt: skip


def test_a_full_run_is_short():
    code = re.search(r"<!-- runs -->\n```python\n(.*?)^```$", PAGE.read_text(), re.M | re.S)[1]
    lines = [line for line in code.splitlines() if line.strip()]
    assert len(lines) <= 30
    assert [part for part in PARTS if part not in code] == []
