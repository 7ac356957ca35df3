"""`jit` with shardings and `with_sharding_constraint`, on a mesh of four by two devices."""

import jax
import numpy as np
import pytest
from jax.experimental.layout import Format, Layout

import jaxcore
import jaxcore.numpy as jnp
from jaxcore.sharding import AxisType, NamedSharding
from jaxcore.sharding import PartitionSpec as P

MESH = jaxcore.make_mesh((4, 2), ("x", "y"), axis_types=(AxisType.Auto,) * 2)
EXPLICIT = jaxcore.make_mesh((4, 2), ("x", "y"))
X = np.arange(64, dtype=np.float32).reshape(8, 8) / 10


def on(*spec, mesh=MESH):
    return NamedSharding(mesh, P(*spec))


def lies(x, *spec, mesh=MESH):
    return x.sharding.is_equivalent_to(on(*spec, mesh=mesh), x.ndim)


def product(x, tree):
    return {"s": x @ tree["w"], "t": x.sum()}


def test_prefix_trees():
    f = jaxcore.jit(
        product,
        in_shardings=(on("x"), {"w": on(None, "y"), "u": None}),
        out_shardings={"s": on("x", "y"), "t": on()},
    )
    for _ in range(2):  # by the cache miss, then by the dispatcher
        out = f(X, {"w": X, "u": X})
        assert lies(out["s"], "x", "y") and lies(out["t"])
        np.testing.assert_allclose(out["s"], X @ X, rtol=1e-4)
    out = jaxcore.jit(product, in_shardings=on("x"), out_shardings=on())(X, {"w": X})
    assert lies(out["s"]) and lies(out["t"])
    out = jaxcore.jit(product, in_shardings=None, out_shardings=None)(X, {"w": X})
    np.testing.assert_allclose(out["t"], X.sum(), rtol=1e-5)


def test_static_arguments_have_no_entry():
    f = jaxcore.jit(lambda n, x: x * n, static_argnums=0, in_shardings=(on("x"),))
    assert lies(f(3, X), "x")


def test_arrays_that_lie_there_already():
    f = jaxcore.jit(lambda x: x + 1, in_shardings=on("x"), out_shardings=on("y"))
    x = jax.device_put(X, on("x"))
    assert lies(f(x), "y") and lies(f(x), "y")
    assert lies(jaxcore.jit(lambda x: x + 1)(x), "x")
    assert lies(f(jnp.asarray(X)), "y")  # not committed, so it is moved


def test_donated_shards():
    f = jaxcore.jit(
        lambda a, b: a + b, in_shardings=on("x"), out_shardings=on("x"), donate_argnums=0
    )
    a = jax.device_put(X, on("x"))
    out = f(a, X)
    assert a.is_deleted() and lies(out, "x")


def test_specs_under_a_mesh():
    f = jaxcore.jit(lambda x: x * 2, in_shardings=P("x"), out_shardings=P(None, "y"))
    with jaxcore.set_mesh(MESH):
        assert lies(f(X), None, "y")
    with pytest.raises(RuntimeError, match="set_mesh"):
        f(X)


def test_inside_another_function_they_are_constraints():
    inner = jaxcore.jit(lambda x: (x**2).sum(1), in_shardings=on("x"), out_shardings=on("y"))
    assert lies(jaxcore.jit(inner)(X), "y")
    for grad in (
        jaxcore.grad(lambda x: inner(x).sum()),
        jaxcore.jit(jaxcore.grad(lambda x: inner(x).sum())),
        jax.jit(jaxcore.grad(lambda x: inner(x).sum())),
        jax.jit(jax.grad(lambda x: inner(x).sum())),
    ):
        np.testing.assert_allclose(grad(X), 2 * X, rtol=1e-5)
        assert lies(grad(X), "x")
    np.testing.assert_allclose(
        jaxcore.vmap(inner)(X[None].repeat(2, 0))[1], (X**2).sum(1), rtol=1e-5
    )
    theirs = jax.jit(lambda x: x * 2, in_shardings=on("x"), out_shardings=on("y"))
    assert lies(jaxcore.jit(lambda x: theirs(x) + 1)(X), "y")
    program = jaxcore.make_jaxpr(lambda x: theirs(x) + 1)(X)
    names = [eq.primitive.name for eq in program.equations]
    assert names.count("sharding_constraint") == 2


