"""custom_vmap, sequential_vmap, linear_call, closure_convert and custom_gradient against JAX."""

import jax
import jax.custom_batching
import jax.custom_derivatives
import jax.numpy
import numpy as np
import pytest

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import custom_batching, custom_derivatives, lax

XS, Y = np.arange(3, dtype=np.float32), np.float32(2.0)
AXES = [((0, None), (XS, {"y": Y})), ((None, 0), (Y, {"y": XS})), ((0, 0), (XS, {"y": XS + 1}))]


def close(ours, theirs, tolerance=1e-4):
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs)):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


# --- custom_vmap ---------------------------------------------------------------------------------


def odd_function(custom_vmap, np_):
    """Its rule computes something else, so that one sees who was asked."""

    @custom_vmap
    def f(x, tree):
        return {"o": np_.sin(x) * tree["y"], "n": tree["y"] * 2}

    @f.def_vmap
    def rule(size, in_batched, x, tree):
        out = {"o": np_.cos(x) * tree["y"] * size, "n": tree["y"] * 3}
        return out, {"o": in_batched[0] or in_batched[1]["y"], "n": in_batched[1]["y"]}

    return f


THEIRS = odd_function(jax.custom_batching.custom_vmap, jax.numpy)
FUNCTIONS = {"ours": odd_function(custom_batching.custom_vmap, jnp), "JAX's": THEIRS}


def pushed(t, f):
    return lambda x, tree: t.jvp(f, (x, tree), (x * 2, {"y": tree["y"] + 1}))


@pytest.mark.parametrize("axes, args", AXES, ids=str)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_custom_vmap(name, axes, args):
    f = FUNCTIONS[name]
    close(f(XS[1], {"y": Y}), THEIRS(XS[1], {"y": Y}))
    want = jax.vmap(THEIRS, axes)(*args)
    close(jaxcore.vmap(f, axes)(*args), want)
    close(jaxcore.jit(jaxcore.vmap(f, axes))(*args), want)
    close(jax.vmap(f, axes)(*args), want)
    want = jax.vmap(pushed(jax, THEIRS), axes)(*args)
    close(jaxcore.jit(jaxcore.vmap(pushed(jaxcore, f), axes))(*args), want)
    want = pushed(jax, jax.vmap(THEIRS, axes))(*args)
    close(jaxcore.jit(pushed(jaxcore, jaxcore.vmap(f, axes)))(*args), want)


def test_reverse_mode_of_custom_vmap_is_that_of_the_function():
    for f in FUNCTIONS.values():
        gradient = jaxcore.grad(lambda x, f=f: f(x, {"y": Y})["o"])
        close(gradient(1.0), np.cos(np.float32(1.0)) * 2)
        close(jaxcore.jit(jaxcore.vmap(gradient))(XS), np.cos(XS) * 2)


def test_custom_vjp_around_custom_vmap():
    def make(t, custom_vmap, np_):
        @t.custom_vjp
        @custom_vmap
        def f(x, y):
            return np_.sin(x) * y

        f.def_vmap(lambda size, in_batched, x, y: (np_.cos(x) * y, True))
        bwd = lambda res, ct: (res[0] * ct * res[1] * 10, res[0] * ct)
        f.defvjp(lambda x, y: (f(x, y), (np_.cos(x), y)), bwd)
        return lambda x, y: (t.vmap(f)(x, y), t.vmap(t.grad(f))(x, y))

    ours = make(jaxcore, custom_batching.custom_vmap, jnp)
    close(ours(XS, XS), make(jax, jax.custom_batching.custom_vmap, jax.numpy)(XS, XS))


