"""Operations and bytes, against counts made by hand."""

import jax
import jax.numpy
import numpy as np
import pytest

import jaxcore
from jaxcore import lax
from jaxcore.cost import flops_by_path, program_bytes, program_flops


def zeros(*shape, dtype=np.float32):
    return np.zeros(shape, dtype)


def flops(f, *args):
    return program_flops(jaxcore.make_jaxpr(f)(*args))


def by_path(f, *args):
    program = jaxcore.make_jaxpr(f)(*args)
    found = flops_by_path(program)
    assert sum(found.values()) == program_flops(program)
    return {path: n for path, n in found.items() if n}


CONV = {"window_strides": (1, 1), "padding": "SAME"}
NHWC = {"dimension_numbers": ("NHWC", "HWIO", "NHWC")}


@pytest.mark.parametrize(
    "count, f, args",
    [
        (2 * 8 * 16 * 4, lax.dot, (zeros(8, 16), zeros(16, 4))),
        (2 * 16, lax.dot, (zeros(16), zeros(16))),
        (
            2 * 5 * 8 * 16 * 4,
            lambda x, y: lax.dot_general(x, y, (((2,), (1,)), ((0,), (0,)))),
            (zeros(5, 8, 16), zeros(5, 16, 4)),
        ),
        (24, lax.sin, (zeros(2, 3, 4),)),
        (6, lambda x: lax.mul(x, 2.0), (zeros(6),)),
        (12, lambda x: lax.reduce_sum(x, (0,)), (zeros(3, 4),)),
        (12, lambda x: lax.cumsum(x, 0), (zeros(3, 4),)),
        (0, lambda x: lax.transpose(lax.reshape(x, (3, 2)), (1, 0)), (zeros(6),)),
        (0, lambda x: lax.broadcast_in_dim(x, (4, 6), (1,)), (zeros(6),)),
        (0, lambda x: lax.slice(lax.concatenate([x, x], 0), (2,), (5,)), (zeros(6),)),
        (0, lambda x: lax.convert_element_type(x, np.int32), (zeros(6),)),
        (0, lambda x: lax.pad(x, np.float32(0), [(1, 1, 0)]), (zeros(6),)),
        (0, lambda: lax.iota(np.float32, 7), ()),
        (
            2 * (2 * 8 * 8 * 16) * (3 * 3 * 4),
            lambda x, k: lax.conv_general_dilated(x, k, **CONV, **NHWC),
            (zeros(2, 8, 8, 4), zeros(3, 3, 4, 16)),
        ),
        (
            2 * (2 * 8 * 8 * 16) * (3 * 3 * 1),
            lambda x, k: lax.conv_general_dilated(x, k, **CONV, **NHWC, feature_group_count=4),
            (zeros(2, 8, 8, 4), zeros(3, 3, 1, 16)),
        ),
        (
            4 * 4 * 9,
            lambda x: lax.reduce_window(x, np.float32(-np.inf), lax.max, (3, 3), (2, 2), "SAME"),
            (zeros(8, 8),),
        ),
        (8 * 3, lambda x: lax.sort(x), (zeros(8),)),
        (5 * 8 * 3, lambda x: jax.lax.fft(x, "FFT", (8,)), (zeros(8, dtype=np.complex64),)),
    ],
)
def test_flops_of_operations(count, f, args):
    assert flops(f, *args) == count


@pytest.mark.parametrize(
    "count, f, args",
    [
        (10 * 6, lambda x: lax.scan(lambda c, _: (lax.sin(c), None), x, None, 10)[0], (zeros(6),)),
        (
            3 * 6,
            lambda x: lax.cond(True, lambda x: lax.sin(lax.cos(lax.sin(x))), lax.sin, x),
            (zeros(6),),
        ),
        (6, jax.checkpoint(lax.sin), (zeros(6),)),
        (6, jax.jit(lax.sin), (zeros(6),)),
        (6, jaxcore.jit(lax.sin), (zeros(6),)),
        (6, jax.nn.relu, (zeros(6),)),
        (0, lax.stop_gradient, (zeros(6),)),
    ],
    ids=["scan", "cond", "checkpoint", "jax.jit", "jit", "custom_jvp", "stop_gradient"],
)
def test_flops_of_functions_in_equations(count, f, args):
    assert flops(f, *args) == count


def test_a_while_loop_counts_condition_and_body_once():
    def f(x):
        return lax.while_loop(lambda c: lax.lt(c[0], np.float32(3)), lambda c: lax.sin(c), x)

    assert flops(f, zeros(6)) == 1 + 6


def test_backward_of_a_product_costs_twice_the_forward():
    def f(w, x):
        return lax.reduce_sum(lax.dot(x, w), (0, 1))

    w, x = zeros(16, 4), zeros(8, 16)
    product = 2 * 8 * 16 * 4
    assert flops(f, w, x) == product + 8 * 4
    assert flops(jaxcore.value_and_grad(f, (0, 1)), w, x) == 3 * product + 8 * 4


def layer(w, x):
    with jaxcore.name_scope("dense"):
        x = lax.dot(x, w)
    return lax.tanh(x)


def model(ws, x):
    with jaxcore.name_scope("encoder"):
        for i, w in enumerate(ws):
            with jaxcore.name_scope(f"layer_{i}"):
                x = jaxcore.block(layer, w, x, name="layer")
    return lax.exp(x)


def test_a_shared_block_counts_at_each_call_by_its_full_path():
    assert by_path(model, [zeros(4, 4)] * 2, zeros(3, 4)) == {
        "encoder/layer_0/dense": 2 * 3 * 4 * 4,
        "encoder/layer_0": 12,
        "encoder/layer_1/dense": 2 * 3 * 4 * 4,
        "encoder/layer_1": 12,
        "": 12,
    }


def test_paths_inside_a_loop_count_as_often_as_it_runs():
    def f(x):
        def body(c, _):
            return jaxcore.block(lax.sin, c, name="wave"), None

        with jaxcore.name_scope("loop"):
            return lax.scan(body, x, None, 5)[0]

    found = by_path(f, zeros(6))
    assert sum(found.values()) == 30
    assert all(path.startswith("loop") for path in found)


def test_the_returned_table_is_a_copy():
    program = jaxcore.make_jaxpr(lax.sin)(zeros(3))
    flops_by_path(program).clear()
    assert flops_by_path(program) == {"": 3}


@pytest.mark.parametrize(
    "count, f, args",
    [
        (2 * 24, lax.sin, (zeros(6),)),
        (2 * 12, lax.neg, (zeros(6, dtype=np.float16),)),
        (3 * 24, lax.add, (zeros(6), zeros(6))),
        (2 * 6, lax.bitwise_not, (zeros(6, dtype=np.bool_),)),
        (4 * 24, lambda x: jaxcore.jit(lax.sin)(lax.sin(x)), (zeros(6),)),
        (10 * 48, lambda x: lax.scan(lambda c, _: (lax.sin(c), None), x, None, 10)[0], (zeros(6),)),
        (0, lambda x: x, (zeros(6),)),
    ],
)
def test_bytes(count, f, args):
    assert program_bytes(jaxcore.make_jaxpr(f)(*args)) == count


def test_bytes_of_keys():
    program = jaxcore.make_jaxpr(lambda k: jax.random.key_data(k))(jax.random.key(0))
    assert program_bytes(program) in (8, 16)  # a key is as large as its bits
