"""`Module`: a frozen dataclass that describes a computation; its parameters live outside, in dicts.

    class Block(nn.Module):
        features: int

        def __call__(self, x):
            h = nn.Dense(4 * self.features)(nn.LayerNorm()(x))
            return x + nn.Dropout(0.1)(nn.Dense(self.features)(nn.gelu(h)))

    variables = Block(8).init(key, x)
    y = Block(8).apply(variables, x)
    y = Block(8).apply(variables, x, train=True, rngs=key)

Submodules are named at construction, in the module that constructs them (``Dense_0``), or by the
dataclass field that holds them. One instance called twice shares its parameters.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import Any, ClassVar

import jaxcore.numpy as jnp
from jaxcore import Array
from jaxcore.errors import describe_type

from . import scope
from .construct import ModuleClass, as_module_class, check_train, take_name
from .equality import static_key
from .errors import InputError, UnboundModuleError
from .running import (
    Variable,
    missing,
    mutability,
    rng_streams,
    root_frame,
    updates,
    with_intermediates,
)
from .scope import Frame
from .state import MISSING, Run


class Module(ModuleClass):
    """Base class of all layers and models; every subclass is made a frozen dataclass.

    A module is a pytree without leaves, hashable, and equal to another of the same configuration
    (its own `name` aside), so it may be an argument of a compiled function.

    >>> class Scale(Module):
    ...     factor: float
    ...
    ...     def __call__(self, x):
    ...         return x * self.factor
    >>> Scale(1) == Scale(1), Scale(1) == Scale(True)
    (True, False)
    """

    #: Whether the module or a submodule may draw random numbers while applied.
    uses_rng: ClassVar[bool] = True
    #: Whether a call is written into the caller's program instead of a function of its own.
    inline: ClassVar[bool] = False

    name: str | None = dataclasses.field(default=None, kw_only=True)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        as_module_class(cls)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} does not define __call__")

    # --- from outside ---------------------------------------------------------------------------

    def init(
        self,
        rngs: Any,
        *args: Any,
        method: str | Callable[..., Any] | None = None,
        train: bool = False,
        dtype: Any = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Creates the module's variables, as nested dicts by collection.

        Args:
          rngs: one key, or a dict of keys by stream; parameters draw from ``"params"``.
          *args: example inputs; only shapes and dtypes matter, so `ShapeDtypeStruct`s will do.
          method: another method than ``__call__``, by name, or a function of the module.
          train: the mode in which the structure is found.
          dtype: the compute dtype, as in `apply`.

        Returns:
          ``{"params": {...}, "batch_stats": {...}, ...}``. ``intermediates`` and ``losses`` are
          left out: they belong to one call.
        """
        from .initialize import initialize

        return initialize(
            self, rng_streams(rngs), args, kwargs, method, check_train(train, self), dtype
        )

    def init_with_output(self, rngs: Any, *args: Any, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """`init`, and the module's output with the new variables: ``(output, variables)``."""
        variables = self.init(rngs, *args, **kwargs)
        return self.apply(variables, *args, rngs=rngs, **kwargs), variables

    def apply(
        self,
        variables: Mapping[str, Any],
        *args: Any,
        rngs: Any = None,
        mutable: bool | str | Iterable[str] = False,
        method: str | Callable[..., Any] | None = None,
        train: bool = False,
        dtype: Any = None,
        capture_intermediates: bool | Callable[[Module, str], bool] = False,
        **kwargs: Any,
    ) -> Any:
        """Computes the module's output; changes nothing.

        Args:
          variables: collections, as `init` gives them.
          rngs: one key for all random streams, or a dict of keys by stream.
          mutable: collections that the call may write: names, or True for all.
          method: another method than ``__call__``, by name, or a function of the module.
          train: the mode of the whole call, unless a submodule's call says otherwise.
          dtype: compute dtype of every layer that has none of its own; or a dict of dtypes by
            globs of paths and by classes, of which the last that fits a module counts, for what is
            inside it too: ``{"**": jnp.bfloat16, nn.LayerNorm: jnp.float32, "head": jnp.float32}``.
          capture_intermediates: keep what every module's ``__call__`` returns, under that name, in
            the collection ``intermediates``, which becomes mutable; or ``(module, method name)
            -> bool``, asked for every call. `nn.features` does so by paths.

        Returns:
          The output; with `mutable` not False, ``(output, updates)`` where `updates` holds the
          mutable collections in full.

        Raises:
          MissingVariableError, MissingRngError, ImmutableVariableError, ParameterShapeError.
        """
        if not isinstance(variables, Mapping):
            raise InputError(
                f"{type(self).__name__}.apply: variables is of type {describe_type(variables)}. "
                "Expected a dict of collections, {'params': {...}}, as init returns it."
            )
        run = Run(variables, mutability(mutable))
        if capture_intermediates is not False:
            mutable = with_intermediates(mutable)
            run.mutable = mutability(mutable)
            run.capture = (
                (lambda _, method: method == "__call__")
                if capture_intermediates is True
                else capture_intermediates
            )
        mode = check_train(train, self)
        frame, fn, kwargs = root_frame(
            run, self, method, rng_streams(rngs), mode, dtype, args, kwargs
        )
        out = scope.run_root(frame, fn, args, kwargs)
        return out if mutable is False else (out, updates(run))

    def summary(self, *args: Any, **kwargs: Any) -> str:
        """A table of the module's parts: path, module, output type, parameters, FLOPs.

        Parameters and FLOPs include those of the submodules. Print it, or end a cell with it.
        Takes the arguments of ``__call__``, arrays or `ShapeDtypeStruct`s, and computes nothing.
        """
        from .summary import summarize

        return summarize(self, *args, **kwargs)

    # --- from inside a method -------------------------------------------------------------------

    def param(self, name: str, init: Callable[..., Any], *args: Any) -> Any:
        """The parameter `name`, made by ``init(key, *args)``; `args` is mostly a shape and a dtype.

        Raises:
          MissingVariableError: it is not in the variables given to `apply`.
          ParameterShapeError: it has another shape than ``args[0]``.
          NameInUseError: the module has a parameter or submodule of that name already.
        """
        from .initialize import check_shape, create

        frame = self._frame(f"param('{name}')")
        take_name(frame, name, "a parameter")
        path = ("params", *frame.path, name)
        value = frame.run.get(path)
        if value is MISSING:
            if not (frame.run.initializing or frame.run.mutable("params")):
                raise missing(frame, path)
            return create(frame, path, init, args, needs_key=True)
        check_shape(path, value, args, type(self).__name__)
        return value

    def variable(
        self, collection: str, name: str, init: Callable[..., Any] | None = None, *args: Any
    ) -> Variable:
        """The variable `name` of `collection`, made by ``init(*args)`` where it does not exist."""
        from .initialize import create

        frame = self._frame(f"variable('{collection}', '{name}')")
        take_name(frame, name, f"a variable of '{collection}'")
        path = (collection, *frame.path, name)
        if frame.run.get(path) is MISSING:
            if init is None or not (frame.run.initializing or frame.run.mutable(collection)):
                raise missing(frame, path)
            create(frame, path, init, args, needs_key=False)
        return Variable(frame, path)

    def has_variable(self, collection: str, name: str) -> bool:
        """Whether `collection` holds `name` for this module now."""
        frame = self._frame("has_variable")
        return frame.run.get((collection, *frame.path, name)) is not MISSING

    def sow(
        self,
        collection: str,
        name: str,
        value: Any,
        reduce: Callable[[Any, Any], Any] = lambda old, new: (*old, new),
        init: Callable[[], Any] = tuple,
    ) -> bool:
        """Stores `value` if the collection is mutable: ``reduce(old or init(), value)``.

        By default values gather in a tuple. Returns whether the value was stored.
        """
        frame = self._frame(f"sow('{collection}', '{name}')")
        if not frame.run.mutable(collection):
            return False
        path = (collection, *frame.path, name)
        old = frame.run.get(path)
        frame.run.put(path, reduce(init() if old is MISSING else old, value), type(self).__name__)
        return True

    def perturb(self, name: str, value: Any, collection: str = "perturbations") -> Any:
        """`value` plus the variable `name` of zeros: its gradient is that of `value`.

        Where the collection was not given, `value` itself. As Flax linen's.

        >>> import jaxcore
        >>> from jaxcore import nn, random
        >>> class Squares(nn.Module):
        ...     def __call__(self, x):
        ...         return (self.perturb("y", 3 * x) ** 2).sum()
        >>> x = jaxcore.numpy.ones(2)
        >>> variables = Squares().init(random.key(0), x)
        >>> jaxcore.grad(lambda v: Squares().apply(v, x))(variables)["perturbations"]["y"].tolist()
        [6.0, 6.0]
        """
        from .initialize import create

        frame = self._frame(f"perturb('{name}')")
        take_name(frame, name, f"a variable of '{collection}'")
        path = (collection, *frame.path, name)
        if frame.run.get(path) is MISSING:
            if frame.run.initializing or frame.run.mutable(collection):
                shape, dtype = jnp.shape(value), jnp.result_type(value)
                create(frame, path, jnp.zeros, (shape, dtype), needs_key=False)
            elif collection in frame.run.variables:
                raise missing(frame, path)
        stored = frame.run.get(path)
        return value if stored is MISSING else value + stored

    def make_rng(self, stream: str = "params") -> Array:
        """A fresh key of a random stream: another one at every call."""
        return self._frame(f"make_rng('{stream}')").make_key(stream)

    def has_rng(self, stream: str) -> bool:
        """Whether a key for `stream` was given."""
        keys = self._frame("has_rng").stream_keys()
        return None in keys or stream in keys

    @property
    def training(self) -> bool:
        """The mode of this call: what ``train=`` said nearest on the way from `apply`."""
        return self._frame("training").train

    @property
    def initializing(self) -> bool:
        """Whether the variables are being created."""
        return self._frame("initializing").run.initializing

    @property
    def compute_dtype(self) -> Any:
        """The layer's own `dtype`, else the ambient one, else None: as the operands promote."""
        own = getattr(self, "dtype", None)
        return self._frame("compute_dtype").dtype if own is None else own

    @property
    def path(self) -> tuple[str, ...]:
        """Where the module stands in the model: ``("encoder", "Dense_0")``."""
        return self._frame("path").path

    def _frame(self, use: str) -> Frame:
        frame = scope.frame_of(self)
        if frame is None:
            raise UnboundModuleError(
                f"{type(self).__name__}.{use} is used outside a call of the module. It works "
                "inside the module's own methods, while init or apply runs them."
            )
        return frame

    # --- identity -------------------------------------------------------------------------------

    def _fields(self) -> Iterator[tuple[str, Any]]:
        for name, _ in type(self)._defaults:
            if name != "name":
                yield name, getattr(self, name)

    def _static_key(self) -> Hashable:
        """Equal for modules that behave alike and, as submodules, get the same name."""
        return (type(self), self.name, self._configuration())

    def _configuration(self) -> Hashable:
        key = self.__dict__.get("_key")
        if key is None:
            key = tuple(static_key(value) for _, value in self._fields())
            object.__setattr__(self, "_key", key)
        return key

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if type(self) is not type(other):
            return NotImplemented
        return self._configuration() == other._configuration()  # type: ignore[attr-defined]

    def __hash__(self) -> int:
        return hash((type(self), self._configuration()))

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in vars(self).items() if k not in ("_key", "_held")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)

    def __reduce__(self) -> Any:
        """Leaves out fields that have their default, which may be a closure and not picklable."""
        defaults = dict(type(self)._defaults)
        unset = object()
        state = {
            name: value
            for name, value in self.__getstate__().items()
            if value is not defaults.get(name, unset)
        }
        return _restored, (type(self), state)

    def __repr__(self) -> str:
        from .display import tree_repr

        return tree_repr(self)


def _restored(cls: type[Module], state: dict[str, Any]) -> Module:
    module = object.__new__(cls)
    vars(module).update(dict(cls._defaults))
    vars(module).update(state)
    return module


as_module_class(Module)
