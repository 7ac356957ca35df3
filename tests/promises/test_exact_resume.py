"""Promise: a run that is killed at any moment ends as the one that was not, to the bit."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from jaxcore import train
from jaxcore.train.checkpoint import checkpoint_path, peek_info

SCRIPT = Path(__file__).with_name("exact_resume.py")
STEPS = 36


def start(run_dir, pause):
    # Compiled once, the program is read from the disk by the processes that go on.
    cache = {"JAXCORE_CACHE": "1", "JAXCORE_CACHE_DIR": str(run_dir.parent / "cache")}
    return subprocess.Popen(
        [sys.executable, SCRIPT, run_dir, str(pause)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=run_dir.parent,
        env={**os.environ, **cache, "JAX_PLATFORMS": "cpu"},
    )


def run(run_dir, pause=0.0):
    """Run to the end; returns the numbers of the steps that were made."""
    process = start(run_dir, pause)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert output.endswith("reached 6 epochs\n"), output
    return [int(line) for line in output.split("\n") if line.isdigit()]


def interrupt(run_dir, number, step, rng):
    """Run until `step` has been made and a moment longer, then send a signal; returns the code."""
    process, output = start(run_dir, 0.01), []
    try:
        for line in process.stdout:
            output.append(line)
            if line.strip().isdigit() and int(line) >= step:
                time.sleep(float(rng.uniform(0, 0.02)))  # also while saving
                process.send_signal(number)
                break
        rest, _ = process.communicate(timeout=120)
    finally:
        process.kill()
    return process.returncode, "".join(output) + rest


def rows(run_dir):
    lines = (run_dir / "metrics.jsonl").read_text().splitlines()
    timing = ("seconds", "steps_per_second")
    return [{k: v for k, v in json.loads(line).items() if k not in timing} for line in lines]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("exact") / "whole"
    assert run(run_dir) == list(range(1, STEPS + 1))
    return run_dir


def assert_same(killed, whole, story):
    one, two = (
        (checkpoint_path(folder, STEPS) / "state.safetensors").read_bytes()
        for folder in (whole, killed)
    )
    assert one == two, story
    assert rows(killed) == rows(whole), story
    assert not list((killed / "checkpoints").glob(".tmp-*"))


def seeded():
    seed = time.time_ns() % 2**32
    return seed, np.random.default_rng(seed)


def test_killed_terminated_and_interrupted(whole):
    seed, rng = seeded()
    run_dir = whole.parent / "signals"
    steps = np.sort(rng.choice(np.arange(4, 30), 3, replace=False))
    story = f"seed {seed}, steps {steps}"

    code, output = interrupt(run_dir, signal.SIGKILL, steps[0], rng)
    assert code == -signal.SIGKILL, story
    code, output = interrupt(run_dir, signal.SIGTERM, steps[1], rng)
    assert code == 0 and output.endswith("received SIGTERM\n"), story + output
    reached = max(step for step, _ in train.list_checkpoints(run_dir))
    assert reached == int(output.split()[-3]) >= steps[1], story  # saved, then left
    code, output = interrupt(run_dir, signal.SIGINT, max(steps[2], reached + 1), rng)
    assert code not in (0, -signal.SIGKILL) and "KeyboardInterrupt" in output, story + output
    saved = max(step for step, _ in train.list_checkpoints(run_dir))
    assert peek_info(checkpoint_path(run_dir, saved))["step"] == saved >= steps[2], story
    assert run(run_dir)[0] == saved + 1, story
    assert_same(run_dir, whole, story)


@pytest.mark.slow
def test_killed_at_twenty_moments(whole):
    seed, rng = seeded()
    for number in range(7):  # about three kills a run
        run_dir, begin, kills = whole.parent / f"killed-{number}", 1, []
        while begin < 30 and len(kills) < 3:
            step = int(rng.integers(begin, 32))
            code, output = interrupt(run_dir, signal.SIGKILL, step, rng)
            assert code == -signal.SIGKILL, output
            kills.append(step)
            begin = step + 3
        run(run_dir)
        assert_same(run_dir, whole, f"seed {seed}, kills {kills}")
