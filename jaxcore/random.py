"""JAX's random names."""
import jax.random as _random
from jax.random import *  # noqa
def __getattr__(name):
    return getattr(_random, name)
