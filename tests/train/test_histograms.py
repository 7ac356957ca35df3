"""Histograms of parameters and gradients, as TensorBoard itself reads them."""

import numpy as np
import pytest

from jaxcore import random, train
from jaxcore.train.gradients import make_gradient
from jaxcore.train.paths import leaf_paths

accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


def read(folder):
    return accumulator.EventAccumulator(
        str(folder), size_guidance={accumulator.HISTOGRAMS: 0}
    ).Reload()


def test_they_are_those_of_the_state(toy, tmp_path):
    task, data = toy.task(), toy.data(24)
    watch = train.TensorBoardHistograms(train.Steps(2), gradients=True, bins=5)
    trainer = toy.trainer(dir=tmp_path, callbacks=[train.TensorBoardLogger(), watch])
    fit = trainer.fit(task, data, until=train.Steps(4))
    reader = read(tmp_path / "tensorboard")
    assert reader.Scalars("loss")  # both write to one folder
    paths = [path for path, _ in leaf_paths(fit.state.params)]
    expected = {f"{kind}/{path}" for kind in ("parameters", "gradients") for path in paths}
    assert set(reader.Tags()["histograms"]) == expected
    batch = next(data.batches(1, 0))  # step 4 is the first of the second epoch
    _, grads = make_gradient(task)(fit.state, batch)
    for kind, tree in (("parameters", fit.state.params), ("gradients", grads)):
        for path, leaf in leaf_paths(tree):
            events = reader.Histograms(f"{kind}/{path}")
            assert [event.step for event in events] == [2, 4]
            found, leaf = events[-1].histogram_value, np.asarray(leaf)
            counts, edges = np.histogram(leaf, 5)
            assert list(found.bucket) == list(counts)
            np.testing.assert_allclose(found.bucket_limit, edges[1:], rtol=1e-5, atol=1e-7)
            numbers = [found.min, found.max, found.num, found.sum, found.sum_squares]
            wanted = [edges[0], edges[-1], leaf.size, leaf.sum(), (leaf**2).sum()]
            np.testing.assert_allclose(numbers, wanted, rtol=1e-5, atol=1e-6)


def test_a_resumed_run_goes_on(toy, tmp_path):
    def fit(until, **more):
        callbacks = [train.TensorBoardHistograms(train.Steps(1)), train.ModelCheckpoint(**more)]
        trainer = toy.trainer(dir=tmp_path, callbacks=callbacks)
        return trainer.fit(toy.task(), toy.data(24), until=until)

    fit(train.Steps(3))
    fit(train.Steps(5))
    events = read(tmp_path / "tensorboard").Histograms("parameters/out/bias")
    assert [event.step for event in events] == [1, 2, 3, 4, 5]


def test_the_gradient_is_that_of_the_mean_loss(toy):
    task, batch = toy.task(), toy.arrays(8)
    state = train.init_state(task, random.key(0), batch)
    value, grads = make_gradient(task)(state, batch)
    _, metrics = train.make_step(task, donate=False)(state, batch)
    assert float(value) == pytest.approx(float(metrics["loss"]))
    norm = np.sqrt(sum(float((np.asarray(g) ** 2).sum()) for _, g in leaf_paths(grads)))
    assert norm == pytest.approx(float(metrics["gradient_norm"]), rel=1e-5)
