"""Near duplicates found among documents with planted copies, beside datasketch and rensa on the same input.

    python -m benchmarks duplicates [DOCUMENTS] [ROUNDS]      50,000 documents and 5,000 copies, 3 rounds

A copy has 1, 5, 10 or 20% of its words (English) or characters (Chinese) replaced, deleted, inserted or
swapped, at random places or all in one. A copy is found where it or its original is dropped; precision is the
share of the dropped documents that are copies or have one. All have the same shingles (three words or three
characters) and the same threshold, and the peers also their own one. One thread each, in alternating
processes; time is that of signing and finding, without reading the documents.
"""

from __future__ import annotations

import json
import os
import random
import re
import resource
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.machine import describe
from benchmarks.planted_texts import LANGUAGES, edited, make_documents
from yanmo.corpus.duplicates.signature import NearSettings, Signer

RATES = (0.01, 0.05, 0.1, 0.2)
WANTED = (0.99, 0.98, 0.95, 0.70)
SIMILARITY = NearSettings().similarity
JACCARD = NearSettings().jaccard
_CJK = re.compile(r"[一-鿿]")


def main() -> None:
    """Print speed, recall and precision of each."""
    if sys.argv[2:3] == ["--one"]:
        _run_one(sys.argv[3], Path(sys.argv[4]))
        return
    count = int(sys.argv[2]) if sys.argv[2:] else 50_000
    rounds = int(sys.argv[3]) if sys.argv[3:] else 3
    with TemporaryDirectory() as folder:
        path = Path(folder) / "documents.jsonl"
        truth = _plant(path, count)
        results: dict[str, list[dict[str, Any]]] = {name: [] for name in SYSTEMS}
        for _ in range(rounds):
            for name, runs in results.items():
                runs.append(_in_a_process(name, path))
    num_bytes = sum(len(text.encode()) for text in truth["texts"])
    print(f"{count:,} documents, {len(truth['copies']):,} copies, {num_bytes / 1e6:.0f} MB. {describe()}")
    print("| what | signing, s | finding, s | documents/s | peak memory, MB | dropped | precision |")
    print("|---|---|---|---|---|---|---|")
    for name, runs in results.items():
        print(_speed_row(name, runs, truth))
    print()
    heads = [f"{rate:.0%} edits (wanted {w:.0%})" for rate, w in zip(RATES, WANTED, strict=True)]
    print(f"| recall | {' | '.join(heads)} |")
    print("|---|---|---|---|---|")
    for name, runs in results.items():
        for row in _recall_rows(name, set(runs[0]["dropped"]), truth["copies"]):
            print(row)


def _plant(path: Path, count: int, seed: int = 0) -> dict[str, Any]:
    """Write the documents in a random order, and say which are copies of which."""
    rng = random.Random(seed)
    found = [
        (text, language) for language in LANGUAGES for text in make_documents(language, count // 2, seed)
    ]
    texts = [text for text, _ in found]
    copies = []
    originals = iter(rng.sample(range(len(texts)), count // 10))
    for number, original in enumerate(originals):
        text, language = found[original]
        rate, in_one_place = RATES[number % 4], number % 5 == 0
        copies.append((len(texts), original, language, rate, in_one_place))
        texts.append(edited(text, language, rate, rng, in_one_place=in_one_place))
    order = list(range(len(texts)))
    rng.shuffle(order)
    place = {old: new for new, old in enumerate(order)}
    shuffled = [texts[old] for old in order]
    path.write_text("".join(json.dumps(text, ensure_ascii=False) + "\n" for text in shuffled), "utf-8")
    return {"texts": shuffled, "copies": [(place[copy], place[of], *rest) for copy, of, *rest in copies]}


def _in_a_process(name: str, path: Path) -> dict[str, Any]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1"}
    command = (sys.executable, "-m", "benchmarks", "duplicates", "--one", name, str(path))
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def _run_one(name: str, path: Path) -> None:
    with path.open(encoding="utf-8") as lines:
        texts = [json.loads(line) for line in lines]
    signing, finding, dropped = SYSTEMS[name](texts)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"signing": signing, "finding": finding, "dropped": dropped, "peak": peak}))


