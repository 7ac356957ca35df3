"""What holds in every test: one CPU device, strict numerics, seeds made from the test alone."""

import os
import zlib
from collections.abc import Iterator
from pathlib import Path

# Before JAX is imported: a test that passes only on an accelerator, or only with an executable
# that an earlier run left on the disk, proves nothing here.
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ.pop("JAX_COMPILATION_CACHE_DIR", None)
os.environ["JAXCORE_CACHE"] = "0"
os.environ.setdefault("MPLBACKEND", "Agg")

import jax
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def strict_numerics(request: pytest.FixtureRequest) -> Iterator[None]:
    """Refuse silent rank promotion, and restore the flags that a test may have changed.

    A bias of shape (3,) added to logits of shape (8, 3) is a bug as often as it is meant; who
    means it says so with ``@pytest.mark.rank_promotion``.
    """
    promotion = "allow" if request.node.get_closest_marker("rank_promotion") else "raise"
    before = {name: getattr(jax.config, name) for name in ("jax_enable_x64", "jax_debug_nans")}
    with jax.numpy_rank_promotion(promotion):
        yield
    changed = {name: value for name, value in before.items() if getattr(jax.config, name) != value}
    for name, value in changed.items():
        jax.config.update(name, value)
    assert not changed, f"the test left these flags of JAX changed: {sorted(changed)}"


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """A number that depends on the test's name and parameters, not on the order of the tests."""
    return zlib.crc32(request.node.name.encode())


@pytest.fixture
def rng(seed: int) -> np.random.Generator:
    """NumPy's generator for a test's inputs: ``rng.standard_normal((2, 3), np.float32)``."""
    return np.random.default_rng(seed)


@pytest.fixture
def key(seed: int) -> jax.Array:
    """A typed key of JAX for a test's initialisation and dropout."""
    return jax.random.key(seed)


@pytest.fixture
def no_jax_transforms(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove JAX's transformations, so that what still works works by our own."""

    def removed(name: str):
        def call(*args, **kwargs):
            raise AssertionError(f"jax.{name} was called where ours has to do the work")

        return call

    for name in ("grad", "value_and_grad", "vmap", "jvp", "vjp", "linearize", "linear_transpose"):
        monkeypatch.setattr(jax, name, removed(name))


@pytest.fixture(autouse=True, scope="session")
def verified_programs() -> Iterator[None]:
    """Check every program that the engine makes in any test against the IR's invariants."""
    from jaxcore import verify

    before = verify.always(True)
    yield
    verify.always(before)
