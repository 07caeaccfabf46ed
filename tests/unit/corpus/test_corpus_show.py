"""A document before and after: found at once, read again, and with what was masked still masked."""

from __future__ import annotations

import functools
import json
import shutil
from pathlib import Path

import duckdb
import pytest
from corpus_made import prose
from corpus_planted import FOOTER, SECRETS, plant, write

from yanmo.corpus import part as part_module
from yanmo.corpus.aids import Aids
from yanmo.corpus.build import build_corpus
from yanmo.corpus.origin import ORIGINS_FILE, find_file, label_of
from yanmo.corpus.personal.settings import Action, Found, Kind, PersonalSettings
from yanmo.corpus.reader import split_large
from yanmo.corpus.settings import CorpusSettings
from yanmo.corpus.show import Shown, segments, show_document
from yanmo.corpus.split import SplitBy
from yanmo.errors import InputError


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("show")
    settings = CorpusSettings(split=SplitBy.DOCUMENTS)
    return build_corpus(plant(folder / "in"), folder / "corpus", settings=settings, num_workers=0).path


def ids_of(corpus: Path, files: str) -> dict[str, str]:
    """Ids by source."""
    rows = duckdb.execute("SELECT source, id FROM read_parquet(?)", [f"{corpus}/{files}-*.parquet"])
    return dict(rows.fetchall())


def check(shown: Shown) -> None:
    """What stayed and came is the text, what stayed and went is the text before."""
    parts = list(segments(shown))
    assert "".join(text for sign, text in parts if sign != "-") == shown.text
    assert "".join(text for sign, text in parts if sign != "+") == shown.before


def test_every_document_is_what_became_of_its_source(made: Path) -> None:
    ids = {source: id_ for split in ("train", "valid", "test") for source, id_ in ids_of(made, split).items()}
    assert len(ids) > 60
    for source in [*sorted(ids)[::5], "notes/page.html", "logs/rows.csv#row=3"]:
        shown = show_document(made, ids[source])
        assert (shown.source, shown.id) == (source, ids[source])
        assert shown.split in ("train", "valid", "test")
        assert shown.note == ""
        check(shown)


def test_changes_stand_where_they_were_made(made: Path) -> None:
    shown = show_document(made, "notes/page.html")
    (change,) = shown.changes or ()
    assert (change.before, change.after) == ("Ã¶", "ö")
    assert shown.text[change.start : change.end] == "ö"
    assert shown.steps == {"mojibake repaired": 1}
    assert shown.file == made.parent / "in" / "notes" / "page.html"


def test_what_was_masked_stays_masked_unless_asked(made: Path) -> None:
    shown, bare = (show_document(made, "mails/07.txt", unmasked=unmasked) for unmasked in (False, True))
    for text in (json.dumps(shown.before), *(change.before for change in shown.changes or ())):
        assert not any(secret in text for secret in SECRETS)
    assert [change.before for change in (shown.changes or ())[-2:]] == ["[EMAIL]", "[PHONE]"]
    assert FOOTER + "\n\n" in [change.before for change in shown.changes or ()]
    assert "person7@mail-server.org" in (bare.before or "")
    assert (bare.changes or ())[-2].before == "person7@mail-server.org"
    check(bare)


def test_what_was_refused_tells_why(made: Path) -> None:
    near = show_document(made, "notes/near3.txt")
    assert (near.split, near.reason, near.detail) == ("", "near duplicate", "like notes/near0.txt")
    check(near)
    noise = show_document(made, "logs/noise.txt")
    assert noise.reason == "poor quality"
    assert noise.detail.startswith("lenient.")
    check(noise)
    row = show_document(made, "logs/rows.csv#row=22")
    assert (row.reason, row.text) == ("ragged row", "1,2,3,write to [EMAIL]\n")
    assert row.before == row.text
    assert "hidden@private-mail.org" in (show_document(made, row.id, unmasked=True).before or "")
    binary = show_document(made, "logs/bad.bin")
    assert (binary.before, binary.note) == (None, "nothing of it was read")


def test_an_id_may_be_cut_short_but_not_mistaken(made: Path) -> None:
    whole = show_document(made, "notes/near0.txt").id
    assert show_document(made, whole[:12]).source == "notes/near0.txt"
    counts: dict[str, int] = {}
    for files in ("train", "valid", "test"):
        for id_ in ids_of(made, files).values():
            counts[id_[0]] = counts.get(id_[0], 0) + 1
    common = max(counts, key=lambda letter: counts[letter])
    with pytest.raises(InputError, match=f"'{common}' may be {common}"):
        show_document(made, common)
    for absent in ("0" * 32, "notes/absent.txt", "../../etc/passwd", "%"):
        with pytest.raises(InputError, match="no document"):
            show_document(made, absent)
    with pytest.raises(InputError, match="is not a corpus"):
        show_document(made.parent, whole)


