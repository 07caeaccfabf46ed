"""GGUF files against what they were made from, and against transformers' own reader of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from yanmo.models.files.safetensors_files import SafetensorsFiles
from yanmo.models.gguf.reader import GgufFile

transformers = pytest.importorskip("transformers", reason="the reference for model files")

import gguf_made  # noqa: E402  (imports nothing of transformers itself)

# Keys of a config.json that say nothing about what is computed.
_UNTOLD = {
    *(
        "_name_or_path",
        "transformers_version",
        "dtype",
        "initializer_range",
        "use_cache",
        "pad_token_id",
        "pretraining_tp",
    ),
    *("attention_dropout", "hidden_dropout", "classifier_dropout", "resid_pdrop", "embd_pdrop", "attn_pdrop"),
    *("output_router_logits", "router_aux_loss_coef", "router_jitter_noise", "max_window_layers"),
    *("summary_type", "summary_use_proj", "summary_activation", "summary_proj_to_labels"),
    *("summary_first_dropout", "reorder_and_upcast_attn", "is_decoder", "_sliding_window_pattern"),
    *("sliding_window_pattern", "use_sliding_window"),
}


@pytest.fixture(scope="module", params=list(gguf_made.MODELS))
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp(request.param)
    gguf_made.make_model(folder, request.param)
    return folder, gguf_made.write(folder / "model.gguf", folder, gguf_made.byte_level())


def test_tensors_come_back_to_the_bit(made: tuple[Path, Path]) -> None:
    folder, path = made
    original, found = SafetensorsFiles(folder), GgufFile(path)
    assert found.tensors.keys() | {"lm_head.weight"} == original.tensors.keys() | {"lm_head.weight"}
    for name, info in original.tensors.items():
        assert found.tensors[name] == info
        assert torch.equal(found.read(name), original.read(name)), name


def test_config_comes_back(made: tuple[Path, Path]) -> None:
    folder, path = made
    wanted = transformers.AutoConfig.from_pretrained(folder).to_dict()
    found = GgufFile(path).config
    found = transformers.AutoConfig.for_model(**{k: v for k, v in found.items() if k != "dtype"}).to_dict()
    for key in sorted(key for key in wanted.keys() - _UNTOLD if wanted[key] is not None):
        assert _plain(found.get(key)) == _plain(wanted[key]), key


def test_transformers_computes_the_same_from_what_is_read(made: tuple[Path, Path]) -> None:
    folder, path = made
    reference = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    file = GgufFile(path)
    again = folder / "again"
    again.mkdir(exist_ok=True)
    (again / "config.json").write_text(json.dumps(file.config))
    from yanmo.models.files.safetensors_files import write_safetensors

    write_safetensors(again, {name: file.read(name).contiguous() for name in file.tensors})
    model = transformers.AutoModelForCausalLM.from_pretrained(again).eval()
    ids_BT = torch.randint(3, gguf_made.VOCAB_SIZE, (2, 90), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(model(ids_BT).logits, reference(ids_BT).logits)


def _plain(value: Any) -> Any:
    """Numbers as far as float32 goes."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return pytest.approx(value, rel=1e-6) if isinstance(value, float) else value
