"""Names that the tables of cases leave out: second names, and what is under another function."""

import jax
import numpy as np
import pytest

import jaxcore

F = np.array([[0.5, -0.25, 0.75], [np.nan, 0.0, -1.0]], np.float32)
G = np.array([[1.5, 2.0, np.inf], [1.0, 3.0, 1.25]], np.float32)
N = np.array([[5, -3, 0], [7, 2, -128]], np.int8)
J = np.array([[2, 1, 3], [1, 4, 7]], np.int8)
B = np.array([[True, False, True], [True, True, True]])

NUMPY = {
    "acos asin asinh atan atanh degrees radians empty_like amax amin": (F,),
    "acosh": (G,),
    "bitwise_invert unique_values unique_counts unique_inverse": (N,),
    "atan2 array_equiv": (F, G),
    "mod": (N, J),
    "concat": ([F, G],),
    "broadcast_shapes": ((2, 1), (1, 3)),
}
LAX = {
    "acos asin asinh atan atanh is_finite": (F,),
    "acosh": (G,),
    "atan2 ge le rem": (F, G),
    "ge le rem shift_left shift_right_arithmetic shift_right_logical": (N, J),
    "clz population_count": (N,),
    "integer_pow": (G, 3),
    "reduce_and reduce_or reduce_xor": (B, (0,)),
    "reduce_max reduce_min reduce_prod": (F, (1,)),
}
CALLS = [
    (space, name, args)
    for space, table in (("numpy", NUMPY), ("lax", LAX))
    for names, args in table.items()
    for name in names.split()
]


@pytest.mark.parametrize(("space", "name", "args"), CALLS)
def test_as_in_jax(space, name, args):
    ours, theirs = (getattr(getattr(m, space), name) for m in (jaxcore, jax))
    wanted = theirs(*args)
    arrays = {i: x for i, x in enumerate(args) if isinstance(x, np.ndarray)}
    found = [ours(*args)]
    if arrays and not name.startswith("unique"):  # whose shapes depend on values
        traced = lambda given: ours(*(given.get(i, x) for i, x in enumerate(args)))
        found.append(jaxcore.jit(traced)(arrays))
    for got in found:
        for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True):
            assert (np.shape(a), np.asarray(a).dtype) == (np.shape(b), np.asarray(b).dtype)
            if name != "empty_like":
                np.testing.assert_allclose(a, b, rtol=1e-5)


def test_derivatives_of_second_names():
    x = np.array([0.3, -0.6], np.float32)
    for name, shift in (("acos", 0), ("asinh", 0), ("atanh", 0), ("acosh", 2), ("degrees", 0)):
        slopes = [m.vmap(m.grad(getattr(m.numpy, name)))(x + shift) for m in (jaxcore, jax)]
        np.testing.assert_allclose(*slopes, rtol=1e-5)
    slopes = [m.vmap(m.grad(lambda x, m=m: m.lax.integer_pow(x, 3)))(x) for m in (jaxcore, jax)]
    np.testing.assert_allclose(*slopes, rtol=1e-5)
