"""Weights in files: safetensors and PyTorch's format, under the names of other libraries.

- `load`, `save`, `Report`: `loading`; maps of names and their rows: `names`
- formats: `files` (which one it is), `safetensors`, `torch_file`
- Haiku's parameters: `haiku`
"""

from .haiku import from_haiku
from .loading import Report, load, save
from .names import NameMap, Rule, batch_norm, conv, dense, embed, norm, plain

__all__ = [
    "NameMap",
    "Report",
    "Rule",
    "batch_norm",
    "conv",
    "dense",
    "embed",
    "from_haiku",
    "load",
    "norm",
    "plain",
    "save",
]
