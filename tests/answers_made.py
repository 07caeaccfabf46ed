"""Tiny models that answer: a decoder with a chat template, and an encoder-decoder."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import torch

from yanmo.models.checkpoint import Checkpoint
from yanmo.models.families import qwen3, t5
from yanmo.models.folder import save_model
from yanmo.models.transformer import Transformer
from yanmo.tasks.examples import ChatExample, Message, Origin, PreferenceExample, Seq2SeqExample
from yanmo.tokenizers.bpe import fit_bpe
from yanmo.tokenizers.load import Tokenizer
from yanmo.tokenizers.purpose import Purpose

ORIGIN = Origin("a.csv", 2, 2)
TEXTS = (
    "a man is eating food, and a cat is resting by the door",
    "hello! what do you do? i rest.",
    "一个人在吃饭，一只猫在门边休息。",
    "你好！你在做什么？我在休息。",
)
SIZES = {"d_model": 32, "num_layers": 2, "num_heads": 4, "head_dim": 8, "d_ff": 64, "max_seq_len": 96}

PAIRS = [
    Seq2SeqExample(source=source, targets=(target,), origin=ORIGIN)
    for source, target in (
        ("a man is eating", "一个人在吃饭。"),
        ("a cat", "一只猫"),
        ("你好！你在做什么？", "hello! what do you do?"),
        ("我在休息", "i rest."),
        ("a cat is resting by the door", "一只猫在门边休息。"),
        ("the man", "人"),
    )
]


def chat(*contents: str, system: str = "") -> ChatExample:
    """A conversation whose first message is the user's."""
    said = [Message(("user", "assistant")[place % 2], text) for place, text in enumerate(contents)]
    before = [Message("system", system)] if system else []
    return ChatExample(messages=(*before, *said), origin=ORIGIN)


PREFERENCES = [
    PreferenceExample(
        prompt=tuple(Message("user", text) for text in prompt),
        chosen=chosen,
        rejected=rejected,
        origin=ORIGIN,
    )
    for prompt, chosen, rejected in (
        (("what do you do?",), "i rest.", "food, a cat is resting by the door"),
        (("你在做什么？",), "我在休息。", "一只猫"),
        (("hello!",), "hello!", "the"),
        (("你好！",), "你好！", "人在门边吃饭"),
    )
]


@lru_cache
def tokenizer(purpose: Purpose = Purpose.CAUSAL) -> Tokenizer:
    """Of the texts."""
    return fit_bpe([text for text in TEXTS for _ in range(9)], 480, purpose)


def decoder(folder: Path, *, chat_tuned: bool = False) -> Checkpoint:
    """A tiny random decoder."""
    made = tokenizer()
    config = qwen3.decoder(vocab_size=made.vocab_size, num_kv_heads=2, **SIZES)
    checkpoint = _save(folder, Transformer(config), made, "qwen3")
    checkpoint.tokenizer.chat_tuned = chat_tuned
    return checkpoint


def encoder_decoder(folder: Path) -> Checkpoint:
    """A tiny random encoder-decoder."""
    made = tokenizer(Purpose.DENOISING)
    return _save(folder, Transformer(t5.encoder_decoder(vocab_size=made.vocab_size, **SIZES)), made, "t5")


def _save(folder: Path, model: Transformer, made: Tokenizer, model_type: str) -> Checkpoint:
    generator = torch.Generator().manual_seed(7)
    weights = {
        name: torch.randn(weight.shape, generator=generator) * 0.3
        for name, weight in model.named_parameters()
    }
    path = folder / model_type
    save_model(
        path, model, weights, made, dtype=torch.float32, details={}, card="# Tiny\n", model_type=model_type
    )
    return Checkpoint.open(path)
