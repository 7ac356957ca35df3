"""From `tx`, `lr` and `freeze` to groups of parameters."""

import numpy as np
import optax
import pytest

import jaxcore.numpy as jnp
from jaxcore import train
from jaxcore.train.optimizer import Optimizer, learning_rates

PARAMS = {
    "encoder": {"kernel": np.ones((2, 2), np.float32), "bias": np.ones(2, np.float32)},
    "head": {"kernel": np.full((2, 3), 2.0, np.float32), "bias": np.ones(3, np.float32)},
}
SGD = optax.sgd(0.1)


def optimizer(tx=SGD, lr=None, freeze=()):
    return Optimizer.of(tx, lr, freeze)


def paths(tree):
    return {f"{layer}/{name}" for layer, leaves in tree.items() for name in leaves}


def test_split_and_join_are_inverse(toy):
    ours = optimizer({"**/bias": SGD, "head/**": SGD, "**": SGD}, freeze=("encoder/kernel",))
    active, held = ours.split(PARAMS)
    assert paths(active["**/bias"]) == {"encoder/bias", "head/bias"}  # the first match wins
    assert paths(active["head/**"]) == {"head/kernel"}
    assert paths(active["**"]) == set()
    assert paths(held) == {"encoder/kernel"}
    toy.equal(ours.join(active, held), PARAMS)
    only, others = ours.split(PARAMS, ("head/**",))
    assert list(only) == ["head/**"]
    toy.equal(ours.join(only, others), PARAMS)


def test_a_group_that_is_frozen_as_a_whole_is_left_out(toy):
    ours = optimizer({"encoder/**": SGD, "**": SGD}, freeze=("encoder/**",))
    active, held = ours.split(PARAMS)
    assert list(active) == list(ours.init(PARAMS)) == ["**"]
    toy.equal(ours.join(active, held), PARAMS)
    with pytest.raises(train.TrainError, match="`tx` matches no parameter"):
        optimizer({"encoder": SGD, "encoder/**": SGD, "**": SGD}, freeze=("head/**",)).split(PARAMS)


def test_state_is_made_for_trained_leaves_only():
    state = optimizer({"head/**": optax.adam(0.1), "**": SGD}, freeze=("**/bias",)).init(PARAMS)
    assert paths(state["head/**"][0].mu) == {"head/kernel"}


def test_clipping_sees_trained_leaves_only():
    # The norm of the head's gradient is 5; with the frozen encoder's it would be far above.
    tx = optax.chain(optax.clip_by_global_norm(5.0), optax.sgd(1.0))
    ours = optimizer(tx, freeze=("encoder/**", "head/bias"))
    active, _ = ours.split(PARAMS)
    gradient = {"**": {"head": {"kernel": np.array([[3, 0, 0], [4, 0, 0]], np.float32)}}}
    (new, _), added = ours.update(gradient, ours.init(PARAMS), active, jnp.float32(0))
    np.testing.assert_allclose(new["**"]["head"]["kernel"], [[-1, 2, 2], [-2, 2, 2]])
    assert float(optax.tree.norm(added)) == pytest.approx(5.0)


def test_rates_that_are_logged():
    def rates(tx, lr=0.5):
        return {k: float(v) for k, v in learning_rates(optimizer(tx, lr).init(PARAMS)).items()}

    assert rates(optax.sgd) == {"learning_rate": 0.5}
    assert rates({"head/**": optax.sgd, "**": train.inject(optax.sgd, 0.25)}) == {
        "learning_rate/head/**": 0.5, "learning_rate/**": 0.25,
    }  # fmt: skip
    assert learning_rates(optimizer().init(PARAMS)) == {}


def test_a_transformation_that_asks_for_the_loss():
    plateau = optax.contrib.reduce_on_plateau(factor=0.5, patience=1, cooldown=0)
    ours = optimizer(optax.chain(optax.sgd(1.0), plateau))
    state, (active, _) = ours.init(PARAMS), ours.split(PARAMS)
    for value, scale in ((1.0, 1.0), (0.5, 1.0), (0.5, 0.5)):
        (_, state), _ = ours.update(active, state, active, jnp.float32(value))
        assert float(state["**"][1].scale) == scale


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"freeze": "head/**"}, ["single string", "freeze=('head/**',)"]),
        ({"lr": 0.1}, ["learning rate already", "tx=optax.adamw, lr=1e-3"]),
        ({"tx": optax.adam}, ["group '**'", "lr=None", "add lr=1e-3"]),
        ({"tx": "adam", "lr": 0.1}, ["`tx`", "str: 'adam'", "the factory optax.adam"]),
        ({"tx": 3}, ["`tx`", "int: 3", "optax.adam(1e-3)"]),
        ({"tx": {"head/**": None, "**": SGD}}, ["group 'head/**'", "NoneType"]),
    ],
)
def test_settings_that_do_not_fit(kwargs, words):
    with pytest.raises(train.TrainError) as error:
        optimizer(**kwargs)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("kwargs", "only", "words"),
    [
        ({"freeze": ("decoder/**",)}, None, ["`freeze`", "'decoder/**'", "encoder/kernel"]),
        ({"tx": {"decoder/**": SGD, "**": SGD}}, None, ["`tx`", "'decoder/**'"]),
        ({"tx": {"head/**": SGD}}, None, ["no group", "encoder/bias, encoder/kernel", "'**'"]),
        ({}, ("head/**",), ["unknown group", "'head/**'", "['**']"]),
    ],
)
def test_globs_that_do_not_fit(kwargs, only, words):
    with pytest.raises(train.TrainError) as error:
        optimizer(**kwargs).split(PARAMS, only)
    for word in words:
        assert word in str(error.value)


def test_a_factory_that_gives_no_transformation():
    with pytest.raises(train.TrainError, match=r"the factory did not give[\s\S]*float"):
        optimizer(lambda lr: 0.5, 0.1).init(PARAMS)
