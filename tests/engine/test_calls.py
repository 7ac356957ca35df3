"""Shared functions in the IR: blocks are traced each time, equal ones are one program."""

import threading

import jax
import numpy as np
import pytest

import jaxcore
import jaxcore.numpy as jnp
from jaxcore.transforms.linearize import linearize_program

X = np.array([0.3, -1.2, 2.1], np.float32)


def programs(f, *args):
    """The programs that the equations of `f` call, in order."""
    found = jaxcore.make_jaxpr(f)(*args)
    return [eq.params["program"] for eq in found.equations if eq.primitive.name == "call"]


def layer(w, x):
    return jnp.tanh(x * w) + x


def deep(n):
    def f(ws, x):
        for i in range(n):
            x = jaxcore.block(layer, ws[i], x, name="layer")
        return jnp.sum(x)

    return f


def test_equal_blocks_are_one_program_and_one_function():
    ws = [jnp.ones(3) * i for i in range(12)]
    called = programs(deep(12), ws, X)
    assert len(called) == 12 and len(set(called)) == 1
    text = jaxcore.jit(deep(12)).lower(ws, X).as_text()
    assert text.count("stablehlo.tanh") == 1
    assert text.count("call @layer") == 12


def test_transformed_blocks_are_shared_too():
    ws = [jnp.ones(3) * i for i in range(6)]
    step = jaxcore.grad(deep(6))
    called = set(programs(step, ws, X))  # a forward, and a backward with and without that of x
    assert len(called) == 3
    text = jaxcore.jit(step).lower(ws, X).as_text()
    assert text.count("stablehlo.tanh") <= 2
    batched = programs(jaxcore.vmap(step, (None, 0)), ws, X[None])
    assert len(set(batched)) == 4  # the cotangent that comes in first has no batch


def test_linearisation_is_memoised_on_the_program():
    program = programs(deep(1), [X], X)[0]
    assert linearize_program(program, (True, True)) is linearize_program(program, (True, True))
    assert linearize_program(program, (True, True)) is not linearize_program(program, (True, False))


def test_values_and_gradients_of_blocks():
    ws = [X * 0.1 * i for i in range(4)]

    def plain(ws, x):
        for w in ws:
            x = jax.numpy.tanh(x * w) + x
        return jax.numpy.sum(x)

    expected = jax.grad(plain, (0, 1))(ws, X)
    for transform in (lambda f: f, jaxcore.jit):
        found = transform(jaxcore.grad(deep(4), (0, 1)))(ws, X)
        for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected)):
            np.testing.assert_allclose(a, b, rtol=1e-5)


def test_block_reads_changed_outer_state():
    state = {"scale": 1.0}
    block = lambda x: x * state["scale"]

    def f(x):
        a = jaxcore.block(block, x, name="b")
        state["scale"] = 5.0
        return a, jaxcore.block(block, x, name="b")

    a, b = jaxcore.jit(f)(2.0)
    assert (float(a), float(b)) == (2.0, 10.0)


def test_block_that_appends_to_a_list_runs_every_time():
    seen = []

    def block(x):
        seen.append(len(seen))
        return x * 2

    jaxcore.jit(lambda x: jaxcore.block(block, jaxcore.block(block, x, name="b"), name="b"))(1.0)
    assert seen == [0, 1]


def test_block_closes_over_tracer_array_and_key():
    table = jax.numpy.arange(3.0)
    key = jax.random.key(7)

    def f(x, y):
        block = lambda z: z * y + table + jax.random.normal(key, (3,))
        return jaxcore.block(block, x, name="b") + jaxcore.block(block, x * 2, name="b")

    expected = 3 * X * 2.0 + 2 * table + 2 * jax.random.normal(key, (3,))
    np.testing.assert_allclose(jaxcore.jit(f)(X, 2.0), expected, rtol=1e-5)
    assert len(set(programs(f, X, 2.0))) == 1
    gradient = jaxcore.jit(jaxcore.grad(lambda y: f(X, y).sum()))(2.0)
    np.testing.assert_allclose(gradient, 3 * X.sum(), rtol=1e-5)


def test_captured_tracer_that_changes_under_one_function_object():
    captured = {}
    inner = jaxcore.jit(lambda x: x * captured["t"])

    def outer(t, u):
        captured["t"] = t
        a = inner(2.0)
        captured["t"] = u
        return a + inner(2.0)

    assert float(jaxcore.jit(outer)(3.0, 5.0)) == 16.0
    assert [float(g) for g in jaxcore.grad(outer, (0, 1))(3.0, 5.0)] == [2.0, 2.0]
    assert [float(g) for g in jaxcore.jit(jaxcore.grad(outer, (0, 1)))(3.0, 5.0)] == [2.0, 2.0]
    assert float(jaxcore.vmap(outer, (0, None))(np.array([3.0], np.float32), 5.0)[0]) == 16.0


