"""Whatever goes wrong with the cache, the program runs; and its settings."""

import dataclasses
import errno
import logging
import os

import numpy as np
import pytest
from cache.helpers import X, base, counts, fresh, same_bits

from jaxcore import cache
from jaxcore.cache import state


@pytest.mark.parametrize("damage", ["truncated", "changed", "empty", "text", "header", "payload"])
def test_a_damaged_entry_is_dropped_and_compiled_anew(damage, disk, caplog):
    expected = fresh(base)(X)
    (file,) = disk.iterdir()
    data = file.read_bytes()
    if damage in ("header", "payload"):  # whole, but not what this version writes
        store = state.store()
        header, payload = store.read(file.stem)
        if damage == "header":
            del header["in_shardings"]
        store.write(file.stem, header, payload if damage == "header" else b"nothing to load")
    else:
        file.write_bytes(
            {
                "truncated": data[:-9],
                "changed": data[:-9] + b"?" + data[-8:],
                "empty": b"",
                "text": b"something else entirely",
            }[damage]
        )
    with caplog.at_level(logging.WARNING, "jaxcore.cache"):
        same_bits(expected, fresh(base)(X))
    assert len(caplog.records) == 1 and "compiled anew" in caplog.text
    assert counts() == (0, 2, 2) and cache.stats().errors == 1
    same_bits(expected, fresh(base)(X))
    assert counts() == (1, 2, 2)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_disk_that_cannot_be_written_to_is_asked_once(code, monkeypatch, caplog):
    asked = []

    def refuse(*_):
        asked.append(1)
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "replace", refuse)
    with caplog.at_level(logging.WARNING, "jaxcore.cache"):
        for _ in range(3):
            np.testing.assert_allclose(fresh(base)(X), 2 * np.sin(X), rtol=1e-6)
    assert len(asked) == 1 and len(caplog.records) == 1
    found = cache.stats()
    assert (found.misses, found.stored, found.errors, found.entries) == (3, 0, 1, 0)


def test_a_directory_that_cannot_be_trusted_is_not_used(disk, caplog):
    disk.mkdir()
    disk.chmod(0o777)
    with caplog.at_level(logging.WARNING, "jaxcore.cache"):
        for _ in range(2):
            fresh(base)(X)
    assert len(caplog.records) == 1 and "others may write" in caplog.text
    assert cache.directory() is None and counts() == (0, 0, 0) and not list(disk.iterdir())


def test_a_lost_entry_between_two_lookups_is_a_miss(disk):
    fresh(base)(X)
    cache.clear()
    fresh(base)(X)
    assert counts() == (0, 2, 2)


def test_the_cache_can_be_switched_off(disk, monkeypatch):
    with cache.enable(False):
        fresh(base)(X)
        assert cache.directory() is None
    assert counts() == (0, 0, 0)
    monkeypatch.setenv("JAXCORE_CACHE", "0")
    fresh(base)(X)
    assert counts() == (0, 0, 0) and list(disk.iterdir()) == []
    cache.enable()
    fresh(base)(X)
    assert counts() == (0, 1, 1)


@pytest.mark.parametrize(
    "variables, expected",
    [
        ({"JAXCORE_CACHE_DIR": "{}/a"}, "{}/a"),
        ({"XDG_CACHE_HOME": "{}/b"}, "{}/b/jaxcore"),
        ({"HOME": "{}/c"}, "{}/c/.cache/jaxcore"),
    ],
)
def test_where_it_is(variables, expected, tmp_path, monkeypatch):
    for name in ("JAXCORE_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(tmp_path))
    assert str(cache.directory()) == expected.format(tmp_path)
    assert cache.directory().stat().st_mode & 0o777 == 0o700


def test_the_cap_comes_from_the_environment(disk, monkeypatch, caplog):
    monkeypatch.setenv("JAXCORE_CACHE_BYTES", "20000")
    for n in range(1, 6):
        fresh(base)(np.ones(n, np.float32))
    found = cache.stats()
    assert found.stored == 5 and 0 < found.entries < 5 and found.bytes <= 20_000
    monkeypatch.setattr(state, "_state", state._State())
    monkeypatch.setenv("JAXCORE_CACHE_BYTES", "2 GB")
    with caplog.at_level(logging.WARNING, "jaxcore.cache"):
        assert state.store().capacity == 2 << 30
    assert "JAXCORE_CACHE_BYTES is '2 GB'" in caplog.text


def test_stats_are_plain_numbers():
    fresh(base)(X)
    found = dataclasses.asdict(cache.stats())
    assert found.pop("bytes") > 1000 and found.pop("seconds_saved") == 0
    assert found == {"hits": 0, "misses": 1, "stored": 1, "uncached": 0, "errors": 0, "entries": 1}
    cache.clear()
    assert (cache.stats().entries, cache.stats().bytes) == (0, 0)
