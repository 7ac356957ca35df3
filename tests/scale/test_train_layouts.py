"""The same run on one device, on eight in three layouts, and in two processes: equal losses."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jaxcore import train
from jaxcore.nn.weights.safetensors import load_arrays
from jaxcore.train.launch import launch

SCRIPT = Path(__file__).with_name("train_layouts.py")


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("layouts")
    flags = "--xla_force_host_platform_device_count=8"
    done = subprocess.run(
        [sys.executable, SCRIPT, folder / "out.json", folder / "run"],
        env={**os.environ, "XLA_FLAGS": flags},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-5000:]
    return {**json.loads((folder / "out.json").read_text()), "run": folder / "run"}


@pytest.mark.slow
@pytest.mark.parametrize(("layout", "parts"), [("one", 1), ("data", 1), ("fsdp", 8), ("tensor", 2)])
def test_every_layout_trains_alike(found, layout, parts):
    for name in ("losses", "val", "r2", "sign"):
        np.testing.assert_allclose(found[layout][name], found["none"][name], rtol=2e-5)
    assert found[layout]["parts"] == parts
    assert found["moments"] == 8  # as the parameter they belong to
    assert found["none"]["losses"][-1] < found["none"]["losses"][0]


@pytest.mark.slow
def test_a_checkpoint_of_eight_devices_goes_on_on_four(found):
    np.testing.assert_allclose(found["resumed"]["losses"], found["whole"]["losses"], rtol=2e-5)


@pytest.mark.slow
def test_two_processes_train_alike_and_write_what_each_has(found, tmp_path):
    out, run_dir = tmp_path / "out.json", tmp_path / "run"
    command = [str(SCRIPT), str(out), str(run_dir), str(train.latest_checkpoint(found["run"]))]
    assert launch(command, processes=2, devices=2, timeout=200) == 0
    both = json.loads(out.read_text())
    processes = both["processes"]
    for name in ("losses", "val", "r2", "sign"):
        np.testing.assert_allclose(processes[name], found["none"][name], rtol=2e-5)
    np.testing.assert_allclose(both["divided"]["losses"], found["whole"]["losses"], rtol=2e-5)
    assert both["restored"]
    assert "disagree about data" in both["disagreement"] and "'seed': " in both["disagreement"]
    path = train.latest_checkpoint(run_dir)
    assert [step for step, _ in train.list_checkpoints(run_dir)] == [8, 9]
    assert not list(path.parent.glob(".tmp-*"))
    first, second = (load_arrays(path / f"state{n}.safetensors") for n in ("", "-1"))
    assert not set(first) & set(second)
    for name in ("variables/params", "opt_state/**/inner/0/mu"):  # of (8, 16), which nobody has
        assert first[f"{name}/hidden/kernel@0,0"].shape == (8, 4)
    assert train.load_variables(path)["params"]["hidden"]["kernel"].shape == (8, 16)


@pytest.mark.slow
def test_one_process_that_fails_ends_the_others(tmp_path, capfd):
    script = tmp_path / "fails.py"
    script.write_text(
        "import jaxcore, sys, time\nif jaxcore.process_index() == 1: sys.exit(7)\ntime.sleep(100)\n"
    )
    assert launch([str(script)], processes=2, timeout=60) == 7
    assert "process 1 of 2 ended with code 7" in capfd.readouterr().err
