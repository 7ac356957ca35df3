"""Forms of calls: a chain of blocks inline, outlined and rolled computes the same."""

import jax
import numpy as np
import pytest

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import eager
from jaxcore.ir import intern
from jaxcore.ops.scan import scan_p
from jaxcore.passes.forms import arrange, flattened
from jaxcore.passes.residuals import bytes_of
from jaxcore.passes.roll import roll, runs_of
from jaxcore.passes.simplify import simplified
from jaxcore.transforms.linearize import linearize_program
from jaxcore.verify import verify

N = 5


def params(rng, n=N, width=3):
    return [
        {
            "w": jnp.asarray(rng.standard_normal((width, width), np.float32)),
            "b": jnp.asarray(rng.standard_normal(width, np.float32)),
        }
        for _ in range(n)
    ]


def layer(p, x):
    return jnp.tanh(x @ p["w"] + p["b"][None])


def chain(ps, x):
    for p in ps:
        x = jaxcore.block(layer, p, x, name="layer")
    return jnp.sum(x * x)


def with_rates(ps, x):
    def dropped(p, x, rate):
        return layer(p, x) * (1.0 - rate)

    for i, p in enumerate(ps):
        x = jaxcore.block(lambda p, x, r=i / 10: dropped(p, x, r), p, x, name="dropped")
    return jnp.sum(x)


def with_an_invariant(ps, x):
    mask = jnp.tri(x.shape[-1])

    for p in ps:
        x = jaxcore.block(lambda p, x: layer(p, x @ mask), p, x, name="masked")
    return jnp.sum(x)


def with_special_ends(ps, x):
    for i, p in enumerate(ps):
        name = "ends" if i in (0, len(ps) - 1) else "layer"
        fun = (lambda p, x: jnp.sin(layer(p, x))) if name == "ends" else layer
        x = jaxcore.block(fun, p, x, name=name)
    return jnp.sum(x)


def with_results_on_the_way(ps, x):
    total = 0.0
    for i, p in enumerate(ps):
        x, norm = jaxcore.block(lambda p, x: (layer(p, x), jnp.sum(x * x)), p, x, name="b")
        total = total + norm * i
    return jnp.sum(x) + total


def with_two_carries(ps, x):
    y = x + 1.0
    for p in ps:
        x, y = jaxcore.block(lambda p, x, y: (layer(p, y), x * 0.5), p, x, y, name="swap")
    return jnp.sum(x) + jnp.sum(y)


def with_keys(ps, x):
    key = jaxcore.random.key(0)
    for i, p in enumerate(ps):
        k = jaxcore.random.fold_in(key, i)
        x = jaxcore.block(
            lambda p, x, k: layer(p, x) * jaxcore.random.bernoulli(k, 0.7, x.shape),
            p,
            x,
            k,
            name="noisy",
        )
    return jnp.sum(x)


def in_a_module(ps, x):
    def encoder(ps, x):
        for p in ps:
            x = jaxcore.block(layer, p, x, name="layer")
        return x

    x = jaxcore.block(encoder, ps, x, name="encoder")
    return jnp.sum(x)


def alternating(ps, x):
    for i, p in enumerate([*ps, *ps[1:], *ps]):
        if i % 2:
            x = jaxcore.block(lambda p, x: jnp.sin(layer(p, x)), p, x, name="local")
        else:
            x = jaxcore.block(layer, p, x, name="global")
    return jnp.sum(x * x)


def by_three_with_an_end(ps, x):
    for i, p in enumerate([*ps, *ps]):
        name = "abca"[i % 3] if i < 9 else "end"
        fun = {"a": layer, "b": lambda p, x: layer(p, x) + x, "c": lambda p, x: x * layer(p, x)}
        x = jaxcore.block(fun.get(name, lambda p, x: x - layer(p, x)), p, x, name=name)
    return jnp.sum(x)


def two_towers(ps, x):
    y = x
    for p in ps:
        x = jaxcore.block(layer, p, x, name="layer")
        y = jaxcore.block(lambda p, y: layer(p, y) * 2.0, p, y, name="other")
    return jnp.sum(x * y)


def two_towers_that_talk(ps, x):
    y = x
    for p in ps:
        x = jaxcore.block(layer, p, x + y, name="layer")
        y = jaxcore.block(lambda p, y: layer(p, y) * 2.0, p, x - y, name="other")
    return jnp.sum(x * y)