def _ours(texts: list[str]) -> tuple[float, float, list[int]]:
    import duckdb

    from yanmo.corpus.duplicates.near import find_near

    connection = duckdb.connect(config={"threads": 1})
    start = time.perf_counter()
    signatures = Signer().sign_all(texts)
    middle = time.perf_counter()
    connection.execute("CREATE TABLE signatures (seq BIGINT, signature BLOB, strictness INTEGER)")
    columns = {"seq": np.arange(len(texts)), "signature": np.array(signatures, dtype=object)}
    connection.register("made", columns)
    connection.execute("INSERT INTO signatures SELECT seq, signature, 0 FROM made")
    find_near(connection, lambda seqs: ((seq, texts[seq]) for seq in seqs), settings=NearSettings())
    dropped = connection.execute("SELECT seq FROM near WHERE seq <> representative").fetchall()
    return middle - start, time.perf_counter() - middle, [seq for (seq,) in dropped]


def _shingles(text: str) -> list[str]:
    """Three words in a row, or three characters of Chinese, as users of the peers make them."""
    if _CJK.search(text):
        return [text[i : i + 3] for i in range(len(text) - 2)]
    words = text.split()
    return [" ".join(words[i : i + 3]) for i in range(len(words) - 2)]


def _datasketch(texts: list[str], threshold: float) -> tuple[float, float, list[int]]:
    from datasketch import MinHash, MinHashLSH

    start = time.perf_counter()
    signatures = []
    for text in texts:
        signature = MinHash(num_perm=128)
        signature.update_batch([shingle.encode() for shingle in _shingles(text)])
        signatures.append(signature)
    middle = time.perf_counter()
    index, dropped = MinHashLSH(threshold=threshold, num_perm=128), []
    for number, signature in enumerate(signatures):
        if any(signatures[other].jaccard(signature) >= threshold for other in index.query(signature)):
            dropped.append(number)
        else:
            index.insert(number, signature)
    return middle - start, time.perf_counter() - middle, dropped


def _rensa(texts: list[str], threshold: float) -> tuple[float, float, list[int]]:
    from rensa import RMinHash, RMinHashDeduplicator

    start = time.perf_counter()
    signatures = RMinHash.from_token_sets([_shingles(text) for text in texts], num_perm=128, seed=42)
    middle = time.perf_counter()
    index = RMinHashDeduplicator(threshold=threshold, num_perm=128, use_lsh=True)
    dropped = [number for number, signature in enumerate(signatures) if not index.add(str(number), signature)]
    return middle - start, time.perf_counter() - middle, dropped


SYSTEMS: dict[str, Callable[[list[str]], tuple[float, float, list[int]]]] = {
    f"yanmo, similarity {SIMILARITY}": _ours,
    f"datasketch, Jaccard {JACCARD:.2f}": lambda texts: _datasketch(texts, JACCARD),
    "datasketch, Jaccard 0.5": lambda texts: _datasketch(texts, 0.5),
    f"rensa, Jaccard {JACCARD:.2f}": lambda texts: _rensa(texts, JACCARD),
    "rensa, Jaccard 0.8": lambda texts: _rensa(texts, 0.8),
}


def _speed_row(name: str, runs: list[dict[str, Any]], truth: dict[str, Any]) -> str:
    family = {number for copy, original, *_ in truth["copies"] for number in (copy, original)}
    dropped = runs[0]["dropped"]
    precision = sum(number in family for number in dropped) / max(1, len(dropped))
    signing, finding, peak = (
        statistics.median(run[key] for run in runs) for key in ("signing", "finding", "peak")
    )
    speed = len(truth["texts"]) / (signing + finding)
    cells = (f"{signing:.1f}", f"{finding:.1f}", f"{speed:,.0f}", f"{peak:.0f}", str(len(dropped)))
    return f"| {name} | {' | '.join(cells)} | {precision:.2%} |"


def _recall_rows(name: str, dropped: set[int], copies: list[tuple[int, int, str, float, bool]]) -> list[str]:
    found: dict[str, dict[float, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for copy, original, language, rate, in_one_place in copies:
        is_found = copy in dropped or original in dropped
        for group in ("all", language, *(("edits in one place",) if in_one_place else ())):
            found[group][rate].append(is_found)
    return [
        f"| {name}: {group} | {' | '.join(f'{statistics.mean(rates[rate]):.2%}' for rate in RATES)} |"
        for group, rates in found.items()
    ]


if __name__ == "__main__":
    main()
