"""Both directions with JAX: its transformations inside ours, and ours inside its."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxcore

X = np.array([0.3, -1.2, 2.1], np.float32)
W = np.array([[0.5, 0.1, -0.2], [0.0, 1.0, 0.3], [0.7, -0.4, 0.2]], np.float32)


def close(ours, theirs, tolerance=1e-5):
    chex.assert_trees_all_equal_shapes_and_dtypes(ours, theirs)
    chex.assert_trees_all_close(ours, theirs, rtol=tolerance, atol=tolerance)


def wave(x):
    return jnp.sum(jnp.sin(x) * x)


# --- JAX's transformations on our tracers --------------------------------------------------------


def scan(x):
    def body(carry, w):
        carry = jnp.tanh(w * carry)
        return carry, jnp.sum(carry)

    carry, sums = jax.lax.scan(body, x, jnp.arange(1.0, 4.0))
    return jnp.sum(carry) + jnp.sum(sums)


def scan_over_captured(x):
    """The body closes over a traced value, and runs backwards in unrolled steps."""
    body = lambda c, t: (c + t * jnp.sum(x**2), c)
    c, ys = jax.lax.scan(body, jnp.sum(x), jnp.arange(4.0), reverse=True, unroll=2)
    return c + jnp.sum(ys)


def cond(x):
    return jax.lax.cond(jnp.sum(x) > 0, wave, lambda x: jnp.sum(x**3), x)


def switch(x):
    return jax.lax.switch(jnp.int32(2), [wave, jnp.sum, lambda x: jnp.sum(jnp.exp(x))], x)


def fori(x):
    return jax.lax.fori_loop(0, 3, lambda i, c: c + i * jnp.sin(c), jnp.sum(x))


def checkpointed(x):
    return wave(jax.checkpoint(lambda x: jnp.sin(jnp.sin(x)))(x))


def jitted(x):
    return jax.jit(wave)(x) + jax.jit(jax.jit(wave))(x * 2)


def jax_grad(x):
    return jnp.sum(jax.grad(wave)(x) ** 2)


def jax_vmap(x):
    return jnp.sum(jax.vmap(lambda a, b: a * jnp.sin(b), (0, None))(x, x) ** 2)


def jax_jvp(x):
    return jax.jvp(wave, (x,), (x,))[1]


def jax_vjp(x):
    y, back = jax.vjp(lambda x: jnp.sin(x) * x, x)
    return jnp.sum(back(y)[0])


def jax_linearize(x):
    y, f = jax.linearize(jnp.sin, x)
    return jnp.sum(f(y))


def jax_hessian(x):
    return jnp.sum(jax.hessian(wave)(x))


def jax_jacobians(x):
    f = lambda x: jnp.sin(x) * x[::-1]
    return jnp.sum(jax.jacrev(f)(x) ** 2) + jnp.sum(jax.jacfwd(f)(x) ** 3)


def associative(x):
    return jnp.sum(jax.lax.associative_scan(jnp.multiply, x))


def mapped(x):
    return jnp.sum(jax.lax.map(lambda v: jnp.sin(v) * x, x))


def custom_root(x):
    solve = lambda f, y: jax.lax.fori_loop(0, 30, lambda _, z: z - f(z) / 2.0, y)
    return jax.lax.custom_root(
        lambda y: y + 0.1 * jnp.sin(y) - jnp.sum(x), jnp.zeros(()), solve, lambda g, y: y / g(1.0)
    )


def axis_name(x):
    return jnp.sum(
        jax.vmap(lambda v: jnp.exp(v) / jax.lax.psum(jnp.exp(v), "i"), axis_name="i")(x) ** 2
    )


def closure_convert(x):
    f, consts = jax.closure_convert(lambda y: y * jnp.sum(x**2), x[0])
    return f(x[1], *consts)


def ode(x):
    """A custom_vjp around loops: tangents there have another weak type than their primals."""
    from jax.experimental.ode import odeint

    return jnp.sum(odeint(lambda y, t, x: -y * jnp.sum(x), x, jnp.array([0.0, 0.1]), x)[-1])


def linear_transpose(x):
    return jnp.sum(jax.linear_transpose(lambda v: jnp.asarray(W) @ v, x)(x)[0] * x)


def mixed(x):
    """Ours inside JAX's inside ours."""
    inner = lambda x: jnp.sum(jax.grad(lambda x: jaxcore.jit(wave)(x) ** 2)(x))
    return jaxcore.jit(lambda x: jax.jit(jaxcore.grad(inner))(x).sum())(x)