@pytest.mark.parametrize("axes, other", [((0, None), Y), ((0, 0), XS)], ids=["shared", "both"])
def test_sequential_vmap(axes, other):
    body = lambda x, y: (x * y, {"next": x + 1})
    ours = custom_batching.sequential_vmap(body)
    theirs = jax.custom_batching.sequential_vmap(body)
    close(jaxcore.vmap(ours, axes)(XS, other), jax.vmap(theirs, axes)(XS, other))
    program = jaxcore.make_jaxpr(jaxcore.vmap(ours, axes))(XS, other)
    assert [eq.primitive.name for eq in program.equations] == ["scan"]
    twice = lambda t, f: t.vmap(t.vmap(f, (0, None)), (None, 0))(XS, XS)
    close(twice(jaxcore, ours), twice(jax, theirs))


def test_custom_vmap_mistakes():
    f = custom_batching.custom_vmap(lambda x: x)
    with pytest.raises(AttributeError, match="No batching rule defined for custom_vmap"):
        f(1.0)
    f.def_vmap(lambda size, in_batched, x: (x, (True,)))
    with pytest.raises(ValueError, match="output batching specification.*do not match"):
        jaxcore.vmap(f)(XS)
    f.def_vmap(lambda size, in_batched, x: ((x,), (True,)))
    with pytest.raises(ValueError, match="does not match that of original"):
        jaxcore.vmap(f)(XS)
    f.def_vmap(lambda size, in_batched, x: x)
    with pytest.raises(TypeError, match="must return a pair"):
        jaxcore.vmap(f)(XS)

    def closes_over(scale):
        g = custom_batching.custom_vmap(lambda x: x * scale)
        g.def_vmap(lambda size, in_batched, x: (x, True))
        return g(1.0)

    with pytest.raises(ValueError, match="closes over a value that is mapped"):
        jaxcore.vmap(closes_over)(XS)


# --- linear_call ---------------------------------------------------------------------------------


def through(linear_call):
    forward = lambda r, x: {"o": r * x["a"] + x["b"]}
    back = lambda r, ct: {"a": 10 * r * ct["o"], "b": ct["o"]}
    return lambda r, x: linear_call(forward, back, r, x)["o"]


def test_linear_call():
    ours, theirs = (
        through(custom_derivatives.linear_call),
        through(jax.custom_derivatives.linear_call),
    )
    x = {"a": XS, "b": XS * 2}
    squares = lambda t, f: lambda r, x: t.grad(lambda x: (f(r, x) ** 2).sum())(x)
    want = squares(jax, theirs)(Y, x)
    rows = jax.tree.map(lambda *r: np.stack(r), *[squares(jax, theirs)(r, x) for r in XS])
    for f in (ours, theirs):
        close(f(Y, x), theirs(Y, x))
        close(jaxcore.jit(squares(jaxcore, f))(Y, x), want)
        close(jaxcore.vmap(squares(jaxcore, f), (0, None))(XS, x), rows)
    close(jax.jit(squares(jax, ours))(Y, x), want)
    transposed = lambda t, f: t.linear_transpose(lambda x: f(Y, x), x)(XS)
    close(transposed(jaxcore, ours), transposed(jax, theirs))
    close(jaxcore.grad(lambda r: ours(r, x).sum())(Y), XS.sum())  # residuals move, too
    with pytest.raises(TypeError, match="must return the structure of the linear arguments"):
        custom_derivatives.linear_call(lambda r, x: x, lambda r, ct: (ct,), 1.0, XS)


# --- closures ------------------------------------------------------------------------------------


def converted(t):
    def f(a, x):
        h, values = t.closure_convert(lambda z: {"r": a * z + x[0]}, 1.0)
        return h(3.0, *values)["r"]

    return f


def test_closure_convert():
    want = jax.grad(converted(jax), (0, 1))(2.0, XS)
    close(jaxcore.grad(converted(jaxcore), (0, 1))(2.0, XS), want)
    close(jaxcore.jit(jaxcore.grad(converted(jaxcore), (0, 1)))(2.0, XS), want)
    close(jaxcore.grad(converted(jax), (0, 1))(2.0, XS), want)
    h, values = jaxcore.closure_convert(lambda z: z * XS, 1.0)
    assert values == []  # nothing of it can be differentiated
    close(h(2.0), 2 * XS)
    with pytest.raises(TypeError, match="must have the structure of the example arguments"):
        h((1.0,))


