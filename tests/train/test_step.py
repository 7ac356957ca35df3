"""The compiled step: its objective, its state, its optimiser."""

import chex
import jax
import numpy as np
import optax
import pytest

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import random, train


def start(task, batch, seed=0):
    return train.init_state(task, random.key(seed), batch)


def params_after(task, batch, mask=None, **kwargs):
    state, metrics = train.make_step(task, **kwargs)(start(task, batch), batch, mask)
    return state.params, metrics


def test_a_step_is_the_hand_written_one(toy):
    task, batch = toy.task(optax.sgd, 0.1), toy.arrays(16)
    before = start(task, batch)

    def mean_loss(params):
        return jnp.mean((task.model.apply({"params": params}, batch[0]) - batch[1]) ** 2)

    loss, grads = jaxcore.value_and_grad(mean_loss)(before.params)
    expected = jax.tree.map(lambda p, g: p - 0.1 * g, before.params, grads)
    after, metrics = train.make_step(task)(before, batch)
    chex.assert_trees_all_close(after.params, expected, rtol=1e-5, atol=1e-6)
    assert float(metrics["loss"]) == pytest.approx(float(loss), rel=1e-5)
    assert float(metrics["gradient_norm"]) == pytest.approx(float(optax.tree.norm(grads)), 1e-4)
    assert float(metrics["learning_rate"]) == pytest.approx(0.1)
    assert float(metrics["skipped"]) == 0
    assert int(after.step) == 1


def test_padding_equals_the_short_batch(toy):
    task = toy.task(optax.sgd, 0.1)
    x, y = toy.arrays(5)
    fill = np.arange(8) % 5
    mask = np.arange(8) < 5
    short, short_metrics = params_after(task, (x, y))
    padded, metrics = params_after(task, (x[fill], y[fill]), mask)
    chex.assert_trees_all_close(padded, short, rtol=1e-5, atol=1e-7)
    for name in ("loss", "mae"):
        assert float(metrics[name]) == pytest.approx(float(short_metrics[name]), rel=1e-5)


@pytest.mark.parametrize(("pieces", "padded"), [(2, False), (4, True), (8, True)])
def test_accumulation_equals_the_full_batch(toy, pieces, padded):
    # With padding the last micro-batches hold fewer real rows, or none: a mean of means would show.
    task, batch = toy.task(optax.sgd, 0.5), toy.arrays(16)
    mask = np.arange(16) < 11 if padded else None
    full, full_metrics = params_after(task, batch, mask)
    pieced, metrics = params_after(task, batch, mask, accumulate=pieces)
    chex.assert_trees_all_close(pieced, full, rtol=0, atol=1e-6)
    for name in ("loss", "mae", "gradient_norm"):
        assert float(metrics[name]) == pytest.approx(float(full_metrics[name]), rel=1e-5)


def test_weights_of_tokens_count_over_the_whole_batch(toy):
    class Tokens(toy.Regression):
        def loss(self, model, batch, ctx):
            x, y, w = batch
            errors = (model(x) - y)[:, None] ** 2 * jnp.ones((1, 3))
            return train.Weighted(errors, w)

    x, y = toy.arrays(8)
    weights = (np.random.default_rng(0).random((8, 3)) > 0.5).astype(np.float32)
    weights[0] = 1
    task = toy.task(optax.sgd, 0.1, cls=Tokens)
    full, metrics = params_after(task, (x, y, weights))
    pieced, _ = params_after(task, (x, y, weights), accumulate=4)
    chex.assert_trees_all_close(full, pieced, rtol=1e-5, atol=1e-6)
    predictions = task.model.apply(start(task, (x, y, weights)).variables, x)
    expected = ((np.asarray(predictions) - y) ** 2 @ weights).sum() / weights.sum()
    assert float(metrics["loss"]) == pytest.approx(expected, rel=1e-4)


