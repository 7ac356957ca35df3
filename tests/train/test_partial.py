"""What a changed model takes over of a checkpoint, and what is said of the rest."""

import jax
import numpy as np
import optax
import pytest

from jaxcore import nn, random, train
from jaxcore.train.checkpoint import checkpoint_path


class Old(nn.Module):
    def __call__(self, x):
        return nn.Dense(1, name="head")(nn.BatchNorm(name="norm")(nn.Dense(4, name="stem")(x)))


class New(nn.Module):
    """The stem and its statistics are called otherwise, the head is wider, a layer is new."""

    def __call__(self, x):
        x = nn.BatchNorm(name="scale")(nn.Dense(4, name="body")(x))
        return nn.Dense(2, name="head")(nn.Dense(4, name="extra")(x))


NAMES = {"stem": "body", "norm": "scale"}
X = np.ones((2, 3), np.float32)


def start(module, tx=optax.adam, lr=1e-2, **settings):
    """A state after one step, so that nothing of it is what a new one begins with."""
    task = train.Task(model=module, tx=tx, lr=lr, average=train.Average(0.9), **settings)
    state = train.init_state(task, random.key(0), X)
    numbers = iter(range(1, 99))
    return jax.tree.map(lambda x: x if str(x.dtype).startswith("key") else x + next(numbers), state)


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    state = start(Old())
    run_dir = tmp_path_factory.mktemp("old")
    return state, train.save_checkpoint(checkpoint_path(run_dir, 1), state, {})


def test_strict_lists_all_that_differs(old):
    new = start(New())
    with pytest.raises(train.CheckpointError, match="does not fit the state") as error:
        train.load_partly(old[1], new)
    for line in (
        "new: in the state, not in the checkpoint",
        "variables/params/body/kernel",
        "variables/batch_stats/norm/mean",
        "variables/params/head/bias: stored float32[1], the state has float32[2]",
        "fix:      give names={",
    ):
        assert line in str(error.value)


@pytest.mark.parametrize("of_run", [False, True])
def test_names_move_parameters_with_their_moments_and_averages(old, toy, of_run):
    state, path = old
    new = start(New(), lr=0.5)
    path = path.parent.parent if of_run else path
    got, report = train.load_partly(path, new, names=NAMES, strict=False)
    mu = lambda s: s.opt_state["**"].inner[0].mu
    for part in (lambda s: s.params, mu, lambda s: s.average.params):
        toy.equal(part(got)["body"], part(state)["stem"])
        toy.equal(part(got)["scale"], part(state)["norm"])
        toy.equal(part(got)["head"], part(new)["head"])  # another shape
        toy.equal(part(got)["extra"], part(new)["extra"])  # not stored
    toy.equal(got.variables["batch_stats"]["scale"], state.variables["batch_stats"]["norm"])
    toy.equal((got.step, got.key), (state.step, state.key))
    assert float(got.opt_state["**"].learning_rate) == float(state.opt_state["**"].learning_rate)
    assert "variables/params/stem/kernel -> variables/params/body/kernel" in report.renamed
    assert "average/params/extra/bias" in report.new and not report.dropped
    # Two parameters, each with two moments and an average, which has its rest.
    assert len(report.misshaped) == 10
    assert not report.complete and "10 of another shape or dtype:" in str(report)


def test_the_model_alone(old, toy):
    state, path = old
    new = start(Old(), tx=optax.sgd, lr=0.5)
    got, report = train.load_partly(path, new, only="variables")
    toy.equal(got, new.replace(variables=state.variables))
    assert report.complete and len(report.kept) == 8
    with pytest.raises(
        train.CheckpointError, match=r"`only` matches nothing[\s\S]*did you mean 'variables'"
    ):
        train.load_partly(path, new, only="variable")


def test_another_optimiser_begins_anew(old, toy):
    state, path = old
    new = start(Old(), tx=lambda lr: optax.sgd(lr, momentum=0.9))
    got, report = train.load_partly(path, new, strict=False)
    toy.equal(got.opt_state["**"].inner, new.opt_state["**"].inner)
    toy.equal(got.opt_state["**"].count, state.opt_state["**"].count)
    assert "opt_state/**/inner/0/trace/stem/bias" in report.new
    assert "opt_state/**/inner/0/mu/stem/bias" in report.dropped


def test_groups_go_on_from_where_their_parameters_were(old, toy, tmp_path):
    state, path = old
    two = start(New(), lr={"body/**": 1e-3, "**": 1e-2})
    got, _ = train.load_partly(path, two, names=NAMES, strict=False)
    before = state.opt_state["**"]
    for group, name, theirs in (("body/**", "body", "stem"), ("**", "scale", "norm")):
        toy.equal(got.opt_state[group].inner[0].nu[name], before.inner[0].nu[theirs])
        toy.equal(got.opt_state[group].inner[0].count, before.inner[0].count)
    # And back: parameters that were in two groups come together in neither's.
    both = train.save_checkpoint(tmp_path / "both", got, {})
    one, report = train.load_partly(
        both, start(New(), lr={"**/kernel": 0.1, "*/**": 0.1}), strict=False
    )
    assert "opt_state/**/kernel/inner/0/mu/body/kernel" in report.new
    assert "variables/params/body/kernel" in report.kept


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ({"stm": "body"}, ["not stored", "'stm'", "did you mean 'stem'"]),
        ({"stem": "bdy"}, ["the model does not have", "'bdy'", "did you mean 'body'"]),
        ({"stem/kernel": "head/kernel"}, ["one name", "stem/kernel", "head/kernel"]),
    ],
)
def test_names_that_are_wrong(old, names, words):
    with pytest.raises(train.CheckpointError) as error:
        train.load_partly(old[1], start(New()), names=names, strict=False)
    for word in words:
        assert word in str(error.value)


def test_shapes_alone_are_enough_where_all_is_stored(old, toy):
    state, path = old
    types = jax.eval_shape(lambda: state)
    toy.equal(train.load_partly(path, types)[0], state)
    with pytest.raises(train.CheckpointError, match=r"has no value[\s\S]*train.init_state"):
        train.load_partly(path, jax.eval_shape(lambda: start(New())), strict=False)


def test_a_run_goes_on_from_what_it_took_over(toy, tmp_path):
    data = toy.data(8)
    batch = next(iter(data))
    old = train.init_state(toy.task(), random.key(0), batch)
    train.save_checkpoint(checkpoint_path(tmp_path, 1), old, {})
    wide = toy.task(width=12)
    state = train.init_state(wide, random.key(1), batch)
    state, report = train.load_partly(tmp_path, state, only="variables", strict=False)
    assert report.kept == ("variables/params/out/bias",)
    toy.equal(state.params["out"]["bias"], old.params["out"]["bias"])
    fit = toy.trainer().fit(wide, data, until=train.Epochs(1), state=state)
    assert int(fit.state.step) == 1
