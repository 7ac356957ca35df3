"""Runs `cases/` on eight devices: their number must be set before JAX starts."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEVICES = "--xla_force_host_platform_device_count=8"


@pytest.mark.slow
def test_the_cases_on_eight_devices():
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "0"]
    done = subprocess.run(
        [*command, "tests/scale/cases"],
        cwd=ROOT,
        env={**os.environ, "XLA_FLAGS": DEVICES},
        capture_output=True,
        text=True,
        timeout=900,
    )
    passed = re.search(r"(\d+) passed", done.stdout)
    assert done.returncode == 0, done.stdout[-20000:] + done.stderr[-4000:]
    assert passed is not None and int(passed[1]) > 20, done.stdout[-4000:]
