"""Every mistake: where it is, what was got, what was expected, what to do."""

from __future__ import annotations

import operator
import subprocess
import sys
from pathlib import Path

import pytest
from layer_table import refused

import jaxcore
import jaxcore.nn as nn
import jaxcore.numpy as jnp
from jaxcore import lax, random

KEY = random.key(0)
X = jnp.ones((2, 3))


class Outer(nn.Module):
    inner: nn.Module

    def __call__(self, x, *args, **kwargs):
        return self.inner(x, *args, **kwargs)


class SameParameter(nn.Module):
    def __call__(self, x):
        self.param("w", nn.initializers.zeros, (2,))
        self.param("w", nn.initializers.zeros, (2,))


class SameModule(nn.Module):
    def __call__(self, x):
        nn.Dense(2, name="twin")(x)
        nn.Dense(2, name="twin")(x)


class FieldAndParameter(nn.Module):
    part: nn.Module = nn.Dense(2)

    def __call__(self, x):
        self.param("part", nn.initializers.zeros, (2,))


class WithSetup(nn.Module):
    def setup(self):
        self.part = nn.Dense(2)

    def __call__(self, x):
        return self.part(x)


class SlashInName(nn.Module):
    def __call__(self, x):
        return nn.Dense(2, name="a/b")(x)


OUTSIDE = nn.Dense(3)


class Stranger(nn.Module):
    def __call__(self, x):
        return OUTSIDE(x)


class Entered(nn.Module):
    def __call__(self, x):
        return x

    def decode(self, x):
        return nn.Dense(2)(x)


class DataInit(nn.Module):
    def __call__(self, x):
        return self.param("mean", lambda key: x.mean(0))


class Within(nn.Module):
    """Runs a layer inside a transformation that the module starts itself."""

    how: str
    layer: nn.Module

    def __call__(self, x):
        run = self.layer
        if self.how == "cond":
            return lax.cond(x.sum() > 0, run, lambda x: x, x)
        if self.how == "scan":
            return lax.scan(lambda x, _: (run(x), None), x, None, length=2)[0]
        if self.how == "while_loop":
            return lax.while_loop(lambda x: x.sum() > 0, run, x)
        return jaxcore.vmap(run)(x[None])


class FailingInit(nn.Module):
    def __call__(self, x):
        return self.param("w", nn.initializers.lecun_normal(), (3,))


class WritesElsewhere(nn.Module):
    def __call__(self, x):
        return nn.Repeat(Outer(nn.BatchNorm(name="given")), 2)(x)


def initialised(module, x=X):
    return module.init(KEY, x)


def apply(module, x=X, given=None, **options):
    def run():
        variables = initialised(module) if given is None else given
        return module.apply(variables, x, **options)

    return run


DENSE = Outer(nn.Dense(3))
TRAIN = {"train": True}

