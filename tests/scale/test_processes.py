"""Several processes on this machine, joined by `jaxcore.distributed`, train as one does."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).with_name("process.py")
SECONDS = 240


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def run(folder: Path, count: int) -> list[dict]:
    """What each of `count` processes found; none of them outlives this call."""
    port, deadline = free_port(), time.monotonic() + SECONDS
    flags = f"--xla_force_host_platform_device_count={4 // count}"
    env = {**os.environ, "XLA_FLAGS": flags}
    outs = [folder / f"{count}-{rank}.json" for rank in range(count)]
    logs = [out.with_suffix(".log") for out in outs]
    started = []
    try:
        for rank, (out, log) in enumerate(zip(outs, logs, strict=True)):
            command = [sys.executable, SCRIPT, out, str(port), str(count), str(rank)]
            with log.open("w") as file:
                started.append(subprocess.Popen(command, env=env, stdout=file, stderr=file))
        codes = [p.wait(timeout=max(1, deadline - time.monotonic())) for p in started]
    finally:
        for process in started:
            process.kill()
            process.wait()
    assert codes == [0] * count, "\n".join(log.read_text()[-4000:] for log in logs)
    return [json.loads(out.read_text()) for out in outs]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    (found,) = run(tmp_path_factory.mktemp("alone"), 1)
    losses = found["automatic"]["losses"]
    assert losses == sorted(losses, reverse=True) and losses[0] > losses[-1]
    return found


def close(got, want):
    for name in ("automatic", "manual"):
        for key in ("losses", "w"):
            np.testing.assert_allclose(got[name][key], want["automatic"][key], rtol=1e-5, atol=1e-6)
    for name in ("eager", "total"):
        np.testing.assert_allclose(got[name], want[name], rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 4])
def test_processes_train_as_one(count, alone, tmp_path):
    close(alone, alone)
    for found in run(tmp_path, count):
        close(found, alone)
