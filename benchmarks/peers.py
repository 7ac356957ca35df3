"""The other libraries: which are there, and how PyTorch takes a step. None has to be installed."""

import functools
import importlib.util
import os
import shutil
from collections.abc import Callable
from typing import Any

import jax

Advance = Callable[[], Any]
Begin = Callable[[], Advance]

# Threads that PyTorch leaves spinning after its step would take the cores from whoever goes next.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

LIBRARIES = ("flax", "equinox", "torch")
WITHOUT: set[str] = set()  # peers that were asked to be left out


def installed(library: str) -> bool:
    """Whether `library` can be imported.

    >>> installed("jax"), installed("no_such_library")
    (True, False)
    """
    return importlib.util.find_spec(library) is not None


def left_out() -> str:
    """Say which peers are missing in this process; empty if none is."""
    missing = [library for library in LIBRARIES if not installed(library)]
    if installed("torch") and not _compiler():
        missing.append("torch.compile (no C++ compiler)")
    return f"left out, not installed: {', '.join(missing)}" if missing else ""


def torch_step(step: Callable[[Any, Any], Any], state: Any, batch: Any) -> dict[str, Begin]:
    """PyTorch's form of a step ``(state, batch) -> (state, value)``, eager and compiled.

    `state` and `batch` are trees of NumPy arrays, handed over as tensors.
    """

    def begin(wrap: Callable[[Any], Any]) -> Advance:
        held, data = _tensors(state), _tensors(batch)
        call = wrap(step)

        def advance() -> Any:
            nonlocal held
            held, value = call(held, data)
            return value

        return advance

    return _both(begin, compiles=True)


def torch_training(
    loss: Callable[[Any, Any], Any],
    params: Any,
    batch: Any,
    *,
    compiles: bool = True,
    dtype: str = "float32",
) -> dict[str, Begin]:
    """PyTorch's training step of ``loss(params, batch)`` with AdamW, eager and compiled.

    `params` is a tree of NumPy arrays, or a module of PyTorch's made by a call without arguments;
    then the loss is called with that module. Not all that it computes `compiles`. A `dtype` of
    fewer bits is that of its automatic mixed precision.
    """

    def begin(wrap: Callable[[Any], Any]) -> Advance:
        import torch

        if callable(params):
            held = params()
            leaves = [leaf for leaf in held.parameters() if leaf.requires_grad]
        else:
            held = _tensors(params)
            leaves = [leaf.requires_grad_() for leaf in jax.tree.leaves(held)]
        optimiser = torch.optim.AdamW(leaves, lr=1e-3, weight_decay=1e-4, fused=True)
        data, call = _tensors(batch), wrap(loss)

        def advance() -> Any:
            optimiser.zero_grad()
            with torch.autocast(_device(), getattr(torch, dtype), enabled=dtype != "float32"):
                value = call(held, data)
            value.backward()
            optimiser.step()
            return value.detach().cpu()  # waits for a GPU

        return advance

    return _both(begin, compiles)


def _both(begin: Callable[[Callable[[Any], Any]], Advance], compiles: bool) -> dict[str, Begin]:
    if not installed("torch"):
        return {}
    begins = {"torch": functools.partial(begin, lambda fn: fn)}
    if compiles and _compiler():
        begins["torch.compile"] = functools.partial(begin, _compiled)
    return begins


def _compiled(fn: Callable[..., Any]) -> Callable[..., Any]:
    import torch

    torch.compiler.config.force_disable_caches = True  # as ours and JAX's are off
    torch.compiler.reset()  # what it compiled for another work, at other sizes, is no help here
    return torch.compile(fn, dynamic=False)


def _compiler() -> str | None:
    return shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")


def _tensors(tree: Any) -> Any:
    import torch

    return jax.tree.map(lambda x: torch.tensor(x, dtype=_wide(x), device=_device()), tree)


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _wide(x: Any) -> Any:
    """Class numbers are of 64 bits in PyTorch."""
    import torch

    return torch.int64 if x.dtype.kind == "i" else None
