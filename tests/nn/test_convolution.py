"""Convolutions, pooling and images of another size, against linen and NumPy-like formulas."""

from __future__ import annotations

import dataclasses
import functools

import jax
import numpy as np
import pytest
from layer_table import Row, check, linen, normal, refused

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import nn

X = normal(2, 6, 8)
IMAGE = normal(2, 6, 5, 4)


def depthwise(variables, x):
    return linen.Conv(8, (3, 3), feature_group_count=4).apply(variables, x)


def separable(variables, x):
    params = variables["params"]
    x = linen.Conv(4, (3, 3), 2, feature_group_count=4, use_bias=False).apply(
        {"params": params["depthwise"]}, x
    )
    return linen.Conv(6, (1, 1)).apply({"params": params["pointwise"]}, x)


def replicated(variables, x):
    x = jax.numpy.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    return linen.Conv(3, (3, 3), padding="VALID").apply(variables, x)


def residual(variables, x):
    params = variables["params"]
    y = linen.Conv(4, (3, 3)).apply({"params": params["layer"]}, x)
    return x + y


def parallel(variables, x):
    params = variables["params"]
    ys = [linen.Dense(n).apply({"params": params[f"branches_{n}"]}, x) for n in (3, 2)]
    return jax.numpy.concatenate(ys, -1)