def test_ahead_of_time():
    s = jaxcore.ShapeDtypeStruct((8, 8), np.float32, sharding=on("x"))
    f = jaxcore.jit(lambda a, b: (a @ a, b[0]), out_shardings=(on("y"), None))
    compiled = f.lower(s, (s, s)).compile()
    (first, (second, unused)), _ = compiled.input_shardings
    assert first.is_equivalent_to(on("x"), 2) and second.is_equivalent_to(on("x"), 2)
    assert unused is None
    assert compiled.output_shardings[0].is_equivalent_to(on("y"), 2)
    x = jax.device_put(X, on("x"))
    out = compiled(x, (x, x))
    assert lies(out[0], "y") and lies(out[1], "x")
    assert jaxcore.eval_shape(lambda a: a * 2, s).shape == (8, 8)


def test_captured_arrays_come_along():
    w = jnp.asarray(X)
    assert lies(jaxcore.jit(lambda x: x @ w, in_shardings=on("x"), out_shardings=on("x"))(X), "x")


def test_constraints():
    def f(x):
        return jaxcore.lax.with_sharding_constraint(x * 2, on("x", "y"))

    assert lies(jaxcore.jit(f)(X), "x", "y")
    assert lies(jax.jit(jaxcore.jit(f))(X), "x", "y")
    assert lies(f(jnp.asarray(X)), "x", "y")
    grads = jaxcore.grad(lambda x: (f(x) ** 2).sum()), jax.grad(lambda x: (f(x) ** 2).sum())
    for grad in (*grads, jaxcore.jit(grads[0])):
        np.testing.assert_allclose(grad(X), 8 * X, rtol=1e-5)
        assert lies(grad(X), "x", "y")
    one = lambda r: jaxcore.lax.with_sharding_constraint(r * 2, on("y"))
    assert lies(jaxcore.jit(jaxcore.vmap(one))(X), None, "y")
    assert lies(jaxcore.jit(jaxcore.vmap(one, spmd_axis_name="x"))(X), "x", "y")
    with pytest.raises(ValueError, match="spmd_axis_name"):
        jaxcore.jit(jaxcore.vmap(one, spmd_axis_name="y"))(X)


def test_settings_of_the_compiler():
    f = jaxcore.jit(lambda a, b: a.sum(), keep_unused=True)
    assert "%arg1" in f.lower(X, X).as_text()
    assert "%arg1" not in jaxcore.jit(lambda a, b: a.sum()).lower(X, X).as_text()
    with pytest.raises(Exception, match="xla_nonsense"):
        jaxcore.jit(lambda a: a, compiler_options={"xla_nonsense": True})(X)
    add = jaxcore.jit(lambda a: a * 2 + 1, inline=True)
    assert len(jaxcore.make_jaxpr(lambda a: add(a))(X).equations) == 2


@pytest.mark.filterwarnings("ignore:The arguments `device`:DeprecationWarning")
def test_device_and_backend():
    device = jax.devices()[3]
    out = jaxcore.jit(lambda a: a * 2, device=device)(jax.device_put(X, jax.devices()[5]))
    assert out.devices() == {device}
    assert jaxcore.jit(lambda a: a * 2, backend="cpu")(X).devices() == {jax.devices()[0]}
    with pytest.raises(ValueError, match="in_shardings"):
        jaxcore.jit(lambda a: a, device=device, in_shardings=on("x"))


def cut(mesh, spec):
    return jax.device_put(X, on(*spec, mesh=mesh))


