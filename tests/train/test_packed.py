"""Metrics that are packed for the way to the host: the same numbers, to the bit."""

import numpy as np
import pytest

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import nn
from jaxcore.train.metrics import Last, Mean, Sum, merge_metrics
from jaxcore.train.packed import merge_packed, pack

VALUES = [0.1, 1e8, -0.7, np.nan, 3.0, -0.0]


def step(value):
    """One metric of each kind, and of each place in which a leaf may be."""
    value = jnp.asarray(value)
    half = value.astype(jnp.bfloat16)
    return {
        "loss": Mean(value, jnp.float32(3)),
        "skipped": Sum(jnp.isnan(value).astype(jnp.int32)),
        "large": Sum(jnp.uint32(4_000_000_000)),
        "rate": Last(half),
        "flag": Last(value > 0),
        "known": Last(0.5),
        "moments": nn.metrics.Moments.of(jnp.stack([value, value + 1])),
        "confusion": nn.metrics.Confusion.of(jnp.eye(2) * value, jnp.arange(2)),
    }


@pytest.fixture(scope="module")
def steps():
    plain, packed = jaxcore.jit(step), jaxcore.jit(lambda value: pack(step(value)))
    return [plain(value) for value in VALUES], [packed(value) for value in VALUES]


def assert_same(found, expected):
    assert list(found) == list(expected)
    for name, metric in expected.items():
        assert type(found[name]) is type(metric)
        for a, b in zip(found[name], metric, strict=True):
            np.testing.assert_array_equal(np.asarray(a).tobytes(), np.asarray(b).tobytes(), name)


def test_merged_as_one_by_one(steps):
    plain, packed = steps
    assert_same(merge_packed(packed), merge_metrics(plain))
    assert_same(merge_packed(packed[:1]), merge_metrics(plain[:1]))
    assert merge_packed([]) == {}


@pytest.mark.parametrize("cut", [1, 2, 5])
def test_it_does_not_matter_where_a_run_was_interrupted(steps, cut):
    plain, packed = steps
    merged = merge_packed(packed[:cut])
    assert_same(merge_packed([merged, *packed[cut:]]), merge_metrics(plain))


def test_forms_may_change_on_the_way(steps):
    plain, packed = steps
    others = [{"loss": Mean(jnp.float32(x), jnp.float32(1))} for x in (2.0, 0.3)]
    found = merge_packed([*packed[:2], *map(pack, others), packed[4]])
    assert_same(found, merge_metrics([*plain[:2], *others, plain[4]]))


def test_nearly_all_metrics_are_one_array():
    metrics = {"loss": Mean(jnp.float32(6), jnp.float32(4)), "skipped": Sum(jnp.int32(0))}
    assert len(jaxcore.tree.leaves(pack(metrics))) == 1
