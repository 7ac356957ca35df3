"""Memory of the devices and of the process, in the log."""

from __future__ import annotations

import os
import resource
import sys

import jaxcore

from ..history import Row
from ..run import Run
from .base import Callback


class DeviceStatsMonitor(Callback):
    """Add to every row what the devices say of their memory, and what the process uses.

    Columns "device/0/bytes_in_use", "device/0/peak_bytes_in_use" and so on, for each device of this
    process that keeps such numbers; "host/peak_megabytes", the most that the process has used, and
    "host/cpu_seconds", what it has computed.

    Args:
      cpu_stats: whether to add those of the host.
    """

    def __init__(self, cpu_stats: bool = True) -> None:
        self.cpu_stats = cpu_stats

    def on_log(self, run: Run, row: Row) -> None:
        for device in jaxcore.local_devices():
            for name, value in (device.memory_stats() or {}).items():
                if isinstance(value, int | float):
                    row[f"device/{device.id}/{name}"] = value
        if self.cpu_stats:
            usage = resource.getrusage(resource.RUSAGE_SELF)
            unit = 2**20 if sys.platform == "darwin" else 2**10
            row["host/peak_megabytes"] = usage.ru_maxrss / unit
            row["host/cpu_seconds"] = sum(os.times()[:2])
