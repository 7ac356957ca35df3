"""Parameters of equal layers as one array, and as layers again."""

import numpy as np
import pytest

import jaxcore.numpy as jnp
from jaxcore import nn, tree


def tower(n, width=3, start=0.0):
    return {
        f"block_{i}": {"w": jnp.full((width,), start + i), "n": jnp.asarray(i)} for i in range(n)
    }


def test_layers_are_stacked_in_the_order_of_their_numbers_and_come_back():
    params = {**tower(11), "head": {"w": jnp.ones(2)}}
    stacked = nn.stack_layers(params, "block_*")
    assert sorted(stacked) == ["block_*", "head"]
    assert stacked["block_*"]["n"].tolist() == list(range(11))
    back = nn.unstack_layers(stacked)
    assert sorted(back) == sorted(params)
    assert all(np.array_equal(a, b) for a, b in zip(*map(tree.leaves, (back, params)), strict=True))


@pytest.mark.parametrize("glob", ["encoder/block_*", "**/block_*"])
def test_layers_are_found_below_others(glob):
    params = {"encoder": tower(2), "decoder": tower(3), "norm": {"scale": jnp.ones(1)}}
    stacked = nn.stack_layers(params, glob)
    assert list(stacked["encoder"]) == ["block_*"]
    assert list(stacked["decoder"]) == (["block_*"] if "**" in glob else list(params["decoder"]))
    assert tree.structure(nn.unstack_layers(stacked)) == tree.structure(params)


def test_layers_within_layers():
    params = {f"stage_{i}": tower(2, start=10.0 * i) for i in range(3)}
    stacked = nn.stack_layers(params, "**/block_*", "stage_*")
    assert stacked["stage_*"]["block_*"]["w"].shape == (3, 2, 3)
    back = nn.unstack_layers(stacked)
    assert back["stage_2"]["block_1"]["w"].tolist() == [21.0] * 3


@pytest.mark.parametrize(
    "params, glob, message",
    [
        (tower(3), "layer_*", "nothing matches 'layer_\\*'.*block_0"),
        (tower(3), "block_0", "does not name layers.*one \\*"),
        ({"block_0": {"w": 1.0}, "block_2": {"w": 1.0}}, "block_*", "without gaps"),
        ({**tower(2), "block_2": {"w": jnp.ones(4)}}, "block_*", "block_2 is .*block_0 is"),
        ({**tower(2), "block_2": tower(1, 4)["block_0"]}, "block_*", "block_2 is .*4.*block_0 is"),
    ],
)
def test_what_cannot_be_stacked_says_why(params, glob, message):
    with pytest.raises(nn.InputError, match=message):
        nn.stack_layers(params, glob)
