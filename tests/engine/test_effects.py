"""Effects: what is printed and called, how often and in which order, against JAX."""

import contextlib
import io

import jax
import jax.experimental
import jax.numpy as jnp
import numpy as np
import pytest

import jaxcore

seen = []


def record(x):
    seen.append(np.asarray(x).tolist())


def echo(x):
    record(x)
    return np.asarray(x)


def like(x):
    return jax.ShapeDtypeStruct(np.shape(x), jnp.result_type(x))


def observe(case, m):
    """Results of a case, the lines it printed and the values its callbacks saw."""
    seen.clear()
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        result = jax.tree.map(lambda x: np.asarray(x).tolist(), case(m))
        jax.effects_barrier()
    return result, printed.getvalue().splitlines(), list(seen)


def outside_jit(m):
    m.debug.print("x={x} {}", "text", x=m.numpy.arange(3.0))


def unused_value(m):
    def f(x):
        m.debug.print("y={}", x * 3)
        return x

    jitted = m.jit(f)
    return jitted(1.0), jitted(2.0), jitted(3.0)  # the third would take the fast path


def nested_functions(m):
    @m.jit
    def inner(x):
        m.debug.print("inner {}", x, ordered=True)
        return m.numpy.sin(x) + 1

    def f(x):
        m.debug.print("start", ordered=True)
        y = inner(inner(inner(x)))
        m.debug.print("end {}", y, ordered=True)
        return y * 2

    return m.jit(f)(1.0)


def derivative(m):
    def f(x):
        m.debug.print("x={}", x, ordered=True)
        return x**3

    g = m.grad(m.grad(f))
    return m.grad(f)(3.0), g(3.0), m.jit(g)(3.0), m.grad(m.jit(f))(2.0)


def tangents(m):
    @m.custom_jvp
    def f(x):
        return m.numpy.sin(x)

    @f.defjvp
    def _(primals, tangents):
        m.debug.callback(record, tangents[0])
        return f(primals[0]), tangents[0] * m.numpy.cos(primals[0])

    jvp = lambda x, t: m.jvp(f, (x,), (t,))[0]
    return jvp(0.0, 2.0), m.jit(jvp)(0.0, 3.0), m.grad(f)(0.0), m.jit(m.grad(f))(0.0)


def cotangents(m):
    @m.custom_vjp
    def f(x):
        return 2.0 * x

    def backward(_, g):
        m.debug.callback(record, g, ordered=True)
        return (2.0 * g,)

    f.defvjp(lambda x: (2.0 * x, None), backward)
    return m.grad(f)(0.5), m.jit(m.grad(m.jit(lambda x: 3 * f(x))))(0.5)


def batched(m):
    def f(x, y):
        m.debug.print("x={}", x)
        m.debug.print("y={}", y, ordered=True)
        return x * y

    mapped = m.vmap(f, (0, None))
    return mapped(jnp.arange(3.0), 2.0), m.jit(mapped)(jnp.arange(2.0), 2.0)


def loop(m):
    def body(c, x):
        m.debug.print("c={} x={}", c, x, ordered=True)
        return c + x, c

    def f(x):
        m.debug.print("before", ordered=True)
        result = m.lax.scan(body, 0.0, x, unroll=2)
        m.debug.print("after", ordered=True)
        return result

    reverse = m.jit(lambda x: m.lax.scan(body, 0.0, x, reverse=True))
    return m.jit(f)(jnp.arange(5.0)), reverse(jnp.arange(3.0)), f(jnp.arange(0.0))


def loop_differentiated(m):
    def body(c, x):
        m.debug.print("c={}", c, ordered=True)
        return c * x, m.numpy.sin(c)

    f = m.grad(lambda x: m.lax.scan(body, 1.0, x)[0])
    return f(jnp.arange(1.0, 4.0)), m.jit(f)(jnp.arange(1.0, 4.0))


def while_loop(m):
    def body(i):
        m.debug.print("i={}", i, ordered=True)
        return i + 1

    def f(n):
        return m.lax.while_loop(lambda i: i < n, body, 0)

    bound = m.jit(lambda n: m.lax.fori_loop(0, n, lambda i, x: body(x), 10))
    return m.jit(f)(3), f(0), bound(2), m.vmap(f)(jnp.arange(3))


def condition_with_an_effect(m):
    def going(n, i):
        m.debug.print("test {}", i, ordered=True)
        m.debug.callback(record, i)
        return i < n

    f = m.jit(lambda n: m.lax.while_loop(lambda i: going(n, i), lambda i: i + 1, 0))
    return f(3), f(0)


