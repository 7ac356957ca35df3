"""Parameters that are held to something, or seen as something else; boxes."""

from __future__ import annotations

import functools

import jax
import numpy as np
import optax
import pytest
from layer_table import QUICK, Row, check, normal, refused

import jaxcore
import jaxcore.nn as nn
import jaxcore.numpy as jnp
from jaxcore import random

C, B = nn.constraints, nn.boxes
X = normal(3, 4)


def dense_of_exponentials(variables, x):
    p = variables["params"]["layer"]
    return x @ jnp.exp(p["kernel"]) + p["bias"].reshape((1,) * (x.ndim - 1) + (-1,))


def test_parametrized():
    check(Row(lambda m: m.Parametrized(m.Dense(3), jnp.exp), [X], dense_of_exponentials))


@pytest.mark.parametrize("shape", [(3, 3), (4, 2), (2, 2, 5)])
def test_orthogonal(shape):
    def found(x):
        q = nn.orthogonal(x)
        return q, jaxcore.grad(lambda x: (nn.orthogonal(x) ** 3).sum())(x)

    x = normal(*shape)
    q, slope = jaxcore.jit(found, compiler_options=QUICK)(x)
    assert q.shape == shape
    rows, columns = shape[-2:]
    q = np.asarray(q if rows >= columns else np.swapaxes(q, -1, -2))
    eye = np.broadcast_to(np.eye(q.shape[-1]), (*q.shape[:-2], q.shape[-1], q.shape[-1]))
    np.testing.assert_allclose(np.swapaxes(q, -1, -2) @ q, eye, atol=1e-5)
    assert np.all(np.isfinite(slope)) and np.any(slope != 0)
    if rows == columns:
        low = np.tril(x, -1)
        np.testing.assert_allclose(q, jax.scipy.linalg.expm(low - low.T), atol=1e-5)


def test_constraints():
    x = jnp.array([[3.0, 0.3, 0.0], [-4.0, 0.4, 0.0]])  # lengths 5, 0.5, 0

    def lengths(rule):
        return np.linalg.norm(rule(x), axis=0)

    np.testing.assert_allclose(lengths(C.max_norm(2.0)), [2, 0.5, 0], rtol=1e-6)
    np.testing.assert_allclose(lengths(C.min_max_norm(1.0, 2.0)), [2, 1, 0], rtol=1e-6)
    np.testing.assert_allclose(lengths(C.min_max_norm(1.0, 2.0, 0.5)), [3.5, 0.75, 0], rtol=1e-6)
    np.testing.assert_allclose(lengths(C.unit_norm()), [1, 1, 0], rtol=1e-6)
    whole = C.max_norm(1.0, axis=(0, 1))(x)
    np.testing.assert_allclose(np.linalg.norm(whole), 1, rtol=1e-6)
    np.testing.assert_array_equal(C.non_negative()(x), np.maximum(x, 0))
    np.testing.assert_array_equal(C.max_norm(9.0)(x), x)
    assert np.all(np.isfinite(jaxcore.grad(lambda x: C.unit_norm()(x).sum())(x)[:, :2]))


def test_training_keeps_to_the_rules():
    model = nn.Sequential([nn.Dense(4), nn.Dense(1)])
    rules = {"*/kernel": C.max_norm(0.5), "*/bias": C.non_negative()}
    tx = optax.chain(optax.adam(0.3), C.keep(rules))
    params = model.init(random.key(0), X)["params"]
    params = C.constrain(params, rules)

    @functools.partial(jaxcore.jit, compiler_options=QUICK)
    def step(params, state):
        grads = jaxcore.grad(lambda p: (model.apply({"params": p}, X) + 5).sum())(params)
        updates, state = tx.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    state = tx.init(params)
    for _ in range(3):
        params, state = step(params, state)
    for layer in params.values():
        assert np.all(np.linalg.norm(layer["kernel"], axis=0) <= 0.5 + 1e-5)
        assert np.all(layer["bias"] >= -1e-6)
    assert np.max(np.linalg.norm(params["layers_0"]["kernel"], axis=0)) > 0.49


# --- boxes --------------------------------------------------------------------------------------

