"""Text that tells values apart, the same in every process."""

import gc

import jax
import numpy as np
import pytest
from cache.helpers import here

import jaxcore.numpy as jnp
from jaxcore.cache import fingerprint
from jaxcore.primitive import Primitive


def test_what_has_no_form_elsewhere_is_refused():
    class Mine:
        pass

    for x in (Mine(), Mine, lambda: 0, object(), np.array([None]), print.__self__):
        with pytest.raises(fingerprint.Unstable):
            fingerprint.stable_text(x)


def test_text_tells_values_apart():
    values = [
        *(None, 0, False, 0.0, -0.0, 0j, "", b"", (), [], {}, frozenset(), ...),
        *(1, True, 1.0, "1", b"1", (1,), [1], {1: 1}, frozenset({1}), ((1,),), (1, 1), "1,1"),
        *(np.int32(1), np.int64(1), np.array([1]), np.array([1.0]), np.bool_(True)),
        *(np.dtype("f4"), np.dtype("f8"), np.float32, jnp.bfloat16, np.dtype(jnp.bfloat16)),
        *(slice(1), slice(None, 1, 2), float("nan"), float("inf"), "nan"),
        *(jax.lax.Precision.HIGH, jax.lax.Precision.HIGHEST, "HIGH"),
        *(jax.typeof(1.0), jax.typeof(np.float32(1)), jax.typeof(jax.random.key(0))),
        *(jax.make_jaxpr(jnp.sin)(1.0), jax.make_jaxpr(jnp.cos)(1.0)),
        *(jax.make_jaxpr(lambda x: x + 1)(1.0), jax.make_jaxpr(lambda x: x + 2)(1.0)),
        *(here(), jax.sharding.PartitionSpec("a"), jax.sharding.PartitionSpec(None, "a")),
    ]
    texts = [fingerprint.stable_text(x) for x in values]
    assert len(set(texts)) == len(values)


def test_primitives_have_different_texts():
    every = [p for p in gc.get_objects() if issubclass(type(p), Primitive)]
    texts = {}
    for primitive in every:
        try:
            text = fingerprint._primitive_text(primitive)
        except fingerprint.Unstable:
            continue
        texts.setdefault(text, []).append(primitive)
    assert len(texts) > 150
    assert {t: p for t, p in texts.items() if len(p) > 1} == {}
