"""``yanmo convert`` and ``yanmo inspect`` as a user calls them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import yanmo
from yanmo import machine
from yanmo.cli.main import run
from yanmo.models.families import qwen3
from yanmo.models.folder import save_model
from yanmo.models.lstm import LstmConfig, LstmModel, save_lstm
from yanmo.models.ngram.model import fit_ngram
from yanmo.models.transformer import Transformer
from yanmo.serving import opening
from yanmo.tokenizers.bpe import fit_bpe

TEXTS = ["hello world, how do you do? " * 9, "你好世界，你好吗？" * 9]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tokenizer = fit_bpe(TEXTS, 320)
    sizes = {"d_model": 32, "num_layers": 2, "num_heads": 2, "num_kv_heads": 1, "head_dim": 16, "d_ff": 64}
    torch.manual_seed(0)
    network = Transformer(qwen3.decoder(vocab_size=tokenizer.vocab_size, max_seq_len=128, **sizes))
    weights = {name: tensor + torch.randn_like(tensor) * 0.3 for name, tensor in network.state_dict().items()}
    folder = tmp_path_factory.mktemp("made") / "tiny"
    save_model(folder, network, weights, tokenizer, dtype=torch.bfloat16, details={}, card="# Tiny\n")
    return folder


def call(capsys: pytest.CaptureFixture[str], *words: object, code: int = 0) -> dict[str, Any]:
    assert run([str(word) for word in words]) == code
    captured = capsys.readouterr()
    if code:
        assert len(captured.err.splitlines()) == 1
        return {"error": captured.err}
    value = json.loads(captured.out.splitlines()[-1])
    assert isinstance(value, dict)
    return value


def test_there_and_back_without_a_loss(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there, back = tmp_path / "tiny.gguf", tmp_path / "back"
    made = call(capsys, "convert", model, there, "--to", "gguf", "--json")
    assert made == {"path": str(there), "num_bytes": there.stat().st_size, "max_abs_difference": 0.0}
    made = call(capsys, "convert", there, back, "--to", "hf", "--dtype", "bf16", "--json")
    assert made["max_abs_difference"] == 0.0
    before, after = load_file(model / "model.safetensors"), load_file(back / "model.safetensors")
    assert before.keys() == after.keys()
    for name, weight in before.items():
        torch.testing.assert_close(after[name], weight, rtol=0, atol=0)
    first, second = yanmo.load(model), yanmo.load(back)
    text = "hello 你好, world! 🙂"
    assert second.tokenizer.encode(text) == first.tokenizer.encode(text)
    assert second.tokenizer.eos_id == first.tokenizer.eos_id
    (answer,) = yanmo.generate(there, "hello 你", temperature=0, max_tokens=20)
    (expected,) = yanmo.generate(model, "hello 你", temperature=0, max_tokens=20)
    assert answer.token_ids == expected.token_ids


def test_smaller_types_say_what_they_cost(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes, differences = [], []
    for dtype in ("f32", "f16", "q8_0", "q4_0"):
        words = ("convert", model, tmp_path / f"{dtype}.gguf", "--to", "gguf", "--dtype", dtype, "--json")
        made = call(capsys, *words)
        sizes.append(made["num_bytes"])
        differences.append(made["max_abs_difference"])
    assert sizes == sorted(sizes, reverse=True) and len(set(sizes)) == 4
    assert differences == sorted(differences) and differences[0] == 0.0 < differences[2] < 1.0


def altered(model: Path, folder: Path, value: float) -> Path:
    """A copy of a model, with another number in its last norm."""
    shutil.copytree(model, folder)
    tensors = load_file(folder / "model.safetensors")
    tensors["model.norm.weight"][3] = value
    save_file(tensors, folder / "model.safetensors")
    return folder


def test_a_weight_beyond_the_type_and_answers_that_are_no_numbers_are_refused(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    large = altered(model, tmp_path / "large", 1e6)
    error = call(capsys, "convert", large, tmp_path / "f16", "--to", "hf", "--dtype", "f16", code=2)["error"]
    assert "model.norm.weight is beyond the range of float16" in error and "bf16" in error
    assert not (tmp_path / "f16").exists()
    words = ("convert", large, tmp_path / "bf16", "--to", "hf", "--dtype", "bf16", "--json")
    assert call(capsys, *words)["max_abs_difference"] == 0.0
    broken = altered(model, tmp_path / "broken", float("nan"))
    error = call(capsys, "convert", broken, tmp_path / "out", "--to", "hf", code=2)["error"]
    assert "not finite numbers" in error and not (tmp_path / "out").exists()
    for words in (("score", broken, "--text"), ("generate", broken, "--temperature", "0", "--prompt")):
        assert "are not numbers" in call(capsys, *words, "hello world", code=2)["error"]


def test_settings_of_training_and_calling_are_those_of_the_source(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = altered(model, tmp_path / "source", 1.0)
    config = json.loads((source / "config.json").read_text())
    said = {"attention_dropout": 0.25, "use_cache": False, "eos_token_id": 7, "initializer_range": 0.5}
    (source / "config.json").write_text(json.dumps(config | said))
    call(capsys, "convert", source, tmp_path / "copy", "--to", "hf", "--json")
    copied = json.loads((tmp_path / "copy" / "config.json").read_text())
    assert {key: copied[key] for key in said} == said


@pytest.mark.parametrize("tied", [True, False])
def test_a_bare_model_still_says_whether_its_output_is_the_embedding(
    tied: bool, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = altered(model, tmp_path / "source", 1.0)
    config = json.loads((source / "config.json").read_text())
    said = {"architectures": ["Qwen3Model"], "tie_word_embeddings": tied}
    (source / "config.json").write_text(json.dumps(config | said))
    call(capsys, "convert", source, tmp_path / "copy", "--to", "hf", "--json")
    copied = json.loads((tmp_path / "copy" / "config.json").read_text())
    assert {key: copied[key] for key in said} == said


def test_what_is_there_is_not_replaced(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = tmp_path / "taken.gguf"
    taken.write_text("mine")
    error = call(capsys, "convert", model, taken, "--to", "gguf", code=2)["error"]
    assert "exists already" in error and "--force" in error and taken.read_text() == "mine"
    call(capsys, "convert", model, taken, "--to", "gguf", "--force", "--json")
    assert taken.read_bytes()[:4] == b"GGUF"
    assert "source itself" in call(capsys, "convert", model, model, "--to", "hf", "--force", code=2)["error"]
    assert "is a folder" in call(capsys, "convert", model, tmp_path, "--to", "gguf", code=2)["error"]
    error = call(capsys, "convert", model, tmp_path / "x", "--to", "hf", "--dtype", "q4_0", code=2)["error"]
    assert "hf cannot store" in error


def test_a_dry_run_writes_nothing_and_the_same_command_again_finds_it_done(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("convert", model, tmp_path / "copy", "--to", "hf", "--json")
    assert call(capsys, *words, "--dry-run") == {
        "family": "qwen3",
        "path": str(tmp_path / "copy"),
        "is_done": False,
    }
    assert not (tmp_path / "copy").exists()
    call(capsys, *words)
    written = (tmp_path / "copy" / "model.safetensors").stat().st_mtime_ns
    assert call(capsys, *words)["max_abs_difference"] == 0.0
    assert (tmp_path / "copy" / "model.safetensors").stat().st_mtime_ns == written
    assert call(capsys, *words, "--dry-run")["is_done"]


def test_a_pickle_is_read_by_convert_alone(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = tmp_path / "old"
    old.mkdir()
    for file in model.iterdir():
        if file.suffix != ".safetensors":
            (old / file.name).write_bytes(file.read_bytes())
    torch.save(load_file(model / "model.safetensors"), old / "pytorch_model.bin")
    error = call(capsys, "score", old, "--text", "hello", code=2)["error"]
    assert "can run code" in error and "yanmo convert" in error
    made = call(capsys, "convert", old, tmp_path / "new", "--to", "hf", "--json")
    assert made["max_abs_difference"] == 0.0
    expected = call(capsys, "score", model, "--text", "hello", "--json")
    assert call(capsys, "score", tmp_path / "new", "--text", "hello", "--json") == expected


def test_code_of_others_is_named_and_not_run(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    for file in model.iterdir():
        (foreign / file.name).write_bytes(file.read_bytes())
    config = json.loads((foreign / "config.json").read_text())
    config["auto_map"] = {"AutoModelForCausalLM": "modeling.Mine"}
    (foreign / "config.json").write_text(json.dumps(config))
    (foreign / "modeling.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    assert run(["convert", str(foreign), str(tmp_path / "clean"), "--to", "hf"]) == 0
    said = capsys.readouterr().err
    assert "never run" in said and "auto_map" in said and "modeling.py" in said
    assert not (tmp_path / "ran").exists() and not (tmp_path / "clean" / "modeling.py").exists()
    assert "auto_map" not in json.loads((tmp_path / "clean" / "config.json").read_text())


def test_inspect_gives_the_keys_that_scripts_rely_on(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = call(capsys, "inspect", model, "--json")
    network = yanmo.load(model).model
    assert isinstance(network, Transformer)
    count = sum(weight.numel() for weight in network.parameters())
    assert (found["family"], found["shape"], found["num_parameters"]) == ("qwen3", "decoder", count)
    assert found["bytes"]["float32"] == 4 * count and found["stored"] == {"bfloat16": 2 * count}
    assert found["tokenizer"]["chat_template"] and found["heads"] == ["causal_lm"]
    assert found["kv_cache_bytes_per_token"] == 2 * 2 * 16 * 4
    assert len(found["files"]["model.safetensors"]) == 64
    assert run(["inspect", str(model)]) == 0
    assert f"{count:,}" in capsys.readouterr().out
    (tmp_path / "one.gguf").write_bytes(b"GGUF")
    assert "one.gguf" in call(capsys, "inspect", tmp_path / "one.gguf", code=2)["error"]


def test_a_model_too_big_for_the_machine_is_refused_with_the_figures(
    model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "available_memory_bytes", lambda: 50_000)
    error = call(capsys, "score", model, "--text", "hello", code=2)["error"]
    assert "needs" in error and "48.8 KB is available" in error


def test_half_the_memory_when_asked(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = call(capsys, "score", model, "--text", "hello 你好", "--json")
    half = call(capsys, "score", model, "--text", "hello 你好", "--dtype", "bfloat16", "--json")
    assert half["num_tokens"] == whole["num_tokens"]
    # Rounded to 8 bits, but the same model.
    assert half["loss_nats"] != whole["loss_nats"]
    assert half["loss_nats"] == pytest.approx(whole["loss_nats"], rel=0.03)
    wide, narrow = (yanmo.load(model, dtype=dtype).model for dtype in (torch.float32, torch.bfloat16))
    assert isinstance(wide, Transformer) and isinstance(narrow, Transformer)
    matrices = [weight.nbytes for weight in wide.parameters() if weight.ndim == 2]
    assert [weight.nbytes for weight in narrow.parameters() if weight.ndim == 2] == [n // 2 for n in matrices]


def test_a_name_of_the_cache_is_a_model_everywhere(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = "0123456789" * 4
    snapshot = tmp_path / "hub" / "models--someone--tiny" / "snapshots" / commit
    snapshot.mkdir(parents=True)
    for file in model.iterdir():
        (snapshot / file.name).write_bytes(file.read_bytes())
    refs = snapshot.parent.parent / "refs"
    refs.mkdir()
    (refs / "main").write_text(commit)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    assert call(capsys, "inspect", "someone/tiny", "--json")["name"] == "someone/tiny"
    expected = call(capsys, "score", model, "--text", "hello", "--json")
    assert call(capsys, "score", "someone/tiny", "--text", "hello", "--json") == expected
    served = opening.load([Path("someone/tiny")]).find("someone/tiny")
    assert "completions" in served.routes


def test_inspect_tells_of_an_lstm_and_an_n_gram_too(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokenizer = yanmo.load(model).tokenizer
    network = LstmModel(LstmConfig(vocab_size=tokenizer.vocab_size, d_model=16, d_hidden=16, num_layers=1))
    weights = dict(network.named_parameters())
    save_lstm(tmp_path / "lstm", network, weights, tokenizer, dtype=torch.float32, details={}, card="")
    found = call(capsys, "inspect", tmp_path / "lstm", "--json")
    count = sum(weight.numel() for weight in network.parameters())
    assert (found["family"], found["shape"], found["num_parameters"]) == ("yanmo-lstm", "lstm", count)
    assert found["bytes"]["float32"] == 4 * count == found["stored"]["float32"]
    ids = tokenizer.encode_batch(TEXTS)
    table = fit_ngram(ids, order=2, vocab_size=tokenizer.vocab_size, eos_id=tokenizer.eos_id)
    table.save(tmp_path / "ngram", tokenizer=tokenizer)
    found = call(capsys, "inspect", tmp_path / "ngram", "--json")
    assert (found["shape"], found["num_parameters"]) == ("ngram", table.num_parameters)
    assert found["sizes"]["order"] == 2 and found["bytes"]["float32"] == sum(found["stored"].values())
    for name in ("lstm", "ngram"):
        assert run(["inspect", str(tmp_path / name)]) == 0
        assert "parameters" in capsys.readouterr().out
    error = call(capsys, "convert", tmp_path / "lstm", tmp_path / "x", "--to", "hf", code=2)["error"]
    assert "no form" in error
