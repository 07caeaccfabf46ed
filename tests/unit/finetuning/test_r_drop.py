from __future__ import annotations

import pytest
import torch
from adapted_made import batches, classify, gradients, network, repeat
from torch import Tensor
from torch.nn import functional

from yanmo.errors import InputError
from yanmo.finetuning.batches import PackedBatch
from yanmo.finetuning.r_drop import RDrop, of_classes, of_numbers, of_several, of_spans, of_tags
from yanmo.models.base import Trainable
from yanmo.nn.packing import Segments
from yanmo.training.objective import LossSum

BATCH = batches(6, batch_size=6).rows(0, range(6))
LENGTHS = [2, 3, 4]


def test_the_loss_is_the_mean_of_both_and_half_the_weight_of_how_far_they_are_apart() -> None:
    model = network("bert").train()
    model.set_dropout(0.4)
    torch.manual_seed(3)
    scores = [model(BATCH.tokens_1N, segments=BATCH.segments) for _ in range(2)]
    shares = [torch.log_softmax(one, -1) for one in scores]
    apart = sum(
        functional.kl_div(one, other, reduction="sum", log_target=True)
        for one, other in (shares, shares[::-1])
    )
    losses = [functional.cross_entropy(one, BATCH.targets, reduction="sum") for one in scores]
    expected = sum(losses) / 2 + 3.0 / 2 * apart / 2
    torch.manual_seed(3)
    found = RDrop(classify, of_classes, weight=3.0)(model, BATCH)
    assert apart.item() > 0.01
    assert found.num_tokens == 6 and float(found.loss_nats) == pytest.approx(float(expected), rel=1e-5)
    weights = list(model.parameters())
    pairs = zip(*(torch.autograd.grad(x, weights) for x in (found.loss_nats, expected)), strict=True)
    for one, other in pairs:
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_packed_alone_and_accumulated_give_the_same_gradient() -> None:
    model, objective = network("bert").train(), RDrop(classify, of_classes, weight=1.0)
    whole, plain = gradients(model, objective, [range(6)]), gradients(model, classify, [range(6)])
    alone = gradients(model, objective, [range(i, i + 1) for i in range(6)])
    for name, gradient in whole.items():
        torch.testing.assert_close(gradient, alone[name], rtol=1e-4, atol=1e-5)
        # Without dropout both passes agree.
        torch.testing.assert_close(gradient, plain[name], rtol=1e-4, atol=1e-5)


def test_without_dropout_or_gradients_it_is_the_plain_objective() -> None:
    model, objective = network("bert").eval(), RDrop(classify, of_classes)
    calls = []

    def counted(model: Trainable, batch: PackedBatch) -> LossSum:
        calls.append(1)
        return classify(model, batch)

    objective = RDrop(counted, of_classes)
    assert torch.equal(objective(model, BATCH).loss_nats, classify(model, BATCH).loss_nats)
    with torch.no_grad():
        objective(model.train(), BATCH)
    assert len(calls) == 2
    objective(model, BATCH)
    assert len(calls) == 4


def test_a_loss_without_a_head_is_refused() -> None:
    with pytest.raises(InputError, match="R-Drop compares what a head says"):
        RDrop(repeat, of_classes)(network("gpt2").train(), BATCH)
    with pytest.raises(InputError, match="weight"):
        RDrop(classify, of_classes, weight=0.0)


def piece(outputs: Tensor, targets: Tensor, lengths: list[int]) -> tuple[Tensor, PackedBatch]:
    tokens = torch.zeros(1, sum(lengths), dtype=torch.int64)
    return outputs, PackedBatch(tokens_1N=tokens, segments=Segments(lengths), types_1N=None, targets=targets)


DIVERGENCES = {
    "classes": of_classes,
    "several": of_several,
    "numbers": of_numbers,
    "tags": of_tags,
    "spans": of_spans,
}


@pytest.mark.parametrize("name", DIVERGENCES)
def test_divergences_are_sums_over_texts_symmetric_and_zero_of_the_same(name: str) -> None:
    divergence, generator = DIVERGENCES[name], torch.Generator().manual_seed(0)
    of_tokens = name in ("tags", "spans")
    width = {"numbers": 1, "spans": 2}.get(name, 4)
    shape = (1, sum(LENGTHS), width) if of_tokens else (len(LENGTHS), width)
    one, other = (torch.randn(shape, generator=generator) for _ in range(2))
    targets = torch.tensor([-100, 1, -100, 2, 0, -100, 3, 1, -100]) if name == "tags" else torch.zeros(3)
    _, batch = piece(one, targets, LENGTHS)
    whole = divergence(one, other, batch)
    assert float(whole) > 0.1
    assert float(whole) == pytest.approx(float(divergence(other, one, batch)), rel=1e-5)
    assert float(divergence(one, one, batch)) == 0
    summed, start = 0.0, 0
    for number, length in enumerate(LENGTHS):
        rows = slice(start, start + length) if of_tokens else slice(number, number + 1)
        cut = (slice(None), rows) if of_tokens else rows
        _, alone = piece(one[cut], targets[rows], [length])
        summed += float(divergence(one[cut], other[cut], alone))
        start += length
    assert summed == pytest.approx(float(whole), rel=1e-4)


def test_tokens_without_a_target_do_not_count() -> None:
    generator = torch.Generator().manual_seed(0)
    one = torch.randn(1, 4, 3, generator=generator)
    other = one.clone()
    other[0, 2] += torch.tensor([1.0, -1.0, 0.0])
    _, batch = piece(one, torch.tensor([0, 1, -100, 2]), [4])
    assert float(of_tags(one, other, batch)) == 0
    _, batch = piece(one, torch.tensor([0, 1, 0, 2]), [4])
    assert float(of_tags(one, other, batch)) > 0.1
