"""Files of weights: names and layouts both ways, complete reports, and nothing is executed."""

import base64
import io
import json
import pickle
import zipfile
import zlib
from pathlib import Path

import jax
import ml_dtypes
import numpy as np
import pytest

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import nn, random
from jaxcore.nn.weights.files import open_weights
from jaxcore.nn.weights.safetensors import load_arrays, save_arrays

# What torch.save wrote of {"model": {"fc.weight": arange(12).reshape(3, 4).t(), "fc.bias": bfloat16
# Parameter arange(4), "count": 7}, "epoch": 3, "lr": 0.1}; compressed, in letters.
STATE_DICT = (
    "c-oznNpI6Y6vrof;<nI@tx%vWQYs*|o29N;+8SgIMxqS@MO-4+nI;x)oaao~q)L@gS&m3t;DGo9NC*kUtp~mU91w>d"
    "kT@Vth#NPUvD;ufO#>a}dE{vRzxTK2z45FP3L_Mcqn0s%cA`2_2`-j&jf|C4qNZv$3|Z<z*Z+>?;1Zx@AwmU<W(gY*"
    "&@|I9uts#VTIViXC2Zl+1xnx`IGTr0vXG!_7qrwZtd}bU!WuCxt&%D>h;G!mqJ`%hx=|_;T&<f{@#Z)Okz}$EqoO)p"
    "sg^NB9SJ8Jrb@0je{v8j1n3$b;)M{MwORubN;d&+PC-go3EhV-C7^`wL-(T!Gtxs~M;><CVCrUGSL@K*#!F4L)J06N"
    "#X(<%x~Xh9kZcP=u4$s*HX*=3C82}~4BE+8V3!hDf!$8xJp}gVVc$dhX6OOz&%*)x{b^>SN?_QN;F4J_H{l0u_&6M*"
    "@Bo3s6h1oYKt~81$-~ix4Z<~3tH3cOR0z^L!-C@%r`|nf<5?p$tHk0ze?NKrin3VDwk?1m6mu6qYQeM?RZ_f(tvcOX"
    "SqiZ_5E$?6kF|Tu8jJS4VU+Rk*0-~$8hW|9h^s`Fcz0?2)5v9*fvH>Yojq%CO9O-GjN8Ec9fD0(pRy$WcixR*=!6)U"
    "d0097bzhWbiEink51saR)fg{J6WcZ5P?x9ZWt#qIEYo;FW0l4i8fXTgUK)pK@H5Qm?WKitJnNMXPWxJ%3bNFLeEDha"
    ">FH_4eO+FA$w2WA+{qU1xGZJ2_Xc9?RF=Q?>6_U(e?Jo4`J3gO*_MGc$1;C-UcTD7{zlN4rvdCouVYK69dK7=2WC+("
    "$<m4cF~W<P$&4t9nTg3<md}V2=`1hsVpb5dxokR@&I)NEEs8nj^8NYMH%aOvX}b(CvrV7wBVnM$`6k~1Kfrwk40*(C"
    "UHfyy&vCc%u!l3}<FuR~ew4c-2R*2dUR3iW@Dtpf(&r&u3!&CN_RHN3;gzFst6cEQ-SzC17dDZP`{nMU?Dxn&d*y9*"
    "!d)&S9(_K7Iv4V+5{;f*7aR<oYKjxSc|PdOzakr*9JQPJ`nnD0qY{ZanuNXHS^Eb@u=Uj"
)


class Net(nn.Module):
    """One of every layout."""

    def __call__(self, x):
        x = nn.Conv(4, (2, 3), name="conv")(x)
        x = nn.BatchNorm(name="bn")(x).mean((1, 2))[:, None]
        x = x + nn.MultiHeadAttention(2, name="attention")(x)
        return nn.Dense(4, use_bias=False, name="fc")(x)


