"""Whole models, each equal to the one whose weights it reads; one file a family.

`ResNet` (torchvision, timm), `ViT` and `ConvNeXt` (timm), `Bert`, `GPT2` and `Llama` (Hugging
Face). ``nn.load(path, model)`` gives a model's variables; `nn.generate` writes with the last two,
`sentence_embeddings` are made by `Bert`.
"""

from .bert import Bert, minilm_l6
from .convnext import ConvNeXt, convnext_tiny
from .gpt2 import GPT2
from .llama import Llama
from .resnet import ResNet, resnet18, resnet50
from .sentences import sentence_embeddings
from .vit import ViT, vit_tiny

__all__ = [
    "GPT2",
    "Bert",
    "ConvNeXt",
    "Llama",
    "ResNet",
    "ViT",
    "convnext_tiny",
    "minilm_l6",
    "resnet18",
    "resnet50",
    "sentence_embeddings",
    "vit_tiny",
]
