"""Decoding by one call of C: the same answers as torch's operators, to what coded vectors allow."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from answers_made import decoder

from yanmo.compression.quantization import quantize_model
from yanmo.models import quick_decoding
from yanmo.models.registry import load
from yanmo.models.transformer import QUICK_ROWS, Transformer
from yanmo.nn.held_weight import hold_as_numbers
from yanmo.nn.kernels import library

needs_kernels = pytest.mark.skipif(not library.has_codes(), reason="no kernels here")


def quantised(folder: Path, to: str) -> Transformer:
    source = decoder(folder).path
    quantize_model(source, folder / to, to=to)
    model = load(folder / to).model
    assert isinstance(model, Transformer)
    return model


def steps(model: Transformer, tokens_BT: torch.Tensor, prefill: int) -> torch.Tensor:
    session = model.start(len(tokens_BT))
    given = [session.extend(tokens_BT[:, :prefill])] if prefill else []
    given += [session.extend(token_B1) for token_B1 in tokens_BT[:, prefill:].split(1, dim=1)]
    return torch.stack(given, dim=1)


@needs_kernels
@pytest.mark.parametrize("to", ["int8", "int4"])
@pytest.mark.parametrize(("rows", "prefill"), [(1, 5), (3, 0), (8, 5)])
def test_logits_are_those_of_operators(to: str, rows: int, prefill: int, tmp_path: Path) -> None:
    model = quantised(tmp_path, to)
    assert model.quick is not None
    generator = torch.Generator().manual_seed(rows)
    tokens_BT = torch.randint(0, model.vocab_size, (rows, 80), generator=generator)
    quick = steps(model, tokens_BT, prefill)
    model.quick = None
    by_layers = steps(model, tokens_BT, prefill)
    # Sums of another order round a few codes the other way.
    assert (quick - by_layers).abs().median() < 1e-5 * by_layers.std()
    hold_as_numbers(model)
    expected = steps(model, tokens_BT, prefill)
    assert (quick - expected).abs().max() > 0, "vectors were not coded"
    # Vectors of 8 bits are off by up to 1/254 of a group's largest number.
    assert (quick - expected).abs().mean() < 0.02 * expected.std()
    assert (quick - expected).abs().max() < 0.2 * expected.std()


@needs_kernels
@pytest.mark.parametrize(("rows", "tokens"), [(1, 2), (1, 7), (3, 5), (2, 40)])
def test_several_tokens_are_judged_as_one_by_one(rows: int, tokens: int, tmp_path: Path) -> None:
    model = quantised(tmp_path, "int4")
    tokens_BT = torch.arange(rows * (tokens + 3)).view(rows, -1) % model.vocab_size
    one_by_one = steps(model, tokens_BT, 3)[:, 1:]
    session = model.start(rows)
    session.extend(tokens_BT[:, :3])
    found = session.extend_each(tokens_BT[:, 3:])
    assert session.num_tokens == tokens + 3
    if rows * tokens <= QUICK_ROWS:
        assert torch.equal(found, one_by_one)
    # Sums of another order round a few codes the other way.
    assert (found - one_by_one).abs().median() < 1e-5 * one_by_one.std()
    session.rollback(4)
    assert torch.equal(session.extend(tokens_BT[:, 4:5]), one_by_one[:, 1])


@needs_kernels
def test_a_token_that_is_taken_back_leaves_nothing(tmp_path: Path) -> None:
    model = quantised(tmp_path, "int4")
    session = model.start(1)
    session.extend(torch.tensor([[3, 4, 5]]))
    first = session.extend(torch.tensor([[6]]))
    session.rollback(3)
    session.extend(torch.tensor([[9]]))
    session.rollback(3)
    assert torch.equal(session.extend(torch.tensor([[6]])), first)
    session.select(torch.tensor([0, 0]))
    rows = session.extend(torch.tensor([[7], [7]]))
    assert torch.equal(rows[0], rows[1])


@needs_kernels
def test_codes_are_multiplied_whatever_type_is_asked_for(tmp_path: Path) -> None:
    quantize_model(decoder(tmp_path).path, tmp_path / "small", to="int8")
    tokens_BT = torch.arange(12).view(1, 12)
    found = []
    for dtype in (torch.float32, torch.bfloat16):
        model = load(tmp_path / "small", dtype=dtype).model
        assert isinstance(model, Transformer) and model.quick is not None
        found.append(steps(model, tokens_BT, 5))
    assert torch.equal(*found)


@needs_kernels
@pytest.mark.parametrize(("rows", "prefill"), [(1, 5), (5, 0)])
def test_bfloat16_weights_take_the_quick_way(rows: int, prefill: int, tmp_path: Path) -> None:
    source = decoder(tmp_path).path
    model = load(source, dtype=torch.bfloat16).model
    assert isinstance(model, Transformer) and model.quick is not None
    assert sum(weight.nbytes for weight in model.parameters()) < 2.1 * model.config.num_parameters
    tokens_BT = torch.arange(rows * 30).view(rows, 30) % model.vocab_size
    quick = steps(model, tokens_BT, prefill)
    model.quick = None
    by_layers = steps(model, tokens_BT, prefill)
    torch.testing.assert_close(quick, by_layers, rtol=1e-3, atol=1e-3)
    expected = steps(rounded(source), tokens_BT, prefill)
    # Vectors may be rounded too (nn/kernels/products.h): to 8 binary digits, in each product of two layers.
    torch.testing.assert_close(quick, expected, rtol=0.0, atol=0.05 * expected.std().item())


def rounded(source: Path) -> Transformer:
    model = load(source).model
    assert isinstance(model, Transformer)
    for weight in model.parameters():
        weight.data = weight.data.bfloat16().float()
    return model


@needs_kernels
def test_a_kernel_that_decodes_wrongly_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    right = library.decode_step

    def wrong(decoder: int, vectors: int, logits: int, cosines: int, *others: int) -> None:
        # As if nothing were turned by its position.
        right(decoder, vectors, logits, cosines, cosines, *others[1:])

    monkeypatch.setattr(library, "decode_step", wrong)
    quick_decoding._is_right.cache_clear()
    try:
        assert quantised(tmp_path, "int4").quick is None
    finally:
        quick_decoding._is_right.cache_clear()
    assert caplog.messages == ["the kernel that decodes computes wrong numbers: torch's operators are used"]
