"""sentence-similarity and feature-extraction: vectors of texts that are near where meanings are.

Learned from pairs that belong together, with or without a text that does not, from pairs with a score, or
from texts alone (Gao et al. 2021, arXiv 2104.08821, section 3: a text is a pair with itself, told apart by
nothing but dropout). How a vector is made of a text is what the model's side files say, and the mean of its
tokens where there are none (Reimers and Gurevych 2019, arXiv 1908.10084, section 3); layers behind pooling
stay as they are.

A prediction is ``{"embedding": [...]}`` of one text and ``{"score": cosine}`` of two. Of several pairs
without scores it also tells the ``rank`` of the second text among all of them, 1 for the best; other
seconds of the same first are left out (Bordes et al. 2013, "filtered"). Texts alone are judged by finding
the second half of each by its first: a measure at hand where nothing is labelled, and no more than that.

Shapes: M candidates, E numbers in a vector.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from yanmo import metrics
from yanmo.errors import InputError
from yanmo.finetuning.contrast import StepLoss, TextBatches, TextRow, known_of
from yanmo.finetuning.encoding import InputEncoder
from yanmo.finetuning.skill import OnProgress, Prediction, Validate
from yanmo.metrics import Scores
from yanmo.models.base import Trainable
from yanmo.models.checkpoint import Checkpoint
from yanmo.models.folder import load_transformer
from yanmo.models.sentence import SentenceEncoder, SentenceReader, Vectors, vectors_of
from yanmo.models.sentence_settings import (
    MODULES_FILE,
    SentenceSettings,
    read_sentence_settings,
    write_mean_pooling,
)
from yanmo.models.transformer import Transformer
from yanmo.nn.dropout import RowDropout
from yanmo.nn.packing import Segments
from yanmo.tasks.examples import SimilarityExample, TextExample

Embedded = SimilarityExample | TextExample
# From some texts and others to how alike they are, (texts, others).
Likeness = Callable[[Sequence[str], Sequence[str]], NDArray[np.floating[Any]]]
_KIND = "embeddings_learned_from"
_TEMPERATURE = 0.05
# Rows that are compared with each other at once in a validation, and firsts whose likeness is held at once.
_GROUP, _BLOCK = 64, 256
# Behind this rank a text counts as not found.
_LAST_RANK = 1000
_RANK_SCORES = ("ndcg@10", "mrr", "recall@1", "recall@5", "recall@10")


class Evidence(StrEnum):
    """What examples say of texts."""

    SCORES = "scores"
    PAIRS = "pairs"
    TEXTS = "texts"


@dataclass(kw_only=True, eq=False)
class Embeddings:
    """A ``Skill``.

    Attributes:
        evidence: what is learned from.
        sentence: how a vector is made; known once there is a model.
        temperature: that cosines are divided by.
        num_skipped: tokens of a prompt that do not count; known once there are rows.
    """

    evidence: Evidence
    sentence: SentenceSettings | None = None
    temperature: float = _TEMPERATURE
    num_skipped: int = 0

    @classmethod
    def read(cls, config: Mapping[str, Any], folder: Path, *, d_model: int) -> Embeddings:
        """The skill of a model that has it, by its config.json and its side files.

        Raises:
            InputError: a side file is damaged.
        """
        named = config.get(_KIND)
        evidence = Evidence(named) if named in list(Evidence) else Evidence.PAIRS
        return cls(evidence=evidence, sentence=read_sentence_settings(folder, d_model=d_model))

    @property
    def metrics_name(self) -> str:
        """Of scores, or of ranks."""
        return "sentence-similarity" if self.evidence is Evidence.SCORES else "text-ranking"

    @property
    def settings(self) -> dict[str, Any]:
        """What it was learned from."""
        return {_KIND: str(self.evidence)}

    @property
    def known_sentence(self) -> SentenceSettings:
        """How a vector is made, once there is a model."""
        assert self.sentence is not None, "a network comes first"
        return self.sentence

    def network(self, checkpoint: Checkpoint) -> Transformer:
        """The checkpoint's network without heads.

        Raises:
            InputError: the model or a side file is damaged.
        """
        network = load_transformer(
            checkpoint.config, checkpoint.source(), where=checkpoint.config_path, bare=True
        )
        self.begin(network, checkpoint)
        return network

    def begin(self, network: Transformer, checkpoint: Checkpoint) -> None:
        """Take a network that is there already, of the checkpoint.

        Raises:
            InputError: a side file is damaged.
        """
        self.sentence = read_sentence_settings(checkpoint.path, d_model=network.config.d_model)
        self.sentence.tail.requires_grad_(False)

    def batches(
        self, examples: Sequence[Embedded], encoder: InputEncoder, *, batch_size: int, seed: int
    ) -> TextBatches:
        """Packed batches of all texts of the rows.

        Raises:
            InputError: there is no example, or a text is not valid Unicode or has no token.
        """
        return TextBatches(self._rows(examples, encoder), batch_size=batch_size, seed=seed)

    def objective(self) -> StepLoss:
        """In-batch negatives, or the order of the scores."""
        settings, needs_dropout = self.known_sentence, self.evidence is Evidence.TEXTS

        def embed(model: Transformer, tokens_1N: Tensor, segments: Segments) -> Tensor:
            if needs_dropout and model.training and not _drops(model):
                raise InputError("texts alone teach nothing without dropout", remedy="--dropout 0.1")
            return vectors_of(model, tokens_1N, segments, settings, skipped=self.num_skipped)

        return StepLoss(embed, temperature=self.temperature)

    def validation(self, examples: Sequence[Embedded], encoder: InputEncoder) -> Validate:
        """Loss a row, in groups of 64 rows, and the scores.

        Raises:
            InputError: the rows have no scores where those that are learned from do, or the other way round.
        """
        judged, pairs = self.judging(examples)
        if judged.metrics_name != self.metrics_name:
            raise InputError(
                f"learned from {self.evidence} and chosen by {judged.evidence}",
                remedy="give --valid rows that are like those that are learned from",
            )
        rows = judged._rows(pairs, encoder)
        loss = judged.objective()

        def validate(model: Trainable) -> dict[str, float]:
            assert isinstance(model, Transformer)
            vectors = judged._vectors(model, [text for pair in pairs for text in pair.inputs()], encoder)
            loss_nats = 0.0
            for start in range(0, len(pairs), _GROUP):
                group = pairs[start : start + _GROUP]
                columns = (
                    [vectors[pair.first] for pair in group],
                    [vectors[pair.second] for pair in group],
                    [vectors[pair.negative] for pair in group if pair.negative is not None],
                )
                firsts, seconds, negatives = (
                    _stacked(column, len(vectors[pairs[0].first])) for column in columns
                )
                known = known_of(rows[start : start + _GROUP])
                loss_nats += float(loss.of_vectors(firsts, seconds, negatives, known))
            predictions = judge_pairs(pairs, _cosines(vectors))
            defined = {
                name: value
                for name, value in judged.score(pairs, predictions).values.items()
                if value == value
            }
            return {"loss_nats": loss_nats / len(pairs), **defined}

        return validate

    def answer(
        self,
        model: Transformer,
        examples: Sequence[Embedded],
        encoder: InputEncoder,
        *,
        on_progress: OnProgress | None = None,
    ) -> list[Prediction]:
        """Vectors of texts, cosines of pairs."""
        texts = [text for example in examples for text in example.inputs()]
        vectors = self._vectors(model, texts, encoder)
        pairs = [example for example in examples if isinstance(example, SimilarityExample)]
        of_pairs = iter(judge_pairs(pairs, _cosines(vectors)))
        found = [
            next(of_pairs)
            if isinstance(example, SimilarityExample)
            else {"embedding": vectors[example.text].tolist()}
            for example in examples
        ]
        if on_progress is not None:
            on_progress(len(examples))
        return found

    def judging(self, examples: Sequence[Embedded]) -> tuple[Self, list[SimilarityExample]]:
        """The skill and the pairs by which vectors are judged on examples, whatever was learned from.

        Raises:
            InputError: kinds of examples are mixed.
        """
        evidence = evidence_of(examples)
        judged = dataclasses.replace(self, evidence=evidence)
        return judged, [
            example if isinstance(example, SimilarityExample) else _halves(example) for example in examples
        ]

    def score(self, examples: Sequence[Embedded], predictions: Sequence[Prediction]) -> Scores:
        """Correlations with the scores, or how high the seconds rank; of examples as ``judging`` has them."""
        if self.evidence is Evidence.SCORES:
            gold = [score for example in examples if (score := _score_of(example)) is not None]
            said = [row["score"] for row in predictions]
            return metrics.regression(gold, said).only(["spearman", "pearson"])
        ranks = [int(row.get("rank", 1)) for row in predictions]
        ranked = [[*range(1, rank), 0] if rank <= _LAST_RANK else [1] for rank in ranks]
        return metrics.retrieval([(0,)] * len(ranks), ranked).only(list(_RANK_SCORES))

    def exported(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """As they are."""
        return dict(weights)

    def learned(self) -> Self:
        """The same."""
        return self

    def write_side_files(self, folder: Path, *, max_seq_len: int) -> None:
        """What sentence-transformers wants beside a model, if it came without: the mean of the tokens.

        Raises:
            YanmoError: the disk is full or cannot be written.
        """
        if not (folder / MODULES_FILE).exists():
            self.sentence = dataclasses.replace(self.known_sentence, max_seq_len=max_seq_len)
            write_mean_pooling(folder, d_model=self.sentence.dim, max_seq_len=max_seq_len)

    def _rows(self, examples: Sequence[Embedded], encoder: InputEncoder) -> list[TextRow]:
        """Examples as token ids."""
        settings = self.known_sentence
        longest = min(encoder.max_seq_len, settings.max_seq_len or encoder.max_seq_len)
        reader = SentenceReader(encoder.tokenizer, settings, max_seq_len=longest)
        lead = reader.lead(None)
        self.num_skipped = reader.num_skipped(lead)
        columns = [_columns(example) for example in examples]
        texts = list(dict.fromkeys(text for row in columns for text in row if text is not None))
        key = {text: number for number, text in enumerate(texts)}
        ids = reader.ids(texts, lead)
        found = []
        for example, (first, second, negative) in zip(examples, columns, strict=True):
            keys = (key[first], key[second], -1 if negative is None else key[negative])
            found.append(
                TextRow(
                    first=ids[keys[0]],
                    second=ids[keys[1]],
                    negative=None if negative is None else ids[keys[2]],
                    keys=keys,
                    score=_score_of(example),
                )
            )
        return found

    def _vectors(self, model: Transformer, texts: Sequence[str], encoder: InputEncoder) -> dict[str, Vectors]:
        """The vector of each text, as every program makes it of the model's folder."""
        distinct = list(dict.fromkeys(texts))
        found = SentenceEncoder(model, encoder.tokenizer, self.known_sentence).encode(distinct)
        return dict(zip(distinct, found, strict=True))