INSIDE = [
    scan,
    scan_over_captured,
    cond,
    switch,
    fori,
    checkpointed,
    jitted,
    jax_grad,
    jax_vmap,
    jax_jvp,
    jax_vjp,
    jax_linearize,
    jax_hessian,
    jax_jacobians,
    associative,
    mapped,
    custom_root,
    axis_name,
    closure_convert,
    linear_transpose,
    mixed,
]


@pytest.mark.parametrize("f", INSIDE, ids=lambda f: f.__name__)
@pytest.mark.rank_promotion
def test_functions_of_jax_inside_ours(f):
    xs = np.stack([X, -X])

    def everything(t):
        gradient = t.grad(f)

        def run(x, xs):
            return {
                "value": f(x),
                "grad": gradient(x),
                "vmap": t.vmap(f)(xs),
                "vmap of grad": t.vmap(gradient)(xs),
                "second": t.grad(lambda x: jnp.sum(gradient(x) * x))(x),
            }

        return run

    close(jaxcore.jit(everything(jaxcore))(X, xs), jax.jit(everything(jax))(X, xs), 1e-4)


@pytest.mark.parametrize("f", [scan, cond, jitted, jax_grad, mixed], ids=lambda f: f.__name__)
@pytest.mark.rank_promotion
def test_functions_of_jax_inside_ours_with_values(f):
    close(jaxcore.grad(f)(X), jax.grad(f)(X), 1e-4)


@pytest.mark.rank_promotion
def test_an_integrator_of_jax_to_second_order():
    def second(t):
        return t.jit(t.grad(lambda x: jnp.sum(t.grad(ode)(x) * x)))

    close(second(jaxcore)(X), second(jax)(X), 1e-4)


def test_disabled_jit_runs_python_with_values():
    seen = []
    f = jaxcore.jit(lambda x: seen.append(x) or jnp.sum(jnp.sin(x)))
    with jax.disable_jit():
        close(f(X), jnp.sum(jnp.sin(X)))
        close(jaxcore.grad(f)(X), jnp.cos(X))
    assert isinstance(seen[0], np.ndarray)


def test_a_while_loop_runs_and_batches_and_goes_forward():
    def f(x):
        return jax.lax.while_loop(lambda c: jnp.sum(c) < 100.0, lambda c: c * 2.0 + 1.0, x)

    close(jaxcore.jit(f)(X), f(X))
    xs = np.stack([X, X * 10])
    close(jaxcore.jit(jaxcore.vmap(f))(xs), jax.vmap(f)(xs))
    close(jaxcore.jvp(f, (X,), (X,)), jax.jvp(f, (X,), (X,)))
    with pytest.raises((ValueError, NotImplementedError), match="(?i)while"):
        jaxcore.grad(lambda x: jnp.sum(f(x)))(X)


# --- custom derivatives --------------------------------------------------------------------------


@jax.custom_jvp
def doubled_slope(x):
    return jnp.sin(x)


@doubled_slope.defjvp
def _(primals, tangents):
    return doubled_slope(primals[0]), 2.0 * jnp.cos(primals[0]) * tangents[0]


@jax.custom_vjp
def clipped(x, limit):
    return x * 2.0


clipped.defvjp(
    lambda x, limit: (clipped(x, limit), limit),
    lambda limit, ct: (jnp.clip(ct, -limit, limit) * 2.0, None),
)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 2))
def apply_power(f, x, n):
    return f(x) ** n


@apply_power.defjvp
def _(f, n, primals, tangents):
    return apply_power(f, primals[0], n), n * 100.0 * tangents[0]


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def scaled(n, tree):
    return {"y": tree["a"] * n + tree["b"]}


scaled.defvjp(
    lambda n, tree: (scaled(n, tree), None),
    lambda n, _, ct: ({"a": ct["y"] * n * 10.0, "b": -ct["y"]},),
)

