"""What a user reads when something goes wrong: JAX's classes, with line and types."""

import jax
import numpy as np
import pytest

import jaxcore
import jaxcore.numpy as jnp

X = np.ones((2, 8), np.float32)


def test_leaked_tracer_names_line_type_and_fix():
    kept = []

    def f(x):
        kept.append(jnp.sin(x))  # the line that made it
        return x

    jaxcore.jit(f)(X)
    use = {
        "jit": lambda: jaxcore.jit(lambda y: y + kept[0])(X),
        "eager": lambda: jnp.add(kept[0], 1.0),
        "argument": lambda: jaxcore.jit(lambda y: y)(kept[0]),
        "jax": lambda: jax.numpy.cos(kept[0]),
    }
    for name, misuse in use.items():
        with pytest.raises(jax.errors.UnexpectedTracerError) as error:
            misuse()
        message = str(error.value)
        assert "float32[2,8]" in message, name
        assert "test_errors.py" in message, name
        if name != "jax":
            assert "kept.append(jnp.sin(x))" in message and "Fix:" in message, name


def test_leak_through_grad_and_vmap():
    for transform in (lambda f: jaxcore.grad(lambda x: f(x).sum()), jaxcore.vmap):
        kept = []
        transform(lambda x, kept=kept: kept.append(x * 2) or x)(X)
        with pytest.raises(jax.errors.UnexpectedTracerError):
            jaxcore.jit(lambda y, kept=kept: y + kept[0])(1.0)


@pytest.mark.parametrize(
    "convert, error",
    [
        (lambda x: x if x[0, 0] > 0 else -x, jax.errors.TracerBoolConversionError),
        (lambda x: x * float(x[0, 0]), jax.errors.ConcretizationTypeError),
        (lambda x: x * int(x[0, 0]), jax.errors.ConcretizationTypeError),
        (lambda x: x + np.asarray(x), jax.errors.TracerArrayConversionError),
        (lambda x: x[: x.astype(int)[0, 0]], Exception),
        (lambda x: x[0, 0].item(), jax.errors.ConcretizationTypeError),
    ],
    ids=["bool", "float", "int", "numpy", "slice", "item"],
)
def test_conversions_of_tracers(convert, error):
    with pytest.raises(error) as caught:
        jaxcore.jit(convert)(X)
    if error is not Exception:
        assert "Fix:" in str(caught.value) or "traced" in str(caught.value)


def test_bool_of_a_tracer_names_the_line_and_the_fix():
    def f(x):
        total = jnp.sum(x)
        return x if total > 0 else -x

    with pytest.raises(jax.errors.TracerBoolConversionError) as error:
        jaxcore.jit(f)(X)
    message = str(error.value)
    assert "test_errors.py" in message and "total > 0" in message
    assert "jaxcore.numpy.where" in message and "bool[]" in message


@pytest.mark.parametrize(
    "wrong, parts",
    [
        (lambda x, w: x @ w, ["float32[2,8]", "float32[9,4]"]),
        (lambda x, w: x + w, ["float32[2,8]", "float32[9,4]"]),
        (lambda x, w: jnp.concatenate([x, w]), ["float32[2,8]", "float32[9,4]"]),
        (lambda x, w: x.reshape(3, 5), ["float32[2,8]", "3"]),
        (lambda x, w: jnp.einsum("ij,jk->ik", x, w), ["8", "9"]),
    ],
    ids=["matmul", "add", "concatenate", "reshape", "einsum"],
)
@pytest.mark.rank_promotion
def test_shape_errors_name_both_types(wrong, parts):
    w = np.ones((9, 4), np.float32)
    for f in (jaxcore.jit(wrong), wrong):
        with pytest.raises((TypeError, ValueError)) as error:
            f(jnp.asarray(X), jnp.asarray(w)) if f is wrong else f(X, w)
        if f is not wrong:
            for part in parts:
                assert part in str(error.value), str(error.value)


def test_shape_error_names_the_users_line():
    def f(x, w):
        h = x * 2
        return h @ w  # wrong

    with pytest.raises(TypeError) as error:
        jaxcore.jit(f)(X, np.ones((9, 4), np.float32))
    assert "return h @ w" in str(error.value)


