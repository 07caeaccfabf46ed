from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix
from sentence_made import BERT, make_encoder, make_side_files
from torch import Tensor
from torch.nn import functional

from yanmo.errors import InputError
from yanmo.evaluation.embedding_baselines import Bm25, TermCosine, bm25_weights
from yanmo.evaluation.tasks import evaluate_task_file
from yanmo.finetuning.contrast import (
    StepLoss,
    TextBatches,
    TextRow,
    in_batch_negatives,
    known_of,
    order_of_scores,
    pack_rows,
)
from yanmo.finetuning.embeddings import Embeddings, Evidence, fit_embeddings, judge_pairs
from yanmo.finetuning.encoding import InputEncoder
from yanmo.finetuning.task_model import TaskModel
from yanmo.models.checkpoint import Checkpoint
from yanmo.models.sentence import SentenceEncoder, vectors_of
from yanmo.models.sentence_settings import SentenceSettings
from yanmo.models.transformer import Transformer
from yanmo.nn.packing import Segments
from yanmo.recipes.finetune import FinetuneSettings, finetune
from yanmo.tasks.examples import Origin, SimilarityExample, TextExample

SETTINGS = SentenceSettings(pools=("mean",), dim=BERT["hidden_size"])
FIRSTS = [
    [2, 9, 3],
    [2, 8, 7, 3],
    [2, 20, 3],
    [2, 11, 12, 13, 3],
    [2, 30, 3],
    [2, 14, 3],
    [2, 40, 3],
    [2, 41, 3],
]
SECONDS = [
    [2, 10, 3],
    [2, 8, 3],
    [2, 21, 22, 3],
    [2, 11, 3],
    [2, 31, 3],
    [2, 15, 15, 3],
    [2, 9, 40, 3],
    [2, 5, 3],
]
TEXTS = [
    "the cat is eating",
    "a dog",
    "一个人",
    "food the girl",
    "man man man",
    "吃 a cat",
    "girl is",
    "个 dog",
]


def pair(first: str, second: str, **more: Any) -> SimilarityExample:
    return SimilarityExample(first=first, second=second, origin=Origin("rows.csv", 2), **more)


def text(of: str) -> TextExample:
    return TextExample(text=of, origin=Origin("rows.txt", 1))


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    return make_encoder(tmp_path / "encoder")


@pytest.fixture
def network(encoder: Path) -> Transformer:
    return Embeddings(evidence=Evidence.PAIRS).network(Checkpoint.open(encoder))


def embed(model: Transformer, tokens_1N: Tensor, segments: Segments) -> Tensor:
    return vectors_of(model, tokens_1N, segments, SETTINGS)


def embed_alone(model: Transformer, tokens_1N: Tensor, segments: Segments) -> Tensor:
    texts = tokens_1N[0].split(segments.lengths)
    return torch.cat([embed(model, ids[None], Segments([len(ids)])) for ids in texts])


def texts_alone() -> list[TextRow]:
    """Rows of feature-extraction: each text belongs to itself."""
    return [TextRow(first=text, second=text, keys=(number, number, -1)) for number, text in enumerate(FIRSTS)]


def made_rows(*, scored: bool = False, negatives: tuple[int, ...] = (1, 4, 5)) -> list[TextRow]:
    return [
        TextRow(
            first=first,
            second=second,
            negative=[2, 5 + number, 3] if number in negatives and not scored else None,
            keys=(number, 100 + number, 200 + number if number in negatives else -1),
            score=(number * 5 % 8) / 2 if scored else None,
        )
        for number, (first, second) in enumerate(zip(FIRSTS, SECONDS, strict=True))
    ]


def gradient(
    network: Transformer, rows: list[TextRow], size: int, *, alone: bool = False
) -> tuple[float, int, dict[str, Tensor]]:
    """Loss SUM, COUNT and gradient of one step in micro-batches of a size."""
    batches = TextBatches(rows, batch_size=len(rows), seed=3)
    objective = StepLoss(embed_alone if alone else embed, temperature=0.05)
    network.zero_grad()
    total, count = 0.0, 0
    for start in range(0, len(rows), size):
        loss = objective(network, batches.rows(0, range(start, min(start + size, len(rows)))))
        loss.loss_nats.backward()
        total, count = total + float(loss.loss_nats.detach()), count + loss.num_tokens
    found = {
        name: weight.grad.clone() for name, weight in network.named_parameters() if weight.grad is not None
    }
    return total, count, found


