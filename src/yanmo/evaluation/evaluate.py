"""How good a model is on a text, beside a baseline: what ``yanmo evaluate`` and ``yanmo score`` do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from yanmo import metrics
from yanmo.artifact import write_json
from yanmo.config import read_toml
from yanmo.corpus.build import read_texts
from yanmo.corpus.split import Split
from yanmo.corpus.store import SUMMARY_FILE, Corpus
from yanmo.errors import InputError
from yanmo.evaluation.baselines import ScoredBaseline, fit_baseline
from yanmo.evaluation.scoring import TextScore, evaluate_texts, sequence_losses
from yanmo.models.ngram.characters import sample_texts
from yanmo.models.registry import LoadedModel, load
from yanmo.reporting.progress import say
from yanmo.tokenizers.load import Tokenizer

__all__ = ["Evaluation", "evaluate", "evaluate_texts", "given_text", "score", "score_baseline"]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """A model's score on a text, and its baseline's.

    Attributes:
        model: folder of the model.
        name: the model's name.
        data: what it was evaluated on.
        split: of the corpus; None where the data is no corpus.
        score: the model's.
        baseline: ``name``, ``order`` and the keys of a score; None where there is no baseline. Its
            perplexity is per token of the model, so that the two can be compared.
    """

    model: str
    name: str
    data: str
    split: str | None
    score: TextScore
    baseline: dict[str, Any] | None

    def to_json(self) -> dict[str, Any]:
        """Plain values, as ``yanmo evaluate --json`` prints them."""
        return {
            "model": self.model,
            "name": self.name,
            "data": self.data,
            "split": self.split,
            **self.score.to_json(),
            "baseline": self.baseline,
        }

    def to_text(self) -> str:
        """A small table for people."""
        rows = [(self.name, self.score.to_json())]
        if self.baseline is not None:
            rows.append((self.baseline["name"], self.baseline))
        width = max(len(name) for name, _ in rows)
        lines = [f"{'':<{width}}  bits/byte   95% interval    perplexity"]
        for name, values in rows:
            low, high = values["interval"]
            interval = f"{low:.3f} to {high:.3f}"
            numbers = f"{values['bits_per_byte']:9.4f}   {interval:<14} {values['perplexity']:12,.2f}"
            lines.append(f"{name:<{width}}  {numbers}")
        where = self.data if self.split is None else f"{self.data}, {self.split} split"
        lines.append(
            f"{where}: {self.score.num_documents:,} documents, {self.score.num_bytes:,} bytes, "
            f"{self.score.num_tokens:,} tokens; perplexity is per token of {self.name}"
        )
        return "\n".join(lines)


def evaluate(
    model: Path | str | LoadedModel,
    data: Path | str | None = None,
    *,
    split: str = "test",
    baseline: bool | ScoredBaseline = True,
    baseline_corpus: Path | str | None = None,
    stride: int | None = None,
    max_bytes: int | None = None,
    seed: int = 0,
    out: Path | str | None = None,
) -> Evaluation:
    """Bits per byte and perplexity of a model on a text, beside a Kneser-Ney n-gram.

    Args:
        model: a model folder, or a model that ``yanmo.load`` returned.
        data: a corpus, whose ``split`` is used, or any file or folder of text; None takes the corpus
            that the model's run was trained on.
        split: ``test``, ``valid`` or ``train``; ``valid`` is taken where the corpus has no ``test``.
        baseline: train an n-gram and score it on the same text; or one that ``score_baseline`` scored on it.
        baseline_corpus: corpus to train it on where ``data`` is not one; the run's corpus if None.
        stride: tokens by which the window moves on long texts; half the model's context if None.
        max_bytes: score a sample of whole documents of about this size where there is more text.
        seed: of the interval's resampling, and of the sample.
        out: JSON file to write the result to; nothing is written if None.

    Raises:
        InputError: the model or the data cannot be read, or there is no text to score.
    """
    loaded = model if isinstance(model, LoadedModel) else load(model)
    run_corpus = _corpus_of_run(loaded.path)
    source = run_corpus if data is None else Path(data)
    if source is None:
        raise InputError(
            "there is no text to evaluate on", where=loaded.path, remedy="give a corpus or a file"
        )
    held = _open(source, split).sampled(max_bytes, seed)
    model_score = evaluate_texts(loaded.model, loaded.tokenizer, held.texts(), stride=stride, seed=seed)
    scored = baseline if isinstance(baseline, ScoredBaseline) else None
    if baseline is True:
        given = None if baseline_corpus is None else Path(baseline_corpus)
        scored = _score_baseline(held, given or run_corpus, loaded.tokenizer, seed)
    result = Evaluation(
        model=str(loaded.path),
        name=loaded.name,
        data=str(source),
        split=held.split,
        score=model_score,
        baseline=None if scored is None else scored.beside(model_score.num_tokens),
    )
    if out is not None:
        write_json(Path(out), result.to_json())
    return result


def score_baseline(
    corpus: Path, tokenizer: Tokenizer, *, max_bytes: int | None = None, seed: int = 0
) -> ScoredBaseline | None:
    """What an n-gram reaches on a corpus' test text; it needs no model, and can be asked before one.

    Args:
        corpus: a corpus folder.
        tokenizer: of the model that it will stand beside.
        max_bytes: as in ``evaluate``, whose text must be the same.
        seed: as in ``evaluate``.
    """
    held = _open(corpus, Split.TEST).sampled(max_bytes, seed)
    return _score_baseline(held, None, tokenizer, seed)


def score(
    model: Path | str | LoadedModel, texts: str | Iterable[str], *, stride: int | None = None
) -> dict[str, Any]:
    """Loss of texts as they are: nothing is put before them, so the first token of each is not scored.

    Args:
        model: a model folder, or a model that ``yanmo.load`` returned.
        texts: one text or several.
        stride: as in ``evaluate``.

    Returns:
        ``loss_nats`` (sum over the scored tokens: all but the first of each text), ``num_tokens``
        (scored), ``num_bytes`` (of the texts), and ``bits_per_byte``, the one over the other.

    Raises:
        InputError: no text has a second token.
    """
    loaded = model if isinstance(model, LoadedModel) else load(model)
    given = [text for text in ([texts] if isinstance(texts, str) else texts) if text]
    ids = [row for row in loaded.tokenizer.encode_batch(given) if len(row)]
    losses = list(sequence_losses(loaded.model, ids, stride=stride))
    num_tokens = sum(map(len, losses))
    if num_tokens == 0:
        raise InputError("there is nothing to score", remedy="give a text of at least two tokens")
    loss_nats = float(sum(row.sum(dtype=np.float64) for row in losses))
    num_bytes = sum(len(text.encode()) for text in given)
    return {
        "loss_nats": loss_nats,
        "num_tokens": num_tokens,
        "num_bytes": num_bytes,
        "bits_per_byte": metrics.bits_per_byte(loss_nats, num_bytes),
    }


def given_text(text: str | None, file: Path | None) -> str:
    """The one text that a user gave, as it is: itself, or the content of a UTF-8 file.

    Raises:
        InputError: neither or both were given, or the file cannot be read.
    """
    if text is not None and file is None:
        return text
    if file is None or text is not None:
        raise InputError("give either --text or --file")
    try:
        return file.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise InputError("no such file", where=file) from None
    except IsADirectoryError:
        raise InputError("is a folder", where=file, remedy="give a file, or use yanmo evaluate") from None
    except UnicodeDecodeError as error:
        raise InputError(
            f"not UTF-8 at byte {error.start}", where=file, remedy="convert it to UTF-8"
        ) from None


def _is_corpus(path: Path) -> bool:
    return (path / SUMMARY_FILE).is_file()


@dataclass(frozen=True, kw_only=True)
class _Held:
    """The text to evaluate on: a split of a corpus, or plain documents."""

    corpus: Corpus | None = None
    split: str | None = None
    plain: tuple[str, ...] = ()

    sample: tuple[str, ...] | None = None

    def texts(self) -> Iterable[str]:
        if self.sample is not None:
            return self.sample
        return self.plain if self.corpus is None or self.split is None else self.corpus.texts(self.split)

    def sampled(self, max_bytes: int | None, seed: int) -> _Held:
        if max_bytes is None:
            return self
        return replace(self, sample=tuple(sample_texts(self.texts(), max_bytes=max_bytes, seed=seed)))


def _open(source: Path, split: str) -> _Held:
    if not _is_corpus(source):
        return _Held(plain=tuple(read_texts(source)))
    corpus = Corpus.open(source)
    if split == Split.TEST and not corpus.num_bytes(split) and corpus.num_bytes(Split.VALID):
        say(f"{source}: has no test split; the valid split is used, by which the model may have been chosen")
        split = Split.VALID
    if not corpus.num_bytes(split):
        raise InputError(f"the corpus has no {split} split", where=source, remedy="choose another --split")
    return _Held(corpus=corpus, split=str(split))


def _corpus_of_run(model_folder: Path) -> Path | None:
    """The corpus that run.toml beside the model names, if both are there."""
    path = model_folder.resolve().parent / "run.toml"
    if not path.is_file():
        return None
    named = read_toml(path).get("corpus")
    if not isinstance(named, str):
        return None
    # A relative path is as the command was given it, or beside the run if the whole was moved.
    for corpus in (Path(named), path.parent / named, path.parent / "corpus"):
        if _is_corpus(corpus):
            return corpus
    return None


def _score_baseline(
    held: _Held, other: Path | None, tokenizer: Tokenizer, seed: int
) -> ScoredBaseline | None:
    """Train a baseline on the corpus that ``held`` is a split of, or else on another, and score it."""
    if held.split == Split.TRAIN:
        say("No baseline: it would be scored on the text it was trained on.")
        return None
    corpus = held.corpus
    if corpus is None:
        if other is None:
            say("No baseline: no corpus to train it on is known (give one with --baseline-corpus).")
            return None
        corpus = Corpus.open(other)
    if not corpus.num_bytes(Split.TRAIN):
        say(f"No baseline: {corpus.path} has no train split.")
        return None
    trained = fit_baseline(corpus.texts(Split.TRAIN), corpus.texts(Split.VALID), tokenizer=tokenizer)
    return ScoredBaseline(
        name=trained.name, order=trained.order, score=trained.score(held.texts(), seed=seed)
    )
