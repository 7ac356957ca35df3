"""Each proof model equals its original on the same weights, is saved as it was, and learns.

The originals ran once; see model_references.py.
"""

import jax
import model_references as references
import numpy as np
import pytest
from model_references import FOUND, MODELS, arrays

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import nn, random
from jaxcore.nn.weights.safetensors import load_arrays, save_arrays

models = nn.models
#: One layer of each is enough to learn, and compiles in a fraction of the time.
SMALL = {"num_layers": 1, "num_heads": 2, "mlp_features": 8}
LEARNERS = {
    "resnet18": models.ResNet((1,), num_classes=5, width=4),
    "resnet50": models.ResNet((1,), bottleneck=True, num_classes=5, width=4),
    "vit": models.ViT(16, 8, features=8, num_layers=1, num_heads=2, num_classes=5),
    "convnext": models.ConvNeXt((1,), (6,), num_classes=5),
    "bert": models.Bert(11, 8, **SMALL, dropout_rate=0.0),
    "gpt2": models.GPT2(11, 8, num_layers=1, num_heads=2, max_length=16),
    "llama": models.Llama(11, 8, **SMALL, num_kv_heads=1),
}


def inputs(name):
    if name == "bert":
        return jnp.asarray(references.TOKENS), jnp.asarray(references.MASK)
    if name in ("resnet18", "resnet50", "vit", "convnext"):
        return (jnp.asarray(references.image(16 if name == "vit" else 32)),)
    return (jnp.asarray(references.TOKENS),)


@pytest.mark.parametrize("name", MODELS)
def test_it_computes_what_the_original_does_and_is_saved_as_it_was(name, tmp_path):
    model, file = MODELS[name], tmp_path / "model.safetensors"
    save_arrays(file, arrays(name))
    variables, report = nn.load(file, model)
    assert report.complete
    out = jaxcore.jit(model.apply)(variables, *inputs(name))
    if name == "bert":
        out, pooled = out
        np.testing.assert_allclose(pooled, FOUND[name]["pooled"], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(out, FOUND[name]["output"], rtol=1e-4, atol=1e-4)

    nn.save(tmp_path / "again.safetensors", variables, model)
    again = load_arrays(tmp_path / "again.safetensors")
    assert sorted(again) == sorted(arrays(name))
    for key, array in arrays(name).items():
        np.testing.assert_array_equal(again[key], array)
        assert again[key].dtype == array.dtype


@pytest.mark.parametrize("name", LEARNERS)
def test_a_step_down_the_gradient_lowers_the_loss(name, rng):
    model, args = LEARNERS[name], inputs(name)
    types = jaxcore.eval_shape(model.init, random.key(0), *args)  # init itself compiles for long
    variables = jax.tree.map(lambda t: 0.3 * rng.standard_normal(t.shape, np.float32), types)
    params, rest = variables["params"], {k: v for k, v in variables.items() if k != "params"}

    def loss(params):
        variables = {"params": params, **rest}
        train = name.startswith("resnet")  # the batch's own averages
        out, _ = model.apply(variables, *args, train=train, mutable=["batch_stats"])
        out = out[1] if name == "bert" else out
        labels = jnp.arange(out.size // out.shape[-1]).reshape(out.shape[:-1]) % out.shape[-1]
        return nn.losses.softmax_cross_entropy(out, labels).mean()

    @jaxcore.jit
    def step(params):
        value, grads = jaxcore.value_and_grad(loss)(params)
        return value, jax.tree.map(lambda p, g: p - 0.02 * g, params, grads), grads

    before, smaller, grads = step(params)
    assert step(smaller)[0] < before
    touched = [bool((g != 0).any()) for g in jax.tree.leaves(grads)]
    assert sum(touched) > 0.8 * len(touched)


def test_models_name_what_is_wrong():
    with pytest.raises(nn.InputError, match=r"\(1, 8, 8, 3\).*16, 16"):
        MODELS["vit"].init(random.key(0), jnp.ones((1, 8, 8, 3)))
    for name in ("bert", "gpt2", "llama"):
        with pytest.raises(nn.InputError, match="at most 16"):
            MODELS[name].init(random.key(0), jnp.ones((1, 17), jnp.int32))
