"""What run.toml says of a run, and what an earlier one means."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from yanmo.config import read_toml, to_toml
from yanmo.corpus.store import Corpus, CorpusSummary
from yanmo.errors import InputError
from yanmo.models.lstm import LstmConfig, LstmModel, save_lstm
from yanmo.planning.candidate import Wishes
from yanmo.recipes.run_folder import RunFolder
from yanmo.recipes.settings import PretrainSettings, recorded, recorded_before
from yanmo.recipes.start import GoingOn
from yanmo.tokenizers.train import fit_bpe

EARLIER = """command = "pretrain"
corpus = "{corpus}"
corpus_sha256 = "abc"
budget_s = 60.0
seed = 0

[wishes]
d_model = 64
"""


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    counts: dict[str, int] = {}
    summary = CorpusSummary(
        path=tmp_path,
        num_documents=0,
        num_bytes=0,
        num_characters=0,
        rejected=counts,
        cleaned=counts,
        splits={},
        split_by="",
        sha256="abc",
    )
    return Corpus(tmp_path, summary)


@pytest.fixture
def earlier(tmp_path: Path) -> RunFolder:
    """A run that was begun when there was one shape and one objective."""
    run = RunFolder(tmp_path / "run")
    run.path.mkdir()
    (run.path / "run.toml").write_text(EARLIER.format(corpus=tmp_path.resolve()))
    (run.path / "checkpoints" / "batch-00000001").mkdir(parents=True)
    return run


def test_a_run_of_an_earlier_version_goes_on(corpus: Corpus, earlier: RunFolder) -> None:
    same = PretrainSettings(budget_s=60.0, wishes=Wishes(d_model=64))
    earlier.open(recorded(corpus, same), earlier=recorded_before(), force=False)
    other_machine = PretrainSettings(
        budget_s=60.0, wishes=Wishes(d_model=64), device="cpu", parallelism="sharded", checkpoint_every_s=5.0
    )
    earlier.open(recorded(corpus, other_machine), earlier=recorded_before(), force=False)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"shape": "lstm"}, "shape (decoder there, lstm now)"),
        ({"shape": "encoder"}, "objective (causal there, masked now), shape (decoder there, encoder now)"),
        ({"shape": "encoder", "whole_words": True}, "whole_words (False there, True now)"),
        ({"shape": "encoder", "mask_share": 0.2}, "mask_share (not given there, 0.2 now)"),
        ({"seed": 3}, "seed (0 there, 3 now)"),
        (
            {"wishes": Wishes(d_model=32, num_layers=2)},
            "other settings: d_model (64 there, 32 now), num_layers (not given there, 2 now) (",
        ),
    ],
)
def test_it_is_another_run_where_a_new_setting_says_so(
    corpus: Corpus, earlier: RunFolder, changed: dict[str, Any], message: str
) -> None:
    settings = PretrainSettings(**{"budget_s": 60.0, "wishes": Wishes(d_model=64), **changed})
    with pytest.raises(InputError) as refused:
        earlier.open(recorded(corpus, settings), earlier=recorded_before(), force=False)
    assert message in str(refused.value)


def test_a_command_that_trained_nothing_is_in_nobodys_way(corpus: Corpus, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    refused = PretrainSettings(budget_s=1.0)
    run.open(recorded(corpus, refused), earlier=recorded_before(), force=False)
    run.write("plan.json", {})
    (run.path / "train.log").write_text("mine")
    other = recorded(corpus, PretrainSettings(budget_s=60.0))
    with run.lock(), pytest.raises(InputError, match="another process is working on this run"):
        RunFolder(run.path).open(other, earlier=recorded_before(), force=False)
    run.open(other, earlier=recorded_before(), force=False)
    assert read_toml(run.path / "run.toml")["budget_s"] == 60.0
    assert run.read("plan.json") is None and (run.path / "train.log").is_file()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"seed": -1}, "--seed must be 0 or more, not -1"),
        ({"wishes": Wishes(dropout=1.0)}, "--dropout must be at least 0 and below 1, not 1"),
        ({"wishes": Wishes(dropout=float("nan"))}, "--dropout must be at least 0 and below 1, not nan"),
    ],
)
def test_settings_out_of_range_are_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as refused:
        PretrainSettings(budget_s=60.0, **changed)
    assert message in str(refused.value)


def test_everything_that_decides_is_written_and_read_back(corpus: Corpus, tmp_path: Path) -> None:
    settings = PretrainSettings(
        budget_s=60.0, shape="encoder", mask_share=0.2, whole_words=True, next_sentence=True
    )
    plain = recorded(corpus, settings)
    (tmp_path / "run.toml").write_text(to_toml(plain))
    assert read_toml(tmp_path / "run.toml") == plain
    assert plain["objective"] == "masked" and plain["mask_share"] == 0.2 and plain["next_sentence"]
    assert "replay_share" not in plain and "model_sha256" not in plain and "device" not in plain
    ul2 = recorded(corpus, PretrainSettings(budget_s=60.0, shape="encoder-decoder", denoisers="ul2"))
    assert (ul2["denoisers"], ul2["objective"]) == ("ul2", "denoising")


def test_a_run_that_another_process_works_on_is_not_cleared(earlier: RunFolder) -> None:
    with earlier.lock(), pytest.raises(InputError, match="another process is working on this run"):
        RunFolder(earlier.path).clear()
    assert (earlier.path / "run.toml").is_file()
    earlier.clear()
    assert not (earlier.path / "run.toml").exists()


def test_settings_of_another_objective_are_refused_of_a_given_model_too(tmp_path: Path) -> None:
    config = LstmConfig(vocab_size=300, d_model=8, d_hidden=16, num_layers=1)
    model, folder = LstmModel(config), tmp_path / "start"
    weights = {name: weight.detach() for name, weight in model.named_parameters()}
    save_lstm(
        folder, model, weights, fit_bpe(["words"], 300), dtype=torch.float32, details={}, card="a model"
    )
    assert GoingOn(PretrainSettings(budget_s=60.0, model=folder)).objective == "causal"
    for changed, flag in (({"mask_share": 0.2}, "--mask-share"), ({"denoisers": "ul2"}, "--denoisers")):
        settings = PretrainSettings(budget_s=60.0, model=folder, **changed)
        with pytest.raises(InputError, match=f"{flag} is not for the causal objective"):
            GoingOn(settings)
