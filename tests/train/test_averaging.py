"""Averages of the parameters: their values, when they begin, and who uses them."""

import numpy as np
import optax
import pytest

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import random, train
from jaxcore.train.averaging import Averaged


def reference(values, average):
    """The average of a sequence in float64, and how often it was updated."""
    mean, count = None, 0
    for step, value in enumerate(np.asarray(values, np.float64)):
        if step < average.start or (step - average.start) % average.every:
            continue
        past = count / (count + 1) if average.decay is None else average.decay
        if average.warmup:
            past = min(past, (1 + count) / (10 + count))
        mean = value if mean is None else past * mean + (1 - past) * value
        count += 1
    return mean, count


@pytest.mark.parametrize(
    "average",
    [
        train.Average(0.99),
        train.Average(0.9999),
        train.Average(0.9, every=3, start=7),
        train.Average(0.999, every=2, start=500),
        train.Average(None, every=2),
        train.Average(0.999, warmup=True),
    ],
)
def test_a_thousand_updates(average, rng):
    """Of noise, of weights that wander, and of some that settle: as in float64, to the last bit."""
    noise, wander = rng.normal(size=(2, 1000, 32))
    settle = 1 - np.exp(-np.arange(1000) / 100)[:, None] * rng.normal(size=32)
    values = np.concatenate([noise, 1 + wander.cumsum(0) / 100, settle], 1).astype(np.float32)

    @jaxcore.jit
    def run(values):
        def one(state, item):
            return average.update(state, {"w": item[1]}, item[0]), None

        start = Averaged.start({"w": values[0]})
        return jaxcore.lax.scan(one, start, (jnp.arange(1000), values))[0]

    mean, count = reference(values, average)
    found = run(values)
    np.testing.assert_allclose(found.into({"w": values[0]})["w"], mean, rtol=1e-7, atol=1e-7)
    assert int(found.count) == count


def test_evaluation_uses_the_average_once_there_is_one(toy, tmp_path):
    task = toy.task(optax.sgd, 0.5, average=train.Average(0.5, start=1), freeze=("hidden/**",))
    batch = toy.arrays(8)
    state = train.init_state(task, random.key(0), batch)
    assert set(state.average.params) == {"out"}  # frozen leaves have no average
    step, seen = train.make_step(task, donate=False), []
    for _ in range(3):
        state, _ = step(state, batch)
        seen.append(np.asarray(state.params["out"]["kernel"]))
        if len(seen) == 1:
            toy.equal(state.eval_variables, state.variables)
            path = train.save_checkpoint(tmp_path / "first", state, {})
            toy.equal(train.load_variables(path), state.variables)
    path = train.save_checkpoint(tmp_path / "last", state, {})
    toy.equal(train.load_variables(path), state.eval_variables)
    toy.equal(train.load_variables(path, averaged=False), state.variables)
    np.testing.assert_allclose(
        state.eval_variables["params"]["out"]["kernel"], (seen[1] + seen[2]) / 2, rtol=1e-6
    )
    x, y = batch
    expected = np.asarray(task.model.apply(state.eval_variables, x))
    np.testing.assert_allclose(train.make_predict_step(task)(state, batch), expected, rtol=1e-5)
    loss = float(train.make_eval_step(task)(state, batch)["loss"])
    assert loss == pytest.approx(((expected - y) ** 2).mean(), rel=1e-5)
    before = float(train.make_eval_step(task)(state.replace(average=None), batch)["loss"])
    assert before != pytest.approx(loss, rel=1e-5)


def test_a_skipped_step_does_not_count(toy):
    task, (x, y) = toy.task(average=train.Average(0.5)), toy.arrays(8)
    step = train.make_step(task, donate=False)
    state, _ = step(train.init_state(task, random.key(0), (x, y)), (x, y))
    kept, _ = step(state, (x * np.nan, y))
    toy.equal(kept.average, state.average)


@pytest.mark.parametrize("kwargs", [{"decay": 1.0}, {"decay": -0.1}, {"every": 0}, {"start": -1}])
def test_settings_that_do_not_fit(kwargs):
    with pytest.raises(train.TrainError):
        train.Average(**kwargs)