# name: (what raises, class, parts of the message)
MISTAKES = {
    "rng stream": (
        apply(Outer(nn.Dropout(0.5)), **TRAIN),
        nn.MissingRngError,
        ["inner (Dropout)", "'dropout'", "Streams given: none", "rngs={'dropout': key}"],
    ),
    "rng stream, others given": (
        apply(Outer(nn.Dropout(0.5)), rngs={"noise": KEY}, **TRAIN),
        nn.MissingRngError,
        ["Streams given: 'noise'"],
    ),
    "no params stream": (
        lambda: DENSE.init({"dropout": KEY}, X),
        nn.MissingRngError,
        ["inner", "'kernel'", "'params'", "init(key, ...)"],
    ),
    "not a key": (
        lambda: DENSE.init("seed", X),
        nn.InputError,
        ["rngs is of type str", "random.key(0)"],
    ),
    "collection": (
        apply(DENSE, given={"batch_stats": {}}),
        nn.MissingVariableError,
        ["inner (Dense)", "'params/kernel'", "collections given: 'batch_stats'", "model.init"],
    ),
    "bare params": (
        lambda: DENSE.apply(initialised(DENSE)["params"], X),
        nn.MissingVariableError,
        ["{'params': params}"],
    ),
    "parameter": (
        apply(DENSE, given={"params": {"inner": {"weights": X}}}),
        nn.MissingVariableError,
        ["'params/inner/kernel'", "'params/inner' holds 'weights'"],
    ),
    "the input for the key": (
        lambda: DENSE.init(X),
        nn.InputError,
        ["rngs is of type float32[2,3]", "init(key, x)"],
    ),
    "classes as floats": (
        lambda: nn.losses.softmax_cross_entropy(X, X[:, 0]),
        nn.InputError,
        ["(2,)", "float32", "labels.astype(jnp.int32)", "(2, 3)"],
    ),
    "no variables": (
        lambda: DENSE.apply(X),
        nn.InputError,
        ["Outer.apply: variables is of type", "{'params': {...}}"],
    ),
    "shape of a parameter": (
        apply(DENSE, given={"params": {"inner": {"kernel": jnp.ones((4, 3)), "bias": X[0]}}}),
        nn.ParameterShapeError,
        ["'params/inner/kernel'", "(4, 3)", "Expected (3, 3)"],
    ),
    "other width": (
        apply(DENSE, jnp.ones((2, 5))),
        nn.ParameterShapeError,
        ["inner (Dense)", "(3, 3)", "Expected (5, 3)", "last axis"],
    ),
    "other channels": (
        lambda: nn.Conv(2, (3,)).apply(initialised(nn.Conv(2, (3,)), X[None]), X[None, :, :2]),
        nn.ParameterShapeError,
        ["<root> (Conv)", "(3, 3, 2)", "Expected (3, 2, 2)"],
    ),
    "other channels of statistics": (
        lambda: nn.BatchNorm().apply(initialised(nn.BatchNorm()), X[:, :2]),
        nn.ParameterShapeError,
        ["<root> (BatchNorm)", "variable 'batch_stats/mean'", "(3,)", "Expected (2,)"],
    ),
    "parameter name twice": (
        lambda: initialised(Outer(SameParameter())),
        nn.NameInUseError,
        ["inner (SameParameter)", "'w'", "a parameter has it already", "another name"],
    ),
    "module name twice": (
        lambda: initialised(SameModule()),
        nn.NameInUseError,
        ["<root> (SameModule)", "'twin'", "call it twice"],
    ),
    "field and parameter": (
        lambda: initialised(FieldAndParameter()),
        nn.NameInUseError,
        ["'part'", "the field's Dense"],
    ),
    "slash in a name": (
        lambda: initialised(SlashInName()),
        nn.InputError,
        ["'a/b'", "without '/'"],
    ),
    "rank": (
        lambda: initialised(Outer(nn.Dense(2)), jnp.ones(())),
        nn.InputError,
        ["inner (Dense)", "shape ()", "Expected (..., features)"],
    ),
    "rank of an image": (
        lambda: initialised(nn.Conv(2, (3, 3)), X),
        nn.InputError,
        ["<root> (Conv)", "(2, 3)", "(batch, *spatial, channels)", "x[..., None]"],
    ),
    "groups": (
        lambda: initialised(nn.Conv(4, (3,), feature_group_count=2), jnp.ones((1, 4, 3))),
        nn.InputError,
        ["feature_group_count=2", "3 input channels"],
    ),
    "padding": (
        lambda: initialised(nn.Conv(4, (3,), padding="FULL"), jnp.ones((1, 4, 3))),
        nn.InputError,
        ["'FULL'", "'SAME'"],
    ),
    "immutable": (
        apply(Outer(nn.BatchNorm()), **TRAIN),
        nn.ImmutableVariableError,
        ["inner (BatchNorm)", "'batch_stats/mean'", "mutable=['batch_stats']", "train=False"],
    ),
    "outside": (
        lambda: nn.Dense(3)(X),
        nn.UnboundModuleError,
        ["Dense is called outside init and apply", "module.apply(variables, x)"],
    ),
    "param outside": (
        lambda: nn.Dense(3).param("w", nn.initializers.zeros, (1,)),
        nn.UnboundModuleError,
        ["Dense.param('w')", "inside the module's own methods"],
    ),
    "mode outside": (lambda: Entered().training, nn.UnboundModuleError, ["Entered.training"]),
    "not owned": (
        lambda: initialised(Stranger()),
        nn.UnboundModuleError,
        ["<root> (Stranger)", "Dense", "dataclass field"],
    ),
    "automatic name in an entered method": (
        lambda: Entered().init(KEY, X, method="decode"),
        nn.UnboundModuleError,
        ["'decode'", "Dense", "name="],
    ),
    **{
        f"new parameter inside {how}": (
            apply(Outer(Within(how, nn.Dense(3))), given={}, mutable=True, rngs=KEY),
            nn.ImmutableVariableError,
            ["inner/layer", "'params/kernel' is written inside a transformation", "nn.Repeat"],
        )
        for how in ("cond", "scan", "while_loop", "vmap")
    },
    **{
        f"state inside {how}": (
            apply(Outer(Within(how, nn.BatchNorm())), mutable=["batch_stats"], **TRAIN),
            nn.ImmutableVariableError,
            ["inner/layer", "'batch_stats/mean'", "write it outside"],
        )
        for how in ("cond", "scan", "while_loop", "vmap")
    },
    "shapes where data are needed": (
        lambda: DataInit().init(KEY, jaxcore.ShapeDtypeStruct((2, 3), jnp.float32)),
        nn.InputError,
        ["['params/mean']", "pass a real batch"],
    ),
    "train is traced": (
        lambda: jaxcore.jit(lambda t: Entered().apply({}, X, train=t))(True),
        nn.InputError,
        ["Python bool", "static_argnames='train'"],
    ),
    "no such method": (
        lambda: Entered().apply({}, X, method="encode"),
        nn.InputError,
        ["Entered has no method 'encode'"],
    ),
    "mutable": (apply(Entered(), mutable=[1]), nn.InputError, ["mutable=[1]", "['batch_stats']"]),
    "rate": (apply(nn.Dropout(2.0)), nn.InputError, ["rate=2.0", "from 0 to 1"]),
    "float tokens": (lambda: initialised(nn.Embed(3, 2)), nn.InputError, ["float32", "integers"]),
    "heads": (
        lambda: initialised(nn.MultiHeadAttention(2)),
        nn.InputError,
        ["qkv_features=3", "num_heads=2"],
    ),
    "repeat changes the width": (
        lambda: initialised(nn.Repeat(nn.Dense(4), 2)),
        nn.InputError,
        ["<root> (Repeat)", "(2, 3)", "(2, 4)", "outside of Repeat"],
    ),
    "repeat, unstacked parameters": (
        apply(nn.Repeat(nn.Dense(3), 2), given={"params": {"block": {"bias": jnp.ones(3)}}}),
        nn.ParameterShapeError,
        ["'params/block/bias'", "(3,)", "2 layers stacked"],
    ),
    "vmap of another size": (
        lambda: initialised(nn.Vmap(nn.Dense(3), 4)),
        nn.InputError,
        ["<root> (Vmap)", "(2, 3)", "n=4", "in_axes=None"],
    ),
    "vmap axes": (
        lambda: initialised(nn.Vmap(nn.Dense(3), 2, in_axes=(0, 1))),
        nn.InputError,
        ["in_axes=(0, 1)", "1 positional arguments"],
    ),
    "empty sequential": (lambda: initialised(nn.Sequential([])), nn.InputError, ["no layers"]),
    "pool": (lambda: nn.max_pool(X, (2, 2)), nn.InputError, ["(2, 3)", "2 spatial axes"]),
    "labels against (n, 1)": (
        lambda: nn.losses.squared_error(jnp.ones((4, 1)), jnp.ones(4)),
        nn.InputError,
        ["(4,)", "(4, 1)", "equal shapes"],
    ),
    "float labels": (
        lambda: nn.losses.softmax_cross_entropy_with_integer_labels(X, X[:, 0]),
        nn.InputError,
        ["float32", "softmax_cross_entropy"],
    ),
    "merge": (
        lambda: nn.merge({"a": {"b": 1}}, {"a": {"b": 2}}),
        nn.InputError,
        ["'a/b'", "disjoint"],
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake(name):
    run, kind, parts = MISTAKES[name]
    refused(run, parts, kind)


def test_an_initialisers_own_error_says_for_which_parameter():
    with pytest.raises(ValueError) as caught:
        initialised(Outer(FailingInit()))
    assert "'params/inner/w'" in "\n".join(caught.value.__notes__)


def test_the_bare_name_is_refused():
    folder = Path(nn.__file__).resolve().parent
    code = f"import sys; sys.path.insert(0, {str(folder.parent)!r}); import nn"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "from jaxcore import nn" in result.stderr


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        (lambda: WithSetup().init(KEY, X), "WithSetup.part .* module's setup.*fields of the class"),
        (lambda: nn.Linear, "'jaxcore.nn' has no attribute 'Linear'; write nn.Dense"),
        (lambda: nn.Dens, "'jaxcore.nn' has no attribute 'Dens'$"),
    ],
)
def test_a_name_that_is_not_there(mistake, words):
    with pytest.raises(AttributeError, match=words):
        mistake()


def test_names_of_other_libraries_stand_for_names_of_ours():
    from jaxcore.nn import other_names

    for other, name in other_names._HERE.items():
        assert other not in nn.__all__
        assert operator.attrgetter(name)(nn)


def test_a_name_of_jax_whose_value_is_none_is_there():
    assert jnp.newaxis is None
