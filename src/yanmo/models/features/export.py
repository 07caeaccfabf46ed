"""A corpus as classical analysis wants it: words, parts of speech, bags of words, TF-IDF.

The folder holds, whatever the kind, vocabulary.csv (term, documents, count; of the training split) and
top_terms.csv (the most frequent of each split and language), and

- words, pos: a .jsonl a split, an object a document with its id, source, language, words (and tags);
- counts, tfidf: a .npz a split as of ``scipy.sparse.save_npz``, a row a document and a column a term; a .csv
  with the id, source and language of each row; ``extractor/``, which gives the same numbers for new texts
  (``models.features.load``).

Terms and weights come from the training split alone, so the others stay unseen. The corpus is read twice,
as a stream; memory holds the columns' terms and some documents.
"""

from __future__ import annotations

import csv
import enum
import itertools
import json
import math
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfTransformer

from yanmo.artifact import claim, new_folder, read_json, write_json
from yanmo.config import to_mapping
from yanmo.corpus.document import Document
from yanmo.corpus.store import Corpus
from yanmo.errors import InputError
from yanmo.models.checkpoint import Checkpoint, sha256_of_model
from yanmo.models.entities import EntityFinder
from yanmo.models.features.matrix_file import MatrixFile
from yanmo.models.features.terms import BagOfWords, TermConfig, TfIdf, TfIdfConfig
from yanmo.models.features.vocabulary import TermCount, TermCounter
from yanmo.tokenizers.segmenter import tagged_words
from yanmo.tokenizers.words import chinese_characters, word_characters

SUMMARY_FILE = "features.json"
_SPLITS = ("train", "valid", "test")
_NUM_TOP = 50
_BATCH_ROWS = 256
# Long texts are tagged in pieces.
_PIECE_CHARS = 100_000
_NO_LANGUAGE = "und"


class ExportKind(enum.StrEnum):
    """What is written for each document."""

    WORDS = "words"
    """Its words, in order."""

    POS = "pos"
    """Its words with their parts of speech: Chinese by a dictionary, other languages by a model."""

    COUNTS = "counts"
    """How often each term occurs."""

    TFIDF = "tfidf"
    """Counts weighted by how few documents have the term, rows of length 1."""


@dataclass(frozen=True, kw_only=True)
class ExportSummary:
    """What an export holds.

    Attributes:
        path: the folder.
        kind: of the export.
        num_documents: documents written, in all splits.
        num_terms: terms in the vocabulary.
        num_passed_over: documents that could not be tagged, not being Chinese, for want of a model.
    """

    path: Path
    kind: ExportKind
    num_documents: int
    num_terms: int
    num_passed_over: int


def export_features(
    corpus: Corpus | Path,
    out: Path,
    kind: ExportKind,
    config: TermConfig | None = None,
    *,
    tagger: Path | None = None,
    force: bool = False,
) -> ExportSummary:
    """Write the features of a corpus.

    Args:
        corpus: a corpus folder, or the corpus already opened.
        out: folder to write; the same command again finds it done.
        kind: what is written.
        config: which words and terms; of ``pos`` only ``min_documents`` and ``max_terms`` count.
        tagger: a token-classification model, which gives the words of documents that are not Chinese their
            parts of speech.
        force: replace whatever is at ``out``.

    Raises:
        InputError: the corpus holds no terms, or for ``pos`` no Chinese; a package is missing; or something
            else is at ``out``; or the tagger is no such model.
    """
    corpus = corpus if isinstance(corpus, Corpus) else Corpus.open(corpus)
    config = config or TermConfig()
    details = export_details(corpus, kind, config, tagger)
    if not claim(out, kind="features", details=details, force=force):
        with new_folder(out, kind="features", details=details) as temporary:
            _Export(corpus, temporary, kind, config, tagger).write()
    told = read_json(out / SUMMARY_FILE)
    numbers = {name: told[name] for name in ("num_documents", "num_terms", "num_passed_over")}
    return ExportSummary(path=out, kind=kind, **numbers)