def test_several_steps_in_one_call(toy):
    task, (x, y) = toy.task(rate=0.3, norm=True), toy.arrays(32)
    step, many = train.make_step(task), train.make_step(task, steps_per_call=4)
    state, rows = start(task, (x[:8], y[:8])), []
    for i in range(4):
        state, metrics = step(state, (x[8 * i : 8 * i + 8], y[8 * i : 8 * i + 8]))
        rows.append(float(metrics["loss"]))
    at_once, metrics = many(start(task, (x[:8], y[:8])), (x.reshape(4, 8, 4), y.reshape(4, 8)))
    assert int(at_once.step) == 4
    chex.assert_trees_all_close(at_once.variables, state.variables, rtol=1e-4, atol=1e-5)
    assert float(metrics["loss"]) == pytest.approx(np.mean(rows), rel=1e-4)


def test_batch_statistics_and_dropout_keys_flow(toy):
    task, batch = toy.task(optax.sgd, 0.0, norm=True, rate=0.5), toy.arrays(16)
    step = train.make_step(task, donate=False)
    first = start(task, batch)
    second, one = step(first, batch)
    _, two = step(second, batch)
    _, again = step(first, batch)
    mean = second.variables["batch_stats"]["norm"]["mean"]
    assert np.abs(np.asarray(mean)).max() > 0
    assert float(one["loss"]) == float(again["loss"])  # the step's key depends on the step alone
    assert float(one["loss"]) != float(two["loss"])  # and the next step's is another
    toy.equal(second.key, first.key)


def test_a_step_that_is_not_finite_changes_nothing_and_is_counted(toy):
    schedule = optax.linear_schedule(0.1, 0.0, 10)
    task, (x, y) = toy.task(optax.adam, schedule, norm=True), toy.arrays(8)
    step = train.make_step(task, donate=False)
    good, _ = step(start(task, (x, y)), (x, y))
    bad = x.copy()
    bad[3, 1] = np.nan
    kept, metrics = step(good, (bad, y))
    toy.equal(kept.variables, good.variables)
    toy.equal(kept.opt_state, good.opt_state)  # the schedule's count with it
    assert float(metrics["skipped"]) == 1
    assert np.isnan(float(metrics["loss"]))  # reported as it was, not filtered
    assert int(kept.step) == 2
    after, metrics = step(kept, (x, y))
    assert float(metrics["skipped"]) == 0
    assert float(metrics["learning_rate"]) == pytest.approx(0.09)


def test_frozen_leaves_have_no_gradient_and_no_optimiser_state(toy):
    seen = []

    def spy():
        def update(updates, state, params=None):
            seen.append(jax.tree.structure(updates))
            return updates, state

        return optax.GradientTransformation(lambda params: optax.EmptyState(), update)

    tx = optax.chain(spy(), optax.adam(0.1))
    task = toy.task(tx, None, freeze=("hidden/**",))
    batch = toy.arrays(8)
    before = start(task, batch)

    def loss_of_the_rest(out):
        predictions = task.model.apply({"params": before.params | {"out": out}}, batch[0])
        return jnp.mean((predictions - batch[1]) ** 2)

    norm = float(optax.tree.norm(jaxcore.grad(loss_of_the_rest)(before.params["out"])))
    frozen = np.asarray(before.params["hidden"]["kernel"])
    moments = before.opt_state["**"][1][0].mu
    assert set(moments) == {"out"}
    after, metrics = train.make_step(task)(before, batch)
    np.testing.assert_array_equal(after.params["hidden"]["kernel"], frozen)
    assert float(metrics["gradient_norm"]) == pytest.approx(norm, rel=1e-5)
    assert seen == [jax.tree.structure({"**": moments}["**"])]


def test_groups_have_their_own_optimiser(toy):
    task = toy.task({"hidden/**": optax.sgd(0.0), "**": optax.sgd}, 0.5)
    batch = toy.arrays(8)
    before = start(task, batch)
    hidden, out = (np.asarray(before.params[name]["kernel"]) for name in ("hidden", "out"))
    after, metrics = train.make_step(task)(before, batch)
    np.testing.assert_array_equal(after.params["hidden"]["kernel"], hidden)
    assert np.abs(np.asarray(after.params["out"]["kernel"]) - out).max() > 1e-3
    assert float(metrics["learning_rate"]) == 0.5


