"""Inner results, parts replaced, shardings by path; and that modules are plain values."""

import copy
import dataclasses
import pickle
import warnings

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P
from layer_table import shapes

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import nn, random

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import flax.linen as linen

KEY = random.key(0)
X = np.random.default_rng(0).standard_normal((2, 4)).astype(np.float32)


def net(lib, decorate):
    class Inner(lib.Module):
        @decorate
        def __call__(self, x):
            return lib.relu(lib.Dense(4)(x))

    class Net(lib.Module):
        @decorate
        def __call__(self, x):
            shared = Inner()
            return lib.Dense(3)(shared(shared(x)))

    return Net()


OURS, THEIRS = net(nn, lambda f: f), net(linen, linen.compact)


@pytest.fixture(scope="module")
def variables():
    types = jaxcore.eval_shape(OURS.init, random.key(0), X)
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda t: rng.standard_normal(t.shape, np.float32), types)


@pytest.mark.parametrize("wrap", [lambda f: f, jaxcore.jit], ids=["eager", "jit"])
def test_intermediates_are_captured_as_in_linen(variables, wrap):
    dense = lambda module, method: type(module).__name__ == "Dense"
    for capture in (True, dense):
        run = lambda v, x: OURS.apply(v, x, capture_intermediates=capture)  # noqa: B023
        want = THEIRS.apply(variables, X, capture_intermediates=capture)
        got = wrap(run)(variables, X)
        assert jax.tree.structure(got) == jax.tree.structure(want)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), got, want)


def test_features_by_path(variables):
    out = nn.features(OURS, variables, X, at=["Inner_*/Dense_0", "Dense_0"])
    assert sorted(out) == ["Dense_0", "Inner_0/Dense_0"]
    np.testing.assert_allclose(out["Dense_0"], OURS.apply(variables, X), rtol=1e-6)
    with pytest.raises(nn.InputError, match=r"'Inner_1'.*'Dense_0', 'Inner_0', 'Inner_0/Dense_0'"):
        nn.features(OURS, variables, X, at="Inner_1")
    repeated = nn.Repeat(nn.Dense(4), 3)
    stacked = {"params": {"block": {"kernel": np.ones((3, 4, 4)), "bias": np.ones((3, 4))}}}
    assert nn.features(repeated, stacked, X, at="block")["block"].shape == (3, 2, 4)


def test_a_new_head_keeps_the_rest(variables):
    class Classifier(nn.Module):
        body: nn.Module
        heads: dict

        def __call__(self, x):
            return self.heads["a"](self.body(x))

    model = Classifier(nn.Sequential([nn.Dense(4), nn.relu, nn.Dense(4)]), {"a": nn.Dense(3)})
    new = nn.replace(model, "heads_a", nn.Dense(5))
    assert nn.replace(model, "body/layers_2", nn.Dense(7)).body.layers[2] == nn.Dense(7)
    assert new.heads["a"] == nn.Dense(5) and model.heads["a"] == nn.Dense(3)
    make = lambda model, seed: jax.tree.map(
        lambda t: jnp.full(t.shape, seed), jaxcore.eval_shape(model.init, random.key(0), X)
    )
    with pytest.raises(nn.WeightsError, match=r"heads_a/kernel: \(4, 3\), expected \(4, 5\)"):
        nn.load(make(model, 1.0), make(new, 2.0))
    carried, report = nn.load(make(model, 1.0), make(new, 2.0), strict=False)
    assert sorted(report.missing) == ["params/heads_a/bias", "params/heads_a/kernel"]
    assert carried["params"]["heads_a"]["bias"].tolist() == [2.0] * 5
    assert carried["params"]["body"]["layers_2"]["bias"].tolist() == [1.0] * 4
    with pytest.raises(nn.InputError, match=r"'head'.*\['body', 'heads_a'\].*dataclasses.replace"):
        nn.replace(model, "head", nn.Dense(5))


def test_what_is_no_module_is_not_replaced():
    model = nn.Sequential([nn.Dense(4), nn.relu])
    with pytest.raises(nn.InputError, match=r"no module in a field at 'layers_1'"):
        nn.replace(model, "layers_1", nn.tanh)


def test_input_channels():
    kernel = np.random.default_rng(0).standard_normal((3, 3, 3, 4)).astype(np.float32)
    variables = {"params": {"stem": {"kernel": kernel}}}
    grey = np.random.default_rng(1).standard_normal((1, 5, 5, 1)).astype(np.float32)
    layer = nn.Conv(4, (3, 3), use_bias=False)
    want = layer.apply({"params": variables["params"]["stem"]}, np.repeat(grey, 3, -1))
    for channels in (1, 2, 3, 6):
        other = nn.with_input_channels(variables, "stem", channels)["params"]["stem"]
        got = layer.apply({"params": other}, np.repeat(grey, channels, -1))
        if channels != 2:  # two of three repeat no whole set
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)
    with pytest.raises(nn.InputError, match="no kernel at 'params/head/kernel'"):
        nn.with_input_channels(variables, "head", 1)


