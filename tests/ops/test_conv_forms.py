"""On the CPU, every form of a convolution computes what XLA's own does."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxcore
from jaxcore.ops import conv_forms
from jaxcore.ops.conv_products import WIDE
from jaxcore.ops.forms import program_of_form

NHWC = ("NHWC", "HWIO", "NHWC")
NCHW = ("NCHW", "OIHW", "NCHW")
BOTH = ((1, 2), (2, 0))  # padding of unequal sides


def case(x: Any, kernel: Any, strides: Any = (1, 1), padding: Any = "SAME", **settings: Any) -> Any:
    return x, kernel, {"window_strides": strides, "padding": padding, **settings}


# What is convolved, and the forms that the result and both gradients must be computed in.
CASES = {
    "narrow": (case((2, 6, 5, 3), (3, 2, 3, 4)), {"_canonical"}),
    "one place": (
        case((2, 6, 5, 3), (1, 1, 3, 4), (2, 1), BOTH),
        {"_patches", "spread", "_places"},
    ),
    "valid": (case((2, 3, 2, 3), (3, 2, 3, 4), padding="VALID"), {"_places", "_patches"}),
    "wide": (case((1, 3, 2, WIDE), (2, 2, WIDE, 2 * WIDE), (1, 2), BOTH), {"_patches", "spread"}),
    "wide, dilated": (
        case((1, 5, 4, WIDE), (2, 2, WIDE, 2 * WIDE), padding=BOTH, rhs_dilation=(2, 1)),
        {"_patches", "spread", "_places"},
    ),
    "wide, channels first": (
        case((1, WIDE, 4, 3), (2 * WIDE, WIDE, 2, 2), dimension_numbers=NCHW),
        {"_patches", "spread", "_places"},
    ),
    "large": (case((6, 70, 60, 16), (3, 2, 16, 5), (2, 1), BOTH), {"_pieces"}),
    "large, channels first": (
        case((6, 16, 70, 60), (5, 16, 3, 2), dimension_numbers=NCHW),
        {"_pieces", "_canonical"},
    ),
    "wide, transposed": (
        case(
            (1, 2, 3, WIDE),
            (2, 3, 2 * WIDE, WIDE),
            padding=BOTH,
            lhs_dilation=(2, 3),
            rhs_dilation=(1, 2),
            dimension_numbers=("NHWC", "HWOI", "NHWC"),
        ),
        {"spread"},
    ),
    "transposed": (case((2, 4, 3, 3), (3, 2, 3, 4), padding=BOTH, lhs_dilation=(2, 3)), set()),
    "depthwise": (
        case((2, 6, 5, 4), (3, 2, 1, 4), (2, 1), BOTH, feature_group_count=4),
        {"_depthwise", "_depthwise_kernel"},
    ),
    "depthwise, two of each": (
        case((2, 6, 5, 3), (3, 2, 1, 6), rhs_dilation=(1, 2), feature_group_count=3),
        {"_depthwise", "_depthwise_kernel"},
    ),
    "depthwise, transposed": (
        case((2, 4, 3, 3), (3, 2, 1, 3), padding=BOTH, lhs_dilation=(2, 3), feature_group_count=3),
        {"_depthwise", "_depthwise_kernel"},
    ),
    "groups": (
        case((2, 6, 5, 6), (3, 2, 3, 4), (1, 2), BOTH, feature_group_count=2),
        {"_by_group"},
    ),
    "groups, few places": (
        case(
            (2, 5, 9, 6), (4, 3, 3, 4), padding="VALID", rhs_dilation=(1, 3), feature_group_count=2
        ),
        {"places_by_group"},
    ),
    "groups of the batch": (case((4, 6, 5, 3), (3, 2, 3, 4), batch_group_count=2), {"_by_group"}),
    "no examples": (case((0, 6, 5, 3), (3, 2, 3, 4)), set()),
    "a line": (
        case((2, 9, 3), (4, 3, 5), (2,), dimension_numbers=("NWC", "WIO", "NWC")),
        {"_canonical"},
    ),
    "a volume": (
        case(
            (1, 3, 4, 5, 2),
            (2, 2, 3, 2, 3),
            (1, 2, 1),
            dimension_numbers=("NDHWC", "DHWIO", "NDHWC"),
        ),
        {"_canonical"},
    ),
}


def values(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def convolution(settings: dict[str, Any]) -> Any:
    settings = {"dimension_numbers": NHWC, **settings}
    return lambda x, kernel: jax.lax.conv_general_dilated(x, kernel, **settings)


def result_and_gradients(vjp: Any, conv: Any, x: Any, kernel: Any, ct: Any) -> Any:
    out, pull = vjp(conv, x, kernel)
    return out, *pull(ct)


@pytest.fixture
def forms(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The names of the forms that are chosen."""
    chosen: set[str] = set()
    rule = conv_forms._rule
    program_of_form.cache_clear()

    def record(conv: Any) -> Any:
        found = rule(conv)
        chosen.add("" if found is None else found.__name__)
        return found

    monkeypatch.setattr(conv_forms, "_rule", record)
    return chosen


