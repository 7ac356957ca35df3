"""Mistakes in custom_jvp and custom_vjp: the class of JAX's error, and what ours says."""

import jax
import jax.numpy
import numpy as np
import pytest

import jaxcore
import jaxcore.numpy as jnp

X = np.array([0.3, -1.2, 2.1], np.float32)


def total(t, x):
    return jnp.sum(x) if t is jaxcore else jax.numpy.sum(x)


def broken_jvp(rule):
    def call(t):
        f = t.custom_jvp(lambda x: x * 1.0)
        f.defjvp(rule)
        return t.grad(t.jit(lambda x: total(t, f(x))))(X)

    return call


def broken_vjp(fwd, bwd):
    def call(t):
        f = t.custom_vjp(lambda x, y: x * y)
        f.defvjp(fwd, bwd)
        return t.grad(t.jit(lambda x: total(t, f(x, x))))(X)

    return call


def fixed_and_traced(t):
    f = t.custom_vjp(lambda n, x: x * n, nondiff_argnums=(0,))
    f.defvjp(lambda n, x: (f(n, x), None), lambda n, _, ct: (ct,))
    return t.jit(lambda n: f(n, 1.0))(2.0)


def by_keyword_only(t):
    f = t.custom_jvp(lambda x, *, y: x * y)
    f.defjvp(lambda p, d: (p[0], d[0]))
    return f(1.0, y=2.0)


def jvps_with_fixed_arguments(t):
    return t.custom_jvp(lambda n, x: x, nondiff_argnums=(0,)).defjvps(lambda d, out, x: d)


GOOD = (lambda x, y: (x * y, None), lambda _, ct: (ct, ct))
MISTAKES = {
    "no jvp": (lambda t: t.custom_jvp(jnp.sin)(X), "No JVP defined for custom_jvp function sin"),
    "no vjp": (lambda t: t.custom_vjp(jnp.sin)(X), "No VJP defined for custom_vjp function sin"),
    "missing argument": (
        lambda t: by_keyword_only(t),
        "could not be resolved to positions: y",
    ),
    "defjvps": (jvps_with_fixed_arguments, "Can't use ``defjvps`` with"),
    "jvp no pair": (broken_jvp(lambda p, d: d[0]), "must produce a pair"),
    "jvp trees": (broken_jvp(lambda p, d: (p[0], (d[0],))), r"equal container \(pytree\)"),
    "jvp result": (broken_jvp(lambda p, d: ((p[0],), (d[0],))), "the function's own output"),
    "jvp shape": (broken_jvp(lambda p, d: (p[0], d[0][0])), r"Expected float32\[3\]"),
    "jvp result shape": (broken_jvp(lambda p, d: (p[0][0], d[0][0])), r"got float32\[\] where"),
    "fwd no pair": (broken_vjp(lambda x, y: x, GOOD[1]), "must produce a pair"),
    "fwd result": (broken_vjp(lambda x, y: ((x, y), None), GOOD[1]), "function's own output"),
    "bwd no tuple": (broken_vjp(GOOD[0], lambda _, ct: ct), "tuple of length equal"),
    "bwd too short": (broken_vjp(GOOD[0], lambda _, ct: (ct,)), "tuple of length equal"),
    "bwd shape": (broken_vjp(GOOD[0], lambda _, ct: (ct, ct[0])), r"leaf 1 .* float32\[3\]"),
    "traced and fixed": (fixed_and_traced, "argument 0 is one of nondiff_argnums"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_raise_the_class_of_jax_and_say_what(name):
    call, message = MISTAKES[name]
    with pytest.raises(Exception) as theirs:
        call(jax)
    with pytest.raises(type(theirs.value), match=message):
        call(jaxcore)


def test_names_of_fixed_arguments_must_exist():
    with pytest.raises(ValueError, match=r"nondiff_argnames has 'z'.* arguments are x, y"):
        jaxcore.custom_jvp(lambda x, y: x, nondiff_argnames=("z",))
    f = jaxcore.custom_vjp(lambda x: x)
    with pytest.raises(NotImplementedError, match="symbolic zeros"):
        f.defvjp(lambda x: (x, None), lambda _, ct: (ct,), True, True)
    with pytest.raises(TypeError, match=r"args\[0\] of <lambda> is 'a'"):
        f.defvjp(lambda x: (x, None), lambda _, ct: (ct,))
        jaxcore.jit(lambda: f("a"))()
