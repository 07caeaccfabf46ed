"""More than 100 malformed task files: each is told in one clear line with the file, the row and a remedy."""

from __future__ import annotations

from pathlib import Path

import pytest
from malformed_columns import COLUMNS_CASES
from malformed_entities import ENTITIES_CASES
from malformed_made import Case
from malformed_tables import TABLES_CASES
from malformed_texts import TEXTS_CASES

from yanmo.errors import InputError
from yanmo.tasks.check import check_examples
from yanmo.tasks.examples import ClassificationExample, Origin
from yanmo.tasks.findings import FindingKind
from yanmo.tasks.read import load_examples
from yanmo.tasks.split import SplitSettings, split_examples

CASES = [*COLUMNS_CASES, *TABLES_CASES, *ENTITIES_CASES, *TEXTS_CASES]


def told(case: Case, folder: Path) -> tuple[list[str], int]:
    """All lines that are said of the files, and how many examples they give."""
    for name, data in case.files.items():
        (folder / name).write_bytes(data)
    try:
        loaded = load_examples(folder, case.task, case.settings)
    except InputError as error:
        return [str(error)], 0
    splits = (
        split_examples(loaded.examples, SplitSettings(valid=0, test=0)) if len(loaded.examples) > 2 else None
    )
    named = splits.by_name() if splits else {"train": loaded.examples}
    report = check_examples(named, broken=loaded.broken)
    return [*map(str, loaded.broken), *map(str, report.findings)], len(loaded.examples)


def test_there_are_a_hundred_of_them() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 100


@pytest.mark.parametrize("case", CASES, ids=[case.name.replace(" ", "-") for case in CASES])
def test_malformed_file(case: Case, tmp_path: Path) -> None:
    said_lines, num_good = told(case, tmp_path)
    fitting = [
        line for line in said_lines if case.where in line and case.says in line and case.remedy in line
    ]
    assert fitting, said_lines
    line = min(fitting, key=len)
    assert "\n" not in line
    assert line.endswith(")")
    assert str(tmp_path) not in line
    if case.num_good is not None:
        assert num_good == case.num_good


def test_a_million_labels_are_told_and_not_trained_on() -> None:
    examples = [
        ClassificationExample(text=f"text {i}", label=f"label {i}", origin=Origin("a.csv", i + 2, i + 2))
        for i in range(1_000_000)
    ]
    report = check_examples({"train": examples})
    found = next(finding for finding in report.errors if finding.kind is FindingKind.MANY_LABELS)
    assert "1,000,000 different labels" in found.what.en
    assert "1,000,000 个不同标签" in found.what.zh
    assert found.rows[0].file == "a.csv"