NAMES = nn.weights.NameMap(
    nn.weights.conv("conv", "conv"),
    nn.weights.batch_norm("bn", "bn"),
    nn.weights.dense("qkv", "attention/query", "attention/key", "attention/value"),
    nn.weights.dense("out", "attention/out", inputs=2),
    nn.weights.dense("fc", "fc", bias=False),
    prefixes=("net.", ""),
    ignored=("head.*",),
)
X = jax.ShapeDtypeStruct((1, 5, 5, 3), "float32")


@pytest.fixture(scope="module")
def variables():
    types = jaxcore.eval_shape(lambda: Net().init(random.key(0), jnp.zeros(X.shape)))
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda t: jnp.asarray(rng.standard_normal(t.shape, np.float32)), types)


def theirs(variables):
    """The variables as PyTorch has them, by hand."""
    p, s = jax.tree.map(np.asarray, (variables["params"], variables["batch_stats"]))
    heads = [p["attention"][n] for n in ("query", "key", "value")]
    return {
        "net.conv.weight": p["conv"]["kernel"].transpose(3, 2, 0, 1),
        "net.conv.bias": p["conv"]["bias"],
        "net.bn.weight": p["bn"]["scale"],
        "net.bn.bias": p["bn"]["bias"],
        "net.bn.running_mean": s["bn"]["mean"],
        "net.bn.running_var": s["bn"]["var"],
        "net.bn.num_batches_tracked": np.zeros((), np.int64),
        "net.qkv.weight": np.concatenate([h["kernel"].reshape(4, 4).T for h in heads]),
        "net.qkv.bias": np.concatenate([h["bias"].reshape(4) for h in heads]),
        "net.out.weight": p["attention"]["out"]["kernel"].reshape(4, 4).T,
        "net.out.bias": p["attention"]["out"]["bias"],
        "net.fc.weight": p["fc"]["kernel"].T,
    }


