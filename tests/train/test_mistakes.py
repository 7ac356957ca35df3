"""What a person gets wrong in a first run, and what is said: argument, got, expected, fix."""

import numpy as np
import optax
import pytest

from jaxcore import train

ONE = train.Epochs(1)


def fits(toy, *, data=None, cls=None, task=None, trainer=None, **more):
    """Fit the toy with something else in it."""
    task = toy.task(**(task or {})) if cls is None else cls
    more = {"until": ONE, **more}
    toy.trainer(**(trainer or {})).fit(task, toy.data(8) if data is None else data, **more)


MISTAKES = {
    "a list of rates": ({"task": {"lr": [1e-3, 1e-2]}}, r"`lr` is[\s\S]*train\.one_cycle"),
    "a rate as text": ({"task": {"lr": "1e-3"}}, r"`lr` is[\s\S]*'1e-3'"),
    "an optimiser with a rate": ({"task": {"tx": optax.adam(1e-3)}}, r"`lr` is given, but `tx`"),
    "an optimiser by name": ({"task": {"tx": "adam"}}, r"`tx`[\s\S]*optax\.adam"),
    "a model for a task": ({"cls": object()}, r"`task` is no train\.Task[\s\S]*got: +object"),
    "no unit": ({"until": 3}, r"`until` has no unit[\s\S]*Epochs"),
    "one callback": (
        {"trainer": {"callbacks": train.EarlyStopping()}},
        r"`callbacks` is a single[\s\S]*callbacks=\[EarlyStopping",
    ),
    "a class": (
        {"trainer": {"callbacks": [train.Timer]}},
        r"`callbacks`[\s\S]*the class Timer[\s\S]*Timer\(\), not Timer",
    ),
    "a function": ({"trainer": {"callbacks": [print]}}, r"LambdaCallback\(on_log=function\)"),
    "x and y in a list": ({"data": [np.ones((4, 2)), np.ones(4)]}, r"`data` is not batches"),
    "lists of numbers": ({"data": [([[1.0], [2.0]], [1, 2])]}, r"`data` do[\s\S]*np\.asarray"),
    "an example for a batch": ({"data": [(np.ones(4), 1)]}, r"first batch of `data` do"),
    "text": ({"data": [(np.array(["a"]), np.ones(1))]}, r"`data` has[\s\S]*0: <U1[\s\S]*transform"),
    "validation once": ({"val": iter(())}, r"`val` yields no batch[\s\S]*starts afresh"),
    "no such checkpoint": (
        {"resume": "best"},
        r"`resume` names[\s\S]*'best'[\s\S]*best_checkpoint",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named_with_its_fix(toy, name):
    how, said = MISTAKES[name]
    with pytest.raises(train.TrainError, match=said) as found:
        fits(toy, **how)
    assert all(word in str(found.value) for word in ("got: ", "expected: ", "fix: "))


def test_a_function_for_a_model(toy):
    task = toy.Regression(model=lambda x: x, tx=optax.sgd, lr=0.1)
    with pytest.raises(train.TrainError, match=r"`model` cannot be[\s\S]*`__call__`"):
        fits(toy, cls=task)


@pytest.mark.parametrize("monitor", ["val_loss", "val/los", "val/maes"])
def test_a_misspelt_metric_is_seen_before_the_first_step(toy, monitor):
    steps = []
    watch = [train.EarlyStopping(monitor), train.LambdaCallback(on_step_end=steps.append)]
    with pytest.raises(train.TrainError, match=r"did you mean 'val/(loss|mae)'") as found:
        fits(toy, trainer={"callbacks": watch}, val=toy.data(8))
    assert monitor in str(found.value) and not steps


def test_the_directory_of_a_run_is_its_newest_checkpoint(toy, tmp_path):
    def fit(until, folder, **more):
        trainer = toy.trainer(dir=folder, callbacks=[train.ModelCheckpoint()])
        return trainer.fit(task, toy.data(16), until=until, **more)

    task = toy.task()
    fit(train.Epochs(1), tmp_path / "a")
    toy.equal(
        fit(train.Epochs(2), tmp_path / "b", resume=tmp_path / "a").state,
        fit(train.Epochs(2), tmp_path / "c").state,
    )