MODELS = [
    (chain, True),
    (with_rates, True),
    (with_an_invariant, True),
    (with_special_ends, True),
    (with_results_on_the_way, True),
    (with_two_carries, True),
    (with_keys, True),
    (in_a_module, True),
    (alternating, True),
    (by_three_with_an_end, True),
    (two_towers, True),
    (two_towers_that_talk, False),
]


def run(program, args):
    return eager.execute(intern(program), args)


@pytest.mark.parametrize("model, rolls", MODELS, ids=lambda m: getattr(m, "__name__", ""))
def test_a_rolled_chain_computes_the_same(model, rolls, rng):
    ps, x = params(rng), jnp.asarray(rng.standard_normal((2, 3), np.float32))
    program = jaxcore.make_jaxpr(jaxcore.value_and_grad(model, argnums=(0, 1)))(ps, x)
    args = jax.tree.leaves((ps, x))
    consts = len(program.inputs) - len(args)
    if consts:
        args = [jaxcore.random.key(0)] * consts + args
    flat = flattened(program)
    rolled, _ = arrange(program, ("cpu",), "rolled")
    verify(rolled)
    loops = [eq for eq in rolled.equations if eq.primitive is scan_p]
    assert bool(loops) == rolls
    if rolls and model is not two_towers:
        assert len(loops) == 2  # forward and backward
        assert [eq.params["reverse"] for eq in loops] == [False, True]
    want, got, plain = run(program, args), run(rolled, args), run(flat, args)
    for a, b, c in zip(want, got, plain, strict=True):
        np.testing.assert_allclose(b, a, rtol=2e-5, atol=1e-6)
        np.testing.assert_allclose(c, a, rtol=2e-5, atol=1e-6)


def test_residuals_go_from_loop_to_loop_without_being_taken_apart(rng):
    """All that is stacked between the loops are the parameters, all that is unstacked gradients."""
    ps, x = params(rng), jnp.ones((2, 3))
    program = jaxcore.make_jaxpr(jaxcore.grad(chain))(ps, x)
    rolled = roll(program, runs_of(program, 2))
    names = [eq.primitive.name for eq in rolled.equations]
    assert names.count("concatenate") == 2  # w and b, once for both loops
    # The first block has no gradient for x: it stands alone, and takes its own residual.
    assert names.count("squeeze") == 2 * (N - 1) + 1


def test_parameters_that_lie_stacked_stay_so(rng):
    """Neither they nor their gradients are taken apart, whatever the depth."""

    def model(stacked, x):
        for i in range(12):
            x = jaxcore.block(layer, jax.tree.map(lambda p, i=i: p[i], stacked), x, name="layer")
        return jnp.sum(x * x)

    stacked, x = jax.tree.map(lambda *p: jnp.stack(p), *params(rng, 12)), jnp.ones((2, 3))
    step = jaxcore.jit(jaxcore.value_and_grad(model, argnums=(0, 1)), blocks="rolled")
    text = step.lower(stacked, x).as_text()
    assert "stablehlo.concatenate" not in text and "stablehlo.slice" not in text
    want = jax.value_and_grad(model, argnums=(0, 1))(stacked, x)
    for a, b in zip(jax.tree.leaves(step(stacked, x)), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6)


def test_what_is_cut_into_many_is_cut_in_one_form(rng):
    ps, x = params(rng, 12), jnp.ones((2, 3))
    program = jaxcore.make_jaxpr(jaxcore.grad(chain))(ps, x)
    arranged, _ = arrange(program, ("cpu",), "rolled")
    names = [eq.primitive.name for eq in arranged.equations]
    # What is left: the rows of three stacks that the backward loop takes, and a residual of the
    # first block, which stands alone.
    assert names.count("dynamic_slice") == 2 * 11 and names.count("slice") == 4


def test_chains_are_rolled_by_themselves_where_that_pays(rng):
    def larger(p, x):
        return jnp.sin(layer(p, layer(p, layer(p, x)))) * x

    def step(ps, x):
        for p in ps:
            x = jaxcore.block(larger, p, x, name="larger")
        return jnp.sum(x)

    def apart(n):
        return lambda ps, x: step([jax.tree.map(lambda p, i=i: p[i], ps) for i in range(n)], x)

    x = jnp.ones((64, 3))
    for n, fun, rolls in [(16, step, False), (32, step, True), (16, apart(16), True)]:
        ps = params(rng, n)
        if fun is not step:
            ps = jax.tree.map(lambda *p: jnp.stack(p), *ps)
        program = jaxcore.make_jaxpr(fun)(ps, x)
        arranged, _ = arrange(simplified(program), ("cpu",))
        assert any(eq.primitive is scan_p for eq in arranged.equations) == rolls, (n, fun)


