"""Two processes, of which one is killed, or told to end."""

from pathlib import Path

import pytest

from jaxcore import train
from jaxcore.train.launch import launch

SCRIPT = str(Path(__file__).with_name("train_signals.py"))


def run(run_dir, step=0, name="SIGKILL"):
    return launch([SCRIPT, str(run_dir), str(step), name], processes=2, timeout=120)


def arrays(run_dir, step):
    checkpoints = dict(train.list_checkpoints(run_dir))
    return (checkpoints[step] / "state.safetensors").read_bytes()


@pytest.mark.slow
def test_a_killed_process_ends_the_run_which_resumes_bitwise(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert run(whole) == 0
    assert run(killed, 10) != 0
    assert max(step for step, _ in train.list_checkpoints(killed)) in (4, 8)
    assert run(killed) == 0
    assert arrays(whole, 20) == arrays(killed, 20)


@pytest.mark.slow
def test_sigterm_to_one_process_saves_and_ends_both_at_one_step(tmp_path):
    assert run(tmp_path, 5, "SIGTERM") == 0
    reasons = {(tmp_path / f"reason-{rank}").read_text() for rank in (0, 1)}
    assert len(reasons) == 1
    reason, step = reasons.pop().rsplit(" ", 1)
    assert reason == "received SIGTERM" and 5 <= int(step) < 400
    assert max(found for found, _ in train.list_checkpoints(tmp_path)) == int(step)
