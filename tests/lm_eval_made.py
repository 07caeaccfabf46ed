"""Three small tasks of lm-eval on local files, and a small model with a tokenizer, for its tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from yanmo.tokenizers.bpe import fit_bpe

_WORDS = [
    "river",
    "stone",
    "bird",
    "house",
    "old",
    "green",
    "sees",
    "follows",
    "hears",
    "dog",
    "cat",
    "mouse",
]
_HAN = "河流石头小鸟房子老绿看见跟着听见狗猫老鼠水夜早晨路"


def made_model(folder: Path, *, seed: int = 0) -> Path:
    """A random decoder of the shape of Llama, written by transformers."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    texts = [*_sentences(200, seed=1), _HAN]
    tokenizer = fit_bpe(texts, 400)
    config = LlamaConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=48,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=96,
        eos_token_id=tokenizer.eos_id,
        bos_token_id=None,
        initializer_range=0.2,
    )
    torch.manual_seed(seed)
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save(folder, max_seq_len=96)
    return folder


def made_tasks(folder: Path) -> list[str]:
    """Write a ranking of answers, a last word, a perplexity and an answer in words; returns their names."""
    sentences = _sentences(20, seed=2)
    questions = made_questions()
    chinese = [
        {"question": f"{_HAN[i : i + 5]}在哪里", "choices": [_HAN[i], _HAN[i + 1 : i + 4]], "gold": i % 2}
        for i in range(15)
    ]
    words = [{"text": sentence} for sentence in [*sentences, " ".join(_WORDS * 12)]]
    _task(
        folder,
        "made_choices",
        [*questions, *chinese],
        {
            "output_type": "multiple_choice",
            "doc_to_text": "Question: {{question}}\nAnswer:",
            "doc_to_target": "gold",
            "doc_to_choice": "choices",
            "num_fewshot": 2,
            "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}],
        },
    )
    _task(
        folder,
        "made_last_word",
        words,
        {
            "output_type": "loglikelihood",
            "doc_to_text": "{{text.split(' ')[:-1]|join(' ')}}",
            "doc_to_target": "{{' '+text.split(' ')[-1]}}",
            "metric_list": [
                {"metric": "perplexity", "aggregation": "perplexity", "higher_is_better": False},
                {"metric": "acc", "aggregation": "mean", "higher_is_better": True},
            ],
        },
    )
    _task(
        folder,
        "made_text",
        words,
        {
            "output_type": "loglikelihood_rolling",
            "doc_to_text": "",
            "doc_to_target": "{{text}}",
            "metric_list": [{"metric": "bits_per_byte"}, {"metric": "word_perplexity"}],
        },
    )
    return ["made_choices", "made_last_word", "made_text"]


def made_questions() -> list[dict[str, Any]]:
    """English questions with four answers of different lengths, as lm-eval and as suites read them."""
    rng = np.random.default_rng(0)
    found = []
    for sentence in _sentences(40, seed=4):
        lengths = rng.permutation(4) + 1
        gold = int(rng.integers(4))
        choices = [" ".join(rng.choice(_WORDS, int(length))) for length in lengths]
        found.append({"question": sentence, "choices": choices, "gold": gold, "answer": gold})
    return found


def made_plain_task(folder: Path) -> str:
    """The questions without examples before them."""
    settings = {
        "output_type": "multiple_choice",
        "doc_to_text": "Question: {{question}}\nAnswer:",
        "doc_to_target": "gold",
        "doc_to_choice": "choices",
        "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}],
    }
    _task(folder, "made_plain", made_questions(), settings)
    return "made_plain"


def made_generation_task(folder: Path, answers: list[str] | None = None) -> str:
    """A task whose answers are generated; ``answers`` are what counts as right."""
    sentences = _sentences(6, seed=3)
    rows = [
        {"question": text, "gold": (answers or sentences)[number]} for number, text in enumerate(sentences)
    ]
    _task(
        folder,
        "made_generation",
        rows,
        {
            "output_type": "generate_until",
            "doc_to_text": "{{question}}",
            "doc_to_target": "{{gold}}",
            "generation_kwargs": {"until": ["\n"], "max_gen_toks": 12, "do_sample": False},
            "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
        },
    )
    return "made_generation"


def _task(folder: Path, name: str, rows: list[dict[str, Any]], settings: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    data = folder / f"{name}.jsonl"
    data.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    whole = {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(data)}},
        "test_split": "test",
        **settings,
    }
    # Every JSON is YAML.
    (folder / f"{name}.yaml").write_text(json.dumps(whole, ensure_ascii=False), encoding="utf-8")


def _sentences(number: int, *, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(_WORDS, int(rng.integers(4, 12)))) for _ in range(number)]
