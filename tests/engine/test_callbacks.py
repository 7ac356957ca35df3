"""Callbacks: what is refused, what is shared, and the debugger."""

import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxcore
from jaxcore.passes.effects import without_effects

seen = []


def record(x, *_):
    seen.append(np.asarray(x).tolist())


def echo(x):
    return np.asarray(x)


def like(x):
    return jax.ShapeDtypeStruct(np.shape(x), jnp.result_type(x))


@pytest.mark.parametrize("transform, ordered", [("grad", False), ("vmap", True)])
def test_what_io_callback_refuses(transform, ordered):
    def f(m):
        call = m.experimental.io_callback
        getattr(m, transform)(lambda x: call(echo, like(x), x, ordered=ordered))(
            jnp.ones(3) if transform == "vmap" else 1.0
        )

    with pytest.raises(ValueError) as expected:
        f(jax)
    with pytest.raises(ValueError) as got:
        f(jaxcore)
    assert str(got.value).startswith(str(expected.value))
    assert "Your line:" in str(got.value)


def test_pure_callback_has_no_derivative_of_its_own():
    f = jaxcore.jit(lambda x: jaxcore.pure_callback(np.square, like(x), x))
    with pytest.raises(ValueError, match="custom_jvp"):
        jaxcore.grad(f)(1.0)


def test_a_failing_callback_fails_the_program():
    def fail(x):
        raise RuntimeError("out of paper")

    f = jaxcore.jit(lambda x: jaxcore.pure_callback(fail, like(x), x))
    with pytest.raises(jax.errors.JaxRuntimeError, match="out of paper"):
        f(1.0).block_until_ready()


def test_a_used_io_callback_in_a_while_loop_has_no_forward_mode():
    def body(state):
        i, x = state
        i = jaxcore.experimental.io_callback(echo, like(i), i, ordered=True)
        return i + 1, x * 2

    f = lambda x: jaxcore.lax.while_loop(lambda s: s[0] < 3, body, (0, x))[1]
    with pytest.raises(NotImplementedError, match="(?s)io_callback.*test_callbacks.py.*Fix:"):
        jaxcore.jvp(f, (1.0,), (1.0,))


def test_blocks_that_call_back_are_one_program():
    def layer(x):
        jaxcore.debug.print("{x}", x=x, ordered=True)
        jaxcore.debug.callback(record, x, "text")
        return jaxcore.numpy.tanh(x) * 2 + 1

    def model(x):
        for _ in range(3):
            x = jaxcore.block(layer, x, name="layer")
        return x

    lowered = jaxcore.jit(model).lower(np.float32(1))
    assert len({eq.params["program"] for eq in lowered.program.equations}) == 1
    assert len(lowered.program.effects) == 2
    text = lowered.as_text()
    assert text.count("func.func private @layer") == 1
    assert text.count("call @layer") == 3


def test_effects_survive_and_their_removal_is_complete():
    def f(n, x):
        def body(c, _):
            jaxcore.debug.print("c={}", c)
            return c + jaxcore.block(lambda c: (jaxcore.debug.print("in"), c)[1], c, name="b"), None

        return jaxcore.lax.cond(
            n > 0, lambda x: jaxcore.lax.scan(body, x, None, length=2)[0], lambda x: x, x
        )

    program = jaxcore.make_jaxpr(f)(1, 1.0)
    quiet = without_effects(program)
    assert program.effects and not quiet.effects
    assert quiet is without_effects(program)
    assert without_effects(quiet) is quiet


def test_effects_between_parts_and_sums_stay(capfd):
    def f(x):
        jax.debug.print("one", ordered=True)
        joined = jnp.concatenate([x[:1], x[1:]])
        jax.debug.print("two", ordered=True)
        return joined + jnp.pad(x[1:], (0, 1)) + jnp.pad(x[:1], (2, 0))[:3]

    x = jnp.arange(3.0)
    np.testing.assert_array_equal(jaxcore.jit(f)(x), f(x))
    jax.effects_barrier()
    assert capfd.readouterr().out.split() == ["one", "two"] * 2


def test_callback_in_two_steps_and_its_errors():
    def f(x):
        jaxcore.debug.callback(ordered=True)(record, x)
        return x

    seen.clear()
    jaxcore.jit(f)(1.0)
    jax.effects_barrier()
    assert seen == [1.0]
    with pytest.raises(TypeError, match="must be a function, got 3 of type int"):
        jaxcore.debug.callback(3)
    with pytest.raises(TypeError, match="pass the function first"):
        jaxcore.debug.callback(x=1.0)


@pytest.mark.parametrize("m", [jax, jaxcore], ids=["jax", "jaxcore"])
def test_breakpoint_shows_values(m):
    stdin, stdout = io.StringIO("p x\nc\n"), io.StringIO()

    def f(x):
        y = x + 1
        jaxcore.debug.breakpoint(stdin=stdin, stdout=stdout, backend="cli", num_frames=1)
        return y * 2

    assert m.jit(f)(1.0) == 4
    jax.effects_barrier()
    assert "Array(1., dtype=float32" in stdout.getvalue()


def test_sharding_is_shown():
    shown = []

    def f(x):
        jaxcore.debug.inspect_array_sharding(x * 2, callback=shown.append)
        return x

    jaxcore.jit(f)(np.ones(4, np.float32))
    assert shown