CUSTOM = {
    "custom_jvp": lambda x: jnp.sum(doubled_slope(x)),
    "nested": lambda x: jnp.sum(doubled_slope(doubled_slope(x) * x)),
    "custom_vjp": lambda x: jnp.sum(clipped(x, 0.5) ** 2),
    "nondiff": lambda x: jnp.sum(apply_power(jnp.sin, x, 3)),
    "pytree": lambda x: jnp.sum(scaled(3, {"a": x, "b": x**2})["y"] ** 2),
    "in a scan": lambda x: jax.lax.scan(lambda c, _: (doubled_slope(c), c), x, None, 3)[0].sum(),
    "in a jit": lambda x: jnp.sum(jax.jit(lambda x: clipped(doubled_slope(x), 1.0))(x)),
    "relu6": lambda x: jnp.sum(jax.nn.relu6(x) * jax.nn.silu(x) + jax.nn.elu(x)),
    "logsumexp": lambda x: jax.nn.logsumexp(x) + jax.nn.log_softmax(x)[0],
}


def unrolled_second(x):
    f = lambda x: jnp.sum(doubled_slope(doubled_slope(doubled_slope(x))))
    return jax.jit(jax.grad(lambda x: jnp.sum(jax.grad(f)(x) * x)))(x)


@pytest.mark.parametrize("name", CUSTOM)
def test_custom_derivatives_of_jax(name):
    f = CUSTOM[name]
    xs = np.stack([X, X * 2])

    def everything(t):
        gradient = t.grad(f)

        def run(x, xs):
            second = t.grad(lambda x: jnp.sum(gradient(x) * x))(x)
            return f(x), gradient(x), t.vmap(f)(xs), t.vmap(gradient)(xs), second

        return run

    theirs = jax.jit(everything(jax))(X, xs)
    ours = jaxcore.jit(everything(jaxcore))(X, xs)
    if name == "in a scan":  # JAX's second derivative forgets the rule; an unrolled loop does not
        theirs = (*theirs[:-1], unrolled_second(X))
    close(ours, theirs)
    close(jaxcore.grad(f)(X), theirs[1])


@pytest.mark.parametrize("name", ["custom_jvp", "custom_vjp", "nondiff", "pytree"])
def test_custom_derivatives_of_ours_are_those_of_jax(name):
    f = CUSTOM[name]
    close(jax.jit(jax.grad(jaxcore.jit(f)))(X), jax.jit(jax.grad(f))(X))
    close(jax.jit(jax.vmap(jax.grad(jaxcore.jit(f))))(X[None]), jax.vmap(jax.grad(f))(X[None]))


def test_static_arguments_of_a_rule_are_told_apart_by_type():
    """1, 1.0 and True are equal, and the rules that they select are not."""
    seen = []

    @functools.partial(jaxcore.custom_jvp, nondiff_argnums=(0,))
    def f(n, x):
        return x * 1.0

    @f.defjvp
    def rule(n, primals, tangents):
        seen.append(type(n))
        return f(n, primals[0]), tangents[0] * (5.0 if type(n) is float else 7.0)

    g = jaxcore.jit(jaxcore.grad(lambda x: f(1, x) + 10 * f(1.0, x) + 100 * f(True, x)))
    assert float(g(1.0)) == 7 + 50 + 700
    assert {int, float, bool} <= set(seen)


def test_a_rule_that_closes_over_changing_values_is_not_confused():
    def make(scale):
        @jaxcore.custom_vjp
        def f(x):
            return x * 1.0

        f.defvjp(lambda x: (x, None), lambda _, ct: (ct * scale,))
        return f

    g = jaxcore.jit(jaxcore.grad(lambda x: make(3.0)(x) + make(4.0)(x)))
    assert float(g(1.0)) == 7.0


def test_symbolic_zeros_reach_the_rule():
    seen = []

    @jaxcore.custom_jvp
    def f(x, y):
        return x * y

    def rule(primals, tangents):
        seen.append([type(t).__name__ for t in tangents])
        (x, y), (tx, ty) = primals, tangents
        zero = jax.custom_derivatives.SymbolicZero
        out = jnp.zeros_like(x)
        if type(tx) is not zero:
            out = out + tx * y
        if type(ty) is not zero:
            out = out + ty * x
        return x * y, out

    f.defjvp(rule, symbolic_zeros=True)
    close(jaxcore.jit(jaxcore.grad(f))(2.0, 3.0), jnp.float32(3.0))
    assert seen[-1][1] == "SymbolicZero" and seen[-1][0] != "SymbolicZero"
    close(jaxcore.grad(f, 1)(2.0, 3.0), jnp.float32(2.0))


