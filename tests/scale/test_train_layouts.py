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
from jaxcore.train.checkpoint import checkpoint_path
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


def assert_same(found, want, measured_in_float32=False):
    """50 steps of the same run: equal in float64, the same examples in the same order."""
    assert len(want["losses"]) == len(found["losses"]) == 50
    for name in ("losses", "val", "named"):
        np.testing.assert_allclose(found[name], want[name], rtol=1e-12)
    for name in ("order", "sign", "seen"):  # whole numbers
        assert found[name] == want[name]
    everything, first_batch = found["seen"]
    assert everything == [1] * 43 and sum(first_batch) == 12
    if measured_in_float32:
        assert found["float32"] == pytest.approx(want["float32"], rel=1e-6)
        np.testing.assert_allclose(found["predictions"], want["predictions"], rtol=1e-6, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layout", "parts"),
    [("data1", 1), ("data2", 1), ("data4", 1), ("data8", 1), ("fsdp", 8), ("tensor", 2)],
)
def test_every_layout_trains_and_measures_alike(found, layout, parts):
    assert_same(found[layout], found["none"], layout.startswith("data"))
    assert found[layout]["parts"] == parts
    assert found["moments"] == 8  # as the parameter they belong to
    assert found["none"]["losses"][-1] < found["none"]["losses"][0] / 10


@pytest.mark.slow
def test_a_run_goes_from_eight_devices_to_four_and_back(found):
    assert_same(found["resumed"], found["none"])
    # Until it leaves the eight, it is the run that stayed there, to the bit.
    assert found["resumed"]["losses"][:17] == found["data8"]["losses"][:17]


@pytest.mark.slow
def test_two_processes_train_alike_and_write_what_each_has(found, tmp_path):
    out, run_dir = tmp_path / "out.json", tmp_path / "run"
    command = [str(SCRIPT), str(out), str(run_dir), str(checkpoint_path(found["run"], 17))]
    assert launch(command, processes=2, devices=4, timeout=200) == 0
    both = json.loads(out.read_text())
    assert_same(both["processes"], found["none"], measured_in_float32=True)
    assert_same(both["divided"], found["none"])
    assert both["restored"]
    assert "disagree about data" in both["disagreement"] and "'seed': " in both["disagreement"]
    path = train.latest_checkpoint(run_dir)
    assert [step for step, _ in train.list_checkpoints(run_dir)] == [49, 50]
    assert not list(path.parent.glob(".tmp-*"))
    first, second = (load_arrays(path / f"state{n}.safetensors") for n in ("", "-1"))
    assert not set(first) & set(second)
    for name in ("variables/params", "opt_state/**/inner/0/mu"):  # of (8, 16), which nobody has
        assert first[f"{name}/hidden/kernel@0,0"].shape == (8, 2)
    assert train.load_variables(path)["params"]["hidden"]["kernel"].shape == (8, 16)


@pytest.mark.slow
def test_one_process_that_fails_ends_the_others(tmp_path, capfd):
    script = tmp_path / "fails.py"
    script.write_text(
        "import jaxcore, sys, time\nif jaxcore.process_index() == 1: sys.exit(7)\ntime.sleep(100)\n"
    )
    assert launch([str(script)], processes=2, timeout=60, grace=0.5) == 7
    assert "process 1 of 2 ended with code 7" in capfd.readouterr().err
