from __future__ import annotations

import pytest
import torch
from adapted_made import batches, classify, network

from yanmo.errors import InputError
from yanmo.finetuning.batches import PackedBatch
from yanmo.finetuning.hidden_words import HiddenWords
from yanmo.models.base import Trainable
from yanmo.nn.packing import Segments
from yanmo.tokenizers.bpe import fit_bpe
from yanmo.tokenizers.load import Tokenizer
from yanmo.tokenizers.purpose import Purpose
from yanmo.training.objective import LossSum

TEXTS = ["研墨 grinds ink before writing 。"] * 3
BATCH = batches(6, batch_size=6).rows(0, range(6))


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return fit_bpe(TEXTS, vocab_size=320, purpose=Purpose.MASKED)


class Seen:
    """An objective that keeps what it is given."""

    def __init__(self) -> None:
        self.tokens: list[torch.Tensor] = []

    def __call__(self, model: Trainable, batch: PackedBatch) -> LossSum:
        self.tokens.append(batch.tokens_1N)
        return LossSum(torch.zeros(()), len(batch.targets))


def test_a_share_of_the_words_is_hidden_and_no_special_token(tokenizer: Tokenizer) -> None:
    ids = [tokenizer.cls_id, *tokenizer.encode(TEXTS[0]), tokenizer.sep_id]
    batch = PackedBatch(
        tokens_1N=torch.tensor([ids * 2]),
        segments=Segments([len(ids)] * 2),
        types_1N=None,
        targets=torch.ones(2),
    )
    model, seen = network("bert").train(), Seen()
    objective = HiddenWords(seen, tokenizer, share=0.3)
    torch.manual_seed(0)
    for _ in range(300):
        objective(model, batch)
    changed = torch.stack(seen.tokens) != batch.tokens_1N
    assert (torch.stack(seen.tokens)[changed] == tokenizer.mask_id).all()
    shares = changed.float().mean(0)[0].view(2, len(ids))
    assert shares[:, (0, -1)].sum() == 0
    assert shares[:, 1:-1].min() > 0.15 and shares[:, 1:-1].mean().item() == pytest.approx(0.3, abs=0.02)


def test_judging_hides_nothing(tokenizer: Tokenizer) -> None:
    seen = Seen()
    with torch.no_grad():
        HiddenWords(seen, tokenizer, share=0.9)(network("bert"), BATCH)
    assert torch.equal(seen.tokens[0], BATCH.tokens_1N)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1])
def test_a_share_that_is_none_is_refused(tokenizer: Tokenizer, share: float) -> None:
    with pytest.raises(InputError, match="between 0 and 1"):
        HiddenWords(classify, tokenizer, share=share)


def test_a_tokenizer_without_a_mask_is_refused() -> None:
    with pytest.raises(InputError, match="has none"):
        HiddenWords(classify, fit_bpe(TEXTS, vocab_size=320), share=0.3)
