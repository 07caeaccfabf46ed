"""Damaged model files by the thousand: each must be refused in one clear line, or read rightly.

``python -m benchmarks mutations [--count N] [--seed S] [--kind K]``. Every case follows from its kind and
seed alone, so a failure is repeated with ``--count 1``. Cases run in processes of their own: one that dies,
works for longer than two seconds, or takes more than 200 MB is a failure and not the end.

A new kind of file is one entry in ``KINDS``.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import functools
import json
import multiprocessing
import os
import random
import re
import resource
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from benchmarks import model_specimens as specimens
from benchmarks.damage import FindJson, damage, safetensors_header, whole_file
from benchmarks.machine import describe
from yanmo.errors import InputError
from yanmo.models.files.hf_folder import HfFolder
from yanmo.models.files.safetensors_files import INDEX_FILE, WEIGHTS_FILE, SafetensorsFiles, write_safetensors

MAX_WORK_S = 2.0
# Of wall time: others may be using the machine, and a wait for nothing uses no processor.
MAX_WAIT_S = 20.0
MAX_GROWTH_BYTES = 200 * 2**20
MAX_MESSAGE_CHARS = 1000
NUM_WORKERS = 2


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of file: how to make a sound one, and how to read what became of it."""

    # Writes a sound specimen into a folder; the same bytes each time.
    make: Callable[[Path], None]
    # Reads all of a folder. InputError: refused. Any other error, AssertionError too: a failure.
    read: Callable[[Path], None]
    # The file in the folder that is damaged, as a pattern.
    target: str
    find_json: FindJson | None = None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one case; ``failure`` is empty where nothing is wrong."""

    kind: str
    seed: int
    refused: bool
    failure: str
    work_s: float = 0.0
    growth_bytes: int = 0


def main() -> None:
    """Run the cases and print what became of them; ends with an error where one failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks mutations")
    parser.add_argument("--count", type=int, default=10_000, help="cases in all")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first case")
    parser.add_argument("--kind", choices=sorted(KINDS), help="only this kind")
    arguments = parser.parse_args(sys.argv[2:])
    kinds = {name: kind for name, kind in KINDS.items() if arguments.kind in (None, name)}
    began_s = time.monotonic()
    outcomes = []
    for outcome in run(kinds, count=arguments.count, seed=arguments.seed):
        outcomes.append(outcome)
        if outcome.failure:
            print(
                f"FAILED --kind {outcome.kind} --seed {outcome.seed} --count 1: {outcome.failure}", flush=True
            )
    for name in kinds:
        print(summary(name, [outcome for outcome in outcomes if outcome.kind == name]))
    print(f"{len(outcomes)} mutated files in {time.monotonic() - began_s:.0f} s. {describe()}")
    if any(outcome.failure for outcome in outcomes):
        sys.exit(1)


def summary(name: str, outcomes: list[Outcome]) -> str:
    """One line for a kind."""
    counted = collections.Counter(
        "failed" if o.failure else "refused" if o.refused else "read" for o in outcomes
    )
    slowest_s = max((outcome.work_s for outcome in outcomes), default=0.0)
    growth_mb = max((outcome.growth_bytes for outcome in outcomes), default=0) / 2**20
    return (
        f"{name}: {len(outcomes)} cases, {counted['refused']} refused, {counted['read']} read rightly, "
        f"{counted['failed']} failed; slowest {slowest_s:.2f} s, most memory {growth_mb:.1f} MB"
    )


