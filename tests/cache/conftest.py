"""Each test has a cache of its own, empty and on."""

import jax
import pytest

from jaxcore.cache import state

_compiled = []


@jax.monitoring.register_event_duration_secs_listener
def _count(event, duration, **_):
    if event == "/jax/core/compile/backend_compile_duration":
        _compiled.append(duration)


@pytest.fixture(autouse=True)
def disk(tmp_path, monkeypatch):
    """A cache of this test's own, as a process finds it that starts now."""
    monkeypatch.setenv("JAXCORE_CACHE", "1")
    monkeypatch.setenv("JAXCORE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("JAXCORE_CACHE_BYTES", raising=False)
    monkeypatch.setattr(state, "_state", state._State())
    return tmp_path / "cache"


@pytest.fixture
def compilations():
    """How many programs XLA has compiled in this process."""
    return lambda: len(_compiled)
