"""The cases need eight devices, which `test_devices.py` gives them in a process of its own."""

import os

DEVICES = "--xla_force_host_platform_device_count=8"

collect_ignore = [] if DEVICES in os.environ.get("XLA_FLAGS", "") else ["cases"]
