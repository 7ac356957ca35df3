"""`debug.find_nan` and ``jax.debug_nans`` say where the first NaN was made."""

from inspect import unwrap

import jax
import numpy as np
import pytest

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import debug, lax, nn, random

X = np.array([1.0, -1.0, 2.0], np.float32)


def inner(x):
    return jnp.log(x) * 2.0  # here


def f(x):
    return jnp.sum(jaxcore.jit(inner)(x + 0.0))


def line(function, offset=1):
    return unwrap(function).__code__.co_firstlineno + offset


# --- find_nan -------------------------------------------------------------------------------------


def test_a_call_inside_a_call():
    for function in (f, jaxcore.jit(f), jax.jit(f)):
        report = debug.find_nan(function)(X)
        assert (report.line, report.primitive, report.phase) == (line(inner), "log", "forward")
        assert report.text.endswith("# here") and report.filename == __file__
        assert report.iteration == () and report.module == "" and report.position == (1,)
        assert report.operands == ("float32[3] 1 -1 2",)
        assert debug.find_nan(function)(np.abs(X)) is None


def test_python_control_flow_on_values():
    def g(x):
        if x[0] > 0:
            return jnp.sqrt(x)
        return x

    assert debug.find_nan(g)(jnp.asarray(X)).primitive == "sqrt"
    assert debug.find_nan(g)(jnp.asarray(-X)) is None


def test_a_nan_that_no_result_shows_is_no_finding():
    def masked(x):
        return jnp.sum(jnp.where(x > 0, jnp.log(x), 0.0))  # masked

    assert debug.find_nan(masked)(X) is None
    report = debug.find_nan(jaxcore.grad(lambda x: jnp.sum(jnp.log(jnp.sqrt(x)) ** 2)))(X)
    assert report.phase == "forward" and report.primitive == "sqrt"


def test_the_first_of_several():
    def g(x):
        a = jnp.log(x)  # first
        b = jnp.sqrt(x)  # second
        return b, a

    assert debug.find_nan(g)(X).line == line(g)
    assert debug.find_nan(lambda x: g(x)[0])(X).line == line(g, 2)


def test_nested_loops_and_branches():
    def outer(carry, i):
        def row(carry, j):
            return carry, lax.cond(i * 3 + j == 4, lambda: jnp.log(-1.0), lambda: 1.0)  # + 2

        return lax.scan(row, carry, jnp.arange(3))

    for wrap in (lambda g: g, jaxcore.jit):
        report = debug.find_nan(wrap(lambda: lax.scan(outer, 0.0, jnp.arange(3))[1]))()
        assert report.iteration == (1, 1) and report.line == line(outer, 2)


def test_while_loops_count_their_steps():
    def g(x):
        return lax.while_loop(lambda s: s[0] < 5, lambda s: (s[0] + 1, jnp.log(s[1])), (0, x))

    assert debug.find_nan(g)(3.0).iteration == (3,)


def test_a_loop_back_names_the_step_it_goes_through():
    def body(carry, x):
        return carry, jnp.sqrt((carry - x) ** 2)  # no slope where they meet

    def loss(start):
        return jnp.sum(lax.scan(body, start, jnp.arange(5.0))[1])

    for wrap in (lambda g: g, jaxcore.jit):
        report = debug.find_nan(wrap(jaxcore.grad(loss)))(3.0)
        assert (report.phase, report.iteration, report.line) == ("backward", (3,), line(body))


def test_forward_mode():
    report = debug.find_nan(lambda x: jaxcore.jvp(lambda x: jnp.sqrt(x) ** 2, (x,), (1.0,)))(0.0)
    assert report.phase == "tangent"


def test_a_mapped_function():
    report = debug.find_nan(jaxcore.vmap(f))(np.stack([np.abs(X), X]))
    assert report.position == (1, 1) and report.line == line(inner)


class Root(nn.Module):
    def __call__(self, x):
        kernel = self.param("kernel", nn.initializers.ones, (3, 3))
        return jnp.sqrt(x @ kernel - 100.0)


