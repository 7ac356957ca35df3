"""Checkpoints of processes that die, of disks that are full, and files that somebody changed."""

import json
import os
import resource
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from jaxcore import train
from jaxcore.train.checkpoint import checkpoint_path

SCRIPT = Path(__file__).with_name("killed_while_saving.py")
KILLS = int(os.environ.get("JAXCORE_TEST_KILLS", "20"))  # 200 take half a minute
W = {"w": np.arange(3, dtype=np.float32)}
STATE = {"variables": {"params": {"w": np.arange(20_000.0), "b": np.ones(3, np.float32)}}}


def test_killed_while_saving_there_is_always_a_whole_one(tmp_path):
    seed = str(int.from_bytes(os.urandom(4)))
    elsewhere = tmp_path / "tmp"
    elsewhere.mkdir()
    done = subprocess.run(
        [sys.executable, SCRIPT, tmp_path / "run", str(KILLS), seed],
        env={**os.environ, "TMPDIR": str(elsewhere), "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=60 + KILLS,
    )
    assert done.returncode == 0, f"seed {seed}\n{done.stderr[-4000:]}"
    kills, halves = map(int, done.stdout.split())
    assert kills == KILLS and halves > 0  # of which some were in the middle of a save
    assert list(elsewhere.iterdir()) == []  # nothing is written outside of the run's directory


def test_a_file_that_may_not_grow_is_told_as_a_full_disk(tmp_path):
    older = train.save_checkpoint(checkpoint_path(tmp_path, 1), STATE, {})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (80_000, before[1]))
    try:
        with pytest.raises(train.CheckpointError, match=r"File too large[\s\S]*free some space"):
            train.save_checkpoint(checkpoint_path(tmp_path, 2), STATE, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.name for path in older.parent.iterdir()] == [older.name]
    np.testing.assert_array_equal(train.load_variables(tmp_path)["params"]["w"], np.arange(2e4))


@pytest.mark.parametrize("honest", [False, True])
@pytest.mark.parametrize("name", ["state.safetensors", "checkpoint.json"])
def test_changed_files_raise_the_documented_error_alone(tmp_path, name, honest):
    """Flipped, inserted and lost bytes; `honest` has checksums that fit what was changed."""
    path = train.save_checkpoint(tmp_path / "one", W, {"step": 3})
    whole, description = (path / name).read_bytes(), (path / "checkpoint.json").read_text()
    rng, refused = np.random.default_rng(0), 0
    for _ in range(120):
        data = bytearray(whole)
        at = int(rng.integers(len(data)))
        change = rng.integers(3)
        if change == 0:
            data[at] ^= 1 << int(rng.integers(8))
        elif change == 1:
            data[at:at] = rng.bytes(int(rng.integers(1, 9)))
        else:
            del data[at : at + int(rng.integers(1, 99))]
        (path / name).write_bytes(data)
        if honest:
            (path / "checkpoint.json").write_text(with_checksums(path, description, name, data))
        try:
            found = train.load_checkpoint(path, W)
            if not honest:  # a space more in the JSON, say, changes nothing
                np.testing.assert_array_equal(found["w"], W["w"])
        except train.CheckpointError:
            refused += 1
    assert refused > (30 if honest else 110)


def with_checksums(path, description, name, data):
    content = json.loads(description)["content"]
    if name == "checkpoint.json":
        try:
            content = json.loads(data)["content"]
        except (ValueError, KeyError, TypeError):
            return bytes(data).decode("utf-8", "replace")
    else:
        content["files"][name] = zlib.crc32(data)
    return json.dumps({"crc32": zlib.crc32(json.dumps(content).encode()), "content": content})
