"""What a call of a compiled function costs on the host."""

import jax
import numpy

from benchmarks.harness import Row, repeated
from benchmarks.sides import SIDES

TARGET = 1.15


def run() -> list[Row]:
    """Measure compiled functions of two arguments and of a thousand."""

    def few(a: jax.Array, b: jax.Array) -> jax.Array:
        return a + b

    def many(tree: dict[str, jax.Array]) -> dict[str, jax.Array]:
        return {name: leaf + 1 for name, leaf in tree.items()}

    x = jax.numpy.asarray(numpy.ones((8,), numpy.float32))
    tree = {f"leaf_{i}": x + i for i in range(1000)}
    rows = []
    for name, function, args in (("2 arguments", few, (x, x)), ("1000 arguments", many, (tree,))):
        compiled = {side.name: side.jit(function) for side in SIDES}
        sides = {key: lambda call=call, args=args: call(*args) for key, call in compiled.items()}
        rows.append(repeated(f"jit dispatch, {name}", sides, target=TARGET))
    return rows
