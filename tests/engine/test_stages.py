"""Ahead of time: traced, lowered and compiled functions, their texts, trees and errors."""

import jax
import numpy as np
import pytest

import jaxcore
import jaxcore.numpy as jnp

X = np.arange(6, dtype=np.float32).reshape(2, 3)
SPEC = jax.ShapeDtypeStruct((2, 3), np.float32)


def model(params, x, *, scale=2.0, mode="sum"):
    y = jnp.tanh(x @ params["w"]) * scale
    return {"y": y, "total": y.sum() if mode == "sum" else y.max()}


PARAMS = {"w": np.ones((3, 3), np.float32), "unused": np.ones(5, np.float32)}


@pytest.fixture(scope="module")
def stages():
    f = jaxcore.jit(model, static_argnames="mode", donate_argnums=1)
    traced = f.trace(PARAMS, SPEC, mode="max")
    lowered = traced.lower()
    return traced, lowered, lowered.compile()


def test_every_stage_knows_the_trees_and_types(stages):
    theirs = jax.jit(
        lambda params, x, *, mode: model(params, x, mode=mode),
        static_argnames="mode",
        donate_argnums=1,
    ).trace(PARAMS, SPEC, mode="max")
    for stage in stages:
        assert stage.fun_name == "model"
        assert stage.in_tree == theirs.in_tree
        assert stage.out_tree == theirs.out_tree
        assert stage.donate_argnums == (2,)
        info = stage.args_info[0][0]["w"]
        assert (info.shape, info.dtype, info.donated) == ((3, 3), np.float32, False)
        assert jax.tree.map(lambda a: a.shape, stage.in_avals) == (
            ({"unused": (5,), "w": (3, 3)}, (2, 3)),
            {},
        )
        assert stage.out_info["y"].shape == (2, 3) and stage.out_avals["total"].shape == ()
    assert stages[0].jaxpr is stages[0].program
    assert stages[0].effects == frozenset()


def test_texts_and_analyses(stages):
    _, lowered, compiled = stages
    assert "stablehlo.dot_general" in lowered.as_text()
    assert "test_stages.py" not in lowered.as_text()
    assert "HloModule" in lowered.as_text("hlo")
    assert "loc(" in lowered.as_text(debug_info=True)
    assert "stablehlo.tanh" in str(lowered.compiler_ir())
    assert "HloModule" in compiled.as_text()
    memory = compiled.memory_analysis()
    assert memory.argument_size_in_bytes == 4 * (3 * 3 + 2 * 3)  # the unused leaf is left out
    assert memory.output_size_in_bytes >= 4 * (2 * 3 + 1)
    assert compiled.runtime_executable() is not None
    assert compiled.input_shardings[0][0]["unused"] is None
    assert compiled.input_shardings[0][1] == compiled.output_shardings["y"]
    assert compiled.input_formats[0][1].sharding == compiled.output_formats["y"].sharding


def test_the_compiled_function_runs_without_its_static_arguments(stages):
    traced, _, compiled = stages
    expected = model(PARAMS, X, mode="max")
    for _ in range(3):  # the second call takes the fast path
        result = compiled(PARAMS, jnp.asarray(X))
    for run in (result, traced(PARAMS, X), jaxcore.jit(traced)(PARAMS, X)):
        np.testing.assert_allclose(run["y"], expected["y"], rtol=1e-6)
        np.testing.assert_allclose(run["total"], expected["total"], rtol=1e-6)
    donated = jnp.asarray(X)
    compiled(PARAMS, donated)
    with pytest.raises((RuntimeError, ValueError), match="deleted"):
        compiled(PARAMS, donated)


@pytest.mark.parametrize(
    "args, kwargs, words",
    [
        (({"w": X}, X), {}, r"args\[0\]\['unused'\]: missing"),
        ((PARAMS, X), {"mode": 1}, r"kwargs\['mode'\]: not expected"),
        ((list(PARAMS.values()), X), {}, r"args\[0\]\[0\]: not expected"),
        ((PARAMS, X, 1.0), {}, r"args\[2\]: not expected"),
        ((PARAMS, X.astype(int)), {}, r"args\[1\]: expected float32\[2,3\], got int32\[2,3\]"),
        ((PARAMS, X[:1]), {}, r"args\[1\]: expected float32\[2,3\], got float32\[1,3\]"),
    ],
)
def test_wrong_arguments_are_named(stages, args, kwargs, words):
    for stage in (stages[0], stages[2]):
        with pytest.raises(TypeError, match=rf"(?s){words}.*Fix:"):
            stage(*args, **kwargs)


def test_a_node_of_another_kind_is_named():
    compiled = jaxcore.jit(lambda pair: pair[0] + pair[1]).lower((X, X)).compile()
    with pytest.raises(TypeError, match=r"args\[0\]: expected .*tuple.*, got .*list"):
        compiled([X, X])


