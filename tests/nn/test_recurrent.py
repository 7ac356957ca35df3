"""Cells against linen's; sequences against linen's and against a loop over the steps."""

from __future__ import annotations

import dataclasses
import functools

import jax
import numpy as np
import pytest
from layer_table import QUICK, Row, assert_close, check, linen, normal, refused, shapes

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import nn, random

X = normal(2, 3)
H = normal(2, 4)
SEQUENCE = normal(3, 5, 4)
LENGTHS = jnp.array([5, 1, 3])


class Swapped(nn.Module):
    """Two steps of a cell, as a layer of its input alone."""

    cell: nn.Module

    def __call__(self, x):
        carry = self.cell.initialize_carry(random.key(0), x.shape)
        carry = jax.tree.map(lambda v: v + 0.3, carry)
        for _ in range(2):
            carry, y = self.cell(carry, x)
        return {"carry": carry, "y": y}


class LinenSwapped(linen.Module):
    cell: linen.Module

    @linen.compact
    def __call__(self, x):
        carry = self.cell.initialize_carry(jax.random.key(0), x.shape)
        carry = jax.tree.map(lambda v: v + 0.3, carry)
        for _ in range(2):
            carry, y = self.cell(carry, x)
        return {"carry": carry, "y": y}


def rows():
    def row(make, x, **options):
        two_steps = lambda m: (Swapped if m is nn else LinenSwapped)(make(m))
        options = {"low": "float32"} | options  # the carry's dtype, as in linen
        return Row(two_steps, [x], **options)

    two = lambda m: m.Bidirectional(m.RNN(m.GRUCell(3)), m.RNN(m.SimpleCell(2)), return_carry=True)
    lengths = {"options": {"seq_lengths": LENGTHS}, "free": False, "rigid": True, "low": None}
    return {
        "LSTMCell": row(lambda m: m.LSTMCell(4), X, init=True),
        "OptimizedLSTMCell": row(lambda m: m.OptimizedLSTMCell(4, gate_fn=m.hard_sigmoid), X),
        "GRUCell": row(lambda m: m.GRUCell(4), X, init=True),
        "SimpleCell": row(lambda m: m.SimpleCell(4), X, init=True, low="bfloat16"),
        "SimpleCell, residual": row(lambda m: m.SimpleCell(4, residual=True), X),
        "MGUCell": row(lambda m: m.MGUCell(4), X, init=True),
        "MGUCell, no reset": row(lambda m: m.MGUCell(4, reset_gate=False), X),
        "ConvLSTMCell": row(lambda m: m.ConvLSTMCell(2, (3,)), normal(2, 5, 3)),
        "RNN": Row(lambda m: m.RNN(m.LSTMCell(4), return_carry=True), [SEQUENCE], low="float32"),
        "RNN, lengths": Row(
            lambda m: m.RNN(m.GRUCell(4), return_carry=True), [SEQUENCE], **lengths
        ),
        "RNN, reversed": Row(lambda m: m.RNN(m.SimpleCell(4), reverse=True), [SEQUENCE], **lengths),
        "RNN, reversed in order": Row(
            lambda m: m.RNN(m.SimpleCell(4), reverse=True, keep_order=True), [SEQUENCE]
        ),
        "RNN, time first": Row(
            lambda m: m.RNN(m.GRUCell(4), time_major=True, unroll=2),
            [SEQUENCE],
            free=False,
            rigid=True,
            low="float32",
        ),
        "RNN, images": Row(
            lambda m: m.RNN(m.ConvLSTMCell(2, (3,))), [normal(2, 3, 4, 2)], low="float32"
        ),
        "Bidirectional": Row(two, [SEQUENCE], **lengths),
    }


ROWS = rows()


@pytest.mark.parametrize("name", ROWS)
def test_layer(name):
    check(dataclasses.replace(ROWS[name], brief="," in name))


def test_carry_and_mask_of_a_sequence():
    layer = nn.RNN(nn.StackedCells([nn.LSTMCell(4), nn.GRUCell(3)]), return_carry=True)
    variables = layer.init(random.key(0), SEQUENCE)
    mask = jnp.arange(5)[None] < LENGTHS[:, None]

    @functools.partial(jaxcore.jit, compiler_options=QUICK)
    def run(variables):
        whole = layer.apply(variables, SEQUENCE)
        carry, first = layer.apply(variables, SEQUENCE[:, :2])
        half, second = layer.apply(variables, SEQUENCE[:, 2:], initial_carry=carry)
        ends = layer.apply(variables, SEQUENCE, seq_lengths=LENGTHS)
        masked = layer.apply(variables, SEQUENCE, mask=mask)
        none = layer.apply(variables, SEQUENCE, seq_lengths=LENGTHS * 0)[0]
        return whole, (half, jnp.concatenate([first, second], 1)), ends, masked, none

    whole, halves, ends, masked, none = run(variables)
    assert_close(halves, whole)
    assert_close(masked[0], ends[0])
    np.testing.assert_allclose(masked[1], jnp.where(mask[..., None], whole[1], 0), rtol=1e-5)
    np.testing.assert_allclose(ends[0][1], whole[1][jnp.arange(3), LENGTHS - 1], rtol=1e-5)
    assert all(np.all(v == 0) for v in jax.tree.leaves(none))


