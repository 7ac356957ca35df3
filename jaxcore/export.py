"""Export: a jitted function as StableHLO in its stable format, to load where its Python is not.

`export` gives JAX's `Exported`: what it serialises can be loaded by `deserialize` here or in JAX,
today and for six months of later releases, called inside ``jit`` and differentiated
(``serialize(vjp_order=1)``). Shapes may be symbolic (`symbolic_shape`, `symbolic_args_specs`), and
one export may serve several platforms.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax import export as _export
from jax.export import (
    DisabledSafetyCheck,
    Exported,
    deserialize,
    symbolic_args_specs,
    symbolic_shape,
)

from jaxcore import namespaces
from jaxcore.jit import Jitted
from jaxcore.signature import function_name

__all__ = [
    "DisabledSafetyCheck",
    "Exported",
    "deserialize",
    "export",
    "symbolic_args_specs",
    "symbolic_shape",
]


def export(
    fun_jit: Callable[..., Any],
    *,
    platforms: Sequence[str] | None = None,
    disabled_checks: Sequence[DisabledSafetyCheck] = (),
) -> Callable[..., Exported]:
    """A function of example arguments that returns `fun_jit` for them, ready to be serialised.

    Args:
      fun_jit: a function jitted by jaxcore or JAX. Arrays that it captured become constants.
      platforms: names among "cpu", "cuda", "rocm" and "tpu"; the default backend's without.
      disabled_checks: checks of the exported module to leave out.

    Returns:
      A function that takes arrays, `ShapeDtypeStruct` or the symbolic shapes of
      `symbolic_args_specs`, and returns an `Exported` with the methods `serialize` and `call`.

    Raises:
      ValueError: `fun_jit` is not jitted.
      NotImplementedError: it calls back into Python, as `debug.print` does.

    Example:
      >>> import jax, jaxcore, jaxcore.numpy as jnp
      >>> f = jaxcore.jit(lambda x: jnp.sum(x * x, axis=1))
      >>> specs = symbolic_args_specs((jnp.ones((1, 3)),), ("batch, 3",))
      >>> blob = export(f)(*specs).serialize(vjp_order=1)
      >>> deserialize(blob).call(jnp.ones((2, 3)))
      Array([3., 3.], dtype=float32)
    """
    if isinstance(fun_jit, Jitted):
        fun_jit = _as_jax_jit(fun_jit)
    elif not isinstance(fun_jit, jax.stages.Wrapped):
        raise ValueError(
            f"export: the function must be jitted, got {fun_jit!r} of type "
            f"{type(fun_jit).__name__}.\nFix: export(jaxcore.jit({function_name(fun_jit)}))."
        )
    name = function_name(fun_jit)
    wrapped: Any = fun_jit
    run = _export.export(wrapped, platforms=platforms, disabled_checks=disabled_checks)

    def exported(*args: Any, **kwargs: Any) -> Exported:
        try:
            return run(*args, **kwargs)
        except NotImplementedError as error:
            if "host_callbacks" in str(error):
                raise NotImplementedError(
                    f"export of {name}: it calls back into Python (debug.print, pure_callback or "
                    "io_callback), which no other process has.\nFix: leave the call out of what is "
                    "exported."
                ) from None
            raise
        except Exception as error:
            if any(map(_export.is_symbolic_dim, _sizes((args, kwargs)))):
                error.add_note(
                    f"While exporting {name} with symbolic shapes. Fix, where an operation needs a "
                    "size that is known: export for constant shapes, or try the function of that "
                    "name in jax.numpy, which runs here as well."
                )
            raise

    return exported


def _sizes(tree: Any) -> list[Any]:
    return [n for x in jax.tree.leaves(tree) for n in getattr(x, "shape", ())]


def _as_jax_jit(jitted: Jitted) -> Any:
    """`jitted` under `jax.jit`: one equation that holds our program."""

    def call(*args: Any, **kwargs: Any) -> Any:
        return jitted(*args, **kwargs)

    call.__name__ = call.__qualname__ = function_name(jitted)
    settings = jitted._settings
    return jax.jit(
        call,
        static_argnums=settings.static_argnums,
        static_argnames=settings.static_argnames,
        donate_argnums=settings.donate_argnums,
        donate_argnames=settings.donate_argnames,
    )


def __getattr__(name: str) -> Any:
    return namespaces.lookup(__name__, name)


def __dir__() -> list[str]:
    return namespaces.listing(__name__)