def test_a_compiled_function_takes_no_tracers(stages):
    with pytest.raises(
        TypeError, match=r"(?s)traced value of type float32\[2,3\].*Fix: use the jitted"
    ):
        jaxcore.jit(lambda x: stages[2](PARAMS, x))(X)


def test_static_arguments_by_position_and_captured_arrays():
    table = jnp.arange(3.0)
    f = jaxcore.jit(lambda x, n, y: x * n + y + table[None], static_argnums=1)
    traced = f.trace(X, 3, y=1.0)
    assert len(traced.consts) == 1
    assert traced.in_tree == jax.tree.structure(((0,), {"y": 0}))
    np.testing.assert_allclose(traced.lower().compile()(X, y=2.0), X * 3 + 2 + np.arange(3))
    assert f.eval_shape(X, 3, 1.0).shape == (2, 3)


def test_a_trace_that_captured_a_tracer_is_not_lowered():
    def outer(x):
        traced = jaxcore.jit(lambda y: x + y).trace(1.0)
        assert traced(2.0).shape == ()
        traced.lower()

    with pytest.raises(jax.errors.UnexpectedTracerError):
        jaxcore.jit(outer)(1.0)


def test_keys_weak_types_and_python_numbers():
    f = jaxcore.jit(lambda key, x: jax.random.uniform(key) + x)
    compiled = f.lower(jax.eval_shape(lambda: jax.random.key(0)), 1.0).compile()
    assert compiled.in_avals[0][1].weak_type
    key = jax.random.key(3)
    expected = jax.random.uniform(key) + 2
    for x in (2.0, np.float32(2), jnp.float32(2)):
        np.testing.assert_allclose(compiled(key, x), expected)


def test_options_reach_the_compiler():
    lowered = jaxcore.jit(jnp.sin).lower(X)
    compiled = lowered.compile({"xla_cpu_enable_fast_math": True})
    np.testing.assert_allclose(compiled(X), np.sin(X), rtol=1e-5)
    with pytest.raises(Exception, match="no_such_option"):
        lowered.compile({"no_such_option": True})


@pytest.mark.parametrize("platforms", [("cuda",), ("tpu",), ("cpu", "cuda", "tpu")])
def test_lowering_for_other_platforms(platforms):
    def f(x, key):
        y = jnp.sort(jnp.cumsum(x @ x.T, axis=0), axis=-1)
        y = jaxcore.lax.scan(lambda c, row: (c + jnp.sin(row), c[0]), y[0], y)[0]
        return jax.numpy.linalg.cholesky(x @ x.T), y + jax.random.normal(key, y.shape)

    traced = jaxcore.jit(jaxcore.value_and_grad(lambda x, k: f(x, k)[1].sum())).trace(
        X, jax.random.key(0)
    )
    text = traced.lower(lowering_platforms=platforms).as_text()
    assert "stablehlo.dot_general" in text


def test_cost_by_module_and_as_a_table():
    def layer(params, x):
        return jnp.tanh(x @ params["kernel"])

    def f(variables, x):
        params = variables["params"]
        with jaxcore.name_scope("body"):
            for i in range(2):
                with jaxcore.name_scope(f"layer_{i}"):
                    x = jaxcore.block(layer, params["body"][f"layer_{i}"], x, name="layer")
        return jaxcore.lax.while_loop(lambda x: x.sum() < 1, lambda x: x * 2, x)

    kernel = {"kernel": np.ones((4, 4), np.float32)}
    variables = {"params": {"body": {"layer_0": kernel, "layer_1": kernel}}}
    optimiser = {"inner": {"mu": variables}}
    x = np.ones((3, 4), np.float32)
    traced = jaxcore.jit(lambda o, v, x: f(v, x)).trace(optimiser, variables, x)
    cost = traced.cost_analysis()
    layer_cost = {
        "flops": 2 * 3 * 4 * 4 + 12,
        "bytes accessed": 4 * (12 + 16 + 12) + 4 * (12 + 12),
        "parameters": 16,
    }
    assert cost["modules"]["body/layer_0"] == layer_cost == cost["modules"]["body/layer_1"]
    assert cost["modules"][""]["flops"] == 12 + 1 + 12
    assert cost["parameters"] == 32
    assert cost["flops"] == 2 * layer_cost["flops"] + 25
    assert len(cost["unbounded loops"]) == 1 and "test_stages.py" in cost["unbounded loops"][0]
    text = str(cost)
    assert "body/layer_1" in text and "total" in text and "length is not known" in text
    lowered = traced.lower()
    assert lowered.cost_analysis() == cost == lowered.compile().cost_analysis()
