"""Callbacks that change what is trained: frozen parts, micro-batches, masks, averages, rates."""

import jax
import numpy as np
import optax
import pytest

from jaxcore import nn, random, train
from jaxcore.train.callbacks.batch_size_finder import largest
from jaxcore.train.iterables import as_source
from jaxcore.train.plan import Plan, carry_over


def rates(fit, group=""):
    return fit.history[f"learning_rate{group}"]


def test_a_backbone_learns_later_and_slower_and_resumes_exactly(toy, tmp_path):
    def finetune():
        return train.BackboneFinetuning(
            "hidden/**", unfreeze_backbone_at_epoch=1, backbone_initial_ratio_lr=0.25
        )

    seen = {}

    def note(run):
        seen[run.epoch] = np.asarray(run.state.params["hidden"]["kernel"])

    task, data, epochs = toy.task(optax.adam, 0.01), toy.data(16), train.Epochs(5)
    lambdas = train.LambdaCallback(on_epoch_end=note)
    whole = toy.trainer(callbacks=[finetune(), lambdas]).fit(task, data, until=epochs)
    start = train.init_state(task, random.key(0), next(iter(data)))
    np.testing.assert_array_equal(seen[1], start.params["hidden"]["kernel"])
    assert (seen[2] != seen[1]).any()
    assert rates(whole) == pytest.approx([0.01])  # one group as yet
    assert rates(whole, "/**") == pytest.approx([0.01] * 4)
    # Doubled in each epoch until it is the head's.
    assert rates(whole, "/hidden/**") == pytest.approx([0.0025, 0.005, 0.01, 0.01])

    for part in (1, 3, 5):  # the first ends where the backbone thaws
        trainer = toy.trainer(dir=tmp_path, callbacks=[finetune(), train.ModelCheckpoint()])
        fit = trainer.fit(task, data, until=train.Epochs(part))
    toy.equal(fit.state, whole.state)


def test_what_thaws_begins_afresh_and_the_rest_goes_on(toy):
    batch = toy.arrays(8)
    task = toy.task(optax.adam, 0.01, freeze=("hidden/**",), average=train.Average(0.9))
    state = train.init_state(task, random.key(0), batch)
    step = train.make_step(task)
    for _ in range(3):
        state, _ = step(state, batch)
    plan = Plan(task).change(
        freeze=(), tx={"hidden/**": optax.adam, "**": optax.adam}, accumulate=2
    )
    new = carry_over(state, plan.task, batch)
    toy.equal(new.opt_state["**"], state.opt_state["**"])
    assert int(new.opt_state["hidden/**"].count) == 0
    toy.equal(new.average.params["out"], state.average.params["out"])
    toy.equal(new.average.rest["out"], state.average.rest["out"])
    toy.equal(new.average.params["hidden"], state.params["hidden"])
    toy.equal(new.params, state.params)
    assert plan.accumulate == 2 and not plan.same(Plan(task)) and plan.same(plan.change())
    assert Plan(task).change(freeze=("hidden/**",)).same(Plan(task))


def test_mistakes_in_finetuning(toy):
    with pytest.raises(train.TrainError, match="does not say what is frozen"):
        toy.trainer(callbacks=[train.BaseFinetuning()]).fit(
            toy.task(), toy.data(8), until=train.Steps(1)
        )
    thawed = train.BackboneFinetuning("hidden/**", unfreeze_backbone_at_epoch=0)
    with pytest.raises(train.TrainError, match="makes the groups of parameters itself"):
        toy.trainer(callbacks=[thawed]).fit(
            toy.task(optax.sgd(0.1), None), toy.data(8), until=train.Steps(1)
        )


def test_micro_batches_by_epoch(toy):
    scheduler, plans = train.GradientAccumulationScheduler({1: 4, 3: 2}), []
    plan = Plan(toy.task(), 8)
    assert [scheduler.configure(plan, epoch).accumulate for epoch in range(5)] == [8, 4, 4, 2, 2]
    note = train.LambdaCallback(on_epoch_end=lambda run: plans.append(run.plan.accumulate))
    fits = [
        toy.trainer(callbacks=callbacks).fit(
            toy.task(optax.sgd, 0.1), toy.data(16), until=train.Epochs(2)
        )
        for callbacks in ([train.GradientAccumulationScheduler({1: 4}), note], [])
    ]
    assert plans == [1, 4]
    for one, two in zip(*(jax.tree.leaves(fit.state.params) for fit in fits), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)
    for wrong in ({}, {-1: 2}, {0: 0}):
        with pytest.raises(train.TrainError, match="`scheduling`"):
            train.GradientAccumulationScheduler(wrong)


