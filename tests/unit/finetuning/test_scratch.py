from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from answers_made import ORIGIN, PAIRS

from yanmo.errors import InputError
from yanmo.finetuning.scratch import Work, sequence_to_sequence
from yanmo.models.registry import load
from yanmo.models.transformer import Transformer
from yanmo.tasks.examples import Seq2SeqExample

MACHINE: Any = SimpleNamespace(gemm_flop_per_s=3e11)


def test_a_fresh_model_is_trained_as_it_is_and_written_as_others_read_it(tmp_path: Path) -> None:
    made = sequence_to_sequence(PAIRS * 9, machine=MACHINE, size=(1, 64))
    checkpoint = made.save(tmp_path / "scratch", details={})
    skill = made.skill("translation", checkpoint)
    assert skill.form is not None and skill.form.first_ids == (made.tokenizer.pad_id,)
    assert skill.form.num_beams == 5 and skill.form.end_ids == (made.tokenizer.eos_id,)
    read = load(tmp_path / "scratch").model
    assert isinstance(read, Transformer)
    with torch.no_grad():
        for name, weight in made.network.named_parameters():
            weight.normal_() if name.endswith(("out.weight", "down.weight", "output.weight")) else None
        made.save(tmp_path / "moved", details={})
        read = load(tmp_path / "moved").model
        assert isinstance(read, Transformer)
        source, target = torch.tensor([[5, 6, 7]]), torch.tensor([[1, 9, 8]])
        ours, theirs = (model(target, memory=model.encode(source)) for model in (made.network, read))
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_the_first_weights_follow_from_the_seed() -> None:
    first, again, other = (
        sequence_to_sequence(PAIRS, machine=MACHINE, size=(1, 64), seed=seed) for seed in (1, 1, 2)
    )
    assert first.tokenizer.sha256 == again.tokenizer.sha256
    assert first.network.embedding.weight.equal(again.network.embedding.weight)
    assert not first.network.embedding.weight.equal(other.network.embedding.weight)


def test_more_pairs_and_more_time_give_a_larger_model() -> None:
    few = Work(num_tokens=9_000, vocab_size=1024, flop_per_s=1.2e11)
    many = Work(num_tokens=900_000, vocab_size=4096, flop_per_s=1.2e11)
    assert few.choose_size(None) == few.choose_size(3600) == (2, 128)
    assert many.choose_size(60)[1] < many.choose_size(1800)[1] <= many.choose_size(None)[1]
    assert many.choose_size(1800) == (3, 256)
    epochs = [many.epochs(3, 256, budget_s) for budget_s in (900, 1800, None)]
    assert epochs[0] * 2 == pytest.approx(epochs[1]) and epochs[2] == 30


def test_pairs_without_targets_teach_nothing() -> None:
    unlabelled = [Seq2SeqExample(source="a man", targets=None, origin=ORIGIN)]
    with pytest.raises(InputError, match="no target to learn from"):
        sequence_to_sequence(unlabelled, machine=MACHINE)