@pytest.mark.parametrize("rows", [made_rows(), made_rows(scored=True), texts_alone()])
def test_packed_alone_and_accumulated_the_gradient_of_a_step_is_the_same(
    network: Transformer, rows: list[TextRow]
) -> None:
    total, count, whole = gradient(network, rows, 8)
    assert count == 8 and total > 0.1
    assert sum(float(grad.abs().sum()) for grad in whole.values()) > 1
    for size, alone in ((8, True), (3, False), (1, False)):
        part_total, part_count, parts = gradient(network, rows, size, alone=alone)
        assert part_total == pytest.approx(total, abs=1e-4) and part_count == 8
        scale = max(float(grad.abs().max()) for grad in whole.values())
        for name, grad in whole.items():
            assert torch.allclose(parts[name], grad, atol=1e-5 * scale), (size, name)


def test_accumulated_dropout_is_the_same_in_both_passes(network: Transformer) -> None:
    network.set_dropout(0.4)
    network.train()
    rows, objective = made_rows(), StepLoss(embed, temperature=0.05)
    batches = TextBatches(rows, batch_size=8, seed=3)
    losses = []
    for start in (0, 4):
        loss = objective(network, batches.rows(0, range(start, start + 4)))
        # Each micro-batch says half of the loss of the step: they agree where they saw the same vectors.
        losses.append(float(loss.loss_nats.detach()))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    again = objective(network, batches.rows(1, range(4)))
    assert float(again.loss_nats.detach()) != pytest.approx(losses[0], rel=1e-3)


def test_the_loss_of_pairs_is_that_of_finding_the_second() -> None:
    torch.manual_seed(0)
    firsts, candidates = torch.randn(3, 4), torch.randn(5, 4)
    barred = torch.zeros(3, 5, dtype=torch.bool)
    barred[0, 4] = barred[2, 0] = True
    found = in_batch_negatives(firsts, candidates, barred, temperature=0.1)
    expected = 0.0
    for row in range(3):
        cosines = [float(functional.cosine_similarity(firsts[row], each, dim=0)) for each in candidates]
        kept = [math.exp(10 * value) for place, value in enumerate(cosines) if not barred[row, place]]
        expected -= math.log(math.exp(10 * cosines[row]) / sum(kept))
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_the_loss_of_scores_asks_for_their_order_alone() -> None:
    firsts = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    seconds = torch.tensor([[0.6, 0.8], [0.0, 1.0], [0.6, 0.8]])
    found = float(order_of_scores(firsts, seconds, torch.tensor([2.0, 1.0, 2.0])))
    assert found == pytest.approx(3 * math.log(1 + 2 * math.exp(-12)), abs=1e-6)
    assert float(order_of_scores(firsts, seconds, torch.tensor([200.0, 10.0, 200.0]))) == pytest.approx(found)
    wrong = float(order_of_scores(firsts, seconds, torch.tensor([1.0, 2.0, 1.0])))
    assert wrong == pytest.approx(3 * math.log(1 + 2 * math.exp(12)), rel=1e-5)


def test_what_is_known_to_be_right_is_no_negative() -> None:
    rows = [
        TextRow(first=[1], second=[2], keys=(1, 2, -1)),
        TextRow(first=[1], second=[3], keys=(1, 3, -1)),
        TextRow(first=[4], second=[2], keys=(4, 2, -1)),
        TextRow(first=[5], second=[4], negative=[1], keys=(5, 4, 1)),
    ]
    barred = known_of(rows).not_negative_BC.tolist()
    assert barred == [
        [False, True, True, False, True],
        [True, False, False, False, True],
        [True, False, False, True, False],
        [False, False, False, False, False],
    ]


def test_packing_keeps_the_texts_apart(network: Transformer) -> None:
    rows = made_rows()
    part = pack_rows(rows, range(8))
    vectors = embed(network, part.tokens_1N, part.segments)[part.order]
    texts = [*(row.first for row in rows), *(row.second for row in rows)]
    for place, ids in enumerate(texts):
        alone = embed(network, torch.tensor([list(ids)]), Segments([len(ids)]))[0]
        assert torch.allclose(vectors[place], alone, atol=1e-5)