def test_symbolic_zeros_of_custom_vjp():
    perturbed = []

    @jaxcore.custom_vjp
    def f(x, y):
        return x * y, x

    def fwd(x, y):
        perturbed.append((x.perturbed, y.perturbed))
        return (x.value * y.value, x.value), (x.value, y.value)

    def bwd(residuals, cts):
        x, y = residuals
        zero = jax.custom_derivatives.SymbolicZero
        assert isinstance(cts[1], zero)
        return cts[0] * y, cts[0] * x

    f.defvjp(fwd, bwd, symbolic_zeros=True)
    close(jaxcore.grad(lambda x: f(x, 3.0)[0])(2.0), jnp.float32(3.0))
    assert perturbed[-1] == (True, False)


def test_a_rule_of_ours_closes_over_a_traced_argument():
    def f(x, scale):
        @jaxcore.custom_jvp
        def g(x):
            return x * scale

        g.defjvp(lambda p, t: (g(p[0]), t[0] * scale * 2.0))
        return g(x)

    close(jaxcore.jit(jaxcore.grad(f))(1.0, 3.0), jnp.float32(6.0))
    close(jaxcore.vmap(jaxcore.grad(f))(X, X), 2 * X)


# --- ours inside JAX's ---------------------------------------------------------------------------


def ours_jit(x):
    return jaxcore.jit(lambda x: jnp.sum(jnp.sin(x) * x))(x)


def ours_grad(x):
    return jnp.sum(jaxcore.grad(wave)(x) ** 2)


def ours_vmap(x):
    return jnp.sum(jaxcore.vmap(lambda a, b: a * jnp.sin(b), (0, None))(x, 2.0) ** 2)


def ours_jvp(x):
    return jaxcore.jvp(wave, (x,), (x,))[1]


def ours_plain(x):
    return jaxcore.numpy.sum(jaxcore.numpy.tanh(x * x + 1.0) - jaxcore.numpy.exp(-x))


def ours_blocks(x):
    for _ in range(3):
        x = jaxcore.block(lambda x: jaxcore.numpy.tanh(x) * 2.0, x, name="layer")
    return jaxcore.numpy.sum(x)


def ours_nested(x):
    return jaxcore.jit(
        jaxcore.grad(lambda x: jnp.sum(jaxcore.vmap(jaxcore.grad(wave))(jnp.stack([x, x])) ** 2))
    )(x).sum()


def ours_captured(x):
    """A jitted function that closes over JAX's tracer."""
    return jaxcore.jit(lambda y: jnp.sum(x * jnp.sin(y)))(x * 2.0)


def ours_dot(x):
    return jaxcore.numpy.dot(jaxcore.jit(lambda x: jaxcore.numpy.asarray(W) @ x)(x), x)


def as_jax(f):
    """The same function with our transformations and namespace replaced by JAX's."""
    names = {
        "jit": jax.jit,
        "grad": jax.grad,
        "vmap": jax.vmap,
        "jvp": jax.jvp,
        "numpy": jnp,
        "block": lambda f, *args, name: f(*args),
    }
    fake = type(
        "jaxcore", (), {k: staticmethod(v) if k != "numpy" else v for k, v in names.items()}
    )
    return type(f)(f.__code__, {**f.__globals__, "jaxcore": fake}, f.__name__)


OURS = [
    ours_jit,
    ours_grad,
    ours_vmap,
    ours_jvp,
    ours_plain,
    ours_blocks,
    ours_nested,
    ours_captured,
    ours_dot,
]


@pytest.mark.parametrize("f", OURS, ids=lambda f: f.__name__)
def test_ours_inside_the_transformations_of_jax(f):
    xs = np.stack([X, X * 2])

    def everything(f, x, xs):
        return {
            "jit": jax.jit(f)(x),
            "grad": jax.grad(f)(x),
            "vmap": jax.vmap(f)(xs),
            "vmap of grad": jax.vmap(jax.grad(f))(xs),
            "jvp": jax.jvp(f, (x,), (x,))[1],
            "checkpoint": jax.grad(jax.checkpoint(f))(x),
            "second": jax.grad(lambda x: jnp.sum(jax.grad(f)(x) * x))(x),
            "forward over reverse": jax.jvp(jax.grad(f), (x,), (x,))[1],
            "linearize": jax.linearize(f, x)[1](x),
            "scan": jax.grad(lambda x: jax.lax.scan(lambda c, t: (c * t + f(x * c), c), 1.0, x)[0])(
                x
            ),
            "cond": jax.grad(lambda x: jax.lax.cond(x[0] > 0, f, lambda x: -f(x), x))(x),
        }

    ours = jax.jit(functools.partial(everything, f))(X, xs)
    theirs = jax.jit(functools.partial(everything, as_jax(f)))(X, xs)
    close(ours, theirs, 1e-4)


