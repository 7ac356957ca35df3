"""Bad input for each public transformation: the class of the error is JAX's, the message helps."""

import re

import jax
import jax.numpy
import numpy as np
import pytest

import jaxcore
import jaxcore.numpy

X = np.ones((2, 8), np.float32)
INT = np.arange(3, dtype=np.int32)
TREE = {"a": X, "b": X[0]}


def square(x):
    return x * x


def total(tree):
    return sum(jax.tree.leaves(tree)).sum()


def pair(x):
    return x.sum(), x


# (transformation, what is wrong, code, parts of the message)
ROWS = [
    ("jit", "no function", lambda m: m.jit(3.0), ["expects a function", "float"]),
    (
        "jit",
        "unhashable static",
        lambda m: m.jit(lambda x, n: x, static_argnums=1)(X, [1]),
        ["static argument n", "list"],
    ),
    (
        "jit",
        "unhashable by name",
        lambda m: m.jit(lambda x, n: x, static_argnames="n")(X, n={}),
        ["static argument n", "dict"],
    ),
    ("jit", "static number", lambda m: m.jit(square, static_argnums=3), ["argument number 3"]),
    ("jit", "static name", lambda m: m.jit(square, static_argnames="y"), ["'y'", "x"]),
    ("jit", "donated number", lambda m: m.jit(square, donate_argnums=2), ["argument number 2"]),
    (
        "jit",
        "static and donated",
        lambda m: m.jit(square, static_argnums=0, donate_argnums=0),
        ["both static and donated"],
    ),
    ("jit", "text", lambda m: m.jit(lambda t: t["a"])({"a": "text"}), ["t['a']", "'text'"]),
    ("jit", "object", lambda m: m.jit(square)(object()), ["Argument x of square"]),
    (
        "jit",
        "array of objects",
        lambda m: m.jit(square)(np.array([None])),
        ["Argument x of square"],
    ),
    ("jit", "text returned", lambda m: m.jit(lambda x: [x, "no"])(X), ["returns at [1]", "'no'"]),
    ("jit", "missing argument", lambda m: m.jit(lambda x, y: x)(X), ["'y'"]),
    (
        "jit",
        "if",
        lambda m: m.jit(lambda x: x if x[0, 0] else -x)(X),
        ["x[0, 0] float32[]", "cond"],
    ),
    ("grad", "integer", lambda m: m.grad(square)(3), ["argument x of square", "~int32[]"]),
    ("grad", "integers in a tree", lambda m: m.grad(total)({"a": INT}), ["tree['a']", "int32[3]"]),
    ("grad", "vector", lambda m: m.grad(square)(X), ["float32[2,8]"]),
    ("grad", "several values", lambda m: m.grad(pair)(X), ["tuple with 2 leaves"]),
    ("grad", "integer result", lambda m: m.grad(lambda x: (x > 0).sum())(X), ["int32[]"]),
    ("grad", "no function", lambda m: m.grad(3), ["grad expects a function"]),
    ("grad", "complex", lambda m: m.grad(square)(1j), ["complex64[]", "holomorphic"]),
    ("grad", "complex result", lambda m: m.grad(lambda x: x * 1j)(1.0), ["complex64[]"]),
    (
        "grad",
        "real for holomorphic",
        lambda m: m.grad(square, holomorphic=True)(1.0),
        ["~float32[]"],
    ),
    ("grad", "argnums", lambda m: m.grad(square, argnums=1)(1.0), ["argnums=1", "called with 1"]),
    ("grad", "no pair", lambda m: m.grad(total, has_aux=True)(TREE["b"]), ["pair (value, aux)"]),
    ("grad", "text", lambda m: m.grad(total)({"a": "text"}), ["tree['a']", "'text'"]),
    ("grad", "keyword argument", lambda m: m.grad(square)(x=1.0), ["called with 0"]),
    ("value_and_grad", "no function", lambda m: m.value_and_grad(3), ["expects a function"]),
    ("value_and_grad", "integer", lambda m: m.value_and_grad(square)(3), ["~int32[]"]),
    ("value_and_grad", "vector", lambda m: m.value_and_grad(square)(X), ["float32[2,8]"]),
    (
        "value_and_grad",
        "argnums",
        lambda m: m.value_and_grad(square, (0, 2))(1.0),
        ["3 positional"],
    ),
    ("jvp", "no function", lambda m: m.jvp(3, (X,), (X,)), ["expects a function"]),
    ("jvp", "no tuple", lambda m: m.jvp(square, X, X), ["tuples or lists"]),
    (
        "jvp",
        "other tree",
        lambda m: m.jvp(total, ({"a": X},), ({"b": X},)),
        ["same tree structure"],
    ),
    ("jvp", "other shape", lambda m: m.jvp(square, (X,), (X[0],)), ["primal x", "float32[8]"]),
    ("jvp", "other dtype", lambda m: m.jvp(square, (1.0,), (1,)), ["primal x", "~int32[]"]),
    ("jvp", "integer tangent", lambda m: m.jvp(square, (INT,), (INT,)), ["float0"]),
    ("vjp", "no function", lambda m: m.vjp(3, X), ["expects a function"]),
    (
        "vjp",
        "other tree",
        lambda m: m.vjp(lambda x: {"y": x}, X)[1](X),
        ["structure of the output"],
    ),
    ("vjp", "other shape", lambda m: m.vjp(square, X)[1](X[0]), ["float32[2,8]", "float32[8]"]),
    ("vjp", "other dtype", lambda m: m.vjp(square, X)[1](X.astype(np.float16)), ["float16[2,8]"]),
    ("vjp", "no pair", lambda m: m.vjp(square, X, has_aux=True), ["pair (value, aux)"]),
    ("linearize", "no function", lambda m: m.linearize(3, X), ["expects a function"]),
    ("linearize", "other tree", lambda m: m.linearize(total, TREE)[1]([X]), ["structure"]),
    ("linearize", "other shape", lambda m: m.linearize(square, X)[1](X[0]), ["float32[8]"]),
    ("vmap", "no function", lambda m: m.vmap(3), ["expects a function"]),
    ("vmap", "sizes", lambda m: m.vmap(lambda x, y: x)(X, INT), ["x float32[2,8]", "y int32[3]"]),
    ("vmap", "scalar", lambda m: m.vmap(square)(1.0), ["argument x", "in_axes=None"]),
    ("vmap", "axis", lambda m: m.vmap(square, in_axes=2)(X), ["axis 2", "rank 2"]),
    ("vmap", "number of axes", lambda m: m.vmap(square, in_axes=(0, 0))(X), ["2 entries for 1"]),
    ("vmap", "nothing mapped", lambda m: m.vmap(square, in_axes=None)(X), ["non-None"]),
    ("vmap", "in_axes of a wrong kind", lambda m: m.vmap(square, in_axes="0"), ["in_axes must be"]),
    ("vmap", "prefix", lambda m: m.vmap(total, in_axes=({"c": 0},))(TREE), ["prefix"]),
    ("vmap", "out_axes", lambda m: m.vmap(square, out_axes=None)(X), ["out_axes is None"]),
    ("vmap", "axes of a wrong kind", lambda m: m.vmap(square, out_axes="a")(X), ["out_axes must"]),
    ("vmap", "axis of the result", lambda m: m.vmap(square, out_axes=3)(X), ["3"]),
    ("vmap", "axis_size", lambda m: m.vmap(square, axis_size=3)(X), ["size"]),
    ("jacfwd", "no function", lambda m: m.jacfwd(3), ["expects a function"]),
    ("jacfwd", "integer", lambda m: m.jacfwd(square)(3), ["int32"]),
    ("jacfwd", "argnums", lambda m: m.jacfwd(square, argnums=1)(X), ["argnums=1"]),
    ("jacrev", "no function", lambda m: m.jacrev(3), ["expects a function"]),
    ("jacrev", "integer", lambda m: m.jacrev(square)(3), ["int32"]),
    ("jacrev", "integer result", lambda m: m.jacrev(lambda x: (x > 0).sum())(X), ["int32"]),
    ("jacrev", "argnums", lambda m: m.jacrev(square, argnums=1)(X), ["argnums=1"]),
    ("hessian", "no function", lambda m: m.hessian(3), ["expects a function"]),
    ("hessian", "integer", lambda m: m.hessian(square)(3), ["int32"]),
    ("hessian", "argnums", lambda m: m.hessian(square, argnums=1)(X), ["argnums=1"]),
    ("make_jaxpr", "no function", lambda m: m.make_jaxpr(3), ["expects a function"]),
    ("make_jaxpr", "text", lambda m: m.make_jaxpr(square)("text"), ["Argument x of square"]),
    ("make_jaxpr", "shapes", lambda m: m.make_jaxpr(lambda x: x @ x)(X), ["x float32[2,8] @ x"]),
    ("eval_shape", "no function", lambda m: m.eval_shape(3, X), ["expects a function"]),
    ("eval_shape", "text", lambda m: m.eval_shape(square, "text"), ["Argument x of square"]),
    ("eval_shape", "shapes", lambda m: m.eval_shape(lambda x: x @ x, X), ["x float32[2,8] @ x"]),
    ("checkpoint", "no function", lambda m: m.checkpoint(3.0)(X), ["callable"]),
    ("checkpoint", "shapes", lambda m: m.checkpoint(lambda x: x @ x)(X), ["float32[2,8]"]),
    ("checkpoint", "if", lambda m: m.checkpoint(lambda x: x if x[0, 0] else -x)(X), ["float32[]"]),
    ("scan", "no function", lambda m: m.lax.scan(3, 0.0, X), ["must be a function"]),
    ("scan", "carry type", lambda m: m.lax.scan(lambda c, x: (x, c), X[0, 0], X), ["float32[8]"]),
    ("scan", "carry dtype", lambda m: m.lax.scan(lambda c, x: (x[0], x), INT[0], X), ["float32[]"]),
    ("scan", "carry tree", lambda m: m.lax.scan(lambda c, x: ({"h": c}, x), 0.0, X), ["structure"]),
    ("scan", "no pair", lambda m: m.lax.scan(lambda c, x: c, 0.0, X), ["pair"]),
    ("scan", "sizes", lambda m: m.lax.scan(lambda c, x: (c, c), 0.0, (X, INT)), ["leading sizes"]),
    ("scan", "length", lambda m: m.lax.scan(lambda c, x: (c, c), 0.0, X, length=3), ["length=3"]),
    (
        "scan",
        "no length",
        lambda m: m.lax.scan(lambda c, x: (c, c), 0.0),
        ["neither xs nor length"],
    ),
    ("scan", "scalar", lambda m: m.lax.scan(lambda c, x: (c, c), 0.0, 1.0), ["leading axis"]),
    ("scan", "text", lambda m: m.lax.scan(lambda c, x: (c, c), "text", X), ["text"]),
    ("while_loop", "no function", lambda m: m.lax.while_loop(1, 2, X), ["must be a function"]),
    (
        "while_loop",
        "condition",
        lambda m: m.lax.while_loop(lambda x: x > 0, square, X),
        ["bool[2,8]"],
    ),
    ("while_loop", "number", lambda m: m.lax.while_loop(lambda x: x, square, 1.0), ["float32[]"]),
    (
        "while_loop",
        "carry",
        lambda m: m.lax.while_loop(lambda x: True, lambda x: x[0], X),
        ["float32[8]"],
    ),
    (
        "while_loop",
        "reverse",
        lambda m: m.grad(lambda x: m.lax.while_loop(lambda x: x < 9, square, x))(2.0),
        ["scan"],
    ),
    ("fori_loop", "no function", lambda m: m.lax.fori_loop(0, 3, 4, X), ["must be a function"]),
    ("fori_loop", "carry", lambda m: m.lax.fori_loop(0, 3, lambda i, x: x[0], X), ["float32[8]"]),
    ("fori_loop", "arguments", lambda m: m.lax.fori_loop(0, 3, square, X), ["2 were given"]),
    ("cond", "array", lambda m: m.lax.cond(X > 0, square, square, X), ["bool[2,8]"]),
    (
        "cond",
        "shapes",
        lambda m: m.jit(lambda x: m.lax.cond(x[0, 0] > 0, square, total, x))(X),
        ["float32[2,8]", "float32[]"],
    ),
    (
        "cond",
        "trees",
        lambda m: m.jit(lambda x: m.lax.cond(x[0, 0] > 0, square, pair, x))(X),
        ["structure"],
    ),
    ("cond", "no function", lambda m: m.lax.cond(True, 1, 2), ["must be functions"]),
    ("cond", "text", lambda m: m.lax.cond("text", square, square, X), ["text"]),
    ("switch", "float", lambda m: m.lax.switch(1.5, [square, square], X), ["float32[]"]),
    ("switch", "no branch", lambda m: m.lax.switch(0, [], X), ["branch"]),
    (
        "switch",
        "shapes",
        lambda m: m.jit(lambda i: m.lax.switch(i, [square, total], X))(1),
        ["float32[2,8]", "float32[]"],
    ),
    ("map", "no function", lambda m: m.lax.map(3, X), ["must be a function"]),
    ("map", "scalar", lambda m: m.lax.map(square, 1.0), ["leading axis"]),
    ("map", "shapes", lambda m: m.lax.map(lambda x: x @ X, X), ["x float32[8] @ X float32[2,8]"]),
]