def test_shardings_by_path(variables):
    mesh = jax.sharding.AbstractMesh((2, 4), ("data", "model"))
    kernel = P(None, "model")
    found = nn.shardings(variables, mesh, {"Inner_0/**/kernel": kernel, "**/bias": P()})
    params = found["params"]
    assert params["Inner_0"]["Dense_0"]["kernel"].spec == kernel
    assert params["Dense_0"]["kernel"].spec == P() == params["Dense_0"]["bias"].spec
    for rules, words in (
        ({"head/**": P()}, r"\['head/\*\*'\] match no variable"),
        ({"**/bias": kernel}, "2 axes"),
        ({"Dense_0/kernel": kernel}, r"an axis of 3 divided among \('model',\)"),
        ({"**/kernel": P("tensor")}, "the axis 'tensor'"),
    ):
        with pytest.raises(nn.InputError, match=words):
            nn.shardings(variables, mesh, rules)
    one = jax.make_mesh((1,), ("model",))
    placed = jaxcore.device_put(variables, nn.shardings(variables, one, {"**/kernel": kernel}))
    np.testing.assert_allclose(OURS.apply(placed, X), OURS.apply(variables, X), rtol=1e-6)


def test_a_summary_is_text_and_html():
    table = nn.Sequential([nn.Dense(4), nn.relu]).summary(X)
    html = table._repr_html_()
    assert html.count("<tr>") == 3 and html.startswith("<table>") and "layers_0" in html
    assert "padding-left:1.5em" in html and ">20</td>" in html
    assert str(table).splitlines()[0].split()[:2] == ["path", "module"]


def test_modules_are_plain_values():
    for model in (OURS, nn.models.vit_tiny(), nn.Sequential([nn.Dense(3), nn.relu])):
        for other in (copy.copy(model), copy.deepcopy(model)):
            assert other == model and hash(other) == hash(model) and repr(other) == repr(model)
    model = nn.models.minilm_l6()
    assert pickle.loads(pickle.dumps(model)) == model
    assert dataclasses.replace(model, num_layers=2) != model


# --- every module and every call -----------------------------------------------------------------


def perturbed(lib, decorate):
    class Model(lib.Module):
        @decorate
        def __call__(self, x):
            hidden = self.perturb("hidden", lib.Dense(4)(x))
            return (lib.Dense(1)(lib.relu(hidden)) ** 2).sum()

    return Model()


def test_gradients_of_intermediates_are_linens():
    ours, theirs = perturbed(nn, lambda f: f), perturbed(linen, linen.compact)
    variables = ours.init(KEY, X)
    assert shapes(variables) == shapes(jax.eval_shape(theirs.init, jax.random.key(0), X))
    got = jaxcore.jit(jaxcore.grad(lambda v: ours.apply(v, X)))(variables)
    want = jax.jit(jax.grad(lambda v: theirs.apply(v, X)))(variables)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    assert ours.apply({"params": variables["params"]}, X) == ours.apply(variables, X)
    with pytest.raises(nn.MissingVariableError, match="'perturbations/hidden'"):
        ours.apply({**variables, "perturbations": {"other": X}}, X)


class Two(nn.Module):
    head: nn.Module

    def encode(self, x):
        return nn.relu(x)

    def __call__(self, x):
        return self.head(self.encode(nn.Dense(4)(x)))


def test_methods_are_intercepted():
    model, calls = Two(nn.Dense(2)), []
    variables = model.init(KEY, X)

    def note(run, args, kwargs, context):
        calls.append(("/".join(context.module.path), context.method_name))
        return run(*args, **kwargs)

    def halved(run, args, kwargs, context):
        out = run(*args, **kwargs)
        return out / 2 if context.module.path == ("head",) else out

    plain = model.apply(variables, X)
    for wrap in (lambda f: f, jaxcore.jit):
        calls.clear()
        with nn.intercept_methods(halved), nn.intercept_methods(note):
            out = wrap(lambda v: model.apply(v, X))(variables)
        np.testing.assert_allclose(out, plain / 2, rtol=1e-5)
        assert calls == [
            ("", "__call__"),
            ("Dense_0", "__call__"),
            ("", "encode"),
            ("head", "__call__"),
        ]
    np.testing.assert_array_equal(model.apply(variables, X), plain)
    with pytest.raises(nn.InputError, match="None"):
        nn.intercept_methods(None)


def test_modules_and_sizes_by_path():
    model = Two(nn.Sequential([nn.Dense(2), nn.Dense(3, use_bias=False)]))
    found = nn.modules(model, jaxcore.ShapeDtypeStruct(X.shape, X.dtype))
    assert list(found) == ["", "Dense_0", "head", "head/layers_0", "head/layers_1"]
    assert found[""] == model and found["head/layers_1"] == nn.Dense(3, use_bias=False)
    params = jaxcore.eval_shape(model.init, KEY, X)["params"]
    width = X.shape[-1]
    count = (width + 1) * 4 + (4 + 1) * 2 + 2 * 3
    assert nn.parameter_count(params) == count
    half = jax.tree.map(lambda v: jax.ShapeDtypeStruct(v.shape, jnp.bfloat16), params)
    assert nn.parameter_bytes(half) == 2 * count


def test_compute_dtypes_by_path_and_class():
    class Dtypes(nn.Module):
        def __call__(self, x):
            y = nn.Dense(2, name="body")(x)
            z = nn.LayerNorm()(y)
            head = nn.MLP([2, 2], name="head")(z)
            own = nn.Dense(2, dtype="float32")(y)
            return [v.dtype.name for v in (y, z, head, own)]

    model = Dtypes()
    rules = {"**": jnp.bfloat16, nn.LayerNorm: jnp.float32, "head": jnp.float16}
    variables = model.init(KEY, X, dtype=rules)
    assert {v.dtype.name for v in jax.tree.leaves(variables)} == {"float32"}
    assert model.apply(variables, X, dtype=rules) == ["bfloat16", "float32", "float16", "float32"]
    assert model.apply(variables, X, dtype={"body": "bfloat16"})[0] == "bfloat16"
    with pytest.raises(nn.InputError, match="rule 3"):
        model.apply(variables, X, dtype={3: jnp.float32})