@pytest.mark.parametrize("name", CASES)
def test_result_and_gradients_are_those_of_xla(name: str, forms: set[str]) -> None:
    (shape, kernel_shape, settings), expected = CASES[name]
    x, kernel, conv = values(*shape), values(*kernel_shape, seed=1), convolution(settings)
    ct = values(*jax.eval_shape(conv, x, kernel).shape, seed=2)
    args = (x, kernel, ct)
    want = jax.jit(functools.partial(result_and_gradients, jax.vjp, conv))(*args)
    got = jaxcore.jit(functools.partial(result_and_gradients, jaxcore.vjp, conv))(*args)
    assert expected <= forms
    for a, b in zip(got, want, strict=True):
        assert a.dtype == b.dtype
        size = max(1.0, float(jnp.abs(b).max())) if b.size else 1.0
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * size)


@pytest.mark.parametrize("layout", [NHWC, NCHW], ids=["channels last", "channels first"])
def test_a_gradient_for_each_example(layout: Any, forms: set[str]) -> None:
    conv = convolution({"window_strides": (2, 1), "padding": "SAME", "dimension_numbers": layout})
    x = values(*((3, 1, 5, 6, 2) if layout is NHWC else (3, 1, 2, 5, 6)))
    kernel = values(*((3, 2, 2, 4) if layout is NHWC else (4, 2, 3, 2)), seed=1)

    def gradients(lib: Any, kernel: Any, x: Any) -> Any:
        loss = lambda kernel, x: jnp.sum(jnp.sin(conv(x, kernel)))
        return lib.vmap(lib.grad(loss), (None, 0))(kernel, x)

    got = jaxcore.jit(functools.partial(gradients, jaxcore))(kernel, x)
    assert "places_by_group" in forms
    want = jax.jit(functools.partial(gradients, jax))(kernel, x)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


def test_the_kernel_of_a_wide_gradient_is_not_turned_round() -> None:
    conv = convolution({"window_strides": (1, 1), "padding": "SAME"})
    x, kernel = values(1, 2, 2, WIDE), values(3, 2, WIDE, 2 * WIDE, seed=1)
    gradient = lambda lib, ct, kernel: lib.vjp(lambda x: conv(x, kernel), x)[1](ct)[0]
    step = jaxcore.jit(functools.partial(gradient, jaxcore))
    ct = values(1, 2, 2, 2 * WIDE, seed=2)
    text = step.lower(ct, kernel).compile().as_text()
    assert " reverse(" not in text
    assert " convolution(" not in text
    want = jax.jit(functools.partial(gradient, jax))(ct, kernel)
    np.testing.assert_allclose(step(ct, kernel), want, rtol=1e-4, atol=1e-4)


def test_second_order() -> None:
    conv = convolution({"window_strides": (1, 1), "padding": "SAME", "feature_group_count": 2})
    x, kernel, v = values(1, 3, 3, 2), values(2, 2, 1, 2, seed=1), values(2, 2, 1, 2, seed=2)

    def product(lib: Any, x: Any, kernel: Any, v: Any) -> Any:
        loss = lambda kernel: jnp.sum(jnp.sin(conv(x, kernel)))
        return lib.jvp(lib.grad(loss), (kernel,), (v,))[1]

    got = jaxcore.jit(functools.partial(product, jaxcore))(x, kernel, v)
    want = jax.jit(functools.partial(product, jax))(x, kernel, v)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


def test_a_convolution_in_a_loop_has_its_channels_last() -> None:
    """Outside the entry computation XLA does not do that itself."""
    conv = convolution({"window_strides": (1, 1), "padding": "SAME", "dimension_numbers": NCHW})
    x, kernel = values(1, 3, 4, 4), values(3, 3, 2, 2, seed=1)

    def run(lib: Any, x: Any, kernel: Any) -> Any:
        return lib.lax.scan(lambda x, _: (conv(x, kernel), None), x, None, length=2)[0]

    ours = jaxcore.jit(functools.partial(run, jaxcore))
    assert "[b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f]" in ours.lower(x, kernel).as_text()
    want = jax.jit(functools.partial(run, jax))(x, kernel)
    np.testing.assert_allclose(ours(x, kernel), want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "int32"])
def test_other_dtypes_are_left_to_xla(dtype: str, forms: set[str]) -> None:
    conv = convolution({"window_strides": (1, 1), "padding": "SAME", "dimension_numbers": NCHW})
    x, kernel = jnp.ones((1, 3, 4, 4), dtype), jnp.ones((2, 3, 1, 1), dtype)
    text = jaxcore.jit(conv).lower(x, kernel).as_text()
    assert not forms
    assert "[b, f, 0, 1]x[o, i, 0, 1]->[b, f, 0, 1]" in text


def test_other_platforms_are_left_to_xla(forms: set[str]) -> None:
    conv = convolution({"window_strides": (1, 1), "padding": "SAME"})
    args = jnp.ones((1, 4, 4, 3)), jnp.ones((1, 1, 3, 2))
    text = jaxcore.jit(conv).trace(*args).lower(lowering_platforms=("cuda",)).as_text()
    assert not forms
    assert "stablehlo.convolution" in text
