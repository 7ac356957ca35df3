"""An equation says which line it computes, and what of it, also where a derivative made it."""

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import lax


def body(carry, x):
    carry = carry * jnp.log(x)  # + 1
    return carry, jnp.sin(carry)  # + 2


def f(x):
    a = jnp.sin(x)  # + 1
    b = jnp.sin(a)  # + 2
    total, rows = lax.scan(body, b[0], b)
    return total + jnp.sum(rows)


def places(program):
    """(primitive, line, phase) of each equation, called programs included."""
    for eq in program.equations:
        yield eq.primitive.name, eq.source.line, eq.source.phase
        if "program" in eq.params:
            yield from places(eq.params["program"])


def line(function, offset):
    return function.__code__.co_firstlineno + offset


def test_a_repeated_operation_keeps_its_own_line_under_a_derivative():
    found = list(places(jaxcore.make_jaxpr(jaxcore.grad(f))(jnp.ones(3))))
    for offset in (1, 2):
        assert ("sin", line(f, offset), "forward") in found
        assert ("cos", line(f, offset), "derivative") in found
        assert ("mul", line(f, offset), "backward") in found
    assert ("log", line(body, 1), "forward") in found
    assert ("div", line(body, 1), "backward") in found
    assert ("cos", line(body, 2), "derivative") in found
    assert ("scan", line(f, 3), "forward") in found and ("scan", line(f, 3), "backward") in found


def test_a_memoised_split_takes_the_line_of_each_use():
    def first(x):
        return jnp.tanh(x)

    def second(x):  # the same operation on another line
        return jnp.tanh(x) * 2.0

    for function in (first, second):
        program = jaxcore.make_jaxpr(jaxcore.grad(function))(1.0)
        assert ("tanh", line(function, 1), "forward") in places(program)


def test_forward_mode_is_no_backward_pass():
    program = jaxcore.make_jaxpr(lambda x: jaxcore.jvp(f, (x,), (x,)))(jnp.ones(3))
    assert {phase for _, _, phase in places(program)} == {"forward", "derivative"}