BOXES = jnp.array(
    [
        [2.5, 1.1, 4.5, 2.6],
        [0.2, 0.1, 3.2, 3.1],
        [3.3, 3.7, 5.5, 5.8],
        [2.4, 2.9, 4.6, 4.4],
        [2.2, 3.7, 3.0, 6.0],
        [3.3, 0.0, 5.1, 1.3],
        [3.4, 0.1, 5.1, 2.8],
        [2.9, 0.7, 5.7, 2.1],
        [3.5, 2.2, 5.4, 3.5],
        [1.2, 1.7, 3.2, 3.0],
        [0.1, 0.5, 1.6, 3.2],
        [2.7, 2.6, 3.8, 4.7],
    ]
)
SCORES = jnp.array([10, 8, 3, 5, 6, 2, 4, 9, 0, 11, 7, 1]) / 12
CLASSES = jnp.array([1, 0, 1, 0, 1, 1, 1, 0, 1, 0, 1, 0])


def test_boxes_as_torchvision_has_them():
    def read(boxes):
        kept = [B.nms(boxes, SCORES, 0.3, classes=c) for c in (None, CLASSES)]
        slope = jaxcore.grad(lambda b: B.giou(b, b).sum())(boxes)
        return B.iou(boxes[:2], boxes[2:5]), B.giou(boxes[:2], boxes[2:5]), kept, slope

    common, around, kept, slope = jaxcore.jit(read, compiler_options=QUICK)(BOXES)
    np.testing.assert_allclose(common, [[0, 0, 0], [0, 0.01317957, 0]], atol=1e-6)
    want = [[-0.45957447, -0.13223140, -0.57054126], [-0.54915591, -0.34517137, -0.38757062]]
    np.testing.assert_allclose(around, want, atol=1e-6)
    want = [9, 0, 1, 4, 3, 6, 2, 8], [9, 0, 7, 1, 10, 4, 3, 6, 2, 8]
    for (order, stays), right in zip(kept, want, strict=True):
        assert np.asarray(order)[np.asarray(stays)].tolist() == right
    assert np.all(np.isfinite(slope))
    empty = B.nms(BOXES[:0], SCORES[:0], 0.3)
    assert empty[0].shape == empty[1].shape == (0,)
    assert float(B.iou(jnp.zeros((1, 4)), jnp.zeros((1, 4)))[0, 0]) == 0


def test_forms_of_boxes():
    for form in ("xywh", "cxcywh", "xyxy"):
        there = B.converted(BOXES, "xyxy", form)
        np.testing.assert_allclose(B.converted(there, form, "xyxy"), BOXES, atol=1e-6)
    size = B.converted(BOXES, "xyxy", "xywh")[:, 2:]
    np.testing.assert_allclose(B.area(BOXES), size[:, 0] * size[:, 1], rtol=1e-6)


DENSE = nn.Dense(2)
MISTAKES = {
    "no such parameter": (
        lambda: nn.Parametrized(DENSE, jnp.exp, "weight").init(random.key(0), X),
        ["<root> (Parametrized)", "'weight'"],
    ),
    "another shape": (
        lambda: nn.Parametrized(DENSE, jnp.sum).init(random.key(0), X),
        ["<root> (Parametrized)", "'kernel'", "(4, 2)"],
    ),
    "no matrix": (lambda: nn.orthogonal(jnp.ones(3)), ["(3,)"]),
    "glob": (lambda: C.constrain({"a": jnp.ones(1)}, {"b": C.unit_norm()}), ["'b'", "**/kernel"]),
    "no parameters": (
        lambda: C.keep({"a": C.unit_norm()}).update({"a": jnp.ones(1)}, ()),
        ["tx.update(grads, state, params)"],
    ),
    "boxes": (lambda: B.iou(jnp.ones((2, 3)), BOXES), ["boxes.iou", "(2, 3)"]),
    "batches of boxes": (lambda: B.nms(BOXES[None], SCORES, 0.5), ["(1, 12, 4)", "jaxcore.vmap"]),
    "form": (lambda: B.converted(BOXES, "xyxy", "yxyx"), ["'yxyx'", "'cxcywh'"]),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake(name):
    refused(*MISTAKES[name])
