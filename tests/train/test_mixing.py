"""MixUp and CutMix: what is in the images, and in their labels."""

import numpy as np
import optax
import pytest

from jaxcore import nn, train


@pytest.mark.parametrize("per_example", [False, True])
@pytest.mark.parametrize("mix", [train.MixUp, train.CutMix])
def test_mixed_images_have_labels_of_what_is_in_them(mix, per_example):
    rows, size = 64, 12
    x = np.broadcast_to(np.eye(rows, dtype=np.float32)[:, None, None], (rows, size, size, rows))
    labels = np.arange(rows)  # of a class each, whose channel is 1: the mean image is the label
    mixing = mix(num_classes=rows, alpha=0.7, per_example=per_example)
    shares = []
    for seed in range(20):
        rng = np.random.default_rng
        mixed, soft = mixing((x, labels), rng(seed))
        assert (mixed.dtype, soft.dtype, soft.shape) == (np.float32, np.float32, (rows, rows))
        np.testing.assert_allclose(mixed.mean((1, 2)), soft, atol=1e-5)
        np.testing.assert_allclose(soft.sum(1), 1, rtol=1e-6)
        again = mixing((x, soft), rng(seed))  # soft labels are mixed as they are
        np.testing.assert_array_equal(again[0], mixed)
        kept = soft[labels, labels]
        others = kept[kept < 1]  # one may be its own partner
        assert (len({*others.round(5)}) > 9) == per_example or len(others) == 0
        shares += [*others]
        if mix is train.CutMix:  # of one image or the other, whole, in a rectangle
            assert np.isin(mixed, (0, 1)).all()
            inside = mixed[labels, :, :, labels] == 0
            sides = inside.any(1).sum(1) * inside.any(2).sum(1)
            np.testing.assert_array_equal(inside.sum((1, 2)), sides)
    assert min(shares) < 0.45 and max(shares) > 0.8


def test_shares_of_mixup_are_drawn_from_beta():
    mixing = train.MixUp(num_classes=2, alpha=0.4, per_example=True)
    x = np.arange(40_000, dtype=np.float64)[:, None]
    mixed, _ = mixing((x, np.zeros(len(x), int)), np.random.default_rng(3))
    rng = np.random.default_rng(3)
    share, partner = rng.beta(0.4, 0.4, len(x)), rng.permutation(len(x))
    np.testing.assert_allclose(mixed[:, 0], share * x[:, 0] + (1 - share) * x[partner, 0])
    # the variance of Beta(a, a) is 1 / (8·a + 4)
    assert abs(share.mean() - 0.5) < 0.01 and abs(share.var() - 1 / 7.2) < 0.005


def test_training_on_mixed_batches_is_exact_again(toy):
    """The same bits for any number of workers, and the loss takes the labels."""

    class Classify(train.Task):
        def loss(self, model, batch, ctx):
            return nn.losses.softmax_cross_entropy(model(batch[0]), batch[1])

    x, y = toy.arrays(20)
    states = []
    for workers in (0, 2):
        mixing = train.MixUp(num_classes=2)
        data = train.ArrayData(
            (x, (y > 0).astype(int)), batch_size=8, transform=mixing, workers=workers
        )
        task = Classify(model=nn.Dense(2), tx=optax.sgd, lr=0.1)
        states.append(toy.trainer().fit(task, data, until=train.Epochs(2)).state)
    toy.equal(*states)


def test_what_cannot_be_mixed():
    rng, x, y = np.random.default_rng(0), np.zeros((4, 6, 6)), np.array([0, 1, 2, 1])
    assert train.CutMix(3)((x.astype(np.uint8), y), rng)[0].dtype == np.uint8
    assert [len(part) for part in train.CutMix(3)((x[:1], y[:1]), rng)] == [1, 1]
    for mixing, batch, message in (
        (train.MixUp(3), (x.astype(np.uint8), y), "inputs of uint8"),
        (train.CutMix(3), (x[:, :, 0], y), r"inputs of shape \(4, 6\)"),
        (train.MixUp(2), (x, y), "int64 of shape .* from 0 to 2"),
        (train.MixUp(3), (x, y.astype(float)), "float64 of shape"),
        (train.MixUp(3), {"x": x, "y": y}, "mixes pairs"),
    ):
        with pytest.raises(train.TrainError, match=message):
            mixing(batch, rng)