@pytest.mark.parametrize(
    ("kwargs", "left"),
    [
        ({"amount": 0.5}, [20, 10]),  # of 40 weights; a part of what is left
        ({"amount": 7}, [33, 26]),
        ({"amount": lambda epoch: 8 * epoch}, [40, 32]),
        ({"amount": 0.25, "pruning_fn": "random_unstructured"}, [30, 22]),
    ],
)
def test_pruned_weights_stay_zero(toy, kwargs, left):
    counts = []

    def note(run):
        kernels = [run.state.params[name]["kernel"] for name in ("hidden", "out")]
        counts.append(sum(int((np.asarray(k) != 0).sum()) for k in kernels))

    pruning = train.ModelPruning(**kwargs)
    callbacks = [pruning, train.LambdaCallback(on_epoch_end=note, on_step_end=note)]
    fit = toy.trainer(callbacks=callbacks).fit(toy.task(), toy.data(8), until=train.Epochs(3))
    # After the step of an epoch, and after its pruning; the last step changes nothing of it.
    assert counts[1::2][:2] == left and counts[4] == left[1]
    assert rates(fit)[0] == pytest.approx(0.01)


def test_the_smallest_weights_go(toy):
    pruning = train.ModelPruning(amount=3, use_global_unstructured=False)
    masks = {"a": np.ones(4, bool), "b": np.ones(4, bool)}
    values = {"a": np.array([4.0, -1, 2, 3]), "b": np.array([0.1, 9, -0.2, 0.3])}
    pruning._prune(["a", "b"], masks, values, 3, 0)
    assert masks["a"].tolist() == [True] * 4
    assert masks["b"].tolist() == [False, True, False, False]


def test_stochastic_weight_averaging_is_the_mean_of_epochs(toy):
    kept = {}

    def note(run):
        kept[run.epoch] = jax.tree.map(np.array, run.state.params)

    averaging = train.StochasticWeightAveraging(0.02, swa_epoch_start=2, annealing_epochs=2)
    task, data = toy.task(optax.sgd, 0.1, norm=True), toy.data(16)
    callbacks = [train.LambdaCallback(on_epoch_end=note), averaging]
    fit = toy.trainer(callbacks=callbacks).fit(task, data, until=train.Epochs(5))
    mean = jax.tree.map(lambda *xs: np.mean(xs, 0, float), *(kept[n] for n in (2, 3, 4, 5)))
    for got, want in zip(
        jax.tree.leaves(fit.state.eval_variables["params"]), jax.tree.leaves(mean), strict=True
    ):
        np.testing.assert_allclose(got, want, rtol=1e-7, atol=1e-7)
    # The rate of an epoch's last step: constant, then along a cosine of 4 steps to 0.02.
    cosine = [0.02 + 0.08 * (1 + np.cos(np.pi * step / 4)) / 2 for step in (1, 3)]
    assert rates(fit) == pytest.approx([0.1, 0.1, *cosine, 0.02])

    x, _ = toy.arrays(16)
    hidden = jax.tree.map(np.asarray, fit.state.eval_variables["params"]["hidden"])
    h = np.tanh(x @ hidden["kernel"] + hidden["bias"])
    batches = [h[np.sort(rows)] for rows in np.split(data.order(0), 2)]
    stats = fit.state.variables["batch_stats"]["norm"]
    np.testing.assert_allclose(stats["mean"], np.mean([b.mean(0) for b in batches], 0), atol=1e-5)
    np.testing.assert_allclose(stats["var"], np.mean([b.var(0) for b in batches], 0), atol=1e-5)


AVERAGES = {
    "ema": lambda: train.EMAWeightAveraging(decay=0.5, update_starting_at_epoch=2),
    "swa": lambda: train.StochasticWeightAveraging(0.02, swa_epoch_start=3, annealing_epochs=2),
}