# Where JAX's own class says nothing to a handler (an assertion, or an error deep inside).
OTHER = {("jit", "no function"), ("checkpoint", "no function")}


def raised(code, library):
    with pytest.raises(Exception) as caught:
        code(library)
    return caught.value


@pytest.mark.parametrize("row", ROWS, ids=[f"{name}: {what}" for name, what, *_ in ROWS])
@pytest.mark.rank_promotion
def test_bad_input(row):
    name, what, code, parts = row
    error, theirs = raised(code, jaxcore), raised(code, jax)
    public = next(c for c in type(theirs).__mro__ if c.__module__ in ("builtins", "jax.errors"))
    if (name, what) not in OTHER:
        assert isinstance(error, public), f"JAX: {theirs!r}; ours: {error!r}"
    message = str(error)
    for part in parts:
        assert part in message, message
    if "positional argument" not in message or parts != ["2 were given"]:
        assert "Fix:" in message, message
        lines = {line for *_, line in code.__code__.co_lines()}
        shown = re.search(rf"Your line: {re.escape(__file__)}:(\d+)", message)
        assert shown and int(shown[1]) in lines, message


def test_every_transformation_is_there():
    names = "jit grad value_and_grad jvp vjp linearize vmap jacfwd jacrev hessian make_jaxpr "
    names += "eval_shape checkpoint scan while_loop fori_loop cond switch map"
    assert set(names.split()) == {name for name, *_ in ROWS}


def test_a_value_kept_across_calls_is_a_leak():
    kept = []
    for transform in (jaxcore.jit, jaxcore.vmap, jaxcore.grad):
        transform(lambda x: kept.append(jaxcore.numpy.sum(x)) or x.sum())(X)
        with pytest.raises(jax.errors.UnexpectedTracerError, match=r"leaked tracer"):
            jaxcore.jit(lambda x: x + kept[-1])(X)
