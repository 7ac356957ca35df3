"""A run that hangs is heard of; one that is only slow, or compiles, is not."""

import io
import os
import subprocess
import sys
import time

import pytest
from rich.console import Console

from jaxcore import train
from jaxcore.train.callbacks import watchdog as module


class Slow(train.ArrayData):
    """Batches of which the second is long in coming: until the watchdog has spoken."""

    def __init__(self, arrays, spoken):
        super().__init__(arrays, batch_size=8, shuffle=False)
        self.spoken = spoken

    def batches(self, epoch, start=0):
        for number, batch in enumerate(super().batches(epoch, start)):
            if number == 1:
                until(self.spoken)
            yield batch


def until(path):
    end = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < end, f"{path} is not there"
        time.sleep(0.02)


@pytest.mark.parametrize("phase", ["callbacks", "data", "validate"])
def test_a_hang_is_told_with_its_phase_and_stacks(toy, tmp_path, capfd, phase):
    spoken = tmp_path / "watchdog.txt"
    hang = train.LambdaCallback(
        on_step_end=lambda run: until(spoken) if (run.step, phase) == (2, "callbacks") else None
    )
    slow, quick = Slow(toy.arrays(24), spoken), toy.data(24)
    trainer = toy.trainer(
        callbacks=[hang, train.Watchdog(0.5)], dir=tmp_path, num_sanity_val_steps=0
    )
    trainer.fit(
        toy.task(),
        slow if phase == "data" else quick,
        until=train.Steps(3),
        val=slow if phase == "validate" else None,
    )
    said = capfd.readouterr().err
    step = {"callbacks": 2, "data": 1, "validate": 3}[phase]
    assert f"s, since step {step}, in the phase {phase!r}. Its threads:" in said
    assert "MainThread:\n" in said and "in until\n    time.sleep(0.02)" in said
    assert said.strip().splitlines()[0] in spoken.read_text()
    assert all(callback._thread is None for callback in trainer.callbacks[1:])


@pytest.fixture
def looked(monkeypatch):
    """A watchdog of a run without its thread, the clock to set, and what it told."""
    watchdog, told = train.Watchdog(10.0, compile_timeout=100.0), []
    monkeypatch.setattr(watchdog, "_watch", lambda: None)
    monkeypatch.setattr(watchdog, "_tell", told.append)
    run = train.Run(None, train.Steps(9), None, None, None, Console(file=io.StringIO()), True)

    class Clock:
        now = 0.0

        def look(self, now, phase):
            self.now = now
            with run.phases(phase):
                return watchdog._look()

    clock = Clock()
    monkeypatch.setattr(module.time, "monotonic", lambda: clock.now)
    watchdog.on_fit_start(run)
    yield watchdog, run, clock, told
    monkeypatch.undo()
    watchdog.on_fit_end(run)


def test_it_speaks_once_until_the_run_moves_on(looked):
    watchdog, run, clock, told = looked
    assert clock.look(4.0, "data") == 6.0  # the next look is when time is up
    assert told == []
    clock.look(10.0, "data")
    clock.look(25.0, "data")
    assert told == [10.0]
    for number, move in enumerate((
        lambda: watchdog.on_step_end(run),
        lambda: watchdog.on_log(run, {"step": 1}),
        lambda: watchdog.on_save(run, None),
        lambda: watchdog.on_validation_batch_end(None, None, None, 0),
        watchdog.alive,
    )):  # fmt: skip
        clock.now += 9.0
        move()
        assert clock.look(clock.now + 9.0, "dispatch") == 1.0
        assert len(told) == 1 + number
        clock.look(clock.now + 1.0, "dispatch")
        assert told[-1] == 10.0 and len(told) == 2 + number


def test_compiling_may_take_longer(looked):
    watchdog, run, clock, told = looked
    assert clock.look(30.0, "compile") == 10.0  # it looks again before: the phase may end
    assert clock.look(99.0, "compile") == 1.0 and told == []
    clock.look(100.0, "compile")
    assert told == [100.0]
    watchdog.on_step_end(run)
    clock.look(150.0, "validate")  # its first batch compiles
    assert len(told) == 1
    watchdog.on_validation_batch_end(None, None, None, 0)
    clock.look(160.0, "validate")
    assert told == [100.0, 10.0]


HANGS = """
import sys, time, numpy as np, optax
from jaxcore import nn, train

class Line(train.Task):
    def loss(self, model, batch, ctx):
        return (model(batch)[:, 0] - 1) ** 2

hang = train.LambdaCallback(on_step_end=lambda run: time.sleep(60 * (run.step == 2)))
save = train.ModelCheckpoint(train.Steps(1))
trainer = train.Trainer(
    dir=sys.argv[1],
    save_in_background=False,
    callbacks=[save, hang, train.Watchdog(1.0, exit_code=75)],
)
data = train.ArrayData(np.ones((8, 1), np.float32), batch_size=4)
trainer.fit(Line(model=nn.Dense(1), tx=optax.sgd, lr=0.1), data, until=train.Steps(9))
"""


def test_it_ends_the_process_if_asked_to(tmp_path):
    command = [sys.executable, "-c", HANGS, tmp_path / "run"]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=55)
    assert done.returncode == 75, done.stderr
    assert "ending the process with code 75" in done.stderr
    assert [step for step, _ in train.list_checkpoints(tmp_path / "run")] == [1]


def test_arguments_are_checked():
    for wrong in ({"timeout": 0}, {"compile_timeout": -1.0}, {"exit_code": 0}):
        with pytest.raises(train.TrainError, match=next(iter(wrong))):
            train.Watchdog(**wrong)
