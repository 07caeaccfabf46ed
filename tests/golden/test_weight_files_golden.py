"""Weight files as transformers writes and reads them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from yanmo.models.files.hf_folder import HfFolder
from yanmo.models.files.safetensors_files import write_safetensors

transformers = pytest.importorskip(
    "transformers", reason="the reference implementation is a development extra"
)


@pytest.fixture(scope="module")
def theirs() -> torch.nn.Module:
    """A small model with tied weights: the output is the embedding."""
    config = transformers.GPT2Config(vocab_size=100, n_positions=16, n_embd=16, n_layer=2, n_head=2)
    torch.manual_seed(0)
    return transformers.GPT2LMHeadModel(config)


@pytest.mark.parametrize("max_shard_size", ["100GB", "8KB"])
def test_what_transformers_writes_is_read(
    theirs: torch.nn.Module, tmp_path: Path, max_shard_size: str
) -> None:
    theirs.save_pretrained(tmp_path, max_shard_size=max_shard_size)
    source = HfFolder.open(tmp_path).source()
    expected = {name: tensor for name, tensor in theirs.state_dict().items() if name != "lm_head.weight"}
    assert source.tensors.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(source.read(name), tensor), name


@pytest.mark.parametrize("max_shard_bytes", [10**9, 8000])
def test_what_is_written_is_read_by_transformers(
    theirs: torch.nn.Module, tmp_path: Path, max_shard_bytes: int
) -> None:
    theirs.config.save_pretrained(tmp_path)
    write_safetensors(tmp_path, theirs.state_dict(), max_shard_bytes=max_shard_bytes)
    assert len(list(tmp_path.glob("*.safetensors"))) == 1 or max_shard_bytes == 8000
    read, said = transformers.GPT2LMHeadModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not said["missing_keys"]
    assert not said["unexpected_keys"]
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(read.state_dict()[name], tensor), name
