"""checkpoint: values, derivatives and residuals against JAX, and memory that is really smaller."""

import functools

import jax
import jax.ad_checkpoint
import jax.numpy
import numpy as np
import pytest

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import lax
from jaxcore.ad_checkpoint import checkpoint_name, print_saved_residuals

W = np.linspace(-0.5, 0.5, 16, dtype=np.float32).reshape(4, 4)
X = np.linspace(-1.0, 1.0, 4, dtype=np.float32)
POLICIES = jax.checkpoint_policies


def close(ours, theirs, tolerance=1e-4):
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs)):
        assert np.asarray(a).dtype == np.asarray(b).dtype
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def chain(checkpoint, np_):
    """Three checkpointed layers, and one checkpoint around two others."""

    def layer(w, x):
        return np_.tanh(np_.dot(w, np_.sin(x)))

    def pair(w, x):
        return checkpoint(layer)(w, checkpoint(layer)(w, x))

    def f(w, x):
        for _ in range(3):
            x = checkpoint(layer)(w, x)
        return np_.sum(checkpoint(pair)(w, x) * x)

    return f


def everything(t, np_, f):
    """Values and derivatives of `f` under every transformation."""
    gradient = t.grad(f, (0, 1))
    along = lambda w, x: t.jvp(f, (w, x), (w, x))
    second = lambda w, x: t.grad(lambda w: t.jvp(f, (w, x), (w, x))[1])(w)

    def run(w, x):
        batched = np_.stack([x, x + 1.0])
        rows = t.vmap(gradient, (None, 0))(w, batched)
        return f(w, x), gradient(w, x), along(w, x), second(w, x), t.hessian(f, 1)(w, x), rows

    return run


def test_values_and_derivatives_are_those_of_jax():
    theirs = jax.jit(everything(jax, jax.numpy, chain(jax.checkpoint, jax.numpy)))(W, X)
    ours = chain(jaxcore.checkpoint, jnp)
    close(jaxcore.jit(everything(jaxcore, jnp, ours))(W, X), theirs)
    close(jax.jit(jax.grad(ours, (0, 1)))(W, X), theirs[1])
    close(jax.jit(jax.grad(jaxcore.jit(ours), (0, 1)))(W, X), theirs[1])
    close(jaxcore.grad(ours, (0, 1))(W, X), theirs[1])
    # JAX's own checkpoint arrives as the same equation.
    through = chain(jax.checkpoint, jax.numpy)
    close(jaxcore.jit(jaxcore.hessian(through, 1))(W, X), theirs[4])
    names = [eq.primitive.name for eq in jaxcore.make_jaxpr(through)(W, X).equations]
    assert names.count("checkpoint") == 4


def mixed(t, np_, lax_, name, policy):
    """Operations of every kind that a policy may look into."""

    def inside(w, x):
        hidden = name(np_.dot(w, np_.sin(x)), "hidden")
        return np_.sin(np_.dot(w, np_.tanh(hidden)))

    def step(w, c):
        return np_.tanh(np_.dot(w, np_.sin(c))), name(np_.sin(c), "state")

    def body(w, x):
        y = t.jit(inside)(w, x)
        flipped = lambda y: np_.sin(np_.dot(w, np_.cos(y)))
        y = lax_.cond(np_.sum(y) > 0, flipped, lambda y: np_.cos(np_.dot(w, y)), y)
        return lax_.scan(lambda c, _: step(w, c), y, None, length=3)

    def f(w, x):
        y, ys = t.checkpoint(body, policy=policy)(w, x)
        z, _ = t.checkpoint(body, policy=policy)(w, y)
        return np_.sum(z) + np_.sum(ys * ys)

    return f


class Theirs:
    """JAX's checkpoint and jit where our transformations differentiate."""

    jit, checkpoint = staticmethod(jax.jit), staticmethod(jax.checkpoint)


@functools.cache
def gradient_of_mixed():
    """JAX's, which does not depend on the policy."""
    f = mixed(jax, jax.numpy, jax.lax, jax.ad_checkpoint.checkpoint_name, None)
    return jax.jit(jax.grad(f, (0, 1)))(W, X)