GRAD = [
    (lambda x: x * 2, (X,), "scalar-output.*float32\\[2,8\\]"),
    (lambda x: (x.sum(), 1), (X,), "has_aux"),
    (lambda n: n * 2.0, (3,), "real- or complex-valued inputs.*int32"),
    (lambda x: (x > 0).sum(), (X,), "real-valued outputs.*int32"),
    (lambda x: x * 1j, (1.0,), "real-valued outputs.*complex64"),
    (lambda x: x, ({"a": "text"},), "not a valid JAX type|real- or complex"),
]


@pytest.mark.parametrize("f, args, message", GRAD)
def test_grad_of_the_wrong_thing(f, args, message):
    with pytest.raises(TypeError, match=r"(?s)" + message):
        jaxcore.grad(f)(*args)


def test_grad_argnums_out_of_range():
    with pytest.raises(TypeError, match=r"argnums=2.*3 positional arguments.*called with 1"):
        jaxcore.grad(lambda x: x, argnums=2)(1.0)


def test_jvp_checks_trees_and_types():
    with pytest.raises(TypeError, match="must be tuples or lists"):
        jaxcore.jvp(jnp.sin, 1.0, 1.0)
    with pytest.raises(TypeError, match="same tree structure"):
        jaxcore.jvp(lambda x: x, ({"a": 1.0},), ({"b": 1.0},))
    with pytest.raises((TypeError, ValueError), match=r"(?s)\['a'\].*float32\[2,8\].*float32\[3\]"):
        jaxcore.jvp(lambda x: x, ({"a": X},), ({"a": np.ones(3, np.float32)},))
    with pytest.raises(TypeError, match=r"int32\[\]"):
        jaxcore.jvp(lambda x: x * 2.0, (1.0,), (1,))


def test_vjp_checks_the_cotangent():
    _, back = jaxcore.vjp(lambda x: {"y": x}, X)
    with pytest.raises(ValueError, match="structure of the output"):
        back(X)
    with pytest.raises(ValueError, match=r"float32\[2,8\].*got float32\[3\]"):
        back({"y": np.ones(3, np.float32)})


VMAP = [
    ({"in_axes": (0, 0)}, (X,), ValueError, "2 entries for 1 positional"),
    ({"in_axes": 2}, (X,), ValueError, r"axis 2 of the argument args\[0\].*rank 2"),
    ({}, (X, np.ones((3, 8), np.float32)), ValueError, r"(?s)inconsistent sizes.*size 2.*size 3"),
    ({"in_axes": None}, (X,), ValueError, "at least one non-None"),
    ({"in_axes": "0"}, (X,), TypeError, "in_axes must be"),
    ({"out_axes": None}, (X,), ValueError, "out_axes is None"),
    ({"in_axes": ({"b": 0},)}, ({"a": X},), ValueError, "prefix"),
]


@pytest.mark.parametrize("settings, args, error, message", VMAP)
def test_vmap_checks_its_axes(settings, args, error, message):
    with pytest.raises(error, match=message):
        jaxcore.vmap(lambda *a: a[0], **settings)(*args)


def test_a_collective_without_its_axis_names_it():
    with pytest.raises(NameError, match="unbound axis name: i"):
        jaxcore.vmap(lambda x: jaxcore.lax.psum(x, "i"), axis_name="j")(jnp.ones(2))


def test_missing_rules_name_primitive_and_transformation():
    from jaxcore.primitive import Primitive
    from jaxcore.trace import bind

    bare = Primitive("bare", lambda x: x, jvp=lambda p, t: (p[0], bind(bare, t[0])))
    with pytest.raises(NotImplementedError, match=r"vmap.*'bare'"):
        jaxcore.make_jaxpr(jaxcore.vmap(lambda x: bind(bare, x)))(X)
    with pytest.raises(NotImplementedError, match=r"(?s)'bare' has no transpose rule.*Fix"):
        jaxcore.make_jaxpr(jaxcore.grad(lambda x: bind(bare, x)))(1.0)


def test_closed_over_values_of_custom_rules():
    def outer(t):
        @jax.custom_vjp
        def f(x):
            return x * t

        f.defvjp(lambda x: (x * t, None), lambda r, ct: (ct,))
        return f(2.0)

    with pytest.raises(Exception, match=r"closed-over|closes over"):
        jaxcore.grad(outer)(3.0)


def test_forward_mode_through_custom_vjp():
    @jax.custom_vjp
    def f(x):
        return x * 2

    f.defvjp(lambda x: (x * 2, None), lambda r, ct: (ct * 2,))
    with pytest.raises(TypeError, match="forward-mode"):
        jaxcore.jvp(f, (1.0,), (1.0,))
