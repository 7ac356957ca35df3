"""JAX's lax names."""
import jax.lax as _lax
from jax.lax import *  # noqa
def __getattr__(name):
    return getattr(_lax, name)