def test_state_and_random_numbers_inside_a_sequence():
    class Noisy(nn.GRUCell):
        def __call__(self, carry, x):
            x = nn.BatchNorm(momentum=0.5)(nn.Dropout(0.5)(jnp.ones_like(x)))
            self.sow("intermediates", "seen", x)
            count = self.variable("state", "count", jnp.zeros, ())
            if not self.initializing:
                count.value = count.value + 1
            return nn.GRUCell(self.features, name="inner")(carry, x)

        uses_rng = True

    layer = nn.RNN(Noisy(4))
    variables = layer.init(random.key(0), SEQUENCE)
    assert variables["state"]["cell"]["count"] == 0
    run = jaxcore.jit(
        lambda v: layer.apply(v, SEQUENCE, train=True, rngs=random.key(1), mutable=True)
    )
    _, updates = run(variables)
    assert updates["state"]["cell"]["count"] == 5
    seen = updates["intermediates"]["cell"]["seen"][0]
    assert seen.shape == (5, 3, 4) and np.any(seen[0] != seen[1])
    mean = updates["batch_stats"]["cell"]["BatchNorm_0"]["mean"]
    assert mean.shape == (4,) and np.all(mean != 0)
    made = jaxcore.jit(
        lambda: layer.apply({}, SEQUENCE, train=True, rngs=random.key(1), mutable=True)[1]
    )()
    assert shapes(made) == shapes(updates) and made["state"]["cell"]["count"] == 5
    given = {"params": variables["params"]}
    options = {"train": True, "rngs": random.key(1), "mutable": ["batch_stats", "state"]}
    _, added = layer.apply(given, SEQUENCE, **options)
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    jax.tree.map(close, added, {name: updates[name] for name in added})


def test_sequences_inside_other_forms():
    """Under Repeat as in a loop over its slices; without steps; with parameters made by apply."""
    one = nn.RNN(nn.SimpleCell(4))
    deep = nn.Repeat(one, 2)
    variables = deep.init(random.key(0), SEQUENCE)

    @functools.partial(jaxcore.jit, compiler_options=QUICK)
    def run(variables):
        x = SEQUENCE
        for i in range(2):
            layer = jax.tree.map(lambda v, i=i: v[i], variables["params"]["block"])
            x = one.apply({"params": layer}, x)
        none, made = one.apply({}, SEQUENCE[:, :0], rngs=random.key(1), mutable=True)
        return deep.apply(variables, SEQUENCE), x, none, made

    y, expected, none, made = run(variables)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)
    assert none.shape == (3, 0, 4) and made["params"]["cell"]["h"]["kernel"].shape == (4, 4)


def test_options_that_differ_between_libraries():
    cell, before = nn.LSTMCell(4, forget_bias=1.0), nn.GRUCell(4, reset_after=False)

    @functools.partial(jaxcore.jit, compiler_options=QUICK)
    def run(h, x):
        h1, variables = before.init_with_output(random.key(0), h, x)
        return h1[1], variables["params"], cell.init(random.key(0), (h, h), x)["params"]

    got, params, lstm = jax.tree.map(np.asarray, run(H, X))
    assert np.all(lstm["hf"]["bias"] == 1) and np.all(lstm["hi"]["bias"] == 0)
    x, h = np.asarray(X), np.asarray(H)
    sigmoid = lambda v: 1 / (1 + np.exp(-v))
    dense = lambda name, x: x @ params[name]["kernel"]
    r, z = (sigmoid(dense("i" + g, x) + dense("h" + g, h)) for g in "rz")
    n = np.tanh(dense("in", x) + dense("hn", r * h))
    np.testing.assert_allclose(got, (1 - z) * n + z * h, rtol=1e-4, atol=1e-6)


MISTAKES = {
    "batch": (
        lambda: nn.GRUCell(4).init(0, H, normal(5, 3)),
        ["<root> (GRUCell)", "(2, 4)", "(5, 3)", "initialize_carry"],
    ),
    "no time axis": (
        lambda: nn.RNN(nn.GRUCell(4)).init(0, jnp.ones(3)),
        ["<root> (RNN)", "(3,)", "(batch, time, *features)", "x[:, None]"],
    ),
    "lengths": (
        lambda: nn.RNN(nn.GRUCell(4)).init(0, SEQUENCE, seq_lengths=jnp.ones((3, 1), int)),
        ["seq_lengths are int32[3, 1]", "shape [3]"],
    ),
    "mask": (
        lambda: nn.RNN(nn.GRUCell(4)).init(0, SEQUENCE, mask=jnp.ones((3, 5))),
        ["mask is float32[5, 3]", "booleans of shape [5, 3]"],
    ),
    "carries": (
        lambda: nn.StackedCells([nn.GRUCell(4)]).init(0, (H, H), X),
        ["<root> (StackedCells)", "2 carries for 1 cells"],
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake(name):
    refused(*MISTAKES[name])
