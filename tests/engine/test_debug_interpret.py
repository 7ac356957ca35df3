"""`debug.interpret` shows what every line computes, and computes the same."""

import jax
import numpy as np
import pytest

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import debug, lax, nn, random

X = np.array([0.5, 2.0], np.float32)


def body(carry, x):
    carry = carry * jnp.cos(x)  # body
    return carry, carry + 1.0


def f(x):
    y = jnp.sin(x) + 1.0  # first
    last, rows = lax.scan(body, y[0], y)
    return jnp.sum(y * 2.0) + jnp.sum(rows) + last  # result


def shown(function, *args):
    lines = []
    result = debug.interpret(function, lines.append)(*args)
    return result, lines


def values(lines, text):
    """The values of the lines that end in this comment."""
    return [line.values for line in lines if line.source.text.endswith(f"# {text}")]


@pytest.mark.parametrize("wrap", [lambda g: g, jaxcore.jit, jax.jit], ids=["eager", "jit", "jax"])
def test_values_of_each_line(wrap):
    result, lines = shown(wrap(f), X)
    np.testing.assert_allclose(result, f(jnp.asarray(X)), rtol=1e-6)
    if wrap is jax.jit:  # JAX has traced it: there is one line
        return
    np.testing.assert_allclose(values(lines, "first")[0][0], np.sin(X) + 1, rtol=1e-6)
    steps = [line for line in lines if line.source.text.endswith("# body")]
    assert [line.iteration for line in steps] == [(0,), (1,)]
    assert [line.operations for line in steps] == [("cos", "mul")] * 2
    np.testing.assert_allclose(values(lines, "result")[0][-1], result, rtol=1e-6)


@pytest.mark.parametrize("wrap", [lambda g: g, jaxcore.jit], ids=["eager", "jit"])
def test_a_gradient(wrap):
    gradient = wrap(jaxcore.grad(f))
    result, lines = shown(gradient, X)
    np.testing.assert_allclose(result, gradient(X), rtol=1e-5)
    assert {line.phase for line in lines} == {"forward", "derivative", "backward"}
    back = [line.iteration for line in lines if line.phase == "backward" and line.iteration]
    assert back[0] == (1,) and back[-1] == (0,)


def test_a_mapped_function():
    result, lines = shown(jaxcore.vmap(f), np.stack([X, X + 1]))
    np.testing.assert_allclose(result, jaxcore.vmap(f)(np.stack([X, X + 1])), rtol=1e-6)
    assert values(lines, "first")[0][0].shape == (2, 2)


def test_inside_transformations():
    for transform in (jaxcore.grad, jaxcore.vmap, jaxcore.jit, jax.grad, jax.jit):
        lines = []
        x = np.stack([X, X]) if transform is jaxcore.vmap else X
        result = transform(debug.interpret(f, lines.append))(x)
        np.testing.assert_allclose(result, transform(f)(x), rtol=1e-5)
        text = str(next(line for line in lines if line.source.text.endswith("# first")))
        if transform in (jaxcore.jit, jax.jit):
            assert text.endswith("| float32[2]")
        else:
            assert "1.479" in text and ("all examples" in text) == (x.ndim == 2)


def test_modules_branches_and_random_numbers():
    class Noisy(nn.Module):
        def __call__(self, x):
            noise = random.normal(self.make_rng("noise"), (2,))
            return lax.cond(x[0] > 0, lambda: x + noise, lambda: x)  # taken

    class Model(nn.Module):
        def __call__(self, x):
            return Noisy(name="noisy")(x)

    model, key = Model(), random.key(0)
    result, lines = shown(jaxcore.jit(lambda x: model.apply({}, x, rngs=key)), X)
    np.testing.assert_allclose(result, model.apply({}, X, rngs=key), rtol=1e-6)
    taken = [line for line in lines if line.source.text.endswith("# taken")]
    assert {line.module for line in taken} == {"noisy"} and taken[-1].operations == ("add",)


def test_lines_are_printed_by_default(capsys):
    debug.interpret(lambda x: x * 2.0)(jnp.arange(6.0))
    printed = capsys.readouterr().out
    assert printed.startswith("test_debug_interpret.py:") and "from 0 to 10" in printed


@pytest.mark.parametrize(
    "value, text",
    [
        (np.float32(1.5), "float32[] 1.5"),
        (np.array([True, False] * 3), "bool[6] 3 of 6 true"),
        (np.arange(6), "int64[6] from 0 to 5"),
        (np.zeros((0, 3), np.float32), "float32[0,3]"),
        (np.array([1.0, 2, 3, np.nan, np.inf], np.float32), "float32[5] from 1 to 3, 1 nan, 1 inf"),
        (np.full(5, -np.inf, np.float32), "float32[5], 5 -inf"),
        (np.zeros(9, np.complex64), "complex64[9]"),
        (jnp.ones(5, jnp.bfloat16), "bfloat16[5] from 1 to 1"),
        (random.key(0), "key<fry>[]"),
        (2.0, "float 2"),
    ],
    ids=str,
)
def test_summaries(value, text):
    from jaxcore.debug.values import summary

    assert summary(value) == text
