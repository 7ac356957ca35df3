"""Models written as a graph of layers: `Input`, `Graph`, `Lambda`.

    image, age = nn.Input(), nn.Input()
    features = nn.Flatten()(nn.Conv(8, (3, 3))(image))
    model = nn.Graph.of([image, age], nn.Dense(1)(features + nn.Dense(288)(age)))
    variables = model.init(key, images, ages)

A layer called outside of `init` and `apply` with a `Symbol` among its arguments computes nothing:
it returns another symbol. `Graph` turns what hangs together into a module.
"""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from jaxcore import tree

from .errors import InputError, where
from .module import Module


@dataclasses.dataclass(frozen=True, eq=False)
class Symbol:
    """What a layer will return: the layer and its arguments. Adds and multiplies as an array does.

    >>> from jaxcore import nn
    >>> (nn.Dense(3)(nn.Input()) + 1.0).layer
    <built-in function add>
    """

    layer: Callable[..., Any] | None
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def then(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Symbol:
        """The symbol of ``function(self, *args, **kwargs)``, for functions such as `nn.relu`.

        >>> from jaxcore import nn
        >>> nn.Input().then(nn.relu).layer.__name__
        'relu'
        """
        return Symbol(function, (self, *args), kwargs)

    def __add__(self, other: Any) -> Symbol:
        return Symbol(operator.add, (self, other))

    def __radd__(self, other: Any) -> Symbol:
        return Symbol(operator.add, (other, self))

    def __sub__(self, other: Any) -> Symbol:
        return Symbol(operator.sub, (self, other))

    def __mul__(self, other: Any) -> Symbol:
        return Symbol(operator.mul, (self, other))

    def __rmul__(self, other: Any) -> Symbol:
        return Symbol(operator.mul, (other, self))

    def __getitem__(self, index: Any) -> Symbol:
        return Symbol(operator.getitem, (self, index))

    def __iter__(self) -> Iterator[Any]:
        raise TypeError(
            "a Symbol has no length: what the layer returns is not known yet. Take parts by index, "
            "symbol[0], symbol[1]."
        )


def Input() -> Symbol:
    """A symbol for an argument of a `Graph`.

    >>> from jaxcore import nn
    >>> nn.Input().layer is None
    True
    """
    return Symbol(None)


def is_symbolic(values: Any) -> bool:
    """Whether a `Symbol` is among the leaves of `values`."""
    return any(isinstance(leaf, Symbol) for leaf in tree.leaves(values))


@dataclasses.dataclass(frozen=True)
class _Value:
    """A value computed before, by number, in the arguments of a step."""

    number: int


class Graph(Module):
    """A module made of layers and how they are wired; `Graph.of` makes one from symbols.

    Parameters: ``layers_<name>`` for each layer, where the name is the layer's own, or its class
    and a number. A layer that was called twice is one layer with shared parameters.

    Args:
      layers: by name.
      steps: ``(name of the layer, arguments, keyword arguments)``, in order.
      output: what is returned; like the arguments, in terms of earlier values.
      inputs: how many arguments a call has.

    From Keras: ``Model(inputs, outputs)``.

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn, random
    >>> x = nn.Input()
    >>> h = nn.Dense(4)(x).then(nn.relu)
    >>> model = nn.Graph.of([x], nn.Dense(4)(h) + h)
    >>> y, variables = model.init_with_output(random.key(0), jnp.ones((2, 3)))
    >>> y.shape, sorted(variables["params"])
    ((2, 4), ['layers_Dense_0', 'layers_Dense_1'])
    """

    layers: Mapping[str, Callable[..., Any]]
    steps: Sequence[tuple[str, Any, Any]]
    output: Any
    inputs: int = 1

    @classmethod
    def of(cls, inputs: Sequence[Symbol], output: Any) -> Graph:
        """The graph from `inputs` to `output`, a symbol or a tree of them.

        Raises:
          InputError: the output needs an `Input` that is not among the inputs.
        """
        layers: dict[str, Callable[..., Any]] = {}
        names: dict[int, str] = {}
        steps: list[tuple[str, Any, Any]] = []
        known = {id(symbol): _Value(number) for number, symbol in enumerate(inputs)}

        def name_of(layer: Callable[..., Any]) -> str:
            if id(layer) not in names:
                kind = type(layer).__name__ if isinstance(layer, Module) else layer.__name__
                numbered = (f"{kind}_{i}" for i in range(len(layers) + 1))
                own = getattr(layer, "name", None)
                name = own if isinstance(own, str) else next(n for n in numbered if n not in layers)
                if name in layers:
                    raise InputError(
                        f"Graph: two layers have the name '{name}'. Expected different names; to "
                        "share parameters call one layer twice."
                    )
                names[id(layer)] = name
                layers[name] = layer
            return names[id(layer)]

        def place(value: Any) -> Any:
            if not isinstance(value, Symbol):
                return value
            if id(value) not in known:
                if value.layer is None:
                    raise InputError(
                        f"Graph.of: the output needs an Input that is not one of the "
                        f"{len(inputs)} inputs. Add it to the list of inputs."
                    )
                args, kwargs = tree.map(place, (value.args, dict(value.kwargs)))
                steps.append((name_of(value.layer), args, kwargs))
                known[id(value)] = _Value(len(inputs) + len(steps) - 1)
            return known[id(value)]

        placed = tree.map(place, output)
        return cls(layers, steps, placed, len(inputs))

    def __call__(self, *inputs: Any) -> Any:
        if len(inputs) != self.inputs:
            raise InputError(
                f"{where(self.path, 'Graph')}: {len(inputs)} arguments. Expected {self.inputs}, "
                "one for each input of the graph."
            )
        values = list(inputs)
        fill = lambda v: values[v.number] if isinstance(v, _Value) else v
        for name, args, kwargs in self.steps:
            args, kwargs = tree.map(fill, (args, dict(kwargs)))
            values.append(self.layers[name](*args, **kwargs))
        return tree.map(fill, self.output)


class Lambda(Module):
    """A function as a layer: ``Lambda(jnp.sin)``, with what else it takes.

    In `Sequential` functions need no such cover; give them to what asks for a `Module`.

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn
    >>> nn.Lambda(jnp.sum, {"axis": -1}).apply({}, jnp.ones((2, 3))).tolist()
    [3.0, 3.0]
    """

    function: Callable[..., Any]
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **self.options, **kwargs)
