"""Tiny folders of sentence encoders: a random Transformer, a WordPiece tokenizer, and the side files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from yanmo.models.families import FAMILIES, any_architecture
from yanmo.models.files.safetensors_files import write_safetensors
from yanmo.models.folder import CheckpointWeights
from yanmo.models.transformer import Transformer

TEXTS = [
    "A man is eating food.",
    "The girl is carrying a baby!",
    "",
    "一个人在吃东西。",
    "a man is eating a piece of bread " * 6,
    "Zwei Männer",
    "the cat",
    "a dog",
]
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PIECES += list("abcdefghijklmnopqrstuvwxyzA.!") + [f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"]
PIECES += ["man", "is", "eat", "##ing", "food", "the", "girl", "cat", "dog", "一", "个", "人", "吃"]
_STEPS = "sentence_transformers.models."
BERT: dict[str, Any] = {
    "architectures": ["BertModel"],
    "model_type": "bert",
    "vocab_size": len(PIECES),
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 32,
    "max_position_embeddings": 40,
}


def write_animals(path: Path) -> Path:
    """A table of sixty texts, each with the animal that it names as its label."""
    words = ["man", "food", "girl", "is", "the", "a", "eating", "一", "个", "人"]
    texts = [f"{words[i % 10]} {words[i // 10]} {name},{name}" for i in range(30) for name in ("cat", "dog")]
    path.write_text("\n".join(["text,label", *texts]), encoding="utf-8")
    return path


def make_encoder(folder: Path, *, config: dict[str, Any] = BERT) -> Path:
    """A model folder without side files."""
    folder.mkdir(parents=True)
    make_tokenizer(folder)
    model_type = config["model_type"]
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        model = Transformer(FAMILIES[model_type].read_config(any_architecture(config)))
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.2)
    (folder / "config.json").write_text(json.dumps(config))
    write_safetensors(folder, CheckpointWeights(model, model_type, dtype=torch.float32))
    return folder


def make_tokenizer(folder: Path) -> None:
    """WordPiece as BERT has it, that keeps the case."""
    backend = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(PIECES)}, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=False)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    backend.add_special_tokens(PIECES[:5])
    backend.save(str(folder / "tokenizer.json"))
    names = {f"{name.strip('[]').lower()}_token": name for name in PIECES[:5]}
    settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": False, "model_max_length": 40}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | names))


def make_side_files(
    folder: Path,
    *,
    pooling: dict[str, Any],
    dense: dict[str, Any] | None = None,
    normalize: bool = False,
    length: dict[str, Any] | None = None,
    prompts: dict[str, Any] | None = None,
) -> Path:
    """What sentence-transformers writes beside a model whose hidden states are 24 wide."""
    steps = ["Transformer", "Pooling", *["Dense"] * (dense is not None), *["Normalize"] * normalize]
    entries = [
        {"idx": i, "name": str(i), "path": f"{i}_{step}" if i else "", "type": _STEPS + step}
        for i, step in enumerate(steps)
    ]
    write(folder / "modules.json", entries)
    write(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": 24, **pooling})
    if dense is not None:
        write(folder / "2_Dense" / "config.json", dense)
        generator = torch.Generator().manual_seed(1)
        shape = (dense["out_features"], dense["in_features"])
        weights = {"linear.weight": torch.randn(shape, generator=generator) * 0.3}
        if dense["bias"]:
            weights["linear.bias"] = torch.randn(shape[:1], generator=generator)
        save_file(weights, folder / "2_Dense" / "model.safetensors")
    if length is not None:
        write(folder / "sentence_bert_config.json", length)
    if prompts is not None:
        write(folder / "config_sentence_transformers.json", prompts)
    return folder


def write(path: Path, value: object) -> None:
    """A JSON file."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
