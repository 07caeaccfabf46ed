"""The README's road at toy size: train, pretrain, plan, evaluate, generate, runs."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from pretraining_made import TINY, one_known_machine

import yanmo
from yanmo.cli.main import run as run_cli
from yanmo.recipes.demo import write_python_reference


@pytest.fixture(scope="module", autouse=True)
def known_machine() -> Iterator[None]:
    """Runs take as long as their steps."""
    with one_known_machine():
        yield


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts") / "mine"
    folder.mkdir()
    rng = random.Random(0)
    words = ["ink", "stone", "water", "brush", "paper", "研墨", "宣纸", "grind", "slowly", "write"]
    for index in range(80):
        text = " ".join(rng.choice(words) for _ in range(150))
        (folder / f"{index}.txt").write_text(f"{index}: {text}", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def trained(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "mine"
    assert run_cli(["train", str(source), "--out", str(out), "--steps", "60", *TINY]) == 0
    return out


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    capsys.readouterr()
    assert run_cli([*arguments, "--json"]) == 0
    value = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert isinstance(value, dict)
    return value


def test_train_learns_and_leaves_every_file(trained: Path) -> None:
    names = {path.name for path in trained.iterdir()}
    assert names >= {
        "run.toml",
        "plan.json",
        "metrics.jsonl",
        "result.json",
        "evaluation.json",
        "report.html",
    }
    result = json.loads((trained / "result.json").read_text())
    rows = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    valid = [row["bits_per_byte"] for row in rows if row["kind"] == "valid"]
    assert len(valid) == 20 and valid[-1] < 0.75 * valid[0]
    assert result["bits_per_byte"] < 2 and result["baseline_bits_per_byte"] < 2
    assert [row for row in rows if row["kind"] == "sample"]
    assert "<svg" in (trained / "report.html").read_text()


def test_train_again_does_nothing_and_says_so(
    source: Path, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (trained / "model" / "model.safetensors").stat().st_mtime_ns
    result = printed(capsys, "train", str(source), "--out", str(trained), "--steps", "60", *TINY)
    assert result["steps"] == 60 and isinstance(result["bits_per_byte"], float)
    assert (trained / "model" / "model.safetensors").stat().st_mtime_ns == before


def test_same_seed_same_bytes_other_seed_other_bytes(source: Path, trained: Path, tmp_path: Path) -> None:
    weights = [(trained / "model" / "model.safetensors").read_bytes()]
    for seed in ("0", "1"):
        out = tmp_path / seed
        flags = ["--out", str(out), "--steps", "60", "--seed", seed, *TINY]
        assert run_cli(["pretrain", str(trained / "corpus"), *flags]) == 0
        weights.append((out / "model" / "model.safetensors").read_bytes())
    assert weights[0] == weights[1] != weights[2]


def test_accumulated_gradients_train_alike(trained: Path, tmp_path: Path) -> None:
    losses = []
    for size in ("4", "1"):
        out = tmp_path / size
        flags = ["--out", str(out), "--steps", "30", "--micro-batch-size", size, *TINY]
        assert run_cli(["pretrain", str(trained / "corpus"), *flags]) == 0
        losses.append(json.loads((out / "result.json").read_text())["valid_loss_nats"])
    assert losses[0] == pytest.approx(losses[1], rel=0.02)


def test_evaluate_generate_and_runs_agree_with_the_run(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = json.loads((trained / "result.json").read_text())
    evaluation = printed(capsys, "evaluate", str(trained / "model"), str(trained / "corpus"))
    assert evaluation["bits_per_byte"] == pytest.approx(result["bits_per_byte"], rel=1e-6)
    flags = ["--prompt", "ink 研墨", "--max-tokens", "12", "--temperature", "0"]
    generation = printed(capsys, "generate", str(trained / "model"), *flags)
    assert generation["text"] and generation["finish_reason"] == "length"
    listed = printed(capsys, "runs", str(trained.parent))["runs"]
    assert isinstance(listed, list) and listed[0]["bits_per_byte"] == result["bits_per_byte"]


def test_generation_is_the_same_with_and_without_the_cache(trained: Path) -> None:
    loaded = yanmo.load(trained)
    tokens = torch.tensor([loaded.tokenizer.encode("grind 研墨 slowly")])
    session = loaded.model.start()
    scores = session.extend(tokens)
    for _ in range(10):
        tokens = torch.cat((tokens, scores.argmax(-1, keepdim=True)), dim=1)
        scores = session.extend(tokens[:, -1:])
        torch.testing.assert_close(scores, loaded.model.start().extend(tokens), atol=1e-4, rtol=1e-4)


def test_force_begins_again_and_keeps_what_is_not_the_run_s(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    flags = ["--out", str(out), "--steps", "4", *TINY]
    assert run_cli(["train", str(source), *flags]) == 0
    (out / "notes.txt").write_text("mine")
    assert run_cli(["train", str(source), *flags, "--seed", "3"]) == 2
    assert run_cli(["train", str(source), *flags, "--seed", "3", "--force"]) == 0
    assert "seed = 3" in (out / "run.toml").read_text()
    assert (out / "notes.txt").read_text() == "mine"


def test_transformers_opens_the_model_and_answers_the_same(trained: Path) -> None:
    transformers = pytest.importorskip("transformers")
    ours = yanmo.load(trained)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(trained / "model", dtype=torch.float32)
    tokenizer = transformers.AutoTokenizer.from_pretrained(trained / "model")
    text = "7: ink 研墨 stone"
    ids = tokenizer(text)["input_ids"]
    assert ids == ours.tokenizer.encode(text)
    with torch.inference_mode():
        logits_BTV = theirs(torch.tensor([ids])).logits
        torch.testing.assert_close(ours.model(torch.tensor([ids])), logits_BTV, atol=1e-4, rtol=1e-4)
        greedy = theirs.generate(torch.tensor([ids]), max_new_tokens=8, do_sample=False)[0, len(ids) :]
    generated = yanmo.generate(ours, text, max_tokens=8, temperature=0)[0]
    assert tokenizer.decode(greedy, skip_special_tokens=True) == generated.text


def test_plan_prints_candidates(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = printed(capsys, "plan", str(trained / "corpus"), "--steps", "10")
    chosen = plan["chosen"]
    assert isinstance(chosen, dict)
    keys = "num_parameters num_layers d_model vocab_size max_seq_len batch_tokens num_steps predicted_s"
    keys += " predicted_memory_bytes predicted_bits_per_byte interval"
    assert set(keys.split()) <= chosen.keys()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--budget", "soon"], "'soon' is not a duration"),
        (["--budget", "1s"], "too short|is spent before training begins"),
        ([], "give either --budget or --steps"),
        (["--budget", "1m", "--steps", "3"], "give either --budget or --steps"),
        (["--steps", "0"], "--steps must be at least 1"),
        (["--steps", "3", "--seed", "-1"], 'Invalid value "-1" for --seed. Must be >= 0.'),
        (["--steps", "5", "--vocab-size", "10"], "a vocabulary of 10 is out of range"),
    ],
)
def test_bad_flags_are_one_line_and_exit_code_2(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], message: str
) -> None:
    code = run_cli(["pretrain", str(trained / "corpus"), "--out", str(tmp_path / "r"), *flags])
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert code == 2
    assert any(part in error for part in message.split("|"))


def test_missing_and_unknown_things_are_one_line(
    source: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "strange").mkdir()
    (tmp_path / "strange" / "config.json").write_text('{"architectures": ["FooForBar"], "model_type": "foo"}')
    (tmp_path / "lstm").mkdir()
    (tmp_path / "lstm" / "config.json").write_text('{"model_type": "yanmo-lstm"}')
    (tmp_path / "mine.txt").write_text("not a run")
    cases = [
        (
            ["pretrain", str(tmp_path / "none"), "--out", str(tmp_path / "r"), "--steps", "3"],
            "no such corpus",
        ),
        (["generate", str(tmp_path / "strange"), "--prompt", "a"], "unknown model type 'foo'"),
        (
            ["embed", str(tmp_path / "lstm"), "--text", "a", "--dry-run"],
            "a yanmo-lstm is no Transformer, and this needs one",
        ),
        (["train", str(source), "--out", str(tmp_path), "--steps", "3"], "not a run of yanmo's"),
        (["train", "--steps", "3"], "no source given"),
    ]
    for arguments, message in cases:
        assert run_cli(arguments) == 2
        assert message in capsys.readouterr().err.strip().splitlines()[-1]
    assert (tmp_path / "mine.txt").read_text() == "not a run"


def test_only_pretraining_is_shared_between_processes(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    assert run_cli(["train", str(source), "--out", str(tmp_path / "r"), "--steps", "3", *TINY]) == 2
    assert "torchrun -m yanmo pretrain" in capsys.readouterr().err
    assert not (tmp_path / "r").exists()


def test_dry_runs_write_nothing(source: Path, trained: Path, tmp_path: Path) -> None:
    assert run_cli(["train", str(source), "--out", str(tmp_path / "a"), "--steps", "3", "--dry-run"]) == 0
    flags = ["--out", str(tmp_path / "b"), "--steps", "3", "--dry-run"]
    assert run_cli(["pretrain", str(trained / "corpus"), *flags]) == 0
    assert list(tmp_path.iterdir()) == []


def test_the_demo_text_is_the_python_reference(tmp_path: Path) -> None:
    write_python_reference(tmp_path / "source")
    assert "assert" in (tmp_path / "source" / "reference" / "assert.txt").read_text()
    json_module = (tmp_path / "source" / "library" / "json" / "__init__.md").read_text()
    assert "# dumps" in json_module
    num_bytes = sum(path.stat().st_size for path in (tmp_path / "source").rglob("*.*"))
    assert num_bytes > 1_500_000