class Model(nn.Module):
    def __call__(self, x):
        for i in range(2):
            x = Root(name=f"block_{i}")(x)
        return x


def test_modules():
    model = Model()
    x = 100 * jnp.ones((2, 3))
    variables = model.init(random.key(0), x)
    for apply in (model.apply, jaxcore.jit(model.apply)):
        report = debug.find_nan(apply)(variables, x)
        assert report.module == "block_1" and report.line == line(Root.__call__, 2)
        assert "Module: block_1" in str(report)


def test_equal_functions_on_other_lines_are_told_apart():
    def one(x):
        return jnp.log(x)

    def two(x):
        return jnp.log(x)

    for function in (one, two):
        g = jaxcore.jit(lambda x, function=function: jaxcore.jit(function)(x))
        g(np.abs(X))
        assert debug.find_nan(g)(X).line == line(function)


def test_an_argument_that_has_one_already():
    def scaled(params):
        return params["w"] * 2

    report = debug.find_nan(jaxcore.jit(scaled))({"w": jnp.array([1.0, np.nan])})
    assert report.primitive == "argument" and report.operands == ("params['w'] float32[2] 1 nan",)
    assert "NaN in an argument: params['w'] float32[2] 1 nan" in str(report)


def test_infinities():
    report = debug.find_nan(lambda x: jnp.exp(x) - 1.0, "inf")(jnp.array([0.0, 100.0]))
    assert report.primitive == "exp" and "infinity" in str(report)


def test_callbacks_run_once():
    seen = []

    @jaxcore.jit
    def g(x):
        debug.callback(lambda x: seen.append(float(x)), x)
        return jnp.log(x)

    assert debug.find_nan(g)(jnp.float32(-1.0)).primitive == "log"
    jax.effects_barrier()
    assert seen == [-1.0]


def test_low_precision():
    report = debug.find_nan(jnp.log)(jnp.array([1.0, -1.0], jnp.bfloat16))
    assert report.result.startswith("bfloat16[2]") and report.position == (1,)


def test_wrong_use():
    with pytest.raises(RuntimeError, match=r"debug.find_nan\(jit\(f\)\)"):
        jaxcore.jit(lambda x: debug.find_nan(f)(x))(X)
    with pytest.raises(ValueError, match="'nan' or 'inf'"):
        debug.find_nan(f, "NaN")


# --- jax.debug_nans -------------------------------------------------------------------------------


def test_a_compiled_function_names_the_line():
    compiled = jaxcore.jit(f)
    compiled(X)
    compiled(X)  # on the fast path before anybody asks
    with jax.debug_nans(True):
        for _ in range(2):
            with pytest.raises(FloatingPointError) as caught:
                compiled(X)
            message = str(caught.value)
            assert "(nan)" in message and "Made by log of float32[3]" in message
            assert f"{__file__}:{line(inner)}" in message and "# here" in message
        assert np.isfinite(compiled(np.abs(X)))


def test_an_operation_names_itself():
    with (
        jax.debug_nans(True),
        pytest.raises(FloatingPointError, match=r"(?s)in log\n.*test_debug.*jnp.log"),
    ):
        jnp.log(X)


def test_a_gradient_with_values():
    with jax.debug_nans(True), pytest.raises(FloatingPointError, match="nan"):
        jaxcore.grad(lambda x: jnp.sum(jnp.sqrt(x)))(X)


def test_debug_infs():
    made = pytest.raises(FloatingPointError, match=r"(?s)\(inf\).*Made by div")
    with jax.debug_infs(True), made:
        jaxcore.jit(lambda x: x / (x - x))(X)


def test_donated_arguments_are_not_read_again():
    compiled = jaxcore.jit(lambda x: jnp.log(x), donate_argnums=0)
    with jax.debug_nans(True), pytest.raises(FloatingPointError, match="nan"):
        compiled(jnp.asarray(X))
