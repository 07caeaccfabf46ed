"""``yanmo corpus`` as a user calls it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from corpus_made import chinese_prose, prose


def yanmo(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from yanmo.cli.main import main; main()", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)


def make_texts(folder: Path) -> None:
    (folder / "texts").mkdir()
    for n in range(40):
        (folder / "texts" / f"{n}.txt").write_text(prose(n, 6) + chinese_prose(n, 3), encoding="utf-8")
    (folder / "texts" / "bad.bin").write_bytes(bytes(900))


def test_json_has_the_keys_that_scripts_rely_on(tmp_path: Path) -> None:
    make_texts(tmp_path)
    done = yanmo("corpus", "texts", "--out", "corpus", "--json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    value = json.loads(done.stdout.splitlines()[-1])
    assert value["num_documents"] == 40
    assert value["rejected"] == {"binary": 1}
    assert value["num_bytes"] == sum(split["num_bytes"] for split in value["splits"].values())
    assert set(value["splits"]) == {"train", "valid", "test"}
    assert value["path"] == "corpus"
    assert len(value["sha256"]) == 64
    again = yanmo("corpus", "texts", "--out", "corpus", "--json", folder=tmp_path)
    assert json.loads(again.stdout) == value
    assert "nothing to do" in again.stderr


def test_the_table_for_people(tmp_path: Path) -> None:
    make_texts(tmp_path)
    done = yanmo("corpus", "texts", "--out", "corpus", "--test-fraction", "0", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("corpus: 40 documents")
    assert "rejected: binary 1" in done.stdout
    assert not list((tmp_path / "corpus").glob("test-*.parquet"))


def test_dry_run_writes_nothing(tmp_path: Path) -> None:
    make_texts(tmp_path)
    done = yanmo("corpus", "texts", "--out", "corpus", "--dry-run", "--json", folder=tmp_path)
    value = json.loads(done.stdout)
    assert value["suffixes"] == {".txt": 40, ".bin": 1}
    # How much of it is read in time depends on the machine.
    sample = value["sample"]
    assert 0 < sample["num_documents"] <= 40
    assert set(sample["rejected"]) <= {"binary"}
    assert sample["estimated"]["num_documents"] >= sample["num_documents"]
    assert [path.name for path in tmp_path.iterdir()] == ["texts"]


def test_dry_run_for_people(tmp_path: Path) -> None:
    make_texts(tmp_path)
    for path in (tmp_path / "texts").glob("*.txt"):
        path.write_text(f"{path.read_text(encoding='utf-8')} \x1b[31mWrite to me@mail-server.org.")
    done = yanmo("corpus", "texts", "--out", "corpus", "--dry-run", "--min-chars", "5000", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("would read 41 files")
    assert re.search(r"  personal: email \d+ \(mask\)\n", done.stdout)
    assert re.search(r"  rejected: too short \d+\n    \d+\.txt\n    \| The .*…\n", done.stdout)
    assert "it would take about" in done.stdout
    assert "\x1b" not in done.stdout and "mail-server" not in done.stdout


def test_show_tells_of_a_document_before_and_after(tmp_path: Path) -> None:
    make_texts(tmp_path)
    letter = f"{prose(99, 9).strip()} \x1b[31mWrite to me@mail-server.org, schÃ¶n.\n"
    (tmp_path / "texts" / "letter.txt").write_text(letter, encoding="utf-8")
    (tmp_path / "texts").rename(tmp_path / "show")
    made = yanmo("corpus", "./show", "--out", "corpus", folder=tmp_path)
    assert made.returncode == 0, made.stderr
    assert "yanmo corpus show corpus ID" in made.stdout
    done = yanmo("corpus", "show", "corpus", "letter.txt", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "[-␛[31m-]" in done.stdout and "[-[EMAIL]-]{+[EMAIL]+}" in done.stdout
    assert "sch[-Ã¶-]{+ö+}n" in done.stdout and "\x1b" not in done.stdout
    value = json.loads(yanmo("corpus", "show", "corpus", "letter.txt", "--json", folder=tmp_path).stdout)
    assert value["changes"][-1] | {"start": 0, "end": 0, "source_start": 0, "source_end": 0} == {
        **dict.fromkeys(("start", "end", "source_start", "source_end"), 0),
        "before": "Ã¶",
        "after": "ö",
    }
    bare = yanmo("corpus", "show", "corpus", value["id"][:16], "--unmasked", folder=tmp_path)
    assert "[-me@mail-server.org-]{+[EMAIL]+}" in bare.stdout
    wrong = yanmo("corpus", "show", "corpus", "0000", folder=tmp_path)
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)


def test_bad_use_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    make_texts(tmp_path)
    for arguments, message in (
        (("missing", "--out", "corpus"), "missing: no such file or folder"),
        (("texts", "--out", "texts"), "not a corpus"),
        (("texts", "--out", "corpus", "--split", "sideways"), "auto, names, documents, pieces"),
        (("texts", "--out", "corpus", "--valid-fraction", "2"), "valid_fraction"),
    ):
        done = yanmo("corpus", *arguments, folder=tmp_path)
        assert done.returncode == 2, done.stderr
        assert message in done.stderr
        assert done.stderr.count("\n") == 1
        assert done.stdout == ""
