"""NumPy's interface: JAX's names, arguments, defaults and dtypes. What is not native is JAX's own on our traces."""
from jax.numpy import *  # noqa
import jax.numpy as _jnp
def __getattr__(name):
    return getattr(_jnp, name)
