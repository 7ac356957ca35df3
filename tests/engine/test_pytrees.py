"""Types that a user registers with ``jax.tree_util`` go in and out of our transformations."""

import dataclasses
from typing import NamedTuple

import chex
import jax
import numpy as np
import pytest

import jaxcore
import jaxcore.numpy as jnp
from jaxcore import lax, tree_util

V = np.array([1.0, 2.0, 3.0], np.float32)


class Plain:
    """Registered by functions; `unit` is static."""

    def __init__(self, value, unit):
        self.value, self.unit = value, unit


tree_util.register_pytree_node(
    Plain, lambda p: ((p.value,), p.unit), lambda unit, children: Plain(*children, unit)
)


@tree_util.register_pytree_with_keys_class
class Keyed:
    """Registered as a class, with names for its leaves."""

    def __init__(self, value, unit):
        self.value, self.unit = value, unit

    def tree_flatten_with_keys(self):
        return ((tree_util.GetAttrKey("value"), self.value),), self.unit

    @classmethod
    def tree_unflatten(cls, unit, children):
        return cls(*children, unit)


@tree_util.register_dataclass
@dataclasses.dataclass
class Data:
    """A dataclass with a static field."""

    value: jax.Array
    unit: str = dataclasses.field(metadata={"static": True})


@tree_util.register_static
@dataclasses.dataclass(frozen=True)
class Setting:
    """All static: no leaves."""

    power: int


class Pair(NamedTuple):
    """Known to the registry of itself."""

    value: jax.Array
    unit: None = None


NODES = {
    "plain": lambda x: Plain(x, "m"),
    "keyed": lambda x: Keyed(x, "m"),
    "dataclass": lambda x: Data(x, "m"),
    "named tuple": lambda x: Pair(x),
    "nested": lambda x: {"a": [Plain((x, None), "m")], "b": Data(x * 2, "m")},
    "partial": lambda x: tree_util.Partial(jax.numpy.multiply, x),
}


def double(node):
    return tree_util.tree_map(lambda x: x * 2, node)


def total(node):
    return sum(jnp.sum(x**2) for x in tree_util.tree_leaves(node))


def body(J):
    return lambda carry, x: (double(carry), tree_util.tree_map(lambda y: y * x, carry))


# Each is written once for both packages.
TRANSFORMED = {
    "jit": lambda J, node: J.jit(double)(node),
    "grad": lambda J, node: J.grad(total)(node),
    "jit of grad": lambda J, node: J.jit(J.value_and_grad(total))(node),
    "vmap": lambda J, node: J.vmap(double)(node),
    "vmap of grad": lambda J, node: J.vmap(J.grad(total))(node),
    "jvp": lambda J, node: J.jvp(double, (node,), (node,)),
    "vjp": lambda J, node: J.vjp(double, node)[1](node),
    "linearize": lambda J, node: J.linearize(double, node)[1](node),
    "jacrev": lambda J, node: J.jacrev(total)(node),
    "scan": lambda J, node: J.lax.scan(body(J), node, V),
    "jit of scan": lambda J, node: J.jit(lambda n: J.lax.scan(body(J), n, V))(node),
    "grad of scan": lambda J, node: J.grad(lambda n: total(J.lax.scan(body(J), n, V)))(node),
    "while": lambda J, node: J.lax.while_loop(lambda n: total(n) < 99, double, node),
    "cond": lambda J, node: J.jit(lambda p, n: J.lax.cond(p, double, lambda n: n, n))(True, node),
    "eval_shape": lambda J, node: J.eval_shape(double, node),
    "checkpoint": lambda J, node: J.grad(J.checkpoint(total))(node),
}


@pytest.mark.parametrize("transformed", TRANSFORMED)
def test_nodes_in_and_out(transformed):
    run = TRANSFORMED[transformed]
    nodes = {name: make(V) for name, make in NODES.items()}
    for name, node in nodes.items():
        ours, theirs = run(jaxcore, node), run(jax, node)
        assert jax.tree.structure(ours) == jax.tree.structure(theirs), name
        for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
            if isinstance(a, jax.ShapeDtypeStruct):
                assert a == b
            else:
                chex.assert_trees_all_close(a, b)
                assert a.dtype == b.dtype


def test_static_parts_are_part_of_the_key():
    traced = []

    @jaxcore.jit
    def f(node, setting):
        traced.append((node.unit, setting.power))
        return Data(node.value**setting.power, node.unit + "²")

    for unit, power in [("m", 2), ("m", 2), ("s", 2), ("s", 3)]:
        out = f(Data(V, unit), Setting(power))
        assert isinstance(out, Data) and out.unit == unit + "²"
        np.testing.assert_allclose(out.value, V**power)
    assert traced == [("m", 2), ("s", 2), ("s", 3)]


def test_axes_may_name_parts_of_a_node():
    batch = Data(np.stack([V, V + 1]), "m")
    out = jaxcore.vmap(lambda n, x: Data(n.value * x, n.unit), in_axes=(Data(0, "m"), None))(
        batch, 2.0
    )
    np.testing.assert_allclose(out.value, batch.value * 2)
    assert out.unit == "m"


def test_a_carry_that_changes_its_static_part_is_refused():
    def step(carry, x):
        return Data(carry.value, "s"), x

    for J in (jax, jaxcore):
        with pytest.raises(TypeError, match="carry"):
            J.lax.scan(step, Data(V, "m"), V)


def test_errors_name_the_leaf_as_its_keys_say():
    with pytest.raises(TypeError, match=r"node\.value|\.value"):
        jaxcore.jit(lambda node: node)(Keyed("text", "m"))


def test_branches_of_a_node_must_agree():
    with pytest.raises(TypeError, match="same structure"):
        lax.cond(np.bool_(True), lambda: Data(jnp.ones(3), "m"), lambda: Data(jnp.ones(3), "s"))


def test_the_registry_is_that_of_jax():
    node = NODES["nested"](V)
    assert jaxcore.tree.structure(node) == jax.tree.structure(node)
    assert tree_util.register_pytree_node is jax.tree_util.register_pytree_node
    paths = [tree_util.keystr(path) for path, _ in tree_util.tree_leaves_with_path(Keyed(V, "m"))]
    assert paths == [".value"]
