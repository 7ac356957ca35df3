"""Nothing in a run depends on luck: the same seed gives the same bits, whatever takes how long."""

import time

import numpy as np
import pytest

from jaxcore import train
from jaxcore.nn.weights.safetensors import load_arrays
from jaxcore.train import step, storage

TIMES = ("seconds", "steps_per_second")


def rows(fit):
    return [{k: v for k, v in row.items() if k not in TIMES} for row in fit.history]


def test_the_same_run_twice(toy, tmp_path, monkeypatch):
    """With threads that read ahead, transform and save, each as slow as chance wants it."""
    luck = np.random.default_rng()
    save_arrays = storage.save_arrays

    def slow(path, arrays):
        time.sleep(luck.uniform(0, 0.05))
        save_arrays(path, arrays)

    def jitter(batch, rng):
        time.sleep(luck.uniform(0, 0.01))
        return batch[0] + rng.normal(size=batch[0].shape).astype(np.float32), batch[1]

    monkeypatch.setattr(storage, "save_arrays", slow)
    task = toy.task(rate=0.3)
    found = []
    for name in ("one", "two"):
        saving = train.ModelCheckpoint(train.Steps(4), save_last=9, monitor="val/loss")
        trainer = toy.trainer(
            dir=tmp_path / name, callbacks=[saving], prefetch=2, steps_per_call=3,
            validate_every=train.Steps(5), log_every=train.Steps(4),
        )  # fmt: skip
        data = toy.data(transform=jitter, workers=3)
        fit = trainer.fit(task, data, until=train.Epochs(2), val=toy.data(21))
        paths = train.list_checkpoints(tmp_path / name)
        saved = {step: load_arrays(path / "state.safetensors") for step, path in paths}
        found.append((fit.state, saved, rows(fit)))
    (state, saved, history), (again, saved_again, history_again) = found
    toy.equal(again, state)
    assert set(saved) == {4, 8, 12, 14}
    toy.equal(saved_again, saved)
    assert history_again == history and len(history) == 6


def test_the_switch_for_a_gpu_reaches_every_program(toy, monkeypatch):
    task, data = toy.task(), toy.data(16, shuffle=False)
    plain = toy.trainer().fit(task, data, until=train.Steps(2))
    trainer = toy.trainer(deterministic=True)
    toy.equal(trainer.fit(task, data, until=train.Steps(2)).state, plain.state)
    assert step._DETERMINISTIC == {"xla_gpu_deterministic_ops": True}  # which XLA knows
    monkeypatch.setattr(step, "_DETERMINISTIC", {"xla_gpu_no_such_option": True})
    trainer = toy.trainer(deterministic=True, num_sanity_val_steps=0)
    for run in (
        lambda: trainer.fit(task, data, until=train.Steps(2)),
        lambda: trainer.validate(task, data, plain.state),
        lambda: trainer.predict(task, data, plain.state),
    ):
        with pytest.raises(Exception, match="No such compile option: 'xla_gpu_no_such_option'"):
            run()
