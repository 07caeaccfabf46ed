"""Damaged model files are refused in one clear line or read rightly; and the watchdog sees what is wrong."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import mutation_fakes
import pytest

from benchmarks import damage, mutations

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="a process's memory and time are read from /proc"
)

FAILURES = {
    "hang": (mutation_fakes.hang, "still at work after 1 s"),
    "die": (mutation_fakes.die, "the process died with exit code -11"),
    "touch memory": (mutation_fakes.touch_memory, "took "),
    "ask for memory": (mutation_fakes.ask_for_memory, "Unable to allocate"),
    "crash": (mutation_fakes.crash, "ValueError: 'could not convert string to float'"),
    "misread": (mutation_fakes.misread, "AssertionError: 'other values than the reference'"),
    "two lines": (mutation_fakes.two_lines, "not one clear line"),
}


def test_mutated_files() -> None:
    outcomes = list(mutations.run(mutations.KINDS, count=1600, seed=1_000_000))
    assert [f"{o.kind} {o.seed}: {o.failure}" for o in outcomes if o.failure] == []
    assert len(outcomes) == 1600
    for name in mutations.KINDS:
        of_kind = [outcome for outcome in outcomes if outcome.kind == name]
        # Damage that is always or never noticed would show nothing.
        assert {outcome.refused for outcome in of_kind} == {True, False}, name


def test_the_watchdog_sees_every_failure_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutations, "MAX_WORK_S", 1.0)
    kinds = {name: mutation_fakes.kind_of(read) for name, (read, _) in FAILURES.items()}
    kinds["refuse"] = mutation_fakes.kind_of(mutation_fakes.refuse)
    outcomes = {o.kind: o for o in mutations.run(kinds, count=len(kinds), seed=3)}
    assert outcomes.keys() == kinds.keys()
    for name, (_, expected) in FAILURES.items():
        assert expected in outcomes[name].failure, name
    assert outcomes["refuse"].refused
    assert outcomes["refuse"].failure == ""


def test_a_sound_file_may_not_be_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(mutations, "damage", lambda rng, content, find_json: content)
    mutation_fakes.make(tmp_path)

    def read(folder: Path) -> None:
        raise mutations.InputError("refused whatever it is")

    (tmp_path / "k").mkdir()
    mutation_fakes.make(tmp_path / "k")
    outcome = mutations._run_case(mutation_fakes.kind_of(read), "k", 0, tmp_path)
    assert "a sound file was refused" in outcome.failure


@pytest.mark.parametrize("find_json", [None, damage.whole_file])
def test_damage_follows_from_the_seed(find_json: Callable[[bytes], tuple[int, int]] | None) -> None:
    results = [damage.damage(random.Random(seed), mutation_fakes.SOUND, find_json) for seed in range(200)]
    again = [damage.damage(random.Random(seed), mutation_fakes.SOUND, find_json) for seed in range(200)]
    assert results == again
    assert len(set(results)) > 150
    assert sum(result == mutation_fakes.SOUND for result in results) < 20


def test_a_changed_header_keeps_its_length_right() -> None:
    header = b'{"w": {"dtype": "U8", "shape": [2], "data_offsets": [0, 2]}}'
    content = len(header).to_bytes(8, "little") + header + b"\1\2"
    found = 0
    for seed in range(100):
        changed = damage._in_json(random.Random(seed), content, *damage.safetensors_header(content))
        span = damage.safetensors_header(changed)
        assert span is not None
        found += changed[span[1] :] == b"\1\2" and changed != content
    assert found > 90