def residuals(capsys, show, f):
    """Types of what the backward pass keeps, sorted."""
    capsys.readouterr()
    show(f, W, X)
    return sorted(line.split()[0] for line in capsys.readouterr().out.splitlines())


@pytest.mark.parametrize(
    "policy",
    [
        None,
        POLICIES.nothing_saveable,
        POLICIES.everything_saveable,
        POLICIES.dots_saveable,
        POLICIES.dots_with_no_batch_dims_saveable,
        POLICIES.save_only_these_names("hidden"),
        POLICIES.save_any_names_but_these("hidden"),
        POLICIES.save_from_both_policies(
            POLICIES.dots_saveable, POLICIES.save_only_these_names("state")
        ),
    ],
    ids=["none", "nothing", "everything", "dots", "dots-unbatched", "names", "but-names", "both"],
)
def test_policies_keep_what_they_keep_in_jax(policy, capsys):
    their_name = jax.ad_checkpoint.checkpoint_name
    ours = mixed(jaxcore, jnp, lax, checkpoint_name, policy)
    theirs = mixed(jax, jax.numpy, jax.lax, their_name, policy)
    close(jaxcore.jit(jaxcore.grad(ours, (0, 1)))(W, X), gradient_of_mixed())
    if policy is POLICIES.dots_saveable:
        through = mixed(Theirs, jax.numpy, jax.lax, their_name, policy)
        close(jaxcore.jit(jaxcore.grad(through, (0, 1)))(W, X), gradient_of_mixed())
    kept = residuals(capsys, print_saved_residuals, ours)
    if policy is POLICIES.everything_saveable:  # where each derivative has its own best split
        assert len(kept) > 20
    else:
        assert kept == residuals(capsys, jax.ad_checkpoint.print_saved_residuals, theirs)


def test_equal_checkpointed_blocks_are_one_program_in_both_passes():
    program = jaxcore.make_jaxpr(jaxcore.grad(chain(jaxcore.checkpoint, jnp)))(W, X)
    again = [eq.params["program"] for eq in program.equations if eq.primitive.name == "checkpoint"]
    assert len(again) == 4  # one a layer, one for the pair
    assert len(set(again)) == 3  # the first layer needs no gradient of x


def test_memory_is_smaller_with_checkpoints():
    def temporaries(checkpoint):
        def layer(w, x):
            for _ in range(3):
                x = jnp.tanh(jnp.dot(x, w))
            return x

        def f(w, x):
            for _ in range(8):
                x = checkpoint(layer)(w, x)
            return jnp.sum(x)

        args = np.eye(64, dtype=np.float32), np.ones((512, 64), np.float32)
        compiled = jaxcore.jit(jaxcore.grad(f, (0, 1))).lower(*args).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    one = 512 * 64 * 4
    everything = functools.partial(
        jaxcore.checkpoint, policy=jaxcore.checkpoint_policies.everything_saveable
    )
    assert temporaries(lambda f: f) >= 8 * 3 * one
    assert temporaries(jaxcore.checkpoint) <= (8 + 2 * 3 + 2) * one
    assert temporaries(everything) >= 8 * 3 * one


def test_a_checkpointed_scan_keeps_its_arguments_only(capsys):
    def f(x):
        loop = lambda x: lax.scan(lambda c, _: (jnp.sin(c), None), x, None, length=50)[0]
        return jnp.sum(jaxcore.checkpoint(loop)(x))

    print_saved_residuals(f, X)
    assert capsys.readouterr().out == "f32[4] from the argument x\n"
    theirs = lambda x: jax.lax.scan(lambda c, _: (jax.numpy.sin(c), None), x, None, 50)[0].sum()
    close(jaxcore.grad(f)(X), jax.grad(theirs)(X))


def test_print_saved_residuals_says_where_from(capsys):
    def f(params, x, n):
        h = checkpoint_name(jnp.dot(params["w"], x), "h")
        return jnp.sum(jnp.exp(h) * 2.0)

    print_saved_residuals(f, {"w": W}, X, n=3)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "f32[4,4] from the argument params['w']"
    assert lines[1] == "f32[4] from the argument x"
    assert lines[2].startswith("f32[4] output of exp from ") and "test_checkpoint.py" in lines[2]
    keep = POLICIES.save_only_these_names("h")
    print_saved_residuals(jaxcore.checkpoint(f, policy=keep), {"w": W}, X, 3)
    assert "f32[4] named 'h' from " in capsys.readouterr().out