def test_ranks_are_among_all_seconds_and_ties_count_against() -> None:
    pairs = [pair("a", "x"), pair("a", "y"), pair("b", "z", negative="w"), pair("c", "x")]
    table = {"a": [0.9, 0.8, 0.9, 0.1], "b": [0.5, 0.5, 0.5, 0.5], "c": [1.0, 0.0, 0.3, 0.2]}
    candidates = ["x", "y", "z", "w"]

    def likeness(firsts: Any, others: Any) -> Any:
        assert list(others) == candidates
        return np.array([table[first] for first in firsts])

    found = judge_pairs(pairs, likeness)
    assert [row["rank"] for row in found] == [2, 2, 4, 1]
    assert [row["score"] for row in found] == [0.9, 0.8, 0.5, 1.0]
    scores = Embeddings(evidence=Evidence.PAIRS).score(pairs, found).values
    assert scores["mrr"] == pytest.approx((0.5 + 0.5 + 0.25 + 1) / 4)
    assert scores["recall@1"] == 0.25 and scores["recall@5"] == 1


@pytest.mark.parametrize(
    ("examples", "message"),
    [
        ([pair("a", "b", score=1.0), pair("c", "d")], "mixed: pairs, scores"),
        ([pair("a", "b"), text("c")], "mixed: pairs, texts"),
        ([pair("a", "b", score=1.0), pair("c", "d", score=1.0)], "same score"),
        ([pair("a", "b"), pair("a", "b")], "one pair alone"),
    ],
)
def test_what_cannot_be_learned_is_said(examples: list[Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        fit_embeddings(examples)


def test_other_rows_cannot_choose_the_step(encoder: Path) -> None:
    skill, checkpoint = Embeddings(evidence=Evidence.SCORES), Checkpoint.open(encoder)
    of_model = InputEncoder.of(skill.network(checkpoint), checkpoint.tokenizer)
    with pytest.raises(InputError, match="learned from scores and chosen by pairs"):
        skill.validation([pair("a", "b"), pair("c", "d")], of_model)


def test_bm25_is_the_formula() -> None:
    counts = csr_matrix(np.array([[2, 0, 1], [0, 1, 0]], np.float64))
    found = bm25_weights(counts).toarray()
    rarity = math.log(1 + (2 - 1 + 0.5) / (1 + 0.5))
    for row, term, count, length in ((0, 0, 2, 3), (0, 2, 1, 3), (1, 1, 1, 1)):
        expected = rarity * count * 2.2 / (count + 1.2 * (0.25 + 0.75 * length / 2))
        assert found[row, term] == pytest.approx(expected)
    assert found[0, 1] == 0


@pytest.mark.parametrize("baseline", [TermCosine(), Bm25()])
def test_words_in_common_find_the_second(baseline: Any) -> None:
    pairs = [
        pair("the red cat", "a red cat sleeps"),
        pair("今天天气", "天气很好"),
        pair("one dog", "two dogs, one dog"),
    ]
    found = baseline.predict(pairs)
    assert [row["rank"] for row in found] == [1, 1, 1]
    scored = [pair(each.first, each.second, score=1.0) for each in pairs]
    assert [row["score"] for row in baseline.predict(scored)] == [row["score"] for row in found]
    assert all("rank" not in row for row in baseline.predict(scored))


def settings(encoder: Path, **changes: Any) -> FinetuneSettings:
    made: dict[str, Any] = {
        "task": "sentence-similarity",
        "model": encoder,
        "epochs": 12.0,
        "learning_rate": 3e-3,
        "batch_size": 16,
        "dropout": 0.0,
    }
    return FinetuneSettings(**made | changes)


def write_pairs(path: Path) -> Path:
    """Texts about cats, dogs and people belong with texts of the same kind that share a letter."""
    kinds = [("cat", "food"), ("dog", "man"), ("girl", "一"), ("人", "吃"), ("个", "is"), ("the", "eating")]
    letters = ["a", "b c", "d", "e f g", "h", "i j", "k", "l m"]
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["anchor", "positive"])
        writer.writerows([f"{left} {some}", f"{right} {some}"] for left, right in kinds for some in letters)
    return path


def write_scores(path: Path) -> Path:
    """Texts are alike where their words are of one group, whatever else they hold."""
    group = {"cat": 0, "girl": 0, "人": 0, "dog": 1, "man": 1, "food": 1}
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["sentence1", "sentence2", "score"])
        for place, first in enumerate(group):
            for second in group:
                score = 4.5 if group[first] == group[second] else 0.5
                writer.writerow([f"{first} a", f"{second} a", score])
                writer.writerow([f"the {first}", f"{second} {'bcdefg'[place]}", score])
    return path


