"""The directory of executables: whole entries or none, its cap, several writers, a kill."""

import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jaxcore.cache import store as store_module
from jaxcore.cache.store import Corrupt, Store, Unusable

KEY = "0" * 64
HEADER = {"name": "f", "kept": [0, 1]}
PAYLOAD = bytes(range(256)) * 8


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "cache", 1 << 20)


def key(i):
    return f"{i:064x}"


def file_of(store, name=KEY):
    return store.path / f"{name}.xla"


def age(path, seconds):
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_an_entry_comes_back(store):
    assert store.read(KEY) is None
    assert store.write(KEY, HEADER, PAYLOAD)
    assert store.read(KEY) == ({"key": KEY, **HEADER}, PAYLOAD)
    assert store.usage() == (1, file_of(store).stat().st_size)
    store.clear()
    assert store.read(KEY) is None and store.usage() == (0, 0)


def test_files_are_private(store):
    store.write(KEY, HEADER, PAYLOAD)
    assert store.path.stat().st_mode & 0o777 == 0o700
    assert file_of(store).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("length", [0, 5, 21, 40, 60, 61, 100, 1000])
def test_a_truncated_entry_is_removed(store, length):
    store.write(KEY, HEADER, PAYLOAD)
    file = file_of(store)
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(Corrupt):
        store.read(KEY)
    assert store.read(KEY) is None and not file.exists()


@pytest.mark.parametrize("place", [0, 25, 55, 70, -1])
def test_a_changed_byte_is_noticed(store, place):
    store.write(KEY, HEADER, PAYLOAD)
    data = bytearray(file_of(store).read_bytes())
    data[place] ^= 1
    file_of(store).write_bytes(data)
    with pytest.raises(Corrupt):
        store.read(KEY)


def test_an_entry_under_another_name_is_not_taken(store):
    store.write(KEY, HEADER, PAYLOAD)
    file_of(store).rename(file_of(store, key(1)))
    with pytest.raises(Corrupt, match="another program"):
        store.read(key(1))


def test_the_least_recently_used_goes_first(tmp_path):
    store = Store(tmp_path, 4 * (len(PAYLOAD) + 200))
    for i in range(4):
        store.write(key(i), HEADER, PAYLOAD)
        age(file_of(store, key(i)), 100 - i)
    assert store.usage()[0] == 4
    store.read(key(0))  # is now the most recent
    store.write(key(4), HEADER, PAYLOAD)
    assert store.read(key(1)) is None
    assert store.read(key(0)) is not None and store.read(key(4)) is not None


def test_the_cap_is_obeyed(tmp_path):
    stores = [Store(tmp_path, 20_000) for _ in range(3)]  # as three processes would
    for i in range(60):
        stores[i % 3].write(key(i), HEADER, PAYLOAD)
        assert sum(f.stat().st_size for f in tmp_path.iterdir()) <= 20_000
    assert stores[0].usage()[0] >= 6


def test_what_is_larger_than_the_cap_is_not_written(tmp_path):
    store = Store(tmp_path, 1000)
    assert not store.write(KEY, HEADER, PAYLOAD)
    assert list(tmp_path.iterdir()) == []


def test_abandoned_files_are_removed(store):
    old, new = store.path / ".writing-old", store.path / ".writing-new"
    for file in (old, new):
        file.write_bytes(b"x")
    age(old, 3600)
    store.write(KEY, HEADER, PAYLOAD)
    assert not old.exists() and new.exists()
    assert store.usage()[0] == 1


def test_a_removed_directory_is_made_again(store):
    store.path.rmdir()
    assert store.usage() == (0, 0) and store.read(KEY) is None
    assert store.write(KEY, HEADER, PAYLOAD)
    assert store.read(KEY) is not None


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
def test_a_directory_that_others_may_write_to_is_refused(tmp_path, mode):
    tmp_path.chmod(mode)
    with pytest.raises(Unusable, match="others may write"):
        Store(tmp_path, 1000)


def test_a_directory_of_another_user_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(Unusable, match="another user"):
        Store(tmp_path, 1000)


def test_what_is_no_directory_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(Unusable, match=r"file"):
        Store(tmp_path / "file", 1000)
    with pytest.raises(Unusable, match="cannot be made"):
        Store(tmp_path / "file" / "below", 1000)


# A process that only loads the store: without JAX it starts in a moment.
CHILD = f"""
import importlib.util, sys
from pathlib import Path
spec = importlib.util.spec_from_file_location("store", {store_module.__file__!r})
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
store = module.Store(Path(sys.argv[1]), 1 << 28)
"""


def child(code, path, **options):
    return subprocess.Popen([sys.executable, "-c", CHILD + code, str(path)], **options)


def test_several_processes_write_and_read_at_once(tmp_path):
    code = """
for i in range(200):
    key = f"{i % 5:064x}"
    store.write(key, {"i": i % 5}, bytes([i % 5]) * 50_000)
    found = store.read(f"{(i + 1) % 5:064x}")
    assert found is None or found[1] == bytes([found[0]["i"]]) * 50_000
"""
    children = [child(code, tmp_path) for _ in range(4)]
    assert [c.wait(60) for c in children] == [0] * 4
    names = sorted(f.name for f in tmp_path.iterdir())
    assert names == [f"{key(i)}.xla" for i in range(5)]


def test_a_writer_killed_before_its_end_leaves_a_file_that_nobody_reads(tmp_path):
    code = f"""
import os, time
os.replace = lambda *_: (print("written", flush=True), time.sleep(60))
store.write({KEY!r}, {{}}, b"x" * 100_000)
"""
    writer = child(code, tmp_path, stdout=subprocess.PIPE)
    assert writer.stdout.readline() == b"written\n"
    writer.kill()
    writer.communicate()
    store = Store(tmp_path, 1 << 20)
    (left,) = tmp_path.iterdir()
    assert store.read(KEY) is None and store.usage() == (0, 0)
    age(left, 3600)
    store.write(KEY, HEADER, PAYLOAD)
    assert [f.name for f in tmp_path.iterdir()] == [f"{KEY}.xla"]


def test_a_writer_killed_anywhere_leaves_whole_entries(tmp_path):
    code = """
import itertools
for i in itertools.count():
    store.write(f"{i % 7:064x}", {}, bytes([i % 7]) * 4_000_000)
"""

    def written():
        return {f: f.stat().st_mtime_ns for f in tmp_path.glob("*.xla")}

    for _ in range(4):
        before = written()
        writer = child(code, tmp_path)
        deadline = time.time() + 60
        while written() == before and time.time() < deadline:
            time.sleep(0.002)
        writer.kill()
        writer.wait()
        assert written() != before
    store = Store(tmp_path, 1 << 28)
    for i in range(7):
        found = store.read(key(i))
        assert found is None or found[1] == bytes([i]) * 4_000_000


def test_nothing_is_unpickled():
    for file in Path(store_module.__file__).parent.glob("*.py"):
        assert "pickle" not in file.read_text(), file
    executables = Path(importlib.util.find_spec("jaxcore.backend.executables").origin)
    assert "pickle" not in executables.read_text()
