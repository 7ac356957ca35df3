"""`train` on several devices, where callbacks change a state that lies on all of them."""

import numpy as np
import optax
import pytest

import jaxcore
from jaxcore import nn, train


class Line(train.Task):
    def loss(self, model, batch, ctx):
        return (model(batch[0])[:, 0] - batch[1]) ** 2


CHANGING = {
    "pruning": lambda: train.ModelPruning(amount=0.3),
    "finetuning": lambda: train.BackboneFinetuning("layers_0/**", unfreeze_backbone_at_epoch=1),
    "plateau": lambda: train.ReduceLROnPlateau("loss", patience=0, min_delta=9.0),
}


@pytest.mark.parametrize("name", CHANGING)
def test_what_callbacks_change_lies_where_it_did(name):
    """Else the step would be compiled again for it, and could not reuse its memory."""
    x = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)
    data = train.ArrayData((x, x.sum(1)), batch_size=8)
    task = Line(model=nn.Sequential([nn.Dense(4), nn.Dense(1)]),
                tx=optax.adam, lr=0.1)  # fmt: skip
    fits = []
    for settings in ({}, {"mesh": jaxcore.make_mesh((4,), ("data",)), "shard": "fsdp"}):
        trainer = train.Trainer(callbacks=[CHANGING[name]()], **settings)
        fits.append(trainer.fit(task, data, until=train.Epochs(3)))
    one, four = fits
    np.testing.assert_allclose(four.history["loss"], one.history["loss"], rtol=1e-4)
