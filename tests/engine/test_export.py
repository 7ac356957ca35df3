"""Export: round trips within the process and into another one, derivatives, symbolic shapes."""

import subprocess
import sys

import jax
import numpy as np
import pytest

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import export

X = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)
W = np.linspace(0, 1, 8, dtype=np.float32).reshape(4, 2)


@jaxcore.jit
def layer(w, x):
    return jnp.tanh(x @ w)


@jaxcore.jit
def model(params, x):
    """Calls, a scan, a cond, captured arrays: what a model is made of."""
    x = layer(params["w"], x)
    x = jaxcore.lax.scan(lambda c, row: (c + row, jnp.sin(c)), x[0], x)[1]
    x = jaxcore.lax.cond(x.sum() > 0, lambda x: x * 2, lambda x: x, x)
    return {"x": x + table[None], "loss": jnp.mean(x**2)}


table = jnp.arange(2.0)


def spec(*shape, dtype=np.float32):
    return jax.ShapeDtypeStruct(shape, dtype)


def assert_close(got, expected):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), got, expected)


def test_round_trip_with_gradient():
    exported = export.export(model)({"w": spec(4, 2)}, spec(3, 4))
    assert exported.fun_name == "model"
    assert [str(a) for a in exported.in_avals] == ["float32[4,2]", "float32[3,4]"]
    loaded = export.deserialize(exported.serialize(vjp_order=1))
    assert_close(loaded.call({"w": W}, X), model({"w": W}, X))

    def loss(call):
        return lambda w: call({"w": w}, X)["loss"]

    expected = jaxcore.grad(loss(model))(W)
    assert_close(jaxcore.grad(loss(loaded.call))(W), expected)
    assert_close(jaxcore.jit(jaxcore.grad(loss(loaded.call)))(W), expected)
    assert_close(jax.grad(loss(loaded.call))(W), expected)


def test_another_process_runs_it_without_the_source(tmp_path):
    (tmp_path / "model.bin").write_bytes(
        export.export(model)({"w": spec(4, 2)}, spec(3, 4)).serialize(vjp_order=1)
    )
    code = """
import jax, numpy, sys
from jax import export  # nothing of jaxcore is needed
loaded = export.deserialize(bytearray(open("model.bin", "rb").read()))
w, x = numpy.load("w.npy"), numpy.load("x.npy")
loss, grad = jax.value_and_grad(lambda w: loaded.call({"w": w}, x)["loss"])(w)
assert not any(name.startswith("jaxcore") for name in sys.modules)
numpy.save("grad.npy", grad)
"""
    np.save(tmp_path / "w.npy", W)
    np.save(tmp_path / "x.npy", X)
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    expected = jaxcore.grad(lambda w: model({"w": w}, X)["loss"])(W)
    assert_close(np.load(tmp_path / "grad.npy"), expected)


def test_a_batch_of_any_size():
    specs = export.symbolic_args_specs(({"w": W}, X), ({"w": "4, 2"}, "batch, 4"))
    loaded = export.deserialize(export.export(model)(*specs).serialize(vjp_order=1))
    assert str(loaded.out_avals[1]) == "float32[batch,2]"
    for n in (1, 3, 7):
        x = np.resize(X, (n, 4))
        assert_close(loaded.call({"w": W}, x), model({"w": W}, x))
        grad = jaxcore.grad(lambda w, x=x: loaded.call({"w": w}, x)["loss"])(W)
        assert_close(grad, jaxcore.grad(lambda w, x=x: model({"w": w}, x)["loss"])(W))


def attention(x):
    scores = jnp.einsum("bqd,bkd->bqk", x, x) / x.shape[-1] ** 0.5
    mask = jnp.tril(jnp.ones((x.shape[1], x.shape[1]), bool))
    scores = jnp.where(mask[None], scores, -jnp.inf)
    return jax.nn.softmax(scores) @ x


