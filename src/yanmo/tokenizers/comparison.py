"""Vocabularies side by side on held-out text: kinds, sizes, and tokenizers from elsewhere.

The folder holds a tokenizer folder for each that was trained, comparison.json, report.html, and timings.json,
which remembers how long each took to train, so that a command that was killed goes on where it was.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yanmo.artifact import read_json, write_json
from yanmo.corpus.store import Corpus
from yanmo.errors import InputError
from yanmo.reporting.progress import say
from yanmo.reporting.vocabularies import write_vocabulary_report
from yanmo.tokenizers.load import Tokenizer
from yanmo.tokenizers.purpose import Purpose
from yanmo.tokenizers.score import score_tokenizer
from yanmo.tokenizers.sizes import check_vocab_size
from yanmo.tokenizers.train import KINDS, prepare_tokenizer

RESULT_FILE, REPORT_FILE, TIMINGS_FILE = "comparison.json", "report.html", "timings.json"
# Of a larger held-out text, every n-th part is scored.
_MAX_TEXT_BYTES = 4 * 2**20
_PART_CHARS = 100_000


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One vocabulary of a comparison: a kind to train, with a size or one that fits, or a folder.

    Attributes:
        name: unique in the comparison.
        kind: a name in ``KINDS``; None for a folder.
        vocab_size: of a kind; None fits it to the corpus.
        folder: of a tokenizer or a model.
    """

    name: str
    kind: str | None = None
    vocab_size: int | None = None
    folder: Path | None = None

    @classmethod
    def parse(cls, text: str, vocab_size: int | None = None) -> Candidate:
        """Read what the command line names.

        Args:
            text: ``bpe``, ``bpe:4000``, or a folder.
            vocab_size: of a kind without a size.

        Raises:
            InputError: it is neither a kind, nor a kind with a size, nor a folder.
        """
        kind, _, size = text.partition(":")
        if kind in KINDS and (not size or size.isdecimal()):
            wanted = int(size) if size else vocab_size
            return cls(name=kind if wanted is None else f"{kind}-{wanted}", kind=kind, vocab_size=wanted)
        if Path(text).is_dir():
            return cls(name=Path(text).resolve().name, folder=Path(text))
        remedy = f"a kind ({', '.join(KINDS)}), a kind with a size (bpe:4000), or a tokenizer folder"
        raise InputError(f"cannot be compared: {text!r}", remedy=remedy)


def compare_tokenizers(
    corpus: Corpus | Path,
    out: Path,
    candidates: Sequence[Candidate],
    *,
    purpose: Purpose = Purpose.CAUSAL,
    force: bool = False,
) -> dict[str, Any]:
    """Train what is to be trained, score all on held-out text, and write the result and a report.

    Args:
        corpus: a corpus; the validation split is scored, or the test or training split where it is empty.
        out: folder to write; one that holds a comparison is gone on with.
        candidates: at least one.
        purpose: the objective that trained tokenizers are for.
        force: train anew what is there.

    Returns:
        ``path``, ``report``, ``split``, ``corpus`` (sha256) and ``candidates``: for each its name, kind, size
        and scores, the best first: most bytes a token.

    Raises:
        InputError: there is nothing to compare, no text, or something else is at ``out``.
    """
    corpus = corpus if isinstance(corpus, Corpus) else Corpus.open(corpus)
    _check(candidates, purpose)
    timings = _open_folder(out, force=force)
    split, texts = held_out_texts(corpus)
    rows: list[dict[str, Any]] = []
    for candidate in candidates:
        tokenizer = _tokenizer_of(corpus, candidate, out, timings, purpose=purpose, force=force)
        score = score_tokenizer(tokenizer, texts).to_mapping()
        train_s = timings.get(candidate.name) if candidate.folder is None else None
        rows.append({"name": candidate.name, "kind": candidate.kind, "train_s": train_s, **score})
        say(f"{candidate.name}: {score['bytes_per_token']:.3f} bytes per token")
    rows.sort(key=lambda row: (-row["bytes_per_token"], row["name"]))
    result = {"split": split, "corpus": corpus.sha256, "candidates": rows}
    write_json(out / RESULT_FILE, result)
    write_vocabulary_report(result, out / REPORT_FILE, name=out.resolve().name)
    return {"path": str(out), "report": str(out / REPORT_FILE), **result}


def held_out_texts(corpus: Corpus) -> tuple[str, list[str]]:
    """The split that tells how a tokenizer does on text that it was not made from, and a sample of it.

    Raises:
        InputError: the corpus is empty.
    """
    split = next((name for name in ("valid", "test", "train") if corpus.num_bytes(name)), None)
    if split is None:
        raise InputError("holds no text", where=corpus.path, remedy="give a corpus with some text")
    stride = max(1, math.ceil(corpus.num_bytes(split) / _MAX_TEXT_BYTES))
    return split, list(itertools.islice(_parts(corpus, split), 0, None, stride))


def _parts(corpus: Corpus, split: str) -> Iterator[str]:
    for text in corpus.texts(split):
        for start in range(0, len(text), _PART_CHARS):
            yield text[start : start + _PART_CHARS]


def _check(candidates: Sequence[Candidate], purpose: Purpose) -> None:
    if not candidates:
        raise InputError("there is nothing to compare", remedy="name kinds or tokenizer folders")
    names = [candidate.name for candidate in candidates]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"{twice[0]!r} is named twice", remedy="give each vocabulary once")
    for candidate in candidates:
        if candidate.vocab_size is not None:
            check_vocab_size(candidate.vocab_size, purpose)


def _open_folder(out: Path, *, force: bool) -> dict[str, float]:
    """What is known of earlier trainings; refuses a folder that holds something else."""
    path = out / TIMINGS_FILE
    if path.is_file():
        return {} if force else dict(read_json(path))
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        remedy = "choose another --out"
        raise InputError("already exists and is not a comparison of yanmo's", where=out, remedy=remedy)
    out.mkdir(parents=True, exist_ok=True)
    write_json(path, {})
    return {}


def _tokenizer_of(
    corpus: Corpus,
    candidate: Candidate,
    out: Path,
    timings: dict[str, float],
    *,
    purpose: Purpose,
    force: bool,
) -> Tokenizer:
    if candidate.folder is not None:
        return Tokenizer.load(candidate.folder)
    assert candidate.kind is not None
    folder = out / candidate.name
    is_there = folder.exists() and not force
    began = time.perf_counter()
    tokenizer = prepare_tokenizer(
        corpus, folder, vocab_size=candidate.vocab_size, kind=candidate.kind, purpose=purpose, force=force
    )
    if not is_there:
        timings[candidate.name] = time.perf_counter() - began
        write_json(out / TIMINGS_FILE, timings)
    return tokenizer
