"""`shard_map` by itself: where results lie, one inside another, mapped axes, mistakes."""

import jax
import numpy as np
import pytest

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import lax
from jaxcore.sharding import AxisType, NamedSharding
from jaxcore.sharding import PartitionSpec as P

MESH = jaxcore.make_mesh((4, 2), ("x", "y"), axis_types=(AxisType.Auto,) * 2)
X = np.arange(64, dtype=np.float32).reshape(8, 8) / 10
W = np.linspace(-1, 1, 16, dtype=np.float32).reshape(8, 2)


def test_results_lie_where_the_specs_say():
    y = jaxcore.shard_map(lambda x: x * 2, mesh=MESH, in_specs=P("x"), out_specs=P("x", "y"))(X)
    assert y.sharding.is_equivalent_to(NamedSharding(MESH, P("x", "y")), 2)


def test_the_gradient_of_a_copy_is_summed_inside():
    """With `check_vma`, weights that are the same everywhere get the sum of all gradients."""

    @jaxcore.shard_map(mesh=MESH, in_specs=(P("x"), P()), out_specs=P())
    def step(x, w):
        return jaxcore.grad(lambda w: jnp.sum(jnp.tanh(x @ w) ** 2))(w)

    want = jax.grad(lambda w: (np.tanh(1) * 0 + jax.numpy.tanh(X @ w) ** 2).sum())(W)
    np.testing.assert_allclose(jaxcore.jit(step)(X, W), want, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(step(X, W), want, rtol=1e-3, atol=1e-4)


def test_blocks_inside_are_one_program():
    def body(x, w):
        for k in range(3):
            x = x + jaxcore.block(lambda a, b: jnp.tanh(a @ b), x, w * k, name="layer")
        return x

    f = jaxcore.shard_map(body, mesh=MESH, in_specs=(P("x"), P()), out_specs=P("x"))
    program = jaxcore.make_jaxpr(f)(X, X)
    inside = program.equations[0].params["program"]
    calls = [eq.params["program"] for eq in inside.equations if eq.primitive.name == "call"]
    assert len(calls) == 3 and len(set(calls)) == 1


@pytest.mark.rank_promotion
def test_one_inside_another():
    def outer(x):
        def inner(y):
            return y**2 * lax.psum(y, "y")

        specs = {"in_specs": P(None, "y"), "out_specs": P(None, "y"), "axis_names": {"y"}}
        return jaxcore.shard_map(inner, **specs)(x)

    f = jaxcore.shard_map(outer, mesh=MESH, in_specs=P("x"), out_specs=P("x"), axis_names={"x"})
    halves = X.reshape(8, 2, 4)
    want = (halves**2 * halves.sum(1, keepdims=True)).reshape(8, 8)
    np.testing.assert_allclose(jaxcore.jit(f)(X), want, rtol=1e-4)
    _, moved = jaxcore.jvp(jaxcore.jit(f), (X,), (X,))
    np.testing.assert_allclose(moved, 3 * want, rtol=1e-4)
    grad = jaxcore.jit(jaxcore.grad(lambda x: f(x).sum()))(X)
    np.testing.assert_allclose((np.asarray(grad) * X).sum(), 3 * want.sum(), rtol=1e-4)


def test_the_mesh_of_the_context():
    f = jaxcore.shard_map(lambda x: lax.psum(x, "x"), in_specs=P("x"), out_specs=P())
    with jaxcore.set_mesh(MESH):
        np.testing.assert_allclose(f(X), X.reshape(4, 2, 8).sum(0), rtol=1e-5)
        np.testing.assert_allclose(jaxcore.jit(f)(X), X.reshape(4, 2, 8).sum(0), rtol=1e-5)
    with pytest.raises(ValueError, match="mesh"):
        f(X)


def test_a_mapped_axis_laid_out_over_the_mesh():
    f = jaxcore.shard_map(
        lambda r: r * lax.psum(r, "x"), mesh=MESH, in_specs=P("x"), out_specs=P("x")
    )
    got = jaxcore.jit(jaxcore.vmap(f, spmd_axis_name="y"))(X)
    np.testing.assert_allclose(got, X * np.tile(X.reshape(8, 4, 2).sum(1), (1, 4)), rtol=1e-5)
    with pytest.raises(ValueError, match="spmd_axis_name"):
        jaxcore.vmap(f, spmd_axis_name="x")(X)


BAD = {
    "a copy that differs": (lambda x: x, P("x"), P(), X, "replicat"),
    "an odd size": (lambda x: x, P("x"), P("x"), X[:3], "evenly divisible"),
    "a scalar that is cut": (lambda x: x.sum(), P("x"), P("x"), X, "out_specs"),
    "too many specs": (lambda x: x, (P("x"), P()), P("x"), X, "in_specs"),
    "an unknown axis": (lambda x: x, P("z"), P("x"), X, "z"),
}


@pytest.mark.parametrize("name", BAD)
def test_mistakes(name):
    body, in_specs, out_specs, x, message = BAD[name]
    f = jaxcore.shard_map(body, mesh=MESH, in_specs=in_specs, out_specs=out_specs)
    with pytest.raises(ValueError, match=message):
        f(x)
    with pytest.raises(ValueError, match=message):
        jaxcore.jit(f)(x)


def test_an_unbound_name():
    f = jaxcore.shard_map(
        lambda x: lax.psum(x, "z"), mesh=MESH, in_specs=P("x"), out_specs=P(), check_vma=False
    )
    with pytest.raises(NameError, match="z"):
        f(X)


@pytest.mark.rank_promotion
@pytest.mark.parametrize("check_vma", [True, False])
def test_a_mapped_axis_inside(check_vma):
    """`vmap` names its axis inside, where JAX's functions take every name for one of the mesh's."""

    def body(L, vmap, jit):
        def one(r):
            here = r * L.psum(r, "i") + L.all_gather(r, "i").sum(0)
            there = jit(lambda r: L.pmean(r, "i") * L.axis_index("i") * L.axis_index("x"))(r)
            return here + there + L.psum(r, "x") * L.ppermute(r, "i", [(0, 1), (1, 0)])

        return vmap(one, axis_name="i")

    specs = {"mesh": MESH, "in_specs": P("x"), "out_specs": P("x")}
    theirs = jax.shard_map(body(jax.lax, jax.vmap, jax.jit), **specs, check_vma=False)
    ours = jaxcore.shard_map(body(lax, jaxcore.vmap, jaxcore.jit), **specs, check_vma=check_vma)
    np.testing.assert_allclose(jaxcore.jit(ours)(X), jax.jit(theirs)(X), rtol=1e-4)
    got = jaxcore.jit(jaxcore.grad(lambda x: ours(x).sum()))(X)
    want = jax.jit(jax.grad(lambda x: theirs(x).sum()))(X)
    np.testing.assert_allclose(got, want, rtol=1e-4)


LOOPS = {
    "scan": lambda x: lax.scan(lambda c, r: (c + r, c), jnp.zeros(8), x)[0],
    "while_loop": lambda x: lax.while_loop(lambda c: c.sum() < 9, lambda c: c + x[0], jnp.zeros(8)),
    "cond": lambda x: lax.cond(x[0, 0] > 1, lambda: x[0], lambda: jnp.zeros(8)),
}


@pytest.mark.parametrize("name", LOOPS)
def test_a_carry_that_starts_to_vary_says_what_to_do(name):
    f = jaxcore.shard_map(
        lambda x: LOOPS[name](x)[None], mesh=MESH, in_specs=P("x"), out_specs=P("x")
    )
    with pytest.raises(TypeError, match=r"(?s)\{V:x\}.*pcast.*'x'.*to='varying'"):
        f(X)


def around(J, mapped):
    L = J.lax
    return {
        "a scan": J.grad(
            lambda x: L.scan(lambda c, _: (mapped(c) / 4, c.sum()), x, None, length=3)[0].sum()
        ),
        "a branch": J.grad(lambda x: L.cond(x[0, 0] > -1, mapped, lambda x: x * 2, x).sum()),
        "a loop": lambda x: L.while_loop(
            lambda s: s[0] < 3, lambda s: (s[0] + 1, mapped(s[1])), (0, x)
        )[1],
        "a checkpoint": J.grad(lambda x: J.checkpoint(lambda x: mapped(x) ** 2)(x).sum()),
        "a product with the Hessian": lambda x: J.jvp(
            J.grad(lambda x: (mapped(x) ** 2).sum()), (x,), (x,)
        )[1],
    }


@pytest.mark.parametrize("name", around(jax, None))
def test_inside_the_rest_of_the_language(name):
    def mapped(J):
        body = lambda x: jnp.sin(x) * J.lax.psum(jnp.cos(x), "x")
        return J.shard_map(body, mesh=MESH, in_specs=P("x"), out_specs=P("x"))

    got = jaxcore.jit(around(jaxcore, mapped(jaxcore))[name])(X / 4)
    want = jax.jit(around(jax, mapped(jax))[name])(X / 4)
    np.testing.assert_allclose(got, want, rtol=2e-3, atol=1e-4)


@pytest.mark.parametrize("check", [True, False])
def test_a_sum_over_an_axis_of_the_mesh_and_a_mapped_one(check):
    def total(f):
        def body(x):  # rows of one device, which vmap maps
            return jaxcore.vmap(f, axis_name="i")(x)

        settings = {"mesh": MESH, "in_specs": P("x"), "out_specs": P("x"), "check_vma": check}
        return jaxcore.jit(jaxcore.shard_map(body, **settings))

    means = total(lambda row: row - lax.pmean(row, ("i", "x")))(X)
    np.testing.assert_allclose(means, X - X.mean(0, keepdims=True), rtol=1e-4, atol=1e-5)
    gradient = jaxcore.grad(lambda x: total(lambda row: lax.psum(row, ("x", "i")))(x).sum())(X)
    np.testing.assert_allclose(gradient, np.full_like(X, len(X)), rtol=1e-5)
    if check:
        with pytest.raises(NotImplementedError, match=r"(?s)all_gather.*'i'.*Fix:"):
            total(lambda row: lax.all_gather(row, ("x", "i")))(X)


@pytest.mark.parametrize("check", [True, False])
def test_a_nan_inside_names_its_line(check):
    def layer(x):
        x = x + lax.psum(x, "y") * 0
        return jnp.log(x - 2.0)  # of numbers that only the first devices hold

    def body(x, scale):
        return jaxcore.block(layer, x * scale, name="layer") + lax.axis_index("x")

    f = jaxcore.shard_map(
        body, mesh=MESH, in_specs=(P("x"), P()), out_specs=P("x"), check_vma=check
    )
    report = jaxcore.debug.find_nan(jaxcore.jit(f))(X, np.float32(1))
    assert report.primitive == "log" and report.text.startswith("return jnp.log(x - 2.0)")
    assert report.operands[0].startswith("float32[2,8]") and report.position == (0, 0)
    assert jaxcore.debug.find_nan(f)(X + 3, np.float32(1)) is None

    def loss(x):
        return jnp.sum(jnp.where(x > 2.0, f(x, 1.0), 0.0))

    def root(x):
        return jnp.sqrt(x * 0)

    g = jaxcore.shard_map(root, mesh=MESH, in_specs=P("x"), out_specs=P("x"), check_vma=check)
    report = jaxcore.debug.find_nan(jaxcore.grad(lambda x: jnp.sum(g(x))))(X)
    assert report.phase == "backward" and report.text == "return jnp.sqrt(x * 0)"
    assert jaxcore.debug.find_nan(loss)(X) is None  # no result shows it
