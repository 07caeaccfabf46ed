"""No document and no piece of text is in two splits, and the shares are shares of the bytes."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Collection
from dataclasses import dataclass

import pytest

from yanmo.corpus.split import Division, Entry, Group, Named, Split, SplitBy, cut_text, divide, named_split
from yanmo.errors import InputError

PROSE = "".join(f"Paragraph {n} says a thing. It says another!\nA line.\n\n" for n in range(400))
NO_NAMES = Named()
NOVEL = "".join(f"第{n}回说的是一件事。后来又说了一件！\n\n" for n in range(400))


@dataclass(frozen=True)
class Made:
    """A document of the tests."""

    id: str
    num_bytes: int
    named: Split | None = None


class Pool:
    """Documents in memory, numbered in order."""

    def __init__(self, documents: list[Made]) -> None:
        self._documents = dict(enumerate(documents))

    @property
    def num_documents(self) -> int:
        return len(self._documents)

    @property
    def num_bytes(self) -> int:
        return sum(document.num_bytes for document in self._documents.values())

    def longer_than(self, num_bytes: float) -> list[Entry]:
        return [
            Entry(seq=seq, num_bytes=document.num_bytes, num_chars=document.num_bytes)
            for seq, document in self._documents.items()
            if document.num_bytes > num_bytes
        ]

    def by_hash(self, seed: int, without: Collection[int]) -> list[Group]:
        def key(seq: int) -> str:
            return hashlib.sha256(f"{seed}:{self._documents[seq].id}".encode()).hexdigest()

        seqs = sorted((seq for seq in self._documents if seq not in without), key=key)
        return [Group(id=seq, num_bytes=self._documents[seq].num_bytes) for seq in seqs]


def entry(index: int, num_bytes: int, named: Split | None = None) -> Made:
    return Made(f"{index:04d}", num_bytes, named)


def run(
    documents: list[Made],
    by: SplitBy = SplitBy.AUTO,
    seed: int = 0,
    test: float = 0.05,
    named: Named = NO_NAMES,
) -> Division:
    return divide(Pool(documents), named, by=by, valid_fraction=0.03, test_fraction=test, seed=seed)


def places(documents: list[Made], division: Division) -> dict[str, Split]:
    """The split of each document that is not cut."""
    return {
        document.id: division.held.get(seq, Split.TRAIN)
        for seq, document in enumerate(documents)
        if seq not in division.cut
    }


def held(documents: list[Made], division: Division, split: Split) -> int:
    return sum(documents[seq].num_bytes for seq, own in division.held.items() if own is split)


@pytest.mark.parametrize(
    ("source", "split"),
    [
        ("train.csv#row=9", Split.TRAIN),
        ("data/valid/001.txt", Split.VALID),
        ("squad-dev-v1.1.json#item=3", Split.VALID),
        ("wiki.test.tokens.gz", Split.TEST),
        ("test_2016.en.gz", Split.TEST),
        ("validation-00000-of-00001.parquet#row=1", Split.VALID),
        ("test/train.txt", Split.TRAIN),
        ("training/a.txt", Split.TRAIN),
        ("latest/contest.txt", None),
        ("devices.txt", None),
        ("tests/test_parser.py", None),
        ("notes#test/plain.txt", None),
        ("红楼梦.txt", None),
    ],
)
def test_names(source: str, split: Split | None) -> None:
    assert named_split(source) is split


def test_shares_are_of_bytes_not_of_documents() -> None:
    rng = random.Random(0)
    entries = [entry(n, int(rng.lognormvariate(6, 1)) + 1) for n in range(3000)]
    total = sum(e.num_bytes for e in entries)
    division = run(entries)
    assert not division.cut
    assert held(entries, division, Split.VALID) / total == pytest.approx(0.03, abs=0.003)
    assert held(entries, division, Split.TEST) / total == pytest.approx(0.05, abs=0.003)


def test_the_order_of_documents_does_not_matter_and_the_seed_does() -> None:
    entries = [entry(n, 100 + n) for n in range(200)]
    expected = places(entries, run(entries))
    shuffled = random.Random(1).sample(entries, len(entries))
    assert places(shuffled, run(shuffled)) == expected
    assert places(entries, run(entries, seed=1)) != expected


def test_a_new_document_moves_few_others() -> None:
    entries = [entry(n, 100) for n in range(1000)]
    more = [*entries, entry(5000, 100)]
    before, after = places(entries, run(entries)), places(more, run(more))
    assert sum(before[i] is not after[i] for i in before) <= 2


def test_a_few_long_documents_give_their_ends() -> None:
    entries = [entry(n, 100_000) for n in range(4)]
    division = run(entries)
    assert division.cut == dict.fromkeys(range(4), (0.03, 0.05))
    assert division.held == {}


def test_a_giant_among_many_is_cut_and_the_others_are_held_out_whole() -> None:
    entries = [entry(0, 1_000_000), *(entry(n, 1000) for n in range(1, 200))]
    division = run(entries)
    assert set(division.cut) == {0}
    assert set(places(entries, division).values()) == set(Split)


def test_tiny_files_beside_a_novel_stay_in_train_and_the_novel_gives_their_part() -> None:
    entries = [entry(0, 10_000), entry(1, 300), entry(2, 300)]
    division = run(entries)
    assert division.held == {}
    assert division.cut[0] == pytest.approx((0.03 * 1.06, 0.05 * 1.06))


def test_a_few_short_documents_are_held_out_whole() -> None:
    division = run([entry(n, 300) for n in range(8)])
    assert sorted(division.held.values()).count(Split.TEST) == 1
    assert sorted(division.held.values()).count(Split.VALID) == 1


def named(documents: list[Made]) -> tuple[list[Made], Named]:
    """The documents that no name holds out, and what names do."""
    own = {split: [d for d in documents if d.named is split] for split in (Split.VALID, Split.TEST)}
    free = [d for d in documents if d.named in (None, Split.TRAIN)]
    counts = {split: len(those) for split, those in own.items()}
    return free, Named(
        num_documents=counts,
        num_bytes={split: sum(d.num_bytes for d in those) for split, those in own.items()},
    )


def test_names_decide_and_only_what_is_missing_is_cut_from_train() -> None:
    documents = [entry(n, 500, Split.TEST) for n in range(10)] + [entry(100 + n, 500) for n in range(100)]
    free, names = named(documents)
    division = run(free, named=names)
    assert division.takes_names
    assert Split.TEST not in division.held.values()
    assert held(free, division, Split.VALID) == pytest.approx(0.03 * 50_000, abs=500)
    free, names = named([*documents, *(entry(300 + n, 500, Split.VALID) for n in range(3))])
    assert run(free, named=names) == Division(
        takes_names=True,
        how="split by the names of files and folders: valid has 3 documents, test has 10 documents",
    )


def test_a_file_named_so_by_chance_does_not_stand_for_the_valid_split() -> None:
    free, names = named([entry(0, 40, Split.VALID), *(entry(n, 1000) for n in range(1, 200))])
    division = run(free, named=names)
    assert division.takes_names
    assert held(free, division, Split.VALID) > 4000


def test_documents_mode_cuts_nothing_and_names_mode_wants_names() -> None:
    entries = [entry(n, 100_000) for n in range(4)]
    assert run(entries, SplitBy.DOCUMENTS).cut == {}
    with pytest.raises(InputError, match="no file or folder is named"):
        run(entries, SplitBy.NAMES)


def test_no_test_share_leaves_no_test() -> None:
    entries = [entry(n, 500) for n in range(100)]
    assert Split.TEST not in run(entries, test=0.0).held.values()
    assert run([entry(0, 50_000)], test=0.0).cut == {0: (0.03, 0.0)}


@pytest.mark.parametrize("entries", [[entry(0, 500)], [], [entry(n, 10) for n in range(50)]])
def test_too_small(entries: list[Entry]) -> None:
    with pytest.raises(InputError, match=r"too small to split.*2\.0 KB of text are needed"):
        run(entries)


def joined(pieces: list[tuple[Split, str]], split: Split) -> str:
    return "".join(piece for of, piece in pieces if of is split)


@pytest.mark.parametrize("text", [PROSE, NOVEL, "x" * 10_000, "word " * 3000, "一" * 5000, "a。" * 3000])
@pytest.mark.parametrize("shares", [(0.03, 0.05), (0.1, 0.0), (0.03, 0.1)])
def test_pieces_joined_are_the_text(text: str, shares: tuple[float, float]) -> None:
    pieces = cut_text(text, *shares)
    assert "".join(piece for _, piece in pieces) == text
    for split, share in zip((Split.VALID, Split.TEST), shares, strict=True):
        assert len(joined(pieces, split)) / len(text) == pytest.approx(share, rel=0.6)


def test_a_long_text_is_held_out_from_all_over() -> None:
    text = "".join(f"Line {number} of a long text.\n" for number in range(40_000))
    pieces = cut_text(text, 0.02, 0.03)
    assert [split for split, _ in pieces] == [Split.TRAIN, Split.VALID, Split.TEST] * 8
    tests = [piece for split, piece in pieces if split is Split.TEST]
    assert min(map(len, tests)) > 2000
    places = [text.index(piece) / len(text) for piece in tests]
    assert places == pytest.approx([(n + 1) / 8 - 0.03 / 8 for n in range(8)], abs=0.01)


@pytest.mark.parametrize("text", [PROSE, NOVEL])
def test_cuts_fall_between_paragraphs(text: str) -> None:
    assert all(piece.endswith("\n\n") for _, piece in cut_text(text, 0.03, 0.05)[:-1])


def test_cuts_fall_after_sentences_where_there_are_no_lines() -> None:
    pieces = cut_text(PROSE.replace("\n", " "), 0.03, 0.05)
    assert pieces[0][1].rstrip()[-1] in ".!"
    assert cut_text(NOVEL.replace("\n", ""), 0.03, 0.05)[1][1][-1] in "。！"
