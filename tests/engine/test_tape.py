"""Derivatives outside `jit`: one executable where nobody looks at a value, and the same results,
in the same order, where somebody does.
"""

import jax
import jax.numpy as jjnp
import numpy as np
import pytest

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import eager

X = np.linspace(0.5, 1.5, 4, dtype=np.float32)


@pytest.fixture
def executed(monkeypatch):
    """The names of the programs that run, in order."""
    names = []
    execute = eager.execute

    def counting(program, args):
        names.append(program)
        return execute(program, args)

    monkeypatch.setattr(eager, "execute", counting)
    monkeypatch.setattr("jaxcore.transforms.derivation.execute", counting)
    return names


def body(np_):
    return lambda x: np_.sum(np_.sin(x) * x)


def looking(np_):
    def f(x):
        y = np_.sin(x).sum()
        if y > 0:  # a value is looked at in the middle
            y = y * 2.0
        while y < 50.0:
            y = y * x.sum()
        return y

    return f


def test_value_and_gradient_are_one_executable(executed):
    f = body(jnp)
    jaxcore.grad(f)(X)
    first = list(executed)
    jaxcore.grad(lambda x: jnp.sum(jnp.sin(x) * x))(X)  # a function made anew at each call
    assert len(first) == 1
    assert executed[1] is first[0]


@pytest.mark.parametrize("make", [body, looking])
def test_derivatives_equal_jax(make):
    ours, theirs = make(jnp), make(jjnp)
    x = jnp.asarray(X)
    np.testing.assert_allclose(jaxcore.grad(ours)(x), jax.grad(theirs)(x), rtol=1e-5)
    np.testing.assert_allclose(
        jaxcore.jvp(ours, (x,), (x,))[1], jax.jvp(theirs, (x,), (x,))[1], rtol=1e-5
    )
    np.testing.assert_allclose(
        jaxcore.grad(lambda x: jaxcore.grad(ours)(x).sum())(x),
        jax.grad(lambda x: jax.grad(theirs)(x).sum())(x),
        rtol=1e-4,
    )


def test_every_operation_runs_once_and_in_order():
    log = []

    def f(x):
        log.append("start")
        y = jax.numpy.sin(x)
        jax.debug.callback(lambda v: log.append(round(float(v), 3)), y)
        log.append("called back")
        return y * 2.0

    jaxcore.grad(f)(0.5)
    jax.effects_barrier()
    assert log == ["start", 0.479, "called back"]


def test_a_scalar_that_changes_costs_one_compilation_more(executed):
    def gradient(scale):
        return jaxcore.grad(lambda x: jnp.sum(x * scale + 2.0))(X)

    for scale in (1.5, 2.5, 3.5, -0.0):
        np.testing.assert_array_equal(gradient(scale), np.full(4, scale, np.float32))
    assert len({id(program) for program in executed}) == 2


def test_literals_of_different_types_are_different_programs():
    for scale in (2, 2.0, np.float32(2.0), True):
        ours = jaxcore.grad(lambda x: x * scale)(3.0)  # noqa: B023
        theirs = jax.grad(lambda x: x * scale)(3.0)  # noqa: B023
        assert ours == theirs
        assert ours.aval == theirs.aval


def test_a_numpy_array_that_changes_under_way():
    scale = np.ones(4, np.float32)

    def f(x):
        y = x * scale
        scale[:] = 5.0
        return jnp.sum(y * scale)

    np.testing.assert_array_equal(jaxcore.grad(f)(jnp.asarray(X)), np.full(4, 5.0))


def test_auxiliary_values_pass_through():
    table = np.arange(3)

    def f(x):
        return x * x, {"name": "square", "count": 3, "table": table, "x": x}

    gradient, aux = jaxcore.grad(f, has_aux=True)(3.0)
    assert gradient == 6.0
    assert aux["name"] == "square" and aux["count"] == 3 and aux["table"] is table
    assert aux["x"] == 3.0
    gradient, aux = jaxcore.jit(lambda x: jaxcore.grad(lambda x: (x * x, x), has_aux=True)(x))(3.0)
    assert (gradient, aux) == (6.0, 3.0)


def test_a_constant_function_has_a_zero_gradient():
    value, gradient = jaxcore.value_and_grad(lambda x: 3.0)(jnp.asarray(X))
    assert value == 3.0
    np.testing.assert_array_equal(gradient, np.zeros(4, np.float32))
    value, gradient = jaxcore.value_and_grad(lambda x: x)(1.0)
    assert (value, gradient) == (1.0, 1.0) and isinstance(gradient, jax.Array)


def test_settings_that_ask_for_one_operation_at_a_time_are_obeyed(executed):
    with jax.disable_jit():
        np.testing.assert_allclose(jaxcore.grad(body(jnp))(X), jax.grad(body(jjnp))(X), rtol=1e-6)
    assert len(executed) > 1


def test_a_module_sees_values_in_an_eager_gradient():
    class Gate(jaxcore.nn.Module):
        def __call__(self, x):
            x = jaxcore.nn.Dense(1)(x)
            return x * 2.0 if x.sum() > 0 else -x

    x = jnp.ones((2, 3))
    variables = {"params": {"Dense_0": {"kernel": jnp.ones((3, 1)), "bias": jnp.zeros(1)}}}
    gradient = jaxcore.grad(lambda v: Gate().apply(v, x).sum())(variables)
    np.testing.assert_array_equal(gradient["params"]["Dense_0"]["bias"], [4.0])


def test_a_tracer_kept_beyond_the_call_is_reported():
    kept = []
    jaxcore.grad(lambda x: kept.append(x) or x * 2.0)(1.0)
    with pytest.raises(jax.errors.UnexpectedTracerError, match="leaked"):
        jnp.sin(kept[0])
