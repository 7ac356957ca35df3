"""Checkpoints of processes that die, of disks that are full, and files that somebody changed."""

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
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
    shared = "/dev/shm"  # as a rule another file system
    elsewhere = Path(tempfile.mkdtemp(dir=shared if os.access(shared, os.W_OK) else tmp_path))
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
    elsewhere.rmdir()  # it is empty: nothing is written outside of the run's directory


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


@pytest.fixture
def small_disk(tmp_path):
    """A file system of one megabyte; only root may mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.name != "posix" or not mount("-t", "tmpfs", "-o", "size=1m", "tmpfs", place):
        pytest.skip("a file system cannot be mounted here")
    yield place
    subprocess.run(["umount", place], check=True)


def mount(*arguments):
    return shutil.which("mount") and subprocess.run(["mount", *arguments]).returncode == 0


def fit(toy, run_dir, steps=6):
    """A run whose checkpoints have 600 kilobytes each."""
    save = train.ModelCheckpoint(train.Steps(2), save_last=-1)
    trainer = toy.trainer(dir=run_dir, callbacks=[save])
    return trainer, lambda: trainer.fit(
        toy.task(width=8_000, rate=0.2), toy.data(32), until=train.Steps(steps)
    )


def test_a_run_whose_disk_is_full_goes_on_once_there_is_space(toy, tmp_path, small_disk):
    trainer, run = fit(toy, small_disk)
    with pytest.raises(train.CheckpointError, match=r"No space left[\s\S]*free some space"):
        run()
    assert int(trainer.interrupted.state.step) >= 4
    assert [step for step, _ in train.list_checkpoints(small_disk)] == [2]
    assert not list((small_disk / "checkpoints").glob(".tmp-*"))
    assert mount("-o", "remount,size=4m", small_disk)
    toy.equal(fit(toy, small_disk)[1]().state, fit(toy, tmp_path / "roomy")[1]().state)
    assert [step for step, _ in train.list_checkpoints(small_disk)] == [2, 4, 6]


def test_a_disk_that_is_read_only_is_told_before_the_first_step(toy, small_disk):
    first = fit(toy, small_disk, 2)[1]()
    assert mount("-o", "remount,ro", small_disk)
    trainer, run = fit(toy, small_disk)
    with pytest.raises(train.CheckpointError, match=r"Read-only file[\s\S]*another `dir`"):
        run()
    assert trainer.interrupted.step == 2  # it went no further than the checkpoint, which is whole
    toy.equal(trainer.restore(toy.task(width=8_000, rate=0.2), toy.data(32)), first.state)


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
