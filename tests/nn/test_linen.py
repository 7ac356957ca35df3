"""Every layer that Flax linen has against it, by the table of layers.

One row of `LAYERS` a layer or option: what makes it from either library, and the inputs. Options
(behind a comma) are compared with linen's only, layers get the whole list of properties.
"""

from __future__ import annotations

import dataclasses

import pytest
from layer_table import Row, check, integers, linen, normal

import jaxcore.nn as nn
import jaxcore.numpy as jnp


class OurMLP(nn.Module):
    widths: tuple

    def __call__(self, x):
        for width in self.widths:
            x = nn.relu(nn.Dense(width)(x))
        return nn.Dense(2)(nn.Dense(3)(x))


class LinenMLP(linen.Module):
    widths: tuple

    @linen.compact
    def __call__(self, x):
        for width in self.widths:
            x = linen.relu(linen.Dense(width)(x))
        return linen.Dense(2)(linen.Dense(3)(x))


class OurNested(nn.Module):
    encoder: nn.Module
    heads: dict
    layers: list

    def __call__(self, x):
        shared = nn.Dense(5)
        x = shared(shared(self.encoder(x)))
        x = nn.Sequential([nn.Dense(4), nn.relu, nn.Dense(4, name="named")])(x)
        for layer in self.layers:
            x = layer(x)
        return self.heads["a"](x) + self.heads["b"](x)


class LinenNested(linen.Module):
    encoder: linen.Module
    heads: dict
    layers: list

    @linen.compact
    def __call__(self, x):
        shared = linen.Dense(5)
        x = shared(shared(self.encoder(x)))
        x = linen.Sequential([linen.Dense(4), linen.relu, linen.Dense(4, name="named")])(x)
        for layer in self.layers:
            x = layer(x)
        return self.heads["a"](x) + self.heads["b"](x)


def nested(lib, kind):
    return kind(
        lib.Sequential([lib.Dense(6), lib.relu, lib.Dense(5)]),
        {"a": lib.Dense(2), "b": lib.Dense(2, name="mine")},
        [lib.Dense(4), lib.LayerNorm()],
    )


X = normal(2, 6, 8)
IMAGE = normal(2, 6, 5, 4)

# name: (layer made from the library, inputs[, options of both calls])
LAYERS = {
    "Dense": (lambda m: m.Dense(3), [X]),
    "Dense, no bias": (lambda m: m.Dense(3, use_bias=False), [X]),
    "Dense, bfloat16": (lambda m: m.Dense(3, dtype=jnp.bfloat16), [X]),
    "Dense, bfloat16 input": (lambda m: m.Dense(3), [X.astype("bfloat16")]),
    "DenseGeneral": (lambda m: m.DenseGeneral((2, 3)), [X]),
    "DenseGeneral, axes": (lambda m: m.DenseGeneral(4, axis=(-2, -1)), [X]),
    "DenseGeneral, batch": (lambda m: m.DenseGeneral((2, 3), axis=-1, batch_dims=(0,)), [X]),
    "Embed": (lambda m: m.Embed(11, 4), [integers(2, 5, below=11)]),
    "Conv": (lambda m: m.Conv(6, (3, 3)), [IMAGE]),
    "Conv, valid, strides": (lambda m: m.Conv(6, (3, 2), 2, "VALID"), [IMAGE]),
    "Conv, unbatched": (lambda m: m.Conv(6, (3, 3)), [IMAGE[0]]),
    "Conv, groups": (lambda m: m.Conv(6, (3, 3), feature_group_count=2), [IMAGE]),
    "Conv, dilation": (lambda m: m.Conv(6, (3, 3), kernel_dilation=2), [IMAGE]),
    "Conv, input dilation": (
        lambda m: m.Conv(6, (3, 3), padding=1, input_dilation=(2, 1)),
        [IMAGE],
    ),
    "Conv, circular": (lambda m: m.Conv(6, (3, 4), padding="CIRCULAR"), [IMAGE]),
    "Conv, explicit": (lambda m: m.Conv(6, (3, 3), padding=((1, 2), (0, 1))), [IMAGE]),
    "Conv, causal": (lambda m: m.Conv(6, (3,), padding="CAUSAL"), [X]),
    "Conv, 1-D": (lambda m: m.Conv(6, (3,), strides=2), [X]),
    "Conv, 3-D": (lambda m: m.Conv(2, (2, 3, 2)), [normal(2, 4, 4, 3, 2)]),
    "Conv, mask": (lambda m: m.Conv(2, (3,), mask=jnp.ones((3, 8, 2)).at[1].set(0.0)), [X]),
    "ConvTranspose": (lambda m: m.ConvTranspose(6, (3, 3), strides=(2, 2)), [IMAGE]),
    "ConvTranspose, valid": (
        lambda m: m.ConvTranspose(6, (3, 3), strides=(2, 2), padding="VALID"),
        [IMAGE],
    ),
    "ConvTranspose, kernel": (lambda m: m.ConvTranspose(6, (3,), transpose_kernel=True), [X]),
    "LayerNorm": (lambda m: m.LayerNorm(), [X]),
    "LayerNorm, axes": (
        lambda m: m.LayerNorm(reduction_axes=(1, 2), feature_axes=(1, 2), use_fast_variance=False),
        [X],
    ),
    "LayerNorm, no affine": (lambda m: m.LayerNorm(use_scale=False, use_bias=False), [X]),
    "LayerNorm, bfloat16": (lambda m: m.LayerNorm(dtype=jnp.bfloat16), [X.astype("bfloat16")]),
    "RMSNorm": (lambda m: m.RMSNorm(), [X]),
    "GroupNorm": (lambda m: m.GroupNorm(2), [IMAGE]),
    "GroupNorm, size": (lambda m: m.GroupNorm(None, group_size=2), [IMAGE]),
    "InstanceNorm": (lambda m: m.InstanceNorm(), [IMAGE]),
    "BatchNorm, averages": (lambda m: m.BatchNorm(use_running_average=True), [IMAGE]),
    "BatchNorm, batch": (lambda m: m.BatchNorm(use_running_average=False, momentum=0.9), [IMAGE]),
    "BatchNorm, axis": (lambda m: m.BatchNorm(use_running_average=False, axis=(1, -1)), [IMAGE]),
    "attention": (lambda m: m.MultiHeadAttention(2), [X]),
    "attention, options": (
        lambda m: m.MultiHeadAttention(
            2, qkv_features=8, out_features=5, use_bias=False, normalize_qk=True
        ),
        [X, normal(2, 3, 4)],
        {"mask": jnp.ones((2, 1, 6, 3)).at[..., 1].set(0)},
    ),
    "Sequential": (lambda m: m.Sequential([m.Dense(3), m.relu, m.Dense(2)]), [X]),
    "MLP": (lambda m: (OurMLP if m is nn else LinenMLP)((4, 5)), [X]),
    "nested": (lambda m: nested(m, OurNested if m is nn else LinenNested), [X]),
}


BATCHED = ("GroupNorm", "InstanceNorm")  # take one batch axis
MADE_OF_OTHERS = ("Sequential", "MLP", "nested")


@pytest.mark.parametrize("name", LAYERS)
def test_layer(name):
    make, inputs, options = (*LAYERS[name], {})[:3]
    variant = "," in name
    updates = ("batch_stats",) if "BatchNorm" in name else ()
    free = name not in BATCHED
    init = not variant and name not in MADE_OF_OTHERS
    row = Row(make, inputs, options=options, free=free, brief=variant, init=init)
    check(dataclasses.replace(row, updates=updates))
