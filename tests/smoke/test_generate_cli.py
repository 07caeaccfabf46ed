"""``yanmo tokenizer``, ``generate`` and ``chat`` as a user calls them."""

from __future__ import annotations

import io
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from corpus_made import chinese_prose, prose

from yanmo.cli.main import run
from yanmo.models.families import qwen3
from yanmo.models.folder import save_model
from yanmo.models.transformer import Transformer
from yanmo.tokenizers.bpe import fit_bpe
from yanmo.tokenizers.load import Tokenizer

COMMAND = [sys.executable, "-c", "from yanmo.cli.main import main; main()"]


def write_model(folder: Path, *, chat_tuned: bool, max_seq_len: int = 256) -> Path:
    tokenizer = fit_bpe(["hello world, how do you do? " * 9, "你好世界，你好吗？" * 9], 300)
    tokenizer.chat_tuned = chat_tuned
    sizes = {"d_model": 16, "num_layers": 1, "num_heads": 2, "num_kv_heads": 1, "head_dim": 8, "d_ff": 32}
    torch.manual_seed(0)
    model = Transformer(qwen3.decoder(vocab_size=320, max_seq_len=max_seq_len, **sizes))
    model.initialise()
    weights = {name: torch.randn_like(tensor) for name, tensor in model.state_dict().items()}
    # Scores of special tokens are 0, never the highest: greedy answers do not end by themselves.
    for tensor in weights.values():
        if tensor.shape[0] == 320:
            tensor[list(tokenizer.special_ids.values())] = 0
    save_model(folder, model, weights, tokenizer, dtype=torch.float32, details={}, card="# Tiny\n")
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("base") / "tiny", chat_tuned=False)


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("tuned") / "tiny", chat_tuned=True)


def generate_json(model: Path, capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, object]:
    assert run(["generate", str(model), "--json", *options]) == 0
    value = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert isinstance(value, dict)
    return value


