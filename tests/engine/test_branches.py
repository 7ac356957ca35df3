"""cond, switch and platform_dependent: signatures, mistakes, and what is lowered."""

import jax
import jax.numpy
import numpy as np
import pytest

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import lax

X = np.array([0.5, 1.5, -0.3], np.float32)


def test_operands_may_be_given_by_name_and_may_be_none():
    assert lax.cond(True, lambda _: 1, lambda _: 2, operand=None) == 1
    assert lax.cond(False, lambda x: x + 1, lambda x: x - 1, operand=5) == 4
    assert lax.switch(1, [lambda x: x, lambda x: x * 10], operand=3) == 30
    assert lax.cond(True, 3, lambda x: x + 1, 4, lambda x: x * 2) == 4  # the oldest signature
    with pytest.raises(TypeError, match="by position or as operand=, not both"):
        lax.cond(True, lambda x: x, lambda x: x, 1, operand=2)


def test_the_only_branch_is_called():
    assert lax.switch(7, [lambda x: x + 1], 1) == 2


def test_mistakes_are_named():
    with pytest.raises(TypeError, match="predicate must be a boolean or a number, got None"):
        lax.cond(None, lambda: 1, lambda: 2)
    with pytest.raises(TypeError, match="predicate must be a boolean or a number, got ~complex64"):
        lax.cond(1j, lambda: 1, lambda: 2)
    with pytest.raises(TypeError, match=r"branch 1 is 3 of type int"):
        lax.switch(0, [lambda: 1, 3])
    with pytest.raises(TypeError, match=r"integer scalar, got ~float32\[\]"):
        lax.switch(1.0, [lambda: 1, lambda: 2])
    with pytest.raises(TypeError, match=r"integer scalar, got bool\[\]"):
        lax.switch(True, [lambda: 1, lambda: 2])
    with pytest.raises(ValueError, match="at least one branch"):
        lax.switch(0, [])
    with pytest.raises(TypeError, match=r"(?s)output\['main'\]: float32\[3\] from .*, int32\[3\]"):
        lax.cond(True, lambda x: {"main": x.astype(int)}, lambda x: {"main": x}, X)
    with pytest.raises(TypeError, match=r"<lambda> \(branch 0\) and <lambda> \(branch 1\)"):
        lax.switch(0, [lambda x: x, lambda x: (x,)], X)


def test_a_value_that_branches_share_is_one_operand():
    def f(scale, x):
        return lax.cond(x[0] > 0, lambda x: jnp.sin(x * scale), lambda x: x * scale, x)

    (eq,) = [e for e in jaxcore.make_jaxpr(f)(2.0, X).equations if e.primitive.name == "cond"]
    assert len(eq.inputs) == 3  # index, scale, x
    gradient = jaxcore.grad(lambda s, x: jnp.sum(f(s, x)))
    np.testing.assert_allclose(gradient(2.0, -X), np.sum(-X), rtol=1e-6)
    np.testing.assert_allclose(gradient(2.0, X), np.sum(X * np.cos(X * 2.0)), rtol=1e-6)


def test_disabled_jit_makes_the_choice_in_python():
    seen = []

    def chosen(x):
        seen.append(x)
        return x * x

    with jax.disable_jit():
        assert float(lax.cond(True, chosen, lambda x: 1 / 0, 3.0)) == 9.0
        assert float(lax.switch(np.int32(5), [lambda x: 1 / 0, chosen], 3.0)) == 9.0
        assert float(jaxcore.grad(lambda x: lax.cond(x > 0, chosen, lambda x: x, x))(3.0)) == 6.0
    assert len(seen) == 3


@pytest.mark.parametrize("lax_", [lax, jax.lax], ids=["native", "through JAX"])
def test_platform_dependent(lax_):
    def missing(x):
        return jax.lax.platform_dependent(x, tpu=lambda x: x)  # has no form on this platform

    def f(x):
        return lax_.platform_dependent(x, cpu=lambda x: x * x, tpu=missing, default=missing)

    assert float(f(3.0)) == float(jaxcore.jit(f)(3.0)) == 9.0
    assert float(jaxcore.jit(jaxcore.grad(f))(3.0)) == 6.0
    np.testing.assert_array_equal(jaxcore.jit(jaxcore.vmap(jaxcore.grad(f)))(X), 2 * X)
    assert float(jax.jit(jax.grad(f))(3.0)) == 6.0
    assert "stablehlo.case" not in jaxcore.jit(jaxcore.grad(f)).lower(3.0).as_text()


def test_platform_dependent_mistakes():
    with pytest.raises(ValueError, match="'gpu' is not one platform. Fix: use cuda or rocm"):
        lax.platform_dependent(1.0, gpu=lambda x: x)
    with pytest.raises(TypeError, match="cpu must be a function, got 3"):
        lax.platform_dependent(1.0, cpu=3)
    with pytest.raises(NotImplementedError, match="platform_index"):
        jaxcore.jit(lambda x: lax.platform_dependent(x, tpu=lambda x: x))(1.0)
    same = lambda x: x
    program = jaxcore.make_jaxpr(
        lambda x: lax.platform_dependent(x, cpu=same, cuda=same, default=jnp.sin)
    )(1.0)
    assert program.equations[-1].params["platforms"] == (("cpu", "cuda"), None)
