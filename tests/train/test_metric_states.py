"""States of `nn.metrics` in training and validation: as one pass over the rows that there are."""

import numpy as np
import optax
import pytest

import jaxcore.numpy as jnp
from jaxcore import nn, train
from jaxcore.train.metrics import Stored, columns, from_json, merge_metrics, to_json

M = nn.metrics


def states_of(logits, labels, weights=None):
    """One of each kind, of binary logits (rows,) and labels."""
    both = jnp.stack([-logits, logits], -1)
    labels, p = labels.astype(int), nn.sigmoid(logits)
    return {
        "accuracy": M.accuracy(both, labels, weights),
        "count": M.Sum.of(jnp.ones_like(p), weights),
        "confusion": M.Confusion.of(both, labels, weights),
        "auroc": M.Ranking.of(p, labels, weights, bins=50),
        "moments": M.Moments.of(logits + 100, weights),
        "r2": M.R2.of(p, labels, weights),
        "correlation": M.Correlation.of(p, labels, weights),
        "perplexity": M.perplexity(both, labels, weights),
    }


class Labelling(train.Task):
    """Its parameters stay what they are, so that every step measures the same model."""

    def loss(self, model, batch, ctx):
        x, y = batch
        logits, labels = model(x), y > 0
        losses = nn.losses.sigmoid_binary_cross_entropy(logits, labels.astype(jnp.float32))
        return losses, states_of(logits, labels, ctx.mask)


class Few(Labelling):
    """Of each way to merge one, which compiles faster."""

    def loss(self, model, batch, ctx):
        losses, states = super().loss(model, batch, ctx)
        return losses, {name: states[name] for name in ("accuracy", "confusion", "moments")}


@pytest.fixture(scope="module")
def still(toy):
    """A task, 21 rows in batches of 8, and every number of one pass over the rows."""
    task, (x, y) = toy.task(optax.sgd(0.0), None, cls=Labelling), toy.arrays(21)
    data = train.ArrayData((x, y), batch_size=8, shuffle=False)
    trainer = toy.trainer()
    fit = trainer.fit(task, data, until=train.Epochs(1), val=data)
    states = states_of(task.model.apply(fit.state.variables, x), y > 0)
    whole = train.Measured.of(states)
    return task, data, trainer, fit, whole


def assert_measured(row, whole, prefix=""):
    found = {name: row[prefix + name] for name in whole}
    assert found == {name: pytest.approx(value, rel=2e-5) for name, value in whole.items()}


def test_numbers_of_states_are_those_of_one_pass(still):
    task, data, trainer, fit, whole = still
    row = fit.history.rows[-1]
    assert_measured(row, whole)
    assert_measured(row, whole, "val/")
    assert {n for n in row if n.startswith("val/confusion/")} == {
        f"val/confusion/{name}" for name in ("accuracy", "precision", "recall", "f1")
    }
    assert row["count"] == row["val/count"] == 21 and row["moments/mean"] > 90
    found = trainer.validate(task, {"a": data, "b": [next(iter(data))]}, fit.state)
    assert_measured(found, whole, "val/a/")
    confusion = found.states["val/a/confusion"]
    assert isinstance(confusion, M.Confusion)
    np.testing.assert_array_equal(confusion.matrix, whole.states["confusion"].matrix)
    assert found.states["val/b/confusion"].matrix.sum() == found["val/b/count"] == 8


def test_micro_batches_and_several_steps_change_no_number(still, toy):
    _, data, _, _, whole = still
    task = toy.task(optax.sgd(0.0), None, cls=Few)
    whole = {name: value for name, value in whole.items() if name[:4] in ("accu", "conf", "mome")}
    fit = toy.trainer(accumulate=4, steps_per_call=3).fit(task, data, until=train.Epochs(1))
    assert_measured(fit.history.rows[-1], whole)


def test_states_in_progress_are_part_of_a_checkpoint(still, toy, tmp_path):
    _, data, _, fit, _ = still
    task = toy.task(optax.sgd(0.0), None, cls=Few)

    def stop(run):
        if run.step == 2:
            run.request_stop("taken away", now=True)

    stopping = train.LambdaCallback(on_step_end=stop)
    for first in ([stopping], []):
        callbacks = [*first, train.ModelCheckpoint()]
        again = toy.trainer(dir=tmp_path, callbacks=callbacks).fit(
            task, data, until=train.Epochs(1)
        )
    timing = ("seconds", "steps_per_second")
    found = {k: v for k, v in again.history.rows[-1].items() if k not in timing}
    assert found == {name: fit.history.rows[-1][name] for name in found}
    assert {"accuracy", "confusion/f1", "moments/variance"} <= set(found)


def test_a_short_batch_needs_the_mask(toy):
    class Forgetful(toy.Regression):
        def loss(self, model, batch, ctx):
            losses, _ = super().loss(model, batch, ctx)
            return losses, {"rmse": M.root_mean_squared_error(model(batch[0]), batch[1])}

    task = toy.task(cls=Forgetful)
    assert "rmse" in toy.trainer().fit(task, toy.data(16), until=train.Epochs(1)).history.names
    with pytest.raises(train.ScalarLossError, match=r"'rmse' that counts[\s\S]*RootMean, made"):
        toy.trainer().fit(task, toy.data(12), until=train.Epochs(1))


def test_states_add_up_in_float64_on_the_host():
    big = {"m": M.Confusion(np.full((2, 2), 2.0**24, np.float32))}
    one = {"m": M.Confusion(np.ones((2, 2), np.float32))}
    assert (merge_metrics([big, one, one])["m"].matrix == 2**24 + 2).all()
    nothing = merge_metrics([{"m": M.Moments.of(np.zeros(0))}, {"m": M.Moments.of(np.ones(3))}])
    assert columns("m", nothing["m"]) == {"m/mean": 1.0, "m/variance": 0.0}


def test_a_stored_state_waits_for_one_of_its_kind():
    one = merge_metrics([{"m": M.Moments.of(np.array([1.0, 3.0])), "s": train.Sum(2.0)}])
    back = from_json(to_json(one))
    assert isinstance(back["m"], Stored) and columns("m", back["m"]) == {}
    assert merge_metrics([back, one]) == merge_metrics([one, one])
    other = {"m": M.Confusion(np.ones((2, 2)))}
    assert (merge_metrics([back, other])["m"].matrix == 1).all()  # the task has changed