MISTAKES = {
    "a key is missing": (
        lambda: jaxcore.jit(product, in_shardings=(on("x"), {"w": on()}))(X, {"w": X, "u": X}),
        ValueError,
        r"(?s)in_shardings.*prefix.*in_shardings\[1\].*u",
    ),
    "too few entries": (
        lambda: jaxcore.jit(product, in_shardings=(on("x"),))(X, {"w": X}),
        ValueError,
        r"(?s)in_shardings.*prefix.*tuple of length 1",
    ),
    "no tuple": (
        lambda: jaxcore.jit(lambda d: d["a"], in_shardings={"a": on("x")})({"a": X}),
        ValueError,
        r"(?s)in_shardings.*prefix.*Fix: for a function of one argument, write \(shardings,\)",
    ),
    "a result too many": (
        lambda: jaxcore.jit(product, out_shardings={"s": on()})(X, {"w": X}),
        ValueError,
        r"(?s)out_shardings.*prefix.*t",
    ),
    "an odd size": (
        lambda: jaxcore.jit(lambda d: d["a"], in_shardings=on("x"))({"a": X[:3]}),
        ValueError,
        r"Argument d\['a'\] of .*float32\[3,8\].*partitioned 4 times",
    ),
    "an odd result": (
        lambda: jaxcore.jit(lambda a: {"b": a[:3]}, out_shardings=on("x"))(X),
        ValueError,
        r"The result\['b'\] of .*float32\[3,8\].*partitioned 4 times",
    ),
    "too many dimensions": (
        lambda: jaxcore.jit(lambda a: a, in_shardings=on("x", "y", None))(X),
        ValueError,
        "Argument a of .*rank at least 3",
    ),
    "an array that lies elsewhere": (
        lambda: jaxcore.jit(lambda a: a, in_shardings=on("x"))(cut(MESH, "y")),
        ValueError,
        "Argument a of .*device_put",
    ),
    "arrays on different devices": (
        lambda: jaxcore.jit(lambda a, b: a + b)(
            cut(MESH, "x"), jax.device_put(X, jax.devices()[1])
        ),
        ValueError,
        r"(?s)incompatible devices.*  a: .*  b: .*devices \[1\].*Fix",
    ),
    "an argument by name": (
        lambda: jaxcore.jit(lambda a: a, in_shardings=on("x"))(a=X),
        ValueError,
        "keyword arguments a",
    ),
    "no sharding": (
        lambda: jaxcore.jit(lambda a: a, in_shardings=("x",)),
        TypeError,
        r"in_shardings\[0\] must be a Sharding.*'x'",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(name):
    call, error, message = MISTAKES[name]
    with pytest.raises(error, match=message):
        call()


def test_explicit_axes_are_taken_for_automatic_ones():
    x = cut(EXPLICIT, "x")
    f = jaxcore.jit(lambda a: jnp.sin(a) @ a.T)  # a type of JAX's that says how both lie is refused
    np.testing.assert_allclose(f(x), np.sin(X) @ X.T, rtol=1e-4)
    assert lies(jaxcore.jit(jnp.sin)(x), "x", mesh=EXPLICIT)
    taken = jaxcore.jit(lambda a: jax.numpy.take(a, jnp.arange(3), axis=0))(x)
    np.testing.assert_array_equal(taken, X[:3])
    grad = jaxcore.grad(lambda a: (jnp.sin(a) @ jnp.ones((8, 3))).sum())(x)
    np.testing.assert_allclose(grad, 3 * np.cos(X), rtol=1e-4, atol=1e-5)
    total = jaxcore.shard_map(
        lambda a: jaxcore.lax.psum(a, "x"), mesh=EXPLICIT, in_specs=P("x"), out_specs=P()
    )
    np.testing.assert_allclose(total(x), X.reshape(4, 2, 8).sum(0), rtol=1e-5)
    with jaxcore.set_mesh(EXPLICIT):
        np.testing.assert_allclose(jaxcore.jit(total)(x), X.reshape(4, 2, 8).sum(0), rtol=1e-5)
        assert lies(jaxcore.jit(jnp.sin, out_shardings=P("y"))(X), "y", mesh=EXPLICIT)
    with pytest.raises(ValueError, match="in_specs must be given"):
        jaxcore.shard_map(lambda a: a, mesh=EXPLICIT, out_specs=P("x"))(x)
    with pytest.raises(NotImplementedError, match=r"(?s)explicit axes.*Fix"):
        jaxcore.jit(jax.shard_map(lambda a: a, mesh=EXPLICIT, in_specs=P(), out_specs=P()))(X)


def test_layouts():
    columns = Format(Layout((1, 0)), on("x"))
    f = jaxcore.jit(lambda x: x * 2, in_shardings=columns, out_shardings=columns)
    out = f(jax.device_put(X, columns))
    assert out.format.layout.major_to_minor == (1, 0) and lies(out, "x")
    np.testing.assert_allclose(out, X * 2)
