"""Start a script in several processes of this machine, for tests and on CPUs.

``python -m jaxcore.train.launch --processes 2 --devices 2 script.py ARGUMENTS`` runs the script in
two processes of two CPU devices each, joined by `jaxcore.distributed`. If one fails, the others are
ended. Clusters start processes themselves; there, call `jaxcore.distributed.initialize()`.
"""

from __future__ import annotations

import argparse
import os
import runpy
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence


def launch(
    command: Sequence[str], *, processes: int, devices: int = 1, timeout: float | None = None
) -> int:
    """Run ``script ARGUMENTS`` in several processes; returns the first exit code that is not 0.

    Args:
      command: the script and its arguments.
      processes: how many.
      devices: CPU devices of each.
      timeout: seconds until all are ended.
    """
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
    env = {**os.environ, "XLA_FLAGS": flags.strip(), "JAX_PLATFORMS": "cpu"}
    started = [
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "jaxcore.train.launch",
                "--join",
                f"{port},{processes},{rank}",
                *command,
            ],
            env=env,
        )
        for rank in range(processes)
    ]
    end = None if timeout is None else time.monotonic() + timeout
    try:
        while True:
            codes = [process.poll() for process in started]
            bad = next(((r, c) for r, c in enumerate(codes) if c), None)
            if bad is not None:
                rank, code = bad
                print(
                    f"process {rank} of {processes} ended with code {code}; the others are ended",
                    file=sys.stderr,
                )
                return code
            if all(code == 0 for code in codes):
                return 0
            if end is not None and time.monotonic() > end:
                print(f"no end after {timeout} seconds; all processes are ended", file=sys.stderr)
                return 124
            time.sleep(0.05)
    finally:
        for process in started:
            process.kill()
            process.wait()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--devices", type=int, default=1, help="CPU devices of each process")
    parser.add_argument("--timeout", type=float)
    parser.add_argument("--join", help=argparse.SUPPRESS)
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="script ...")
    args = parser.parse_args()
    if not args.command:
        parser.error("which script?")
    if args.join is None:
        sys.exit(
            launch(
                args.command,
                processes=args.processes,
                devices=args.devices,
                timeout=args.timeout,
            )
        )
    import jaxcore

    port, count, rank = map(int, args.join.split(","))
    jaxcore.config.update("jax_cpu_collectives_implementation", "gloo")
    jaxcore.distributed.initialize(f"127.0.0.1:{port}", count, rank)
    sys.argv = list(args.command)
    try:
        runpy.run_path(args.command[0], run_name="__main__")
    except BaseException as error:  # at once: an orderly end would wait for the other processes
        code = error.code if isinstance(error, SystemExit) else 1
        if code:
            traceback.print_exc()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code if isinstance(code, int) else 1)
    jaxcore.distributed.shutdown()


if __name__ == "__main__":
    main()
