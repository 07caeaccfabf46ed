"""Sentence vectors by hand, batches, prompts, and side files that are refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from sentence_made import BERT, TEXTS, make_encoder, make_side_files, write

from yanmo.errors import InputError
from yanmo.models.sentence import SentenceEncoder, embed, survey
from yanmo.models.sentence_settings import POOLS, read_sentence_settings
from yanmo.reporting import progress

MEAN = {"pooling_mode": "mean"}
DENSE = {"in_features": 24, "out_features": 3, "bias": True}


@pytest.fixture(autouse=True)
def nothing_said_yet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(progress, "_said_once", set())
    yield


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_encoder(tmp_path_factory.mktemp("bare") / "model")


@pytest.fixture
def folder(bare: Path, tmp_path: Path) -> Path:
    """A copy of the model that a test may change."""
    place = tmp_path / "model"
    place.mkdir()
    for path in bare.iterdir():
        (place / path.name).write_bytes(path.read_bytes())
    return place


def test_pools_by_hand() -> None:
    x_BTD = torch.tensor([[[1.0, 4.0], [3.0, 0.0], [5.0, 2.0], [-1.0, 2.0]]])
    expected = {
        "cls": ([1, 4], [3, 0]),
        "lasttoken": ([-1, 2], [-1, 2]),
        "max": ([5, 4], [5, 2]),
        "mean": ([2, 2], [7 / 3, 4 / 3]),
        "mean_sqrt_len_tokens": ([4, 4], [7 / 3**0.5, 4 / 3**0.5]),
        "weightedmean": ([(1 + 6 + 15 - 4) / 10, (4 + 6 + 8) / 10], [(6 + 15 - 4) / 9, (6 + 8) / 9]),
    }
    assert POOLS.keys() == expected.keys()
    for name, by_skipped in expected.items():
        for skipped, vector in enumerate(by_skipped):
            torch.testing.assert_close(
                POOLS[name](x_BTD, skipped), torch.tensor([vector], dtype=torch.float32)
            )


def test_order_and_batches_do_not_change_a_vector(folder: Path) -> None:
    make_side_files(folder, pooling=MEAN, normalize=True)
    encoder = SentenceEncoder.load(folder)
    vectors = encoder.encode(TEXTS)
    assert vectors.shape == (len(TEXTS), 24) == (len(TEXTS), encoder.dim)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert abs(vectors[0] - vectors[1]).max() > 0.01
    np.testing.assert_allclose(encoder.encode(TEXTS[::-1])[::-1], vectors, atol=1e-6)
    for row, text in zip(vectors, TEXTS, strict=True):
        np.testing.assert_allclose(encoder.encode([text])[0], row, atol=1e-6)
    done: list[int] = []
    encoder.encode(TEXTS, batch_tokens=30, on_progress=done.append)
    assert len(done) > 2 and done == sorted(done) and done[-1] == len(TEXTS)
    assert encoder.encode([]).shape == (0, 24)


def test_texts_in_several_windows_keep_their_order(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_side_files(folder, pooling=MEAN)
    encoder = SentenceEncoder.load(folder)
    expected = encoder.encode(TEXTS)
    monkeypatch.setattr("yanmo.models.sentence._WINDOW_TEXTS", 3)
    np.testing.assert_allclose(encoder.encode(TEXTS), expected, atol=1e-6)


def test_without_modules_the_mean_is_taken_and_said_once(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = SentenceEncoder.load(folder).encode(TEXTS)
    SentenceEncoder.load(folder)
    said = capsys.readouterr().err
    assert said.count("has no modules.json; a text's vector is the mean of its tokens'") == 1
    make_side_files(folder, pooling=MEAN)
    np.testing.assert_array_equal(SentenceEncoder.load(folder).encode(TEXTS), plain)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "architecture", ["BertForMaskedLM", "BertForSequenceClassification", "BertOfSomeoneElse"]
)
def test_heads_do_not_matter(architecture: str, folder: Path) -> None:
    make_side_files(folder, pooling=MEAN)
    expected = SentenceEncoder.load(folder).encode(TEXTS)
    write(folder / "config.json", BERT | {"architectures": [architecture]})
    np.testing.assert_array_equal(SentenceEncoder.load(folder).encode(TEXTS), expected)


def test_the_longest_text(folder: Path) -> None:
    make_side_files(folder, pooling=MEAN, length={"max_seq_length": 6})
    encoder = SentenceEncoder.load(folder)
    assert encoder.max_seq_len == 6
    vectors = encoder.encode(["the cat is the man", "the cat is the man man man", "the cat is"])
    np.testing.assert_array_equal(vectors[0], vectors[1])
    assert abs(vectors[0] - vectors[2]).max() > 0.01
    write(folder / "sentence_bert_config.json", {"max_seq_length": 4000, "do_lower_case": False})
    assert SentenceEncoder.load(folder).max_seq_len == 40
    write(folder / "sentence_bert_config.json", {"max_seq_length": None})
    assert SentenceEncoder.load(folder).max_seq_len == 40


def test_prompts(folder: Path) -> None:
    prompts = {"prompts": {"query": "the man ", "passage": None}}
    make_side_files(folder, pooling=MEAN, prompts=prompts)
    encoder = SentenceEncoder.load(folder)
    np.testing.assert_allclose(
        encoder.encode(["is 人"], prompt="query"), encoder.encode(["the man is 人"]), atol=1e-6
    )
    np.testing.assert_array_equal(encoder.encode(TEXTS, prompt="passage"), encoder.encode(TEXTS))
    with pytest.raises(InputError, match=r"no prompt 'find'.*query, passage"):
        encoder.encode(TEXTS, prompt="find")
    with pytest.raises(InputError, match="a list of texts"):
        encoder.encode("one text")


def test_a_prompt_that_leaves_no_room_is_refused(folder: Path) -> None:
    pooling = MEAN | {"include_prompt": False}
    prompts = {"prompts": {"query": "the man is the cat"}}
    make_side_files(folder, pooling=pooling, length={"max_seq_length": 6}, prompts=prompts)
    with pytest.raises(InputError, match="no room"):
        SentenceEncoder.load(folder).encode(["人"], prompt="query")


def step(kind: str, path: str = "1_Pooling") -> dict[str, Any]:
    return {"type": kind, "path": path}


TRANSFORMER = step("sentence_transformers.models.Transformer", "")
POOLING = step("sentence_transformers.models.Pooling")


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("modules.json", {}, "not a JSON list"),
        ("modules.json", [], "cannot do the steps"),
        ("modules.json", [1], "a step without type and path: 1"),
        ("modules.json", [TRANSFORMER], "cannot do the steps"),
        ("modules.json", [POOLING, TRANSFORMER], "cannot do the steps"),
        ("modules.json", [TRANSFORMER, POOLING, step("sentence_transformers.models.LSTM")], "LSTM"),
        ("modules.json", [TRANSFORMER, POOLING, step("os.system")], "code of its own: 'os.system'"),
        ("modules.json", [TRANSFORMER, step("sentence_transformers.models.Pooling", "../x")], "outside"),
        ("modules.json", [TRANSFORMER, step("sentence_transformers.models.Pooling", "/etc")], "outside"),
        ("modules.json", [TRANSFORMER | {"path": "0_BERT"}, POOLING], "keeps its Transformer in '0_BERT'"),
        ("1_Pooling/config.json", {"pooling_mode": "median"}, "pooling_mode = 'median'"),
        ("1_Pooling/config.json", {"pooling_mode": []}, "pooling_mode"),
        ("1_Pooling/config.json", {"pooling_mode_cls_token": 1}, "pooling_mode_cls_token"),
        ("1_Pooling/config.json", {"word_embedding_dimension": 25}, "not the 24"),
        ("sentence_bert_config.json", {"max_seq_length": 0}, "max_seq_length"),
        ("sentence_bert_config.json", {"transformer_task": "any-to-any"}, "transformer_task"),
        ("config_sentence_transformers.json", {"prompts": {"a": 1}}, "prompts.a"),
        ("config_sentence_transformers.json", {"prompts": [1]}, "prompts"),
        ("config_sentence_transformers.json", {"default_prompt_name": "q"}, "default_prompt_name"),
        ("config_sentence_transformers.json", {"similarity_fn_name": "maxsim"}, "similarity_fn_name"),
    ],
)
def test_side_files_that_are_refused(file: str, content: object, message: str, folder: Path) -> None:
    make_side_files(folder, pooling=MEAN, length={}, prompts={})
    write(folder / file, content)
    with pytest.raises(InputError, match=message) as caught:
        read_sentence_settings(folder, d_model=24)
    assert "\n" not in str(caught.value) and str(folder) in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"activation_function": "os.system"}, "activation_function = 'os.system'"),
        ({"activation_function": "torch.nn.modules.linear.Linear"}, "activation_function"),
        ({"in_features": 25}, "not the 24"),
        ({"out_features": 2**40}, "out_features"),
        ({"out_features": 2**31}, r"no linear.weight of \(2147483648, 24\)"),
        ({"use_residual": True}, "use_residual"),
        ({"module_input_name": "token_embeddings"}, "module_input_name"),
    ],
)
def test_dense_steps_that_are_refused(changes: dict[str, Any], message: str, folder: Path) -> None:
    make_side_files(folder, pooling=MEAN, dense=DENSE)
    write(folder / "2_Dense" / "config.json", DENSE | changes)
    with pytest.raises(InputError, match=message):
        read_sentence_settings(folder, d_model=24)


def test_dense_weights_that_are_refused(folder: Path) -> None:
    make_side_files(folder, pooling=MEAN, dense=DENSE)
    file = folder / "2_Dense" / "model.safetensors"
    save_file({"linear.weight": torch.zeros(3, 24)}, file)
    with pytest.raises(InputError, match=r"has no linear\.bias"):
        read_sentence_settings(folder, d_model=24)
    save_file({"linear.weight": torch.zeros(3, 24, dtype=torch.int32), "linear.bias": torch.zeros(3)}, file)
    with pytest.raises(InputError, match=r"has no linear\.weight"):
        read_sentence_settings(folder, d_model=24)
    file.unlink()
    with pytest.raises(InputError, match=r"has no model.safetensors.*save it once"):
        read_sentence_settings(folder, d_model=24)


def test_vectors_in_a_file(folder: Path, tmp_path: Path) -> None:
    make_side_files(folder, pooling=MEAN, dense=DENSE)
    out = tmp_path / "v.npy"
    assert survey(folder, TEXTS, out=out) == {"path": str(out), "shape": (len(TEXTS), 3)}
    assert not out.exists()
    vectors = embed(folder, TEXTS, out=out)
    assert vectors.shape == (len(TEXTS), 3)
    np.testing.assert_array_equal(np.load(out), vectors)
    before = out.read_bytes()
    for call in (embed, survey):
        with pytest.raises(InputError, match="already exists"):
            call(folder, TEXTS[:2], out=out)
    assert out.read_bytes() == before
    embed(folder, TEXTS[:2], out=out, force=True)
    assert np.load(out).shape == (2, 3)
    with pytest.raises(InputError, match="is a folder"):
        embed(folder, TEXTS, out=tmp_path, force=True)


def test_a_failure_leaves_what_was_there(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "v.npy"
    out.write_bytes(b"old")
    with pytest.raises(InputError, match="lone surrogate"):
        embed(folder, ["a", "\ud800"], out=out, force=True)
    assert out.read_bytes() == b"old" and sorted(tmp_path.iterdir()) == [folder, out]


def test_a_tokenizer_of_another_model_is_refused(folder: Path) -> None:
    make_side_files(folder, pooling=MEAN)
    other = make_encoder(folder.parent / "other", config=BERT | {"vocab_size": 20})
    (folder / "model.safetensors").write_bytes((other / "model.safetensors").read_bytes())
    write(folder / "config.json", BERT | {"vocab_size": 20})
    with pytest.raises(InputError, match=r"the tokenizer has .* ids, the model 20"):
        SentenceEncoder.load(folder)
