"""`shard_map` on a mesh of four by two devices: values and derivatives are JAX's."""

from functools import partial

import jax
import numpy as np
import pytest
from jax import lax

import jaxcore
import jaxcore.numpy as jnp
from jaxcore.sharding import AxisType
from jaxcore.sharding import PartitionSpec as P

MESH = jaxcore.make_mesh((4, 2), ("x", "y"), axis_types=(AxisType.Auto,) * 2)
X = np.arange(64, dtype=np.float32).reshape(8, 8) / 10
W = np.linspace(-1, 1, 16, dtype=np.float32).reshape(8, 2)
ROTATE = [(i, (i + 1) % 4) for i in range(4)]

relu = jax.custom_jvp(lambda x: jnp.maximum(x, 0.0))
relu.defjvp(lambda p, t: (relu(p[0]), t[0] * (p[0] > 0)))
scaled = jax.custom_vjp(lambda x, w: jnp.sin(x) * w)
scaled.defvjp(
    lambda x, w: (scaled(x, w), (x, w)),
    lambda r, g: (g * jnp.cos(r[0]) * r[1], g * jnp.sin(r[0])),
)


def mapped(J, check_vma):
    return partial(J.shard_map, mesh=MESH, check_vma=check_vma)


# Each case is a function of the namespace (jax or jaxcore) and its `shard_map` over the mesh.
CASES = {
    "elementwise": (
        lambda J, sm: sm(lambda x: x * 2, in_specs=P("x", "y"), out_specs=P("x", "y")),
        X,
    ),
    "psum": (lambda J, sm: sm(lambda x: lax.psum(x, "x"), in_specs=P("x"), out_specs=P()), X),
    "pmax": (
        lambda J, sm: sm(
            lambda x: lax.pmax(x.max(), "x") - lax.pmin(x.min(), ("x",)),
            in_specs=P("x"),
            out_specs=P(),
        ),
        X,
    ),
    "all_gather": (
        lambda J, sm: sm(
            lambda x: lax.all_gather(x, "x", tiled=True) * lax.axis_index("x"),
            in_specs=P("x"),
            out_specs=P("x"),
        ),
        X,
    ),
    "psum_scatter": (
        lambda J, sm: sm(
            lambda x: lax.psum_scatter(x, "y", tiled=True),
            in_specs=P("x", "y"),
            out_specs=P(("x", "y")),
        ),
        X,
    ),
    "ppermute": (
        lambda J, sm: sm(
            lambda x: x + lax.ppermute(x, "x", ROTATE), in_specs=P("x"), out_specs=P("x")
        ),
        X,
    ),
    "all_to_all": (
        lambda J, sm: sm(
            lambda x: lax.all_to_all(x, "x", 1, 0, tiled=True),
            in_specs=P("x"),
            out_specs=P(None, "x"),
        ),
        X,
    ),
    "two operands": (
        lambda J, sm: sm(
            lambda x, w: lax.psum(x @ w, "x"), in_specs=(P(None, "x"), P("x")), out_specs=P()
        ),
        X,
        W,
    ),
    "trees": (
        lambda J, sm: sm(
            lambda d, b: {"a": d["u"] * b, "b": d["v"].sum()[None]},
            in_specs=({"u": P("x"), "v": P("y")}, P("x")),
            out_specs=P(("x", "y")),
        ),
        {"u": X, "v": X},
        X,
    ),
    "no argument": (
        lambda J, sm: sm(lambda: lax.axis_index("x").reshape(1), in_specs=(), out_specs=P("x")),
    ),
    "a static argument": (
        lambda J, sm: (
            lambda x: sm(lambda x, n: x * n, in_specs=(P("x"), None), out_specs=P("x"))(x, 3)
        ),
        X,
    ),
    "random numbers": (
        lambda J, sm: (
            lambda x: sm(
                lambda k, x: (
                    jax.random.normal(jax.random.fold_in(k, lax.axis_index("x")), (2,)) + x.sum()
                ),
                in_specs=(P(), P("x")),
                out_specs=P("x"),
            )(jax.random.key(1), x)
        ),
        X,
    ),
    "a loop until all agree": (
        lambda J, sm: sm(
            lambda x: lax.while_loop(
                lambda c: lax.psum(c.sum(), ("x", "y")) < 1000.0, lambda c: c * 2, x
            ),
            in_specs=P("x", "y"),
            out_specs=P("x", "y"),
        ),
        X,
    ),
    "over a part of the axes": (
        lambda J, sm: J.jit(
            sm(lambda x: lax.psum(x, "x") * 2, in_specs=P("x"), out_specs=P(), axis_names={"x"})
        ),
        X,
    ),
    "gradient of a sum": (
        lambda J, sm: J.grad(
            lambda x: (
                sm(
                    lambda x: lax.psum(jnp.sin(x).sum(), ("x", "y")),
                    in_specs=P("x", "y"),
                    out_specs=P(),
                )(x)
                ** 2
            )
        ),
        X,
    ),
    "gradient of shared weights": (
        lambda J, sm: J.value_and_grad(
            lambda w: (
                sm(lambda x, w: jnp.tanh(x @ w), in_specs=(P("x"), P()), out_specs=P("x"))(X, w)
                ** 2
            ).sum()
        ),
        W,
    ),
    "gradient of captured weights": (
        lambda J, sm: J.grad(
            lambda w: sm(lambda x: jnp.tanh(x @ w), in_specs=P("x"), out_specs=P("x"))(X).sum()
        ),
        W,
    ),
    "gradient inside": (
        lambda J, sm: sm(
            lambda x, w: lax.psum(
                J.grad(lambda w: jnp.sum(jnp.tanh(x @ w) ** 2))(lax.pcast(w, "x", to="varying")),
                "x",
            ),
            in_specs=(P("x"), P()),
            out_specs=P(),
        ),
        X,
        W,
    ),
    "gradient with scalar residuals": (
        lambda J, sm: J.grad(
            lambda x: sm(
                lambda x: jnp.exp(x.sum() / 40) * x * lax.pmean(jnp.cos(x.sum()), "x"),
                in_specs=P("x"),
                out_specs=P("x"),
            )(x).sum()
        ),
        X,
    ),
    "forward mode": (
        lambda J, sm: (
            lambda x: J.jvp(
                sm(lambda r: r * lax.psum(r, "x"), in_specs=P("x"), out_specs=P("x")),
                (x,),
                (x + 1,),
            )
        ),
        X,
    ),
    "second derivatives": (
        lambda J, sm: J.hessian(
            lambda v: sm(
                lambda r: r**3 / lax.psum(r.sum(), "x"), in_specs=P("x"), out_specs=P("x")
            )(v).sum()
        ),
        X[1],
    ),
    "batched": (
        lambda J, sm: J.vmap(
            sm(lambda r, s: (r * lax.psum(s, "x"), r + s), in_specs=P("x"), out_specs=P("x")),
            in_axes=(1, None),
            out_axes=(1, 0),
        ),
        X,
        X[0],
    ),
    "gradient of a batch": (
        lambda J, sm: J.grad(
            lambda x: (
                J.vmap(sm(lambda r: r * lax.psum(r, "x"), in_specs=P("x"), out_specs=P("x")))(x)
                ** 2
            ).sum()
        ),
        X,
    ),
    "a batch inside": (
        lambda J, sm: sm(
            lambda x: J.vmap(lambda r: r * lax.psum(r, "x"))(x), in_specs=P("x"), out_specs=P("x")
        ),
        X,
    ),
    "gradient of a scan": (
        lambda J, sm: J.grad(
            lambda x: sm(
                lambda x: lax.scan(lambda c, r: (c * r + lax.pmean(c, "x"), c * r), x[0], x)[1],
                in_specs=P("x", "y"),
                out_specs=P("x", "y"),
            )(x).sum()
        ),
        X / 4,
    ),
    "gradient of a branch": (
        lambda J, sm: J.grad(
            lambda x: sm(
                lambda x: lax.cond(x[0, 0] > 1, jnp.sin, lambda y: y * 2, x),
                in_specs=P("x", "y"),
                out_specs=P("x", "y"),
            )(x).sum()
        ),
        X,
    ),
    "gradient of a jitted body": (
        lambda J, sm: J.grad(
            lambda w: sm(
                J.jit(lambda x, w: jnp.tanh(x @ w) + lax.psum(w, "x").sum()),
                in_specs=(P("x"), P()),
                out_specs=P("x"),
            )(X, w).sum()
        ),
        W,
    ),
    "custom_jvp": (
        lambda J, sm: J.grad(
            lambda x: sm(relu, in_specs=P("x", "y"), out_specs=P("x", "y"))(x - 3).sum()
        ),
        X,
    ),
    "custom_vjp": (
        lambda J, sm: J.grad(
            lambda x: sm(scaled, in_specs=P("x", "y"), out_specs=P("x", "y"))(x, x + 1).sum()
        ),
        X,
    ),
    "checkpoint": (
        lambda J, sm: J.grad(
            lambda x: sm(
                J.checkpoint(lambda x: jnp.sin(jnp.cos(x) * lax.psum(x, "x"))),
                in_specs=P("x", "y"),
                out_specs=P("x", "y"),
            )(x).sum()
        ),
        X,
    ),
    "results without a gradient": (
        lambda J, sm: J.grad(
            lambda x: sm(
                lambda x, w: (x * 2, lax.stop_gradient(w) * 3, w * 1),
                in_specs=(P("x"), P()),
                out_specs=(P("x"), P(), P()),
            )(x, W)[0].sum()
        ),
        X,
    ),
    "a whole argument that is cut inside": (
        lambda J, sm: J.grad(
            lambda w: sm(lambda w, x: (w**2).sum() * x, in_specs=(P(), P("x")), out_specs=P("x"))(
                w, X
            ).sum()
        ),
        W,
    ),
}
UNCHECKED = [
    "psum",
    "all_gather",
    "gradient of a sum",
    "gradient of shared weights",
    "gradient with scalar residuals",
    "second derivatives",
    "gradient of a scan",
    "gradient of a batch",
    "a whole argument that is cut inside",
]


