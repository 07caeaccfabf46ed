"""Every shape of network and every objective through ``yanmo pretrain``, and what other tools say of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from pretraining_made import TINY, make_corpus, one_known_machine, pretrained, validations

from yanmo.artifact import sha256_of_file
from yanmo.cli.main import run as run_cli
from yanmo.errors import Interrupted
from yanmo.models.checkpoint import Checkpoint
from yanmo.models.folder import load_transformer
from yanmo.recipes import assembly

# Flags of a run, steps, its objective, the model type of its folder, and what its validations tell.
RUNS: dict[str, tuple[tuple[str, ...], int, str, str, set[str]]] = {
    "decoder": ((), 40, "causal", "qwen3", {"bits_per_byte", "perplexity"}),
    "lstm": (
        ("--shape", "lstm", "--dropout", "0.1"),
        60,
        "causal",
        "yanmo-lstm",
        {"bits_per_byte", "perplexity"},
    ),
    "masked": (("--shape", "encoder"), 60, "masked", "modernbert", {"masked_accuracy"}),
    "pairs": (
        ("--shape", "encoder", "--next-sentence", "--mask-share", "0.2"),
        60,
        "masked",
        "bert",
        {"masked_accuracy", "next_sentence_accuracy", "next_sentence_loss_nats"},
    ),
    "denoising": (("--shape", "encoder-decoder"), 60, "denoising", "t5", {"target_accuracy"}),
}


@pytest.fixture(scope="module", autouse=True)
def known_machine() -> Iterator[None]:
    """Runs take as long as their steps."""
    with one_known_machine():
        yield


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("shapes"))


@pytest.fixture(scope="module")
def made(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("made")
    for name, (flags, num_steps, *_) in RUNS.items():
        pretrained(corpus, folder / name, "--steps", str(num_steps), *TINY, *flags)
    return {name: folder / name for name in RUNS}


@pytest.mark.parametrize("name", RUNS)
def test_every_shape_learns_and_says_what_it_measured(made: dict[str, Path], name: str) -> None:
    _, num_steps, objective, model_type, measured = RUNS[name]
    out = made[name]
    result, rows = json.loads((out / "result.json").read_text()), validations(out)
    assert (result["objective"], result["steps"]) == (objective, num_steps)
    assert rows[-1]["loss_nats"] < 0.9 * rows[0]["loss_nats"]
    assert rows[-1].keys() >= measured | {"loss_nats"}
    assert set(result["valid"]) == measured | {"loss_nats"}
    assert result["valid_loss_nats"] == result["valid"]["loss_nats"]
    assert result["valid_bits_per_byte"] == result["valid"].get("bits_per_byte")
    config = json.loads((out / "model" / "config.json").read_text())
    assert config["model_type"] == model_type
    assert "<html" in (out / "report.html").read_text()
    card = (out / "model" / "README.md").read_text()
    assert "bits per byte" in card if objective == "causal" else "right" in card


@pytest.mark.parametrize("name", ["decoder", "lstm"])
def test_what_continues_text_is_evaluated_and_generates(
    made: dict[str, Path], corpus: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model = str(made[name] / "model")
    capsys.readouterr()
    assert run_cli(["evaluate", model, str(corpus), "--json"]) == 0
    evaluation = json.loads(capsys.readouterr().out.splitlines()[-1])
    valid = json.loads((made[name] / "result.json").read_text())["valid_bits_per_byte"]
    assert evaluation["bits_per_byte"] == pytest.approx(valid, rel=0.15)
    flags = ["--prompt", "ink", "--max-tokens", "5", "--temperature", "0", "--json"]
    assert run_cli(["generate", model, *flags]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["text"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("masked", "AutoModelForMaskedLM"),
        ("pairs", "AutoModelForPreTraining"),
        ("denoising", "AutoModelForSeq2SeqLM"),
    ],
)
def test_transformers_opens_what_was_trained_and_answers_the_same(
    made: dict[str, Path], name: str, kind: str
) -> None:
    transformers = pytest.importorskip("transformers", reason="the reference implementation")
    folder = made[name] / "model"
    theirs = getattr(transformers, kind).from_pretrained(folder, dtype=torch.float32)
    ids = transformers.AutoTokenizer.from_pretrained(folder)("ink 研墨 stone water")["input_ids"]
    tokens_BT = torch.tensor([ids])
    checkpoint = Checkpoint.open(folder)
    ours = load_transformer(checkpoint.config, checkpoint.source(), where=checkpoint.config_path)
    with torch.inference_mode():
        if name == "denoising":
            first_BT = torch.tensor([[theirs.config.decoder_start_token_id]])
            expected_BTV = theirs(input_ids=tokens_BT, decoder_input_ids=first_BT).logits
            found_BTV = ours(first_BT, memory=ours.encode(tokens_BT))
        else:
            answer: Any = theirs(input_ids=tokens_BT)
            expected_BTV = answer.prediction_logits if name == "pairs" else answer.logits
            found_BTV = ours(tokens_BT)
    torch.testing.assert_close(found_BTV, expected_BTV, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", RUNS)
def test_a_run_that_is_stopped_goes_on_in_the_same_bytes(
    made: dict[str, Path], corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    flags, num_steps, *_ = RUNS[name]
    arguments = ["pretrain", str(corpus), "--out", str(tmp_path / "run"), "--steps", str(num_steps)]
    stepped = assembly.Log.stepped

    def stop(log: assembly.Log, row: dict[str, Any], time_left_s: float) -> None:
        stepped(log, row, time_left_s)
        if row["step"] == num_steps // 2 + 1:
            raise Interrupted("stopped at once", exit_code=143)

    monkeypatch.setattr(assembly.Log, "stepped", stop)
    assert run_cli([*arguments, *TINY, *flags]) == 143
    assert not (tmp_path / "run" / "model").exists()
    monkeypatch.undo()
    assert run_cli([*arguments, *TINY, *flags]) == 0
    weights = [folder / "model" / "model.safetensors" for folder in (tmp_path / "run", made[name])]
    assert sha256_of_file(weights[0]) == sha256_of_file(weights[1])


def test_a_profile_is_made_before_training_and_stands_in_the_report(
    made: dict[str, Path], corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    pretrained(corpus, out, "--steps", "40", "--profile", *TINY)
    profile = json.loads((out / "profile.json").read_text())
    assert {"saving", "validation"} <= {kind["name"] for kind in profile["kinds"]}
    assert sum(kind["share"] for kind in profile["kinds"]) == pytest.approx(1)
    assert "slowest operators" in capsys.readouterr().err
    weights = [folder / "model" / "model.safetensors" for folder in (out, made["decoder"])]
    assert sha256_of_file(weights[0]) == sha256_of_file(weights[1]), "a profile changes nothing"


def test_train_of_an_encoder_ends_without_the_evaluation_of_texts(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = str(corpus.parent / "source")
    flags = ["--shape", "encoder", "--steps", "8", *TINY]
    assert run_cli(["train", source, "--out", str(tmp_path / "run"), *flags]) == 0
    assert "nats for each hidden token" in capsys.readouterr().out
    assert not (tmp_path / "run" / "evaluation.json").exists()


def test_every_shape_is_planned_for_a_budget(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for shape in ("lstm", "encoder", "encoder-decoder"):
        capsys.readouterr()
        flags = ["--shape", shape, "--budget", "10m", "--num-layers", "2", "--d-model", "64"]
        assert run_cli(["plan", str(corpus), *flags, "--json"]) == 0
        chosen = json.loads(capsys.readouterr().out.splitlines()[-1])["chosen"]
        assert (chosen["shape"], chosen["predicted_bits_per_byte"]) == (shape, None)
        assert chosen["predicted_s"] < 600


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--shape", "encoder", "--objective", "causal"], "causal objective is not for shape encoder"),
        (["--objective", "masked"], "masked with encoder"),
        (["--shape", "lstm", "--mask-share", "0.3"], "--mask-share is not for the causal objective"),
        (["--shape", "encoder-decoder", "--next-sentence"], "--next-sentence is not for the denoising"),
        (["--shape", "encoder", "--mask-share", "1.5"], "--mask-share must be above 0 and below 1"),
        (["--shape", "encoder", "--d-model", "34"], "cannot be parted into heads"),
    ],
)
def test_flags_that_do_not_go_together_are_one_line(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], message: str
) -> None:
    assert run_cli(["pretrain", str(corpus), "--out", str(tmp_path / "r"), "--steps", "3", *flags]) == 2
    assert message in capsys.readouterr().err.strip().splitlines()[-1]
