"""Loops: types, signatures and mistakes as in JAX, and while_loop with a bound on its steps."""

import jax
import jax.numpy
import numpy as np
import pytest

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import lax

XS = np.ones(3, np.float32)
NUMBERS = np.arange(3, dtype=np.int8)

# Loops as functions of (lax, array namespace), whose results have JAX's types, weak ones included.
TYPED = {
    "weak carry, strong result": lambda lax_, np_: lax_.scan(lambda c, x: (c + x, c), 0.0, XS),
    "weak carry of a narrow type": lambda lax_, np_: lax_.scan(
        lambda c, x: (c + x, c), 0.0, np_.ones(3, "bfloat16")
    ),
    "an int that becomes a float": lambda lax_, np_: lax_.scan(lambda c, x: (c + x, c), 0, XS),
    "an int that becomes narrow": lambda lax_, np_: lax_.scan(lambda c, x: (c + x, c), 0, NUMBERS),
    "weak throughout": lambda lax_, np_: lax_.scan(lambda c, x: (c * 2, c), 0.0, XS),
    "carries that change places": lambda lax_, np_: lax_.scan(
        lambda c, x: ((c[1], c[0] + x), c), (0, 0.0), XS
    ),
    "a list for a pair": lambda lax_, np_: tuple(lax_.scan(lambda c, x: [c + x, x * 2], 0.0, XS)),
    "passed on": lambda lax_, np_: lax_.scan(
        lambda c, x: ((c[0], c[1] + 1), x), (np_.zeros(2), 0), np_.asarray(XS)
    ),
    "no length but that": lambda lax_, np_: lax_.scan(
        lambda c, _: (c + 1.0, c), 0.0, length=np.int32(3)
    ),
    "unroll=0": lambda lax_, np_: lax_.scan(lambda c, x: (c + x, c), 0.0, XS, unroll=0),
    "while": lambda lax_, np_: lax_.while_loop(
        lambda c: c[0] < 3, lambda c: (c[0] + 1, c[1] + np_.sum(XS)), (0, 0.0)
    ),
    "fori index": lambda lax_, np_: lax_.fori_loop(0, 3, lambda i, c: i, 0),
    "fori of int8": lambda lax_, np_: lax_.fori_loop(0, 3, lambda i, c: c + i, np.int8(0)),
    "fori of float bounds": lambda lax_, np_: lax_.fori_loop(0.0, 3.0, lambda i, c: c + i, 0.0),
    "fori of mixed bounds": lambda lax_, np_: lax_.fori_loop(0, np.int32(3), lambda i, c: c + i, 0),
    "fori traced": lambda lax_, np_: jax.jit(lambda n: lax_.fori_loop(0, n, lambda i, c: c + i, 0))(
        3
    ),
    "fori without steps": lambda lax_, np_: lax_.fori_loop(5, 3, lambda i, c: c + i, 1.0),
    "map of nothing": lambda lax_, np_: lax_.map(lambda x: x * 2, np_.zeros((0, 3))),
    "map in batches": lambda lax_, np_: lax_.map(
        lambda x: np_.sum(x) * x, np_.arange(14.0).reshape(7, 2), batch_size=3
    ),
    "map in one batch": lambda lax_, np_: lax_.map(lambda x: x * 2, np_.ones(3), batch_size=9),
    "map with batch_size=0": lambda lax_, np_: lax_.map(lambda x: x * 2, np_.ones(3), batch_size=0),
    "map of nothing in batches": lambda lax_, np_: lax_.map(
        lambda x: x * 2, np_.zeros((0, 3)), batch_size=2
    ),
    "map of a tree": lambda lax_, np_: lax_.map(
        lambda x: {"y": x["a"] + x["b"]}, {"a": np_.ones(4), "b": np_.arange(4)}, batch_size=2
    ),
}


@pytest.mark.parametrize("name", TYPED)
def test_values_and_types_are_those_of_jax(name):
    ours, theirs = TYPED[name](lax, jnp), TYPED[name](jax.lax, jax.numpy)
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs)):
        assert str(a.aval) == str(b.aval)
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def test_what_a_scan_passes_on_is_no_carry_and_no_output():
    def f(table, xs):
        body = lambda c, x: ((c[0], c[1] + jnp.sum(c[0] * x)), (x, x * 2))
        return lax.scan(body, (table, 0.0), xs)

    (eq,) = [e for e in jaxcore.make_jaxpr(f)(XS, XS).equations if e.primitive.name == "scan"]
    assert (eq.params["n_consts"], eq.params["n_carry"], len(eq.outputs)) == (1, 1, 2)
    loss = lambda lax_, np_: (
        lambda t, xs: lax_.scan(lambda c, x: ((c[0], c[1] + np_.sum(c[0] * x)), x), (t, 0.0), xs)[
            0
        ][1]
    )
    ours = jaxcore.grad(loss(lax, jnp), (0, 1))(XS, XS)
    theirs = jax.grad(loss(jax.lax, jax.numpy), (0, 1))(XS, XS)
    np.testing.assert_allclose(ours, theirs)


