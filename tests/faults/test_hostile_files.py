"""A sample of every kind of hostile file at a small size; the benchmark reads thousands at full size."""

from __future__ import annotations

from benchmarks.hostile_files import MOST_BYTES, Outcome, complaint, read_hostile_files
from benchmarks.hostile_makers import KINDS

NUM_FILES = 66
MOST_COMPUTING_S = 4.0


def test_no_hostile_file_is_fatal_or_goes_unmentioned() -> None:
    outcomes = list(read_hostile_files(NUM_FILES, seed=1, scale=0.02))
    assert len({outcome.kind for outcome in outcomes}) == len(KINDS) + 1
    assert [f"{o.kind}, {o.name}: {o.fatal}" for o in outcomes if o.fatal or not o.is_listed] == []
    assert max(outcome.cpu_s for outcome in outcomes) < MOST_COMPUTING_S
    assert max(outcome.grown_bytes for outcome in outcomes) < MOST_BYTES
    # Some are only odd, and are read: the rest has to be refused by more than one reason.
    assert any(outcome.num_documents for outcome in outcomes)
    assert len({reason for outcome in outcomes for reason in outcome.refused}) >= 8


def test_a_missed_bar_is_told() -> None:
    assert complaint(Outcome(kind="k", name="n", num_documents=1)) == ""
    assert complaint(Outcome(kind="k", name="n")) == "gave neither a document nor a reason"
    assert "3.00 s" in complaint(Outcome(kind="k", name="n", num_documents=1, cpu_s=3.0))
    assert complaint(Outcome(kind="k", name="n", num_documents=1, grown_bytes=600 << 20)) == "took 600 MB"
    assert complaint(Outcome(kind="k", name="n", num_documents=1, fatal="died")) == "died"
