"""``yanmo generate`` with forms, drafts, beams and the rarer flags of drawing, as a user calls it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

from yanmo.cli.main import run
from yanmo.models.families import qwen3
from yanmo.models.folder import save_model
from yanmo.models.transformer import Transformer
from yanmo.tokenizers.bpe import fit_bpe

TEXTS = ["hello world, how do you do? " * 9, "你好世界，你好吗？" * 9]


def write_model(folder: Path, seed: int, texts: list[str] = TEXTS) -> Path:
    tokenizer = fit_bpe(texts, 300)
    torch.manual_seed(seed)
    sizes = {"d_model": 16, "num_layers": 1, "num_heads": 2, "num_kv_heads": 1, "head_dim": 8, "d_ff": 32}
    model = Transformer(qwen3.decoder(vocab_size=tokenizer.vocab_size, max_seq_len=256, **sizes))
    weights = {name: torch.randn_like(tensor) for name, tensor in model.state_dict().items()}
    save_model(folder, model, weights, tokenizer, dtype=torch.float32, details={}, card="# Tiny\n")
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("options") / "tiny", 0)


@pytest.fixture(scope="module")
def draft(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("options") / "draft", 1)


def generate(model: Path, capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, object]:
    assert run(["generate", str(model), "--json", "--prompt", "hello 你好", *options]) == 0
    value = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert isinstance(value, dict)
    return value


def test_a_draft_and_looking_up_give_the_same_text(
    model: Path, draft: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--temperature", "0", "--max-tokens", "30", "--presence-penalty", "0.2")
    plain = generate(model, capsys, *options)
    for flags in (("--look-up",), ("--draft", str(draft), "--draft-tokens", "3"), ("--draft", str(model))):
        assert generate(model, capsys, *options, *flags)["token_ids"] == plain["token_ids"]
    assert generate(model, capsys, *options, "--draft", str(model))["num_kept"] != 0


def test_forms(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("llguidance")
    schema, grammar = tmp_path / "schema.json", tmp_path / "answer.lark"
    schema.write_text('{"enum": [{"城市": "北京"}, {"n": 1}]}', encoding="utf-8")
    grammar.write_text('start: "好" ("!" | "？")', encoding="utf-8")
    value = generate(model, capsys, "--json-schema", str(schema))
    assert json.loads(str(value["text"])) in ({"城市": "北京"}, {"n": 1})
    assert generate(model, capsys, "--grammar", str(grammar))["text"] in ("好!", "好？")
    assert re.fullmatch("[龘a]{3}", str(generate(model, capsys, "--regex", "[龘a]{3}")["text"]))
    assert run(["generate", str(model), "--prompt", "x", "--regex", "a{50}", "--max-tokens", "2"]) == 0
    assert "cut off and is not of the form" in capsys.readouterr().err


def test_beams_give_the_best_with_their_scores(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--beams", "4", "--num-samples", "2", "--max-tokens", "8")
    value = generate(model, capsys, *options)
    samples = value["samples"]
    assert isinstance(samples, list)
    best, second = samples
    assert best["text"] == value["text"] and best["score"] >= second["score"]
    diverse = generate(model, capsys, *options, "--beam-groups", "2", "--diversity", "9")
    assert diverse["samples"] != value["samples"]


def test_a_bias_and_no_repeats(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--max-tokens", "20", "--temperature", "0")
    favoured = generate(model, capsys, *options, "--logit-bias", "7=1000", "--logit-bias", "8=-inf")
    assert favoured["token_ids"] == [7] * 20
    once = generate(model, capsys, *options, "--logit-bias", "7=1000", "--no-repeat-ngram", "1")
    ids = once["token_ids"]
    assert isinstance(ids, list) and ids[0] == 7 and len(set(ids)) == len(ids)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--regex", "a", "--grammar", "x"], "--regex and --grammar cannot be kept at once"),
        (["--json-schema", "/nothing.json"], "/nothing.json: cannot be read"),
        (["--regex", "("], "the regex cannot be used"),
        (["--logit-bias", "x=1"], "--logit-bias x=1 is not ID=NUMBER"),
        (["--logit-bias", "99999=1"], "logit_bias names token 99999"),
        (["--typical-p", "0"], "typical_p cannot be 0"),
        (["--draft", ".", "--look-up"], "--draft and --look-up both propose"),
        (["--look-up", "--draft-tokens", "0"], "num_tokens of a draft cannot be 0"),
        (["--beams", "4", "--temperature", "0.5"], "beams take no flags of drawing"),
        (["--beams", "4", "--beam-groups", "3"], "4 beams do not make 3 groups"),
        (["--beams", "2", "--num-samples", "3"], "2 beams do not give 3 answers"),
    ],
)
def test_wrong_use_gives_one_line_and_code_2(
    model: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    pytest.importorskip("llguidance")
    assert run(["generate", str(model), "--prompt", "x", *options]) == 2
    captured = capsys.readouterr()
    assert message in captured.err and len(captured.err.strip().splitlines()) == 1


def test_a_draft_of_another_tokenizer_is_refused(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write_model(tmp_path / "other", 1, ["something else entirely " * 9])
    assert run(["generate", str(model), "--prompt", "x", "--draft", str(other)]) == 2
    assert "the draft has another tokenizer than the model" in capsys.readouterr().err