@pytest.mark.parametrize(
    "f", [ours_jit, ours_grad, ours_plain, ours_nested], ids=lambda f: f.__name__
)
def test_ours_inside_the_gradient_of_jax_with_values(f):
    close(jax.grad(f)(X), jax.grad(as_jax(f))(X), 1e-4)
    close(jax.vmap(f)(X[None]), jax.vmap(as_jax(f))(X[None]), 1e-4)


def test_ours_in_a_while_loop_of_jax():
    def f(x):
        body = lambda c: jaxcore.jit(lambda c: c * 2.0)(c)
        return jax.lax.while_loop(lambda c: jnp.sum(c) < 100.0, body, x)

    close(jax.jit(f)(X), jax.lax.while_loop(lambda c: jnp.sum(c) < 100.0, lambda c: c * 2.0, X))


def test_ours_lowers_into_one_module_of_jax():
    text = jax.jit(lambda x: ours_blocks(x) + ours_blocks(x * 2)).lower(X).as_text()
    assert text.count("stablehlo.tanh") <= 6


def test_a_closed_over_array_stays_the_same_through_both():
    table = jnp.asarray(np.arange(9, dtype=np.float32).reshape(3, 3))
    ours = jaxcore.jit(lambda x: jnp.sum(table @ x))
    close(jax.jit(jax.grad(ours))(X), jnp.sum(table, axis=0))


def test_integers_and_keys_pass_through_the_gradients_of_jax():
    @jaxcore.jit
    def f(x, n, key):
        return x**n * jnp.sum(jax.random.uniform(key, (2,))), n + 1

    args = (2.0, 3, jax.random.key(0))
    (value, n), gradient = jax.value_and_grad(f, has_aux=True)(*args)
    want = 12.0 * jnp.sum(jax.random.uniform(args[2], (2,)))
    close(gradient, want)
    assert int(n) == 4


def test_effects_of_jax_inside_ours(capfd):
    @jaxcore.jit
    def f(x):
        jax.debug.print("x is {}", x)
        return x + 1

    f(1.0)
    jax.effects_barrier()
    assert "x is 1.0" in capfd.readouterr().out


def test_callbacks_of_jax_inside_ours():
    def f(x):
        shape = jax.ShapeDtypeStruct((3,), np.float32)
        return jax.pure_callback(lambda v: np.sin(v), shape, x, vmap_method="sequential")

    close(jaxcore.jit(f)(X), np.sin(X))
    close(jaxcore.vmap(f)(X[None]), np.sin(X)[None])


def test_flax_modules_inside_ours():
    linen = pytest.importorskip("flax.linen")
    model = linen.Sequential([linen.Dense(4), linen.relu, linen.Dense(1)])
    variables = model.init(jax.random.key(0), X)
    loss = lambda v: jnp.sum(model.apply(v, X) ** 2)
    close(jaxcore.jit(jaxcore.grad(loss))(variables), jax.grad(loss)(variables))


def test_eval_shape_and_make_jaxpr_of_jax_accept_ours():
    f = jaxcore.jit(lambda x: jnp.sin(x) * 2)
    assert jax.eval_shape(f, X).shape == (3,)
    assert jax.eval_shape(lambda x: f(x), X).shape == (3,)
    assert "jaxcore_program" in str(jax.make_jaxpr(lambda x: f(x))(X))


def test_types_stand_in_for_arrays():
    f = jaxcore.jit(lambda x: jnp.sin(x) * 2)
    like = jax.ShapeDtypeStruct((3,), np.float32)
    close(f.lower(like).compile()(X), jnp.sin(X) * 2)
    assert f.trace(like).out_info.shape == (3,)
    assert str(jaxcore.make_jaxpr(f)(like)) == str(jaxcore.make_jaxpr(f)(X))
