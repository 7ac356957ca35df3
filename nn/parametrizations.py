"""`Parametrized`: a layer that sees a function of its parameters, such as an orthogonal matrix."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax.scipy.linalg

import jaxcore.numpy as jnp
from jaxcore import Array

from . import scope
from .dtypes import as_array
from .errors import InputError, where
from .filters import partition
from .module import Module
from .reparametrization import call_with
from .state import Path, unflatten


class Parametrized(Module):
    """A layer, or a whole model, whose parameters p it sees as ``change(p)``.

    Call it as the layer. Parameters: the layer's own, under ``layer``; these are what is trained,
    and have no constraint. `change` keeps the shape.

    Args:
      change: a function of one parameter, such as `orthogonal`.
      globs: which parameters, as `partition` takes them, by their paths below the layer.

    Raises:
      InputError: no parameter matches, or `change` gives another shape.

    PyTorch's ``parametrize.register_parametrization``; linen's ``map_variables``.

    >>> import jaxcore.numpy as jnp
    >>> from jaxcore import nn, random
    >>> layer = nn.Parametrized(nn.Dense(3), jnp.exp)  # only positive weights
    >>> x = jnp.ones((1, 2))
    >>> bool((layer.init_with_output(random.key(0), x)[0] > 0).all())
    True
    """

    layer: Module
    change: Callable[[Array], Array]
    globs: str | Sequence[str] = "**/kernel"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        frame, found = self._frame("__call__"), []
        scope.child_path(self.layer)

        def change(path: Path, value: Array) -> Array:
            if not partition(unflatten({path: value}), self.globs)[0]:
                return value
            found.append(path)
            changed = as_array(self.change(value), value.dtype)
            if changed.shape != value.shape:
                raise InputError(
                    f"{where(self.path, 'Parametrized')}: change makes {changed.shape} of "
                    f"'{'/'.join(path)}', which has shape {value.shape}. Expected the same shape."
                )
            return changed

        out = call_with(frame, self.layer, change, args, kwargs)
        if not found:
            raise InputError(
                f"{where(self.path, 'Parametrized')}: no parameter of the layer matches "
                f"globs={self.globs!r}. Expected paths such as 'kernel' or 'encoder/**/kernel', of "
                "parameters below the layer."
            )
        return out


def orthogonal(x: Array) -> Array:
    """A matrix with orthonormal columns (rows, if there are fewer) for any matrix ``(..., n, m)``.

    ``exp(L - Lᵀ)`` of the part L below the diagonal, and of it the first columns. Every rotation
    is one of these; a matrix of zeros gives the identity. PyTorch's
    ``parametrizations.orthogonal(layer, orthogonal_map="matrix_exp")`` without a base.

    Lezcano-Casado and Martínez-Rubio 2019, https://arxiv.org/abs/1901.08428

    >>> import jaxcore.numpy as jnp
    >>> q = orthogonal(jnp.arange(6.0).reshape(3, 2))
    >>> bool(jnp.allclose(q.T @ q, jnp.eye(2), atol=1e-5))
    True
    """
    x = as_array(x)
    if x.ndim < 2:
        raise InputError(f"orthogonal: the parameter has shape {x.shape}. Expected a matrix.")
    rows, columns = x.shape[-2:]
    if rows < columns:
        return jnp.swapaxes(orthogonal(jnp.swapaxes(x, -1, -2)), -1, -2)
    low = jnp.tril(x, -1)
    wide = jnp.pad(low, [(0, 0)] * (x.ndim - 1) + [(0, rows - columns)])
    turn = jax.scipy.linalg.expm(wide - jnp.swapaxes(wide, -1, -2))
    return as_array(turn[..., :columns], x.dtype)
