from __future__ import annotations

import pytest
import torch
from torch import Tensor

from yanmo.models.families import gpt2, t5
from yanmo.models.transformer import Transformer
from yanmo.nn.packing import Segments, is_ragged, pack_lists

SOURCES = [7, 7, 8, 9, 9, 9, 10, 11, 12, 13, 14]
TARGETS = [3, 9, 5, 2, 4, 6, 1, 8, 7, 5, 10]


def texts(lengths: list[int]) -> list[list[int]]:
    generator = torch.Generator().manual_seed(sum(lengths))
    return [torch.randint(0, 50, (length,), generator=generator).tolist() for length in lengths]


def drawn(model: Transformer) -> Transformer:
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator) * 0.3)
    return model


def gradients(model: Transformer, loss: Tensor) -> dict[str, Tensor]:
    loss.backward()
    found = {
        name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None
    }
    model.zero_grad()
    return found


def test_texts_of_many_lengths_stand_as_rows_and_come_back() -> None:
    segments = Segments([2, 3, 1])
    x = torch.arange(12.0).view(1, 6, 2).requires_grad_()
    rows = segments.spread(x)
    assert rows.shape == (3, 3, 2)
    assert torch.equal(rows[1], x[0, 2:5]) and torch.equal(rows[2, 0], x[0, 5])
    assert torch.equal(segments.joined(rows), x)
    (segments.joined(rows) * torch.arange(12.0).view(1, 6, 2)).sum().backward()
    assert x.grad is not None and torch.equal(x.grad, torch.arange(12.0).view(1, 6, 2))


def test_only_short_texts_of_many_lengths_are_padded() -> None:
    assert is_ragged(Segments(TARGETS), Segments(SOURCES))
    assert not is_ragged(Segments([5] * 40), Segments([5] * 40))
    assert not is_ragged(Segments(range(1, 9)), Segments(range(1, 9)))
    assert not is_ragged(Segments([*TARGETS, 129]), Segments([*SOURCES, 9]))
    assert not is_ragged(Segments([1] * 40 + list(range(1, 60, 5))), Segments([1] * 52))


@pytest.mark.parametrize("divided", [True, False])
def test_an_encoder_decoder_says_the_same_of_texts_in_rows_and_alone(divided: bool) -> None:
    sizes = {"vocab_size": 50, "d_model": 16, "num_layers": 2, "num_heads": 2, "head_dim": 8, "d_ff": 32}
    config = t5.encoder_decoder(max_seq_len=32, **sizes)
    if not divided:
        config = t5.read_config(t5.write_config(config))
    model = drawn(Transformer(config))
    sources, targets = texts(SOURCES), texts(TARGETS)
    packed_1S, source_segments = pack_lists(sources)
    packed_1T, segments = pack_lists(targets)
    assert is_ragged(segments, source_segments)
    hidden = model.hidden(
        packed_1T, segments=segments, memory=model.encode(packed_1S, segments=source_segments)
    )
    alone = [
        model.hidden(torch.tensor([target]), memory=model.encode(torch.tensor([source])))
        for source, target in zip(sources, targets, strict=True)
    ]
    torch.testing.assert_close(hidden, torch.cat(alone, dim=1), atol=1e-5, rtol=1e-5)
    weights = torch.sin(torch.arange(hidden.numel()).view_as(hidden).float())
    together = gradients(model, (hidden * weights).sum())
    parts = gradients(model, (torch.cat(alone, dim=1) * weights).sum())
    for name, grad in parts.items():
        torch.testing.assert_close(together[name], grad, atol=2e-5, rtol=1e-4, msg=name)


def test_a_decoder_with_learned_positions_says_the_same_of_texts_in_rows_and_alone() -> None:
    config = gpt2.read_config(
        {"model_type": "gpt2", "vocab_size": 50, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 32}
    )
    model = drawn(Transformer(config))
    packed_1T, segments = pack_lists(texts(TARGETS))
    assert is_ragged(segments, segments)
    alone = [model.hidden(torch.tensor([text])) for text in texts(TARGETS)]
    hidden = model.hidden(packed_1T, segments=segments)
    torch.testing.assert_close(hidden, torch.cat(alone, dim=1), atol=1e-5, rtol=1e-5)
