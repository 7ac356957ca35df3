"""What modules cost while a model is traced, and nothing afterwards: ours beside Flax linen's.

A decoder of 24 layers in plain modules, the same in both libraries, with the same parameters.
"""

import functools
import itertools
import types
from collections.abc import Callable
from typing import Any

import flax.linen
import jax
import numpy

import jaxcore
from benchmarks.harness import OURS, PEER, Row, in_turns, repeated, row
from jaxcore import nn

LAYERS, WIDTH, HEADS, VOCABULARY = 24, 64, 4, 256
TRACES = 7
TARGET = 1 / 5


def written_in(library: types.ModuleType) -> Callable[[int], Any]:
    """The decoder in either library: ``decoder(width)`` is a module of logits for tokens."""

    def compact(method: Any) -> Any:
        return getattr(library, "compact", lambda f: f)(method)

    attention = functools.partial(library.MultiHeadDotProductAttention, HEADS)

    class Block(library.Module):  # type: ignore[name-defined]
        """Attention and a dense layer of four times the width, each beside a residual."""

        width: int

        @compact
        def __call__(self, x: Any, mask: Any) -> Any:
            x = x + attention(name="attention")(library.LayerNorm()(x), mask=mask)
            hidden = library.gelu(library.Dense(4 * self.width)(library.LayerNorm()(x)))
            return x + library.Dense(self.width)(hidden)

    class Decoder(library.Module):  # type: ignore[name-defined]
        """Embedding, blocks, logits."""

        width: int

        @compact
        def __call__(self, tokens: Any) -> Any:
            x = library.Embed(VOCABULARY, self.width)(tokens)
            mask = library.make_causal_mask(tokens)
            for i in range(LAYERS):
                x = Block(self.width, name=f"block_{i}")(x, mask)
            return library.Dense(VOCABULARY)(library.LayerNorm()(x))

    return lambda width: Decoder(width)


SIDES = (
    (OURS, written_in(nn), jaxcore, jaxcore.random.key(0)),
    (PEER, written_in(flax.linen), jax, jax.random.key(0)),
)
TOKENS = numpy.arange(8 * 32, dtype=numpy.int32).reshape(8, 32) % VOCABULARY


def shapes(make: Callable[[int], Any], library: Any, key: Any, width: int) -> Callable[[], Any]:
    """A call finds the parameters' shapes of a model that was never traced."""
    model = make(width)
    return lambda: library.eval_shape(model.init, key, TOKENS)


def lowering(make: Callable[[int], Any], library: Any, key: Any, width: int) -> Callable[[], Any]:
    """A call traces and lowers the forward pass of a model that was never applied."""
    model = make(width)
    variables = library.eval_shape(model.init, key, TOKENS)
    return lambda: library.jit(model.apply).lower(variables, TOKENS)


def tracing(make: Callable[[int], Any], library: Any, key: Any, width: int) -> Callable[[], Any]:
    """A call traces the forward pass of a model that was never applied."""
    model = make(width)
    variables = library.eval_shape(model.init, key, TOKENS)
    return lambda: library.make_jaxpr(model.apply)(variables, TOKENS)


def first_times(what: Callable[..., Callable[[], Any]]) -> dict[str, list[float]]:
    """Samples in turns, each at a width of its own, so that nothing is there already."""
    samples: dict[str, list[float]] = {OURS: [], PEER: []}
    for width in itertools.islice(itertools.count(WIDTH, 2 * HEADS), 1, TRACES + 1):
        sides = {name: what(make, library, key, width) for name, make, library, key in SIDES}
        for name, times in in_turns(sides, 1, collector=True).items():
            samples[name] += times
    return samples


def applying() -> dict[str, Callable[[], Any]]:
    """A call runs the compiled forward pass; both sides' logits are the same."""
    variables = jax.tree.map(numpy.asarray, SIDES[0][1](WIDTH).init(SIDES[0][3], TOKENS))
    variables, tokens = jax.device_put((variables, TOKENS))
    calls = {
        name: functools.partial(library.jit(make(WIDTH).apply), variables, tokens)
        for name, make, library, _ in SIDES
    }
    numpy.testing.assert_allclose(calls[OURS](), calls[PEER](), rtol=2e-3, atol=2e-4)
    return calls


def run() -> list[Row]:
    """Measure `init` and `apply` while traced, and the compiled forward pass."""
    title = "24-layer decoder of modules"
    for what in (shapes, tracing, lowering):
        for _, make, library, key in SIDES:
            what(make, library, key, WIDTH // 2)()
    return [
        row(f"{title}: shapes of init", first_times(shapes), TARGET),
        row(f"{title}: trace of apply", first_times(tracing), TARGET),
        row(f"{title}: trace + lower of apply", first_times(lowering)),
        repeated(f"{title}: compiled apply", applying(), target=1.0, rounds=21, seconds=0.2),
    ]
