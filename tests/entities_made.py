"""A tiny model that marks names and addresses: BERT whose one layer does nothing, so a word is its label."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

_SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
_WIDTH = 8
_WORDS = {
    "B-PER": ["Alice", "Bob", "Ander", "王", "李"],
    "I-PER": ["Smith", "Jones", "明", "华"],
    "B-ADDRESS": ["Elm", "长"],
    "I-ADDRESS": ["Street", "安", "街"],
    "O": [
        "##son",
        "met",
        "the",
        "boat",
        "in",
        "at",
        "her",
        "river",
        "went",
        ".",
        "。",
        "，",
        "在",
        "见",
        "了",
        "船",
    ],
}
LABELS = ("O", "B-PER", "I-PER", "B-ADDRESS", "I-ADDRESS")


def make_marker(folder: Path, *, labels: tuple[str, ...] = LABELS, max_seq_len: int = 40) -> Path:
    """A model folder in the layout of Hugging Face; ``labels`` may rename the five that there are."""
    folder.mkdir(parents=True)
    pieces = [*_SPECIALS, *(word for words in _WORDS.values() for word in words)]
    config = {
        "architectures": ["BertForTokenClassification"],
        "model_type": "bert",
        "vocab_size": len(pieces),
        "hidden_size": _WIDTH,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": _WIDTH,
        "max_position_embeddings": max_seq_len,
        "type_vocab_size": 2,
        "id2label": {str(number): label for number, label in enumerate(labels)},
        "label2id": {label: number for number, label in enumerate(labels)},
    }
    (folder / "config.json").write_text(json.dumps(config, ensure_ascii=False), encoding="utf-8")
    save_file(_weights(pieces, max_seq_len), folder / "model.safetensors", metadata={"format": "pt"})
    _make_tokenizer(folder, pieces, max_seq_len)
    return folder


def _weights(pieces: list[str], max_seq_len: int) -> dict[str, np.ndarray]:
    def zeros(*shape: int) -> np.ndarray:
        return np.zeros(shape, np.float32)

    ones = np.ones(_WIDTH, np.float32)
    meanings = zeros(len(pieces), _WIDTH)
    of_word = {word: LABELS.index(label) for label, words in _WORDS.items() for word in words}
    for number, piece in enumerate(pieces):
        meanings[number, of_word.get(piece, 0)] = 1
    classifier = zeros(len(LABELS), _WIDTH)
    classifier[range(len(LABELS)), range(len(LABELS))] = 4
    weights = {
        "bert.embeddings.word_embeddings.weight": meanings,
        "bert.embeddings.position_embeddings.weight": zeros(max_seq_len, _WIDTH),
        "bert.embeddings.token_type_embeddings.weight": zeros(2, _WIDTH),
        "classifier.weight": classifier,
        "classifier.bias": zeros(len(LABELS)),
    }
    layer = "bert.encoder.layer.0."
    for name in ("attention.self.query", "attention.self.key", "attention.self.value"):
        weights |= {f"{layer}{name}.weight": zeros(_WIDTH, _WIDTH), f"{layer}{name}.bias": zeros(_WIDTH)}
    for name in ("attention.output.dense", "intermediate.dense", "output.dense"):
        weights |= {f"{layer}{name}.weight": zeros(_WIDTH, _WIDTH), f"{layer}{name}.bias": zeros(_WIDTH)}
    for name in ("bert.embeddings.", f"{layer}attention.output.", f"{layer}output."):
        weights |= {f"{name}LayerNorm.weight": ones.copy(), f"{name}LayerNorm.bias": zeros(_WIDTH)}
    return weights


def _make_tokenizer(folder: Path, pieces: list[str], max_seq_len: int) -> None:
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    backend = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=False)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    backend.add_special_tokens(_SPECIALS)
    backend.save(str(folder / "tokenizer.json"))
    names = {f"{name.strip('[]').lower()}_token": name for name in _SPECIALS}
    settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": False, "model_max_length": max_seq_len}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | names))