SYMBOLIC = {
    "attention": (attention, "b, s, 4", (2, 3, 4)),
    "mean and var": (lambda x: (x.mean(0), x.var(0), x.std()), "b, 4", (3, 4)),
    "indexing": (lambda x: (x[0], x[-1], x[1:], x[::-1], x[:, None, 1]), "b, 4", (3, 4)),
    "gather": (lambda x: x[jnp.argsort(x[:, 0])], "b, 4", (3, 4)),
    "update": (lambda x: (x.at[0].set(1.0), x.at[:, 1].add(2.0)), "b, 4", (3, 4)),
    "take": (lambda x: jnp.take(x, jnp.array([0, 1]), axis=0), "b, 4", (3, 4)),
    "sizes": (lambda x: jnp.ones(x.shape) * x.size + jnp.arange(4.0)[None], "b, 4", (3, 4)),
    "joined": (lambda x: jnp.concatenate([x, x]).reshape(-1), "b, 4", (3, 4)),
    "vmap of grad": (lambda x: jaxcore.vmap(jaxcore.grad(lambda r: r @ r))(x), "b, 4", (3, 4)),
    "loops": (
        lambda x: jaxcore.lax.while_loop(
            lambda x: x.sum() < 100, lambda x: jaxcore.lax.fori_loop(0, 2, lambda i, x: x + i, x), x
        ),
        "b, 4",
        (3, 4),
    ),
    "custom rules": (lambda x: jaxcore.grad(lambda x: jax.nn.relu(x).sum())(x), "b, 4", (3, 4)),
    "random": (lambda x: x + jax.random.normal(jax.random.key(0), x.shape), "b, 4", (3, 4)),
}


@pytest.mark.parametrize("name", SYMBOLIC)
def test_symbolic_shapes(name):
    f, shapes, sizes = SYMBOLIC[name]
    x = np.linspace(0.1, 2, int(np.prod(sizes)), dtype=np.float32).reshape(sizes)
    exported = export.export(jaxcore.jit(f))(*export.symbolic_args_specs((x,), (shapes,)))
    assert_close(exported.call(x), f(jnp.asarray(x)))


def test_several_platforms_at_once():
    exported = export.export(model, platforms=("cpu", "cuda", "tpu"))({"w": spec(4, 2)}, spec(3, 4))
    assert exported.platforms == ("cpu", "cuda", "tpu")
    loaded = export.deserialize(exported.serialize())
    assert_close(loaded.call({"w": W}, X), model({"w": W}, X))


def test_static_arguments_keys_and_names():
    f = jaxcore.jit(lambda x, key, n: x * n + jax.random.normal(key, x.shape), static_argnums=2)
    key = jax.random.key(1)
    exported = export.export(f)(spec(3, 4), jax.eval_shape(lambda: key), 2)
    assert_close(export.deserialize(exported.serialize()).call(X, key), f(X, key, 2))


def test_what_jax_jitted_is_exported_too():
    exported = export.export(jax.jit(lambda x: layer(W, x)))(spec(3, 4))
    assert_close(exported.call(X), layer(W, X))


def test_what_is_not_jitted_is_refused():
    with pytest.raises(ValueError, match=r"(?s)must be jitted.*Fix: export\(jaxcore.jit\(sin\)\)"):
        export.export(np.sin)


def test_callbacks_are_refused():
    f = jaxcore.jit(lambda x: (jaxcore.debug.print("{}", x), x)[1])
    with pytest.raises(NotImplementedError, match="(?s)calls back into Python.*Fix:"):
        export.export(f)(spec(3))


def test_an_operation_that_needs_a_size_says_so():
    (x,) = export.symbolic_args_specs((X,), ("b, 4",))
    with pytest.raises(Exception, match="requires a constant") as caught:
        export.export(jaxcore.jit(lambda x: np.arange(int(x.shape[0])) + x))(x)
    assert "symbolic shapes" in "".join(caught.value.__notes__)
