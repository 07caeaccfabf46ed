"""The models of ``yanmo corpus`` as a user names them: flags, the file of settings, and what goes wrong."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest
from corpus_made import chinese_prose, prose
from entities_made import make_marker
from sentence_made import make_encoder

from yanmo.cli.main import run


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    draw = random.Random(0)
    for name, size in (("texts", 8), ("good", 40)):
        (tmp_path / name).mkdir()
        for n in range(size):
            text = prose(n + 10 * size, 20) + chinese_prose(n + 10 * size, 40)
            (tmp_path / name / f"{n}.txt").write_text(text, encoding="utf-8")
    noise = " ".join("".join(draw.choices("etaoinshr", k=7)) for _ in range(80))
    (tmp_path / "texts" / "noise.txt").write_text(noise)
    (tmp_path / "texts" / "spam.txt").write_text("Click for casino discount. 加微信领红包，代开发票。" * 9)
    like = [" ".join(prose(n, 2).split()) for n in range(20)] + [chinese_prose(n, 3)[:40] for n in range(20)]
    unlike = ["click casino discount bonus", "加微信领红包，代开发票"] * 10
    (tmp_path / "like.txt").write_text("\n".join(line.strip() for line in like), encoding="utf-8")
    (tmp_path / "unlike.csv").write_text("text,n\n" + "\n".join(f"{line},1" for line in unlike), "utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_flags_and_the_file_of_settings_say_the_same(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--surprise", "good", "--like", "like.txt", "--unlike", "unlike.csv", "--workers", "0", "--json"]
    assert run(["corpus", "texts", "--out", "one", *flags]) == 0
    one = json.loads(capsys.readouterr().out)
    assert one["rejected"]["poor quality"] == 2
    Path("settings.toml").write_text(
        '[quality]\nsurprise = ["good"]\nlike = ["like.txt"]\nunlike = ["unlike.csv"]\n'
    )
    run(["corpus", "texts", "--out", "two", "--settings", "settings.toml", "--workers", "0", "--json"])
    assert json.loads(capsys.readouterr().out)["sha256"] == one["sha256"]


def test_models_are_named_by_their_folders(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_encoder(Path("encoder"))
    make_marker(Path("marker"))
    Path("texts/who.txt").write_text(prose(99, 9) + "Alice Smith met Bob.\n")
    flags = ["--same-meaning", "encoder", "--cosine", "1", "--entities", "marker", "--workers", "0", "--json"]
    assert run(["corpus", "texts", "--out", "one", *flags]) == 0
    said = capsys.readouterr().err
    assert re.search(r"comparing the meaning of (9|1\d) documents: \d\d pairs", said)
    assert "marker finds PER as name, ADDRESS as address" in said
    value = json.loads(Path("one/corpus.json").read_text(encoding="utf-8"))
    assert set(value["aids"]["sha256"]) == {"same_meaning", "entities"}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--same-meaning nothing", "nothing: no such folder"),
        ("--entities encoder", "does not classify tokens"),
        ("--like like.txt", "needs bad examples"),
        ("--max-surprise 2", "needs good text"),
        ("--cosine 0.9", "needs a sentence encoder"),
        ("--surprise like.txt", "too few to find a threshold"),
    ],
)
def test_wrong_use_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], flags: str, message: str
) -> None:
    if "encoder" in flags:
        make_encoder(Path("encoder"))
    assert run(["corpus", "texts", "--out", "one", "--workers", "0", *flags.split()]) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert not Path("one").exists()


def test_help_comes_in_groups(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["corpus", "--help"]) == 0
    shown = capsys.readouterr().out
    groups = (
        "How it is read and cleaned",
        "What is refused",
        "Personal data",
        "test sets",
        "Splits and weights",
    )
    places = [shown.index(group) for group in groups]
    assert places == sorted(places)
    assert places[1] < shown.index("--surprise") < shown.index("--unlike") < places[2]
