"""jit: dispatch, caching, static and donated arguments, hoisted constants, ahead-of-time stages."""

import threading

import jax
import numpy as np
import pytest

import jaxcore
import jaxcore.numpy as jnp


def test_traces_once_for_each_set_of_types():
    traces = []

    @jaxcore.jit
    def f(x):
        traces.append(x.aval)
        return x * 2

    a = np.arange(3, dtype=np.float32)
    for x in (a, jax.numpy.asarray(a), a + 1):
        np.testing.assert_array_equal(f(x), x * 2)
    assert len(traces) == 1
    f(2.0), f(3.0), f(np.float32(2)), f(2)
    assert len(traces) == 4  # weak float, float32, weak int


def test_pytrees_keywords_and_methods():
    class Model:
        def __init__(self, scale):
            self.scale = scale

        @jaxcore.jit
        def of_array(x):
            return x + 1

        def __call__(self, tree, *, shift=0.0):
            return {"out": tree["a"] * self.scale + shift, "rest": (tree["b"], None)}

    model = Model(3.0)
    f = jaxcore.jit(model)
    out = f({"a": jnp.ones(2), "b": jnp.zeros(1)}, shift=1.0)
    np.testing.assert_array_equal(out["out"], [4, 4])
    assert out["rest"][1] is None
    assert float(Model.of_array(1.0)) == 2.0

    bound = jaxcore.jit(model.__call__)
    np.testing.assert_array_equal(bound({"a": jnp.ones(2), "b": jnp.zeros(1)})["out"], [3, 3])


def test_static_arguments_by_number_and_name():
    seen = []

    def f(x, n, mode="a"):
        seen.append((n, mode))
        return x * n if mode == "a" else x + n

    g = jaxcore.jit(f, static_argnums=1, static_argnames="mode")
    x = jnp.ones(2)
    assert float(g(x, 3)[0]) == 3
    assert float(g(x, n=3, mode="b")[0]) == 4
    assert float(g(x, 3)[0]) == 3
    assert seen == [(3, "a"), (3, "b")]
    g(x, True)
    g(x, 1)
    assert [type(n) for n, _ in seen[-2:]] == [bool, int]


