"""Second start: a process that finds its executables on the disk lowers and compiles nothing.

Nothing is configured. Compilations are counted here; `benchmarks/second_start.py` has the times.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

# What a user writes, without a word about a cache, and what there is to know about the process.
TRAINING = """
import hashlib, json
import jax, numpy as np, optax

events = []
jax.monitoring.register_event_duration_secs_listener(lambda event, *_, **__: events.append(event))

import jaxcore
from jaxcore import nn, random, train

class Net(nn.Module):
    def __call__(self, x):
        for _ in range(3):
            x = nn.relu(nn.Dense(16)(x))
        return nn.Dense(3)(nn.Dropout(0.1)(x))

class Classify(train.Task):
    def loss(self, model, batch, ctx):
        return nn.losses.softmax_cross_entropy_with_integer_labels(model(batch["x"]), batch["y"])

rng = np.random.default_rng(0)
batch = {"x": rng.standard_normal((8, 4), np.float32), "y": np.arange(8) % 3}
task = Classify(model=Net(), tx=optax.adamw, lr=1e-2)
state = train.init_state(task, random.key(0), batch)
step = train.make_step(task)
for _ in range(3):
    state, metrics = step(state, batch)
bits = b"".join(np.asarray(x).tobytes() for x in jax.tree.leaves(state.params))
found = jaxcore.cache.stats()
print(json.dumps({
    "compiled": events.count("/jax/core/compile/backend_compile_duration"),
    "lowered": events.count("/jax/core/compile/jaxpr_to_mlir_module_duration"),
    "bits": hashlib.sha256(bits).hexdigest(),
    "loss": float(metrics["loss"]),
    "directory": str(jaxcore.cache.directory()),
    "hits": found.hits, "misses": found.misses, "stored": found.stored,
    "uncached": found.uncached, "errors": found.errors, "bytes": found.bytes,
}))
"""
ROOT = Path(__file__).resolve().parents[2]


def process(home: Path, **variables: str) -> dict:
    """What a process reports in which nothing is configured; nothing is printed beside it."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("JAXCORE_", "XDG_"))}
    env |= {"HOME": str(home), **variables}
    command = [sys.executable, "-W", "error", "-c", TRAINING]
    done = subprocess.run(command, env=env, cwd=home, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    first = process(home)
    return first, process(home), process(home, JAXCORE_CACHE="0")


def test_a_second_process_compiles_nothing(runs):
    first, second, _ = runs
    assert first["compiled"] == first["stored"] == first["misses"] > 0
    assert second["compiled"] == second["lowered"] == second["misses"] == second["uncached"] == 0
    assert second["hits"] == first["stored"]
    assert first["errors"] == second["errors"] == 0


def test_it_computes_the_same_bits(runs):
    first, second, without = runs
    assert first["bits"] == second["bits"] == without["bits"]
    assert first["loss"] == second["loss"]


def test_the_cache_is_where_caches_are(runs):
    first, _, without = runs
    assert Path(first["directory"]).parts[-2:] == (".cache", "jaxcore")
    assert without["directory"] == "None" and without["hits"] == 0 and without["compiled"] > 0


@pytest.mark.slow
def test_the_cap_is_obeyed(tmp_path):
    for cap in (40_000, 40_000, 1000):
        found = process(tmp_path, JAXCORE_CACHE_BYTES=str(cap))
        files = (tmp_path / ".cache" / "jaxcore").iterdir()
        assert sum(f.stat().st_size for f in files) <= cap or cap == 1000
        assert found["errors"] == 0