def fit_embeddings(examples: Sequence[Embedded]) -> Embeddings:
    """The skill that examples ask for.

    Raises:
        InputError: kinds of examples are mixed, or there is nothing to tell apart.
    """
    evidence = evidence_of(examples)
    if evidence is Evidence.SCORES and len({_score_of(example) for example in examples}) == 1:
        raise InputError(
            "all pairs have the same score: there is nothing to learn", remedy="add pairs with other scores"
        )
    if len({_columns(example) for example in examples}) < 2:
        raise InputError("one pair alone has nothing to be told apart from", remedy="add others")
    return Embeddings(evidence=evidence)


def evidence_of(examples: Sequence[Embedded]) -> Evidence:
    """What examples say of texts.

    Raises:
        InputError: some have a score and some have none, or some are pairs and some are not.
    """
    kinds = {
        Evidence.TEXTS
        if isinstance(example, TextExample)
        else Evidence.PAIRS
        if example.score is None
        else Evidence.SCORES
        for example in examples
    }
    if len(kinds) != 1:
        raise InputError(
            f"examples are mixed: {', '.join(sorted(kinds)) or 'none'}",
            remedy="keep pairs with a score, pairs without and texts alone in files of their own",
        )
    return kinds.pop()


def judge_pairs(pairs: Sequence[SimilarityExample], likeness: Likeness) -> list[Prediction]:
    """How alike the texts of each pair are; of pairs without scores, also the rank of the second.

    Candidates are the seconds and negatives of all pairs; of equally alike ones the right one comes last.
    """
    ranks = len(pairs) > 1 and all(pair.score is None for pair in pairs)
    candidates = list(dict.fromkeys(text for pair in pairs for text in pair.inputs()[1:])) if ranks else []
    place = {text: number for number, text in enumerate(candidates)}
    right: dict[str, set[int]] = {}
    for pair in pairs if ranks else ():
        right.setdefault(pair.first, set()).add(place[pair.second])
    found: list[Prediction] = []
    for start in range(0, len(pairs), _BLOCK):
        block = pairs[start : start + _BLOCK]
        firsts, others = [pair.first for pair in block], candidates or [pair.second for pair in block]
        alike = np.asarray(likeness(firsts, others))
        for row, pair in enumerate(block):
            if not ranks:
                found.append({"score": float(alike[row, row])})
                continue
            own = place[pair.second]
            as_good = alike[row] >= alike[row, own]
            as_good[list(right[pair.first])] = False
            found.append({"score": float(alike[row, own]), "rank": 1 + int(as_good.sum())})
    return found


