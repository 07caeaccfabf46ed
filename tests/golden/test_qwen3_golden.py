"""Our decoder against transformers' Qwen3ForCausalLM on the same folder: logits, cache, greedy text."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from yanmo.models.families import qwen3
from yanmo.models.folder import save_model
from yanmo.models.registry import load
from yanmo.models.transformer import Transformer
from yanmo.tokenizers.load import Tokenizer
from yanmo.tokenizers.train import fit_bpe

transformers = pytest.importorskip("transformers")

TEXTS = ["The quick brown fox jumps over the lazy dog. " * 20, "研墨者，磨墨也。墨磨成而后书。" * 20]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return fit_bpe(TEXTS, 400)


def random_model(tokenizer: Tokenizer, *, tied: bool, num_kv_heads: int) -> Transformer:
    torch.manual_seed(1)
    model = Transformer(
        qwen3.decoder(
            vocab_size=tokenizer.vocab_size,
            d_model=48,
            num_layers=3,
            num_heads=4,
            num_kv_heads=num_kv_heads,
            head_dim=16,
            d_ff=96,
            max_seq_len=64,
            tied_embeddings=tied,
        )
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return model.eval()


@pytest.mark.parametrize(("tied", "num_kv_heads"), [(True, 2), (False, 4), (True, 1)])
def test_same_logits_and_greedy_text_as_transformers(
    tmp_path: Path, tokenizer: Tokenizer, tied: bool, num_kv_heads: int
) -> None:
    model = random_model(tokenizer, tied=tied, num_kv_heads=num_kv_heads)
    weights = dict(model.named_parameters())
    save_model(tmp_path / "m", model, weights, tokenizer, dtype=torch.float32, details={}, card="")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "m", attn_implementation="eager")
    theirs.eval()
    assert type(theirs).__name__ == "Qwen3ForCausalLM"
    ours = load(tmp_path / "m").model
    assert isinstance(ours, Transformer)
    tokens_BT = torch.randint(0, tokenizer.vocab_size, (3, 50))
    with torch.inference_mode():
        expected_BTV = theirs(tokens_BT).logits
        torch.testing.assert_close(ours(tokens_BT), expected_BTV, atol=1e-4, rtol=1e-4)
        session = ours.start(3)
        for index in range(12):
            scores_BV = session.extend(tokens_BT[:, index : index + 1])
            torch.testing.assert_close(scores_BV, expected_BTV[:, index], atol=1e-4, rtol=1e-4)
        prompt = tokens_BT[:1, :10]
        expected = theirs.generate(prompt, max_new_tokens=30, do_sample=False, eos_token_id=None)[0, 10:]
        session, tokens, greedy = ours.start(1), prompt, []
        for _ in range(30):
            tokens = session.extend(tokens).argmax(-1, keepdim=True)
            greedy.append(int(tokens))
    assert greedy == expected.tolist()


def test_token_losses_equal_cross_entropy_of_transformers_logits(
    tmp_path: Path, tokenizer: Tokenizer
) -> None:
    model = random_model(tokenizer, tied=True, num_kv_heads=2)
    weights = dict(model.named_parameters())
    save_model(tmp_path / "m", model, weights, tokenizer, dtype=torch.float32, details={}, card="")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "m").eval()
    tokens_BT = torch.randint(0, tokenizer.vocab_size, (2, 40))
    with torch.inference_mode():
        logits_BTV = theirs(tokens_BT[:, :-1]).logits
        expected = torch.nn.functional.cross_entropy(
            logits_BTV.transpose(1, 2), tokens_BT[:, 1:], reduction="none"
        )
    torch.testing.assert_close(
        load(tmp_path / "m").model.token_losses(tokens_BT), expected, atol=1e-4, rtol=1e-4
    )


def test_weights_of_transformers_are_read(tmp_path: Path, tokenizer: Tokenizer) -> None:
    config = transformers.Qwen3Config(
        vocab_size=tokenizer.vocab_size,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        intermediate_size=64,
        max_position_embeddings=128,
        tie_word_embeddings=False,
    )
    torch.manual_seed(0)
    theirs = transformers.Qwen3ForCausalLM(config).eval()
    theirs.save_pretrained(tmp_path / "theirs")
    tokenizer.save(tmp_path / "theirs")
    ours = load(tmp_path / "theirs").model
    assert isinstance(ours, Transformer)
    tokens_BT = torch.randint(0, tokenizer.vocab_size, (2, 60))
    with torch.inference_mode():
        torch.testing.assert_close(ours(tokens_BT), theirs(tokens_BT).logits, atol=1e-4, rtol=1e-4)
