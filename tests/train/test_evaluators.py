"""Several data sets to validate on, each at times of its own; and the best weights afterwards."""

import numpy as np
import pytest

from jaxcore import train


@pytest.mark.parametrize("steps_per_call", [1, 2])
def test_each_data_set_at_its_own_times(toy, steps_per_call):
    val = {
        "usual": toy.data(8),
        "seldom": train.Evaluator(toy.data(8), train.Steps(3)),
        "last": train.Evaluator(toy.data(8)),
    }
    watch = train.EarlyStopping("val/seldom/loss", patience=99)
    trainer = toy.trainer(
        callbacks=[watch], steps_per_call=steps_per_call, log_every=train.Steps(99),
        validate_every=train.Steps(2),
    )  # fmt: skip
    history = trainer.fit(toy.task(), toy.data(32), until=train.Steps(8), val=val).history
    steps = {name: history.series(f"val/{name}/loss")[0] for name in val}
    assert steps == {"usual": [2, 4, 6, 8], "seldom": [3, 6, 8], "last": [8]}
    assert history.last("val/seldom/loss") == history.last("val/last/loss")


def test_a_request_asks_for_all(toy):
    ask = train.LambdaCallback(on_step_end=lambda run: run.step == 2 and run.request_evaluate())
    trainer = toy.trainer(callbacks=[ask])
    val = {"a": train.Evaluator(toy.data(8)), "b": train.Evaluator(toy.data(8), train.Steps(99))}
    history = trainer.fit(toy.task(), toy.data(32), until=train.Steps(3), val=val).history
    assert history.series("val/a/loss")[0] == history.series("val/b/loss")[0] == [2, 3]


def test_one_data_set_and_its_mistakes(toy):
    trainer = toy.trainer(validate_every=train.Steps(1))
    val = train.Evaluator(toy.data(8), train.Steps(2))
    fit = trainer.fit(toy.task(), toy.data(32), until=train.Steps(5), val=val)
    assert fit.history.series("val/loss")[0] == [2, 4, 5]
    assert trainer.validate(toy.task(), val, fit.state).keys() == {"val/loss", "val/mae"}
    with pytest.raises(train.TrainError, match="`every` has no unit"):
        train.Evaluator(toy.data(8), 3)
    with pytest.raises(train.TrainError, match=r"one data set[\s\S]*\['a'\]"):
        train.Evaluator({"a": toy.data(8)})


def test_the_best_weights_come_back(toy, tmp_path):
    task, data, val = toy.task(lr=0.3), toy.data(32), toy.data(16, seed=1)
    trainer = toy.trainer(
        dir=tmp_path, callbacks=[train.ModelCheckpoint(monitor="val/loss"), train.EarlyStopping()]
    )
    fit = trainer.fit(task, data, until=train.Epochs(9), val=val)
    best = min(fit.history["val/loss"])
    assert best < fit.history.last("val/loss")  # the rate is too high to end at the best
    state = trainer.restore(task, data, train.best_checkpoint(tmp_path, "val/loss"))
    np.testing.assert_allclose(trainer.validate(task, val, state)["val/loss"], best, rtol=1e-6)
