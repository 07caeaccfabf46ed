"""GgufFile: what it shows of a file, and how tensors are read."""

from __future__ import annotations

from pathlib import Path

import gguf_made
import numpy as np
import pytest
import torch
from gguf import quants
from gguf.constants import GGML_QUANT_SIZES
from gguf.constants import GGMLQuantizationType as Kind

from yanmo.errors import InputError
from yanmo.models.gguf.header import StoredTensor
from yanmo.models.gguf.reader import QUANTISED, GgufFile


@pytest.mark.parametrize("dtype", ["f32", "f16", "bf16"])
def test_float_tensors_keep_their_type(tmp_path: Path, dtype: str) -> None:
    _, tensors = gguf_made.hand_made()
    file = GgufFile(gguf_made.write_hand_made(tmp_path / "m.gguf", dtype=dtype))
    wanted = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}[dtype]
    assert file.file_type == dtype.upper()
    assert file.config["dtype"] == str(wanted).removeprefix("torch.")
    assert file.tensors.keys() == tensors.keys()
    for name, tensor in tensors.items():
        stored = torch.float32 if tensor.ndim == 1 else wanted
        assert torch.equal(file.read(name), tensor.to(stored)), name
        assert file.tensors[name].dtype is stored
        assert file.tensors[name].num_bytes == file.read(name).nbytes


@pytest.mark.parametrize(("dtype", "step"), [("q8_0", 127), ("q4_0", 7)])
def test_quantised_tensors_are_near(tmp_path: Path, dtype: str, step: int) -> None:
    _, tensors = gguf_made.hand_made("mixtral")
    file = GgufFile(gguf_made.write_hand_made(tmp_path / "m.gguf", "mixtral", dtype=dtype))
    assert file.file_type == dtype.upper() and file.config["dtype"] == "float32"
    for name, tensor in tensors.items():
        found = file.read(name)
        assert found.dtype is torch.float32 and found.shape == tensor.shape
        # Each number is off by at most half a step of the largest of its block, and the step's own rounding.
        assert (found - tensor).abs().max() <= tensor.abs().max() / step, name
        if tensor.ndim == 1 or "gate.weight" in name:
            assert torch.equal(found, tensor)


def test_experts_are_read_one_by_one(tmp_path: Path) -> None:
    _, tensors = gguf_made.hand_made("mixtral")
    file = GgufFile(gguf_made.write_hand_made(tmp_path / "m.gguf", "mixtral"))
    name = "model.layers.1.block_sparse_moe.experts.2.w2.weight"
    assert torch.equal(file.read(name), tensors[name])
    assert file.config["num_local_experts"] == 3


def test_tensors_are_views_that_outlive_release(tmp_path: Path) -> None:
    file = GgufFile(gguf_made.write_hand_made(tmp_path / "m.gguf"))
    name = "model.layers.0.mlp.up_proj.weight"
    first, second = file.read(name), file.read(name)
    assert first.data_ptr() == second.data_ptr()
    before = first.clone()
    file.release()
    assert torch.equal(first, before)


def test_a_tensor_that_is_not_there(tmp_path: Path) -> None:
    file = GgufFile(gguf_made.write_hand_made(tmp_path / "m.gguf"))
    with pytest.raises(KeyError):
        file.read("token_embd.weight")


def test_ids_and_metadata(tmp_path: Path) -> None:
    path = gguf_made.write_hand_made(tmp_path / "m.gguf", generation_config={"eos_token_id": [2, 9]})
    file = GgufFile(path)
    assert file.generation_config == {"bos_token_id": 1, "eos_token_id": [2, 9]}
    assert (file.config["bos_token_id"], file.config["eos_token_id"], file.config["pad_token_id"]) == (
        1,
        2,
        None,
    )
    assert file.metadata["general.name"] == "tiny"
    assert file.metadata["general.file_type"] == 0
    assert set(file.tokenizer_files()) == {"tokenizer.json", "tokenizer_config.json"}


@pytest.mark.parametrize("kind", sorted(QUANTISED), ids=lambda kind: kind.name)
def test_every_quantised_type_is_read_a_few_rows_at_a_time(
    tmp_path: Path, kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = GgufFile(gguf_made.write_hand_made(tmp_path / "m.gguf"))
    block_size, block_bytes = GGML_QUANT_SIZES[kind]
    rows = np.random.default_rng(0).integers(0, 256, (40, 2 * block_bytes), dtype=np.uint8)
    stored = StoredTensor(name="x", shape=(4, 10, 2 * block_size), kind=kind, offset=8, num_bytes=rows.size)
    monkeypatch.setattr(file, "_data", bytearray(8) + bytearray(rows.tobytes()))
    monkeypatch.setattr("yanmo.models.gguf.reader._CHUNK", 14 * block_size)
    with np.errstate(all="ignore"):
        wanted = quants.dequantize(rows, kind).reshape(stored.shape)
    assert np.array_equal(file._read_stored(stored).numpy(), wanted, equal_nan=True)
    assert np.array_equal(file._read_stored(stored, 3).numpy(), wanted[3], equal_nan=True)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        GgufFile(tmp_path / "missing.gguf")
    with pytest.raises(InputError, match="cannot be read"):
        GgufFile(tmp_path)
    (tmp_path / "empty.gguf").touch()
    with pytest.raises(InputError, match="cannot be read"):
        GgufFile(tmp_path / "empty.gguf")
    (tmp_path / "other.gguf").write_text("not a model at all, only text")
    with pytest.raises(InputError, match="not a GGUF file"):
        GgufFile(tmp_path / "other.gguf")


def test_what_is_not_read_says_so(tmp_path: Path) -> None:
    data = gguf_made.write_hand_made(tmp_path / "m.gguf").read_bytes()
    path = tmp_path / "changed.gguf"
    for old, new, what in (
        (b"blk.0.attn_q.weight", b"blk.0.attn_z.weight", "is none that llama models have"),
        (b"blk.1.attn_q.weight", b"blk.7.attn_q.weight", "has 3 layers of tensors and says it has 2"),
        (b"token_embd.weight", b"token_embz.weight", "is none that llama models have"),
    ):
        assert data.count(old) == 1
        path.write_bytes(data.replace(old, new))
        with pytest.raises(InputError, match=what):
            GgufFile(path)