@pytest.mark.parametrize("name", AVERAGES)
def test_averages_are_used_everywhere_once_they_begin_and_resume_exactly(toy, tmp_path, name):
    data, until = toy.data(20, shuffle=False), train.Epochs(5)  # of 3 steps, the last one short
    task = toy.task(optax.sgd, 0.1, norm=True)
    x, y = data.arrays

    at = {"stop": None}

    def away(run):
        if run.step == at["stop"]:
            run.request_stop("taken away", now=True)

    callbacks = [AVERAGES[name](), train.LambdaCallback(on_step_end=away)]
    trainer = toy.trainer(callbacks=callbacks, dir=tmp_path)
    saving = toy.trainer(callbacks=[*callbacks, train.ModelCheckpoint()], dir=tmp_path)

    def check(state, variables):
        """All that measures, predicts and exports does it with `variables`."""
        want = np.asarray(task.model.apply(variables, x))
        np.testing.assert_allclose(trainer.predict(task, data, state), want, rtol=1e-5, atol=1e-6)
        loss = pytest.approx(((want - y) ** 2).mean(), rel=1e-5)
        assert trainer.validate(task, data, state)["val/loss"] == loss
        assert trainer.test(task, data, state)["test/loss"] == loss
        toy.equal(train.load_variables(tmp_path), variables)
        nn.save(tmp_path / "exported.safetensors", state.eval_variables)
        toy.equal(nn.load(tmp_path / "exported.safetensors", variables)[0], variables)
        return loss

    whole = trainer.fit(task, data, until=until, val=data)
    for at["stop"] in (2, 10, None):  # before it begins, and while there is one
        part = saving.fit(task, data, until=until, val=data)
        if at["stop"] == 2:
            assert int(part.state.average.count) == 0
            check(part.state, part.state.variables)
    toy.equal(part.state, whole.state)
    assert part.history["val/loss"] == whole.history["val/loss"]
    averaged = part.state.eval_variables
    assert not np.array_equal(averaged["params"]["out"]["bias"], part.state.params["out"]["bias"])
    loss = check(part.state, averaged)
    assert name == "swa" or part.history.last("val/loss") == loss  # that ends with new statistics
    if name == "swa":  # a run that has ended, and computed statistics, goes on as if it had not
        for resume, epochs in (("overwrite", 4), ("auto", 5)):
            part = saving.fit(task, data, until=train.Epochs(epochs), resume=resume)
        toy.equal(part.state, whole.state)


def test_an_average_by_callback_is_that_of_the_task(toy):
    data, until = toy.data(16), train.Epochs(2)
    callback = train.EMAWeightAveraging(decay=0.5, update_starting_at_epoch=1)
    one = toy.trainer(callbacks=[callback]).fit(toy.task(), data, until=until)
    average = train.Average(0.5, start=2)
    two = toy.trainer().fit(toy.task(average=average), data, until=until)
    toy.equal(one.state, two.state)
    assert int(one.state.average.count) == 2
    with pytest.raises(train.TrainError, match="begins twice"):
        train.EMAWeightAveraging(update_starting_at_step=1, update_starting_at_epoch=1)


def test_the_batch_size_is_the_largest_that_fits(toy):
    task = toy.task(width=64)
    need = train.step_bytes(task, toy.arrays(2), 64)
    finder = train.BatchSizeFinder(memory=need * 3 // 2, margin=0.1, init_val=64, max_val=128)
    seen = []
    note = train.LambdaCallback(on_step_end=lambda run: seen.append(run.samples))
    data = toy.data(128, batch_size=4)
    toy.trainer(callbacks=[finder, note]).fit(task, data, until=train.Steps(1))
    assert seen == [finder.batch_size] == [64]
    assert data.batch_size == 4  # the user's own is as it was
    with pytest.raises(train.TrainError, match="does not say how much memory"):
        toy.trainer(callbacks=[train.BatchSizeFinder()]).fit(task, data, until=train.Steps(1))
    with pytest.raises(train.TrainError, match="cannot set the batch size"):
        toy.trainer(callbacks=[finder]).fit(task, [toy.arrays(8)], until=train.Steps(1))


@pytest.mark.parametrize("limit", [1, 2, 3, 100, 127, 128, 5000])
def test_searching_for_the_largest(limit):
    asked = []

    def fits(n):
        asked.append(n)
        return n <= limit

    power = largest(fits, mode="power", init_val=2, max_val=1024)
    assert power == ([0, *[2**k for k in range(1, 11) if 2**k <= limit]])[-1]
    exact = largest(fits, mode="binsearch", init_val=2, max_val=1024)
    assert exact == (0 if limit < 2 else min(limit, 1024))
    assert max(asked) <= 1024


def test_the_data_may_be_replaced_before_the_run(toy):
    def other(run):
        run.source = as_source([toy.arrays(4)] * 3)

    fit = toy.trainer(callbacks=[train.LambdaCallback(on_setup=other)]).fit(
        toy.task(), toy.data(16), until=train.Epochs(1)
    )
    assert int(fit.state.step) == 3