CONVOLUTIONS = {
    "Conv, reflect": Row(lambda m: m.Conv(3, (3, 2), padding="REFLECT"), [IMAGE]),
    "Conv, replicate": Row(
        lambda m: m.Conv(3, (3, 3), padding="REPLICATE"), [IMAGE], reference=replicated
    ),
    "Conv, causal and dilated": Row(
        lambda m: m.Conv(4, (3,), padding="CAUSAL", kernel_dilation=2), [X]
    ),
    "ConvTranspose, circular": Row(
        lambda m: m.ConvTranspose(3, (3, 4), strides=(2, 1), padding="CIRCULAR"), [IMAGE]
    ),
    "ConvTranspose, circular, transposed": Row(
        lambda m: m.ConvTranspose(3, (4,), (2,), "CIRCULAR", transpose_kernel=True), [X]
    ),
    "ConvTranspose, mask, dilation": Row(
        lambda m: m.ConvTranspose(
            2, (3,), padding=[(1, 2)], kernel_dilation=(2,), mask=jnp.ones((3, 8, 2)).at[1].set(0)
        ),
        [X],
    ),
    "ConvLocal": Row(lambda m: m.ConvLocal(3, (3,), strides=2), [X], init=True),
    "ConvLocal, two axes": Row(
        lambda m: m.ConvLocal(2, (2, 3), padding="VALID", kernel_dilation=(2, 1), use_bias=False),
        [IMAGE],
    ),
    "DepthwiseConv": Row(
        lambda m: m.DepthwiseConv((3, 3), multiplier=2), [IMAGE], reference=depthwise
    ),
    "SeparableConv": Row(lambda m: m.SeparableConv(6, (3, 3), 2), [IMAGE], reference=separable),
    "Residual": Row(lambda m: m.Residual(m.Conv(4, (3, 3))), [IMAGE], reference=residual),
    "Parallel": Row(
        lambda m: m.Parallel({"3": m.Dense(3), "2": m.Dense(2)}), [X], reference=parallel
    ),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_layer(name):
    check(dataclasses.replace(CONVOLUTIONS[name], brief="," in name))


# name: (ours, the same in jax.numpy)
FUNCTIONS = {
    "sum_pool": (
        lambda x: nn.sum_pool(x, (2, 3), (2, 1)),
        lambda x: 6 * linen.avg_pool(x, (2, 3), (2, 1)),
    ),
    "lp_pool": (
        lambda x: nn.lp_pool(x, (2, 2), 3.0),
        lambda x: (4 * linen.avg_pool(abs(x) ** 3, (2, 2))) ** (1 / 3),
    ),
    "global_avg_pool": (nn.global_avg_pool, lambda x: x.mean((1, 2))),
    "global_max_pool": (nn.global_max_pool, lambda x: x.max((1, 2))),
    "adaptive_avg_pool": (
        lambda x: nn.adaptive_avg_pool(x, (4, 1)),
        lambda x: jax.numpy.stack(
            [x[:, a:b].mean((1, 2)) for a, b in ((0, 2), (1, 3), (3, 5), (4, 6))], 1
        )[:, :, None],
    ),
    "adaptive_max_pool": (
        lambda x: nn.adaptive_max_pool(x, (None, 2)),
        lambda x: jax.numpy.stack([x[:, :, :3].max(2), x[:, :, 2:].max(2)], 2),
    ),
    **{
        f"resize, {method}, {size}": (
            lambda x, m=method, s=size: nn.resize(x, s, m),
            lambda x, m=method, s=size: jax.image.resize(x, (2, *s, 4), m),
        )
        for method, size in [
            ("nearest", (9, 3)),
            ("linear", (9, 3)),
            ("bicubic", (9, 3)),
            ("lanczos3", (4, 7)),
            ("lanczos5", (4, 7)),
        ]
    },
    "resize, not antialiased": (
        lambda x: nn.resize(x, (3, 2), "linear", antialias=False),
        lambda x: jax.image.resize(x, (2, 3, 2, 4), "linear", antialias=False),
    ),
    "pixel_shuffle": (
        lambda x: nn.pixel_shuffle(x, 2),
        lambda x: x.reshape(2, 6, 5, 1, 2, 2).transpose(0, 1, 4, 2, 5, 3).reshape(2, 12, 10, 1),
    ),
    "pixel_unshuffle": (lambda x: nn.pixel_unshuffle(nn.pixel_shuffle(x, 2), 2), lambda x: x),
    "depth_to_space": (
        lambda x: nn.depth_to_space(x, 2),
        lambda x: x.reshape(2, 6, 5, 2, 2, 1).transpose(0, 1, 3, 2, 4, 5).reshape(2, 12, 10, 1),
    ),
    "space_to_depth": (lambda x: nn.space_to_depth(nn.depth_to_space(x, 2), 2), lambda x: x),
    "channel_shuffle": (lambda x: nn.channel_shuffle(x, 2), lambda x: x[..., [0, 2, 1, 3]]),
    "unfold": (
        lambda x: nn.unfold(x, (2, 3), (2, 1), (1, 2)),
        lambda x: (
            jax.lax.conv_general_dilated_patches(
                x, (2, 3), (2, 1), "VALID", (1, 1), (1, 2), ("NHWC", "HWIO", "NHWC")
            )
            .reshape(2, 3, 1, 4, 6)
            .swapaxes(3, 4)
            .reshape(2, 3, 1, 24)
        ),
    ),
    "fold": (
        lambda x: nn.fold(nn.unfold(x, (3, 2)), (6, 5), (3, 2)),
        lambda x: (
            x
            * np.array([1, 2, 3, 3, 2, 1.0], "float32")[None, :, None, None]
            * np.array([1, 2, 2, 2, 1.0], "float32")[None, None, :, None]
        ),
    ),
}


#: Functions of any number of batch axes, which the others are too, by what they are made of.
BATCHED = ("adaptive_avg_pool", "resize, bicubic, (9, 3)", "pixel_shuffle", "unfold", "fold")


def test_functions():
    def every(which, grad):
        out = {}
        for name, row in FUNCTIONS.items():
            f = row[which]
            out[name] = f(IMAGE), grad(lambda x, f=f: (f(x) ** 2).sum())(IMAGE)
        return out

    def other_batches():
        inputs = IMAGE[0], IMAGE[None], IMAGE[:0], IMAGE.astype(jnp.bfloat16)
        return {name: [FUNCTIONS[name][0](x) for x in inputs] for name in BATCHED}

    got, batches = jaxcore.jit(lambda: (every(0, jaxcore.grad), other_batches()))()
    expected = jax.jit(lambda: every(1, jax.grad))()
    for name in FUNCTIONS:
        for a, b in zip(got[name], expected[name], strict=True):
            assert (a.shape, a.dtype) == (b.shape, b.dtype), name
            np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5, err_msg=name)
    for name in BATCHED:
        y, (one, several, none, low) = got[name][0], batches[name]
        np.testing.assert_allclose(one, y[0], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(several[0], y, rtol=1e-4, atol=1e-5)
        assert none.shape == (0, *y.shape[1:]) and low.dtype == jnp.bfloat16
        np.testing.assert_allclose(np.asarray(low, "float32"), y, rtol=5e-2, atol=5e-2)


def test_resize_as_pytorch_does():
    x = jnp.array([0.0, 1.0, 4.0, 9.0])[:, None]
    # torch.nn.functional.interpolate of these four numbers, with mode and align_corners.
    expected = {
        ("linear", True): [0.0, 0.42857143, 0.85714293, 1.8571429, 3.142857, 4.714286, 6.857143, 9],
        ("cubic_torch", False): [
            *[-0.10546875, 0.12109375, 0.45703125, 1.609375],
            *[2.828125, 5.44921875, 7.97265625, 9.52734375],
        ],
        ("nearest_floor", False): [0, 0, 1, 1, 4, 4, 9, 9],
    }
    for (method, corners), values in expected.items():
        y = nn.resize(x, (8,), method, antialias=False, align_corners=corners)[:, 0]
        np.testing.assert_allclose(y, values, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(nn.resize(x, (3,), "nearest_floor")[:, 0], [0, 1, 4])
    np.testing.assert_array_equal(nn.resize(x, (3,), "nearest")[:, 0], [0, 4, 9])


SHAPES = {
    "Flatten": (nn.Flatten(), (2, 120)),
    "Flatten, some": (nn.Flatten(0, 1), (12, 5, 4)),
    "Reshape": (nn.Reshape((4, -1, 3)), (2, 4, 10, 3)),
    "Pad": (nn.Pad(((1, 0), (0, 2))), (2, 7, 7, 4)),
    "Pad, reflect": (nn.Pad(2, "reflect"), (2, 10, 9, 4)),
    "Pad, crop": (nn.Pad(((-1, 0), (0, -2))), (2, 5, 3, 4)),
    "Upsample": (nn.Upsample((2, 1)), (2, 12, 5, 4)),
    "Upsample, half": (nn.Upsample(0.5, "linear"), (2, 3, 2, 4)),
    "BatchApply": (nn.BatchApply(functools.partial(jnp.sum, axis=-1)), (2, 6, 5)),
}


@pytest.mark.parametrize("name", SHAPES)
def test_shapes(name):
    layer, shape = SHAPES[name]
    y = layer.apply({}, IMAGE)
    assert y.shape == shape
    if "Pad" not in name and "half" not in name and name not in ("BatchApply", "Upsample"):
        np.testing.assert_array_equal(y.ravel(), IMAGE.ravel())


def test_padding_and_batch_apply_values():
    y = nn.Pad(((1, 2), (0, 1)), value=3).apply({}, IMAGE)
    np.testing.assert_array_equal(
        y, np.pad(IMAGE, ((0, 0), (1, 2), (0, 1), (0, 0)), constant_values=3)
    )
    np.testing.assert_array_equal(nn.Pad(-1).apply({}, IMAGE), IMAGE[:, 1:-1, 1:-1])
    norm = nn.BatchApply(nn.BatchNorm())
    variables = norm.init(jaxcore.random.key(0), X)
    assert variables["params"]["f"]["scale"].shape == (8,)
    y, _ = norm.apply(variables, X, train=True, mutable=True)
    np.testing.assert_allclose(y.mean((0, 1)), np.zeros(8), atol=1e-5)


MISTAKES = {
    "groups of ConvLocal": (
        lambda: nn.ConvLocal(2, (3,), feature_group_count=2).init(0, X),
        ["<root> (ConvLocal)", "feature_group_count=2", "use Conv"],
    ),
    "mask": (
        lambda: nn.ConvTranspose(2, (3,), mask=jnp.ones((3, 2, 8))).init(0, X),
        ["<root> (ConvTranspose)", "(3, 2, 8)", "(3, 8, 2)"],
    ),
    "padding": (
        lambda: nn.ConvTranspose(2, (3,), padding="CAUSAL").init(0, X),
        ["'CAUSAL'", "'CIRCULAR'"],
    ),
    "DepthwiseConv": (
        lambda: nn.DepthwiseConv((3, 3)).init(0, X[0]),
        ["<root> (DepthwiseConv)", "(6, 8)", "(batch, *spatial, channels)"],
    ),
    "adaptive": (lambda: nn.adaptive_avg_pool(X, (2, 2, 2)), ["(2, 2, 2)", "(2, 6, 8)"]),
    "global": (lambda: nn.global_avg_pool(X[0]), ["(6, 8)", "x[None]"]),
    "method": (lambda: nn.resize(X, (3,), "area"), ["'area'", "'nearest'"]),
    "size": (lambda: nn.resize(X, (0,)), ["(0,)", "positive size"]),
    "Upsample": (lambda: nn.Upsample((2, 2, 2)).apply({}, X), ["<root> (Upsample)", "(2, 6, 8)"]),
    "pixel_shuffle": (lambda: nn.pixel_shuffle(IMAGE, 3), ["factor=3", "channels by 9"]),
    "channel_shuffle": (lambda: nn.channel_shuffle(IMAGE, 3), ["groups=3", "(2, 6, 5, 4)"]),
    "Flatten": (lambda: nn.Flatten().apply({}, X[0, 0]), ["<root> (Flatten)", "(8,)", "x[None]"]),
    "Reshape": (lambda: nn.Reshape((5, -1)).apply({}, X), ["<root> (Reshape)", "48 values"]),
    "Pad": (lambda: nn.Pad(-1, "reflect").apply({}, X), ["'reflect'", "mode='constant'"]),
    "unfold": (lambda: nn.unfold(X, (7,)), ["7 places", "nn.Pad"]),
    "fold": (lambda: nn.fold(X, (4,), (2,)), ["(2, 6, 8)", "(2, 3, 8)"]),
    "Residual": (
        lambda: nn.Residual(nn.Dense(3)).init(0, X),
        ["<root> (Residual)", "(2, 6, 3)", "shortcut="],
    ),
    "Parallel": (lambda: nn.Parallel([], "sum").apply({}, X), ["0 branches", "'concatenate'"]),
    "BatchApply": (
        lambda: nn.BatchApply(nn.identity, 4).apply({}, X),
        ["<root> (BatchApply)", "num_dims=4"],
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake(name):
    refused(*MISTAKES[name])
