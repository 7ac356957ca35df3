"""A checkpoint of a run that an error ends."""

import pytest

from jaxcore import train


def run(toy, folder, task, *callbacks, fails=None, **more):
    def cut(batch, rng):
        if fails is not None and rng.random() < 2 and next(left) == fails:
            raise OSError("the disk is gone")
        return batch

    left = iter(range(99))
    data = train.ArrayData(toy.arrays(40), batch_size=8, transform=cut)
    trainer = toy.trainer(dir=folder, callbacks=callbacks, log_every=train.Steps(2))
    return trainer.fit(task, data, until=train.Steps(9), **more)


def failing(step):
    return train.LambdaCallback(on_step_end=lambda run: run.step == step and 1 / 0)


@pytest.mark.parametrize("at", [1, 4, 7])
def test_a_run_goes_on_where_its_data_failed(toy, tmp_path, at):
    task = toy.task()
    with pytest.raises(OSError, match="the disk is gone"):  # the first batch is read for its shape
        run(toy, tmp_path / "a", task, train.OnExceptionCheckpoint(), fails=at + 1)
    assert train.latest_checkpoint(tmp_path / "a").name == f"step_{at:09d}"
    again, whole = run(toy, tmp_path / "a", task), run(toy, tmp_path / "b", task)
    toy.equal(again.state, whole.state)
    assert again.history["loss"] == whole.history["loss"]


def test_it_saves_nothing_without_it_or_without_a_directory(toy, tmp_path):
    for folder, callbacks in ((tmp_path, ()), (None, (train.OnExceptionCheckpoint(),))):
        with pytest.raises(OSError, match="the disk is gone"):
            run(toy, folder, toy.task(), *callbacks, fails=3)
    save = train.OnExceptionCheckpoint()
    trainer = toy.trainer(dir=tmp_path, callbacks=[save, failing(3)], fast_dev_run=5)
    with pytest.raises(ZeroDivisionError):
        trainer.fit(toy.task(), toy.data(40), until=train.Steps(9))
    assert not train.list_checkpoints(tmp_path)


def test_a_state_that_cannot_be_saved_is_a_note(toy, tmp_path, monkeypatch):
    def full(*_):
        raise RuntimeError("no space left")

    monkeypatch.setattr(train.saving.Saver, "save", full)
    with pytest.raises(OSError, match="the disk is gone") as found:
        run(toy, tmp_path, toy.task(), train.OnExceptionCheckpoint(), fails=3)
    assert found.value.__notes__[-1] == (
        "and the state of step 2 could not be saved: no space left"
    )


def test_an_error_of_a_callback_too(toy, tmp_path):
    saved = []
    hear = train.LambdaCallback(on_save=lambda run, path: saved.append(path.name))
    with pytest.raises(ZeroDivisionError):
        run(toy, tmp_path, toy.task(), train.OnExceptionCheckpoint(), failing(3), hear)
    assert saved == ["step_000000003"]
