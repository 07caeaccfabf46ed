"""Texts of unequal length that go on together get the scores that each gets alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from answers_made import decoder

from yanmo.compression.quantization import quantize_model
from yanmo.errors import InputError
from yanmo.models.families import FAMILIES, qwen3, t5
from yanmo.models.registry import load
from yanmo.models.rows import TransformerRows, why_alone
from yanmo.models.transformer import QUICK_ROWS, Transformer, TransformerConfig
from yanmo.nn.kernels import library
from yanmo.nn.position import PositionConfig, PositionKind, RopeConfig
from yanmo.nn.rope_scaling import RopeScaling, RopeScalingKind
from yanmo.nn.row_cache import RowCache

SIZES: dict[str, Any] = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 64,
    "rotary_pct": 0.5,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 8,
    "n_embd": 16,
    "n_head": 4,
    "n_layer": 4,
    "n_positions": 64,
    "sliding_window": 5,
}
OWN = {"d_model": 16, "num_layers": 2, "num_heads": 4, "head_dim": 4, "d_ff": 32, "max_seq_len": 64}


def of_family(model_type: str) -> TransformerConfig:
    return FAMILIES[model_type].read_config({"model_type": model_type, **SIZES}, where="config.json")


def changed(attention: dict[str, Any], **stack: Any) -> TransformerConfig:
    config = qwen3.decoder(vocab_size=50, num_kv_heads=2, **OWN)
    assert config.decoder is not None
    block = config.decoder.block
    block = replace(block, attention=replace(block.attention, **attention))
    return replace(config, decoder=replace(config.decoder, block=block, **stack))


CONFIGS = {
    **{name: of_family(name) for name in ("gpt2", "gpt_neox", "mistral", "gemma3_text", "olmo2", "mixtral")},
    "qwen3": changed({}),
    "window and softcap": changed({"window": 6, "softcap": 5.0}),
    "ALiBi": changed({}, position=PositionConfig(kind=PositionKind.ALIBI)),
    "relative bias": changed({}, position=PositionConfig(kind=PositionKind.RELATIVE_BIAS)),
    "sinusoidal": changed({}, position=PositionConfig(kind=PositionKind.SINUSOIDAL)),
}


def drawn(config: TransformerConfig) -> Transformer:
    torch.manual_seed(0)
    model = Transformer(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(0.0, 0.3)
    return model


def texts(lengths: tuple[int, ...], vocab_size: int) -> list[list[int]]:
    generator = torch.Generator().manual_seed(sum(lengths))
    return [torch.randint(vocab_size, (length,), generator=generator).tolist() for length in lengths]


def started(rows: TransformerRows, text: list[int], cut: int, *, room: int = 60) -> tuple[RowCache, Any]:
    """A text taken in, in pieces of ``cut`` tokens, and the scores behind it."""
    row, scores = rows.start(), None
    row.reserve(room)
    for start in range(0, len(text), cut):
        scores = rows.take_in([row], [text[start : start + cut]])
    return row, scores


def alone(model: Transformer, text: list[int], new: list[int]) -> torch.Tensor:
    session = model.start(1)
    return torch.cat([session.extend(torch.tensor([part])) for part in (text, *([token] for token in new))])


@pytest.mark.parametrize("name", CONFIGS)
def test_scores_are_those_of_each_text_alone(name: str) -> None:
    model = drawn(CONFIGS[name])
    rows = TransformerRows(model)
    before = texts((3, 17, 9), 50)
    new = texts((8, 8, 8), 50)
    given = [started(rows, text, cut) for text, cut in zip(before, (3, 4, 9), strict=True)]
    found = [[scores] for _, scores in given]
    for step in range(8):
        # The last one joins later; the first one leaves earlier.
        going = [place for place, since, until in ((0, 0, 5), (1, 0, 7), (2, 3, 7)) if since <= step <= until]
        scores_BV = rows.step([given[place][0] for place in going], [new[place][step] for place in going])
        for place, scores_V in zip(going, scores_BV, strict=True):
            found[place].append(scores_V[None])
    for place, taken in enumerate((new[0][:6], new[1], new[2][3:])):
        expected = alone(model, before[place], taken)
        assert expected.std() > 0.01
        torch.testing.assert_close(torch.cat(found[place]), expected, rtol=1e-4, atol=1e-5)


def test_a_copied_beginning_is_as_good_as_one_that_was_read() -> None:
    model = drawn(CONFIGS["qwen3"])
    rows = TransformerRows(model)
    text = texts((20,), 50)[0]
    source, _ = started(rows, text, 20)
    copy = rows.start()
    copy.reserve(12)
    copy.copy_from(source, 12)
    copy.reserve(40)
    assert (copy.num_tokens, copy.capacity, copy.num_bytes) == (12, 40, copy.bytes_for(40))
    scores = rows.take_in([copy], [[7, 8, 9]])
    torch.testing.assert_close(scores, alone(model, [*text[:12], 7, 8, 9], []))


@pytest.mark.parametrize("name", ["qwen3", "gpt2", "window and softcap"])
def test_pieces_of_several_prompts_are_read_together(name: str) -> None:
    model = drawn(CONFIGS[name])
    rows, before = TransformerRows(model), texts((9, 2, 14), 50)
    held = [rows.start() for _ in before]
    for row in held:
        row.reserve(20)
    rows.take_in(held[:1], [before[0][:4]])
    scores = rows.take_in(held, [before[0][4:], before[1], before[2]])
    torch.testing.assert_close(scores, torch.cat([alone(model, text, []) for text in before]))


def test_the_contexts_end_is_told() -> None:
    rows = TransformerRows(drawn(CONFIGS["qwen3"]))
    row, _ = started(rows, texts((64,), 50)[0], 64, room=65)
    with pytest.raises(InputError, match="65 tokens do not fit"):
        rows.step([row], [1])
    assert row.num_tokens == 64


@pytest.mark.skipif(not library.has_codes(), reason="no kernels here")
@pytest.mark.parametrize("num_rows", [1, 3, QUICK_ROWS + 3])
def test_codes_are_decoded_by_the_quick_step(num_rows: int, tmp_path: Path) -> None:
    quantize_model(decoder(tmp_path).path, tmp_path / "small", to="int8")
    model = load(tmp_path / "small").model
    assert isinstance(model, Transformer) and model.quick is not None
    rows = TransformerRows(model)
    before = texts(tuple(1 + row % 20 for row in range(num_rows)), model.vocab_size)
    new = texts((5,) * num_rows, model.vocab_size)
    given = [started(rows, text, 50)[0] for text in before]
    found = [rows.step(given, [row[step] for row in new]) for step in range(5)]
    for place, text in enumerate(before):
        expected = alone(model, text, new[place])[1:]
        # The same call of C, row by row.
        torch.testing.assert_close(torch.stack([scores[place] for scores in found]), expected)


def test_who_cannot_says_why() -> None:
    def scaled(kind: RopeScalingKind) -> TransformerConfig:
        factors = (1.0, 1.0) if kind is RopeScalingKind.LONGROPE else ()
        scaling = RopeScaling(
            kind=kind, original_max_seq_len=16, short_factors=factors, long_factors=factors, factor=2.0
        )
        return changed({}, position=PositionConfig(rope=RopeConfig(scaling=scaling)))

    assert "longer texts" in (why_alone(scaled(RopeScalingKind.DYNAMIC)) or "")
    assert "longer texts" in (why_alone(scaled(RopeScalingKind.LONGROPE)) or "")
    assert why_alone(scaled(RopeScalingKind.LINEAR)) is None
    assert why_alone(t5.encoder_decoder(vocab_size=50, **OWN)) == "it has an encoder"
    assert all(why_alone(config) is None for config in CONFIGS.values())
