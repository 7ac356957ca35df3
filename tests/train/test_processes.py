"""What several processes say of each other, tried in one that takes itself for one of two."""

import os
import signal
import time
from types import SimpleNamespace

import numpy as np
import pytest

import jaxcore
from jaxcore import train
from jaxcore.errors import JaxRuntimeError
from jaxcore.experimental import multihost_utils
from jaxcore.train import saving
from jaxcore.train.checkpoint import checkpoint_path
from jaxcore.train.processes import check_agreement, is_loss, loss_explained

GLOO = "UNKNOWN: Gloo AllGather failed: Read error [127.0.0.1]:1: Connection reset by peer"


@pytest.fixture
def two(monkeypatch):
    monkeypatch.setattr(jaxcore, "process_count", lambda: 2)


def test_values_are_compared_as_arrays_can_carry_them(two, monkeypatch):
    """Arrays on the way are int32: a larger number would come back as another one."""
    sent = []
    monkeypatch.setattr(multihost_utils, "assert_equal", lambda x, name: sent.append(x))
    check_agreement(step=3, seed=2**40, data={"rows": 54}, parameters=["w", "b"])
    assert len({int(x) for x in sent}) == 4
    assert {x.dtype for x in sent} == {np.dtype(np.int32)} and min(sent) >= 0

    def differs(x, name):
        raise AssertionError

    monkeypatch.setattr(multihost_utils, "assert_equal", differs)
    with pytest.raises(train.TrainError, match=r"disagree about seed[\s\S]*the same script"):
        check_agreement(seed=3)


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        (JaxRuntimeError, GLOO, True),
        (ValueError, GLOO, True),  # as JAX says it of some calls
        (JaxRuntimeError, "UNAVAILABLE: Failed to send RPC to coordination service.", True),
        (JaxRuntimeError, "DEADLINE_EXCEEDED: GetKeyValue() timed out", True),
        (JaxRuntimeError, "INTERNAL: NCCL operation failed: remote process exited", True),
        (JaxRuntimeError, "RESOURCE_EXHAUSTED: Out of memory allocating 8 bytes", False),
        (JaxRuntimeError, "INTERNAL: something else", False),
        (ValueError, "Gloo is a word of somebody's own message", False),
        (KeyError, GLOO, False),
    ],
)
def test_a_lost_process_is_told_from_other_errors(two, tmp_path, kind, text, expected):
    assert is_loss(kind(text)) is expected
    with pytest.raises(train.TrainError if expected else kind) as error, loss_explained(tmp_path):
        raise kind(text)
    if expected:
        assert "it has no checkpoint" in str(error.value) and text in str(error.value)
        path = train.save_checkpoint(checkpoint_path(tmp_path, 7), {"w": np.zeros(1)}, {})
        again = pytest.raises(train.TrainError, match=f"it goes on from {path}")
        with again, loss_explained(tmp_path):
            raise kind(text)


def stopping():
    """A run that notes what is asked of it."""
    asked = SimpleNamespace(dir="run", step=0, ending=None, reason=None, saves=0)

    def request_save():
        asked.saves += 1

    def request_stop(reason, *, now):
        asked.reason = reason

    asked.request_save, asked.request_stop = request_save, request_stop
    return asked


def test_processes_agree_by_a_count_that_grows_by_one(two, monkeypatch):
    """The runtime names one count to stop at, which several steps in a call would jump over."""
    counts, run = [], stopping()

    def reached(count):
        counts.append(count)
        return len(counts) == 4

    monkeypatch.setattr(multihost_utils, "reached_preemption_sync_point", reached)
    for _ in range(2):  # a second run in the process goes on counting
        callback = train.SaveOnSignal(exit_code=75)
        callback.on_fit_start(run)
        for step in (3, 6):
            run.step = step
            callback.on_step_end(run)
        callback.on_fit_end(run)
    assert counts == list(range(counts[0], counts[0] + 4))
    assert run.reason == "received SIGTERM" and run.saves == 1
    assert run.ending.code == 75


def test_ctrl_c_of_one_process_is_told_to_the_runtime(two, monkeypatch):
    told, run = [], stopping()
    monkeypatch.setattr(multihost_utils, "reached_preemption_sync_point", lambda _: bool(told))
    before = signal.signal(signal.SIGTERM, lambda number, frame: told.append(number))
    try:
        callback = train.SaveOnSignal(exit_code=75)
        callback.on_fit_start(run)
        callback.on_step_end(run)
        assert run.reason is None
        os.kill(os.getpid(), signal.SIGINT)
        callback.on_step_end(run)
        callback.on_fit_end(run)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert told == [signal.SIGTERM] and run.reason == "received SIGINT"
    assert isinstance(run.ending, KeyboardInterrupt) and run.saves == 1


def test_one_process_loses_nobody(tmp_path):
    assert not is_loss(JaxRuntimeError(GLOO))
    with pytest.raises(JaxRuntimeError), loss_explained(tmp_path):
        raise JaxRuntimeError(GLOO)


def test_a_checkpoint_is_waited_for_so_long(monkeypatch, tmp_path):
    monkeypatch.setattr(saving, "save_checkpoint", lambda *args: time.sleep(0.5))
    saver = saving.Saver()
    saver.save(tmp_path / "one", {"w": np.zeros(1)}, {})
    with pytest.raises(TimeoutError, match=r"one was not whole after 0\.01 seconds"):
        saver.wait(0.01)
    assert saver.wait() == [tmp_path / "one"]
