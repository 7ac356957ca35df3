"""Start a script in several processes of this machine, for tests and on CPUs.

``python -m jaxcore.train.launch --processes 2 --devices 2 script.py ARGUMENTS`` runs the script in
two processes of two CPU devices each, joined by `jaxcore.distributed`. If one fails, the others get
some seconds to end by themselves, and are ended then; SIGTERM is handed on to all of them. Clusters
start processes themselves; there, call `jaxcore.distributed.initialize()`.
"""

from __future__ import annotations

import argparse
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any


def launch(
    command: Sequence[str],
    *,
    processes: int,
    devices: int = 1,
    timeout: float | None = None,
    grace: float = 20.0,
) -> int:
    """Run ``script ARGUMENTS`` in several processes; returns the first exit code that is not 0.

    Args:
      command: the script and its arguments.
      processes: how many.
      devices: CPU devices of each.
      timeout: seconds until all are ended.
      grace: seconds that the others have to end by themselves, once one has failed.
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
    try:
        with _signals_for(started):
            return _watch(started, timeout, grace)
    finally:
        for process in started:
            process.kill()
            process.wait()


def _watch(started: Sequence[subprocess.Popen[Any]], timeout: float | None, grace: float) -> int:
    """Wait for all to end; returns the exit code of the first that failed."""
    end = None if timeout is None else time.monotonic() + timeout
    failed = None
    while True:
        codes = [process.poll() for process in started]
        if failed is None and any(codes):
            ended = [(code > 0, rank, code) for rank, code in enumerate(codes) if code]
            _, rank, failed = min(ended)  # one that was killed explains the others
            others = "" if None not in codes else f"; the others have {grace:g} seconds"
            print(
                f"process {rank} of {len(started)} ended with code {failed}{others}",
                file=sys.stderr,
            )
            end = time.monotonic() + grace
        if None not in codes:
            return failed or 0
        if end is not None and time.monotonic() > end:
            if failed is None:
                failed = 124
                print(f"no end after {timeout} seconds; all processes are ended", file=sys.stderr)
            return failed
        time.sleep(0.05)


@contextmanager
def _signals_for(started: Sequence[subprocess.Popen[Any]]) -> Iterator[None]:
    """Hand SIGTERM on to all processes, and wait for their end after a first Ctrl-C.

    Ctrl-C in a terminal reaches them by itself.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def hand_on(number: int, frame: Any) -> None:
        signal.signal(number, before[number])
        if number == signal.SIGTERM:
            for process in started:
                process.send_signal(number)

    numbers: tuple[int, ...] = (signal.SIGTERM, signal.SIGINT)
    before: dict[int, Any] = {number: signal.getsignal(number) for number in numbers}
    for number in numbers:
        signal.signal(number, hand_on)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--devices", type=int, default=1, help="CPU devices of each process")
    parser.add_argument("--timeout", type=float, help="seconds until all are ended")
    parser.add_argument(
        "--grace", type=float, default=20.0, help="seconds for the others once one has failed"
    )
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
                grace=args.grace,
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
            if not isinstance(code, int) or not isinstance(error, SystemExit):
                traceback.print_exc()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code if isinstance(code, int) else 1)
    jaxcore.distributed.shutdown()


if __name__ == "__main__":
    main()
