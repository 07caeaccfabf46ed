"""Going on from a model on new text: what is kept of it, what it forgets, and what replay is worth."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pretraining_made import LOOM, TINY, make_corpus, one_known_machine, pretrained

import yanmo
from yanmo.artifact import sha256_of_file
from yanmo.cli.main import run as run_cli
from yanmo.errors import Interrupted
from yanmo.models.ngram.model import fit_ngram
from yanmo.recipes import assembly

# Rates at which a model of this size forgets within a few steps.
FAST = ("--muon-learning-rate", "0.02", "--adam-learning-rate", "0.03")
MORE = ("--steps", "40", "--batch-size", "6", *FAST)


@pytest.fixture(scope="module", autouse=True)
def known_machine() -> Iterator[None]:
    """Runs take as long as their steps."""
    with one_known_machine():
        yield


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("old"))


@pytest.fixture(scope="module")
def new(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("new"), LOOM)


@pytest.fixture(scope="module")
def start(old: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("start") / "run"
    pretrained(old, out, "--steps", "60", *TINY)
    return out


@pytest.fixture(scope="module")
def replayed(start: Path, old: Path, new: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("replayed") / "run"
    pretrained(new, out, "--model", str(start), "--replay", str(old), "--replay-share", "0.33", *MORE)
    return out


def result_of(run: Path) -> dict[str, Any]:
    result = json.loads((run / "result.json").read_text())
    assert isinstance(result, dict)
    return result


def test_new_text_is_learned_and_replay_keeps_the_old(
    start: Path, old: Path, new: Path, replayed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = result_of(replayed)
    assert kept["after"]["new"]["loss_nats"] < 0.7 * kept["before"]["new"]["loss_nats"]
    assert kept["before"]["old"]["bits_per_byte"] == pytest.approx(
        result_of(start)["valid_bits_per_byte"], rel=0.1
    )
    forgot = pretrained(new, tmp_path / "run", "--model", str(start), *MORE)
    assert "old" not in forgot["before"] and "old" not in forgot["after"]
    printed = capsys.readouterr()
    assert "what the model forgets is not measured" in printed.err
    assert "new      perplexity" in printed.out and "old      not measured" in printed.out
    losses = []
    for run in (tmp_path / "run", replayed):
        assert run_cli(["evaluate", str(run / "model"), str(old), "--json"]) == 0
        losses.append(json.loads(capsys.readouterr().out.splitlines()[-1])["bits_per_byte"])
    assert losses[1] < 0.8 * losses[0]
    assert losses[1] == pytest.approx(kept["after"]["old"]["bits_per_byte"], rel=0.1)


def test_the_folder_is_of_the_same_family_with_everything_beside_it(start: Path, replayed: Path) -> None:
    before, after = start / "model", replayed / "model"
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json"):
        assert (after / name).read_bytes() == (before / name).read_bytes()
    configs = [json.loads((folder / "config.json").read_text()) for folder in (before, after)]
    assert configs[0] == configs[1]
    assert sha256_of_file(before / "model.safetensors") != sha256_of_file(after / "model.safetensors")
    loaded = yanmo.load(replayed)
    assert yanmo.generate(loaded, "loom 织布", max_tokens=4, temperature=0)[0].text
    assert "whose terms go on to hold for it" in (after / "README.md").read_text()
    settings = (replayed / "run.toml").read_text()
    assert "model_sha256" in settings and "replay_sha256" in settings and "replay_share = 0.33" in settings


def test_a_run_that_is_stopped_goes_on_in_the_same_bytes(
    start: Path, old: Path, new: Path, replayed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = ["--model", str(start), "--replay", str(old), "--replay-share", "0.33", *MORE]
    command = ["pretrain", str(new), "--out", str(tmp_path / "run"), *flags]
    stepped = assembly.Log.stepped

    def stop(log: assembly.Log, row: dict[str, Any], time_left_s: float) -> None:
        stepped(log, row, time_left_s)
        if row["step"] == 17:
            raise Interrupted("stopped at once", exit_code=143)

    monkeypatch.setattr(assembly.Log, "stepped", stop)
    assert run_cli(command) == 143
    monkeypatch.undo()
    assert run_cli(command) == 0
    weights = [run / "model" / "model.safetensors" for run in (tmp_path / "run", replayed)]
    assert sha256_of_file(weights[0]) == sha256_of_file(weights[1])
    assert result_of(tmp_path / "run")["before"] == result_of(replayed)["before"]


def test_another_start_is_another_run(
    start: Path, new: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--out", str(tmp_path / "run"), "--steps", "3", "--batch-size", "2"]
    copied = tmp_path / "copied"
    copied.mkdir()
    for path in (start / "model").iterdir():
        (copied / path.name).write_bytes(path.read_bytes())
    assert run_cli(["pretrain", str(new), "--model", str(copied), *flags]) == 0
    assert run_cli(["pretrain", str(new), "--model", str(copied), *flags]) == 0
    config = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(json.dumps(config | {"hidden_act": "silu", "note": 1}))
    assert run_cli(["pretrain", str(new), "--model", str(copied), *flags]) == 2
    assert "holds a run with other settings: model_sha256" in capsys.readouterr().err


def test_a_gguf_file_goes_on_as_a_folder(start: Path, new: Path, tmp_path: Path) -> None:
    file = tmp_path / "start.gguf"
    assert run_cli(["convert", str(start), str(file), "--to", "gguf"]) == 0
    flags = ("--steps", "10", "--batch-size", "4")
    from_file = pretrained(new, tmp_path / "from-file", "--model", str(file), *flags)
    from_folder = pretrained(new, tmp_path / "from-folder", "--model", str(start), *flags)
    assert from_file["before"]["new"] == pytest.approx(from_folder["before"]["new"], rel=1e-3)
    assert from_file["after"]["new"] == pytest.approx(from_folder["after"]["new"], rel=1e-2)
    model = tmp_path / "from-file" / "model"
    assert json.loads((model / "config.json").read_text())["model_type"] == "qwen3"
    assert {path.name for path in model.iterdir()} >= {"tokenizer.json", "generation_config.json"}
    assert yanmo.generate(yanmo.load(model), "loom", max_tokens=3, temperature=0)[0].token_ids


def test_an_encoder_without_its_head_gets_one(
    old: Path, new: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pretrained(old, tmp_path / "start", "--shape", "encoder", "--next-sentence", "--steps", "6", *TINY)
    bare = tmp_path / "start" / "model"
    config = json.loads((bare / "config.json").read_text())
    (bare / "config.json").write_text(json.dumps(config | {"architectures": ["BertModel"]}))
    result = pretrained(new, tmp_path / "run", "--model", str(bare), "--steps", "30", "--batch-size", "4")
    assert "has no masked_lm head; one is drawn" in capsys.readouterr().err
    assert result["after"]["new"]["loss_nats"] < 0.8 * result["before"]["new"]["loss_nats"]
    written = json.loads((tmp_path / "run" / "model" / "config.json").read_text())
    assert written["architectures"] == ["BertForMaskedLM"]


def test_what_is_counted_is_not_trained(
    start: Path, new: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, tokenizer = tmp_path / "ngram", yanmo.load(start).tokenizer
    documents = [tokenizer.encode("ink stone water"), tokenizer.encode("stone water ink")]
    fitted = fit_ngram(documents, order=2, vocab_size=tokenizer.vocab_size, eos_id=tokenizer.eos_id)
    fitted.save(table, tokenizer=tokenizer)
    command = ["pretrain", str(new), "--out", str(tmp_path / "r"), "--model", str(table), "--steps", "3"]
    assert run_cli(command) == 2
    assert "is counted, not trained" in capsys.readouterr().err


@pytest.mark.parametrize("shape", ["lstm", "encoder", "encoder-decoder"])
def test_every_shape_goes_on(old: Path, new: Path, tmp_path: Path, shape: str) -> None:
    pretrained(old, tmp_path / "start", "--shape", shape, "--steps", "10", *TINY)
    flags = ("--model", str(tmp_path / "start"), "--replay", str(old), "--steps", "40", "--batch-size", "6")
    result = pretrained(new, tmp_path / "run", *flags, "--adam-learning-rate", "0.01")
    assert result["shape"] == shape
    assert result["after"]["new"]["loss_nats"] < result["before"]["new"]["loss_nats"]
    kinds = [
        json.loads((tmp_path / run / "model" / "config.json").read_text())["model_type"]
        for run in ("start", "run")
    ]
    assert kinds[0] == kinds[1]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--d-model", "64"], "--d-model cannot be chosen with --model"),
        (["--shape", "encoder"], "is of shape decoder, not encoder"),
        (["--max-seq-len", "64"], "beyond the model's context of 32 tokens"),
        (["--replay-share", "0"], "--replay-share must be above 0 and below 1"),
        (["--objective", "masked"], "the masked objective is not for shape decoder"),
    ],
)
def test_what_a_model_fixes_is_not_chosen_again(
    start: Path,
    new: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    flags: list[str],
    message: str,
) -> None:
    command = ["pretrain", str(new), "--out", str(tmp_path / "r"), "--model", str(start), "--steps", "3"]
    assert run_cli([*command, *flags]) == 2
    assert message in capsys.readouterr().err.strip().splitlines()[-1]


def test_replay_needs_a_model_and_two_rows(
    start: Path, old: Path, new: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["pretrain", str(new), "--out", str(tmp_path / "r"), "--replay", str(old), "--steps", "3"]
    assert run_cli(command) == 2
    assert "needs a --model that has learned something" in capsys.readouterr().err
    assert run_cli([*command, "--model", str(start), "--batch-size", "1"]) == 2
    assert "a step of one row cannot hold new and old text" in capsys.readouterr().err