def export_details(
    corpus: Corpus, kind: ExportKind, config: TermConfig, tagger: Path | None = None
) -> dict[str, Any]:
    """What makes one export another than the next: for ``artifact.claim``.

    Raises:
        InputError: a tagger is given for another kind than ``pos``, or there is none.
    """
    details = {"export": kind.value, "corpus": corpus.sha256, "config": to_mapping(config)}
    if tagger is None:
        return details
    if kind is not ExportKind.POS:
        raise InputError(
            f"--tagger says nothing about {kind.value}", remedy="leave it out, or take --kind pos"
        )
    return {**details, "tagger_sha256": sha256_of_model(Checkpoint.open(tagger).path)}


class _Export:
    """One export on its way into a folder."""

    def __init__(
        self, corpus: Corpus, folder: Path, kind: ExportKind, config: TermConfig, tagger: Path | None
    ) -> None:
        self._corpus, self._folder, self._kind, self._config = corpus, folder, kind, config
        self._tagger = EntityFinder.load(tagger) if tagger else None
        self._terms: list[TermCount] = []
        self._columns: dict[str, int] = {}
        self._num_fitted = self._num_documents = self._num_passed_over = 0

    def write(self) -> None:
        self._fit()
        if self._kind in (ExportKind.COUNTS, ExportKind.TFIDF):
            self._save_extractor()
        with (self._folder / "top_terms.csv").open("w", newline="", encoding="utf-8") as file:
            top = csv.writer(file, lineterminator="\n")
            top.writerow(["split", "language", "rank", "term", "count", "documents"])
            for split in _SPLITS:
                if self._corpus.num_bytes(split):
                    self._write_split(split, top)
        summary = {
            "num_documents": self._num_documents,
            "num_terms": len(self._terms),
            "num_passed_over": self._num_passed_over,
        }
        write_json(self._folder / SUMMARY_FILE, {"export": self._kind.value, **summary})

    def _fit(self) -> None:
        """Choose the terms, from the training split, or from all where that is empty."""
        counter = TermCounter(self._folder)
        splits = ["train"] if self._corpus.num_bytes("train") else list(_SPLITS)
        for split in splits:
            for _, words, tags in self._documents(split):
                counter.add(self._terms_of(words, tags))
        config = self._config
        self._terms = counter.select(min_documents=config.min_documents, max_terms=config.max_terms)
        self._num_fitted, self._num_passed_over = counter.num_documents, 0
        counter.remove()
        if not self._terms:
            if self._kind is ExportKind.POS and not counter.num_documents:
                raise InputError(
                    "no document is Chinese, and tagging other languages needs a tagger with a model",
                    where=self._corpus.path,
                    remedy="give --tagger a model (yanmo finetune token-classification makes one), "
                    "or take --kind words",
                )
            raise InputError("no terms were found", where=self._corpus.path, remedy="give more text")
        self._columns = {found.term: column for column, found in enumerate(self._terms)}
        with (self._folder / "vocabulary.csv").open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(["term", "documents", "count"])
            rows.writerows(self._terms)

    @property
    def _idf(self) -> NDArray[np.float32]:
        """As scikit-learn smooths it: log((1 + n) / (1 + df)) + 1."""
        num = 1 + self._num_fitted
        return np.array([math.log(num / (1 + t.num_documents)) + 1 for t in self._terms], np.float32)

    def _save_extractor(self) -> None:
        terms = [found.term for found in self._terms]
        folder = self._folder / "extractor"
        if self._kind is ExportKind.COUNTS:
            BagOfWords.of_terms(terms, self._config).save(folder)
        else:
            config = TfIdfConfig(**vars(self._config))
            TfIdf.of_terms(terms, self._idf, config).save(folder)

    def _write_split(self, split: str, top: Any) -> None:
        """A split's documents, and its lines of the table of frequent terms."""
        counts: dict[str, NDArray[np.int64]] = {}
        with ExitStack() as files:
            write = self._open_matrix(split, files) if self._is_matrix else self._open_lines(split, files)
            for batch in _batches(self._documents(split)):
                rows = [self._row(words, tags) for _, words, tags in batch]
                for (document, _, _), (columns, times) in zip(batch, rows, strict=True):
                    language = document.language or _NO_LANGUAGE
                    found = counts.setdefault(language, np.zeros((2, len(self._terms)), np.int64))
                    found[0, columns] += times
                    found[1, columns] += 1
                write(batch, rows)
                self._num_documents += len(batch)
        for language, (times, documents) in sorted(counts.items()):
            best = np.lexsort((np.arange(len(times)), -times))[:_NUM_TOP]
            for rank, column in enumerate(best[times[best] > 0].tolist(), start=1):
                term = self._terms[column].term
                top.writerow([split, language, rank, term, int(times[column]), int(documents[column])])

    @property
    def _is_matrix(self) -> bool:
        return self._kind in (ExportKind.COUNTS, ExportKind.TFIDF)

    def _open_matrix(self, split: str, files: ExitStack) -> Any:
        matrix = files.enter_context(MatrixFile(self._folder / f"{split}.npz", len(self._terms)))
        listed = files.enter_context(self._create(f"{split}.csv"))
        rows = csv.writer(listed, lineterminator="\n")
        rows.writerow(["id", "source", "language"])
        weigher = TfidfTransformer()
        weigher.idf_ = self._idf

        def write(batch: Sequence[_Found], found: Sequence[_Row]) -> None:
            ends = np.cumsum([0, *(len(columns) for columns, _ in found)])
            columns = np.concatenate([columns for columns, _ in found])
            values = np.concatenate([times for _, times in found]).astype(np.float32)
            made = csr_matrix((values, columns, ends), shape=(len(found), len(self._terms)))
            matrix.append(weigher.transform(made) if self._kind is ExportKind.TFIDF else made)
            rows.writerows([d.id, d.source, d.language] for d, _, _ in batch)

        return write

    def _open_lines(self, split: str, files: ExitStack) -> Any:
        lines = files.enter_context(self._create(f"{split}.jsonl"))

        def write(batch: Sequence[_Found], found: Sequence[_Row]) -> None:
            for document, words, tags in batch:
                named = {"id": document.id, "source": document.source, "language": document.language}
                said = {**named, "words": words} | ({} if tags is None else {"tags": tags})
                lines.write(json.dumps(said, ensure_ascii=False) + "\n")

        return write

    def _create(self, name: str) -> TextIO:
        # A source may be named with what is no Unicode.
        return (self._folder / name).open("w", newline="", encoding="utf-8", errors="replace")

    def _documents(self, split: str) -> Iterator[_Found]:
        for document in self._corpus.documents(split):
            if self._kind is not ExportKind.POS:
                yield document, self._config.words(document.text), None
            elif (tagged := self._tagged(document.text)) is not None:
                yield document, [word for word, _ in tagged], [tag for _, tag in tagged]
            else:
                self._num_passed_over += 1

    def _tagged(self, text: str) -> list[tuple[str, str]] | None:
        """Words and their parts of speech; None where nothing knows them."""
        if _is_chinese(text):
            return [pair for pair in _tagged_chinese(text) if pair[0].strip()]
        return None if self._tagger is None else self._tagger.tag(text)

    def _terms_of(self, words: list[str], tags: list[str] | None) -> Iterator[str]:
        """What is counted: runs of words, or words with their tags."""
        if tags is not None:
            return (f"{word}/{tag}" for word, tag in zip(words, tags, strict=True))
        longest = self._config.max_ngram
        return itertools.chain(
            words,
            (
                " ".join(words[start : start + length])
                for length in range(2, longest + 1)
                for start in range(len(words) - length + 1)
            ),
        )

    def _row(self, words: list[str], tags: list[str] | None) -> _Row:
        known = (self._columns.get(term) for term in self._terms_of(words, tags))
        found = np.array([column for column in known if column is not None], np.int32)
        columns, times = np.unique(found, return_counts=True)
        return columns, times


_Found = tuple[Document, list[str], list[str] | None]
_Row = tuple[NDArray[np.int32], NDArray[np.int64]]


def _batches(documents: Iterator[_Found]) -> Iterator[list[_Found]]:
    while batch := list(itertools.islice(documents, _BATCH_ROWS)):
        yield batch


def _tagged_chinese(text: str) -> Iterator[tuple[str, str]]:
    normal = unicodedata.normalize("NFKC", text)
    for start in range(0, len(normal), _PIECE_CHARS):
        yield from tagged_words(normal[start : start + _PIECE_CHARS])


def _is_chinese(text: str) -> bool:
    """Whether a text has at least as many Chinese words as others: of about two characters, and of six."""
    in_word, chinese = word_characters(text).sum(), chinese_characters(text).sum()
    return bool(chinese and 3 * chinese >= in_word - chinese)