def while_loop_forward(m):
    def f(x):
        def body(state):
            i, x = state
            m.debug.print("x={}", x)
            x = m.lax.cond(i > 1, lambda x: (m.debug.print("last"), x)[1], lambda x: x * 3, x)
            return i + 1, x * 2

        return m.lax.while_loop(lambda s: s[0] < 3, body, (0, x))[1]

    return m.jvp(f, (1.0,), (1.0,)), m.jit(lambda x: m.jvp(f, (x,), (1.0,)))(1.0)


def choice(m):
    def one(x):
        m.debug.print("true {}", x, ordered=True)
        return x

    def f(p, x):
        m.debug.print("before", ordered=True)
        y = m.lax.cond(p, one, lambda x: -x, x)
        m.debug.print("after", ordered=True)
        return y

    jitted = m.jit(f)
    each = m.vmap(f)(jnp.array([True, False]), jnp.arange(2.0))
    return jitted(True, 1.0), jitted(False, 2.0), m.grad(f, 1)(True, 4.0), each


def impure(m):
    call = m.experimental.io_callback

    def f(x):
        call(echo, like(x), x + 10, ordered=False)  # its result is not used
        y = call(echo, like(x), x, ordered=True)
        call(record, None, x + 1, ordered=True)
        return y * 2

    def body(c, x):
        y = call(echo, like(x), x, ordered=True)
        return c + y, y

    return m.jit(f)(1.0), m.jit(lambda x: m.lax.scan(body, 0.0, x))(jnp.arange(3.0))


def impure_beside_a_derivative(m):
    def f(x):
        m.experimental.io_callback(echo, like(x), jax.lax.stop_gradient(x), ordered=True)
        return x * x

    return m.grad(f)(3.0), m.jit(m.grad(m.jit(f)))(4.0)


def impure_batched(m):
    f = m.vmap(lambda x: m.experimental.io_callback(echo, like(x), x))
    return f(jnp.arange(3.0)), m.jit(f)(jnp.arange(2.0))


def pure(m):
    def f(x):
        return m.pure_callback(np.square, like(x), x, vmap_method="expand_dims")

    jitted = m.jit(f)
    both = m.vmap(f)(jnp.arange(3.0)), m.jit(m.vmap(f))(jnp.arange(2.0))
    return f(2.0), jitted(3.0), jitted(4.0), jitted(5.0), both


def pure_with_a_rule(m):
    @m.custom_jvp
    def f(x):
        return m.pure_callback(np.square, like(x), x, vmap_method="sequential")

    f.defjvp(lambda p, t: (f(p[0]), 2 * p[0] * t[0]))
    return m.grad(f)(3.0), m.jit(m.grad(f))(3.0), m.vmap(m.grad(f))(jnp.arange(2.0))


def rematerialised(m):
    def f(x):
        y = m.numpy.sin(x)
        m.debug.print("y={:.3f}", y)
        return m.numpy.sin(y)

    return m.jit(lambda x: m.checkpoint(f)(x) * 0)(1.0), m.jit(m.grad(f))(0.0)


CASES = [
    outside_jit,
    unused_value,
    nested_functions,
    derivative,
    tangents,
    cotangents,
    batched,
    loop,
    loop_differentiated,
    while_loop,
    condition_with_an_effect,
    while_loop_forward,
    choice,
    impure,
    impure_beside_a_derivative,
    impure_batched,
    pure,
    pure_with_a_rule,
    rematerialised,
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_as_in_jax(case):
    expected = observe(case, jax)
    assert observe(case, jaxcore) == expected


def under_jax(f):
    return {
        "grad": lambda: jax.grad(f)(1.0),
        "jit of grad": lambda: jax.jit(jax.grad(f))(1.0),
        "scan": lambda: jax.lax.scan(lambda c, x: (f(c + x), c), 0.0, jnp.arange(2.0))[0],
        "cond": lambda: jax.jit(lambda x: jax.lax.cond(x > 0, f, lambda x: x, x))(1.0),
        "while": lambda: jax.jit(lambda x: jax.lax.while_loop(lambda x: x < 2, f, x))(1.0),
    }


@pytest.mark.parametrize("name", ["grad", "jit of grad", "scan", "cond", "while"])
def test_inside_transformations_of_jax(name):
    def f(m):
        @m.jit
        def f(x):
            m.debug.print("x={}", x, ordered=True)
            return x * 2.0

        return under_jax(f)[name]()

    assert observe(f, jaxcore) == observe(f, jax)