# (what, class, message, call)
MISTAKES = [
    ("no function", TypeError, "f must be a function, got 3", lambda: lax.scan(3, 0.0, XS)),
    ("no pair", TypeError, "must return a pair", lambda: lax.scan(lambda c, x: c, 0.0, XS)),
    (
        "structure",
        TypeError,
        r"(?s)structure of the one it gets.*carry\['a'\].*Fix: return the carry",
        lambda: lax.scan(lambda c, x: ({"a": (c["a"], x)}, x), {"a": 0.0}, XS),
    ),
    (
        "types",
        TypeError,
        r"(?s)carry\['n'\]: in int32\[\], out float32\[\], made by add at .*loops.py.*1\.5 \+ x",
        lambda: lax.scan(lambda c, x: ({"n": c["n"] * 1.5 + x}, x), {"n": np.int32(0)}, XS),
    ),
    ("a float for an int", TypeError, "carry: in float32", lambda: lax.scan(
        lambda c, x: (x, c), 0.0, NUMBERS)),
    ("sizes", ValueError, "different leading sizes", lambda: lax.scan(
        lambda c, x: (c, x), 0.0, (XS, XS[:2]))),
    ("length", ValueError, "length=4", lambda: lax.scan(lambda c, x: (c, x), 0.0, XS, 4)),
    ("no length", ValueError, "neither xs nor length", lambda: lax.scan(lambda c, x: (c, x), 0.0)),
    ("scalar", ValueError, "leading axis, got a scalar", lambda: lax.scan(
        lambda c, x: (c, x), 0.0, 1.0)),
    ("unroll", ValueError, "unroll must be a bool or a non-negative int, got -1", lambda: lax.scan(
        lambda c, x: (c, x), 0.0, XS, unroll=-1)),
    ("map of no arrays", ValueError, "neither xs nor length", lambda: lax.map(
        lambda x: x, (), batch_size=2)),
    ("no condition", TypeError, "cond_fun must be a function", lambda: lax.while_loop(
        1, lambda c: c, 0)),
    ("a tree for a condition", TypeError, "must return a boolean scalar", lambda: lax.while_loop(
        lambda c: (c < 3,), lambda c: c, 0)),
    ("max_steps", ValueError, "max_steps must not be negative, got -1", lambda: lax.while_loop(
        lambda c: c < 3, lambda c: c, 0, max_steps=-1)),
    ("bounds", TypeError, "lower and upper must have equal types, got uint8", lambda: lax.fori_loop(
        np.uint8(0), 3, lambda i, c: c, 0)),
    ("unroll without bounds", ValueError, "unroll needs bounds whose values are known",
     lambda: jaxcore.jit(lambda n: lax.fori_loop(0, n, lambda i, c: c, 0, unroll=2))(3)),
]  # fmt: skip


@pytest.mark.parametrize("_, kind, message, call", MISTAKES, ids=[m[0] for m in MISTAKES])
def test_mistakes_are_named(_, kind, message, call):
    with pytest.raises(kind, match=message):
        call()


def test_disabled_jit_loops_in_python():
    seen = []

    def body(c, x):
        seen.append(float(c))
        return c + x, c

    with jax.disable_jit():
        assert float(lax.scan(body, 0.0, XS)[0]) == 3.0
        assert float(lax.fori_loop(0, 3, lambda i, c: body(c, 1.0)[0], 0.0)) == 3.0
        assert float(lax.while_loop(lambda c: c < 3, lambda c: body(c, 1.0)[0], 0.0)) == 3.0
    assert seen == [0.0, 1.0, 2.0] * 3


def test_fori_loop_is_differentiated_where_its_bounds_are_known():
    f = lambda lax_, np_: lambda x, n: lax_.fori_loop(n - 2, n + 2, lambda i, c: np_.sin(c) * i, x)
    for t, g in ((jaxcore, f(lax, jnp)), (jax, f(jax.lax, jax.numpy))):
        np.testing.assert_allclose(t.grad(g)(0.7, 3), jax.grad(f(jax.lax, jax.numpy))(0.7, 3))
        t.jit(t.grad(g), static_argnums=1)(0.7, 3)
        with pytest.raises(ValueError, match="(?i)reverse-mode differentiation does not work"):
            t.jit(t.grad(g))(0.7, 3)


# --- while_loop(..., max_steps=n) ----------------------------------------------------------------