def run(kinds: Mapping[str, Kind], *, count: int, seed: int = 0) -> Iterator[Outcome]:
    """Outcomes of ``count`` cases, the kinds in turn, as they come in."""
    names = list(kinds)
    cases = iter([(names[index % len(names)], seed + index // len(names)) for index in range(count)])
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.mutations"])
    with contextlib.ExitStack() as stack:
        workers = [stack.enter_context(_Worker(context, kinds)) for _ in range(NUM_WORKERS)]
        for worker in workers:
            worker.give(next(cases, None))
        while busy := [worker for worker in workers if worker.case is not None]:
            wait([worker.connection for worker in busy], timeout=0.2)
            for worker in busy:
                outcome = worker.outcome()
                if outcome is not None:
                    yield outcome
                    worker.give(next(cases, None))


class _Worker:
    """A process that reads damaged files, and is replaced when a case ends it."""

    def __init__(self, context: multiprocessing.context.ForkServerContext, kinds: Mapping[str, Kind]) -> None:
        self._context, self._kinds = context, kinds
        self.case: tuple[str, int] | None = None

    def __enter__(self) -> _Worker:
        self._start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop()

    def _start(self) -> None:
        self.connection, theirs = self._context.Pipe()
        self._process = self._context.Process(target=_work, args=(theirs, dict(self._kinds)), daemon=True)
        self._process.start()
        theirs.close()
        try:
            self.connection.recv()
        except EOFError:
            raise RuntimeError("a sound specimen was not read; the process said why") from None

    def _stop(self) -> None:
        self._process.kill()
        self._process.join()
        self.connection.close()

    def give(self, case: tuple[str, int] | None) -> None:
        self.case = case
        if case is not None:
            self._began_s, self._began_work_s = time.monotonic(), self._work_s()
            self.connection.send(case)

    def outcome(self) -> Outcome | None:
        """What became of the case, or None while that is open."""
        assert self.case is not None
        kind, seed = self.case
        failure = ""
        if self.connection.poll():
            try:
                answer: Outcome = self.connection.recv()
                return answer
            except EOFError:
                self._process.join()
                failure = f"the process died with exit code {self._process.exitcode}"
        elif self._work_s() - self._began_work_s > MAX_WORK_S:
            failure = f"still at work after {MAX_WORK_S:.0f} s"
        elif time.monotonic() - self._began_s > MAX_WAIT_S:
            failure = f"no end after {MAX_WAIT_S:.0f} s"
        if not failure:
            return None
        self._stop()
        self._start()
        return Outcome(kind=kind, seed=seed, refused=False, failure=failure)

    def _work_s(self) -> float:
        """Processor time of the process so far."""
        try:
            fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _work(connection: Connection, kinds: Mapping[str, Kind]) -> None:
    """In the process: take a case, answer with its outcome."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name, contextlib.redirect_stderr(Path(os.devnull).open("w")):
        root = Path(name)
        for kind_name, kind in kinds.items():
            (root / kind_name).mkdir()
            kind.make(root / kind_name)
            # Also brings in what is imported late, so that no case is charged with it.
            kind.read(root / kind_name)
        room_bytes = _status_bytes("VmSize") + MAX_GROWTH_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (room_bytes, resource.RLIM_INFINITY))
        connection.send("ready")
        with contextlib.suppress(EOFError):
            while True:
                kind_name, seed = connection.recv()
                connection.send(_run_case(kinds[kind_name], kind_name, seed, root))


def _run_case(kind: Kind, kind_name: str, seed: int, root: Path) -> Outcome:
    rng = random.Random(f"{kind_name} {seed}")
    folder = root / "case"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(root / kind_name, folder)
    path = rng.choice(sorted(folder.glob(kind.target)))
    content = path.read_bytes()
    damaged = damage(rng, content, kind.find_json)
    path.write_bytes(damaged)
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before_bytes, began_s = _status_bytes("VmRSS"), time.process_time()
    refused, failure = False, ""
    try:
        kind.read(folder)
    except InputError as error:
        refused = True
        if "\n" in str(error) or not 10 < len(str(error)) < MAX_MESSAGE_CHARS:
            failure = f"the message is not one clear line: {str(error)[:200]!r}"
        elif damaged == content:
            failure = f"a sound file was refused: {error}"
    except Exception as error:  # whatever it is, it is what this looks for
        place = traceback.extract_tb(error.__traceback__)[-1]
        failure = (
            f"{type(error).__name__}: {str(error)[:200]!r} at {Path(place.filename).name}:{place.lineno}"
        )
    work_s = time.process_time() - began_s
    growth_bytes = max(0, _status_bytes("VmHWM") - before_bytes)
    if growth_bytes > MAX_GROWTH_BYTES:
        failure = failure or f"took {growth_bytes / 2**20:.0f} MB"
    if work_s > MAX_WORK_S:
        failure = failure or f"worked for {work_s:.1f} s"
    return Outcome(
        kind=kind_name, seed=seed, refused=refused, failure=failure, work_s=work_s, growth_bytes=growth_bytes
    )


def _status_bytes(field: str) -> int:
    found = re.search(rf"^{field}:\s*(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def _some_tensors() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    kinds = (torch.float32, torch.bfloat16, torch.float16, torch.int64, torch.uint8, torch.float64)
    tensors = {
        f"model.layers.{index}.weight": torch.randn(5 + index, 64, generator=generator)
        .mul(50)
        .to(kinds[index % 6])
        for index in range(12)
    }
    return tensors | {
        "flag": torch.tensor([True, False]),
        "none": torch.empty(0, 3),
        "one": torch.tensor(1.0),
    }


def _make_file(folder: Path) -> None:
    write_safetensors(folder, _some_tensors())


def _make_shards(folder: Path) -> None:
    write_safetensors(folder, _some_tensors(), max_shard_bytes=8000)


def _require_same(source: SafetensorsFiles, expected: Mapping[str, Tensor]) -> None:
    """Each tensor as the reference reader gives it, to the bit, also when its pages were given back."""
    assert source.tensors.keys() == expected.keys()
    for name, tensor in expected.items():
        info = source.tensors[name]
        assert (info.shape, info.dtype) == (tuple(tensor.shape), tensor.dtype), name
        raw = tensor.reshape(-1).view(torch.uint8)
        raw = raw.ne(0).view(torch.uint8) if tensor.dtype is torch.bool else raw
        assert torch.equal(source.read(name).reshape(-1).view(torch.uint8), raw), name
        source.release()


def _read_file(folder: Path) -> None:
    _require_same(SafetensorsFiles(folder), load_file(folder / WEIGHTS_FILE))


def _read_shards(folder: Path) -> None:
    source = SafetensorsFiles(folder)
    weight_map = json.loads((folder / INDEX_FILE).read_text(encoding="utf-8"))["weight_map"]
    expected = {}
    for name, file_name in weight_map.items():
        with safe_open(folder / file_name, framework="pt") as file:
            expected[name] = file.get_tensor(name)
    _require_same(source, expected)


def _make_config(folder: Path) -> None:
    config = {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "vocab_size": 1000,
        "hidden_size": 64,
        "rms_norm_eps": 1e-6,
        "rope_scaling": {"rope_type": "yarn", "factor": 4.0, "betas": [32, 1]},
        "tie_word_embeddings": True,
        "id2label": {"0": "负", "1": "正"},
        "sliding_window": None,
    }
    (folder / "config.json").write_text(json.dumps(config, ensure_ascii=False, indent=2), encoding="utf-8")


def _read_config(folder: Path) -> None:
    read = HfFolder.open(folder)
    assert read.config == json.loads((folder / "config.json").read_bytes())
    _ = read.model_type


KINDS: dict[str, Kind] = {
    "safetensors": Kind(make=_make_file, read=_read_file, target=WEIGHTS_FILE, find_json=safetensors_header),
    "shard": Kind(make=_make_shards, read=_read_shards, target="*.safetensors", find_json=safetensors_header),
    "index": Kind(make=_make_shards, read=_read_shards, target=INDEX_FILE, find_json=whole_file),
    "config": Kind(make=_make_config, read=_read_config, target="config.json", find_json=whole_file),
    "gguf": Kind(make=specimens.make_gguf, read=specimens.read_whole, target="model.gguf"),
    "tokenizer": Kind(
        make=specimens.make_whole,
        read=specimens.read_whole,
        target="model/tokenizer*.json",
        find_json=whole_file,
    ),
    "weights": Kind(
        make=functools.partial(specimens.make_folder, model_type="mixtral"),
        read=specimens.read_folder,
        target=WEIGHTS_FILE,
        find_json=safetensors_header,
    ),
    **{
        f"model-{model_type}": Kind(
            make=functools.partial(specimens.make_folder, model_type=model_type),
            read=specimens.read_folder,
            target="config.json",
            find_json=whole_file,
        )
        for model_type in specimens.CONFIGS
    },
}
