"""The choice between a new state and the old one, made where the new values arise."""

import numpy as np
import optax
import pytest

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import tree
from jaxcore.train.selection import updated_where


def step(state, grads):
    params, moments, extra = state
    updates, moments = optax.adam(0.1).update(grads, moments, params)
    twice = extra["twice"] * 2
    # A leaf that stays, two that become the same value, and one whose type becomes another.
    extra = {"twice": twice, "again": twice, "stays": extra["stays"], "wider": extra["wider"] * 1.5}
    return (optax.apply_updates(params, updates), moments, extra), optax.tree.norm(updates)


def start():
    params = {"w": jnp.ones((3, 2)), "b": jnp.ones(2, jnp.bfloat16)}
    extra = {"twice": 1, "again": 5, "stays": 7, "wider": 3}
    return params, optax.adam(0.1).init(params), tree.map(jnp.asarray, extra)


@pytest.mark.parametrize("keep", [True, False])
def test_it_is_a_choice_at_the_end(keep):
    old = start()
    grads = tree.map(lambda x: x * (0.5 if keep else np.nan), old[0])
    (new, norm), (expected, whole) = updated_where(keep, step, old, old, grads), step(old, grads)
    chosen = tree.map(lambda a, b: jnp.where(keep, a, b), expected, old)
    for x, y in zip(tree.leaves(new), tree.leaves(chosen), strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(x, y)
    if keep:
        assert float(norm) == pytest.approx(float(whole), rel=1e-6)


def test_small_values_do_not_all_wait_for_the_same():
    def halves(old):
        return [x / 2 for x in old], None

    def update(keep, old):
        return updated_where(keep, halves, old, old)[0]

    waiting = []
    for size in (5, 5000):
        old = [jnp.full(size, float(i)) for i in range(10)]
        program = jaxcore.jit(update).trace(True, old).program
        choices = [e for e in program.equations if e.primitive.name == "select_n"]
        assert len(choices) == 10
        waiting.append(
            max(sum(e.inputs[0] is other.inputs[0] for e in choices) for other in choices)
        )
    assert waiting == [4, 10]
    odd = [jnp.zeros(0), jnp.ones(3, bool), jnp.ones(2, jnp.complex64), *jnp.arange(9)]
    same = jaxcore.jit(lambda keep: updated_where(keep, lambda old: (old, None), odd, odd)[0])
    for x, y in zip(same(False), odd, strict=True):
        np.testing.assert_array_equal(x, y)


def test_memory_that_is_given_is_written_without_a_copy():
    def update(keep, old, grads):
        return updated_where(keep, lambda *args: step(*args), old, old, grads)[0][:2]

    def late(keep, old, grads):
        return tree.map(lambda a, b: jnp.where(keep, a, b), step(old, grads)[0], old)[:2]

    old = start()
    copies = []
    for fun in (update, late):
        lowered = jaxcore.jit(fun, donate_argnums=1).lower(True, old, old[0])
        copies.append(lowered.compile().as_text().count(" copy("))
    assert copies[0] == 0 < copies[1]
