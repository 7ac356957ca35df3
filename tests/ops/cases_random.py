"""Samplers: the values, derivatives and batches are those of JAX, and the programs are ours."""

import jax
import numpy as np
from harness import Case

import jaxcore

KEY = np.array([7, 3], np.uint32)
P = np.array([0.2, 0.7, 0.5], np.float32)
LOW = np.array([-1.0, -0.5, 0.0], np.float32)
LOGITS = np.array([[0.1, 2.0, -1.0], [0.0, 0.5, 1.0]], np.float32)
INTS = np.arange(6, dtype=np.int32)


def sampler(name, *before, **options):
    """``fn(np, key, *parameters)`` for the sampler of that name in the namespace next to `np`."""

    def fn(np_like, key, *parameters):
        random = jaxcore.random if np_like is jaxcore.numpy else jax.random
        return getattr(random, name)(key, *before, *parameters, **options)

    return fn


def typed(np_like, key):
    random = jaxcore.random if np_like is jaxcore.numpy else jax.random
    wrapped = random.wrap_key_data(key)
    a, b = random.split(random.fold_in(wrapped, 5))
    return random.key_data(a), random.bits(b, (3,))


CASES = [
    Case("random: split", sampler("split"), (KEY,)),
    Case("random: split to a shape", sampler("split", (2, 3)), (KEY,)),
    Case("random: fold_in", sampler("fold_in"), (KEY, np.int32(4))),
    Case("random: fold_in a constant", sampler("fold_in", 9), (KEY,)),
    Case("random: typed keys", typed, (KEY,)),
    Case("random: bits", sampler("bits", (4,)), (KEY,)),
    Case("random: uniform", sampler("uniform", (2, 3)), (KEY,)),
    Case(
        "random: uniform in a range",
        sampler("uniform", (2, 3), None),
        (KEY, LOW, np.float32(2.0)),
        rank_promotion=True,
    ),
    Case("random: normal", sampler("normal", (4,)), (KEY,)),
    Case("random: normal, scaled", lambda np, k, s: sampler("normal", (3,))(np, k) * s, (KEY, P)),
    Case(
        "random: truncated_normal",
        sampler("truncated_normal"),
        (KEY, LOW, np.float32(1.0)),
        tol=1e-4,
    ),
    Case("random: exponential", sampler("exponential", (4,)), (KEY,)),
    Case("random: laplace", sampler("laplace", (4,)), (KEY,)),
    Case("random: logistic", sampler("logistic", (4,)), (KEY,)),
    Case("random: gumbel", sampler("gumbel", (4,)), (KEY,)),
    Case("random: bernoulli", sampler("bernoulli"), (KEY, P), grad=False),
    Case("random: bernoulli, high", sampler("bernoulli", mode="high"), (KEY, P), grad=False),
    Case("random: rademacher", sampler("rademacher", (4,)), (KEY,)),
    Case("random: randint", sampler("randint", (4,)), (KEY, np.int32(-3), np.int32(9))),
    Case("random: permutation", sampler("permutation"), (KEY, INTS)),
    Case("random: permutation of rows", sampler("permutation"), (KEY, LOGITS)),
    Case("random: categorical", sampler("categorical"), (KEY, LOGITS), grad=False),
    Case("random: choice", sampler("choice", shape=(4,)), (KEY, INTS)),
]