def test_generate_gives_the_keys_that_scripts_rely_on(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--prompt", "你好", "--max-tokens", "9", "--temperature", "0")
    value = generate_json(model, capsys, *options)
    assert set(value) >= {"text", "token_ids", "finish_reason", "tokens_per_s", "prefill_tokens_per_s"}
    assert isinstance(value["token_ids"], list) and 0 < len(value["token_ids"]) <= 9
    assert Tokenizer.load(model).decode(value["token_ids"]) == value["text"]
    assert generate_json(model, capsys, *options)["token_ids"] == value["token_ids"]


def test_generate_streams_the_same_text(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--prompt", "hello", "--max-tokens", "12", "--seed", "3", "--top-k", "5", "--min-p", "0.01")
    value = generate_json(model, capsys, *options)
    assert run(["generate", str(model), *options]) == 0
    assert capsys.readouterr().out == f"{value['text']}\n"
    other = generate_json(model, capsys, *options[:4], "--seed", "4")
    assert other["token_ids"] != value["token_ids"]


def test_generate_gives_several_samples_and_stops(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--prompt", "", "--max-tokens", "40", "--seed", "3", "--num-samples", "3")
    value = generate_json(model, capsys, *options)
    samples = value["samples"]
    assert isinstance(samples, list) and len({sample["text"] for sample in samples}) == 3
    assert value["text"] == samples[0]["text"]
    text = str(value["text"])
    stop = text[5:7]
    stopped = generate_json(model, capsys, *options[:-2], "--stop", "never said", "--stop", stop)
    assert stopped["text"] == text[: text.index(stop)]
    assert stopped["finish_reason"] == "stop"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--prompt", "x", "--top-p", "0"], "top_p cannot be 0"),
        (["--prompt", "x" * 600], "the model's context holds 256"),
        (["--prompt", "x", "--max-tokens", "0"], "max_tokens cannot be 0"),
        ([], "prompt"),
    ],
)
def test_wrong_use_gives_one_line_and_code_2(
    model: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert run(["generate", str(model), *options]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err and len(captured.err.strip().splitlines()) == 1


def test_a_missing_model_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["generate", str(tmp_path / "nothing"), "--prompt", "x"]) == 2
    assert str(tmp_path / "nothing") in capsys.readouterr().err


def chat(model: Path, said: str, monkeypatch: pytest.MonkeyPatch, *options: str) -> int:
    monkeypatch.setattr(sys, "stdin", io.StringIO(said))
    return run(["chat", str(model), "--seed", "1", "--max-tokens", "6", *options])


def test_chat_takes_a_message_a_line_from_a_pipe(
    tuned: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert chat(tuned, "hi\n\n你好\n/exit\nnot said\n", monkeypatch, "--json", "--system", "brief") == 0
    captured = capsys.readouterr()
    messages = json.loads(captured.out)["messages"]
    roles = [message["role"] for message in messages if message["role"] != "assistant"]
    assert roles == ["system", "user", "user"]
    assert [m["content"] for m in messages if m["role"] == "user"] == ["hi", "你好"]
    assert "not trained on conversations" not in captured.err


def test_chat_forgets_on_reset_and_says_once_what_a_base_model_is(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert chat(model, "one\n/reset\ntwo\n", monkeypatch) == 0
    captured = capsys.readouterr()
    assert captured.err.count("was not trained on conversations") == 1
    assert "forgotten" in captured.err
    assert chat(model, "one\n/reset\ntwo\n", monkeypatch, "--json") == 0
    messages = json.loads(capsys.readouterr().out)["messages"]
    assert [m["content"] for m in messages if m["role"] == "user"] == ["two"]


def read_until(terminal: int, wanted: str, timeout_s: float = 60.0) -> str:
    seen, end_s = "", time.monotonic() + timeout_s
    while wanted not in seen:
        assert time.monotonic() < end_s, f"no {wanted!r} in {seen[-300:]!r}"
        if select.select([terminal], [], [], 0.2)[0]:
            seen += os.read(terminal, 4096).decode(errors="replace")
    return seen


def test_an_interrupt_stops_the_answer_and_not_the_program(tmp_path: Path) -> None:
    """In a terminal, Ctrl-C during an answer without end gives the prompt back."""
    folder = write_model(tmp_path / "tiny", chat_tuned=True, max_seq_len=100_000)
    ours, theirs = pty.openpty()
    command = [*COMMAND, "chat", str(folder), "--max-tokens", "90000", "--temperature", "0"]
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env={**os.environ, "TERM": "dumb"}
    )
    try:
        read_until(ours, "> ")
        os.write(ours, b"hi\n")
        read_until(ours, "hi")
        for _ in range(3):
            assert os.read(ours, 4096)
        process.send_signal(signal.SIGINT)
        seen = read_until(ours, "(stopped)")
        if "> " not in seen.partition("(stopped)")[2]:
            read_until(ours, "> ")
        os.write(ours, b"/exit\n")
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        os.close(theirs)


def test_tokenizer_from_files_to_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for number in range(30):
        text = prose(number, 6) + chinese_prose(number, 3)
        (source / f"{number}.txt").write_text(text, encoding="utf-8")
    corpus, out = str(tmp_path / "corpus"), str(tmp_path / "tokenizer")
    assert run(["corpus", str(source), "--out", corpus]) == 0
    capsys.readouterr()
    assert run(["tokenizer", corpus, "--out", out, "--dry-run"]) == 0
    assert "would learn from" in capsys.readouterr().out and not Path(out).exists()
    for _ in range(2):
        assert run(["tokenizer", corpus, "--out", out, "--vocab-size", "600", "--json"]) == 0
        value = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert value["vocab_size"] == Tokenizer.load(out).vocab_size == 600
        assert value["bytes_per_token"] > 2
    assert run(["tokenizer", corpus, "--out", out, "--vocab-size", "300"]) == 2
    assert "--force" in capsys.readouterr().err
    assert run(["tokenizer", corpus, "--out", out, "--vocab-size", "300", "--force"]) == 0
    assert run(["tokenizer", corpus, "--out", out, "--kind", "sentencepiece"]) == 2
    assert "one of: bpe" in capsys.readouterr().err