def _cosines(vectors: Mapping[str, Vectors]) -> Likeness:
    lengths = {text: float(np.linalg.norm(vector)) or 1.0 for text, vector in vectors.items()}

    def unit(texts: Sequence[str]) -> Vectors:
        found: Vectors = np.stack([vectors[text] / np.float32(lengths[text]) for text in texts])
        return found

    def likeness(firsts: Sequence[str], others: Sequence[str]) -> Vectors:
        alike: Vectors = unit(firsts) @ unit(others).T
        return alike

    return likeness


def _columns(example: Embedded) -> tuple[str, str, str | None]:
    """First, second and negative; a text alone is a pair with itself."""
    if isinstance(example, TextExample):
        return example.text, example.text, None
    return example.first, example.second, example.negative


def _score_of(example: Embedded) -> float | None:
    return example.score if isinstance(example, SimilarityExample) else None


def _halves(example: TextExample) -> SimilarityExample:
    """A text as a pair, cut between words in the middle; Chinese between characters."""
    text = example.text
    words = text.split()
    if len(words) > 1:
        middle = len(words) // 2
        first, second = " ".join(words[:middle]), " ".join(words[middle:])
    else:
        first, second = text[: len(text) // 2] or text, text[len(text) // 2 :]
    return SimilarityExample(first=first, second=second, origin=example.origin)


def _stacked(vectors: Sequence[Vectors], dim: int) -> Tensor:
    return torch.from_numpy(np.stack(vectors)) if vectors else torch.zeros(0, dim)


def _drops(model: Transformer) -> bool:
    return any(isinstance(part, RowDropout) and part.probability > 0 for part in model.modules())