@pytest.mark.parametrize("lr", [0.125, np.float32(0.125), jnp.float32(0.125), lambda count: 0.125])
def test_the_rate_is_injected_whatever_it_is_given_as(toy, lr):
    task, batch = toy.task(lambda rate: optax.chain(optax.clip(1e9), optax.sgd(rate)), lr), None
    batch = toy.arrays(8)
    plain = toy.task(optax.sgd(0.125), None)
    ours, metrics = params_after(task, batch)
    chex.assert_trees_all_close(ours, params_after(plain, batch)[0], rtol=1e-6)
    assert float(metrics["learning_rate"]) == 0.125


def test_optax_inject_hyperparams_is_logged_too(toy):
    task = toy.task(optax.inject_hyperparams(optax.adam)(learning_rate=3e-3), None)
    assert float(params_after(task, toy.arrays(8))[1]["learning_rate"]) == pytest.approx(3e-3)


def test_the_rate_can_be_changed_without_compiling_again(toy):
    traces = []

    class Counted(toy.Regression):
        def loss(self, model, batch, ctx):
            traces.append(1)
            return super().loss(model, batch, ctx)

    task, batch = toy.task(optax.sgd, 0.5, cls=Counted), toy.arrays(8)
    step = train.make_step(task)
    state, _ = step(start(task, batch), batch)
    opt = state.opt_state["**"]._replace(learning_rate=jnp.float32(0.25))
    state, metrics = step(state.replace(opt_state={"**": opt}), batch)
    assert float(metrics["learning_rate"]) == 0.25
    assert len(traces) == 1


def test_the_old_state_is_donated_unless_asked_otherwise(toy):
    task, batch = toy.task(), toy.arrays(8)
    state = start(task, batch)
    train.make_step(task, donate=False)(state, batch)
    assert not state.params["out"]["kernel"].is_deleted()
    train.make_step(task)(state, batch)
    assert state.params["out"]["kernel"].is_deleted()


def test_evaluation_neither_drops_nor_learns(toy):
    task, batch = toy.task(norm=True, rate=0.5), toy.arrays(16)
    state = start(task, batch)
    evaluate = train.make_eval_step(task)
    assert float(evaluate(state, batch)["loss"]) == float(evaluate(state, batch)["loss"])
    out = train.make_predict_step(task)(state, batch)
    expected = task.model.apply(state.variables, batch[0])
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("clipping", "chain"),
    [
        ({"clip_norm": 0.05}, optax.clip_by_global_norm(0.05)),
        ({"clip_norm": 1e6}, optax.identity()),
        ({"clip_value": 0.01}, optax.clip(0.01)),
    ],
)
def test_clipping_is_optax_over_all_groups_together(toy, clipping, chain):
    batch = toy.arrays(8)
    groups = {"hidden/**": optax.sgd, "**": optax.sgd}
    ours, metrics = params_after(toy.task(groups, 0.5, update_norm=True, **clipping), batch)
    plain = toy.task(optax.chain(chain, optax.sgd(0.5)), None, update_norm=True)
    expected, reference = params_after(plain, batch)
    chex.assert_trees_all_close(ours, expected, rtol=1e-5, atol=1e-6)
    for name in ("gradient_norm", "update_norm"):  # the gradient's before clipping
        assert float(metrics[name]) == pytest.approx(float(reference[name]), rel=1e-5)


def test_rates_by_glob(toy):
    batch = toy.arrays(8)
    by_glob = toy.task(optax.sgd, {"hidden/**": 0.0, "**": lambda count: 0.5})
    state, metrics = train.make_step(by_glob)(start(by_glob, batch), batch)
    toy.equal(state.params["hidden"], start(by_glob, batch).params["hidden"])
    assert float(metrics["learning_rate/hidden/**"]) == 0.0
    assert float(metrics["learning_rate/**"]) == 0.5
    with pytest.raises(train.TrainError, match=r"different groups[\s\S]*\['out/\*\*'\]"):
        _ = toy.task({"hidden/**": optax.sgd, "**": optax.sgd}, {"out/**": 0.1}).optimizer
