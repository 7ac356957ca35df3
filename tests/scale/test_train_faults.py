"""Runs of one process and of several, killed or told to end at any moment, that go on to the bit.

JAXCORE_TEST_KILLS=30 makes as many faults as the promises name; a test run makes one of each.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from jaxcore import train
from jaxcore.train.checkpoint import checkpoint_path
from jaxcore.train.launch import launch

SCRIPT = str(Path(__file__).with_name("train_faults.py"))
FAULTS = int(os.environ.get("JAXCORE_TEST_KILLS", "1"))
STEPS = 300 if FAULTS >= 20 else 200
EXIT_CODE, KILLED = 75, -9


def start(run_dir, processes, kind="arrays", fault=None, grace=5):
    """Run to the end, or to the fault's; returns the exit code."""
    run_dir.mkdir(exist_ok=True)
    command = [SCRIPT, str(run_dir), str(STEPS), kind, *([json.dumps(fault)] if fault else [])]
    # Compiled once, the program is read from the disk by the processes that go on.
    cache = {"JAXCORE_CACHE": "1", "JAXCORE_CACHE_DIR": str(run_dir.parent / "cache")}
    with pytest.MonkeyPatch.context() as environment:
        for name, value in {**cache, "JAX_PLATFORMS": "cpu"}.items():
            environment.setenv(name, value)
        if processes == 1:
            with open(run_dir / "output", "w") as file:
                command = [sys.executable, *command]
                return subprocess.run(command, timeout=300, stdout=file, stderr=file).returncode
        return launch(command, processes=processes, timeout=300, grace=grace)


def newest(run_dir):
    return max((step for step, _ in train.list_checkpoints(run_dir)), default=0)


def random_fault(rng, run_dir, processes, signal, events=("step", "step", "validate", "save")):
    """A moment within thirty steps of the newest checkpoint; of several processes, one gets it."""
    at = str(rng.choice(events))
    if at == "start" and newest(run_dir) > STEPS - 150:  # what is left may not take four seconds
        at = "step"
    step = min(newest(run_dir), STEPS - 45) + int(rng.integers(30))
    return {
        "rank": int(rng.integers(processes)), "signal": signal, "at": at,
        "step": 0 if at == "start" else step,
        "delay": float(rng.uniform(0, 4) if at == "start" else rng.uniform(0, 0.02)),
    }  # fmt: skip


def since_signal(run_dir):
    """Seconds since the fault's signal was sent, and the steps that were done by then."""
    when, done = (run_dir / "signalled").read_text().split()
    return time.time() - float(when), int(done)


def rows(run_dir):
    lines = map(json.loads, (run_dir / "metrics.jsonl").read_text().splitlines())
    return [{k: v for k, v in row.items() if "second" not in k} for row in lines]


def assert_same(run_dir, whole, story):
    """Parameters, optimiser, averages, step and key to the bit, and the same rows."""
    one, two = (checkpoint_path(folder, STEPS) for folder in (whole, run_dir))
    assert (one / "state.safetensors").read_bytes() == (two / "state.safetensors").read_bytes(), (
        story
    )
    assert rows(run_dir) == rows(whole), story
    steps = [row["step"] for row in rows(run_dir)]
    assert steps == sorted(set(steps)) and steps[-1] == STEPS
    assert not list((run_dir / "checkpoints").glob(".tmp-*"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Runs that nothing happened to, each made when it is first asked for."""
    made = {}

    def run_of(processes, kind="arrays"):
        if (processes, kind) not in made:
            made[processes, kind] = run_dir = tmp_path_factory.mktemp("whole") / "run"
            assert start(run_dir, processes, kind) == 0
        return made[processes, kind]

    return run_of


@pytest.mark.slow
@pytest.mark.timeout(900 + 120 * FAULTS)
@pytest.mark.parametrize(
    ("processes", "kind", "most"), [(1, "arrays", 20), (1, "grain", 20), (2, "arrays", 10)]
)
def test_a_run_killed_again_and_again_ends_as_the_one_that_was_not(
    whole, tmp_path, processes, kind, most
):
    if kind == "grain":
        pytest.importorskip("grain")
    seed = time.time_ns() % 2**32
    rng, run_dir, faults = np.random.default_rng(seed), tmp_path / "run", []
    events = ("step", "step", "validate", "save", "start")
    for _ in range(min(FAULTS, most)):
        faults.append(random_fault(rng, run_dir, processes, "SIGKILL", events))
        code = start(run_dir, processes, kind, faults[-1])
        assert code == KILLED, f"seed {seed}: {code} after {faults}"
    assert start(run_dir, processes, kind) == 0
    assert_same(run_dir, whole(processes, kind), f"seed {seed}, {faults}")
    print(f"{len(faults)} kills: {faults}")


@pytest.mark.slow
@pytest.mark.parametrize("number", range(min(FAULTS, 30)))
def test_sigterm_to_one_process_saves_and_ends_all_at_one_step(whole, tmp_path, number):
    processes, seed = (2, 1, 4)[number % 3], time.time_ns() % 2**32
    rng, run_dir = np.random.default_rng(seed), tmp_path / "run"
    fault = random_fault(rng, run_dir, processes, "SIGTERM")
    story = f"seed {seed}, {fault}"
    assert start(run_dir, processes, fault=fault) == EXIT_CODE, story
    seconds, done = since_signal(run_dir)
    ended = {(run_dir / f"ended-{rank}").read_text() for rank in range(processes)}
    assert len(ended) == 1, f"{story}: {ended}"
    reason, step = ended.pop().rsplit(" ", 1)
    assert reason == "received SIGTERM" and newest(run_dir) == int(step), story
    assert seconds < 60, story
    if processes == 1:  # several hear of it within a second, which is many of these steps
        assert int(step) <= done + 2, f"{story}: {step}, {done}"
    assert start(run_dir, processes) == 0, story
    assert_same(run_dir, whole(processes), story)
    print(f"{processes} processes, {fault}: {done} steps, saved {step}, over after {seconds:.1f} s")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("at", "kind"),
    [("save", "fsdp"), ("validate", "arrays"), ("step", "arrays"), ("start", "arrays")][:FAULTS],
)
def test_a_process_that_is_killed_is_missed_by_the_other(tmp_path, capfd, at, kind):
    run_dir = tmp_path / "run"
    fault = {"rank": 1, "signal": "SIGKILL", "at": at, "step": 0 if at == "start" else 25}
    assert start(run_dir, 2, kind, fault, grace=59) == KILLED
    seconds, _ = since_signal(run_dir)
    said = capfd.readouterr().err
    assert "TrainError: Another process of this run has ended, or cannot be reached." in said
    assert "process 1 of 2 ended with code -9" in said
    again = "it has no checkpoint" if at == "start" else "it goes on from"
    assert again in said and seconds < 60
