"""A corpus tried on a sample: the same refusals, honest estimates, and nothing left behind."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from corpus_made import prose
from corpus_planted import SECRETS, plant

from yanmo.corpus.build import build_corpus
from yanmo.corpus.draw import Drawn
from yanmo.corpus.files import SourceFile
from yanmo.corpus.personal.settings import Action, PersonalSettings
from yanmo.corpus.sample import _grouped, sample_corpus
from yanmo.corpus.settings import CorpusSettings
from yanmo.corpus.split import SplitBy

NO_LIMIT_S = 1e6


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are made."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_a_small_folder_is_tried_as_a_whole(tmp_path: Path, scratch: Path) -> None:
    source = plant(tmp_path / "in")
    found = sample_corpus([source], out=tmp_path / "out", num_workers=1, limit_s=NO_LIMIT_S)
    assert found is not None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "scratch"]
    assert list(scratch.iterdir()) == []
    settings = CorpusSettings(split=SplitBy.DOCUMENTS)
    made = build_corpus(source, tmp_path / "corpus", settings=settings, num_workers=0)
    assert found["is_whole"]
    assert found["rejected"] == made.rejected
    assert found["cleaned"] == made.cleaned
    assert found["account"] == made.account
    for numbers in (found, found["estimated"]):
        assert (numbers["num_documents"], numbers["num_bytes"]) == (made.num_documents, made.num_bytes)
    assert not any(secret in json.dumps(found) for secret in SECRETS)


def make_large(folder: Path) -> tuple[Path, int]:
    """Some files of many documents, and how many there are."""
    folder.mkdir()
    for file, name in enumerate(("a.jsonl", "b.jsonl")):
        records = [json.dumps({"text": prose(1000 * file + n, 5)}) for n in range(250)]
        (folder / name).write_text("\n".join(records) + "\n")
    for n in range(150):
        (folder / f"{n}.txt").write_text(prose(3000 + n, 5))
    (folder / "c.csv").write_text("text\n" + "".join(f'"{prose(9000 + n, 5).strip()}"\n' for n in range(150)))
    return folder, 800


def test_of_much_a_sample_tells_about_how_much_there_is(tmp_path: Path, scratch: Path) -> None:
    source, number = make_large(tmp_path / "in")
    size = sum(path.stat().st_size for path in source.iterdir())
    found = sample_corpus([source], out=tmp_path, num_workers=0, num_bytes=size // 4, limit_s=NO_LIMIT_S)
    assert found is not None
    assert not found["is_whole"]
    assert found["num_bytes_on_disk"] == pytest.approx(size / 4, rel=0.3)
    assert found["estimated"]["num_documents"] == pytest.approx(number, rel=0.2)
    assert found["estimated"]["time_s"] > 0 and found["bytes_per_s"] > 0
    # A record or a row that was cut in two is no broken one.
    assert found["rejected"] == {}
    assert list(scratch.iterdir()) == []


def test_what_takes_too_long_is_left(tmp_path: Path, scratch: Path) -> None:
    source, number = make_large(tmp_path / "in")
    found = sample_corpus([source], out=tmp_path, num_workers=0, limit_s=0.0)
    assert found is not None
    assert not found["is_whole"]
    assert 0 < found["num_documents"] < number
    assert found["estimated"]["num_documents"] == pytest.approx(number, rel=0.3)
    assert list(scratch.iterdir()) == []


def test_no_key_is_made_for_pseudonyms(tmp_path: Path, scratch: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text(prose(1, 20) + "Write to someone@mail-server.org.")
    settings = CorpusSettings(personal=PersonalSettings(action=Action.PSEUDONYM))
    found = sample_corpus([tmp_path / "in"], out=tmp_path / "out", settings=settings, limit_s=NO_LIMIT_S)
    assert found is not None
    assert found["account"]["personal"] == [{"kind": "email", "num_found": 1, "action": "pseudonym"}]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "scratch"]


def test_an_empty_folder_has_no_sample(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "empty.txt").touch()
    assert sample_corpus([tmp_path / "in"], out=tmp_path / "out") is None


def test_the_first_parts_are_spread_over_everything(tmp_path: Path) -> None:
    files = [SourceFile(path=tmp_path / str(n), label=str(n), num_bytes=1) for n in range(64)]
    groups = _grouped([[Drawn(file=file, num_bytes=1)] for file in files])
    assert list(groups)[:4] == [0, 8, 4, 12]
    in_order = [one.file for number in sorted(groups) for one in groups[number]]
    assert in_order == files
