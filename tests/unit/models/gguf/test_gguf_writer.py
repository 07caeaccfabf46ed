"""write_gguf: whole or not at all."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import gguf_made
import pytest
import torch
from gguf import GGUFReader

from yanmo.errors import InputError, YanmoError
from yanmo.models.files.safetensors_files import SafetensorsFiles, write_safetensors
from yanmo.models.gguf import writer
from yanmo.models.gguf.reader import GgufFile


def test_the_gguf_package_reads_the_same(tmp_path: Path) -> None:
    _, tensors = gguf_made.hand_made()
    reader = GGUFReader(gguf_made.write_hand_made(tmp_path / "m.gguf"))
    found = {tensor.name: tensor for tensor in reader.tensors}
    assert (found["output.weight"].data == tensors["lm_head.weight"].numpy()).all()
    assert reader.fields["general.architecture"].contents() == "llama"
    assert reader.fields["llama.rope.dimension_count"].contents() == 16
    assert all(tensor.data_offset % 32 == 0 for tensor in reader.tensors)
    last = max(reader.tensors, key=lambda tensor: tensor.data_offset)
    assert (tmp_path / "m.gguf").stat().st_size == -(-(last.data_offset + last.n_bytes) // 32) * 32


def test_a_file_of_weights_is_written_as_a_mapping_is(tmp_path: Path) -> None:
    _, tensors = gguf_made.hand_made("mixtral")
    write_safetensors(tmp_path, tensors)
    first = gguf_made.write_hand_made(tmp_path / "a.gguf", "mixtral", dtype="q8_0")
    source = SafetensorsFiles(tmp_path)
    second = gguf_made.write_hand_made(tmp_path / "b.gguf", "mixtral", dtype="q8_0", tensors=source)
    assert first.read_bytes() == second.read_bytes()


def test_the_same_model_makes_the_same_bytes(tmp_path: Path) -> None:
    first = gguf_made.write_hand_made(tmp_path / "a.gguf", dtype="q4_0").read_bytes()
    assert gguf_made.write_hand_made(tmp_path / "b.gguf", dtype="q4_0").read_bytes() == first


def _fail(*_: Any, **__: Any) -> Any:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = gguf_made.write_hand_made(tmp_path / "m.gguf")
    before = path.read_bytes()
    monkeypatch.setattr(writer, "_pad", _fail)
    with pytest.raises(YanmoError, match="the disk is full"):
        gguf_made.write_hand_made(path, dtype="f16")
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["m.gguf"]


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"dtype": "q3_k"}, "unknown type 'q3_k'"),
        ({"config": {"model_type": "t5"}}, "'t5' cannot be written"),
    ],
)
def test_wrong_use(tmp_path: Path, changes: dict[str, Any], what: str) -> None:
    with pytest.raises(InputError, match=what):
        gguf_made.write_hand_made(tmp_path / "m.gguf", **changes)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"intermediate_size": 64}, "ffn_up.weight has the shape"),
        ({"hidden_size": 128}, "token_embd.weight has the shape"),
        ({"head_dim": 32}, "attn_q.weight has the shape"),
        ({"rms_norm_eps": None}, "a setting is missing or impossible"),
        ({"rope_parameters": {"rope_type": "llama3", "factor": 8.0}}, "a setting is missing or impossible"),
        ({"rope_parameters": {"rope_type": "linear"}}, "a setting is missing or impossible"),
    ],
)
def test_a_config_that_is_not_the_tensors(tmp_path: Path, changes: dict[str, Any], what: str) -> None:
    config, _ = gguf_made.hand_made()
    with pytest.raises(InputError, match=what) as caught:
        gguf_made.write_hand_made(tmp_path / "m.gguf", config=config | changes)
    assert str(caught.value).startswith("config.json: ")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("value", "dtype", "what"),
    [
        (1e5, "f16", r"numbers too large for float16 \(write the model as bf16\)"),
        (float("nan"), "q8_0", "numbers that are not finite"),
        (float("inf"), "f32", "numbers that are not finite"),
    ],
)
def test_numbers_that_cannot_be_stored(tmp_path: Path, value: float, dtype: str, what: str) -> None:
    _, tensors = gguf_made.hand_made()
    tensors["model.layers.0.mlp.up_proj.weight"][3, 5] = value
    with pytest.raises(InputError, match=what):
        gguf_made.write_hand_made(tmp_path / "m.gguf", tensors=tensors, dtype=dtype)
    assert not list(tmp_path.iterdir())


def test_large_numbers_are_stored_as_bfloat16(tmp_path: Path) -> None:
    _, tensors = gguf_made.hand_made()
    tensors["model.layers.0.mlp.up_proj.weight"][3, 5] = 1e5
    file = GgufFile(gguf_made.write_hand_made(tmp_path / "m.gguf", tensors=tensors, dtype="bf16"))
    found = file.read("model.layers.0.mlp.up_proj.weight")
    assert found[3, 5] == torch.tensor(1e5).bfloat16()


def test_many_chunks_make_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = gguf_made.write_hand_made(tmp_path / "a.gguf", dtype="q8_0").read_bytes()
    monkeypatch.setattr(writer, "_CHUNK", 200)
    assert gguf_made.write_hand_made(tmp_path / "b.gguf", dtype="q8_0").read_bytes() == whole
