"""Greedy text against transformers' generate, on a tiny random model in our folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from yanmo.generation.engine import Engine, SamplingParams
from yanmo.models.families import qwen3
from yanmo.models.folder import save_model
from yanmo.models.registry import load
from yanmo.models.transformer import Transformer
from yanmo.tokenizers.bpe import fit_bpe

transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tokenizer = fit_bpe(["hello world, how do you do? " * 9, "你好世界，你好吗？" * 9], 300)
    sizes = {"d_model": 32, "num_layers": 2, "num_heads": 4, "num_kv_heads": 2, "head_dim": 8, "d_ff": 64}
    torch.manual_seed(1)
    model = Transformer(qwen3.decoder(vocab_size=tokenizer.vocab_size, max_seq_len=128, **sizes))
    weights = {name: torch.randn_like(tensor) * 0.5 for name, tensor in model.state_dict().items()}
    path = tmp_path_factory.mktemp("golden") / "model"
    save_model(path, model, weights, tokenizer, dtype=torch.float32, details={}, card="# Tiny\n")
    return path


@pytest.mark.parametrize("repetition_penalty", [1.0, 1.3])
@pytest.mark.parametrize("prompt", ["hello", "你好，world! "])
def test_greedy_tokens_equal_transformers(folder: Path, prompt: str, repetition_penalty: float) -> None:
    loaded = load(folder)
    reference = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    prompt_ids = loaded.tokenizer.encode(prompt)
    expected = reference.generate(
        torch.tensor([prompt_ids]),
        attention_mask=torch.ones(1, len(prompt_ids), dtype=torch.int64),
        max_new_tokens=40,
        do_sample=False,
        repetition_penalty=repetition_penalty,
    )[0, len(prompt_ids) :].tolist()
    params = SamplingParams(temperature=0, max_tokens=40, repetition_penalty=repetition_penalty)
    answer = Engine(loaded.model, loaded.tokenizer).generate(prompt_ids, params)
    if answer.finish_reason == "stop":
        assert expected.pop() in (loaded.tokenizer.eos_id, loaded.tokenizer.im_end_id)
    assert list(answer.token_ids) == expected
    assert len(expected) > 5


def test_the_cache_changes_nothing_on_the_real_model(folder: Path) -> None:
    loaded = load(folder)
    engine = Engine(loaded.model, loaded.tokenizer)
    for params in (SamplingParams(temperature=0, max_tokens=60), SamplingParams(seed=1, max_tokens=60)):
        with_cache, without = (
            engine.generate_samples([5, 6, 7], params, num_samples=3, use_cache=use_cache)
            for use_cache in (True, False)
        )
        assert [a.token_ids for a in with_cache] == [a.token_ids for a in without]
        assert [a.text for a in with_cache] == [a.text for a in without]
        assert sum(len(a.token_ids) for a in with_cache) > 30