def equal(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_every_layout_goes_both_ways(variables, tmp_path):
    nn.save(tmp_path / "a", variables, NAMES)
    saved = load_arrays(tmp_path / "a")
    equal(dict(sorted(saved.items())), dict(sorted(theirs(variables).items())))
    again, report = nn.load(tmp_path / "a", variables, NAMES)
    equal(again, variables)
    assert report.ignored == ("net.bn.num_batches_tracked",) and report.complete
    bare = {name.removeprefix("net."): array for name, array in saved.items()}
    equal(nn.load(bare, variables, NAMES)[0], variables)


def test_own_paths_are_linens(variables, tmp_path):
    linen = pytest.importorskip("flax.traverse_util")
    for separator, tree in (("/", variables), (".", variables), (".", variables["params"])):
        save_arrays(tmp_path / "a", linen.flatten_dict(tree, sep=separator))
        like = variables if "params" in tree else {"params": variables["params"]}
        equal(nn.load(tmp_path / "a", like)[0], like)
    nn.save(tmp_path / "b", variables)
    equal(linen.unflatten_dict(load_arrays(tmp_path / "b"), sep="/"), variables)


def test_all_that_does_not_fit_is_listed(variables, tmp_path):
    file = theirs(variables)
    file["net.surplus"] = file.pop("net.fc.weight")
    file["net.other"] = file["net.head.weight"] = np.zeros(2)
    file["net.out.weight"] = file["net.out.weight"][:, :3]
    save_arrays(tmp_path / "a", file)
    with pytest.raises(nn.WeightsError) as caught:
        nn.load(tmp_path / "a", variables, NAMES)
    for words in (
        "2 in the file, not in the model:\n  net.surplus\n  net.other",
        "2 in the model, not in the file:\n  params/attention/out/kernel\n  params/fc/kernel",
        "1 of another shape:\n  net.out.weight: (4, 3), expected (4, 4) for params/attention/out",
        "strict=False",
    ):
        assert words in str(caught.value)
    part, report = nn.load(tmp_path / "a", variables, NAMES, strict=False)
    equal(part, variables)
    assert report.missing == ("params/attention/out/kernel", "params/fc/kernel")
    types = jax.tree.map(lambda v: jax.ShapeDtypeStruct(v.shape, v.dtype), variables)
    with pytest.raises(nn.WeightsError, match=r"like=model.init\(key, x\)"):
        nn.load(tmp_path / "a", types, NAMES, strict=False)
    with pytest.raises(nn.WeightsError, match="no row for .*params/more"):
        nn.save(tmp_path / "a", {"params": {**variables["params"], "more": jnp.ones(1)}}, NAMES)
    with pytest.raises(nn.WeightsError, match="are both 'params/fc/kernel'"):
        nn.load({**theirs(variables), "fc.weight": np.zeros((4, 4))}, variables, NAMES)


def test_arrays_are_bound_to_a_device_where_those_of_like_are(variables, tmp_path):
    nn.save(tmp_path / "w.safetensors", variables)
    for like in (variables, jax.device_put(variables, jax.devices()[0])):
        again, _ = nn.load(tmp_path / "w.safetensors", like)
        bound = [x.committed for x in jax.tree.leaves(again)]
        assert bound == [x.committed for x in jax.tree.leaves(like)]


def test_dtypes_are_those_of_like(variables, tmp_path):
    half = jax.tree.map(lambda v: v.astype(jnp.bfloat16), variables)
    nn.save(tmp_path / "a", half)
    assert load_arrays(tmp_path / "a")["params/fc/kernel"].dtype == ml_dtypes.bfloat16
    equal(nn.load(tmp_path / "a", half)[0], half)
    wide, _ = nn.load(tmp_path / "a", variables)
    assert wide["params"]["fc"]["kernel"].dtype == jnp.float32
    types = jax.tree.map(lambda v: jax.ShapeDtypeStruct(v.shape, v.dtype), variables)
    for like in (variables, types):
        equal(nn.load(tmp_path / "a", like, dtype=jnp.bfloat16)[0], half)


def test_a_model_in_several_files(variables, tmp_path):
    parts = list(theirs(variables).items())
    for number, part in enumerate((parts[:5], parts[5:])):
        save_arrays(tmp_path / f"{number}.safetensors", dict(part))
    index = {name: f"{int(i >= 5)}.safetensors" for i, (name, _) in enumerate(parts)}
    file = tmp_path / "model.safetensors.index.json"
    with pytest.raises(nn.WeightsError, match="2 safetensors files"):
        nn.load(tmp_path, variables, NAMES)
    file.write_text(json.dumps({"weight_map": index}))
    equal(nn.load(tmp_path, variables, NAMES)[0], variables)
    equal(nn.load(file, variables, NAMES)[0], variables)
    file.write_text(json.dumps({"weight_map": {"x": "../secret.safetensors"}}))
    with pytest.raises(nn.WeightsError, match="out of its folder"):
        nn.load(tmp_path, variables, NAMES)


def test_what_torch_saved_is_read_without_torch(tmp_path):
    file = tmp_path / "state_dict.pt"
    file.write_bytes(zlib.decompress(base64.b85decode(STATE_DICT)))
    source = open_weights(file)
    assert source.entries["model.fc.bias"].dtype == ml_dtypes.bfloat16
    read = {name: source.read(name) for name in source.entries}
    np.testing.assert_array_equal(read["model.fc.weight"], np.arange(12.0).reshape(3, 4).T)
    np.testing.assert_array_equal(read["model.fc.bias"].astype(np.float32), np.arange(4.0))
    assert read["model.count"].shape == () and read["model.count"] == 7
    like = {"params": {"fc": {"kernel": jnp.zeros((3, 4)), "bias": jnp.zeros(4)}}}
    names = nn.weights.NameMap(
        nn.weights.dense("fc", "fc"), prefixes=("model.",), ignored=("count",)
    )
    loaded, _ = nn.load(file, like, names)
    np.testing.assert_array_equal(loaded["params"]["fc"]["kernel"], np.arange(12.0).reshape(3, 4))


class Malicious:
    def __reduce__(self):
        return open, ("owned", "w")


def archive(path, pickled, data=b"\0" * 16):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a/data.pkl", pickled)
        file.writestr("a/data/0", data)


def reach(offset, shape, strides):
    """A pickle of a tensor in a storage of four floats."""
    out = io.BytesIO()
    text = (
        b"\x80\x02}X\x01\x00\x00\x00xctorch._utils\n_rebuild_tensor_v2\n("
        b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04tQ"
    )
    out.write(text + b"K%c" % offset)
    for numbers in (shape, strides):
        out.write(b"(" + b"".join(b"K%c" % n for n in numbers) + b"t")
    out.write(b"\x89}tRs.")
    return out.getvalue()


def test_a_pickle_runs_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    archive("a.pt", pickle.dumps({"x": Malicious()}))
    with pytest.raises(nn.WeightsError, match=r"asks for '\w+\.open'"):
        open_weights("a.pt")
    Path("b.pt").write_bytes(pickle.dumps(Malicious()))
    with pytest.raises(nn.WeightsError, match=r"torch.save\(model.state_dict\(\), path\)"):
        open_weights("b.pt")
    assert not Path("owned").exists()


def test_a_tensor_stays_within_its_storage(tmp_path):
    file = tmp_path / "a.pt"
    archive(file, reach(1, (3,), (1,)))
    assert open_weights(file).read("x").shape == (3,)
    for offset, shape, strides in ((2, (3,), (1,)), (0, (2, 2), (3, 1)), (0, (2,), (1, 1))):
        archive(file, reach(offset, shape, strides))
        with pytest.raises(nn.WeightsError, match="outside its storage|strides"):
            open_weights(file)


def test_haikus_parameters_and_averages():
    class Model(nn.Module):
        def __call__(self, x):
            x = nn.BatchNorm()(nn.Conv(2, (3, 3))(x))
            x = nn.Dense(3)(x.reshape(x.shape[0], -1))
            return nn.Dense(4)(x)

    like = jaxcore.eval_shape(lambda: Model().init(random.key(0), jnp.zeros((1, 2, 2, 1))))
    rng = np.random.default_rng(0)
    normal = lambda *shape: rng.standard_normal(shape).astype(np.float32)
    average = lambda: {"average": normal(1, 1, 1, 2), "hidden": normal(1, 1, 1, 2), "counter": 1}
    params = {
        "conv2_d": {"w": normal(3, 3, 1, 2), "b": normal(2)},
        "batch_norm": {"scale": normal(1, 1, 1, 2), "offset": normal(1, 1, 1, 2)},
        "linear": {"w": normal(8, 3), "b": normal(3)},
        "linear_1": {"w": normal(3, 4), "b": normal(4)},
    }
    state = {"batch_norm/~/mean_ema": average(), "batch_norm/~/var_ema": average()}
    found, report = nn.weights.from_haiku(params, state, like)
    assert report.complete
    np.testing.assert_array_equal(found["params"]["Dense_1"]["kernel"], params["linear_1"]["w"])
    mean = state["batch_norm/~/mean_ema"]["average"].reshape(2)
    np.testing.assert_array_equal(found["batch_stats"]["BatchNorm_0"]["mean"], mean)
    with pytest.raises(nn.WeightsError, match="params/Dense_1/kernel"):
        nn.weights.from_haiku({k: v for k, v in params.items() if k != "linear_1"}, state, like)


def test_a_module_without_names_says_so(variables):
    with pytest.raises(nn.InputError, match="has no map of names"):
        nn.load({}, Net())
    with pytest.raises(nn.InputError, match="no method `example`"):
        nn.load({}, Net(), NAMES)
    with pytest.raises(nn.InputError, match="Expected collections"):
        nn.load({}, {"kernel": jnp.ones(2)})