def grown(x, max_steps=None, lax_=lax, np_=jnp):
    bound = {} if max_steps is None else {"max_steps": max_steps}
    step = lambda c: (c[0] * x + np_.sin(c[1]), c[1] * 1.1, c[2] + 1)
    out = lax_.while_loop(lambda c: c[0] < 100.0, step, (x, x * 0.5, 0), **bound)
    return out[0] + out[1]


def unrolled(x, steps):
    """The same, `steps` steps, for JAX's derivatives."""
    a, b = x, x * 0.5
    for _ in range(steps):
        a, b = a * x + jax.numpy.sin(b), b * 1.1
    return a + b


STEPS = {1.3: 13, 1.6: 8, 50.0: 1, 200.0: 0}


@pytest.mark.parametrize("max_steps", [0, 1, 12, 13, 14, 40, 5000])
def test_bounded_while_loops_are_differentiated_in_reverse(max_steps):
    steps = min(13, max_steps)
    f = lambda x: grown(x, max_steps)
    value, gradient = jaxcore.jit(jaxcore.value_and_grad(f))(1.3)
    np.testing.assert_allclose(value, unrolled(1.3, steps), rtol=1e-5)
    np.testing.assert_allclose(f(1.3), unrolled(1.3, steps), rtol=1e-5)
    np.testing.assert_allclose(gradient, jax.grad(unrolled)(1.3, steps), rtol=1e-5)


def test_bounded_while_loops_under_every_transformation():
    xs = np.array(list(STEPS), np.float32)
    want = np.array([jax.grad(unrolled)(x, n) for x, n in STEPS.items()])
    f = lambda x: grown(x, 40)
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4)
    close(jaxcore.vmap(f)(xs), [unrolled(x, n) for x, n in STEPS.items()])
    close(jaxcore.jit(jaxcore.vmap(jaxcore.grad(f)))(xs), want)
    close(jaxcore.jit(jaxcore.grad(lambda xs: jnp.sum(jaxcore.vmap(f)(xs))))(xs), want)
    close(jaxcore.jvp(f, (1.3,), (1.0,))[1], want[0])
    close(jaxcore.jit(jaxcore.hessian(f))(1.3), jax.hessian(unrolled)(1.3, 13))
    close(jax.jit(jax.grad(f))(1.3), want[0])
    close(jaxcore.grad(jaxcore.checkpoint(f))(1.3), want[0])


def test_memory_of_bounded_while_loops_grows_with_the_root_of_the_steps():
    w, x = np.ones((32, 32), np.float32), np.ones((64, 32), np.float32)

    def kept(max_steps):
        def f(w):
            step = lambda c: jnp.tanh(c @ w)
            return jnp.sum(lax.while_loop(lambda c: c[0, 0] < 2.0, step, x, max_steps=max_steps))

        compiled = jaxcore.jit(jaxcore.grad(f)).lower(w).compile()
        return compiled.memory_analysis().temp_size_in_bytes / x.nbytes

    assert kept(1600) < 2.5 * kept(400) < 2.5 * 100


def test_steps_behind_the_end_cost_nothing(capfd):
    def f(x, n):
        def step(c):
            jax.debug.print("step")
            return c * x

        return lax.while_loop(lambda c: c < 10.0, step, x, max_steps=n)

    for run in (f, jaxcore.grad(f)):
        jax.block_until_ready(jaxcore.jit(run, static_argnums=1)(2.0, 1000))
        jax.effects_barrier()
        assert capfd.readouterr().out.count("step") == 3
    batched = jaxcore.jit(jaxcore.vmap(jaxcore.grad(lambda x: f(x, 1000))))
    jax.block_until_ready(batched(np.array([2.0, 4.0], np.float32)))
    jax.effects_barrier()
    assert capfd.readouterr().out.count("step") < 2 * 1000 / 10


def test_too_few_steps_are_found_in_the_mode_that_looks_for_nan():
    assert np.isfinite(grown(1.3, 5))
    with jax.debug_nans(True):
        np.testing.assert_allclose(grown(1.3, 13), unrolled(1.3, 13), rtol=1e-5)
        with pytest.raises(FloatingPointError, match=r"(?s)Your line: .*lax_.while_loop"):
            grown(1.3, 5)


def test_a_linear_loop_in_a_derivative_rule_is_transposed():
    @jaxcore.custom_jvp
    def f(x):
        return jnp.sin(x)

    @f.defjvp
    def rule(primals, tangents):
        (x,), (t,) = primals, tangents
        halve = lambda c: (c[0] * 0.5 * jnp.cos(x), c[1] + 1)
        return f(x), lax.while_loop(lambda c: c[1] < 3, halve, (t, 0), max_steps=20)[0]

    x = np.float32(0.3)
    np.testing.assert_allclose(jaxcore.grad(f)(x), (0.5 * np.cos(x)) ** 3, rtol=1e-6)