def test_scalars_of_different_type_stay_apart():
    def scale(by):
        return lambda x: jaxcore.block(lambda y: y * by, x, name="scale")

    x = np.arange(3)
    one = jaxcore.jit(lambda x: scale(1)(x))(x)
    true = jaxcore.jit(lambda x: scale(True)(x))(x)
    half = jaxcore.jit(lambda x: scale(1.0)(x))(x)
    assert one.dtype == true.dtype == np.int32 and half.dtype == np.float32
    both = jaxcore.jit(lambda x: (scale(1)(x), scale(1.0)(x), scale(True)(x)))(x)
    assert [b.dtype.name for b in both] == ["int32", "float32", "int32"]


def test_blocks_that_differ_in_a_scalar_are_one_program():
    rates = [0.0, 0.1, 0.2, 0.3]

    def f(x):
        for rate in rates:
            x = jaxcore.block(lambda y, rate=rate: jnp.sin(y) * rate + y, x, name="drop")
        return jnp.sum(x)

    assert len(set(programs(f, X))) == 1

    def plain(x):
        for rate in rates:
            x = jax.numpy.sin(x) * rate + x
        return jax.numpy.sum(x)

    np.testing.assert_allclose(jaxcore.jit(f)(X), plain(X), rtol=1e-6)
    np.testing.assert_allclose(jaxcore.jit(jaxcore.grad(f))(X), jax.grad(plain)(X), rtol=1e-5)
    assert len(set(programs(jaxcore.grad(f), X))) == 2


def test_nested_blocks_that_differ_in_a_scalar():
    def f(x):
        for rate in (0.5, 0.25, 0.125):
            inner = lambda y, rate=rate: y * rate
            outer = lambda y, inner=inner: jaxcore.block(inner, y + 1.0, name="inner") * 2.0
            x = jaxcore.block(outer, x, name="outer")
        return x

    assert len(set(programs(f, X))) == 1
    expected = X
    for rate in (0.5, 0.25, 0.125):
        expected = (expected + 1) * rate * 2
    np.testing.assert_allclose(jaxcore.jit(f)(X), expected, rtol=1e-6)


def test_two_programs_of_one_name_in_one_module():
    f = lambda x: jaxcore.block(lambda y: jnp.sin(y) * y, x, name="b")
    g = lambda x: jaxcore.block(lambda y: jnp.cos(y) + y, x, name="b")
    np.testing.assert_allclose(
        jaxcore.jit(lambda x: f(x) + g(x) + f(x))(X), 2 * np.sin(X) * X + np.cos(X) + X, rtol=1e-5
    )
    jitted = jaxcore.jit(f), jaxcore.jit(g)
    np.testing.assert_allclose(
        jax.jit(lambda x: jitted[0](x) + jitted[1](x))(X),
        np.sin(X) * X + np.cos(X) + X,
        rtol=1e-5,
    )


def test_static_leaves_pass_through_a_block():
    def block(config, x):
        assert config["mode"] == "train" and config["n"] == 2
        return {"y": x * config["n"], "mode": config["mode"], "none": None}

    def f(x):
        out = jaxcore.block(block, {"mode": "train", "n": 2}, x, name="b")
        assert out["mode"] == "train" and out["none"] is None
        return out["y"]

    assert float(jaxcore.jit(f)(3.0)) == 6.0
    assert float(f(3.0)) == 6.0


def test_block_outside_recording_is_a_plain_call():
    def f(x):
        return jaxcore.block(lambda y: y if y > 0 else -y, x, name="b")

    assert float(f(-2.0)) == 2.0
    assert float(jaxcore.grad(f)(-2.0)) == -1.0


def test_blocks_in_threads_do_not_mix():
    results = {}

    def work(i):
        f = lambda x: jaxcore.block(lambda y: y * float(i), x, name="b")
        results[i] = float(jaxcore.jit(jaxcore.grad(f))(1.0))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert results == {i: float(i) for i in range(6)}


@pytest.mark.parametrize("n", [1, 5, 40])
def test_front_end_work_does_not_grow_with_depth(n, monkeypatch):
    """The block's equations are linearised and transposed once, however often it is called."""
    from jaxcore.transforms import transpose

    count = []
    original = transpose._transpose
    monkeypatch.setattr(transpose, "_transpose", lambda *a: count.append(1) or original(*a))
    shift = float(n)  # a block of its own for each n, so that nothing is left from another run

    def f(x):
        for _ in range(n):
            x = jaxcore.block(lambda y: jnp.sin(y) * jnp.cos(y) + y**shift, x, name="b")
        return jnp.sum(x)

    jaxcore.make_jaxpr(jaxcore.grad(f))(X)
    assert len(count) == 2  # the block and the function around it


@pytest.mark.parametrize("n, outlined", [(2, False), (20, True)])
def test_blocks_called_often_are_computations_of_their_own(n, outlined):
    def block(x):
        for _ in range(6):
            x = jnp.sin(x) * 1.5 + jnp.cos(x)
        return x

    def f(x):
        for _ in range(n):
            x = jaxcore.block(block, x, name="often")
        return x

    text = jaxcore.jit(f).lower(X).as_text()
    assert text.count("call @often") == n
    assert text.count('inlineable = "false"') == (n if outlined else 0)
    expected = X
    for _ in range(n * 6):
        expected = np.sin(expected) * 1.5 + np.cos(expected)
    np.testing.assert_allclose(jaxcore.jit(f)(X), expected, rtol=1e-2, atol=1e-2)