def test_pairs_are_learned_and_other_programs_make_the_same_vectors(encoder: Path, tmp_path: Path) -> None:
    data = write_pairs(tmp_path / "rows.csv")
    result = finetune(data, tmp_path / "run", settings=settings(encoder))
    before = TaskModel.load(tmp_path / "run").skill
    assert isinstance(before, Embeddings) and before.evidence is Evidence.PAIRS
    assert result["metrics"]["mrr"]["value"] > 0.5
    assert result["baseline"]["name"] in ("BM25", "TF-IDF cosine")
    folder = tmp_path / "run" / "model"
    model = TaskModel.load(folder)
    found = [row["embedding"] for row in model.predict([(each,) for each in TEXTS])]
    assert np.allclose(found, SentenceEncoder.load(folder).encode(TEXTS), atol=1e-6)
    (cosine,) = (row["score"] for row in model.predict([(TEXTS[0], TEXTS[1])]))
    first, second = (np.array(vector) / np.linalg.norm(vector) for vector in found[:2])
    assert cosine == pytest.approx(float(first @ second), abs=1e-5)
    sentence_transformers = pytest.importorskip("sentence_transformers")
    theirs = sentence_transformers.SentenceTransformer(str(folder), device="cpu")
    assert theirs.max_seq_length == 40
    assert np.allclose(theirs.encode(TEXTS), found, atol=1e-5)


def test_scores_are_learned_and_a_model_is_judged_on_whatever_there_is(encoder: Path, tmp_path: Path) -> None:
    make_side_files(
        encoder, pooling={"pooling_mode_mean_tokens": True}, normalize=True, length={"max_seq_length": 20}
    )
    data = write_scores(tmp_path / "rows.csv")
    result = finetune(data, tmp_path / "run", settings=settings(encoder, valid=data, test=data, epochs=15.0))
    assert result["metrics"]["spearman"]["value"] > 0.6 > result["baseline"]["metrics"]["spearman"]["value"]
    folder = tmp_path / "run" / "model"
    assert (folder / "2_Normalize").exists() or json.loads((folder / "modules.json").read_text())[2]
    (row,) = TaskModel.load(folder).predict([("the cat",)])
    assert np.linalg.norm(row["embedding"]) == pytest.approx(1, abs=1e-5)
    pairs = write_pairs(tmp_path / "pairs.csv")
    judged = evaluate_task_file(folder, pairs)
    assert judged.metrics_name == "text-ranking" and 0 < judged.model.metrics["mrr"]["value"] <= 1
    assert {each.name for each in judged.baselines} == {"BM25", "TF-IDF cosine"}


def test_texts_alone_are_learned_by_dropout(encoder: Path, tmp_path: Path) -> None:
    data = tmp_path / "rows.jsonl"
    texts = [f"{each} {word} {each[:3]}" for each in TEXTS for word in ("food", "人", "girl", "a b", "c")]
    data.write_text("\n".join(json.dumps({"text": each}) for each in texts), encoding="utf-8")
    made = settings(encoder, task="feature-extraction", epochs=1.0, dropout=0.1)
    result = finetune(data, tmp_path / "run", settings=made)
    assert result["split"] == "test" and "ndcg@10" in result["metrics"]
    assert len(TaskModel.load(tmp_path / "run").predict([("a cat",)])[0]["embedding"]) == BERT["hidden_size"]
    with pytest.raises(InputError, match="nothing without dropout"):
        finetune(data, tmp_path / "dry", settings=settings(encoder, task="feature-extraction", dropout=0.0))
