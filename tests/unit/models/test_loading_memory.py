"""Loading a whole model takes little more memory than its weights, whatever lies in the file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from yanmo.models.families import FAMILIES, qwen3
from yanmo.models.files.safetensors_files import write_safetensors
from yanmo.models.folder import CheckpointWeights
from yanmo.models.transformer import Transformer

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a process's peak memory is read from /proc")

LOAD = """
import json, pathlib, re, sys
import torch
from yanmo.models.folder import load_transformer
from yanmo.models.checkpoint import Checkpoint

def peak_bytes():
    status = pathlib.Path("/proc/self/status").read_text()
    return 1024 * int(re.search(r"VmHWM:\\s*(\\d+) kB", status)[1])

torch.set_num_threads(1)

def load(path, dtype):
    checkpoint = Checkpoint.open(path)
    where = checkpoint.config_path
    return load_transformer(checkpoint.config, checkpoint.source(), where=where, dtype=dtype)

load(sys.argv[1], torch.float32)
before_bytes = peak_bytes()
model = load(sys.argv[2], getattr(torch, sys.argv[3]))
weights_bytes = sum(weight.nbytes for weight in model.parameters())
print((peak_bytes() - before_bytes) / weights_bytes, weights_bytes)
"""


def write(folder: Path, *, d_model: int, vocab_size: int, dtype: torch.dtype) -> Path:
    """A model folder without a tokenizer, with random weights."""
    sizes = {"num_layers": 4, "num_heads": 8, "num_kv_heads": 4, "head_dim": d_model // 8}
    config = qwen3.decoder(vocab_size=vocab_size, d_model=d_model, d_ff=3 * d_model, max_seq_len=64, **sizes)
    model = Transformer(config)
    folder.mkdir()

    (folder / "config.json").write_text(
        json.dumps(FAMILIES["qwen3"].write_config(config, model_type="qwen3"))
    )
    write_safetensors(folder, CheckpointWeights(model, "qwen3", dtype=dtype))
    return folder


@pytest.mark.parametrize(("stored", "loaded"), [("float32", "float32"), ("bfloat16", "bfloat16")])
def test_peak_memory_over_the_size_of_the_weights(tmp_path: Path, stored: str, loaded: str) -> None:
    small = write(tmp_path / "small", d_model=64, vocab_size=100, dtype=torch.float32)
    wide = 1024 if stored == "bfloat16" else 768
    big = write(tmp_path / "big", d_model=wide, vocab_size=50_000, dtype=getattr(torch, stored))
    command = [sys.executable, "-c", LOAD, str(small), str(big), loaded]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    share, num_bytes = float(printed[0]), int(printed[1])
    assert num_bytes > 150e6
    assert 0.9 < share < 1.15
