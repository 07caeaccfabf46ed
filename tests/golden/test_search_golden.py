"""Beam search against transformers' generate, on a tiny random T5 and a tiny random decoder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from yanmo.generation.search import Asked, SearchParams, answer_many
from yanmo.models.families import qwen3, t5
from yanmo.models.folder import save_model
from yanmo.models.registry import LoadedModel, load
from yanmo.models.transformer import Transformer, TransformerConfig
from yanmo.tokenizers.bpe import fit_bpe
from yanmo.tokenizers.load import Tokenizer
from yanmo.tokenizers.purpose import Purpose

transformers = pytest.importorskip("transformers")

TEXTS = ["hello world, how do you do? " * 9, "你好世界，你好吗？" * 9]
SOURCES = ["hello", "你好，world! how do you do", "世界 world 好吗 hello hello hello", "do"]
SIZES = {"d_model": 32, "num_layers": 2, "num_heads": 4, "head_dim": 8, "d_ff": 64, "max_seq_len": 64}


def _save(folder: Path, config: TransformerConfig, tokenizer: Tokenizer, model_type: str) -> LoadedModel:
    torch.manual_seed(3)
    model = Transformer(config)
    weights = {name: torch.randn_like(tensor) * 0.4 for name, tensor in model.state_dict().items()}
    save_model(
        folder,
        model,
        weights,
        tokenizer,
        dtype=torch.float32,
        details={},
        card="# Tiny\n",
        model_type=model_type,
    )
    return load(folder)


@pytest.fixture(scope="module")
def seq2seq(tmp_path_factory: pytest.TempPathFactory) -> tuple[LoadedModel, nn.Module]:
    folder = tmp_path_factory.mktemp("golden") / "t5"
    tokenizer = fit_bpe(TEXTS, 480, Purpose.DENOISING)
    loaded = _save(folder, t5.encoder_decoder(vocab_size=tokenizer.vocab_size, **SIZES), tokenizer, "t5")
    return loaded, transformers.AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=torch.float32)


@pytest.mark.parametrize("num_beams", [1, 2, 4])
@pytest.mark.parametrize("length_penalty", [0.0, 0.7, 1.0, 2.0])
def test_answers_of_an_encoder_decoder_equal_transformers(
    seq2seq: tuple[LoadedModel, nn.Module], num_beams: int, length_penalty: float
) -> None:
    loaded, reference = seq2seq
    tokenizer = loaded.tokenizer
    # Likely ends: the token that random weights like best.
    end_ids = frozenset({tokenizer.eos_id, 120, 200})
    sources = [tokenizer.encode_with_specials(text).ids for text in SOURCES]
    first_ids = loaded.generation.first_ids
    found = answer_many(
        loaded.model,
        [Asked(first_ids=first_ids, source_ids=ids, max_tokens=12) for ids in sources],
        SearchParams(
            num_beams=num_beams,
            num_best=num_beams,
            length_penalty=length_penalty,
            end_ids=end_ids,
            vocab_size=tokenizer.vocab_size,
        ),
    )
    for ids, answers in zip(sources, found, strict=True):
        wanted = reference.generate(
            torch.tensor([ids]),
            attention_mask=torch.ones(1, len(ids), dtype=torch.int64),
            do_sample=False,
            num_beams=num_beams,
            num_return_sequences=num_beams,
            length_penalty=length_penalty,
            max_new_tokens=12,
            eos_token_id=sorted(end_ids),
            return_dict_in_generate=True,
            output_scores=True,
        )
        assert [list(answer.token_ids) for answer in answers] == [
            _cut(row[1:].tolist(), end_ids) for row in wanted.sequences
        ]
        if num_beams > 1:
            torch.testing.assert_close(
                torch.tensor([answer.score for answer in answers]), wanted.sequences_scores, atol=1e-4, rtol=0
            )


def _cut(ids: list[int], end_ids: frozenset[int]) -> list[int]:
    ends = [place for place, token in enumerate(ids) if token in end_ids]
    return ids[: ends[0]] if ends else ids


def test_prompts_of_unequal_length_are_answered_as_each_alone(tmp_path: Path) -> None:
    tokenizer = fit_bpe(TEXTS, 300)
    config = qwen3.decoder(vocab_size=tokenizer.vocab_size, num_kv_heads=2, **SIZES)
    loaded = _save(tmp_path / "model", config, tokenizer, "qwen3")
    reference = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype=torch.float32)
    prompts = [tokenizer.encode(text) for text in SOURCES]
    params = SearchParams(
        end_ids=frozenset({tokenizer.eos_id}), barred_ids=(5, 77), vocab_size=tokenizer.vocab_size
    )
    asked = [Asked(first_ids=ids, max_tokens=6 + row) for row, ids in enumerate(prompts)]
    together = answer_many(loaded.model, asked, params)
    for row, (one, answers) in enumerate(zip(asked, together, strict=True)):
        wanted = reference.generate(
            torch.tensor([list(one.first_ids)]),
            attention_mask=torch.ones(1, len(one.first_ids), dtype=torch.int64),
            do_sample=False,
            max_new_tokens=6 + row,
            eos_token_id=tokenizer.eos_id,
            suppress_tokens=[5, 77],
        )[0, len(one.first_ids) :].tolist()
        assert list(answers[0].token_ids) == _cut(wanted, params.end_ids)
        assert answers[0].token_ids


@pytest.mark.parametrize("num_beams", [2, 5])
def test_beams_of_a_decoder_equal_transformers(tmp_path: Path, num_beams: int) -> None:
    tokenizer = fit_bpe(TEXTS, 300)
    config = qwen3.decoder(vocab_size=tokenizer.vocab_size, num_kv_heads=2, **SIZES)
    loaded = _save(tmp_path / "model", config, tokenizer, "qwen3")
    reference = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype=torch.float32)
    generator = torch.Generator().manual_seed(num_beams)
    prompts = torch.randint(0, tokenizer.num_text_ids, (25, 6), generator=generator)
    # Some of what random weights say ends an answer.
    end_ids = frozenset({tokenizer.eos_id, *range(0, tokenizer.num_text_ids, 9)})
    found = answer_many(
        loaded.model,
        [Asked(first_ids=prompt, max_tokens=8) for prompt in prompts.tolist()],
        SearchParams(
            num_beams=num_beams, num_best=num_beams, end_ids=end_ids, vocab_size=tokenizer.vocab_size
        ),
    )
    wanted = reference.generate(
        prompts,
        attention_mask=torch.ones_like(prompts),
        do_sample=False,
        num_beams=num_beams,
        num_return_sequences=num_beams,
        max_new_tokens=8,
        eos_token_id=sorted(end_ids),
        return_dict_in_generate=True,
        output_scores=True,
    )
    answers = [answer for best in found for answer in best]
    assert [list(answer.token_ids) for answer in answers] == [
        _cut(row[6:].tolist(), end_ids) for row in wanted.sequences
    ]
    scores = torch.tensor([answer.score for answer in answers])
    torch.testing.assert_close(scores, wanted.sequences_scores, atol=1e-4, rtol=0)
    assert {answer.has_ended for answer in answers} == {True, False}