def test_static_argument_must_be_hashable():
    f = jaxcore.jit(lambda x, options: x, static_argnums=1)
    for call in (f, f.lower):
        message = r"static argument options is \[1, 2\] of type list.*not hashable"
        with pytest.raises(ValueError, match=message):
            call(1.0, [1, 2])


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"static_argnums": 3}, "argument number 3 is out of range"),
        ({"static_argnames": "z"}, "no argument named 'z'"),
        ({"static_argnums": 0, "donate_argnums": 0}, "both static and donated"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        jaxcore.jit(lambda x, y: x, **settings)


def test_not_a_function():
    with pytest.raises(TypeError, match="expects a function"):
        jaxcore.jit(3)


def test_arguments_and_results_must_be_arrays():
    f = jaxcore.jit(lambda tree: tree)
    with pytest.raises(TypeError, match=r"(?s)tree\['name'\].*'resnet'.*static"):
        f({"x": 1.0, "name": "resnet"})
    with pytest.raises(TypeError, match=r"(?s)returns at \['b'\].*not a valid JAX type"):
        jaxcore.jit(lambda x: {"a": x, "b": "text"})(1.0)


def test_donation_deletes_the_argument_and_names_it_afterwards():
    f = jaxcore.jit(lambda state, x: {"w": state["w"] + x}, donate_argnums=0)
    state = {"w": jnp.ones(4)}
    for _ in range(3):  # the first call is the slow path
        old = state
        state = f(state, jnp.ones(4))
        assert old["w"].is_deleted()
    np.testing.assert_array_equal(state["w"], [4] * 4)
    with pytest.raises((RuntimeError, ValueError), match=r"(?i)deleted"):
        f(old, jnp.ones(4))


def test_captured_arrays_are_hidden_arguments():
    w = jax.numpy.ones((300, 300))
    big = np.ones((300, 300), np.float32)
    lowered = jaxcore.jit(lambda x: x @ w + big).lower(jnp.ones((300, 300)))
    assert len(lowered.as_text()) < 4096
    f = jaxcore.jit(lambda x: x @ w + big)
    for _ in range(3):
        np.testing.assert_allclose(f(jnp.ones((300, 300)))[0, 0], 301.0)


def test_unused_arguments_are_not_arguments_of_the_executable():
    lowered = jaxcore.jit(lambda x, unused: x * 2).lower(jnp.ones(3), jnp.ones((5, 7)))
    assert "5x7" not in lowered.as_text()
    assert lowered.compile()(jnp.ones(3), jnp.ones((5, 7)))[0] == 2


def test_results_that_are_arguments_or_constants():
    f = jaxcore.jit(lambda x, y: (x, 1.0, np.float32(2), y, x))
    for _ in range(2):
        out = f(jnp.ones(2), 3)
        np.testing.assert_array_equal(out[0], [1, 1])
        assert out[1].weak_type and float(out[1]) == 1.0
        assert not out[2].weak_type
        assert int(out[3]) == 3
    assert jaxcore.jit(lambda: ())() == ()
    assert jaxcore.jit(lambda x: None)(1.0) is None


def test_nested_jit_is_one_shared_call():
    inner = jaxcore.jit(lambda x: jnp.sin(x) * 2)
    program = jaxcore.make_jaxpr(lambda x: inner(inner(inner(x))))(jnp.ones(3))
    assert [eq.primitive.name for eq in program.equations] == ["call"] * 3
    assert len({eq.params["program"] for eq in program.equations}) == 1
    text = jaxcore.jit(lambda x: inner(inner(inner(x)))).lower(jnp.ones(3)).as_text()
    assert text.count("stablehlo.sine") == 1


def test_nested_jit_without_captures_runs_its_python_once():
    runs = []

    @jaxcore.jit
    def inner(x):
        runs.append(1)
        return x * 2

    jaxcore.make_jaxpr(lambda x: inner(inner(x)))(1.0)
    assert len(runs) == 1
    jaxcore.grad(lambda x: inner(x))(1.0)
    jaxcore.grad(lambda x: inner(x))(2.0)
    assert len(runs) == 1


def test_stages():
    f = jaxcore.jit(lambda x, y: {"z": x + y})
    traced = f.trace(jnp.ones(2), 1.0)
    assert len(traced.program.equations) == 1
    compiled = traced.lower().compile()
    np.testing.assert_array_equal(compiled(jnp.ones(2), 1.0)["z"], [2, 2])
    with pytest.raises(TypeError, match=r"args\[0\]: expected float32\[2\], got float32\[3\]"):
        compiled(jnp.ones(3), 1.0)
    assert f.eval_shape(jnp.ones(2), 1.0)["z"].shape == (2,)


def test_eval_shape_of_shapes():
    out = jaxcore.eval_shape(
        lambda x, y: (x @ y, {"n": x.sum()}),
        jax.ShapeDtypeStruct((3, 4), np.float32),
        jax.ShapeDtypeStruct((4, 5), np.float32),
    )
    assert out[0].shape == (3, 5) and out[1]["n"].shape == ()


def test_x64_is_part_of_the_key():
    f = jaxcore.jit(lambda x: x * 2)
    assert f(1.0).dtype == np.float32
    with jax.enable_x64(True) if hasattr(jax, "enable_x64") else jax.experimental.enable_x64():
        assert f(1.0).dtype == np.float64
    assert f(1.0).dtype == np.float32


def test_threads_share_one_function():
    f = jaxcore.jit(lambda x: jnp.sum(jnp.sin(x) * x))
    expected = float(f(jnp.arange(5.0)))
    results, g = [], jaxcore.jit(lambda x: jaxcore.grad(lambda y: jnp.sum(jnp.sin(y) * y))(x).sum())

    def work(n):
        results.append((float(f(jnp.arange(5.0))), float(g(jnp.arange(float(n))))))

    threads = [threading.Thread(target=work, args=(n,)) for n in (3, 4, 5, 6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert [r[0] for r in results] == [expected] * 4
    assert len({r[1] for r in results}) == 4


def test_exception_leaves_no_trace_behind():
    def broken(x):
        raise RuntimeError("mine")

    for transform in (jaxcore.jit, jaxcore.grad, jaxcore.vmap):
        with pytest.raises(RuntimeError, match="mine"):
            transform(broken)(jnp.ones(2)[0] if transform is jaxcore.grad else jnp.ones(2))
    assert not jaxcore.is_staging()
    assert float(jaxcore.jit(lambda x: x + 1)(1.0)) == 2.0


def test_jax_over_ours_keeps_its_own_stages():
    f = jaxcore.jit(lambda x: x * 2)
    assert "mul" in str(jax.make_jaxpr(f)(1.0)) or "jaxcore_program" in str(jax.make_jaxpr(f)(1.0))
    lowered = jax.jit(f, donate_argnums=0).lower(np.ones(3, np.float32))
    assert isinstance(lowered, jax.stages.Lowered)
    assert "donor" in lowered.as_text() or "aliasing" in lowered.as_text()


def test_jitted_methods_bind():
    class Scale:
        def __init__(self, by):
            self.by = by

        @jaxcore.jit
        def double(x):
            """Twice x."""
            return x * 2

        def __hash__(self):
            return hash(self.by)

        def __eq__(self, other):
            return isinstance(other, Scale) and self.by == other.by

    class Static(Scale):
        apply = jaxcore.jit(lambda self, x: x * self.by, static_argnums=0)

    assert Scale.double.__name__ == "double" and Scale.double.__doc__ == "Twice x."
    assert float(Static(3.0).apply(2.0)) == 6.0
    assert float(Static(4.0).apply(2.0)) == 8.0
