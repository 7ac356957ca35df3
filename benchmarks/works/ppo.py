"""An iteration of PPO on a small world in NumPy: a loop that calls tiny compiled functions.

Schulman et al. 2017, https://arxiv.org/abs/1707.06347
"""

from typing import Any

import jax
import numpy
import optax

from benchmarks.harness import OURS, PEER, Row, repeated
from benchmarks.peers import Advance
from benchmarks.sides import SIDES, Side
from benchmarks.work import normal

WORLDS, STEPS, EPOCHS, WIDTH = 8, 32, 4, 32


def iteration(side: Side) -> Advance:
    """A call plays `STEPS` steps in all worlds and learns from them; it returns the last loss."""
    np, lax = side.np, side.lax
    optimiser = optax.adam(3e-4)

    def heads(params: Any, x: Any) -> Any:
        hidden = np.tanh(x @ params["hidden"])
        return hidden @ params["policy"], (hidden @ params["value"])[..., 0]

    def log_softmax(x: Any) -> Any:
        x = x - np.max(x, axis=-1, keepdims=True)
        return x - np.log(np.sum(np.exp(x), axis=-1, keepdims=True))

    @side.jit
    def act(params: Any, x: Any, key: Any, t: Any) -> Any:
        logits, value = heads(params, x)
        action = side.random.categorical(side.random.fold_in(key, t), logits)
        chosen = np.take_along_axis(log_softmax(logits), action[:, None], axis=-1)[:, 0]
        return action, chosen, value

    @side.jit
    def value(params: Any, x: Any) -> Any:
        return heads(params, x)[1]

    @side.jit
    def advantages(rewards: Any, values: Any, last: Any) -> Any:
        def back(carry: Any, now: Any) -> Any:
            gain, following = carry
            reward, value = now
            gain = reward + 0.99 * following - value + 0.99 * 0.95 * gain
            return (gain, value), gain

        start = (np.zeros_like(last), last)
        return lax.scan(back, start, (rewards, values), reverse=True)[1]

    @side.jit
    def update(state: Any, batch: Any) -> Any:
        def loss(params: Any) -> Any:
            x, actions, before, values, gains = batch
            logits, guess = heads(params, x)
            chosen = np.take_along_axis(log_softmax(logits), actions[..., None], axis=-1)[..., 0]
            ratio = np.exp(chosen - before)
            least = np.minimum(ratio * gains, np.clip(ratio, 0.8, 1.2) * gains)
            return np.mean((guess - values - gains) ** 2) / 2 - np.mean(least)

        params, moments = state
        lost, grads = side.value_and_grad(loss)(params)
        updates, moments = optimiser.update(grads, moments)
        return (optax.apply_updates(params, updates), moments), lost

    rng = numpy.random.default_rng(0)
    sizes = {"hidden": (4, WIDTH), "policy": (WIDTH, 2), "value": (WIDTH, 1)}
    params = jax.device_put({name: normal(rng, *size) for name, size in sizes.items()})
    state, key = (params, optimiser.init(params)), jax.random.key(0)
    world = rng.standard_normal((WORLDS, 4), "float32")
    drift = normal(rng, 4, 4)

    def advance() -> Any:
        nonlocal state, world
        played: list[Any] = []
        for t in range(STEPS):
            action, chosen, guess = act(state[0], world, key, t)
            reward = -(world**2).mean(1)
            played.append((world, action, chosen, guess, reward))
            push = numpy.asarray(action, "float32")[:, None] - 0.5
            world = numpy.tanh(world + 0.1 * world @ drift + 0.2 * push)
        x, actions, before, values, rewards = map(numpy.stack, zip(*played))
        gains = advantages(rewards, values, value(state[0], world))
        for _ in range(EPOCHS):
            state, lost = update(state, (x, actions, before, values, gains))
        return lost

    return advance


def run() -> list[Row]:
    """Measure an iteration, and check that both sides play and learn the same."""
    sides = {side.name: iteration(side) for side in SIDES}
    first = {name: advance() for name, advance in sides.items()}
    numpy.testing.assert_allclose(first[OURS], first[PEER], rtol=1e-4)
    title = f"PPO, {STEPS} calls of a policy and {EPOCHS} updates"
    return [repeated(f"{title}: iteration", sides, target=1.0, seconds=0.1, limit=10)]
