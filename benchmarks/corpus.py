"""A large folder of many kinds of files into a corpus: speed of each step, memory, kills.

    python -m benchmarks corpus [MEGABYTES] [KILLS]      1000 and 20 where nothing is given

The folder is made once, below YANMO_RUNS: texts recombined from the data sets (English and Chinese), as JSON
lines, plain text in six encodings, HTML, CSV, Parquet, Word, PDF, EPUB, mail and archives, and this machine's
own documentation. First each step is timed alone, in one process, on a sample; then ``yanmo corpus`` runs on
the whole; then again, killed at random moments and repeated, until it is done. Memory is that of all its
processes together.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb

from benchmarks import office_files
from benchmarks.kept_runs import runs_folder
from benchmarks.machine import YANMO, describe
from benchmarks.planted_texts import LANGUAGES, make_documents
from yanmo.corpus.cleaning.cleaner import Cleaner
from yanmo.corpus.cleaning.settings import CleaningSettings
from yanmo.corpus.document import Document
from yanmo.corpus.duplicates.exact import document_digest, line_digests
from yanmo.corpus.duplicates.signature import NearSettings, Signer
from yanmo.corpus.language.passages import shares
from yanmo.corpus.personal.find import find
from yanmo.corpus.personal.settings import PersonalSettings
from yanmo.corpus.quality.judge import Judge, QualitySettings
from yanmo.corpus.reader import read_documents

ENCODINGS = ("utf-8", "gb18030", "big5", "utf-16", "utf-8-sig", "utf-32")
DOCUMENTATION = ("/usr/share/doc", "/usr/share/man", "/usr/share/perl")
DOCUMENTATION_BYTES = 100 << 20
BATCH = 400
SAMPLE_BYTES = 20 << 20
STEPS_HEAD = "| step | MB/s a core |\n|---|---|"


def main() -> None:
    """Print both tables; ends with an error where kills changed a byte."""
    megabytes = int(sys.argv[2]) if sys.argv[2:] else 1000
    num_kills = int(sys.argv[3]) if sys.argv[3:] else 20
    folder = make_folder(megabytes)
    on_disk = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"a folder of {on_disk / 1e6:,.0f} MB. {describe()}")
    time_steps(folder)
    whole, killed = runs_folder() / "corpus-whole", runs_folder() / "corpus-killed" / "corpus-whole"
    for place in (whole, killed):
        shutil.rmtree(place, ignore_errors=True)
    wall_s, peak_bytes, _ = run(folder, whole)
    text_bytes = json.loads((whole / "corpus.json").read_text(encoding="utf-8"))["num_bytes"]
    cores = len(os.sched_getaffinity(0))
    print(
        f"yanmo corpus: {wall_s:,.0f} s, {on_disk / 1e6 / wall_s:.1f} MB/s of files, "
        f"{on_disk / 1e6 / wall_s / cores:.1f} a core; {text_bytes / 1e6:,.0f} MB of text kept; "
        f"at most {peak_bytes / 1e9:.2f} GB of memory",
        flush=True,
    )
    kills = 0
    draw = random.Random(0)
    while True:
        moment_s = draw.uniform(1.0, 1.8 * wall_s / num_kills) if kills < num_kills else None
        _, _, done = run(folder, killed, kill_after_s=moment_s)
        if done:
            break
        kills += 1
    same = digest(whole) == digest(killed)
    print(f"{kills} kills: {'the same bytes' if same else 'OTHER BYTES'}")
    if not same or kills < num_kills:
        sys.exit(1)


def time_steps(folder: Path) -> None:
    """Megabytes of text a second and core, for each step on its own, by processor time."""
    began_s, documents, num_bytes = time.process_time(), [], 0
    for item in read_documents(folder):
        if isinstance(item, Document):
            documents.append(item.text)
            num_bytes += len(item.text.encode("utf-8", "surrogatepass"))
        if num_bytes > SAMPLE_BYTES:
            break
    read_s = time.process_time() - began_s
    cleaner, judge, signer = Cleaner(CleaningSettings()), Judge(QualitySettings()), Signer(NearSettings())
    personal = PersonalSettings()
    steps: dict[str, Callable[[str], object]] = {
        "clean": cleaner.clean,
        "language": shares,
        "quality": lambda text: judge.judge(text, "en"),
        "personal data": lambda text: find(text, personal),
        "digests": lambda text: (document_digest(text), line_digests(text)),
    }
    for step in steps.values():
        step(documents[0])
    print(STEPS_HEAD)
    print(f"| read | {num_bytes / 1e6 / read_s:.1f} |")
    for name, step in steps.items():
        began_s = time.process_time()
        for text in documents:
            step(text)
        print(f"| {name} | {num_bytes / 1e6 / (time.process_time() - began_s):.1f} |", flush=True)
    began_s = time.process_time()
    for start in range(0, len(documents), BATCH):
        signer.sign_all(documents[start : start + BATCH])
    print(f"| signatures | {num_bytes / 1e6 / (time.process_time() - began_s):.1f} |", flush=True)


def run(folder: Path, out: Path, *, kill_after_s: float | None = None) -> tuple[float, int, bool]:
    """Seconds, the most memory of all processes together, and whether it came to its end."""
    command = [*YANMO, "corpus", str(folder), "--out", str(out)]
    began_s, peak_bytes = time.monotonic(), 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            peak_bytes = max(peak_bytes, memory_of(process.pid))
            if kill_after_s is not None and time.monotonic() - began_s > kill_after_s:
                process.send_signal(signal.SIGKILL)
                process.wait()
                return time.monotonic() - began_s, peak_bytes, False
            # Looking at memory takes time from what is measured.
            time.sleep(0.25)
    if process.returncode:
        sys.exit(f"yanmo corpus ended with {process.returncode}")
    return time.monotonic() - began_s, peak_bytes, True


def memory_of(process_id: int) -> int:
    """Bytes of a process and its children; pages that they share count once (PSS)."""
    total = 0
    for own in (process_id, *children_of(process_id)):
        try:
            lines = Path(f"/proc/{own}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total


def children_of(process_id: int) -> list[int]:
    """Processes that a process started."""
    found = []
    for path in Path(f"/proc/{process_id}/task").glob("*/children"):
        try:
            found += [int(number) for number in path.read_text().split()]
        except OSError:
            continue
    return found


def digest(corpus: Path) -> str:
    """Of every byte of a corpus folder."""
    whole = hashlib.sha256()
    for path in sorted(corpus.iterdir()):
        whole.update(path.name.encode() + b"\0" + path.read_bytes())
    return whole.hexdigest()


def make_folder(megabytes: int) -> Path:
    """The folder of files, made where it is not there."""
    folder = runs_folder() / "sources" / f"files-{megabytes}"
    if folder.is_dir():
        return folder
    temporary = folder.with_name(f"{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    left = megabytes * 10**6 - copy_documentation(temporary, min(DOCUMENTATION_BYTES, megabytes * 10**5))
    draw, number = random.Random(0), 0
    while left > 0:
        language = LANGUAGES[number % 2]
        texts = make_documents(language, BATCH, seed=number)
        kind = draw.choice(KINDS)
        for name, data in kind(texts, language, number):
            path = temporary / f"{number % 50:02d}" / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
            left -= len(data)
        number += 1
    temporary.rename(folder)
    return folder


def copy_documentation(folder: Path, num_bytes: int) -> int:
    """Documents of this machine, up to a size; what was copied."""
    copied = 0
    for root in DOCUMENTATION:
        for path in sorted(Path(root).rglob("*")):
            if copied > num_bytes:
                return copied
            if path.is_file() and not path.is_symlink() and path.stat().st_size:
                place = folder / "documentation" / str(path).lstrip("/")
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, place)
                copied += path.stat().st_size
    return copied


Files = Iterator[tuple[str, bytes]]


def json_lines(texts: list[str], language: str, number: int) -> Files:
    """Many documents, a line each; every tenth file packed."""
    rows = (json.dumps({"text": text, "n": n}, ensure_ascii=False) for n, text in enumerate(texts))
    data = "\n".join(rows).encode()
    if number % 10:
        yield f"{number}.jsonl", data
    else:
        yield f"{number}.jsonl.gz", gzip.compress(data, mtime=0)


def plain(texts: list[str], language: str, number: int) -> Files:
    """A file a document, in one of the encodings."""
    encoding = ENCODINGS[number % len(ENCODINGS)]
    for n, text in enumerate(texts):
        try:
            data = text.encode(encoding)
        except UnicodeEncodeError:
            data = text.encode()
        yield f"{number}-{n}.txt", data


def web_pages(texts: list[str], language: str, number: int) -> Files:
    """Pages with a menu and a footer."""
    menu = "".join(f'<li><a href="/{n}">Part {n}</a></li>' for n in range(20))
    for n, text in enumerate(texts):
        body = "".join(f"<p>{line}</p>" for line in text.split("\n"))
        head, foot = (
            f"<html><head><title>{n}</title></head>",
            "<footer>© 2026 All rights reserved</footer></html>",
        )
        page = f"{head}<body><nav><ul>{menu}</ul></nav><main>{body}</main></body>{foot}"
        yield f"{number}-{n}.html", page.encode()


def tables(texts: list[str], language: str, number: int) -> Files:
    """Rows of a table."""
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(["id", "text"])
    writer.writerows(enumerate(texts))
    yield f"{number}.csv", file.getvalue().encode()


def parquet(texts: list[str], language: str, number: int) -> Files:
    """The same, in Parquet."""
    path = runs_folder() / "rows.parquet"
    with duckdb.connect(":memory:") as connection:
        connection.execute("CREATE TABLE rows (text VARCHAR)")
        connection.execute("INSERT INTO rows SELECT unnest(?)", [texts])
        connection.execute(f"COPY rows TO '{path}' (FORMAT parquet)")
    yield f"{number}.parquet", path.read_bytes()
    path.unlink()


def office(texts: list[str], language: str, number: int) -> Files:
    """Word, OpenDocument, EPUB, mail, and PDF (of printable ASCII alone)."""
    for n in range(0, len(texts), 10):
        own = texts[n : n + 10]
        yield f"{number}-{n}.docx", office_files.docx(own)
        yield f"{number}-{n}.odt", office_files.odt(own[:3])
        yield f"{number}-{n}.epub", office_files.epub(own[3:6])
        yield f"{number}-{n}.eml", office_files.eml(own[6:8])
        if language == "English":
            pages = [text.encode("ascii", "ignore").decode() for text in own]
            yield f"{number}-{n}.pdf", office_files.pdf(pages)


def archives(texts: list[str], language: str, number: int) -> Files:
    """Texts in a zip file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for n, text in enumerate(texts):
            archive.writestr(zipfile.ZipInfo(f"{n}.txt"), text)
    yield f"{number}.zip", buffer.getvalue()


KINDS = (json_lines, json_lines, json_lines, plain, plain, web_pages, tables, parquet, office, archives)


if __name__ == "__main__":
    main()