def test_keys_integers_and_closures_pass_through():
    def loss(t, np_, uniform, x, scale, n, key):
        g = t.checkpoint(lambda x, n, key: np_.sin(x * scale) * uniform(key, (4,)) * n)
        return np_.sum(g(x, n, key) ** 2)

    args = (X, np.float32(1.5), 3, jax.random.key(0))
    ours = functools.partial(loss, jaxcore, jnp, jaxcore.random.uniform)
    theirs = functools.partial(loss, jax, jax.numpy, jax.random.uniform)
    close(jaxcore.grad(ours, (0, 1))(*args), jax.grad(theirs, (0, 1))(*args))
    close(jaxcore.jit(jaxcore.grad(ours, (0, 1)))(*args), jax.grad(theirs, (0, 1))(*args))
    float0 = jaxcore.vjp(lambda n: jaxcore.checkpoint(lambda n: n * 2.0)(n), 3)[1](1.0)
    assert float0[0].dtype == jax.dtypes.float0


def test_static_arguments():
    @functools.partial(jaxcore.checkpoint, static_argnums=(1, -1), static_argnames="twice")
    def f(x, n, *, twice=False, scale=1.0):
        assert isinstance(n, int) and isinstance(twice, bool)
        y = jnp.sin(x) * scale if n == 2 else x
        return y * 2.0 if twice else y

    close(jaxcore.grad(f)(0.5, 2), jax.numpy.cos(0.5))
    close(jaxcore.grad(f)(0.5, 2, twice=True, scale=3.0), 6.0 * jax.numpy.cos(0.5))
    with pytest.raises(ValueError, match="static_argnums has 1.*called with 1 positional"):
        f(0.5)


def test_prevent_cse_chooses_what_is_kept_behind_the_barrier():
    def text(prevent_cse):
        f = jaxcore.checkpoint(lambda x, y: jnp.sin(jnp.sin(x) * y), prevent_cse=prevent_cse)
        return jaxcore.jit(jaxcore.grad(f, (0, 1))).lower(1.0, 2.0).as_text()

    assert "optimization_barrier" not in text(False)
    count = lambda t: t.split("optimization_barrier")[1].split(":")[0].count("%")
    assert (count(text(True)), count(text((True, False)))) == (3, 2)
    with pytest.raises(TypeError, match="prevent_cse must be a bool or a sequence"):
        jaxcore.checkpoint(jnp.sin, prevent_cse=1.0)
    with pytest.raises(ValueError, match="prevent_cse must be a prefix of the arguments"):
        text((True, False, True))


def test_mistakes_are_named():
    with pytest.raises(TypeError, match=r"Argument args\[0\] of the checkpointed sin is 'a'"):
        jaxcore.checkpoint(jnp.sin)("a")
    with pytest.raises(jax.errors.TracerBoolConversionError):
        jaxcore.checkpoint(lambda x: x if x > 0 else -x)(1.0)
    offload = POLICIES.offload_dot_with_no_batch_dims("device", "pinned_host")
    f = jaxcore.checkpoint(lambda x: jnp.sum(jnp.sin(jnp.dot(W, x))), policy=offload)
    with pytest.raises(NotImplementedError, match=r"(?s)dot_general.*'pinned_host'.*Fix: keep"):
        jaxcore.grad(f)(X)

    def draws(x):
        noise = jax.experimental.io_callback(lambda: np.float32(2.0), jax.typeof(np.float32(0)))
        return jnp.sin(x * noise)

    with pytest.raises(NotImplementedError, match="(?s)has an effect.*Fix: call it outside"):
        jaxcore.jit(jaxcore.grad(jaxcore.checkpoint(draws)))(1.0)


def test_effects_happen_once(capfd):
    def f(x):
        jax.debug.print("seen {}", x)
        return jnp.sin(jnp.sin(x))

    jaxcore.jit(jaxcore.grad(jaxcore.checkpoint(f)))(1.0).block_until_ready()
    jax.effects_barrier()
    assert capfd.readouterr().out.count("seen") == 1
