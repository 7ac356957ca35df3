"""`generate` against Hugging Face's texts, and against what its options mean."""

import dataclasses
import itertools

import model_references as references
import numpy as np
import pytest
from model_references import FOUND, MODELS, arrays

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import nn, random
from jaxcore.nn import generation

PROMPT = references.PROMPT
END = 10


@pytest.fixture(scope="module")
def loaded():
    return {name: nn.load(arrays(name), MODELS[name])[0] for name in ("gpt2", "llama", "llama3")}


def write(loaded, name="llama", prompt=PROMPT, **options):
    options = {"max_new_tokens": 8, "stop": END, **options}
    return nn.generate(MODELS[name], loaded[name], prompt, **options)


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_the_likeliest_tokens_are_hugging_faces(loaded, name):
    out = write(loaded, name)
    np.testing.assert_array_equal(out.tokens[:, :11], FOUND[name]["greedy"])
    assert (out.tokens[:, 11:] == 0).all()


@pytest.mark.parametrize("name", ["llama", "llama3"])  # they differ from the likeliest
def test_beams_are_hugging_faces(loaded, name):
    out = write(loaded, name, num_beams=3)
    np.testing.assert_array_equal(out.tokens[:, :11], FOUND[name]["beams"])


def chances(loaded, rows):
    """Log-probabilities of the tokens of rows, given those before: the model without a cache."""
    rows = np.asarray(rows)
    logits = np.asarray(jaxcore.jit(MODELS["llama"].apply)(loaded["llama"], rows), np.float64)
    found = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    return np.take_along_axis(found[:, :-1], rows[:, 1:, None], -1)[..., 0]


def test_beams_find_the_best_of_all_texts_and_say_its_score(loaded):
    """With as many beams as there are texts nothing is lost."""
    out = write(loaded, num_beams=11, max_new_tokens=2, max_length=5, length_penalty=0.5, stop=())
    for row, prompt in enumerate(PROMPT):
        texts = [[*prompt, *new] for new in itertools.product(range(11), repeat=2)]
        sums = chances(loaded, texts)[:, 2:].sum(-1)
        assert out.tokens[row, :5].tolist() == texts[sums.argmax()]
        np.testing.assert_allclose(out.scores[row], sums.max() / 2**0.5, rtol=1e-4)


def test_rows_of_different_lengths_are_as_if_alone(loaded, monkeypatch):
    prompt = np.array([[5, 3, 8, 1, 2, 7], [2, 7, 1, 9, 9, 9]])
    both = write(loaded, prompt=prompt, lengths=[6, 3], stop=())
    np.testing.assert_array_equal(both.lengths, [14, 11])
    alone = write(loaded, prompt=PROMPT, stop=())
    np.testing.assert_array_equal(both.tokens[1], alone.tokens[1])
    found = chances(loaded, both.tokens)
    sums = [found[0, 5:13].sum(), found[1, 2:10].sum()]
    np.testing.assert_allclose(both.scores, sums, rtol=1e-4)
    monkeypatch.setattr(generation, "CHUNK", 4)  # in pieces, the last of which reaches back
    model = dataclasses.replace(MODELS["llama"], max_length=15)
    pieces = nn.generate(model, loaded["llama"], prompt, lengths=[6, 3], max_new_tokens=8)
    np.testing.assert_array_equal(pieces.tokens, both.tokens[:, :15])


def test_a_row_ends_at_a_token_a_sequence_or_the_limit(loaded):
    greedy = write(loaded, stop=()).tokens
    row = greedy[0].tolist()
    out = write(loaded, stop=[row[4:6], [99, row[3]]], pad=7)
    assert out.lengths.tolist()[0] == 6 and out.tokens[0, 6:].tolist() == [7] * 10
    np.testing.assert_array_equal(out.tokens[0, :6], row[:6])
    full = write(loaded, stop=(), max_new_tokens=None)
    assert full.lengths.tolist() == [16, 16]
    nothing = write(loaded, max_new_tokens=0)
    assert nothing.lengths.tolist() == [3, 3] and (nothing.scores == 0).all()


def test_draws_follow_the_chances_that_cuts_leave(loaded):
    prompt = np.repeat(PROMPT[:1], 400, axis=0)
    apply = jaxcore.jit(MODELS["llama"].apply)
    logits = np.asarray(apply(loaded["llama"], PROMPT[:1]))[0, -1]
    order = np.argsort(-logits)
    hot = np.exp(logits / 1.5) / np.exp(logits / 1.5).sum()
    three = float(hot[order[:2]].sum()) + 1e-3  # a probability that two do not have
    for top_k, top_p, allowed in ((2, 1.0, 2), (11, three, 3), (11, 1.0, 11)):
        out = write(
            loaded,
            prompt=prompt,
            key=random.key(1),
            temperature=1.5,
            max_new_tokens=1,
            top_k=top_k,
            top_p=top_p,
        )
        drawn = np.asarray(out.tokens[:, 3])
        assert set(drawn) <= set(order[:allowed])
        share = hot[order[0]] / hot[order[:allowed]].sum()
        assert abs((drawn == order[0]).mean() - share) < 0.08
    again = write(
        loaded,
        prompt=prompt,
        key=random.key(1),
        temperature=1.5,
        max_new_tokens=1,
        top_k=11,
        top_p=1.0,
    )
    np.testing.assert_array_equal(again.tokens, out.tokens)


def test_it_is_traced_once_for_all_lengths(loaded):
    traced, once = [], 0

    def adjust(logits, tokens, lengths):
        traced.append(tokens.shape)
        return logits.at[:, 3].set(-jnp.inf)

    for length, new, hot in ((1, 3, 0.5), (4, 8, 2.0), (9, 2, 1.0)):
        prompt = np.ones((2, length), np.int32)
        out = write(
            loaded,
            prompt=prompt,
            max_new_tokens=new,
            temperature=hot,
            top_k=length,
            key=random.key(0),
            adjust=adjust,
        )
        assert not (np.asarray(out.tokens) == 3).any()
        once = len(traced) if length == 1 else once
    assert len(traced) == once


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"temperature": 1.0}, "key=random.key"),
        ({"top_k": 3}, "temperature above 0"),
        ({"lengths": [0, 3]}, "from 1 to 3"),
        ({"max_length": 17}, "max_length <= 16"),
        ({"max_length": 2}, "prompt of 3 tokens"),
        ({"prompt": PROMPT.astype(float)}, "Expected integers"),
        ({"stop": [[]]}, "empty sequence"),
    ],
)
def test_mistakes_say_what_is_wrong(loaded, options, words):
    with pytest.raises(nn.InputError, match=words):
        write(loaded, **options)
    with pytest.raises(nn.InputError, match="Dense has no field decode"):
        nn.generate(nn.Dense(2), {}, PROMPT)
