"""`generate`: a language model writes on, with a cache that is made once and one compiled program.

The prompt is read in pieces of `CHUNK` positions, then one position a turn is written, both in
loops inside one program. The program depends on the sizes of the batch and of the cache alone: how
long the prompts are, how much is written and how it is drawn are its arguments.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import Array, lax, random, tree

from .activations import log_softmax, softmax
from .errors import InputError
from .module import Module

CHUNK = 64  # positions of the prompt that are read at once


class Generated(NamedTuple):
    """What was written: `tokens` (batch, max_length), prompts in front and padding behind.

    `lengths` (batch,) counts prompt and new tokens, a stopping one among them; `scores` (batch,)
    are the sums of the log-probabilities of the new tokens, after temperature and cuts; of beams
    they are divided by the length to the power of `length_penalty`.
    """

    tokens: Array
    lengths: Array
    scores: Array


@dataclasses.dataclass(frozen=True)
class Settings:
    """What the program is compiled for."""

    model: Any  # decodes
    stop: tuple[tuple[int, ...], ...]
    sampled: bool
    cut_k: bool
    cut_p: bool
    beams: int
    adjust: Callable[[Array, Array, Array], Array] | None


def generate(
    model: Module,
    variables: Mapping[str, Any],
    prompt: Any,
    *,
    lengths: Any = None,
    max_new_tokens: int | None = None,
    max_length: int | None = None,
    temperature: float = 0.0,
    top_k: int | None = None,
    top_p: float | None = None,
    num_beams: int = 1,
    length_penalty: float = 1.0,
    stop: int | Sequence[int | Sequence[int]] = (),
    pad: int = 0,
    key: Any = None,
    adjust: Callable[[Array, Array, Array], Array] | None = None,
) -> Generated:
    """Continues prompts with a language model.

    Args:
      model: maps tokens (batch, length) and ``positions=`` (batch, length) to logits, has the
        fields `decode` and `max_length`, and keeps the collection ``cache``, as `nn.models.GPT2`
        and `nn.models.Llama` do.
      variables: the model's, without a cache.
      prompt: integers (batch, length).
      lengths: how many tokens of each row are its prompt, (batch,); the rest is padding. By
        default all.
      max_new_tokens: how many are written at most; by default as many as `max_length` lets.
      max_length: places of the cache; by default the model's `max_length`. A smaller one makes
        every turn cheaper.
      temperature: 0 takes the likeliest token. Otherwise logits are divided by it and drawn from.
      top_k: draw from the so many likeliest.
      top_p: draw from the likeliest that have this probability together (Holtzman et al. 2019,
        https://arxiv.org/abs/1904.09751).
      num_beams: keep so many texts at a time and return the best.
      length_penalty: beams are compared by score / (new tokens) ** length_penalty.
      stop: tokens, or sequences of tokens, after which a row ends.
      pad: fills the rows behind their ends.
      key: a random key, needed with a temperature.
      adjust: ``(logits, tokens, lengths) -> logits``, called before everything else, where tokens
        are (rows, max_length): for penalties and constraints.

    Returns:
      `Generated`: tokens, lengths, scores.

    Raises:
      InputError: arguments that do not fit together.

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn, random
    >>> model = nn.models.GPT2(10, features=8, num_layers=1, num_heads=2, max_length=6)
    >>> prompt = jnp.array([[1, 2, 3]])
    >>> out = nn.generate(model, model.init(random.key(0), prompt), prompt, max_new_tokens=2)
    >>> out.tokens.shape, out.lengths.tolist()
    ((1, 6), [5])
    """
    size: Any = max_length or getattr(model, "max_length", None)
    prompt = np.asarray(prompt)
    _check(model, prompt, size, temperature, top_k, top_p, num_beams, key)
    batch, width = prompt.shape
    lengths = np.full(batch, width) if lengths is None else np.asarray(lengths)
    if lengths.shape != (batch,) or lengths.min() < 1 or lengths.max() > width:
        raise InputError(
            f"generate: lengths={lengths.tolist()} for a prompt of shape {prompt.shape}. Expected "
            f"{batch} integers from 1 to {width}."
        )
    tokens = np.full((batch, size), pad, np.int32)
    real = np.arange(width) < lengths[:, None]
    tokens[:, :width] = np.where(real, prompt, pad)
    limits = np.minimum(lengths + (size if max_new_tokens is None else max_new_tokens), size)
    decoder: Any = model
    settings = Settings(
        dataclasses.replace(decoder, decode=True),
        _stops(stop),
        temperature > 0,
        top_k is not None,
        top_p is not None,
        num_beams,
        adjust,
    )
    numbers = {
        "temperature": np.float32(temperature or 1.0),
        "top_k": np.int32(top_k or 0),
        "top_p": np.float32(top_p or 1.0),
        "length_penalty": np.float32(length_penalty),
        "pad": np.int32(pad),
    }
    variables = {name: tree_ for name, tree_ in variables.items() if name != "cache"}
    return _write(
        variables,
        tokens,
        lengths.astype(np.int32),
        limits.astype(np.int32),
        numbers,
        random.key(0) if key is None else key,
        settings=settings,
    )


@jaxcore.jit(static_argnames=("settings",))
def _write(
    variables: Any,
    tokens: Array,
    lengths: Array,
    limits: Array,
    numbers: dict[str, Array],
    key: Array,
    *,
    settings: Settings,
) -> Generated:
    from .beams import search

    cache = read_prompt(settings.model, variables, tokens, lengths)
    if settings.beams > 1:
        return search(settings, variables, cache, tokens, lengths, limits, numbers)

    def turn(state: _State) -> _State:
        logits, cache = next_logits(settings, variables, state.cache, state.tokens, state.lengths)
        logits = cut(settings, logits, numbers)
        if settings.sampled:
            new = random.categorical(random.fold_in(key, state.turn), logits)
        else:
            new = logits.argmax(-1)
        scores = jnp.take_along_axis(log_softmax(logits), new[:, None], axis=-1)[:, 0]
        rows = jnp.arange(tokens.shape[0])
        place = jnp.where(state.done, tokens.shape[1], state.lengths)  # beyond the end: dropped
        written = state.tokens.at[rows, place].set(new.astype(jnp.int32), mode="drop")
        lengths = jnp.where(state.done, state.lengths, state.lengths + 1)
        done = state.done | (lengths >= limits) | stopped(settings.stop, written, lengths)
        scores = state.scores + jnp.where(state.done, 0.0, scores)
        return _State(cache, written, lengths, scores, done, state.turn + 1)

    state = lax.while_loop(
        lambda state: ~state.done.all(),
        turn,
        _State(
            cache,
            tokens,
            lengths,
            jnp.zeros(tokens.shape[:1]),
            lengths >= limits,
            jnp.zeros((), jnp.int32),
        ),
    )
    return Generated(state.tokens, state.lengths, state.scores)


class _State(NamedTuple):
    cache: Any
    tokens: Array
    lengths: Array
    scores: Array
    done: Array
    turn: Array


# --- the steps, which beams share -----------------------------------------------------------------


def read_prompt(model: Any, variables: Any, tokens: Array, lengths: Array) -> Any:
    """A cache of the full length that holds the prompts, all but their last tokens."""
    batch, size = tokens.shape
    chunk = min(CHUNK, size)
    everywhere = jnp.broadcast_to(jnp.arange(size, dtype=jnp.int32), (batch, size))
    shapes = jaxcore.eval_shape(lambda: model.init(random.key(0), tokens, positions=everywhere))
    if "cache" not in shapes:
        raise InputError(
            f"generate: {type(model).__name__}(decode=True) keeps no collection 'cache'. Expected "
            "its attention layers to be given decode=True."
        )
    cache = tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes["cache"])

    def read(state: tuple[Any, Array]) -> tuple[Any, Array]:
        cache, start = state
        # The last piece may reach back: what it reads again it writes as it was.
        start = jnp.minimum(start, size - chunk)
        piece = lax.dynamic_slice_in_dim(tokens, start, chunk, axis=1)
        positions = jnp.broadcast_to(start + jnp.arange(chunk, dtype=jnp.int32), (batch, chunk))
        _, updates = model.apply(
            {**variables, "cache": cache}, piece, positions=positions, mutable=["cache"]
        )
        return updates["cache"], start + chunk

    last = lengths.max() - 1
    start = jnp.zeros((), jnp.int32)
    return lax.while_loop(lambda state: state[1] < last, read, (cache, start))[0]


def next_logits(
    settings: Settings, variables: Any, cache: Any, tokens: Array, lengths: Array
) -> tuple[Array, Any]:
    """Logits (rows, vocabulary) of the tokens that come next, and the cache with the last ones."""
    last = jnp.take_along_axis(tokens, lengths[:, None] - 1, axis=1)
    logits, updates = settings.model.apply(
        {**variables, "cache": cache}, last, positions=lengths[:, None] - 1, mutable=["cache"]
    )
    logits = logits[:, -1].astype(jnp.float32)
    if settings.adjust is not None:
        logits = settings.adjust(logits, tokens, lengths)
    return logits, updates["cache"]


def cut(settings: Settings, logits: Array, numbers: dict[str, Array]) -> Array:
    """Logits after temperature, with -inf where `top_k` or `top_p` leaves a token out."""
    if settings.sampled:
        logits = logits / numbers["temperature"]
    if not (settings.cut_k or settings.cut_p):
        return logits
    ordered = jnp.flip(jnp.sort(logits, axis=-1), axis=-1)
    if settings.cut_k:
        most = logits.shape[-1] - 1
        least = lax.dynamic_index_in_dim(
            ordered, jnp.clip(numbers["top_k"] - 1, 0, most), -1, keepdims=True
        )
        logits = jnp.where(logits < least, -jnp.inf, logits)
        ordered = jnp.where(ordered < least, -jnp.inf, ordered)
    if settings.cut_p:
        chances = softmax(ordered, axis=-1)
        before = jnp.cumsum(chances, axis=-1) - chances
        kept = jnp.where(before < numbers["top_p"], ordered, jnp.inf)
        least = kept.min(-1, keepdims=True)
        logits = jnp.where(logits < least, -jnp.inf, logits)
    return logits


def stopped(stop: tuple[tuple[int, ...], ...], tokens: Array, lengths: Array) -> Array:
    """Whether the last of each row's tokens are one of the sequences that end it."""
    ends = jnp.zeros(lengths.shape, bool)
    for sequence in stop:
        found = lengths >= len(sequence)
        for back, token in enumerate(reversed(sequence), 1):
            at = jnp.maximum(lengths - back, 0)[:, None]
            found = found & (jnp.take_along_axis(tokens, at, axis=1)[:, 0] == token)
        ends = ends | found
    return ends


def _stops(stop: int | Sequence[int | Sequence[int]]) -> tuple[tuple[int, ...], ...]:
    several = (stop,) if isinstance(stop, (int, np.integer)) else tuple(stop)
    single = lambda s: (int(s),) if isinstance(s, (int, np.integer)) else tuple(map(int, s))
    sequences = tuple(single(s) for s in several)
    if () in sequences:
        raise InputError("generate: stop holds an empty sequence. Expected one token or more.")
    return sequences


def _check(
    model: Any,
    prompt: Any,
    size: Any,
    temperature: Any,
    top_k: Any,
    top_p: Any,
    beams: int,
    key: Any,
) -> None:
    name = type(model).__name__
    most = getattr(model, "max_length", size)
    wrong = None
    if not hasattr(model, "decode") or size is None:
        wrong = f"{name} has no field decode or max_length. Expected a model of language"
    elif prompt.ndim != 2 or not np.issubdtype(prompt.dtype, np.integer) or 0 in prompt.shape:
        wrong = (
            f"the prompt is {prompt.dtype}{list(prompt.shape)}. Expected integers (batch, length)"
        )
    elif prompt.shape[1] > size or size > most:
        wrong = (
            f"max_length={size} and a prompt of {prompt.shape[1]} tokens. Expected prompt <= "
            f"max_length <= {most}, the model's"
        )
    elif temperature < 0 or (top_k is not None and top_k < 1) or not 0 < (top_p or 1.0) <= 1:
        wrong = (
            f"temperature={temperature}, top_k={top_k}, top_p={top_p}. Expected temperature >= 0, "
            "top_k >= 1, 0 < top_p <= 1"
        )
    elif temperature == 0 and (top_k is not None or top_p is not None):
        wrong = "top_k and top_p cut what is drawn from. Expected a temperature above 0 with them"
    elif temperature > 0 and (key is None or beams > 1):
        wrong = "a temperature draws at random. Expected key=random.key(seed), and one beam"
    if wrong:
        raise InputError(f"generate: {wrong}.")
