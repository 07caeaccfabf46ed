"""Near duplicates: signatures, candidates, verified pairs, and who is kept."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import duckdb
import numpy as np
import pytest

from yanmo.corpus.duplicates.clusters import Clusters, choose_kept
from yanmo.corpus.duplicates.near import NearSummary, bands_for, chance_to_meet, find_near
from yanmo.corpus.duplicates.signature import (
    SIGNATURE_BYTES,
    NearSettings,
    Signer,
    jaccard_of,
    similarity_of,
)
from yanmo.corpus.duplicates.words import SLICE_CHARS
from yanmo.errors import InputError

SETTINGS = NearSettings()
WORDS = [f"word{i}" for i in range(4000)]
CHARACTERS = [chr(0x4E00 + i) for i in range(3000)]


def make_text(rng: random.Random, count: int, *, chinese: bool = False) -> str:
    return "".join(rng.choices(CHARACTERS, k=count)) if chinese else " ".join(rng.choices(WORDS, k=count))


def change(text: str, rate: float, rng: random.Random, *, chinese: bool = False) -> str:
    """Replace a share of the words or characters by others."""
    units = list(text) if chinese else text.split()
    for place in rng.sample(range(len(units)), round(rate * len(units))):
        units[place] = "龘" if chinese else "changed"
    return ("" if chinese else " ").join(units)


def find(
    texts: Mapping[int, str],
    settings: NearSettings = SETTINGS,
    strictness: Mapping[int, int] | None = None,
    threads: int = 1,
    order: Sequence[int] = (),
    scratch: Path | None = None,
) -> tuple[NearSummary, dict[int, tuple[int, int, float]]]:
    connection = duckdb.connect(config={"threads": threads})
    connection.execute("CREATE TABLE signatures (seq BIGINT, signature BLOB, strictness INTEGER)")
    for seq in order or list(texts):
        row = (seq, Signer(settings).sign(texts[seq]) or None, (strictness or {}).get(seq, 0))
        connection.execute("INSERT INTO signatures VALUES (?, ?, ?)", row)

    def texts_of(seqs: Sequence[int]) -> Iterable[tuple[int, str]]:
        return ((seq, texts[seq]) for seq in reversed(seqs))

    summary = find_near(connection, texts_of, settings=settings, scratch=scratch)
    rows = connection.execute("SELECT * FROM near ORDER BY seq").fetchall()
    return summary, {seq: (cluster, kept, round(like, 6)) for seq, cluster, kept, like in rows}


@pytest.mark.parametrize("chinese", [False, True])
def test_planted_copies_are_found_and_nothing_else(chinese: bool) -> None:
    rng = random.Random(1)
    texts = {seq: make_text(rng, rng.randint(40, 300), chinese=chinese) for seq in range(200)}
    originals = {}
    for seq in range(200, 240):
        originals[seq] = seq - 200
        texts[seq] = change(texts[seq - 200], 0.02 + 0.1 * (seq % 2), rng, chinese=chinese)
    summary, found = find(texts)
    assert {seq: kept for seq, (_, kept, _) in found.items() if kept != seq} == originals
    assert (summary.num_documents, summary.num_clusters, summary.num_dropped) == (240, 40, 40)
    likeness = [found[seq][2] for seq in originals if seq % 2]
    assert np.mean(likeness) == pytest.approx(0.88, abs=0.02)


def test_the_result_depends_on_neither_threads_nor_the_order_of_the_table() -> None:
    rng = random.Random(2)
    texts = {seq: make_text(rng, 60) for seq in range(60)}
    texts |= {60 + seq: change(texts[seq % 20], 0.15, rng) for seq in range(60)}
    order = list(texts)
    rng.shuffle(order)
    first, second = find(texts), find(texts, threads=3, order=order)
    assert first == second
    assert first[0].num_dropped > 50


def test_a_copy_in_train_is_dropped_for_the_one_in_test() -> None:
    rng = random.Random(3)
    text = make_text(rng, 50)
    texts = {1: text, 2: change(text, 0.05, rng), 3: change(text, 0.05, rng)}
    _, found = find(texts, strictness={2: 2, 3: 1})
    assert {seq: (cluster, kept) for seq, (cluster, kept, _) in found.items()} == {
        1: (2, 2),
        2: (2, 2),
        3: (2, 2),
    }


def test_who_is_dropped_is_near_to_the_one_that_is_kept() -> None:
    # Each version is near to the next, and the last has little of the first.
    rng = random.Random(4)
    words = make_text(rng, 120).split()
    texts = {}
    for seq in range(6):
        texts[seq] = " ".join(words)
        words[seq * 18 : seq * 18 + 18] = make_text(rng, 18).split()
    _, found = find(texts)
    assert {cluster for cluster, _, _ in found.values()} == {0}
    kept = {seq for seq, (_, kept, _) in found.items() if kept == seq}
    assert 0 in kept
    assert 2 <= len(kept) <= 3
    for seq, (_, kept_for_it, likeness) in found.items():
        assert kept_for_it in kept
        assert kept_for_it <= seq
        assert likeness >= SETTINGS.similarity


def test_pairs_near_the_threshold_are_judged_by_their_texts() -> None:
    rng = random.Random(5)
    texts = {seq: make_text(rng, 100) for seq in range(80)}
    texts |= {100 + seq: change(texts[seq], 0.25, rng) for seq in range(80)}
    summary, found = find(texts)
    assert summary.num_read > 20
    num_exact = 0
    for seq, (_, kept, likeness) in found.items():
        sets = [
            {tuple(words[i : i + 3]) for i in range(98)}
            for words in (texts[seq].split(), texts[kept].split())
        ]
        exact = len(sets[0] & sets[1]) / len(sets[0] | sets[1])
        assert exact >= SETTINGS.jaccard
        num_exact += seq != kept and likeness == pytest.approx(similarity_of(exact, 3), abs=1e-6)
    assert num_exact > 20


def test_a_higher_threshold_keeps_forms_of_one_template() -> None:
    rng = random.Random(6)
    template = make_text(rng, 100)
    texts = {seq: f"{template} {make_text(rng, 12)}" for seq in range(30)}
    assert find(texts)[0].num_dropped == 29
    assert find(texts, NearSettings(similarity=0.97))[0].num_dropped == 0


def test_many_copies_of_one_text_cost_few_comparisons() -> None:
    rng = random.Random(7)
    template = make_text(rng, 100)
    texts = {seq: change(template, 0.02, rng) for seq in range(400)}
    summary, found = find(texts)
    assert summary.num_dropped == 399
    assert {kept for _, kept, _ in found.values()} == {0}
    assert summary.num_candidates < 400 * 30


def test_short_texts_have_no_signature_and_no_near_duplicates() -> None:
    assert Signer().sign("just a few words, 一二三四五六七八九十") == b""
    summary, found = find({1: "too short", 2: "too short", 3: ""})
    assert (summary.num_documents, found) == (0, {})


def test_no_file_is_left(tmp_path: Path) -> None:
    text = make_text(random.Random(8), 40)
    assert find({1: text, 2: text}, scratch=tmp_path)[1] == {1: (1, 1, 1.0), 2: (1, 1, 1.0)}
    assert not list(tmp_path.iterdir())


def test_signatures_are_the_same_on_every_machine() -> None:
    text = " ".join(f"word{i}" for i in range(40)) + "研墨三更灯下写字不知东方之既白"
    signature = Signer().sign(text)
    assert len(signature) == SIGNATURE_BYTES
    assert hashlib.sha256(signature).hexdigest()[:16] == "51db722c4986095d"


def test_signing_many_is_signing_each() -> None:
    rng = random.Random(9)
    texts = [make_text(rng, rng.randint(1, 900), chinese=bool(n % 2)) for n in range(60)]
    texts += ["", "no " * 3000, make_text(rng, 9000), "short"]
    assert Signer().sign_all(texts) == [Signer().sign(text) for text in texts]
    assert Signer().sign_all([]) == []


def test_a_text_longer_than_a_slice_is_signed_as_a_whole() -> None:
    rng = random.Random(10)
    text = make_text(rng, 2 * SLICE_CHARS // 6)
    assert len(text) > 2 * SLICE_CHARS
    half = text[: len(text) // 2]
    whole, part = (np.frombuffer(Signer().sign(one), np.uint16) for one in (text, half))
    assert (whole == part).mean() == pytest.approx(0.5, abs=0.1)


def test_repeated_words_change_nothing() -> None:
    cycle = " ".join(WORDS[:30]) + " "
    assert Signer().sign(cycle * 2) == Signer().sign(cycle * 250)


def test_similarity_is_the_share_of_words_in_common() -> None:
    assert jaccard_of(1, 3) == 1
    assert jaccard_of(0.8, 1) == pytest.approx(0.8 / 1.2)
    assert similarity_of(jaccard_of(0.77, 3), 3) == pytest.approx(0.77)
    # Every fourth word another one leaves 3/4 of the words, and of shingles of one word 3/5.
    rng = random.Random(11)
    words = rng.sample(WORDS, 2000)
    other = [f"other{place}" if place % 4 == 0 else word for place, word in enumerate(words)]
    one = NearSettings(shingle=1)
    signatures = [np.frombuffer(Signer(one).sign(" ".join(some)), np.uint16) for some in (words, other)]
    assert similarity_of(float((signatures[0] == signatures[1]).mean()), 1) == pytest.approx(0.75, abs=0.06)


@pytest.mark.parametrize("similarity", [0.5, 0.6, 0.75, 0.9, 0.97, 1.0])
def test_bands_find_most_pairs_at_the_threshold(similarity: float) -> None:
    jaccard = NearSettings(similarity=similarity).jaccard
    bands, rows = bands_for(jaccard)
    assert bands * rows <= 256
    assert chance_to_meet(jaccard, bands, rows) >= 0.8


def test_strict_thresholds_have_longer_bands() -> None:
    assert [bands_for(NearSettings(similarity=s).jaccard)[1] for s in (0.5, 0.75, 0.9, 1)] == [1, 3, 5, 8]


@pytest.mark.parametrize(
    "wrong", [{"similarity": 0.4}, {"similarity": 1.1}, {"shingle": 0}, {"min_units": 2}]
)
def test_senseless_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError):
        NearSettings(**wrong)


def test_clusters_join_through_others() -> None:
    clusters = Clusters(8)
    clusters.join(np.array([5, 2]), np.array([7, 3]))
    clusters.join(np.array([3]), np.array([7]))
    clusters.join(np.array([], np.int64), np.array([], np.int64))
    assert clusters.roots.tolist() == [0, 1, 2, 2, 4, 2, 6, 2]
    assert clusters.apart(np.array([2, 2]), np.array([7, 4])).tolist() == [False, True]
    assert [part.tolist() for part in clusters.members()] == [[2, 3, 5, 7], [2, 2, 2, 2]]


def test_joining_is_as_a_plain_union_find_does_it() -> None:
    rng = random.Random(12)
    clusters, plain = Clusters(200), list(range(200))
    for _ in range(12):
        pairs = [(rng.randrange(200), rng.randrange(200)) for _ in range(10)]
        clusters.join(np.array([a for a, _ in pairs]), np.array([b for _, b in pairs]))
        for a, b in pairs:
            low, high = sorted((plain[a], plain[b]))
            plain = [low if root == high else root for root in plain]
    assert clusters.roots.tolist() == plain


def test_after_so_many_rounds_the_rest_is_kept() -> None:
    members, roots = np.arange(4), np.zeros(4, np.int64)
    kept, similarity = choose_kept(
        members, roots, lambda first, _: np.full(len(first), np.nan), most_rounds=2
    )
    assert kept.tolist() == [0, 1, 2, 3]
    assert similarity.tolist() == [1, 1, 1, 1]