def minimised(t, lax_, np_):
    """A solver that gets its objective as a function: the example of closure_convert's use."""

    def minimise(objective, x0):
        converted, consts = t.closure_convert(objective, x0)
        return solve(converted, x0, *consts)

    def descend(objective, x0, *consts):
        step = lambda x: x - 0.2 * t.grad(objective)(x, *consts)
        return lax_.fori_loop(0, 60, lambda i, x: step(x), x0)

    solve = t.custom_vjp(descend, nondiff_argnums=(0,))

    def forward(objective, x0, *consts):
        x = descend(objective, x0, *consts)
        return x, (x, consts)

    def backward(objective, residuals, ct):
        x, consts = residuals
        slope = lambda *c: t.grad(objective)(x, *c)
        curvature = t.grad(lambda x: np_.sum(t.grad(objective)(x, *consts)))(x)
        moved = t.vjp(slope, *consts)[1](-ct / curvature)
        return (np_.zeros_like(x), *moved)

    solve.defvjp(forward, backward)
    return lambda a: minimise(lambda x: (x - np_.sin(a)) ** 2 + 0.1 * a * x**2, 1.0)


def test_a_solver_differentiates_what_its_objective_closes_over():
    want = jax.grad(minimised(jax, jax.lax, jax.numpy))(0.7)
    close(jaxcore.grad(minimised(jaxcore, lax, jnp))(0.7), want)
    close(jaxcore.jit(jaxcore.grad(minimised(jaxcore, lax, jnp)))(0.7), want)


def own_gradient(t, np_):
    @t.custom_gradient
    def f(x, y):
        s = np_.sin(x)
        return s * y, lambda ct: (ct * y * s, ct * s * 7)

    @t.custom_gradient
    def g(x):
        return {"v": x**2}, lambda ct: ct["v"] * x * 100

    return lambda x, y: f(x, y) + g(x)["v"]


def test_custom_gradient():
    ours, theirs = own_gradient(jaxcore, jnp), own_gradient(jax, jax.numpy)
    want = jax.grad(theirs, (0, 1))(1.0, 2.0)
    close(jaxcore.grad(ours, (0, 1))(1.0, 2.0), want)
    close(jaxcore.jit(jaxcore.grad(ours, (0, 1)))(1.0, 2.0), want)
    close(jaxcore.grad(theirs, (0, 1))(1.0, 2.0), want)
    close(jax.grad(ours, (0, 1))(1.0, 2.0), want)
    close(ours(1.0, 2.0), theirs(1.0, 2.0))
    rows = lambda t, f: t.vmap(t.grad(f, (0, 1)), (0, None))(XS, 2.0)
    close(rows(jaxcore, ours), rows(jax, theirs))
    second = lambda t, f: t.grad(lambda x: t.grad(f)(x, 2.0))(1.0)
    close(second(jaxcore, ours), second(jax, theirs))


@pytest.mark.parametrize("jitted", [True, False])
def test_forward_and_backward_pass_apart(jitted):
    f = lambda x, w, n: ({"y": jnp.sin(x) @ w * n}, jnp.sum(w))
    w, ct = np.ones((3, 2), np.float32), {"y": np.array([1.0, 2.0], np.float32)}
    fwd, bwd = jaxcore.fwd_and_bwd(f, argnums=(0, -2), has_aux=True, jitted=jitted)
    out, residuals, aux = fwd(XS, w, 3)
    want_out, back, want_aux = jax.vjp(lambda x, w: f(x, w, 3), XS, w, has_aux=True)
    close((out, aux), (want_out, want_aux))
    close(bwd(residuals, ct), back(ct))
    fwd, bwd = jaxcore.fwd_and_bwd(jnp.sin, 0, jitted=jitted)
    close(bwd(fwd(XS)[1], XS), np.cos(XS) * XS)