def test_sources_that_moved_went_or_changed(made: Path, tmp_path: Path) -> None:
    corpus, source = tmp_path / "corpus", tmp_path / "in"
    shutil.copytree(made, corpus)
    shutil.copytree(made.parent / "in", source)
    (corpus / ORIGINS_FILE).unlink()
    unknown = show_document(corpus, "notes/page.html")
    assert unknown.before is None and "--source" in unknown.note
    assert show_document(corpus, "notes/page.html", sources=[source]).note == ""
    page = source / "notes" / "page.html"
    write(page, "<p>Something else stands here now.</p>")
    changed = show_document(corpus, "notes/page.html", sources=[source])
    assert changed.before == "Something else stands here now."
    assert changed.changes is None and "has changed" in changed.note
    assert changed.text.startswith("schön")
    page.unlink()
    gone = show_document(corpus, "notes/page.html", sources=[source])
    assert gone.before is None and "no longer in" in gone.note
    write(source / "logs" / "rows.csv", "id,text\n1,alone\n")
    lost = show_document(corpus, "logs/rows.csv#row=5", sources=[source])
    assert "no longer in it" in lost.note and lost.file is not None


def test_a_source_that_changed_shows_no_secrets(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made.parent / "in", tmp_path / "in")
    write(tmp_path / "in" / "mails" / "07.txt", "Now write to another@mail-server.org.")
    shown = show_document(made, "mails/07.txt", sources=[tmp_path / "in"])
    assert shown.before == "Now write to [EMAIL]."


def test_pseudonyms_and_what_a_model_found_are_masked_before(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "model").mkdir()
    for n in range(30):
        write(tmp_path / "in" / f"{n}.txt", f"{prose(n, 8)} Ask Zhang Wei, zhang{n}@mail-server.org.\r\n")
    personal = PersonalSettings(action=Action.PSEUDONYM, entities=tmp_path / "model")
    settings = CorpusSettings(personal=personal, split=SplitBy.DOCUMENTS)
    aids = Aids(entities=find_zhang)
    corpus = build_corpus(
        tmp_path / "in", tmp_path / "out", settings=settings, make_aids=lambda *_: aids, num_workers=0
    ).path
    shown = show_document(corpus, "7.txt")
    assert "Zhang Wei" not in shown.text and "zhang7" not in shown.text
    assert "Zhang Wei" not in (shown.before or "") and "zhang7" not in (shown.before or "")
    assert "Ask [MASKED], [EMAIL].\r\n" in (shown.before or "")
    bare = show_document(corpus, "7.txt", unmasked=True)
    assert "Ask Zhang Wei, zhang7@mail-server.org.\r\n" in (bare.before or "")
    check(bare)


def find_zhang(text: str) -> list[Found]:
    place = text.find("Zhang Wei")
    return [Found(Kind.NAME, place, place + 9)] if place >= 0 else []


def test_pieces_of_a_novel_show_their_own_stretch(tmp_path: Path) -> None:
    chapters = [f"Chapter {n}\n\n{prose(n, 20)}" for n in range(60)]
    novel = "\n\n".join(chapters).replace("\n", "\r\n")
    write(tmp_path / "novel.txt", novel)
    corpus = build_corpus(tmp_path / "novel.txt", tmp_path / "out", num_workers=0).path
    ids = {
        source: id_ for split in ("train", "valid", "test") for source, id_ in ids_of(corpus, split).items()
    }
    assert len(ids) >= 3
    for source, id_ in ids.items():
        shown = show_document(corpus, id_)
        assert label_of(source) == "novel.txt" and shown.note == ""
        check(shown)
        assert len(shown.before or "") < 1.2 * len(shown.text)
        assert (shown.before or "").replace("\r\n", "\n").strip() == shown.text.strip()


def test_copies_slices_and_members_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "in"
    (source / "odd#name").mkdir(parents=True)
    records = [json.dumps({"text": f"{prose(n, 6)}\x07 \x07"}) for n in range(200)]
    write(source / "large.jsonl", "\n".join(records) + "\n")
    write(source / "odd#name" / "a#1.txt", prose(1000, 8) + "\x07")
    shutil.make_archive(str(source / "packed"), "zip", source / "odd#name")
    (source / "odd#name" / "a#1.txt").write_bytes(prose(2000, 8).encode() + b"\x07")
    monkeypatch.setattr(part_module, "split_large", functools.partial(split_large, slice_bytes=30_000))
    settings = CorpusSettings(weights={"large.jsonl": 2}, split=SplitBy.DOCUMENTS)
    corpus = build_corpus(source, tmp_path / "out", settings=settings, num_workers=0).path
    rows = duckdb.execute("SELECT source, id FROM read_parquet(?)", [f"{corpus}/train-*.parquet"]).fetchall()
    assert any("#byte=" in source for source, _ in rows)
    twice = [id_ for source, id_ in rows if source == rows[40][0]]
    assert len(twice) == 2
    for wanted in (*twice, "packed.zip/a#1.txt", "odd#name/a#1.txt"):
        shown = show_document(corpus, wanted)
        assert shown.note == "" and shown.changes
        assert "\x07" in (shown.before or "") and "\x07" not in shown.text
        check(shown)
    with pytest.raises(InputError, match="may be"):
        show_document(corpus, rows[40][0])


def test_no_label_leads_out_of_the_sources(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "in" / "a.txt").write_text("a")
    for label in ("../secret.txt", "/etc/passwd", str(tmp_path / "secret.txt"), "b/../../secret.txt"):
        assert find_file(label, [tmp_path / "in"]) is None
    found = find_file("a.txt#row=1", [tmp_path / "in"])
    assert found is not None and found.label == "a.txt"
    (tmp_path / "more").mkdir()
    found = find_file("in/a.txt", [tmp_path / "more", tmp_path / "in"])
    assert found is not None and found.label == "in/a.txt"
    assert find_file("a.txt", [tmp_path / "more", tmp_path / "in"]) is None
