"""Each test has a cache of its own, empty and on."""

import jax
import pytest

from jaxcore.cache import state

_compiled = []


@jax.monitoring.register_event_duration_secs_listener
def _count(event, duration, **_):
    if event in (
        "/jax/core/compile/jaxpr_to_mlir_module_duration",
        "/jax/core/compile/backend_compile_duration",
    ):
        _compiled.append(event)


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
    """How often JAX has lowered or compiled something in this process."""
    return lambda: len(_compiled)
