"""The launcher's side of signals and ends, with processes that do nothing else."""

import os
import signal
import subprocess
import sys

import pytest

from jaxcore.train.launch import _signals_for, _watch

ENDS_BY_3 = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(3)); print(flush=True);"


def processes(*codes):
    """Python processes that run this; those with a handler are waited for until they have it."""
    command = [sys.executable, "-S", "-c"]
    text = "import os, signal, sys, time;"
    started = [subprocess.Popen([*command, text + c], stdout=subprocess.PIPE) for c in codes]
    for code, process in zip(codes, started):
        if code.startswith(ENDS_BY_3):
            process.stdout.readline()
    return started


@pytest.fixture
def ended():
    """A list of processes that do not outlive the test."""
    found = []
    yield found
    for process in found:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def ctrl_c():
    """Ctrl-C that is heeded, as it is not in a process that a shell began in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_sigterm_is_handed_on_once_and_ctrl_c_waited_for(ended, ctrl_c):
    ended += processes(*[ENDS_BY_3 + "time.sleep(60)"] * 2)
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    with _signals_for(ended):
        os.kill(os.getpid(), signal.SIGINT)  # the processes of a terminal get it, too
        os.kill(os.getpid(), signal.SIGTERM)
        assert _watch(ended, timeout=50, grace=50) == 3
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


@pytest.mark.parametrize(
    ("codes", "expected", "said"),
    [
        (["", ""], 0, ""),
        (["sys.exit(7)", "time.sleep(60)"], 7, "process 0 of 2 ended with code 7; the others have"),
        (["time.sleep(60)"], 124, "no end after 0.5 seconds"),
        # The first ends because of the second, which says nothing itself.
        (["sys.exit(1)", "os.kill(os.getpid(), 9)"], -9, "process 1 of 2 ended with code -9\n"),
    ],
)
def test_the_code_is_that_of_the_first_which_failed(ended, capfd, codes, expected, said):
    ended += processes(*codes)
    if expected == -9:  # both are over when the launcher looks
        for process in ended:
            process.wait()
    timeout = 0.5 if expected == 124 else 50
    assert _watch(ended, timeout, grace=0.5) == expected
    assert said in capfd.readouterr().err