def close(got, want):
    assert jax.tree.structure(got) == jax.tree.structure(want)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


@pytest.mark.rank_promotion
@pytest.mark.parametrize(
    "name, check_vma", [(n, True) for n in CASES] + [(n, False) for n in UNCHECKED]
)
def test_is_what_jax_computes(name, check_vma):
    make, *args = CASES[name]
    want = jax.jit(make(jax, mapped(jax, check_vma)))(*args)
    close(jaxcore.jit(make(jaxcore, mapped(jaxcore, check_vma)))(*args), want)
    close(make(jaxcore, mapped(jaxcore, check_vma))(*args), want)


@pytest.mark.rank_promotion
@pytest.mark.parametrize("name", ["two operands", "gradient of shared weights", "batched"])
def test_ours_and_jax_in_each_other(name):
    make, *args = CASES[name]
    want = jax.jit(make(jax, mapped(jax, True)))(*args)
    close(jax.jit(make(jaxcore, mapped(jaxcore, True)))(*args), want)
    close(jaxcore.jit(make(jax, mapped(jaxcore, True)))(*args), want)
    close(jaxcore.jit(make(jaxcore, mapped(jax, True)))(*args), want)
    close(jax.jit(make(jax, mapped(jaxcore, True)))(*args), want)
    close(jax.jit(make(jaxcore, mapped(jax, True)))(*args), want)