@pytest.mark.parametrize("form", ["inline", "outlined", "rolled", None])
def test_each_form_can_be_asked_for(form, rng):
    ps, x = params(rng, 4), jnp.ones((2, 3))
    program = jaxcore.make_jaxpr(jaxcore.grad(chain))(ps, x)
    arranged, outlined = arrange(program, ("cpu",), form)
    loops = [eq for eq in arranged.equations if eq.primitive is scan_p]
    assert bool(loops) == (form == "rolled")
    assert not outlined or form in ("outlined", None)


@pytest.mark.parametrize("form", ["inline", "outlined", "rolled"])
def test_jit_takes_the_form(form, rng):
    ps, x = params(rng, 4), jnp.ones((2, 3))
    step = jaxcore.jit(jaxcore.grad(chain), blocks=form)
    assert ("stablehlo.while" in step.lower(ps, x).as_text()) == (form == "rolled")
    want = jaxcore.jit(jaxcore.grad(chain))(ps, x)
    for a, b in zip(jax.tree.leaves(step(ps, x)), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6)


def test_a_form_that_there_is_not():
    with pytest.raises(ValueError, match="blocks='unrolled' is not a form.*'rolled'"):
        jaxcore.jit(chain, blocks="unrolled")


def test_other_platforms_inline():
    program = jaxcore.make_jaxpr(jaxcore.grad(chain))(
        params(np.random.default_rng(0)), jnp.ones((2, 3))
    )
    assert arrange(program, ("cuda",)) == (program, set())
    assert arrange(program, ("cpu", "cuda")) == (program, set())


def test_calls_with_effects_stay_calls():
    def noisy(p, x):
        jax.debug.callback(lambda v: None, x)
        return layer(p, x)

    def model(ps, x):
        for p in ps:
            x = jaxcore.block(noisy, p, x, name="noisy")
        return x

    program = jaxcore.make_jaxpr(model)(params(np.random.default_rng(0)), jnp.ones((2, 3)))
    assert runs_of(program, 2) == []


def test_a_block_keeps_what_is_dear_and_computes_the_rest_again():
    """tanh is kept; the sum, the product and the comparisons around it are not."""

    def f(x):
        y = 0.5 * x * (1.0 + jnp.tanh(0.8 * (x + 0.04 * x * x * x)))
        return jnp.where(y > 0, y, 0.1 * y) * 3.0

    program = jaxcore.make_jaxpr(f)(jnp.ones(100))
    split = linearize_program(program, (True,))
    pool = [*program.inputs, *split.primal.outputs]
    kept = [pool[i] for i in split.residuals if i >= 1 + len(split.active)]
    assert [bytes_of(v.aval) for v in kept] == [400]
    x = jnp.linspace(-2.0, 2.0, 7)
    np.testing.assert_allclose(
        jaxcore.jit(jaxcore.vmap(jaxcore.grad(f)))(x),
        jax.vmap(jax.grad(lambda x: jnp_reference(x)))(x),
        rtol=1e-5,
    )


def jnp_reference(x):
    y = 0.5 * x * (1.0 + jax.numpy.tanh(0.8 * (x + 0.04 * x * x * x)))
    return jax.numpy.where(y > 0, y, 0.1 * y) * 3.0


def test_loops_that_share_a_body_may_lay_their_arrays_out_differently():
    def divided(x):
        pairs = [jnp.stack([x, x + 1], axis) for axis in (0, 1)]
        return [
            jaxcore.vmap(lambda x: (jnp.gcd(x, 4), jnp.gcd(x, x[:, :1])), in_axes=axis)(pair)
            for axis, pair in enumerate(pairs)
        ]

    x = np.array([[3, -1, 2], [0, 6, -4]], np.int32)
    for got in jaxcore.jit(divided)(x):
        first = np.stack([np.gcd(x, 4), np.gcd(x + 1, 4)])
        second = np.stack([np.gcd(x, x[:, :1]), np.gcd(x + 1, (x + 1)[:, :1])])
        np.testing.assert_array_equal(got[0], first)
        np.testing.assert_array_equal(got[1], second)
