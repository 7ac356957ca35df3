"""Initialisers that JAX has not."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from jaxcore import nn, random

KEY = random.key(0)
INITS = nn.initializers


def test_values():
    for values, limit in (
        (INITS.torch_kernel()(KEY, (3, 4, 200)), 1 / np.sqrt(12)),
        (INITS.torch_bias(16)(KEY, (2000,)), 1 / 4),
    ):
        assert np.max(np.abs(values)) <= limit
        np.testing.assert_allclose(np.std(values), limit / np.sqrt(3), rtol=0.05)
    np.testing.assert_array_equal(INITS.identity(2.0)(KEY, (2, 3)), 2 * np.eye(2, 3))
    x = np.random.default_rng(0).normal(size=(1, 5, 6)).astype("float32")
    conv = nn.Conv(6, (3,), use_bias=False, kernel_init=INITS.dirac())
    np.testing.assert_array_equal(conv.init_with_output(KEY, x)[0], x)
    groups = nn.Conv(6, (3,), use_bias=False, feature_group_count=3, kernel_init=INITS.dirac(3))
    np.testing.assert_array_equal(groups.init_with_output(KEY, x)[0], x)
    expected = {"linear": 1, "tanh": 5 / 3, "relu": np.sqrt(2), "selu": 0.75, "sigmoid": 1}
    assert {name: INITS.gain(name) for name in expected} == expected
    assert INITS.gain("leaky_relu", 1.0) == 1


MAKE = {
    "constant": lambda: INITS.constant(2.0),
    "uniform": lambda: INITS.uniform(0.1, "bfloat16"),
    "normal": lambda: INITS.normal(0.02),
    "truncated_normal": lambda: INITS.truncated_normal(lower=-1.0),
    "variance_scaling": lambda: INITS.glorot_uniform(in_axis=0, out_axis=(1, 2)),
    "orthogonal": INITS.orthogonal,
    "torch_bias": lambda: INITS.torch_bias(4),
    "identity": INITS.identity,
    "dirac": lambda: INITS.dirac(2),
    "delta_orthogonal": INITS.delta_orthogonal,
}


@pytest.mark.parametrize("name", MAKE)
def test_they_are_values(name):
    one, other = MAKE[name](), MAKE[name]()
    assert one == other == copy.deepcopy(one) == pickle.loads(pickle.dumps(one))
    assert hash(one) == hash(other) and one != other.init
    assert repr(one).startswith(f"{name}(")
    assert len({make() for make in MAKE.values()}) == len(MAKE)
    shape = {"dirac": (3, 2, 4), "identity": (2, 3), "delta_orthogonal": (3, 2, 4)}
    values = [init(KEY, shape.get(name, (2, 3, 4))) for init in (one, copy.deepcopy(one))]
    np.testing.assert_array_equal(*values)


def test_types_of_arguments_count_and_a_dtype_is_a_default():
    assert INITS.constant(1) != INITS.constant(True) != INITS.constant(1.0)
    assert INITS.normal(0.02) == INITS.normal(stddev=0.02) != INITS.normal(0.03)
    init = INITS.normal(1.0, "bfloat16")
    assert init(KEY, (2,)).dtype == "bfloat16"
    assert init(KEY, (2,), "float32").dtype == init(KEY, (2,), dtype="float32").dtype == "float32"


def test_mistakes():
    for run, part in (
        (lambda: INITS.identity()(KEY, (2, 2, 2)), "dirac()"),
        (lambda: INITS.dirac(2)(KEY, (3, 1, 3)), "groups=2"),
        (lambda: INITS.gain("gelu"), "'gelu'"),
    ):
        with pytest.raises(nn.InputError, match=part.replace("(", r"\(").replace(")", r"\)")):
            run()
